#include "protocol/record/control.h"

#include "protocol/record/batch_builder.h"

namespace klamm::record {

namespace {

constexpr std::size_t kMarkerSize = 6;

Slice finish(BatchBuilder& builder, const ProducerStamp& producer) {
  Codecs codecs;  // never used: control batches are not compressed
  Result<Slice> batch = builder.build(codecs, producer);
  KLAMM_CHECK(batch.has_value());
  return std::move(*batch);
}

}  // namespace

Result<ControlKey> parse_control_key(NullableBytes key) {
  if (key.size() < kControlKeySize) return fail(Errc::malformed, "a control record's key is too short");
  const ControlKey parsed{load_big_endian<std::int16_t>(key.data()), load_big_endian<std::int16_t>(key.data() + 2)};
  if (parsed.version < 0) return fail(Errc::malformed, "a control record's key has a negative version");
  return parsed;
}

std::array<std::byte, kControlKeySize> control_key(ControlType type) noexcept {
  std::array<std::byte, kControlKeySize> key;
  store_big_endian(key.data(), kControlKeyVersion);
  store_big_endian(key.data() + 2, static_cast<std::int16_t>(type));
  return key;
}

Result<TransactionMarker> parse_transaction_marker(NullableBytes value) {
  if (value.size() < kMarkerSize) return fail(Errc::malformed, "a transaction marker is too short");
  const TransactionMarker marker{load_big_endian<std::int16_t>(value.data()),
                                 load_big_endian<std::int32_t>(value.data() + 2)};
  if (marker.version < 0) return fail(Errc::malformed, "a transaction marker has a negative version");
  return marker;
}

Slice build_transaction_marker(bool commit, std::int64_t producer_id, std::int16_t producer_epoch,
                               std::int32_t coordinator_epoch, TimestampMs timestamp) {
  BatchBuilder builder({.initial_bytes = 128, .control = true});
  std::byte value[kMarkerSize];
  store_big_endian(value, std::int16_t{0});
  store_big_endian(value + 2, coordinator_epoch);
  const auto key = control_key(commit ? ControlType::commit : ControlType::abort);
  builder.append(timestamp, Bytes(key), Bytes(value));
  return finish(builder,
                {.id = producer_id, .epoch = producer_epoch, .base_sequence = kNoSequence, .transactional = true});
}

Slice build_control_batch(std::span<const ControlRecord> records, std::int64_t base_offset, std::int32_t leader_epoch,
                          TimestampMs timestamp) {
  std::size_t bytes = kBatchHeaderSize;
  for (const ControlRecord& record : records) bytes += kMaxRecordOverhead + kControlKeySize + record.value.size();
  BatchBuilder builder({.size_limit_bytes = bytes,
                        .initial_bytes = bytes,
                        .base_offset = base_offset,
                        .leader_epoch = leader_epoch,
                        .control = true});
  for (const ControlRecord& record : records) {
    const auto key = control_key(record.type);
    const auto appended = builder.append(timestamp, Bytes(key), record.value);
    KLAMM_CHECK(appended.has_value(), "a control batch of more than 2^31-1 bytes");
  }
  return finish(builder, {});
}

}  // namespace klamm::record
