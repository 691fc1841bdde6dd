#include "broker/replica/replication_quota.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "broker/replica/replica_manager.h"

namespace klamm::replica {
namespace {

constexpr std::string_view kLeaderReplicas = "leader.replication.throttled.replicas";
constexpr std::string_view kFollowerReplicas = "follower.replication.throttled.replicas";
constexpr Duration kKept = 1s;                     // of what is not used
constexpr double kLongestSeconds = 365.0 * 86400;  // what is beyond is never

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// The partitions that a list "0:1,1:2" of partitions and brokers names for the broker; "*" are all of `count`.
std::set<std::int32_t> partitions_of(const metadata::MetadataImage& image, const std::string& topic,
                                     std::string_view key, std::int32_t broker, std::int32_t count) {
  std::set<std::int32_t> partitions;
  const auto& configs = image.configs.of_topic(topic);
  const auto set = configs.find(std::string(key));
  if (set == configs.end()) return partitions;
  std::string_view text = set->second;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view entry = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    if (entry == "*") {
      for (std::int32_t index = 0; index < count; ++index) partitions.insert(index);
      continue;
    }
    std::int32_t partition = -1;
    std::int32_t replica = -1;
    const char* const end = entry.data() + entry.size();
    const auto first = std::from_chars(entry.data(), end, partition);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != ':') continue;
    const auto second = std::from_chars(first.ptr + 1, end, replica);
    if (second.ec == std::errc() && replica == broker) partitions.insert(partition);
  }
  return partitions;
}

}  // namespace

void ReplicationQuota::set_rate(std::int64_t bytes_per_second, Instant now) {
  if (bytes_per_second == rate_) return;
  // Without a limit nothing is owed, and nothing is kept.
  owed_bytes_ = rate_ == kUnlimited ? 0 : owed_at(now);
  at_ = now;
  rate_ = bytes_per_second;
}

double ReplicationQuota::owed_at(Instant now) const {
  const double rate = static_cast<double>(rate_);
  return std::max(owed_bytes_ - rate * seconds(now - at_), -rate * seconds(kKept));
}

void ReplicationQuota::record(std::int64_t bytes, Instant now) {
  if (rate_ == kUnlimited) return;
  owed_bytes_ = owed_at(now) + static_cast<double>(bytes);
  at_ = now;
}

Instant ReplicationQuota::free_at(Instant now) const {
  if (rate_ == kUnlimited) return now;
  if (rate_ <= 0) return Instant::never();
  const double owed = owed_at(now);
  if (owed <= 0) return now;
  const double wait = owed / static_cast<double>(rate_);
  if (wait > kLongestSeconds) return Instant::never();
  return now + std::max<Duration>(Duration(static_cast<std::int64_t>(wait * 1e9)), Duration(1));
}

std::int64_t ThrottledReplicas::Copies::share_of(std::int64_t rate) const {
  if (rate == ReplicationQuota::kUnlimited) return rate;
  const double part =
      static_cast<double>(std::max<std::int64_t>(here, 1)) / static_cast<double>(std::max<std::int64_t>(all, 1));
  // Below 1 nothing would move any more.
  return rate <= 0
             ? 0
             : std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(rate) * std::min(part, 1.0)));
}

bool has_throttled_replicas(const metadata::MetadataImage& image, const std::string& topic) {
  const auto& configs = image.configs.of_topic(topic);
  return configs.contains(std::string(kLeaderReplicas)) || configs.contains(std::string(kFollowerReplicas));
}

ThrottledReplicas throttled_replicas(const metadata::MetadataImage& image, const std::set<std::string>& topics,
                                     std::int32_t broker, std::size_t shard, std::size_t shards) {
  ThrottledReplicas found;
  for (const std::string& name : topics) {
    const metadata::TopicImage* topic = image.topics.find(std::string_view(name));
    if (topic == nullptr) continue;
    const auto visit = [&](std::int32_t index, bool leads) {
      const metadata::PartitionRegistration* partition = topic->partition(index);
      if (partition == nullptr || !partition->has_replica(broker) || (partition->leader == broker) != leads) return;
      const auto in_isr = [&](std::int32_t replica) {
        return std::find(partition->isr.begin(), partition->isr.end(), replica) != partition->isr.end();
      };
      const bool here = shard_of(name, index, shards) == shard;
      const bool copied = leads ? partition->isr.size() < partition->replicas.size() : !in_isr(broker);
      ThrottledReplicas::Copies& copies = leads ? found.sent : found.received;
      copies.all += copied ? 1 : 0;
      copies.here += copied && here ? 1 : 0;
      if (here) (leads ? found.as_leader : found.as_follower).insert({topic->id, index});
    };
    const std::int32_t count = topic->partition_count();
    for (const std::int32_t index : partitions_of(image, name, kLeaderReplicas, broker, count)) visit(index, true);
    for (const std::int32_t index : partitions_of(image, name, kFollowerReplicas, broker, count)) visit(index, false);
  }
  return found;
}

}  // namespace klamm::replica
