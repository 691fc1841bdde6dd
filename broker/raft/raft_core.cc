#include "broker/raft/raft_core.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/raft/control_records.h"
#include "protocol/error.h"

namespace klamm::raft {

using protocol::ErrorCode;
using protocol::kafka_error;

RaftCore::RaftCore(RaftConfig config) : config_(std::move(config)), random_(config_.seed) {}

Result<void> RaftCore::start(Now now, LocalState local) {
  voters_ = std::move(local.voters);
  kraft_version_ = local.kraft_version;
  voters_from_bootstrap_ = local.voters_from_bootstrap;
  next_offset_ = log_end_ = flushed_end_ = local.log_end_offset;
  // A log may know a newer epoch than the file: the file is written first, but may come from a backup.
  epoch_ = std::max(local.quorum_state ? local.quorum_state->leader_epoch : 0, local.last_epoch);
  if (local.quorum_state && local.quorum_state->leader_epoch == epoch_) voted_ = local.quorum_state->voted;
  if (!voters_.contains(config_.self)) {
    return fail(Errc::unsupported,
                fmt::format("node {} is not a voter of the metadata quorum; joining the quorum of other controllers is "
                            "not served yet",
                            config_.self.id));
  }
  if (!voters_.is_only(config_.self)) {
    return fail(Errc::unsupported,
                fmt::format("the metadata quorum has {} voters; more than one is not served yet", voters_.size()));
  }
  become_leader(now);
  return {};
}

void RaftCore::tick(Now now) {
  if (now.instant < election_deadline_) return;
  election_deadline_ = Instant::never();
  if (role_ == Role::resigned) become_leader(now);
}

// The only voter needs nobody's vote: epoch, vote and leadership are written down in one step.
void RaftCore::become_leader(Now now) {
  close_batch();
  ++epoch_;
  voted_.reset();
  role_ = Role::leader;
  epoch_start_offset_ = next_offset_;
  peer_end_offsets_.clear();
  actions_.push_back(PersistQuorumState{durable_state()});
  actions_.push_back(LeaderChanged{leader(), epoch_start_offset_});
  const Voter* self = voters_.find(config_.self.id);
  const bool entry_changed =
      self != nullptr && (self->endpoints != config_.endpoints || self->kraft_version_min != kKRaftVersionMin ||
                          self->kraft_version_max != kKRaftVersionMax);
  const bool with_voters = kraft_version_ >= 1 && (voters_from_bootstrap_ || entry_changed);
  if (with_voters) {
    std::vector<Voter> voters;
    for (const auto& [id, voter] : voters_.by_id()) voters.push_back(voter);
    for (Voter& voter : voters) {
      if (voter.key.id != config_.self.id) continue;
      if (!config_.endpoints.empty()) voter.endpoints = config_.endpoints;
      voter.key.directory_id = config_.self.directory_id;
      voter.kraft_version_min = kKRaftVersionMin;
      voter.kraft_version_max = kKRaftVersionMax;
    }
    voters_ = VoterSet(std::move(voters));
    voters_from_bootstrap_ = false;
  }
  append_leader_change(now, with_voters);
}

void RaftCore::append_leader_change(Now now, bool with_voters) {
  LeaderChange change{
      .leader_id = config_.self.id, .voters = {}, .granting_voters = {config_.self.id}, .voter_records = nullptr};
  for (const auto& [id, voter] : voters_.by_id()) change.voters.push_back(id);
  if (with_voters) change.voter_records = &voters_;
  Slice batch = leader_change_batch(change, next_offset_, epoch_, now.wall_ms);
  const std::int64_t count = with_voters ? 3 : 1;
  actions_.push_back(AppendBatch{std::move(batch), next_offset_, next_offset_ + count - 1});
  actions_.push_back(FlushLog{});
  next_offset_ += count;
}

Result<std::int64_t> RaftCore::append(Now now, std::int32_t epoch, std::span<const Slice> values) {
  if (role_ != Role::leader || epoch != epoch_) {
    return fail(kafka_error(ErrorCode::not_leader_or_follower,
                            fmt::format("append in epoch {}: the node is in epoch {}{}", epoch, epoch_,
                                        role_ == Role::leader ? "" : " and does not lead")));
  }
  KLAMM_CHECK(!values.empty(), "an append without records");
  std::size_t bytes = 0;
  for (const Slice& value : values) bytes += value.size() + record::kMaxRecordOverhead;
  if (bytes + record::kBatchHeaderSize > config_.max_batch_bytes) {
    return fail(
        kafka_error(ErrorCode::record_list_too_large,
                    fmt::format("{} metadata records of {} bytes do not fit into one batch", values.size(), bytes)));
  }
  if (!open_values_.empty() && open_bytes_ + bytes > config_.max_batch_bytes) close_batch();
  if (open_values_.empty()) {
    open_bytes_ = record::kBatchHeaderSize;
    open_timestamp_ = now.wall_ms;
  }
  open_values_.insert(open_values_.end(), values.begin(), values.end());
  open_bytes_ += bytes;
  next_offset_ += static_cast<std::int64_t>(values.size());
  return next_offset_ - 1;
}

void RaftCore::close_batch() {
  if (open_values_.empty()) return;
  record::BatchOptions options;
  options.size_limit_bytes = open_bytes_;
  options.initial_bytes = open_bytes_;
  options.base_offset = next_offset_ - static_cast<std::int64_t>(open_values_.size());
  options.leader_epoch = epoch_;
  record::BatchBuilder builder(options);
  for (const Slice& value : open_values_) {
    const auto taken = builder.append(open_timestamp_, nullptr, value);
    KLAMM_CHECK(taken.has_value(), "a metadata batch outgrew its bound");
  }
  Result<Slice> batch = builder.build(codecs_);
  KLAMM_CHECK(batch.has_value(), "an uncompressed batch cannot fail to build");
  actions_.push_back(AppendBatch{std::move(*batch), options.base_offset, next_offset_ - 1});
  actions_.push_back(FlushLog{});
  open_values_.clear();
  open_bytes_ = 0;
}

void RaftCore::written(std::int64_t end_offset) {
  KLAMM_CHECK(end_offset >= log_end_ && end_offset <= next_offset_, "the log went another way than was told");
  log_end_ = end_offset;
}

void RaftCore::flushed(std::int64_t end_offset) {
  KLAMM_CHECK(end_offset <= log_end_, "more flushed than written");
  flushed_end_ = std::max(flushed_end_, end_offset);
  advance_high_watermark();
}

// The offset that a majority has, if it lies in the leader's own epoch: older records are committed only by newer ones.
void RaftCore::advance_high_watermark() {
  if (role_ != Role::leader) return;
  std::vector<std::int64_t> ends;
  for (const auto& [id, voter] : voters_.by_id()) ends.push_back(end_offset_of(id));
  if (ends.empty()) return;
  std::sort(ends.begin(), ends.end(), std::greater<>());
  const std::int64_t majority_end = ends[ends.size() / 2];
  if (majority_end <= epoch_start_offset_ || majority_end <= high_watermark_) return;
  high_watermark_ = majority_end;
  actions_.push_back(Committed{high_watermark_});
}

std::int64_t RaftCore::end_offset_of(std::int32_t voter_id) const {
  if (voter_id == config_.self.id) return flushed_end_;
  const auto found = peer_end_offsets_.find(voter_id);
  return found == peer_end_offsets_.end() ? -1 : found->second;
}

void RaftCore::resign(Now now, std::int32_t epoch) {
  if (role_ != Role::leader || epoch != epoch_) return;
  close_batch();
  role_ = Role::resigned;
  const std::int64_t timeout_ns = config_.election_timeout.count();
  election_deadline_ = now.instant + Duration(timeout_ns > 0 ? random_.between(timeout_ns, 2 * timeout_ns - 1) : 0);
  actions_.push_back(LeaderChanged{leader(), -1});
}

std::vector<Action> RaftCore::take_actions() {
  close_batch();
  return std::exchange(actions_, {});
}

LeaderAndEpoch RaftCore::leader() const noexcept { return {role_ == Role::leader ? config_.self.id : -1, epoch_}; }

QuorumState RaftCore::durable_state() const {
  QuorumState state;
  state.data_version = kraft_version_ >= 1 ? 1 : 0;
  state.leader_epoch = epoch_;
  state.leader_id = leader().leader_id;
  state.voted = voted_;
  if (state.data_version == 0) {
    for (const auto& [id, voter] : voters_.by_id()) state.static_voters.push_back(id);
  }
  return state;
}

}  // namespace klamm::raft
