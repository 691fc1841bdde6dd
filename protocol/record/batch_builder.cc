#include "protocol/record/batch_builder.h"

#include <algorithm>
#include <cstring>

#include "protocol/record/varint.h"

namespace klamm::record {

namespace {

constexpr std::size_t kMostBatchBytes = INT32_MAX;
constexpr std::size_t kInitialBytes = 16 * 1024;
// Kafka leaves this much for batches that compress worse than their topic's latest.
constexpr double kRatioSafety = 1.05;

std::size_t sized_bytes(NullableBytes bytes) noexcept {
  return varint_bits_size(zigzag(bytes.signed_size())) + bytes.size();
}

// Headers with their count.
std::size_t headers_size(std::span<const Header> headers) noexcept {
  if (headers.empty()) return 1;
  std::size_t size = varint_size(static_cast<std::int32_t>(headers.size()));
  for (const Header& header : headers) size += sized_bytes(as_bytes(header.key)) + sized_bytes(header.value);
  return size;
}

inline std::byte* write_sized(std::byte* to, NullableBytes bytes) noexcept {
  to = write_varint_bits(to, zigzag(bytes.signed_size()));
  if (bytes.size() > 0) {
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  }
  return to;
}

// What follows a record's length.
inline std::size_t body_size(std::int64_t timestamp_delta, std::int32_t offset_delta, NullableBytes key,
                             NullableBytes value, std::size_t headers_bytes) noexcept {
  return 1 + varlong_size(timestamp_delta) + varint_size(offset_delta) + sized_bytes(key) + sized_bytes(value) +
         headers_bytes;
}

// Wraps around like Java's longs: a record far from the first one is still read back with its own time.
std::int64_t minus(std::int64_t left, std::int64_t right) noexcept {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(left) - static_cast<std::uint64_t>(right));
}

auto headers_writer(std::span<const Header> headers) {
  return [headers](std::byte* to) {
    if (headers.empty()) {
      *to++ = std::byte{0};
      return to;
    }
    to = write_varint(to, static_cast<std::int32_t>(headers.size()));
    for (const Header& header : headers) {
      to = write_sized(to, as_bytes(header.key));
      to = write_sized(to, header.value);
    }
    return to;
  };
}

}  // namespace

std::size_t record_size(TimestampMs timestamp_delta, std::int32_t offset_delta, NullableBytes key, NullableBytes value,
                        std::span<const Header> headers) noexcept {
  const std::size_t body = body_size(timestamp_delta, offset_delta, key, value, headers_size(headers));
  return varint_bits_size(body << 1) + body;
}

std::size_t batch_size_upper_bound(NullableBytes key, NullableBytes value, std::span<const Header> headers) noexcept {
  constexpr std::size_t kMostBeforeKeySize =
      2 * kMaxVarintSize + kMaxVarlongSize + 1;  // length, attributes, time, offset
  return kBatchHeaderSize + kMostBeforeKeySize + sized_bytes(key) + sized_bytes(value) + headers_size(headers);
}

void CompressionRatio::observe(float ratio) noexcept {
  constexpr float kFall = 0.005f;
  constexpr float kRise = 0.05f;
  if (ratio > estimate_) {
    estimate_ = std::max(estimate_ + kRise, ratio);
  } else if (ratio < estimate_) {
    estimate_ = std::max(estimate_ - kFall, ratio);
  }
}

BatchBuilder::BatchBuilder(const BatchOptions& options, Buffer::Ref buffer)
    : size_limit_(std::min(options.size_limit_bytes, kMostBatchBytes)), buffer_(std::move(buffer)), options_(options) {
  KLAMM_CHECK(!buffer_ || buffer_->unique(), "a batch's buffer is used by somebody else");
  if (!buffer_ || buffer_->capacity() < kBatchHeaderSize) {
    const std::size_t wanted = options.initial_bytes ? options.initial_bytes : std::min(size_limit_, kInitialBytes);
    buffer_ = Buffer::allocate(std::max(wanted, kBatchHeaderSize));
  }
  begin_ = buffer_->data();
  at_ = begin_ + kBatchHeaderSize;
  end_ = begin_ + buffer_->capacity();
  usual_end_ = at_;
  if (options.delete_horizon) {
    base_timestamp_ = *options.delete_horizon;
    has_base_timestamp_ = true;
  }
}

