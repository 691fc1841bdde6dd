// What storage needs to know of a stored batch: its header, enough to walk a segment without touching the records.
// Batches of magic 2 and the entries of old message sets (magic 0 and 1) alike.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/time.h"
#include "protocol/record/batch.h"

namespace klamm::storage {

struct BatchSummary {
  std::int64_t base_offset = 0;  // magic 0 and 1: the last offset (a wrapper's inner offsets begin somewhere below)
  std::int64_t last_offset = 0;
  std::int64_t size = 0;  // in bytes, everything included
  std::int8_t magic = record::kMagic;
  std::int16_t attributes = 0;
  std::int32_t leader_epoch = record::kNoLeaderEpoch;
  TimestampMs max_timestamp = record::kNoTimestamp;
  std::int64_t producer_id = record::kNoProducerId;
  std::int16_t producer_epoch = record::kNoProducerEpoch;
  std::int32_t base_sequence = record::kNoSequence;
  std::int32_t record_count = 0;  // magic 2 only

  bool is_control() const noexcept { return (attributes & record::kControlBit) != 0; }
  bool is_transactional() const noexcept { return (attributes & record::kTransactionalBit) != 0; }
  bool has_log_append_time() const noexcept { return (attributes & record::kLogAppendTimeBit) != 0; }
  bool has_producer() const noexcept { return producer_id > record::kNoProducerId; }
  std::int32_t offset_delta() const noexcept { return static_cast<std::int32_t>(last_offset - base_offset); }
  // False where compaction has left only the header. Its timestamp is no record's.
  bool has_records() const noexcept { return magic < record::kMagic || record_count > 0; }
  // kNoSequence if there is no base sequence.
  std::int32_t last_sequence() const noexcept {
    return base_sequence < 0 ? record::kNoSequence : record::advance_sequence(base_sequence, offset_delta());
  }

  // From the first bytes of an entry: record::kBatchHeaderSize of them, or the whole entry if it is shorter. Empty if
  // they are too few or if no batch can begin like this (magic, length, offsets).
  static std::optional<BatchSummary> parse(Bytes bytes) noexcept;
};

}  // namespace klamm::storage
