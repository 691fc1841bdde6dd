// RaftCore: the rules of the metadata quorum as a pure state machine. It takes what happened (start, time, appends,
// requests and answers of others, what the disk has done) and says what to do next (actions, in order). It reads no
// clock, no file, no socket; the driver (RaftNode) feeds it and carries the actions out, one after the other.
//
// Kafka's own form of Raft: replicas pull the log from the leader, and what they ask for tells what they have. A node
// that is no voter (an observer) only pulls. Files: raft_core.cc (life, roles, what others' answers tell), raft_vote.cc
// (elections), raft_leader.cc (appending, committing, serving fetches, the voter set), raft_follower.cc (pulling).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "broker/raft/log_shape.h"
#include "broker/raft/quorum_state.h"
#include "broker/raft/raft_messages.h"
#include "broker/raft/voters.h"
#include "protocol/compress/codec.h"
#include "protocol/record/batch_builder.h"

namespace klamm::raft {

// A moment, on both clocks.
struct Now {
  Instant instant;
  TimestampMs wall_ms = 0;
};

enum class Role {
  unattached,   // knows an epoch, no leader (or cannot reach it)
  prospective,  // asks whether others would vote for it
  candidate,    // stands in its epoch
  leader,
  follower,
  resigned,  // led, and gave it up; waits for another leader, or stands again after an election timeout
};
std::string_view name_of(Role role) noexcept;

// ---- What the driver is told to do.

// Write the quorum-state file, durably, before any action behind this one, and before any answer is sent that was given
// after it.
struct PersistQuorumState {
  QuorumState state;
};
// Append the batch (its base offset and epoch are in it) to the log; then written().
struct AppendBatch {
  Slice batch;
  std::int64_t base_offset = 0;
  std::int64_t last_offset = 0;
};
// Append whole batches as the leader sent them; then written().
struct AppendFetched {
  Slice records;
  std::int32_t epoch = 0;
  std::int64_t base_offset = 0;
  std::int64_t last_offset = 0;
};
// Flush the log; then flushed() with the end offset that was written before the flush began.
struct FlushLog {};
// Cut all at or above the offset; then truncated().
struct TruncateLog {
  std::int64_t end_offset = 0;
};
// Part of a snapshot that is being fetched; position 0 begins the file anew.
struct WriteSnapshotPart {
  SnapshotId id;
  std::int64_t position = 0;
  Slice bytes;
};
// The snapshot is complete: put it in place, begin the log at its end; then installed().
struct InstallSnapshot {
  SnapshotId id;
};
// The leader, or the epoch, is another one.
struct LeaderChanged {
  LeaderAndEpoch leader;
  // If this node leads: where its epoch begins. Offsets below are from before.
  std::int64_t epoch_start_offset = -1;
};
// Everything below the offset is committed.
struct Committed {
  std::int64_t high_watermark = 0;
};
// This node has what the leader had committed: it is no fresh voter any more. Durably, as with PersistQuorumState.
struct CaughtUp {};
// What must not be has happened (two leaders in an epoch, a leader without committed records): stop the node.
struct Fail {
  Error error;
};
// Send a request; its answer goes to on_…_answer(), with an error if there was none.
struct SendVote {
  Destination to;
  VoteAsk ask;
};
struct SendBeginEpoch {
  Destination to;
  BeginEpochAsk ask;
};
struct SendEndEpoch {
  Destination to;
  EndEpochAsk ask;
};
struct SendFetch {
  Destination to;
  FetchAsk ask;
  std::uint64_t number = 0;
};
struct SendFetchSnapshot {
  Destination to;
  FetchSnapshotAsk ask;
  std::uint64_t number = 0;
};
struct SendUpdateVoter {
  Destination to;
  UpdateVoterAsk ask;
};
// Ask the leader to take this node into the voter set, or another directory of it out; then on_update_voter_answer().
struct SendAddVoter {
  Destination to;
  Voter voter;
};
struct SendRemoveVoter {
  Destination to;
  ReplicaKey voter;
};
using Action = std::variant<PersistQuorumState, AppendBatch, AppendFetched, FlushLog, TruncateLog, WriteSnapshotPart,
                            InstallSnapshot, LeaderChanged, Committed, CaughtUp, Fail, SendVote, SendBeginEpoch,
                            SendEndEpoch, SendFetch, SendFetchSnapshot, SendUpdateVoter, SendAddVoter, SendRemoveVoter>;

struct RaftConfig {
  ReplicaKey self;
  std::vector<Endpoint> endpoints;     // of this node, for the voter set
  std::string listener;                // whose endpoints are asked: the first of controller.listener.names
  std::vector<Endpoint> bootstrap;     // controller.quorum.bootstrap.servers; empty: the static voters
  Duration election_timeout = 1s;      // controller.quorum.election.timeout.ms
  Duration election_backoff_max = 1s;  // controller.quorum.election.backoff.max.ms
  Duration fetch_timeout = 2s;         // controller.quorum.fetch.timeout.ms
  Duration retry_backoff = 20ms;       // controller.quorum.retry.backoff.ms
  std::int64_t fetch_max_wait_ms = 500;
  std::int64_t fetch_max_bytes = 1 << 20;           // controller.quorum.fetch.max.bytes
  std::int64_t fetch_snapshot_max_bytes = 1 << 20;  // controller.quorum.fetch.snapshot.max.bytes
  std::size_t max_batch_bytes = 8U << 20;           // internal.metadata.max.batch.size.in.bytes
  bool may_vote = true;                             // has the controller role
  bool auto_join = false;                           // asks to become a voter where it is none
  std::uint64_t seed = 0;                           // of the election timeouts
};

// The voters from an offset on.
struct VotersAt {
  std::int64_t offset = -1;  // of the record's batch; -1: from a snapshot or the configuration
  std::int16_t kraft_version = 0;
  VoterSet voters;
  bool from_bootstrap = false;  // from the (0,0) snapshot: they do not stand in the log yet
};

// What was found on disk at the start.
struct LocalState {
  std::optional<QuorumState> quorum_state;
  LogShape log;
  std::vector<VotersAt> voters;  // by offset; at least one
  // A voter of a static quorum that has never been caught up with a leader: it may have lost its disk, and votes for
  // empty logs only, as others might lack what it had. It is none any more when it has what a leader has, or has seen
  // the log begin in the epoch of a leader that it voted for.
  bool fresh = false;
};

// How a replica keeps up, as the leader sees it.
struct ReplicaProgress {
  ReplicaKey key;
  std::int64_t end_offset = -1;
  Instant last_fetch{};
  TimestampMs last_fetch_ms = -1;
  TimestampMs last_caught_up_ms = -1;
  std::int64_t leader_end_then = -1;  // where the leader's log ended at that fetch
};

class RaftCore {
 public:
  explicit RaftCore(RaftConfig config);

