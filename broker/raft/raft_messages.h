// What the members of the quorum say to each other about __cluster_metadata, as plain values: RaftCore takes and gives
// these, raft_wire.h turns them into Kafka's messages and back.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "broker/raft/snapshot_id.h"
#include "broker/raft/voters.h"
#include "protocol/error.h"

namespace klamm::raft {

using protocol::ErrorCode;

// Where a request goes.
struct Destination {
  std::int32_t id = -1;  // -1: whoever listens there (a bootstrap server)
  Endpoint address;
  friend bool operator==(const Destination&, const Destination&) = default;
};

// What every answer tells besides its own matter: the leader that the answering node knows.
struct Answer {
  ErrorCode error = ErrorCode::none;
  LeaderAndEpoch leader;
  std::optional<Endpoint> leader_address;
};

// Vote, and with `pre_vote` the question whether a vote would be granted.
struct VoteAsk {
  std::int32_t epoch = 0;
  ReplicaKey candidate;
  ReplicaKey voter;  // who is asked; id -1 or directory zero: not told
  std::int32_t last_epoch = 0;
  std::int64_t end_offset = 0;
  bool pre_vote = false;
};
struct VoteAnswer : Answer {
  bool granted = false;
};

// BeginQuorumEpoch: the leader tells of itself.
struct BeginEpochAsk {
  ReplicaKey voter;
  LeaderAndEpoch leader;
  std::vector<Endpoint> leader_endpoints;
};

// EndQuorumEpoch: the leader has resigned; the candidates in the order in which they should stand.
struct EndEpochAsk {
  LeaderAndEpoch leader;
  std::vector<ReplicaKey> candidates;
  std::vector<Endpoint> leader_endpoints;
};

struct FetchAsk {
  ReplicaKey replica;
  std::int32_t epoch = 0;
  std::int64_t offset = 0;
  std::int32_t last_epoch = 0;  // of the record below `offset`
  std::int64_t high_watermark = -1;
  std::int64_t max_wait_ms = 0;
  std::int64_t max_bytes = 0;
};
struct OffsetAndEpoch {
  std::int64_t offset = 0;
  std::int32_t epoch = 0;
  friend bool operator==(const OffsetAndEpoch&, const OffsetAndEpoch&) = default;
};
struct FetchAnswer : Answer {
  std::optional<OffsetAndEpoch> diverging;
  std::optional<SnapshotId> snapshot;
  std::int64_t high_watermark = -1;
  std::int64_t log_start = 0;
  Slice records;  // whole batches from the offset asked for

  // The offset was good, so that records may be read from there.
  bool valid() const noexcept { return error == ErrorCode::none && !diverging && !snapshot; }
};

struct FetchSnapshotAsk {
  ReplicaKey replica;
  std::int32_t epoch = 0;
  SnapshotId id;
  std::int64_t position = 0;
  std::int64_t max_bytes = 0;
};
struct FetchSnapshotAnswer : Answer {
  SnapshotId id;
  std::int64_t size = 0;
  std::int64_t position = 0;
  Slice bytes;
};

// UpdateRaftVoter: a voter tells the leader of its own addresses and versions.
struct UpdateVoterAsk {
  std::int32_t epoch = 0;
  Voter voter;
};

}  // namespace klamm::raft
