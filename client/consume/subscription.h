// What a consumer keeps of each partition that it reads.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "base/uuid.h"
#include "client/consume/chunk_reader.h"
#include "client/core/cluster.h"
#include "klamm/record.h"

namespace klamm::client {

struct Assigned {
  TopicPartition partition;
  std::shared_ptr<const std::string> topic;  // shared with the records that were given out
  bool revoked = false;                      // not assigned any more: answers for it are dropped
  bool paused = false;
  // Rises with each change of the position from outside (seek, reset): answers to older questions are dropped.
  std::uint64_t generation = 0;

  // Where poll goes on. Not valid while an offset must be looked up.
  bool has_position = false;
  ReadPosition position;
  std::int64_t lookup = 0;  // without a position: what to ask ListOffsets for (a time, or its special values)
  bool lookup_running = false;
  // Where the next fetch goes on: behind what is buffered.
  std::int64_t fetch_offset = 0;
  std::int32_t fetch_epoch = -1;  // leader epoch of the last buffered batch
  Uuid topic_id;                  // that the epochs belong to; zero: not known
  std::deque<ChunkReader> buffered;
  std::uint64_t buffered_bytes = 0;
  bool in_fetch = false;
  std::uint64_t last_served = 0;  // the number of the fetch that last brought records

  BrokerNumber leader = -1;
  std::int32_t leader_epoch = -1;
  // Records of a later epoch were read than the metadata knows: its leader has been deposed, and may have less.
  bool leader_is_old() const noexcept { return leader_epoch >= 0 && fetch_epoch > leader_epoch; }
  std::int32_t validated_epoch = -1;  // leader epoch up to which the position is known not to be cut off (KIP-320)
  bool validating = false;
  BrokerNumber preferred_replica = -1;  // KIP-392
  Instant preferred_until;
  Instant not_before;  // backoff
  std::uint32_t failures = 0;

  std::int64_t high_watermark = -1;
  std::int64_t last_stable_offset = -1;
  std::optional<Error> error;  // the partition cannot be read; nothing is fetched until seek()
  bool error_told = false;

  void set_position(std::int64_t offset, std::int32_t epoch) {
    ++generation;
    has_position = true;
    position = {offset, epoch};
    fetch_offset = offset;
    fetch_epoch = epoch;
    validated_epoch = -1;
    forget_trouble();
  }
  void need_lookup(std::int64_t what) {
    ++generation;
    has_position = false;
    lookup = what;
    lookup_running = false;
    forget_trouble();
  }
  void forget_trouble() {
    error.reset();
    error_told = false;
    failures = 0;
    not_before = {};
    validating = false;
  }
};
using AssignedRef = std::shared_ptr<Assigned>;

}  // namespace klamm::client