  // ---- What happened.

  // Once, before all others.
  void start(Now now, LocalState local);
  // Time has passed; call it at next_deadline() at the latest.
  void tick(Now now);
  Instant next_deadline() const noexcept;

  // Takes records (each the value of one) into the log of the epoch: all of them into one batch. Offsets are assigned
  // now; returns that of the last record. Errors: NOT_LEADER_OR_FOLLOWER if the epoch is not one in which this node
  // leads, RECORD_LIST_TOO_LARGE if they do not fit into one batch.
  Result<std::int64_t> append(Now now, std::int32_t epoch, std::span<const Slice> values);
  // The offset that the next record will get.
  std::int64_t next_offset() const noexcept { return log_.end; }

  // The log ends at `end_offset` now.
  void written(std::int64_t end_offset);
  // All below is on the disk.
  void flushed(std::int64_t end_offset);
  void truncated(std::int64_t end_offset);
  // The fetched snapshot is in place; what it says of the voters.
  void installed(const SnapshotId& id, std::optional<VoterSet> voters, std::int16_t kraft_version);
  // The fetched snapshot is no good: it will be fetched again.
  void install_failed();
  // Snapshots were written or dropped, the log begins elsewhere.
  void log_changed(std::int64_t start, std::set<SnapshotId> snapshots);
  // Gives up leadership of the epoch (a fault above). Records that are not committed may be lost or not.
  void resign(Now now, std::int32_t epoch);
  // The node goes: a leader resigns, nothing is asked any more. Answers are BROKER_NOT_AVAILABLE.
  void shut_down(Now now);

  // Requests. A driver sends the answers to votes and epochs after all actions that were there when it got them.
  VoteAnswer on_vote(Now now, const VoteAsk& ask);
  Answer on_begin_epoch(Now now, const BeginEpochAsk& ask);
  Answer on_end_epoch(Now now, const EndEpochAsk& ask);
  // If the answer is valid(), the driver adds records from the offset, or waits for some. `again` after a wait: the
  // replica has not fetched once more.
  FetchAnswer on_fetch(Now now, const FetchAsk& ask, bool again = false);
  // If there is no error, the driver adds what the snapshot holds from the position.
  FetchSnapshotAnswer on_fetch_snapshot(Now now, const FetchSnapshotAsk& ask);

