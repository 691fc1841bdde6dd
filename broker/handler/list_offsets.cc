// ListOffsets: the offset at a timestamp, or one of the special ones (earliest, latest, of the largest timestamp).
#include <limits>
#include <map>

#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;
using protocol::kafka_error;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

// Special timestamps, and the request version that brought each.
constexpr std::int64_t kLatest = -1;
constexpr std::int64_t kEarliest = -2;
constexpr std::int64_t kMaxTimestamp = -3;           // 7, KIP-734
constexpr std::int64_t kEarliestLocal = -4;          // 8, KIP-405
constexpr std::int64_t kLatestTiered = -5;           // 9, KIP-1005
constexpr std::int64_t kEarliestPendingUpload = -6;  // 11

constexpr std::int64_t kRepeated = std::numeric_limits<std::int64_t>::min();  // no client's timestamp

struct Lookup {
  Uuid topic_id;
  std::int32_t partition = 0;
  std::int32_t current_leader_epoch = -1;
  std::int64_t timestamp = 0;
  storage::TimestampAndOffset found;
  std::optional<Error> error;
};

constexpr std::int32_t kDebuggingReplica = -2;  // reads to the log end, from any replica

// What holds for all partitions of the request.
struct View {
  bool committed = false;   // a consumer that reads committed data only
  bool to_log_end = false;  // a follower: it sees more than what is committed
  bool leader_only = true;
  ErrorCode not_yet = ErrorCode::offset_not_available;  // the name of that error in the request's version

  std::int64_t bound(const storage::Log& log) const {
    if (to_log_end) return log.log_end_offset();
    return committed ? log.last_stable_offset() : log.high_watermark();
  }
};

std::int32_t epoch_at(const storage::Log& log, std::int64_t offset) {
  return log.leader_epochs().epoch_at(offset).value_or(-1);
}

io::Task<Result<storage::TimestampAndOffset>> look_up(replica::Partition& partition, const Lookup& lookup,
                                                      const View& view) {
  Result<void> allowed = view.leader_only ? partition.check_leader(lookup.current_leader_epoch)
                                          : partition.check_replica(lookup.current_leader_epoch);
  KLAMM_CO_TRY(allowed);
  storage::Log& log = partition.log();
  storage::TimestampAndOffset found;
  // A new leader does not know at once what is committed: its mark may lie before what clients have seen (KIP-207).
  const bool not_yet = !view.to_log_end && partition.is_leader() && log.high_watermark() < partition.epoch_start();
  switch (lookup.timestamp) {
    case kLatest:
      if (not_yet) co_return fail(kafka_error(view.not_yet));
      found.offset = view.bound(log);
      found.leader_epoch = partition.state().leader_epoch;
      co_return found;
    case kEarliest:
    case kEarliestLocal:
      found.offset = log.log_start_offset();
      found.leader_epoch = epoch_at(log, found.offset);
      co_return found;
    case kLatestTiered:
    case kEarliestPendingUpload: co_return found;  // nothing is tiered
    default: break;
  }
  Result<std::optional<storage::TimestampAndOffset>> at = std::optional<storage::TimestampAndOffset>();
  if (lookup.timestamp == kMaxTimestamp) {
    at = co_await log.offset_of_max_timestamp();
  } else {
    at = co_await log.offset_for_timestamp(lookup.timestamp);
  }
  KLAMM_CO_TRY(at);
  if (*at && (*at)->offset < view.bound(log)) {
    found = **at;
  } else if (not_yet) {
    co_return fail(kafka_error(view.not_yet));
  }
  co_return found;
}

io::Task<void> look_up_here(Services& local, std::vector<Lookup*>& lookups, const View& view) {
  for (Lookup* lookup : lookups) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(lookup->topic_id, lookup->partition);
    if (!lease) {
      lookup->error = std::move(lease).error();
      continue;
    }
    Result<storage::TimestampAndOffset> found = co_await look_up(**lease, *lookup, view);
    if (found) {
      lookup->found = *found;
    } else {
      lookup->error = std::move(found).error();
    }
  }
}

ErrorCode check_timestamp(std::int64_t timestamp, std::int16_t version) {
  if (timestamp < kEarliestPendingUpload) return ErrorCode::unsupported_version;
  if ((timestamp == kMaxTimestamp && version < 7) || (timestamp == kEarliestLocal && version < 8) ||
      (timestamp == kLatestTiered && version < 9) || (timestamp == kEarliestPendingUpload && version < 11)) {
    return ErrorCode::unsupported_version;
  }
  return ErrorCode::none;
}

// A partition that is asked for twice is answered once, by INVALID_REQUEST.
void drop_repeated(ListOffsetsRequest& request) {
  for (auto& topic : request.topics) {
    std::map<std::int32_t, std::size_t> seen;  // partition: where it is among those that stay
    std::size_t kept = 0;
    for (const auto& partition : std::vector(topic.partitions)) {
      const auto [at, is_new] = seen.emplace(partition.partition_index, kept);
      if (is_new) {
        topic.partitions[kept++] = partition;
      } else {
        topic.partitions[at->second].timestamp = kRepeated;
      }
    }
    topic.partitions.resize(kept);
  }
}

io::Task<ListOffsetsResponse> answer(Call& call, ListOffsetsRequest request) {
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  drop_repeated(request);
  std::vector<std::unique_ptr<Lookup>> lookups;
  ByShard<Lookup> by_shard;
  for (const auto& topic : request.topics) {
    const metadata::TopicImage* known = image->topics.find(std::string_view(topic.name));
    for (const auto& partition : topic.partitions) {
      auto lookup = std::make_unique<Lookup>();
      lookup->partition = partition.partition_index;
      lookup->current_leader_epoch = partition.current_leader_epoch;
      lookup->timestamp = partition.timestamp;
      const ErrorCode bad = partition.timestamp == kRepeated ? ErrorCode::invalid_request
                                                             : check_timestamp(partition.timestamp, call.version);
      if (bad != ErrorCode::none) {
        lookup->error = kafka_error(bad);
      } else if (known == nullptr || known->partition(partition.partition_index) == nullptr) {
        lookup->error = kafka_error(ErrorCode::unknown_topic_or_partition);
      } else {
        lookup->topic_id = known->id;
        by_shard[services.serving(*known, partition.partition_index).shard.index()].push_back(lookup.get());
      }
      lookups.push_back(std::move(lookup));
    }
  }
  View view;
  view.to_log_end = request.replica_id >= 0 || request.replica_id == kDebuggingReplica;
  view.committed = request.isolation_level == 1;
  view.leader_only = request.replica_id != kDebuggingReplica;
  if (call.version < 5) view.not_yet = ErrorCode::leader_not_available;
  auto on_shard = [&view](Services& there, std::vector<Lookup*>& mine) { return look_up_here(there, mine, view); };
  co_await on_each_shard(services, by_shard, on_shard);

  ListOffsetsResponse response;
  std::size_t next = 0;
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (const auto& partition : topic.partitions) {
      const Lookup& lookup = *lookups[next++];
      auto& each = answered.partitions.emplace_back();
      each.partition_index = partition.partition_index;
      if (lookup.error) {
        each.error_code = code(*lookup.error);
        continue;
      }
      each.timestamp = lookup.found.timestamp;
      each.offset = lookup.found.offset;
      if (call.version >= 4) each.leader_epoch = lookup.found.leader_epoch;
    }
  }
  co_return response;
}

}  // namespace

io::Task<Reply> list_offsets(Call& call, Slice body) {
  return serve_with<&answer, ListOffsetsRequest, ListOffsetsResponse>(call, std::move(body));
}

}  // namespace klamm::handler
