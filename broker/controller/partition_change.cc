#include "broker/controller/partition_change.h"

#include <algorithm>

#include "broker/config/topic_config.h"

namespace klamm::controller {
namespace {

constexpr std::int32_t kNoLeaderChange = -2;

bool contains(const std::vector<std::int32_t>& values, std::int32_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

PartitionChangeBuilder::PartitionChangeBuilder(const PartitionRegistration& partition, Uuid topic, std::int32_t index,
                                               MetadataVersion version, bool elr_enabled, std::int32_t min_isr,
                                               std::function<bool(std::int32_t broker)> acceptable)
    : partition_(partition),
      topic_(topic),
      index_(index),
      version_(version),
      elr_enabled_(elr_enabled),
      min_isr_(min_isr),
      acceptable_(std::move(acceptable)),
      isr_(partition.isr),
      replicas_(partition.replicas),
      elr_(partition.elr),
      last_known_elr_(partition.last_known_elr),
      recovery_state_(partition.recovery_state) {}

PartitionChangeBuilder& PartitionChangeBuilder::election(Election mode) {
  election_ = mode;
  return *this;
}
PartitionChangeBuilder& PartitionChangeBuilder::isr(std::vector<std::int32_t> target) {
  isr_ = std::move(target);
  return *this;
}
PartitionChangeBuilder& PartitionChangeBuilder::replicas(std::vector<std::int32_t> target) {
  replicas_ = std::move(target);
  return *this;
}
PartitionChangeBuilder& PartitionChangeBuilder::directories(std::vector<Uuid> target) {
  directories_ = std::move(target);
  return *this;
}
PartitionChangeBuilder& PartitionChangeBuilder::recovery_state(metadata::LeaderRecoveryState target) {
  recovery_state_ = target;
  return *this;
}
PartitionChangeBuilder& PartitionChangeBuilder::unclean_shutdown(std::vector<std::int32_t> brokers) {
  unclean_shutdown_ = std::move(brokers);
  return *this;
}
PartitionChangeBuilder& PartitionChangeBuilder::lost(std::vector<std::int32_t> brokers) {
  lost_ = std::move(brokers);
  return *this;
}

bool PartitionChangeBuilder::in_target_isr(std::int32_t broker) const { return contains(isr_, broker); }
bool PartitionChangeBuilder::in_target_elr(std::int32_t broker) const { return elr_enabled_ && contains(elr_, broker); }

bool PartitionChangeBuilder::may_lead(std::int32_t broker) const {
  const bool eligible = in_target_isr(broker) || (isr_.empty() && in_target_elr(broker));
  return broker != metadata::kNoLeader && eligible && acceptable_(broker);
}

std::optional<std::int32_t> PartitionChangeBuilder::first_online(std::size_t skip) const {
  for (std::size_t index = skip; index < replicas_.size(); ++index) {
    if (may_lead(replicas_[index])) return replicas_[index];
  }
  return std::nullopt;
}

// When ISR and ELR are empty, the last leader is the best guess there is; others are one only when he is lost.
bool PartitionChangeBuilder::can_elect_last_known_leader() const {
  return elr_enabled_ && isr_.empty() && elr_.empty() && !last_known_elr_.empty() &&
         acceptable_(last_known_elr_.front());
}

PartitionChangeBuilder::Choice PartitionChangeBuilder::elect() const {
  if (election_ == Election::preferred && !replicas_.empty() && may_lead(replicas_.front()))
    return {replicas_.front(), false};
  if (may_lead(partition_.leader)) return {partition_.leader, false};
  if (const auto online = first_online(election_ == Election::preferred ? 1 : 0)) return {*online, false};
  if (can_elect_last_known_leader()) return {last_known_elr_.front(), true};
  if (election_ == Election::unclean) {
    for (const std::vector<std::int32_t>* candidates : {&last_known_elr_, &replicas_}) {
      const auto alive = std::find_if(candidates->begin(), candidates->end(), acceptable_);
      if (alive != candidates->end()) return {*alive, true};
    }
  }
  return {};
}

// With ELR on: who leaves an ISR that is smaller than min.insync.replicas stays eligible, since all that was
// acknowledged is on it.
void PartitionChangeBuilder::settle_elr() {
  if (!elr_enabled_) return;
  const auto enough = std::min<std::size_t>(static_cast<std::size_t>(std::max(min_isr_, 1)), replicas_.size());
  if (isr_.size() >= enough) {
    elr_.clear();
    last_known_elr_.clear();
    return;
  }
  std::vector<std::int32_t> candidates = partition_.elr;
  for (const std::int32_t member : partition_.isr) {
    if (!contains(candidates, member)) candidates.push_back(member);
  }
  elr_.clear();
  for (const std::int32_t candidate : candidates) {
    if (in_target_isr(candidate) || !contains(replicas_, candidate)) continue;
    if (!contains(unclean_shutdown_, candidate)) {
      elr_.push_back(candidate);
    } else if (!contains(last_known_elr_, candidate)) {
      last_known_elr_.push_back(candidate);
    }
  }
  settle_last_known();
}

// Those who were eligible until they stopped uncleanly: all that was acknowledged is on them but for what was not
// flushed. In front the one who led when the ISR ran empty, also while the ELR still has somebody: it may lose him
// without a leader in between (an unclean stop that is told after the session ran out). Whose disk is gone knows
// nothing, and is no candidate unless he is the only replica.
void PartitionChangeBuilder::settle_last_known() {
  if (isr_.empty() && partition_.has_leader()) {
    std::erase(last_known_elr_, partition_.leader);
    last_known_elr_.insert(last_known_elr_.begin(), partition_.leader);
  }
  std::erase_if(last_known_elr_, [this](std::int32_t broker) {
    return in_target_isr(broker) || !contains(replicas_, broker) || (replicas_.size() > 1 && contains(lost_, broker));
  });
}

void PartitionChangeBuilder::apply_election(messages::PartitionChangeRecord& record) {
  const Choice choice = elect();
  if (choice.leader == partition_.leader && !choice.unclean) return;
  record.leader = choice.leader;
  if (choice.leader == metadata::kNoLeader) return;
  if (choice.unclean) {
    isr_ = {choice.leader};
    recovery_state_ = metadata::LeaderRecoveryState::recovering;
    // The others may have what he lacks, but have to follow him now.
    if (!contains(last_known_elr_, choice.leader)) last_known_elr_.clear();
    elr_.clear();
  } else if (!in_target_isr(choice.leader)) {
    // Elected out of the ELR.
    isr_.insert(isr_.begin(), choice.leader);
    std::erase(elr_, choice.leader);
  }
  std::erase_if(last_known_elr_,
                [this](std::int32_t broker) { return in_target_isr(broker) || in_target_elr(broker); });
}

std::optional<Record> PartitionChangeBuilder::build() {
  messages::PartitionChangeRecord record;
  record.partition_id = index_;
  record.topic_id = topic_;
  settle_elr();
  apply_election(record);
  const bool replica_removed = !std::all_of(partition_.replicas.begin(), partition_.replicas.end(),
                                            [this](std::int32_t replica) { return contains(replicas_, replica); });
  const bool shrunk = version_.leader_epoch_bump_on_shrink() &&
                      !std::all_of(partition_.isr.begin(), partition_.isr.end(),
                                   [this](std::int32_t member) { return in_target_isr(member); });
  if (record.leader == kNoLeaderChange && (replica_removed || (shrunk && !isr_.empty())))
    record.leader = partition_.leader;
  // Without ELR the last member stays in the ISR, whatever has become of it.
  if ((!isr_.empty() || elr_enabled_) && isr_ != partition_.isr) record.isr = isr_;
  if (elr_enabled_ && version_.elr()) {
    if (elr_ != partition_.elr) record.eligible_leader_replicas = elr_;
    if (last_known_elr_ != partition_.last_known_elr) record.last_known_elr = last_known_elr_;
  }
  if (replicas_ != partition_.replicas) {
    record.replicas = replicas_;
    if (!directories_ && version_.directory_assignment()) {
      std::vector<Uuid> moved;
      moved.reserve(replicas_.size());
      for (const std::int32_t replica : replicas_) moved.push_back(partition_.directory_of(replica));
      directories_ = std::move(moved);
    }
  }
  if (directories_ && version_.directory_assignment() && (record.replicas || *directories_ != partition_.directories)) {
    record.directories = *directories_;
  }
  if (recovery_state_ != partition_.recovery_state)
    record.leader_recovery_state = static_cast<std::int8_t>(recovery_state_);
  messages::PartitionChangeRecord nothing;
  nothing.partition_id = index_;
  nothing.topic_id = topic_;
  if (record == nothing) return std::nullopt;
  return Record{std::move(record), version_.partition_record_version()};
}

std::int32_t min_insync_replicas(const Compute& compute, const std::string& topic) {
  return config::make_log_config(compute.layers(), compute.image.configs.of_topic(topic)).min_insync_replicas;
}

bool unclean_election_enabled(const Compute& compute, const std::string& topic) {
  return config::make_log_config(compute.layers(), compute.image.configs.of_topic(topic)).unclean_leader_election;
}

}  // namespace klamm::controller