  // Answers; `error` is what the answering node said, or any other code if there was no answer.
  void on_vote_answer(Now now, const SendVote& sent, const VoteAnswer& answer);
  void on_epoch_answer(Now now, const Destination& to, const Answer& answer);
  void on_fetch_answer(Now now, const SendFetch& sent, const FetchAnswer& answer);
  void on_fetch_snapshot_answer(Now now, const SendFetchSnapshot& sent, const FetchSnapshotAnswer& answer);
  void on_update_voter_answer(Now now, const Answer& answer);

  // ---- Voters; for a leader. Each appends a record and returns its offset. Fails with the code for the client:
  // NOT_LEADER_OR_FOLLOWER, UNSUPPORTED_VERSION without kraft.version 1, REQUEST_TIMED_OUT while another change is not
  // committed or the epoch has no committed record yet, DUPLICATE_VOTER, VOTER_NOT_FOUND, INVALID_REQUEST.
  Result<std::int64_t> add_voter(Now now, const Voter& voter);
  Result<std::int64_t> remove_voter(Now now, const ReplicaKey& replica);
  Result<std::int64_t> update_voter(Now now, const UpdateVoterAsk& ask);
  // What add_voter() looks at first, before the new voter itself is asked what it supports. Whether it follows closely
  // is seen only after that, as Kafka does it: one that has just come fetches meanwhile.
  Result<void> may_add_voter(const ReplicaKey& replica) const;

  // ---- What to do: the actions since the last call. Closes the open batch, so that appends made while the driver was
  // busy go out together.
  std::vector<Action> take_actions();
  // How many PersistQuorumState and CaughtUp there have been.
  std::uint64_t persists() const noexcept { return persists_; }
  bool has_actions() const noexcept { return !actions_.empty() || !open_values_.empty(); }

  // ---- State.
  Role role() const noexcept { return role_; }
  std::int32_t epoch() const noexcept { return epoch_; }
  LeaderAndEpoch leader() const noexcept { return {leader_id_, epoch_}; }
  // Where the leader listens, as far as that is known.
  std::optional<Endpoint> leader_address() const;
  bool is_leader() const noexcept { return role_ == Role::leader; }
  bool is_voter() const { return config_.may_vote && voters().contains(config_.self); }
  // -1 until known.
  std::int64_t high_watermark() const noexcept { return high_watermark_; }
  // What this node appended there as the leader of `epoch` is committed; also told after it has stepped down.
  bool is_committed(std::int32_t epoch, std::int64_t offset) const;
  std::int64_t epoch_start_offset() const noexcept { return epoch_start_offset_; }
  const LogShape& log() const noexcept { return log_; }
  const VoterSet& voters() const noexcept { return voter_history_.back().voters; }
  std::int16_t kraft_version() const noexcept { return voter_history_.back().kraft_version; }
  // As they were for all below the offset.
  const VotersAt& voters_below(std::int64_t offset) const;
  bool fresh() const noexcept { return fresh_; }
  const std::optional<ReplicaKey>& voted() const noexcept { return voted_; }
  // What the leader knows of a voter; -1 if unknown.
  std::int64_t end_offset_of(std::int32_t voter_id) const;
  const std::map<std::int32_t, ReplicaProgress>& voter_progress() const noexcept { return voter_progress_; }
  const std::map<ReplicaKey, ReplicaProgress>& observers() const noexcept { return observers_; }

 private:
  // ---- raft_core.cc
  void persist();
  void tell_leader(std::int64_t epoch_start = -1);
  Duration draw_election_timeout();
  bool is_sole_voter() const { return voters().size() == 1 && is_voter(); }
  void become_unattached(Now now, std::int32_t epoch);
  void become_follower(Now now, LeaderAndEpoch leader, std::optional<Endpoint> address);
  void become_resigned(Now now);
  void leave_role();
  // Takes in what an answer, or a request, says of leader and epoch. False if it is from an epoch that is over.
  bool learn(Now now, LeaderAndEpoch leader, const std::optional<Endpoint>& address);
  template <typename A>
  A answer_of(ErrorCode error) const;
  ErrorCode check_leader_request(std::int32_t epoch) const;
  ErrorCode hear_leader(Now now, const LeaderAndEpoch& leader, const std::vector<Endpoint>& endpoints);
  bool is_for_this_node(const ReplicaKey& voter) const;
  bool names_own_directory(const ReplicaKey& key) const;
  void fail(Error error);