std::size_t BatchBuilder::estimated_bytes() const noexcept {
  if (options_.compression == Compression::none) return plain_bytes();
  const double records = static_cast<double>(plain_bytes() - kBatchHeaderSize);
  return kBatchHeaderSize + static_cast<std::size_t>(records * options_.compression_ratio * kRatioSafety);
}

inline bool BatchBuilder::fits(std::size_t bytes) const noexcept {
  return estimated_bytes() + bytes <= size_limit_ || record_count_ == 0;
}

bool BatchBuilder::has_room_for(TimestampMs timestamp, NullableBytes key, NullableBytes value,
                                std::span<const Header> headers) const noexcept {
  const std::int64_t delta = has_base_timestamp_ ? minus(timestamp, base_timestamp_) : 0;
  const std::size_t bytes = record_size(delta, last_offset_delta_ + 1, key, value, headers);
  return fits(bytes) && plain_bytes() + bytes <= kMostBatchBytes;
}

bool BatchBuilder::grow(std::size_t bytes) {
  const std::size_t used = plain_bytes();
  if (bytes > kMostBatchBytes || used + bytes > kMostBatchBytes) return false;
  std::size_t capacity = capacity_bytes() * 2;
  // Without a codec nothing larger than the limit is kept in the end, but for a single larger record.
  if (options_.compression == Compression::none) capacity = std::min(capacity, size_limit_);
  Buffer::Ref larger = Buffer::allocate(std::max(capacity, used + bytes));
  std::memcpy(larger->data() + kBatchHeaderSize, begin_ + kBatchHeaderSize, used - kBatchHeaderSize);
  buffer_ = std::move(larger);
  begin_ = buffer_->data();
  at_ = begin_ + used;
  end_ = begin_ + buffer_->capacity();
  usual_end_ = at_;
  return true;
}

void BatchBuilder::find_usual_end() noexcept {
  std::size_t end = std::min(size_limit_, capacity_bytes());
  usual_bytes_ = end;
  if (options_.compression != Compression::none) {
    // Compressed, the batch takes estimated_bytes() and the new record all of its own: up to here that fits.
    constexpr std::size_t kUsualBytes = 2048;
    usual_bytes_ = kUsualBytes;
    const double room = static_cast<double>(size_limit_) - static_cast<double>(kBatchHeaderSize + kUsualBytes);
    const double records = std::max(room, 0.0) / std::max(options_.compression_ratio * kRatioSafety, 1e-6);
    end = kBatchHeaderSize +
          static_cast<std::size_t>(std::min(records, static_cast<double>(capacity_bytes() - kBatchHeaderSize)));
  }
  usual_end_ = begin_ + std::max(end, plain_bytes());
}

template <typename WriteHeaders>
inline bool BatchBuilder::add(std::int32_t offset_delta, bool limited, TimestampMs timestamp, NullableBytes key,
                              NullableBytes value, std::size_t headers_bytes, const WriteHeaders& write_headers) {
  const std::int64_t delta = has_base_timestamp_ ? minus(timestamp, base_timestamp_) : 0;
  const std::size_t body = body_size(delta, offset_delta, key, value, headers_bytes);
  const std::size_t bytes = varint_bits_size(body << 1) + body;
  if (limited && !fits(bytes)) return false;
  if (bytes > static_cast<std::size_t>(end_ - at_)) [[unlikely]] {
    if (!grow(bytes)) return false;
  }
  std::byte* to = write_varint_bits(at_, body << 1);
  *to++ = std::byte{0};  // attributes
  to = write_varlong(to, delta);
  to = write_varint(to, offset_delta);
  to = write_sized(to, key);
  to = write_sized(to, value);
  at_ = write_headers(to);
  if (record_count_++ == 0) {
    if (!has_base_timestamp_) base_timestamp_ = timestamp;
    has_base_timestamp_ = true;
    max_timestamp_ = timestamp;
  }
  max_timestamp_ = std::max(max_timestamp_, timestamp);
  last_offset_delta_ = offset_delta;
  return true;
}

