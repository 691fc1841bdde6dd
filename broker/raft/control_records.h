// The control records that KRaft writes into the metadata log and its snapshots, as batches, and what readers take from
// them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "broker/raft/voters.h"
#include "protocol/record/batch.h"

namespace klamm::raft {

// What a leader writes first in its epoch: LeaderChange and, if given, KRaftVersion 1 with the voters.
struct LeaderChange {
  std::int32_t leader_id = -1;
  std::vector<std::int32_t> voters;
  std::vector<std::int32_t> granting_voters;
  const VoterSet* voter_records = nullptr;
};
Slice leader_change_batch(const LeaderChange& change, std::int64_t base_offset, std::int32_t epoch, TimestampMs now_ms);

// A change of the voters: the Voters record alone.
Slice voters_batch(const VoterSet& voters, std::int64_t base_offset, std::int32_t epoch, TimestampMs now_ms);

// A snapshot's first batch: its header and, where kraft.version is 1, KRaftVersion and the voters.
Slice snapshot_header_batch(TimestampMs last_contained_ms, const VoterSet* voters, std::int32_t epoch,
                            TimestampMs now_ms);
// A snapshot's last batch.
Slice snapshot_footer_batch(std::int64_t base_offset, std::int32_t epoch, TimestampMs now_ms);

// What a control batch says that outlives it.
struct ControlFacts {
  std::optional<std::int16_t> kraft_version;
  std::optional<VoterSet> voters;
  bool leader_change = false;
  bool snapshot_header = false;
  bool snapshot_footer = false;
  TimestampMs last_contained_ms = -1;  // with snapshot_header
  std::int32_t record_count = 0;
};
// Decodes a control batch; malformed if a record of a known type does not decode. Unknown types are passed over.
Result<ControlFacts> read_control_batch(const record::BatchView& batch);

}  // namespace klamm::raft
