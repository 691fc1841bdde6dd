#include "protocol/record/record.h"

#include <fmt/format.h>

#include <algorithm>

namespace klamm::record {

void HeaderRange::Iterator::load() {
  if (left_ <= 0) return;
  std::int32_t key_size = 0;
  const std::byte* at = read_varint(at_, end_, key_size);
  KLAMM_CHECK(at && key_size >= 0 && key_size <= end_ - at, "a header range over unchecked bytes");
  header_.key = {reinterpret_cast<const char*>(at), static_cast<std::size_t>(key_size)};
  std::int32_t value_size = 0;
  at = read_varint(at + key_size, end_, value_size);
  KLAMM_CHECK(at && value_size <= end_ - at, "a header range over unchecked bytes");
  header_.value = value_size < 0 ? NullableBytes() : NullableBytes(Bytes(at, static_cast<std::size_t>(value_size)));
  at_ = at + header_.value.size();
}

Result<Slice> plain_records(const BatchView& batch, Codecs& codecs, std::size_t limit) {
  const std::optional<Compression> codec = batch.compression();
  if (!codec) {
    return fail(Errc::unsupported, fmt::format("record batch at offset {}: compression codec {}", batch.base_offset(),
                                               batch.attributes() & kCompressionMask));
  }
  if (*codec == Compression::none) return batch.records_slice();
  Result<Slice> plain = codecs.decompress(*codec, batch.records_bytes(), limit);
  if (!plain) return fail(std::move(plain).error().in(fmt::format("record batch at offset {}", batch.base_offset())));
  return plain;
}

RecordIterator::RecordIterator(const BatchView& batch, Bytes plain) noexcept
    : at_(plain.data()),
      end_(plain.data() + plain.size()),
      base_offset_(batch.base_offset()),
      base_timestamp_(batch.base_timestamp()),
      count_(batch.record_count()),
      left_(std::max(batch.record_count(), 0)) {
  if (batch.timestamp_type() == TimestampType::log_append_time) {
    base_timestamp_ = batch.max_timestamp();
    timestamp_mask_ = 0;
  }
}

bool RecordIterator::next_general(RecordView& record) noexcept {
  if (left_ <= 0) {
    left_ = 0;  // the hot path may have taken one too many off
    if (at_ != end_) stop(Fault::left_over);
    return false;
  }
  std::int32_t length = 0;
  const std::byte* at = read_varint(at_, end_, length);
  if (at == nullptr || length < 1 || length > end_ - at) return stop(Fault::length);
  const std::byte* const end = at + length;
  std::int64_t timestamp_delta = 0;
  std::int32_t offset_delta = 0;
  at = read_varint(at + 1, end, timestamp_delta);
  if (at != nullptr) at = read_varint(at, end, offset_delta);
  for (NullableBytes* field : {&record.key, &record.value}) {
    std::int32_t size = 0;
    if (at != nullptr) at = read_varint(at, end, size);
    if (at == nullptr || size < -1 || size > end - at) return stop(Fault::field);
    *field = NullableBytes::sized(at, size);
    at += field->size();
  }
  const Placer placer{*this, record};
  placer.time(timestamp_delta);
  placer.offset(offset_delta);
  if (!read_headers(at, end, record)) return stop(Fault::headers);
  at_ = end;
  --left_;
  return true;
}

bool RecordIterator::stop(Fault fault) noexcept {
  if (fault_ == Fault::none) fault_ = fault;
  return false;
}

bool RecordIterator::read_headers(const std::byte* at, const std::byte* end, RecordView& record) noexcept {
  std::int32_t count = 0;
  at = read_varint(at, end, count);
  if (at == nullptr || count < 0) return false;
  const std::byte* const first = at;
  for (std::int32_t header = 0; header < count; ++header) {
    std::int32_t size = 0;
    at = read_varint(at, end, size);
    if (at == nullptr || size < 0 || size > end - at) return false;
    at = read_varint(at + size, end, size);
    if (at == nullptr || size < -1 || size > end - at) return false;
    if (size > 0) at += size;
  }
  record.headers = HeaderRange(first, end, count);
  return at == end;
}

Result<void> RecordIterator::status() const {
  constexpr std::string_view kReasons[] = {"", "its length does not fit", "a field does not decode",
                                           "headers do not decode or do not end with it", ""};
  if (fault_ == Fault::none && count_ >= 0) return {};
  if (count_ < 0)
    return fail(Errc::malformed, fmt::format("record batch at offset {}: count {}", base_offset_, count_));
  if (fault_ == Fault::left_over) {
    return fail(Errc::malformed,
                fmt::format("record batch: {} bytes behind the last of {} records", end_ - at_, count_));
  }
  return fail(Errc::malformed, fmt::format("record {} of {} in a batch: {}", count_ - left_, count_,
                                           kReasons[static_cast<int>(fault_)]));
}

}  // namespace klamm::record