namespace {

constexpr std::uint32_t kLeastBodyOfTwo = 64;  // bodies from here on have a length of two bytes

// The body was written behind a length of one or two bytes, and that was the wrong one: moves it by one.
[[gnu::noinline]] std::byte* move_body(std::byte* start, std::byte* end, int length_bytes) noexcept {
  const int right = 3 - length_bytes;
  std::memmove(start + right, start + length_bytes, static_cast<std::size_t>(end - start - length_bytes));
  return end + right - length_bytes;
}

}  // namespace

// The usual record, without headers and sure to fit, is written before its size is known, in one pass.
template <int kLengthBytes>
[[gnu::always_inline]] inline std::optional<std::int32_t> BatchBuilder::append_usual(TimestampMs timestamp,
                                                                                     NullableBytes key,
                                                                                     NullableBytes value) {
  const std::int32_t offset_delta = last_offset_delta_ + 1;
  std::byte* to = at_ + kLengthBytes;
  *to++ = std::byte{0};  // attributes
  to = write_varlong(to, minus(timestamp, base_timestamp_));
  to = write_varint_bits(to, static_cast<std::uint64_t>(offset_delta) << 1);
  to = write_sized(to, key);
  to = write_sized(to, value);
  *to++ = std::byte{0};  // headers
  std::byte* const start = at_;
  const auto body = static_cast<std::uint32_t>(to - start) - kLengthBytes;
  if ((kLengthBytes == 2) != (body >= kLeastBodyOfTwo)) [[unlikely]] {
    at_ = move_body(start, to, kLengthBytes);
    write_varint_bits(start, std::uint64_t{body} << 1);
  } else {
    at_ = to;
    start[0] = static_cast<std::byte>((body << 1) | (kLengthBytes == 2 ? 0x80 : 0));
    if (kLengthBytes == 2) start[1] = static_cast<std::byte>(body >> 6);
  }
  ++record_count_;
  max_timestamp_ = std::max(max_timestamp_, timestamp);
  last_offset_delta_ = offset_delta;
  return offset_delta;
}

std::optional<std::int32_t> BatchBuilder::append(TimestampMs timestamp, NullableBytes key, NullableBytes value,
                                                 std::span<const Header> headers) {
  constexpr std::size_t kMostPayload = 8000;  // with two bytes of length
  const std::size_t payload = key.size() + value.size();
  const std::size_t most = payload + kMaxRecordOverhead;
  if (!headers.empty() || static_cast<std::ptrdiff_t>(most) > usual_end_ - at_ || most > usual_bytes_ ||
      payload > kMostPayload) [[unlikely]] {
    return append_general(timestamp, key, value, headers);
  }
  // Six to nine bytes come with the payload in most records.
  if (payload >= kLeastBodyOfTwo - 8) return append_usual<2>(timestamp, key, value);
  return append_usual<1>(timestamp, key, value);
}

[[gnu::noinline]] std::optional<std::int32_t> BatchBuilder::append_general(TimestampMs timestamp, NullableBytes key,
                                                                           NullableBytes value,
                                                                           std::span<const Header> headers) {
  if (last_offset_delta_ == INT32_MAX) return std::nullopt;
  const std::int32_t offset_delta = last_offset_delta_ + 1;
  if (!add(offset_delta, true, timestamp, key, value, headers_size(headers), headers_writer(headers)))
    return std::nullopt;
  if (usual_end_ <= at_) find_usual_end();
  return offset_delta;
}

bool BatchBuilder::add_record(std::int32_t offset_delta, bool limited, const RecordView& record) {
  const std::int32_t count = record.headers.size();
  const Bytes encoded = record.headers.encoded();
  const auto write_headers = [&](std::byte* to) {
    to = write_varint(to, count);
    if (!encoded.empty()) std::memcpy(to, encoded.data(), encoded.size());
    return to + encoded.size();
  };
  return add(offset_delta, limited, record.timestamp, record.key, record.value, varint_size(count) + encoded.size(),
             write_headers);
}

std::optional<std::int32_t> BatchBuilder::append(const RecordView& record) {
  if (last_offset_delta_ == INT32_MAX) [[unlikely]]
    return std::nullopt;
  const std::int32_t offset_delta = last_offset_delta_ + 1;
  if (!add_record(offset_delta, true, record)) return std::nullopt;
  return offset_delta;
}

