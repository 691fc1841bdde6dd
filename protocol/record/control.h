// Control records: transaction markers, and what KRaft writes between metadata records.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/record/batch.h"
#include "protocol/record/record.h"

namespace klamm::record {

enum class ControlType : std::int16_t {
  abort = 0,
  commit = 1,
  leader_change = 2,
  snapshot_header = 3,
  snapshot_footer = 4,
  kraft_version = 5,
  kraft_voters = 6,
};
constexpr std::int16_t kControlKeyVersion = 0;
constexpr std::size_t kControlKeySize = 4;

// The type as it stands in a control record's key. Readers pass over types and versions they do not know, so those are
// values, not errors: type() is empty then.
struct ControlKey {
  std::int16_t version = kControlKeyVersion;
  std::int16_t raw_type = -1;
  std::optional<ControlType> type() const noexcept {
    if (version < 0 || raw_type < 0 || raw_type > 6) return std::nullopt;
    return static_cast<ControlType>(raw_type);
  }
};
// malformed if the key is null or shorter than its 4 bytes, or its version is negative.
Result<ControlKey> parse_control_key(NullableBytes key);
std::array<std::byte, kControlKeySize> control_key(ControlType type) noexcept;

// The value of an ABORT or COMMIT record.
struct TransactionMarker {
  std::int16_t version = 0;
  std::int32_t coordinator_epoch = 0;
};
Result<TransactionMarker> parse_transaction_marker(NullableBytes value);

// A whole control batch with the marker that ends a producer's transaction (78 bytes). Offset and leader epoch are
// patched when it is appended.
Slice build_transaction_marker(bool commit, std::int64_t producer_id, std::int16_t producer_epoch,
                               std::int32_t coordinator_epoch, TimestampMs timestamp);

// A control batch of one record whose value is an encoded KRaft message (with its version in front).
struct ControlRecord {
  ControlType type;
  Bytes value;
};
Slice build_control_batch(std::span<const ControlRecord> records, std::int64_t base_offset, std::int32_t leader_epoch,
                          TimestampMs timestamp);

}  // namespace klamm::record
