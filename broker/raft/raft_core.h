// RaftCore: the rules of the metadata quorum as a pure state machine. It takes what happened (start, time, appends,
// what the disk has done) and says what to do next (actions, in order). It reads no clock, no file, no socket; the
// driver (RaftNode) feeds it and carries the actions out, one after the other.
//
// Served now: a quorum whose only voter is this node. The voter elects itself, writes with its epoch, and commits what
// its disk has flushed. Votes and replication between voters are further inputs and actions of this same machine:
// epoch, vote, role, voters and every voter's end offset are kept for them already.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "broker/raft/quorum_state.h"
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
  unattached,  // knows an epoch, no leader
  leader,
  resigned,  // led, and gave it up; stands again after an election timeout
};

// ---- What the driver is told to do.

// Write the quorum-state file, durably, before any action behind this one.
struct PersistQuorumState {
  QuorumState state;
};
// Append the batch (its base offset and epoch are in it) to the log; then written().
struct AppendBatch {
  Slice batch;
  std::int64_t base_offset = 0;
  std::int64_t last_offset = 0;
};
// Flush the log; then flushed() with the end offset that was written before the flush began.
struct FlushLog {};
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
using Action = std::variant<PersistQuorumState, AppendBatch, FlushLog, LeaderChanged, Committed>;

struct RaftConfig {
  ReplicaKey self;
  std::vector<Endpoint> endpoints;         // of this node, for the voter set
  Duration election_timeout = 1s;          // controller.quorum.election.timeout.ms
  std::size_t max_batch_bytes = 8U << 20;  // internal.metadata.max.batch.size.in.bytes
  std::uint64_t seed = 0;                  // of the election timeouts
};

// What was found on disk at the start.
struct LocalState {
  std::optional<QuorumState> quorum_state;
  std::int64_t log_end_offset = 0;
  std::int32_t last_epoch = 0;  // of the last batch or of the snapshot behind it; 0 if the log is empty
  VoterSet voters;              // from the log, its snapshots, or controller.quorum.voters
  std::int16_t kraft_version = 0;
  bool voters_from_bootstrap = false;  // they stand in the (0,0) snapshot only, not yet in the log
};

class RaftCore {
 public:
  explicit RaftCore(RaftConfig config);

  // ---- What happened.

  // Once, before all others. Fails with Errc::unsupported if the quorum is not this node alone.
  Result<void> start(Now now, LocalState local);
  // Time has passed; call it at next_deadline() at the latest.
  void tick(Now now);
  Instant next_deadline() const noexcept { return election_deadline_; }

  // Takes records (each the value of one) into the log of the epoch: all of them into one batch. Offsets are assigned
  // now; returns that of the last record. Errors: NOT_LEADER_OR_FOLLOWER if the epoch is not one in which this node
  // leads, RECORD_LIST_TOO_LARGE if they do not fit into one batch.
  Result<std::int64_t> append(Now now, std::int32_t epoch, std::span<const Slice> values);
  // The offset that the next record will get.
  std::int64_t next_offset() const noexcept { return next_offset_; }

  // The log ends at `end_offset` now.
  void written(std::int64_t end_offset);
  // All below is on the disk.
  void flushed(std::int64_t end_offset);
  // Gives up leadership of the epoch (a fault above, or shutdown). Records that are not committed may be lost or not.
  void resign(Now now, std::int32_t epoch);

  // ---- What to do: the actions since the last call. Closes the open batch, so that appends made while the driver was
  // busy go out together.
  std::vector<Action> take_actions();
  bool has_actions() const noexcept { return !actions_.empty() || !open_values_.empty(); }

  // ---- State.
  Role role() const noexcept { return role_; }
  std::int32_t epoch() const noexcept { return epoch_; }
  LeaderAndEpoch leader() const noexcept;
  bool is_leader() const noexcept { return role_ == Role::leader; }
  // -1 until known.
  std::int64_t high_watermark() const noexcept { return high_watermark_; }
  std::int64_t epoch_start_offset() const noexcept { return epoch_start_offset_; }
  const VoterSet& voters() const noexcept { return voters_; }
  std::int16_t kraft_version() const noexcept { return kraft_version_; }
  // The end offset of a voter as the leader knows it; -1 if unknown.
  std::int64_t end_offset_of(std::int32_t voter_id) const;

 private:
  void become_leader(Now now);
  void append_leader_change(Now now, bool with_voters);
  void close_batch();
  void advance_high_watermark();
  QuorumState durable_state() const;

  RaftConfig config_;
  Random random_;
  compress::Codecs codecs_;
  std::vector<Action> actions_;

  Role role_ = Role::unattached;
  std::int32_t epoch_ = 0;
  std::optional<ReplicaKey> voted_;
  VoterSet voters_;
  std::int16_t kraft_version_ = 0;
  bool voters_from_bootstrap_ = false;
  Instant election_deadline_ = Instant::never();

  std::int64_t next_offset_ = 0;  // assigned up to here
  std::int64_t log_end_ = 0;      // written up to here
  std::int64_t flushed_end_ = 0;  // on the disk up to here
  std::int64_t epoch_start_offset_ = -1;
  std::int64_t high_watermark_ = -1;
  std::map<std::int32_t, std::int64_t> peer_end_offsets_;

  std::vector<Slice> open_values_;  // the batch being gathered
  std::size_t open_bytes_ = 0;
  TimestampMs open_timestamp_ = 0;
};

}  // namespace klamm::raft
