#include "broker/raft/raft_core.h"

#include <fmt/format.h>

#include <algorithm>

namespace klamm::raft {

std::string_view name_of(Role role) noexcept {
  switch (role) {
    case Role::unattached: return "unattached";
    case Role::prospective: return "prospective";
    case Role::candidate: return "candidate";
    case Role::leader: return "leader";
    case Role::follower: return "follower";
    case Role::resigned: return "resigned";
  }
  return "?";
}

RaftCore::RaftCore(RaftConfig config) : config_(std::move(config)), random_(config_.seed) {}

void RaftCore::start(Now now, LocalState local) {
  voter_history_ = std::move(local.voters);
  KLAMM_CHECK(!voter_history_.empty(), "a start without voters");
  log_ = std::move(local.log);
  written_end_ = flushed_end_ = log_.end;
  fresh_ = local.fresh && kraft_version() == 0 && is_voter() && voters().size() > 1;
  // A log may know a newer epoch than the file: the file is written first, but may come from a backup.
  epoch_ = std::max(local.quorum_state ? local.quorum_state->leader_epoch : 0, log_.last_epoch());
  const bool current = local.quorum_state && local.quorum_state->leader_epoch == epoch_;
  if (current) voted_ = local.quorum_state->voted;
  if (is_sole_voter()) {
    become_leader(now);
    return;
  }
  const std::int32_t known_leader = current ? local.quorum_state->leader_id : -1;
  if (known_leader == config_.self.id) {
    // What it led may have been lost with the memory: it does not go on in the same epoch, and votes for nobody in it.
    voted_ = config_.self;
    role_ = Role::resigned;
  } else if (known_leader >= 0 && voters().address_of(known_leader, config_.listener)) {
    role_ = Role::follower;
    leader_id_ = known_leader;
    reset_fetch_deadline(now);
    update_voter_at_ = now.instant + config_.fetch_timeout;
  }
  // One that led and is no voter any more looks for its successor after that time, too.
  if (role_ == Role::resigned || (is_voter() && role_ != Role::follower)) {
    election_deadline_ = now.instant + draw_election_timeout();
  }
  tell_leader();
  tick_fetch(now);
}

void RaftCore::tick(Now now) {
  if (failed_) return;
  tick_election(now);
  if (role_ == Role::leader) tick_leader(now);
  tick_fetch(now);
}

Instant RaftCore::next_deadline() const noexcept {
  Instant deadline = election_deadline_;
  if (role_ == Role::leader) deadline = std::min({deadline, check_quorum_deadline_, begin_epoch_deadline_});
  for (const auto& [id, ballot] : ballots_) deadline = std::min(deadline, ballot.ask_again);
  if (role_ == Role::follower) deadline = std::min(deadline, fetch_deadline_);
  if (wants_to_fetch() && !fetching_ && disk_idle()) deadline = std::min(deadline, fetch_at_);
  return deadline;
}

std::vector<Action> RaftCore::take_actions() {
  close_batch();
  return std::exchange(actions_, {});
}

std::optional<Endpoint> RaftCore::leader_address() const {
  if (leader_id_ < 0) return std::nullopt;
  if (leader_id_ == config_.self.id && !config_.endpoints.empty()) {
    for (const Endpoint& endpoint : config_.endpoints) {
      if (endpoint.name == config_.listener) return endpoint;
    }
    return config_.endpoints.front();
  }
  if (leader_address_) return leader_address_;
  return voters().address_of(leader_id_, config_.listener);
}

// ---- Disk.

void RaftCore::written(std::int64_t end_offset) {
  KLAMM_CHECK(end_offset >= written_end_ && end_offset <= log_.end, "the log went another way than was told");
  written_end_ = end_offset;
  // A broker alone need not keep what it can fetch again.
  if (!config_.may_vote) flushed_end_ = end_offset;
}

void RaftCore::flushed(std::int64_t end_offset) {
  KLAMM_CHECK(end_offset <= written_end_, "more flushed than written");
  flushed_end_ = std::max(flushed_end_, end_offset);
  advance_high_watermark();
}

void RaftCore::truncated(std::int64_t end_offset) {
  KLAMM_CHECK(truncating_ && end_offset == log_.end, "the log was cut elsewhere than was told");
  truncating_ = false;
}

void RaftCore::log_changed(std::int64_t start, std::set<SnapshotId> snapshots) {
  log_.snapshots = std::move(snapshots);
  if (start <= log_.start) return;
  log_.start = start;
  log_.epochs.truncate_from_start(start);
}

const VotersAt& RaftCore::voters_below(std::int64_t offset) const {
  std::size_t index = voter_history_.size() - 1;
  while (index > 0 && voter_history_[index].offset >= offset) --index;
  return voter_history_[index];
}

// ---- Roles.

void RaftCore::persist() {
  QuorumState state;
  state.data_version = kraft_version() >= 1 ? 1 : 0;
  state.leader_epoch = epoch_;
  state.leader_id = leader_id_;
  state.voted = voted_;
  if (state.data_version == 0) {
    for (const auto& [id, voter] : voters().by_id()) state.static_voters.push_back(id);
  }
  actions_.push_back(PersistQuorumState{std::move(state)});
  ++persists_;
}

void RaftCore::tell_leader(std::int64_t epoch_start) { actions_.push_back(LeaderChanged{leader(), epoch_start}); }

Duration RaftCore::draw_election_timeout() {
  const std::int64_t timeout_ns = config_.election_timeout.count();
  return Duration(timeout_ns > 0 ? random_.between(timeout_ns, 2 * timeout_ns - 1) : 0);
}

void RaftCore::leave_role() {
  close_batch();
  ballots_.clear();
  lost_ = false;
  voter_progress_.clear();
  observers_.clear();
  fetched_since_check_.clear();
  removing_self_ = false;
  check_quorum_deadline_ = begin_epoch_deadline_ = Instant::never();
  fetch_deadline_ = Instant::never();
  update_voter_at_ = Instant::never();
  updating_voter_ = false;
  has_fetched_ = false;
  leader_unreachable_ = false;
  download_.reset();
  // An answer that is still to come counts for nothing.
  ++fetch_number_;
  fetching_ = false;
}

// In a newer epoch without a leader, or in the same one with a leader that cannot be reached.
void RaftCore::become_unattached(Now now, std::int32_t epoch) {
  // Who is waiting for its election timeout goes on waiting, or nodes could keep each other from ever standing.
  const bool waiting =
      role_ == Role::unattached || role_ == Role::candidate || role_ == Role::resigned || role_ == Role::prospective;
  const Instant deadline = waiting && election_deadline_ > now.instant && election_deadline_ != Instant::never()
                               ? election_deadline_
                               : now.instant + draw_election_timeout();
  leave_role();
  role_ = Role::unattached;
  if (epoch != epoch_) voted_.reset();
  epoch_ = epoch;
  leader_id_ = -1;
  leader_address_.reset();
  election_deadline_ = is_voter() ? deadline : Instant::never();
  fetch_at_ = now.instant;
  persist();
  tell_leader();
}

void RaftCore::become_follower(Now now, LeaderAndEpoch leader, std::optional<Endpoint> address) {
  leave_role();
  role_ = Role::follower;
  if (leader.epoch != epoch_) voted_.reset();
  epoch_ = leader.epoch;
  leader_id_ = leader.leader_id;
  leader_address_ = std::move(address);
  election_deadline_ = Instant::never();
  reset_fetch_deadline(now);
  fetch_at_ = now.instant;
  update_voter_at_ = now.instant + config_.fetch_timeout;
  persist();
  tell_leader();
}

void RaftCore::become_resigned(Now now) {
  if (voters().size() > 1) send_end_epochs();
  leave_role();
  role_ = Role::resigned;
  // The epoch was its own: it votes for nobody else in it.
  voted_ = config_.self;
  leader_id_ = -1;
  election_deadline_ = now.instant + draw_election_timeout();
  tell_leader();
}

void RaftCore::resign(Now now, std::int32_t epoch) {
  if (role_ != Role::leader || epoch != epoch_) return;
  become_resigned(now);
}

void RaftCore::shut_down(Now now) {
  if (shut_down_) return;
  shut_down_ = true;
  if (role_ == Role::leader) become_resigned(now);
  leave_role();
  election_deadline_ = Instant::never();
}

void RaftCore::fail(Error error) {
  if (failed_) return;
  failed_ = true;
  actions_.push_back(Fail{std::move(error)});
}

// ---- What others say.

bool RaftCore::learn(Now now, LeaderAndEpoch leader, const std::optional<Endpoint>& address) {
  if (leader.epoch < epoch_) return false;
  const std::optional<Endpoint> reachable = address ? address : voters().address_of(leader.leader_id, config_.listener);
  if (leader.leader_id == config_.self.id) {
    // This node led that epoch, and has forgotten: it must not help anybody else to it.
    if (leader.epoch == epoch_) return true;
    become_unattached(now, leader.epoch);
    voted_ = config_.self;
    persist();
    return true;
  }
  if (leader.epoch > epoch_) {
    if (leader.leader_id >= 0 && reachable) {
      become_follower(now, leader, reachable);
    } else {
      become_unattached(now, leader.epoch);
    }
    return true;
  }
  if (leader.leader_id < 0) return true;
  if (leader_id_ < 0) {
    if (role_ == Role::resigned) {
      fail(Error(Errc::corrupt,
                 fmt::format("node {} claims to lead epoch {}, which this node led", leader.leader_id, leader.epoch)));
    } else if (reachable) {
      become_follower(now, leader, reachable);
    }
    return true;
  }
  if (leader_id_ != leader.leader_id) {
    fail(Error(Errc::corrupt, fmt::format("nodes {} and {} both lead epoch {} of the metadata quorum", leader_id_,
                                          leader.leader_id, leader.epoch)));
    return true;
  }
  if (address && role_ == Role::follower) leader_address_ = address;
  return true;
}

// What only the leader answers, asked by a node in `epoch`.
ErrorCode RaftCore::check_leader_request(std::int32_t epoch) const {
  if (shut_down_) return ErrorCode::broker_not_available;
  if (epoch < epoch_) return ErrorCode::fenced_leader_epoch;
  if (epoch > epoch_) return ErrorCode::unknown_leader_epoch;
  if (role_ != Role::leader) return ErrorCode::not_leader_or_follower;
  return ErrorCode::none;
}

// A leader says of itself that it leads; its own listener's address is kept.
ErrorCode RaftCore::hear_leader(Now now, const LeaderAndEpoch& leader, const std::vector<Endpoint>& endpoints) {
  if (shut_down_) return ErrorCode::broker_not_available;
  if (leader.leader_id < 0) return ErrorCode::invalid_request;
  if (leader.epoch < epoch_) return ErrorCode::fenced_leader_epoch;
  std::optional<Endpoint> address;
  for (const Endpoint& endpoint : endpoints) {
    if (!address || endpoint.name == config_.listener) address = endpoint;
  }
  learn(now, leader, address);
  return ErrorCode::none;
}

// A request names whom it is for; what it leaves open is not compared.
bool RaftCore::is_for_this_node(const ReplicaKey& voter) const {
  return (voter.id < 0 || voter.id == config_.self.id) && names_own_directory(voter);
}

bool RaftCore::names_own_directory(const ReplicaKey& key) const {
  return key.directory_id.is_zero() || key.directory_id == config_.self.directory_id;
}

Answer RaftCore::on_begin_epoch(Now now, const BeginEpochAsk& ask) {
  const ErrorCode heard = hear_leader(now, ask.leader, ask.leader_endpoints);
  if (heard != ErrorCode::none) return answer_of<Answer>(heard);
  return answer_of<Answer>(is_for_this_node(ask.voter) ? ErrorCode::none : ErrorCode::invalid_voter_key);
}

Answer RaftCore::on_end_epoch(Now now, const EndEpochAsk& ask) {
  const ErrorCode heard = hear_leader(now, ask.leader, ask.leader_endpoints);
  if (heard != ErrorCode::none) return answer_of<Answer>(heard);
  if (role_ == Role::follower && leader_id_ == ask.leader.leader_id) {
    // The first stands at once, the others one after the other behind it.
    const Duration most = config_.election_backoff_max;
    const std::size_t count = ask.candidates.size();
    Duration wait = most;
    for (std::size_t place = 0; place < count; ++place) {
      const ReplicaKey& candidate = ask.candidates[place];
      if (candidate.id != config_.self.id || !names_own_directory(candidate)) continue;
      constexpr std::size_t kMostShift = 40;
      const Duration step(most.count() >> std::min(count - 1, kMostShift));
      wait = place == 0 ? Duration(0) : std::min(most, Duration(step.count() << std::min(place - 1, kMostShift)));
      break;
    }
    fetch_deadline_ = now.instant + wait;
  }
  return answer_of<Answer>(ErrorCode::none);
}

void RaftCore::on_epoch_answer(Now now, const Destination& to, const Answer& answer) {
  static_cast<void>(to);
  if (failed_ || shut_down_) return;
  if (answer.leader.epoch > epoch_ || answer.error == ErrorCode::none) learn(now, answer.leader, answer.leader_address);
}

}  // namespace klamm::raft
