// The metadata log as the rules of the quorum see it: where it begins and ends, which epochs it holds, which snapshots
// lie beside it. Pure; RaftCore keeps one in step with what it has the driver do to the disk.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <variant>

#include "broker/raft/raft_messages.h"
#include "broker/storage/leader_epochs.h"

namespace klamm::raft {

struct LogShape {
  std::int64_t start = 0;
  std::int64_t end = 0;
  storage::LeaderEpochs epochs;
  std::set<SnapshotId> snapshots;

  // Of the last record, also where that is in the snapshot only; 0 if there never was one.
  std::int32_t last_epoch() const;
  // The newest, the (0,0) one left out.
  std::optional<SnapshotId> latest_snapshot() const;
  std::optional<SnapshotId> oldest_snapshot() const;

  // The largest epoch up to `epoch` and the offset where it ends.
  OffsetAndEpoch end_of(std::int32_t epoch) const;
  // What a follower gets whose log ends at `offset` with a record of `last_epoch`: its log agrees with this one, or
  // parts from it at the latest there, or lies too far behind and needs the snapshot.
  struct Agrees {};
  using Verdict = std::variant<Agrees, OffsetAndEpoch, SnapshotId>;
  Verdict check(std::int64_t offset, std::int32_t last_epoch) const;
  // Where this log is to be cut, being told by the leader where the two part at the latest.
  std::int64_t truncation_point(const OffsetAndEpoch& diverging) const;

  void append(std::int32_t epoch, std::int64_t base_offset, std::int64_t last_offset);
  void truncate(std::int64_t to);
  // Nothing but the snapshot is left.
  void restart_at(const SnapshotId& id);
};

}  // namespace klamm::raft
