// RaftCore as the leader: it appends, counts what the voters have, and answers those that pull.
#include <fmt/format.h>

#include <algorithm>

#include "broker/raft/control_records.h"
#include "broker/raft/raft_core.h"
#include "protocol/error.h"

namespace klamm::raft {

using protocol::kafka_error;

namespace {
constexpr Duration kObserverExpiry = 300s;
// A node that is to become a voter must have been seen so lately.
constexpr Duration kCaughtUpWithin = 3600s;
}  // namespace

// A sole voter needs nobody's vote: epoch, vote and leadership are written down in one step.
void RaftCore::become_leader(Now now) {
  std::vector<std::int32_t> granting;
  for (const auto& [id, ballot] : ballots_) {
    if (ballot.granted.value_or(false)) granting.push_back(id);
  }
  const bool elected = role_ == Role::candidate;
  leave_role();
  if (!elected) {
    ++epoch_;
    voted_.reset();
    granting = {config_.self.id};
  }
  role_ = Role::leader;
  leader_id_ = config_.self.id;
  leader_address_.reset();
  election_deadline_ = Instant::never();
  epoch_start_offset_ = log_.end;
  log_.epochs.assign(epoch_, log_.end);
  persist();
  tell_leader(epoch_start_offset_);
  std::optional<VoterSet> changed;
  if (kraft_version() >= 1) {
    changed = with_own_entry();
    if (voter_history_.back().from_bootstrap && !changed) changed = voters();
  }
  if (changed) {
    voter_history_.push_back({log_.end, kraft_version(), std::move(*changed), false});
  }
  if (log_.end == 0) lose_freshness();
  append_leader_change(now, std::move(granting), changed.has_value());
  if (voters().size() > 1) check_quorum_deadline_ = now.instant + config_.fetch_timeout * 3 / 2;
  send_begin_epochs(now, true);
}

// The voters with this node's entry as it is now, if that is another one.
std::optional<VoterSet> RaftCore::with_own_entry() const {
  const Voter* self = voters().find(config_.self.id);
  if (self == nullptr) return std::nullopt;
  Voter entry = *self;
  if (!config_.endpoints.empty()) entry.endpoints = config_.endpoints;
  entry.key.directory_id = config_.self.directory_id;
  entry.kraft_version_min = kKRaftVersionMin;
  entry.kraft_version_max = kKRaftVersionMax;
  if (entry == *self) return std::nullopt;
  return voters().with(std::move(entry));
}

void RaftCore::append_leader_change(Now now, std::vector<std::int32_t> granting, bool with_voters) {
  LeaderChange change{.leader_id = config_.self.id,
                      .voters = {},
                      .granting_voters = std::move(granting),
                      .voter_records = with_voters ? &voters() : nullptr};
  for (const auto& [id, voter] : voters().by_id()) change.voters.push_back(id);
  Slice batch = leader_change_batch(change, log_.end, epoch_, now.wall_ms);
  const std::int64_t count = with_voters ? 3 : 1;
  actions_.push_back(AppendBatch{std::move(batch), log_.end, log_.end + count - 1});
  actions_.push_back(FlushLog{});
  log_.append(epoch_, log_.end, log_.end + count - 1);
}

Result<std::int64_t> RaftCore::append(Now now, std::int32_t epoch, std::span<const Slice> values) {
  if (role_ != Role::leader || epoch != epoch_) {
    return klamm::fail(kafka_error(ErrorCode::not_leader_or_follower,
                                   fmt::format("append in epoch {}: the node is in epoch {}{}", epoch, epoch_,
                                               role_ == Role::leader ? "" : " and does not lead")));
  }
  KLAMM_CHECK(!values.empty(), "an append without records");
  std::size_t bytes = 0;
  for (const Slice& value : values) bytes += value.size() + record::kMaxRecordOverhead;
  if (bytes + record::kBatchHeaderSize > config_.max_batch_bytes) {
    return klamm::fail(
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
  log_.end += static_cast<std::int64_t>(values.size());
  return log_.end - 1;
}

void RaftCore::close_batch() {
  if (open_values_.empty()) return;
  record::BatchOptions options;
  options.size_limit_bytes = open_bytes_;
  options.initial_bytes = open_bytes_;
  options.base_offset = log_.end - static_cast<std::int64_t>(open_values_.size());
  options.leader_epoch = epoch_;
  record::BatchBuilder builder(options);
  for (const Slice& value : open_values_) {
    const auto taken = builder.append(open_timestamp_, nullptr, value);
    KLAMM_CHECK(taken.has_value(), "a metadata batch outgrew its bound");
  }
  Result<Slice> batch = builder.build(codecs_);
  KLAMM_CHECK(batch.has_value(), "an uncompressed batch cannot fail to build");
  actions_.push_back(AppendBatch{std::move(*batch), options.base_offset, log_.end - 1});
  actions_.push_back(FlushLog{});
  open_values_.clear();
  open_bytes_ = 0;
}

// The offset that a majority has, if it lies in the leader's own epoch: older records are committed only by newer ones.
void RaftCore::advance_high_watermark() {
  if (role_ != Role::leader) return;
  std::vector<std::int64_t> ends;
  ends.reserve(voters().by_id().size());
  for (const auto& [id, voter] : voters().by_id()) ends.push_back(end_offset_of(id));
  if (ends.empty()) return;
  std::sort(ends.begin(), ends.end(), std::greater<>());
  const std::int64_t majority_end = ends[ends.size() / 2];
  if (majority_end <= epoch_start_offset_ || majority_end <= high_watermark_) return;
  high_watermark_ = majority_end;
  actions_.push_back(Committed{high_watermark_});
  lose_freshness();
}

bool RaftCore::is_committed(std::int32_t epoch, std::int64_t offset) const {
  const OffsetAndEpoch end = log_.end_of(epoch);  // another leader may have had it cut
  return high_watermark_ > offset && end.epoch == epoch && end.offset > offset;
}

std::int64_t RaftCore::end_offset_of(std::int32_t voter_id) const {
  if (voter_id == config_.self.id) return flushed_end_;
  const auto found = voter_progress_.find(voter_id);
  return found == voter_progress_.end() ? -1 : found->second.end_offset;
}

void RaftCore::tick_leader(Now now) {
  if (now.instant >= check_quorum_deadline_) {
    // Others may have chosen another leader by now, and it would be wrong to go on as if not.
    become_resigned(now);
    return;
  }
  if (removing_self_ && high_watermark_ > voter_history_.back().offset) {
    become_resigned(now);
    become_unattached(now, epoch_);
    return;
  }
  if (now.instant >= begin_epoch_deadline_) send_begin_epochs(now, false);
  std::erase_if(observers_,
                [now](const auto& entry) { return entry.second.last_fetch + kObserverExpiry < now.instant; });
}

void RaftCore::send_begin_epochs(Now now, bool all) {
  begin_epoch_deadline_ = Instant::never();
  for (const auto& [id, voter] : voters().by_id()) {
    if (id == config_.self.id) continue;
    begin_epoch_deadline_ = now.instant + config_.fetch_timeout / 2;
    const std::optional<Endpoint> address = voters().address_of(id, config_.listener);
    const auto progress = voter_progress_.find(id);
    const bool silent =
        progress == voter_progress_.end() || progress->second.last_fetch + config_.fetch_timeout / 2 <= now.instant;
    if (!address || (!all && !silent)) continue;
    actions_.push_back(SendBeginEpoch{{id, *address}, {voter.key, leader(), config_.endpoints}});
  }
}

void RaftCore::send_end_epochs() {
  std::vector<ReplicaProgress> others;
  for (const auto& [id, voter] : voters().by_id()) {
    if (id == config_.self.id) continue;
    ReplicaProgress progress;
    progress.key = voter.key;
    progress.end_offset = end_offset_of(id);
    others.push_back(progress);
  }
  std::stable_sort(others.begin(), others.end(), [](const ReplicaProgress& left, const ReplicaProgress& right) {
    return left.end_offset > right.end_offset;
  });
  EndEpochAsk ask;
  ask.leader = {config_.self.id, epoch_};
  for (const ReplicaProgress& progress : others) ask.candidates.push_back(progress.key);
  for (const ReplicaProgress& progress : others) {
    const std::optional<Endpoint> address = voters().address_of(progress.key.id, config_.listener);
    if (address) actions_.push_back(SendEndEpoch{{progress.key.id, *address}, ask});
  }
}

// ---- Serving those that pull.

FetchAnswer RaftCore::on_fetch(Now now, const FetchAsk& ask, bool again) {
  if (failed_) return answer_of<FetchAnswer>(ErrorCode::broker_not_available);
  if (ask.offset < 0 || ask.epoch < 0 || ask.last_epoch < 0 || ask.max_wait_ms < 0 || ask.last_epoch > ask.epoch) {
    return answer_of<FetchAnswer>(ErrorCode::invalid_request);
  }
  const ErrorCode refused = check_leader_request(ask.epoch);
  FetchAnswer answer = answer_of<FetchAnswer>(refused);
  // What it knew as a follower may be less than what is committed: that is told from its own epoch on.
  const auto known = [this] { return high_watermark_ > epoch_start_offset_ ? high_watermark_ : -1; };
  answer.high_watermark = known();
  answer.log_start = log_.start;
  if (refused != ErrorCode::none) {
    answer.high_watermark = -1;
    answer.log_start = -1;
    return answer;
  }
  if (ask.offset == 0 && log_.latest_snapshot()) {
    answer.snapshot = log_.latest_snapshot();
    return answer;
  }
  const LogShape::Verdict verdict = log_.check(ask.offset, ask.last_epoch);
  if (const auto* snapshot = std::get_if<SnapshotId>(&verdict)) {
    answer.snapshot = *snapshot;
  } else if (const auto* diverging = std::get_if<OffsetAndEpoch>(&verdict)) {
    answer.diverging = *diverging;
  } else if (ask.replica.id == config_.self.id) {  // another node with this one's id
    answer.error = ErrorCode::unknown_server_error;
  } else if (!again) {
    note_fetch(now, ask);
    answer.high_watermark = known();
  }
  return answer;
}

// All below the offset it asks for is on the replica's disk.
void RaftCore::note_fetch(Now now, const FetchAsk& ask) {
  if (ask.replica.id < 0 || ask.replica.id == config_.self.id) return;
  const bool voter = voters().contains(ask.replica);
  ReplicaProgress& progress = voter ? voter_progress_[ask.replica.id] : observers_[ask.replica];
  if (ask.offset >= log_.end) {
    progress.last_caught_up_ms = now.wall_ms;
  } else if (progress.leader_end_then > 0 && ask.offset >= progress.leader_end_then) {
    progress.last_caught_up_ms = progress.last_fetch_ms;
  }
  progress.key = ask.replica;
  progress.end_offset = ask.offset;
  progress.last_fetch = now.instant;
  progress.last_fetch_ms = now.wall_ms;
  progress.leader_end_then = log_.end;
  if (!voter) return;
  fetched_since_check_.insert(ask.replica.id);
  const std::size_t majority = voters().size() / 2 + 1;
  if (fetched_since_check_.size() + (is_voter() ? 1 : 0) >= majority) {
    fetched_since_check_.clear();
    if (voters().size() > 1) check_quorum_deadline_ = now.instant + config_.fetch_timeout * 3 / 2;
  }
  advance_high_watermark();
}

FetchSnapshotAnswer RaftCore::on_fetch_snapshot(Now now, const FetchSnapshotAsk& ask) {
  if (failed_) return answer_of<FetchSnapshotAnswer>(ErrorCode::broker_not_available);
  ErrorCode error = check_leader_request(ask.epoch);
  // The bootstrap snapshot is each node's own; what it says is in the log as well.
  if (error == ErrorCode::none && (ask.id == kBootstrapSnapshotId || !log_.snapshots.contains(ask.id)))
    error = ErrorCode::snapshot_not_found;
  FetchSnapshotAnswer answer = answer_of<FetchSnapshotAnswer>(error);
  answer.id = ask.id;
  answer.position = ask.position;
  if (error == ErrorCode::none && voters().contains(ask.replica)) {
    // It is alive, though it does not fetch.
    voter_progress_[ask.replica.id].last_fetch = now.instant;
    fetched_since_check_.insert(ask.replica.id);
    const std::size_t majority = voters().size() / 2 + 1;
    if (fetched_since_check_.size() + (is_voter() ? 1 : 0) >= majority) {
      fetched_since_check_.clear();
      check_quorum_deadline_ = now.instant + config_.fetch_timeout * 3 / 2;
    }
  }
  return answer;
}

// ---- The voter set.

Result<void> RaftCore::may_change_voters() const {
  if (role_ != Role::leader)
    return klamm::fail(kafka_error(ErrorCode::not_leader_or_follower, "This node does not lead the quorum."));
  if (kraft_version() < 1) {
    return klamm::fail(
        kafka_error(ErrorCode::unsupported_version, "Changing the voters needs kraft.version 1; the cluster has 0."));
  }
  if (high_watermark_ <= epoch_start_offset_) {
    return klamm::fail(kafka_error(ErrorCode::request_timed_out, "Nothing of this epoch is committed yet."));
  }
  if (voter_history_.back().offset >= high_watermark_) {
    return klamm::fail(kafka_error(ErrorCode::request_timed_out, "Another change of the voters is not committed yet."));
  }
  return {};
}

Result<std::int64_t> RaftCore::change_voters(Now now, VoterSet changed) {
  close_batch();
  Slice batch = voters_batch(changed, log_.end, epoch_, now.wall_ms);
  voter_history_.push_back({log_.end, kraft_version(), std::move(changed), false});
  actions_.push_back(AppendBatch{std::move(batch), log_.end, log_.end});
  actions_.push_back(FlushLog{});
  log_.append(epoch_, log_.end, log_.end);
  // Who is no voter any more counts as an observer, and the other way about.
  for (auto entry = voter_progress_.begin(); entry != voter_progress_.end();) {
    if (voters().contains(entry->second.key)) {
      ++entry;
    } else {
      observers_[entry->second.key] = entry->second;
      entry = voter_progress_.erase(entry);
    }
  }
  for (auto entry = observers_.begin(); entry != observers_.end();) {
    if (!voters().contains(entry->first)) {
      ++entry;
    } else {
      voter_progress_[entry->first.id] = entry->second;
      entry = observers_.erase(entry);
    }
  }
  check_quorum_deadline_ = voters().size() > 1 ? now.instant + config_.fetch_timeout * 3 / 2 : Instant::never();
  begin_epoch_deadline_ = now.instant + config_.fetch_timeout / 2;
  return log_.end - 1;
}

Result<void> RaftCore::may_add_voter(const ReplicaKey& replica) const {
  Result<void> may = may_change_voters();
  KLAMM_TRY(may);
  if (voters().find(replica.id) != nullptr) {
    return klamm::fail(kafka_error(ErrorCode::duplicate_voter, fmt::format("Node {} is a voter already.", replica.id)));
  }
  return {};
}

bool RaftCore::follows_closely(Now now, const ReplicaKey& replica) const {
  const auto seen = observers_.find(replica);
  return seen != observers_.end() && seen->second.last_caught_up_ms >= 0 &&
         seen->second.last_fetch + kCaughtUpWithin >= now.instant;
}

Result<std::int64_t> RaftCore::add_voter(Now now, const Voter& voter) {
  Result<void> may = may_add_voter(voter.key);
  KLAMM_TRY(may);
  if (!follows_closely(now, voter.key)) {
    return klamm::fail(
        kafka_error(ErrorCode::request_timed_out,
                    fmt::format("Node {} with directory {} does not follow the log closely enough to become a voter.",
                                voter.key.id, voter.key.directory_id.text())));
  }
  return change_voters(now, voters().with(voter));
}

Result<std::int64_t> RaftCore::remove_voter(Now now, const ReplicaKey& replica) {
  Result<void> may = may_change_voters();
  KLAMM_TRY(may);
  if (!voters().contains(replica)) {
    return klamm::fail(kafka_error(ErrorCode::voter_not_found, fmt::format("Node {} with directory {} is no voter.",
                                                                           replica.id, replica.directory_id.text())));
  }
  if (voters().size() == 1) {
    return klamm::fail(kafka_error(ErrorCode::invalid_request, "The last voter cannot be removed."));
  }
  removing_self_ = replica.id == config_.self.id;
  return change_voters(now, voters().without(replica.id));
}

Result<std::int64_t> RaftCore::update_voter(Now now, const UpdateVoterAsk& ask) {
  const ErrorCode refused = check_leader_request(ask.epoch);
  if (refused != ErrorCode::none) return klamm::fail(kafka_error(refused, "update of a voter"));
  Result<void> may = may_change_voters();
  KLAMM_TRY(may);
  const Voter* known = voters().find(ask.voter.key.id);
  if (known == nullptr || !voters().contains(ask.voter.key)) {
    return klamm::fail(kafka_error(
        ErrorCode::voter_not_found,
        fmt::format("Node {} with directory {} is no voter.", ask.voter.key.id, ask.voter.key.directory_id.text())));
  }
  const bool covers = ask.voter.kraft_version_min <= kraft_version() && ask.voter.kraft_version_max >= kraft_version();
  const bool reachable = std::any_of(ask.voter.endpoints.begin(), ask.voter.endpoints.end(),
                                     [this](const Endpoint& endpoint) { return endpoint.name == config_.listener; });
  if (!covers || !reachable) {
    return klamm::fail(
        kafka_error(ErrorCode::invalid_request, fmt::format("Node {} lacks kraft.version {} or the listener {}.",
                                                            ask.voter.key.id, kraft_version(), config_.listener)));
  }
  if (*known == ask.voter) return high_watermark_ - 1;
  return change_voters(now, voters().with(ask.voter));
}

}  // namespace klamm::raft
