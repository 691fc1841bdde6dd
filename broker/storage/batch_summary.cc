#include "broker/storage/batch_summary.h"

#include <limits>

#include "protocol/record/legacy.h"

namespace klamm::storage {

namespace {

std::optional<BatchSummary> parse_legacy(const std::byte* at, BatchSummary summary, std::size_t available) {
  const std::size_t overhead = summary.magic == 0 ? record::kLegacyOverheadMagic0 : record::kLegacyOverheadMagic1;
  if (summary.size < static_cast<std::int64_t>(record::kLogOverhead + overhead)) return std::nullopt;
  if (available < record::kLogOverhead + overhead) return std::nullopt;
  summary.last_offset = summary.base_offset;
  summary.attributes = static_cast<std::int16_t>(at[record::kMagicPosition + 1]) & 0x0f;
  if (summary.magic == 1) summary.max_timestamp = load_big_endian<std::int64_t>(at + record::kMagicPosition + 2);
  return summary;
}

}  // namespace

std::optional<BatchSummary> BatchSummary::parse(Bytes bytes) noexcept {
  if (bytes.size() < record::kEntryHeadSize) return std::nullopt;
  const std::byte* at = bytes.data();
  BatchSummary summary;
  summary.base_offset = load_big_endian<std::int64_t>(at);
  summary.magic = static_cast<std::int8_t>(at[record::kMagicPosition]);
  summary.size = std::int64_t{load_big_endian<std::int32_t>(at + record::kSizePosition)} +
                 static_cast<std::int64_t>(record::kLogOverhead);
  if (summary.base_offset < 0 || summary.magic < 0 || summary.magic > record::kMagic) return std::nullopt;
  if (summary.magic < record::kMagic) return parse_legacy(at, summary, bytes.size());

  if (bytes.size() < record::kBatchHeaderSize || summary.size < static_cast<std::int64_t>(record::kBatchHeaderSize)) {
    return std::nullopt;
  }
  const auto last_offset_delta = load_big_endian<std::int32_t>(at + record::kLastOffsetDeltaPosition);
  if (last_offset_delta < 0 || summary.base_offset > std::numeric_limits<std::int64_t>::max() - 1 - last_offset_delta) {
    return std::nullopt;
  }
  summary.last_offset = summary.base_offset + last_offset_delta;
  summary.leader_epoch = load_big_endian<std::int32_t>(at + record::kLeaderEpochPosition);
  summary.attributes = load_big_endian<std::int16_t>(at + record::kAttributesPosition);
  summary.max_timestamp = load_big_endian<std::int64_t>(at + record::kMaxTimestampPosition);
  summary.producer_id = load_big_endian<std::int64_t>(at + record::kProducerIdPosition);
  summary.producer_epoch = load_big_endian<std::int16_t>(at + record::kProducerEpochPosition);
  summary.base_sequence = load_big_endian<std::int32_t>(at + record::kBaseSequencePosition);
  summary.record_count = load_big_endian<std::int32_t>(at + record::kRecordCountPosition);
  return summary;
}

}  // namespace klamm::storage