bool BatchBuilder::append_at(std::int32_t offset_delta, const RecordView& record) {
  KLAMM_CHECK(offset_delta > last_offset_delta_, "offsets in a batch must rise");
  usual_end_ = begin_;  // as below
  return add_record(offset_delta, false, record);
}

bool BatchBuilder::append_at(std::int32_t offset_delta, TimestampMs timestamp, NullableBytes key, NullableBytes value,
                             std::span<const Header> headers) {
  KLAMM_CHECK(offset_delta > last_offset_delta_, "offsets in a batch must rise");
  usual_end_ = begin_;  // offsets may come close to their limit: append() must look
  return add(offset_delta, false, timestamp, key, value, headers_size(headers), headers_writer(headers));
}

Result<Slice> BatchBuilder::build(Codecs& codecs, const ProducerStamp& producer) {
  KLAMM_CHECK(record_count_ > 0, "a batch without records");
  return build(codecs, producer, last_offset_delta_);
}

Result<Slice> BatchBuilder::build(Codecs& codecs, const ProducerStamp& producer, std::int32_t last_offset_delta) {
  KLAMM_CHECK(buffer_, "the batch was built already");
  KLAMM_CHECK(last_offset_delta >= last_offset_delta_, "the last offset lies before a record");
  const std::size_t records_bytes = plain_bytes() - kBatchHeaderSize;
  const Compression codec = record_count_ > 0 ? options_.compression : Compression::none;
  int attributes = static_cast<int>(codec);
  if (options_.log_append_time) attributes |= kLogAppendTimeBit;
  if (producer.transactional) attributes |= kTransactionalBit;
  if (options_.control) attributes |= kControlBit;
  if (options_.delete_horizon) attributes |= kDeleteHorizonBit;

  Slice batch(std::move(buffer_), kBatchHeaderSize + records_bytes);
  begin_ = at_ = end_ = usual_end_ = nullptr;
  if (codec != Compression::none) {
    Result<Slice> packed =
        codecs.compress(codec, options_.level, batch.bytes().subspan(kBatchHeaderSize), kBatchHeaderSize);
    KLAMM_TRY(packed);
    built_ratio_ = static_cast<float>(packed->size() - kBatchHeaderSize) / static_cast<float>(records_bytes);
    batch = std::move(*packed);
  }
  const BatchHeader header{.base_offset = options_.base_offset,
                           .leader_epoch = options_.leader_epoch,
                           .attributes = static_cast<std::int16_t>(attributes),
                           .last_offset_delta = last_offset_delta,
                           .base_timestamp = base_timestamp_,
                           .max_timestamp = options_.log_append_time.value_or(max_timestamp_),
                           .producer_id = producer.id,
                           .producer_epoch = producer.epoch,
                           .base_sequence = producer.base_sequence,
                           .record_count = record_count_};
  write_batch_header({batch.mutable_data(), batch.size()}, header);
  record_count_ = 0;
  return batch;
}

Result<Slice> recompress(const BatchView& batch, Compression compression, int level, Codecs& codecs,
                         std::size_t limit_bytes) {
  Result<Slice> plain = plain_records(batch, codecs, limit_bytes);
  KLAMM_TRY(plain);
  BatchOptions options{.compression = compression,
                       .level = level,
                       .size_limit_bytes = kMostBatchBytes,
                       .initial_bytes = kBatchHeaderSize + plain->size() + 64,
                       .base_offset = batch.base_offset(),
                       .leader_epoch = batch.leader_epoch(),
                       .control = batch.is_control()};
  if (batch.timestamp_type() == TimestampType::log_append_time) options.log_append_time = batch.max_timestamp();
  if (batch.has_delete_horizon()) options.delete_horizon = batch.base_timestamp();
  BatchBuilder builder(options);
  RecordIterator records(batch, plain->bytes());
  for (RecordView record; records.next(record);) {
    if (!builder.append(record)) return fail(Errc::too_large, "a record batch of more than 2^31-1 bytes");
  }
  Result<void> status = records.status();
  KLAMM_TRY(status);
  if (builder.empty()) return fail(Errc::malformed, "a record batch without records to compress anew");
  return builder.build(codecs, {.id = batch.producer_id(),
                                .epoch = batch.producer_epoch(),
                                .base_sequence = batch.base_sequence(),
                                .transactional = batch.is_transactional()});
}

}  // namespace klamm::record
