#include "protocol/record/batch.h"

#include <fmt/format.h>

#include "protocol/record/crc32c.h"

namespace klamm::record {

namespace {

constexpr std::size_t kLeastLegacySize = 14;  // of a message of magic 0, without offset and size

std::uint32_t compute_crc(Bytes batch) noexcept { return crc32c(batch.subspan(kAttributesPosition)); }

void store_crc(MutableBytes batch) noexcept { store_big_endian(batch.data() + kCrcPosition, compute_crc(batch)); }

}  // namespace

void write_batch_header(MutableBytes batch, const BatchHeader& header) noexcept {
  KLAMM_CHECK(batch.size() >= kBatchHeaderSize && batch.size() - kLogOverhead <= INT32_MAX);
  std::byte* const to = batch.data();
  store_big_endian(to + kBaseOffsetPosition, header.base_offset);
  store_big_endian(to + kBatchLengthPosition, static_cast<std::int32_t>(batch.size() - kLogOverhead));
  store_big_endian(to + kLeaderEpochPosition, header.leader_epoch);
  to[kMagicPosition] = static_cast<std::byte>(kMagic);
  store_big_endian(to + kAttributesPosition, header.attributes);
  store_big_endian(to + kLastOffsetDeltaPosition, header.last_offset_delta);
  store_big_endian(to + kBaseTimestampPosition, header.base_timestamp);
  store_big_endian(to + kMaxTimestampPosition, header.max_timestamp);
  store_big_endian(to + kProducerIdPosition, header.producer_id);
  store_big_endian(to + kProducerEpochPosition, header.producer_epoch);
  store_big_endian(to + kBaseSequencePosition, header.base_sequence);
  store_big_endian(to + kRecordCountPosition, header.record_count);
  store_crc(batch);
}

Result<BatchView> BatchView::parse(Slice batch) {
  const EntryHead head = peek_entry(batch.bytes());
  if (head.status != EntryStatus::whole || head.size_bytes != batch.size()) {
    return fail(Errc::malformed, fmt::format("{} bytes are not one record batch", batch.size()));
  }
  if (head.magic != kMagic) return fail(Errc::malformed, fmt::format("record batch of magic {}", head.magic));
  return BatchView(std::move(batch));
}

BatchHeader BatchView::header() const noexcept {
  return {.base_offset = base_offset(),
          .batch_length = field<std::int32_t>(kBatchLengthPosition),
          .leader_epoch = leader_epoch(),
          .crc = crc(),
          .attributes = attributes(),
          .last_offset_delta = last_offset_delta(),
          .base_timestamp = base_timestamp(),
          .max_timestamp = max_timestamp(),
          .producer_id = producer_id(),
          .producer_epoch = producer_epoch(),
          .base_sequence = base_sequence(),
          .record_count = record_count()};
}

bool BatchView::crc_fits() const noexcept { return compute_crc(batch_.bytes()) == crc(); }

Result<void> BatchView::check_crc() const {
  const std::uint32_t computed = compute_crc(batch_.bytes());
  if (computed == crc()) return {};
  return fail(Errc::checksum_mismatch, fmt::format("record batch at offset {}: CRC stored {:08x}, computed {:08x}",
                                                   base_offset(), crc(), computed));
}

void patch_base_offset(MutableBytes batch, std::int64_t base_offset) noexcept {
  KLAMM_CHECK(batch.size() >= kBatchHeaderSize);
  store_big_endian(batch.data() + kBaseOffsetPosition, base_offset);
}

void patch_leader_epoch(MutableBytes batch, std::int32_t leader_epoch) noexcept {
  KLAMM_CHECK(batch.size() >= kBatchHeaderSize);
  store_big_endian(batch.data() + kLeaderEpochPosition, leader_epoch);
}

void patch_max_timestamp_and_type(MutableBytes batch, TimestampMs max_timestamp, TimestampType type) noexcept {
  KLAMM_CHECK(batch.size() >= kBatchHeaderSize);
  std::int16_t attributes = load_big_endian<std::int16_t>(batch.data() + kAttributesPosition);
  attributes = static_cast<std::int16_t>(attributes & ~kLogAppendTimeBit);
  if (type == TimestampType::log_append_time) attributes = static_cast<std::int16_t>(attributes | kLogAppendTimeBit);
  store_big_endian(batch.data() + kAttributesPosition, attributes);
  store_big_endian(batch.data() + kMaxTimestampPosition, max_timestamp);
  store_crc(batch);
}

void patch_producer(MutableBytes batch, const ProducerStamp& producer) noexcept {
  KLAMM_CHECK(batch.size() >= kBatchHeaderSize);
  std::int16_t attributes = load_big_endian<std::int16_t>(batch.data() + kAttributesPosition);
  attributes = static_cast<std::int16_t>(attributes & ~kTransactionalBit);
  if (producer.transactional) attributes = static_cast<std::int16_t>(attributes | kTransactionalBit);
  store_big_endian(batch.data() + kAttributesPosition, attributes);
  store_big_endian(batch.data() + kProducerIdPosition, producer.id);
  store_big_endian(batch.data() + kProducerEpochPosition, producer.epoch);
  store_big_endian(batch.data() + kBaseSequencePosition, producer.base_sequence);
  store_crc(batch);
}

EntryHead peek_entry(Bytes bytes) noexcept {
  EntryHead head;
  if (bytes.size() < kLogOverhead) return head;
  head.offset = load_big_endian<std::int64_t>(bytes.data());
  const std::int32_t size = load_big_endian<std::int32_t>(bytes.data() + kSizePosition);
  // The smallest size of any magic can be checked before the magic is known.
  if (size < static_cast<std::int32_t>(kLeastLegacySize)) {
    head.status = EntryStatus::malformed;
    return head;
  }
  head.size_bytes = kLogOverhead + static_cast<std::size_t>(size);
  if (bytes.size() < kEntryHeadSize) return head;
  head.magic = static_cast<std::int8_t>(bytes[kMagicPosition]);
  if (head.magic < 0 || head.magic > kMagic || (head.magic == kMagic && head.size_bytes < kBatchHeaderSize) ||
      (head.magic == 1 && head.size_bytes < kLogOverhead + 22)) {
    head.status = EntryStatus::malformed;
    return head;
  }
  if (head.size_bytes <= bytes.size()) head.status = EntryStatus::whole;
  return head;
}

bool BatchCursor::next() {
  position_ = next_position_;
  head_ = peek_entry(rest_.bytes());
  if (head_.status != EntryStatus::whole) return false;
  entry_ = rest_.part(0, head_.size_bytes);
  rest_.remove_prefix(head_.size_bytes);
  next_position_ += head_.size_bytes;
  return true;
}

Result<void> BatchCursor::check_tail() const {
  if (tail() != EntryStatus::malformed) return {};
  return fail(Errc::malformed, fmt::format("no log entry at byte {}", position_));
}

}  // namespace klamm::record
