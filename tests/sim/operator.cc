#include "operator.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

#include "base/check.h"

namespace klamm::simtest {

namespace {

constexpr Duration kGlance = 500ms;    // between two looks at a cluster that is to become whole
constexpr Duration kSecondLook = 12s;  // after the first: nobody waits longer for a peer that fell silent
constexpr Duration kWatch = 1s;        // between two looks of one who does nothing
constexpr const char* kRequestTimeout = "4000";
constexpr const char* kApiTimeout = "8000";

Config admin_config(const std::string& servers) {
  Config config;
  config.set("client.id", "operator");
  config.set("bootstrap.servers", servers);
  config.set("request.timeout.ms", kRequestTimeout);
  config.set("default.api.timeout.ms", kApiTimeout);
  return config;
}

}  // namespace

Operator::Operator(io::Shard& shard, OperatorOptions options)
    : shard_(shard), options_(std::move(options)), random_(options_.seed) {
  Result<client::AdminSettings> settings = client::parse_admin(admin_config(options_.bootstrap_servers));
  KLAMM_CHECK(settings, settings ? std::string() : settings.error().message());
  AdminHooks hooks;
  hooks.log_sink = options_.log_sink;
  hooks.log_level = LogLevel::debug;
  admin_ = client::AdminCore::start(shard_, std::move(*settings), std::move(hooks));
}

void Operator::add_topic(const std::string& name, std::int32_t partitions, std::size_t replicas) {
  for (std::int32_t index = 0; index < partitions; ++index) watched_[{name, index}].replicas = replicas;
}

void Operator::settle() {
  settled_ = true;
  whole_ = seems_whole_ = false;
  missing_ = "nobody has looked yet";
}

const TopicPartition& Operator::any_partition() {
  return std::next(watched_.begin(), static_cast<std::ptrdiff_t>(random_.below(watched_.size())))->first;
}

io::Task<void> Operator::work() {
  while (!stopping_) {
    if (settled_ && whole_) {
      co_await shard_.sleep(kGlance);
    } else if (settled_) {
      const bool before = seems_whole_;
      co_await look_for_wholeness();
      // A broker that was cut off may tell of better times: it must be so some time later, too.
      whole_ = settled_ && before && seems_whole_;
      if (!whole_) co_await shard_.sleep(seems_whole_ ? kSecondLook : kGlance);
    } else {
      co_await watch();
      const bool acts = options_.longest_pause > 0s;
      co_await shard_.sleep(acts ? Duration(random_.between(0, options_.longest_pause.count())) : kWatch);
      if (acts && !settled_ && !stopping_ && !watched_.empty()) co_await act();
    }
  }
  admin_->stop();
  co_await admin_->wait_finished();
  finished_ = true;
}

// ---- acts; each may fail while things are broken ----

io::Task<void> Operator::act() {
  const std::uint64_t drawn = random_.below(10);
  if (drawn < 4) {
    co_await move_partition();
  } else if (drawn < 5) {
    co_await cancel_moves();
  } else if (drawn < 7) {
    co_await elect_preferred();
  } else if (drawn < 8 || !options_.dynamic_voters || keeps_voters_) {
    co_await change_config();
  } else {
    co_await remove_voter();
  }
}

io::Task<void> Operator::move_partition() {
  const TopicPartition partition = any_partition();
  std::vector<std::int32_t> brokers(options_.brokers);
  std::iota(brokers.begin(), brokers.end(), 1);
  for (std::size_t left = brokers.size(); left > 1; --left) std::swap(brokers[left - 1], brokers[random_.below(left)]);
  brokers.resize(watched_.at(partition).replicas);
  AlterReassignments operation;
  operation.targets[partition] = std::move(brokers);
  Result<AlterReassignments::Outcome> outcome = co_await admin_->run(std::move(operation));
  if (outcome && outcome->at(partition)) count("reassignments begun");
}

io::Task<void> Operator::cancel_moves() {
  Result<ListReassignments::Outcome> moving = co_await admin_->run(ListReassignments());
  if (!moving || moving->empty()) co_return;
  AlterReassignments operation;
  for (const auto& [partition, move] : *moving) operation.targets[partition] = std::nullopt;
  Result<AlterReassignments::Outcome> outcome = co_await admin_->run(std::move(operation));
  if (!outcome) co_return;
  for (const auto& [partition, cancelled] : *outcome) {
    if (cancelled) count("reassignments cancelled");
  }
}

io::Task<void> Operator::elect_preferred() {
  Result<ElectLeaders::Outcome> outcome = co_await admin_->run(ElectLeaders());
  if (!outcome) co_return;
  for (const auto& [partition, elected] : *outcome) {
    if (elected) count("preferred leaders elected");
  }
}

io::Task<void> Operator::change_config() {
  const ConfigResource topic{ConfigResourceType::topic, any_partition().topic};
  AlterConfig change;
  change.name = "index.interval.bytes";
  change.value = std::to_string(random_.between(1, 8192));
  AlterConfigs operation;
  operation.changes[topic].push_back(std::move(change));
  Result<AlterConfigs::Outcome> outcome = co_await admin_->run(std::move(operation));
  if (outcome && outcome->at(topic)) count("configurations changed");
}

// It asks to become one again by itself (controller.quorum.auto.join.enable).
io::Task<void> Operator::remove_voter() {
  Result<QuorumDescription> quorum = co_await admin_->run(DescribeQuorum());
  if (!quorum || quorum->voters.size() < options_.brokers) co_return;
  const QuorumReplica& voter = quorum->voters[random_.below(quorum->voters.size())];
  RemoveRaftVoter operation;
  operation.id = voter.id;
  operation.directory_id = voter.directory_id;
  Result<RemoveRaftVoter::Done> removed = co_await admin_->run(std::move(operation));
  if (removed) count("voters removed");
}

// ---- what is seen ----

io::Task<void> Operator::watch() {
  if (watched_.empty()) co_return;
  DescribeTopics operation;
  for (const auto& [partition, watched] : watched_) {
    if (operation.names.empty() || operation.names.back() != partition.topic)
      operation.names.push_back(partition.topic);
  }
  Result<DescribeTopics::Outcome> outcome = co_await admin_->run(std::move(operation));
  if (!outcome) co_return;
  for (const auto& [name, topic] : *outcome) {
    if (!topic) continue;
    for (const PartitionDescription& described : topic->partitions) saw({name, described.partition}, described);
  }
}

// Brokers may be behind: what one tells can be older than what another told before.
void Operator::saw(const TopicPartition& partition, const PartitionDescription& described) {
  const auto found = watched_.find(partition);
  if (found == watched_.end()) return;
  Watched& watched = found->second;
  if (described.leader >= 0) {
    const auto [known, is_new] = watched.leaders.emplace(described.leader_epoch, described.leader);
    if (!is_new && known->second != described.leader) {
      complaints_.push_back(fmt::format("{} has two leaders in epoch {}: {} and {}", partition.text(),
                                        described.leader_epoch, known->second, described.leader));
    }
  }
  if (described.leader_epoch < watched.leader_epoch) return;
  if (described.leader_epoch > watched.leader_epoch && watched.leader_epoch >= 0) count("leader epochs raised");
  const std::size_t in_sync = described.in_sync_replicas.size();
  if (described.leader < 0) count("partitions seen without a leader");
  if (watched.in_sync > 0 && in_sync < watched.in_sync) count("ISRs seen to shrink");
  if (watched.in_sync > 0 && in_sync > watched.in_sync) count("ISRs seen to grow");
  if (described.eligible_leader_replicas && !described.eligible_leader_replicas->empty()) count("ELRs seen");
  watched.leader_epoch = described.leader_epoch;
  watched.in_sync = in_sync;
}

io::Task<void> Operator::look_for_wholeness() {
  seems_whole_ = false;
  co_await watch();
  DescribeTopics operation;
  for (const auto& [partition, watched] : watched_) {
    if (operation.names.empty() || operation.names.back() != partition.topic)
      operation.names.push_back(partition.topic);
  }
  Result<DescribeTopics::Outcome> outcome = co_await admin_->run(std::move(operation));
  if (!outcome) {
    missing_ = "topics are not described: " + outcome.error().message();
    co_return;
  }
  for (const auto& [partition, watched] : watched_) {
    const Result<TopicDescription>& topic = outcome->at(partition.topic);
    if (!topic || topic->partitions.size() <= static_cast<std::size_t>(partition.partition)) {
      missing_ = partition.text() + " is not described";
      co_return;
    }
    const PartitionDescription& described = topic->partitions[static_cast<std::size_t>(partition.partition)];
    if (described.leader < 0 || described.replicas.size() != watched.replicas ||
        described.in_sync_replicas.size() != watched.replicas) {
      missing_ =
          fmt::format("{}: leader {} in epoch {}, {} replicas, {} of them in sync", partition.text(), described.leader,
                      described.leader_epoch, described.replicas.size(), described.in_sync_replicas.size());
      co_return;
    }
  }
  Result<ListReassignments::Outcome> moving = co_await admin_->run(ListReassignments());
  if (!moving || !moving->empty()) {
    missing_ = moving ? moving->begin()->first.text() + " is still moving" : moving.error().message();
    co_return;
  }
  Result<QuorumDescription> quorum = co_await admin_->run(DescribeQuorum());
  if (!quorum || quorum->voters.size() != options_.brokers) {
    missing_ = quorum ? "these alone are voters:" : quorum.error().message();
    if (quorum) {
      for (const QuorumReplica& voter : quorum->voters) missing_ += fmt::format(" {}", voter.id);
    }
    co_return;
  }
  for (const QuorumReplica& voter : quorum->voters) {
    if (voter.log_end_offset >= quorum->high_watermark) continue;
    missing_ = fmt::format("voter {} is at offset {}, the high watermark at {}", voter.id, voter.log_end_offset,
                           quorum->high_watermark);
    co_return;
  }
  seems_whole_ = true;
}

}  // namespace klamm::simtest
