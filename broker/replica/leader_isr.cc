#include "broker/replica/leader_isr.h"

#include <algorithm>
#include <utility>

namespace klamm::replica {

using protocol::ErrorCode;

namespace {

bool contains(const std::vector<std::int32_t>& list, std::int32_t id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

}  // namespace

void LeaderIsr::lead(Leadership leadership, Instant now, std::int64_t log_end) {
  const bool new_leader = !leading_;
  const bool new_epoch = new_leader || leadership.leader_epoch > leader_epoch_;
  const bool known = !new_epoch && leadership.partition_epoch == partition_epoch_;
  leading_ = true;
  leader_epoch_ = leadership.leader_epoch;
  std::vector<Follower> followers;
  for (const std::int32_t id : leadership.replicas) {
    if (id == self_) continue;
    Follower follower;
    follower.id = id;
    if (const Follower* known = this->follower(id); known != nullptr && !new_leader) follower = *known;
    const bool member = contains(leadership.isr, id);
    if (new_epoch) {
      follower.caught_up.reset();
      follower.last_fetch = now;
      follower.leader_end_at_fetch = member && !new_leader ? log_end : -1;
    }
    if (member && !follower.caught_up) follower.caught_up = now;  // it gets the time to show itself
    followers.push_back(follower);
  }
  followers_ = std::move(followers);
  if (new_epoch) epoch_start_ = std::numeric_limits<std::int64_t>::max();
  // What was known already says nothing of a proposal that was made on top of it.
  if (!known) commit(std::move(leadership.isr), leadership.partition_epoch);
}

void LeaderIsr::resign() {
  leading_ = false;
  followers_.clear();
  proposed_.reset();
}

void LeaderIsr::commit(std::vector<std::int32_t> isr, std::int32_t partition_epoch) {
  isr_ = std::move(isr);
  maximal_ = isr_;
  partition_epoch_ = partition_epoch;
  proposed_.reset();
}

ErrorCode LeaderIsr::check_follower(std::int32_t id, std::int64_t broker_epoch, bool with_leader_epoch) const {
  if (follower(id) == nullptr) {
    return with_leader_epoch ? ErrorCode::unknown_leader_epoch : ErrorCode::not_leader_or_follower;
  }
  // A process that has been replaced may not speak for its successor, who perhaps lacks what that one had (KIP-903).
  const auto life = brokers_->find(id);
  if (broker_epoch >= 0 && life != brokers_->end() && life->second.epoch > broker_epoch) {
    return ErrorCode::not_leader_or_follower;
  }
  return ErrorCode::none;
}

bool LeaderIsr::fetched(std::int32_t id, std::int64_t offset, std::int64_t log_start, std::int64_t broker_epoch,
                        std::int64_t leader_end, Instant now) {
  Follower* follower = find(id);
  if (follower == nullptr) return false;
  if (offset >= leader_end) {
    follower->caught_up = std::max(follower->caught_up.value_or(now), now);
  } else if (follower->leader_end_at_fetch >= 0 && offset >= follower->leader_end_at_fetch) {
    // It has come to where the leader was when it asked the last time.
    follower->caught_up = std::max(follower->caught_up.value_or(follower->last_fetch), follower->last_fetch);
  }
  const bool moved = follower->log_end_offset != offset;
  follower->log_end_offset = offset;
  follower->log_start_offset = log_start;
  follower->broker_epoch = broker_epoch;
  follower->leader_end_at_fetch = std::max(follower->leader_end_at_fetch, leader_end);
  follower->last_fetch = now;
  return moved;
}

bool LeaderIsr::is_caught_up(const Follower& follower, std::int64_t log_end, Instant now) const {
  if (follower.log_end_offset == log_end) return true;
  return follower.caught_up && now - *follower.caught_up <= max_lag_;
}

// Known to be the process that is registered, alive, and not about to leave.
bool LeaderIsr::is_eligible(const Follower& follower) const {
  const auto life = brokers_->find(follower.id);
  if (life == brokers_->end() || !life->second.active || follower.broker_epoch == kNoEpoch) return false;
  return follower.broker_epoch == -1 || follower.broker_epoch == life->second.epoch;
}

std::int64_t LeaderIsr::committed_end(std::int64_t own_end, std::int64_t log_end, Instant now) const {
  std::int64_t end = own_end;
  for (const Follower& follower : followers_) {
    if (follower.log_end_offset >= end) continue;
    if (contains(maximal_, follower.id)) {
      end = follower.log_end_offset;
    } else if (is_caught_up(follower, log_end, now) && is_eligible(follower)) {
      end = follower.log_end_offset;  // else it could never reach the mark under load, and not join
    }
  }
  return end;
}

std::optional<IsrProposal> LeaderIsr::propose_growth(std::int32_t id, std::int64_t high_watermark) {
  if (!leading_ || proposed_ || contains(isr_, id)) return std::nullopt;
  const Follower* candidate = follower(id);
  if (candidate == nullptr || candidate->log_end_offset < high_watermark || candidate->log_end_offset < epoch_start_ ||
      !is_eligible(*candidate)) {
    return std::nullopt;
  }
  std::vector<std::int32_t> isr = isr_;
  isr.push_back(id);
  return send(std::move(isr));
}

std::optional<IsrProposal> LeaderIsr::propose_shrink(std::int64_t log_end, Instant now) {
  if (!leading_ || proposed_) return std::nullopt;
  std::vector<std::int32_t> isr = isr_;
  std::erase_if(isr, [&](std::int32_t id) {
    if (id == self_) return false;
    const Follower* member = follower(id);
    return member == nullptr || !is_caught_up(*member, log_end, now);
  });
  if (isr.size() == isr_.size()) return std::nullopt;
  return send(std::move(isr));
}

std::optional<IsrProposal> LeaderIsr::send(std::vector<std::int32_t> isr) {
  for (const std::int32_t id : isr) {
    if (!contains(maximal_, id)) maximal_.push_back(id);
  }
  proposed_ = std::move(isr);
  ++proposals_;
  return describe(*proposed_);
}

IsrProposal LeaderIsr::describe(const std::vector<std::int32_t>& isr) const {
  IsrProposal proposal;
  for (const std::int32_t id : isr) {
    IsrProposal::Member member{id, -1};
    if (id == self_) {
      const auto own = brokers_->find(self_);
      if (own != brokers_->end()) member.broker_epoch = own->second.epoch;
    } else if (const Follower* known = follower(id); known != nullptr && known->broker_epoch != kNoEpoch) {
      member.broker_epoch = known->broker_epoch;
    }
    proposal.isr.push_back(member);
  }
  proposal.leader_epoch = leader_epoch_;
  proposal.partition_epoch = partition_epoch_;
  proposal.number = proposals_;
  return proposal;
}

std::optional<IsrProposal> LeaderIsr::pending() const {
  if (!proposed_) return std::nullopt;
  return describe(*proposed_);
}

LeaderIsr::After LeaderIsr::answered(std::uint64_t number, const IsrAnswer& answer) {
  if (!leading_ || !proposed_ || number != proposals_) return After::nothing;
  switch (answer.error) {
    case ErrorCode::none:
      if (answer.leader_epoch != leader_epoch_ || answer.partition_epoch < partition_epoch_) return After::wait;
      commit(answer.isr, answer.partition_epoch);
      return After::changed;
    case ErrorCode::operation_not_attempted:
    case ErrorCode::ineligible_replica: commit(isr_, partition_epoch_); return After::changed;
    case ErrorCode::unknown_topic_or_partition:
    case ErrorCode::unknown_topic_id:
    case ErrorCode::fenced_leader_epoch:
    case ErrorCode::invalid_update_version:
    case ErrorCode::invalid_request:
    case ErrorCode::new_leader_elected: return After::wait;
    default: return After::retry;
  }
}

bool LeaderIsr::in_isr(std::int32_t id) const { return contains(isr_, id); }

const LeaderIsr::Follower* LeaderIsr::follower(std::int32_t id) const {
  for (const Follower& follower : followers_) {
    if (follower.id == id) return &follower;
  }
  return nullptr;
}

LeaderIsr::Follower* LeaderIsr::find(std::int32_t id) {
  return const_cast<Follower*>(std::as_const(*this).follower(id));
}

}  // namespace klamm::replica