  // ---- raft_vote.cc
  struct Ballot {
    std::optional<bool> granted;
    bool asked = false;
    Instant ask_again = Instant::never();
  };
  void become_prospective(Now now);
  void become_candidate(Now now);
  void begin_ballot();
  void ask_votes(Now now);
  void count_votes(Now now);
  void lose_prospect(Now now);
  bool is_up_to_date(const VoteAsk& ask) const;
  bool may_grant(const VoteAsk& ask) const;
  void tick_election(Now now);

  // ---- raft_leader.cc
  void become_leader(Now now);
  void append_leader_change(Now now, std::vector<std::int32_t> granting, bool with_voters);
  void close_batch();
  void advance_high_watermark();
  void send_begin_epochs(Now now, bool all);
  void send_end_epochs();
  void note_fetch(Now now, const FetchAsk& ask);
  void tick_leader(Now now);
  Result<void> may_change_voters() const;
  bool follows_closely(Now now, const ReplicaKey& replica) const;
  Result<std::int64_t> change_voters(Now now, VoterSet voters);
  std::optional<VoterSet> with_own_entry() const;

  // ---- raft_follower.cc
  void tick_fetch(Now now);
  void tick_membership(Now now);
  bool wants_to_fetch() const;
  std::optional<Destination> fetch_target();
  void take_fetched(Now now, const FetchAnswer& answer);
  void append_fetched(const FetchAnswer& answer);
  void truncate_to(const OffsetAndEpoch& diverging);
  void follow_high_watermark(std::int64_t leaders);
  void lose_freshness();
  void reset_fetch_deadline(Now now) { fetch_deadline_ = now.instant + config_.fetch_timeout; }
  bool disk_idle() const noexcept {
    return written_end_ == log_.end && flushed_end_ == log_.end && !truncating_ && !installing_ && open_values_.empty();
  }

  RaftConfig config_;
  Random random_;
  compress::Codecs codecs_;
  std::vector<Action> actions_;
  std::uint64_t persists_ = 0;
  bool shut_down_ = false;
  bool failed_ = false;

  Role role_ = Role::unattached;
  std::int32_t epoch_ = 0;
  std::int32_t leader_id_ = -1;
  std::optional<Endpoint> leader_address_;  // as others told it
  std::optional<ReplicaKey> voted_;
  bool fresh_ = false;
  std::vector<VotersAt> voter_history_{VotersAt{}};

  LogShape log_;                  // its end: assigned up to here
  std::int64_t written_end_ = 0;  // in the log's file up to here
  std::int64_t flushed_end_ = 0;  // on the disk up to here
  bool truncating_ = false;
  bool installing_ = false;
  std::int64_t high_watermark_ = -1;

  // Elections.
  Instant election_deadline_ = Instant::never();
  std::map<std::int32_t, Ballot> ballots_;
  bool lost_ = false;  // a candidate that was refused by a majority

  // A leader's.
  std::int64_t epoch_start_offset_ = -1;
  std::map<std::int32_t, ReplicaProgress> voter_progress_;
  std::map<ReplicaKey, ReplicaProgress> observers_;
  Instant check_quorum_deadline_ = Instant::never();
  std::set<std::int32_t> fetched_since_check_;
  Instant begin_epoch_deadline_ = Instant::never();
  bool removing_self_ = false;

  // A follower's.
  Instant fetch_deadline_ = Instant::never();  // without success until then: a voter stands for election
  Instant fetch_at_{};                         // not before
  std::uint64_t fetch_number_ = 0;
  bool fetching_ = false;
  bool has_fetched_ = false;  // from this leader
  bool leader_unreachable_ = false;
  struct Download {
    SnapshotId id;
    std::int64_t position = 0;
  };
  std::optional<Download> download_;
  Instant update_voter_at_ = Instant::never();
  bool updating_voter_ = false;

  std::vector<Slice> open_values_;  // the batch being gathered
  std::size_t open_bytes_ = 0;
  TimestampMs open_timestamp_ = 0;
};

template <typename A>
A RaftCore::answer_of(ErrorCode error) const {
  A answer;
  answer.error = error;
  answer.leader = leader();
  answer.leader_address = leader_address();
  return answer;
}

}  // namespace klamm::raft
