// The broker's walk over a client's batch: every record checked, nothing kept.
#include <fmt/format.h>

#include <algorithm>

#include "protocol/record/record.h"

namespace klamm::record {

namespace {

// The fields of a record that its facts come from.
struct Fields {
  std::int64_t timestamp_delta = 0;
  std::int32_t offset_delta = 0;
  bool null_key = false;

  // As a sink of detail::parse_usual_record.
  void time(std::int64_t delta) { timestamp_delta = delta; }
  void offset(std::int32_t delta) { offset_delta = delta; }
  void key(NullableBytes key) { null_key = key.is_null(); }
  void value(NullableBytes) {}
};

class FactsCollector {
 public:
  FactsCollector(const BatchView& batch, const InspectOptions& options)
      : options_(options), base_timestamp_(batch.base_timestamp()), base_offset_(batch.base_offset()) {}

  void note(const Fields& fields) {
    const std::int32_t index = facts_.record_count++;
    if (fields.offset_delta != index) [[unlikely]] {  // dense offsets rise anyway
      facts_.dense_offsets = false;
    }
    if (!facts_.dense_offsets && index > 0 && fields.offset_delta <= facts_.last_offset_delta) {
      facts_.increasing_offsets = false;
    }
    facts_.last_offset_delta = fields.offset_delta;
    const auto timestamp = static_cast<TimestampMs>(static_cast<std::uint64_t>(base_timestamp_) +
                                                    static_cast<std::uint64_t>(fields.timestamp_delta));
    if (index == 0 || timestamp > facts_.max_timestamp) {
      facts_.max_timestamp = timestamp;
      facts_.max_timestamp_offset = static_cast<std::int64_t>(
          static_cast<std::uint64_t>(base_offset_) + static_cast<std::uint64_t>(std::int64_t{fields.offset_delta}));
    }
    if (index == 0 || timestamp < facts_.min_timestamp) facts_.min_timestamp = timestamp;
    if (timestamp < options_.least_timestamp || timestamp > options_.most_timestamp) [[unlikely]] {
      if (timestamp != kNoTimestamp) list(index, facts_.bad_timestamp_count, facts_.bad_timestamps);
    }
    if (fields.null_key && options_.list_null_keys) list(index, facts_.null_key_count, facts_.null_keys);
  }

  BatchFacts& facts() { return facts_; }

 private:
  static void list(std::int32_t index, std::int32_t& count, std::vector<std::int32_t>& indexes) {
    ++count;
    if (indexes.size() < kMaxListedRecords) indexes.push_back(index);
  }

  const InspectOptions& options_;
  TimestampMs base_timestamp_;
  std::int64_t base_offset_;
  BatchFacts facts_;
};

// Reads one byte range: the body of a record that lies in one piece.
class Plain {
 public:
  Plain(const std::byte* at, const std::byte* end) : at_(at), end_(end) {}
  template <typename Int>
  bool varint(Int& value) {
    const std::byte* next = read_varint(at_, end_, value);
    if (!next) return false;
    at_ = next;
    return true;
  }
  bool skip(std::int32_t bytes) {
    if (bytes > end_ - at_) return false;
    at_ += bytes;
    return true;
  }
  bool at_end() const { return at_ == end_; }

 private:
  const std::byte* at_;
  const std::byte* end_;
};

// Reads a record's body that crosses the pieces of a decompressed stream.
class Pieces {
 public:
  explicit Pieces(compress::Decompressor& stream) : stream_(stream) {}

  // The bytes of the current piece that were not read yet.
  Bytes piece() const { return piece_; }
  void consume(std::size_t bytes) { piece_ = piece_.subspan(bytes); }
  // True if there are further bytes; false at the end of the stream, and on failure().
  bool refill() {
    if (!piece_.empty()) return true;
    Result<Bytes> next = stream_.next();
    if (!next) {
      failure_ = std::move(next).error();
      return false;
    }
    piece_ = *next;
    return !piece_.empty();
  }
  const std::optional<Error>& failure() const { return failure_; }

  // Bounds the reads below to the next `bytes` bytes.
  void begin_body(std::int32_t bytes) { body_left_ = bytes; }
  template <typename Int>
  bool varint(Int& value) {
    std::byte bytes[kMaxVarlongSize];
    std::size_t size = 0;
    do {
      if (size == sizeof bytes || body_left_ == 0 || !refill()) return false;
      bytes[size] = piece_.front();
      consume(1);
      --body_left_;
    } while ((bytes[size++] & std::byte{0x80}) != std::byte{0});
    return read_varint(bytes, bytes + size, value) == bytes + size;
  }
  bool skip(std::int32_t bytes) {
    if (bytes > body_left_) return false;
    body_left_ -= bytes;
    while (bytes > 0) {
      if (!refill()) return false;
      const std::size_t step = std::min(piece_.size(), static_cast<std::size_t>(bytes));
      consume(step);
      bytes -= static_cast<std::int32_t>(step);
    }
    return true;
  }
  bool at_end() const { return body_left_ == 0; }

 private:
  compress::Decompressor& stream_;
  Bytes piece_;
  std::int32_t body_left_ = 0;
  std::optional<Error> failure_;
};

// A key or value, -1 being null; or a header's key, which must not be null.
template <typename Source>
bool skip_sized(Source& source, std::int32_t least) {
  std::int32_t size = 0;
  return source.varint(size) && size >= least && (size <= 0 || source.skip(size));
}

// What follows a record's length.
template <typename Source>
bool read_body(Source& source, Fields& fields) {
  if (!source.skip(1)) return false;  // attributes: no bit has a meaning
  if (!source.varint(fields.timestamp_delta) || !source.varint(fields.offset_delta)) return false;
  std::int32_t key_size = 0;
  if (!source.varint(key_size) || key_size < -1 || (key_size > 0 && !source.skip(key_size))) return false;
  fields.null_key = key_size < 0;
  if (!skip_sized(source, -1)) return false;
  std::int32_t headers = 0;
  if (!source.varint(headers) || headers < 0) return false;
  for (; headers > 0; --headers) {
    if (!skip_sized(source, 0) || !skip_sized(source, -1)) return false;
  }
  return source.at_end();
}

Error bad_record(const BatchView& batch, std::int32_t index) {
  return Error(Errc::malformed, fmt::format("record {} of {} in the batch at offset {} does not decode", index,
                                            batch.record_count(), batch.base_offset()));
}
Error left_over(const BatchView& batch) {
  return Error(Errc::malformed, fmt::format("bytes behind the last of {} records in the batch at offset {}",
                                            batch.record_count(), batch.base_offset()));
}

// Bytes that the codec cannot unpack, apart from records that do not decode: a broker answers each in its own way.
Error undecodable(const Error& failure) {
  return failure == Errc::malformed ? Error(Errc::corrupt, failure.context()) : failure;
}

Result<void> walk_plain(const BatchView& batch, FactsCollector& collector) {
  const Bytes records = batch.records_bytes();
  const std::byte* at = records.data();
  const std::byte* const end = at + records.size();
  for (std::int32_t index = 0; index < batch.record_count(); ++index) {
    Fields usual;
    if (const std::byte* next = detail::parse_usual_record(at, end, usual)) [[likely]] {
      collector.note(usual);
      at = next;
      continue;
    }
    std::int32_t length = 0;
    at = read_varint(at, end, length);
    if (!at || length < 0 || length > end - at) return fail(bad_record(batch, index));
    Plain body(at, at + length);
    Fields fields;
    if (!read_body(body, fields)) return fail(bad_record(batch, index));
    collector.note(fields);
    at += length;
  }
  if (at != end) return fail(left_over(batch));
  collector.facts().plain_bytes = records.size();
  return {};
}

Result<void> walk_compressed(const BatchView& batch, compress::Decompressor& stream, FactsCollector& collector) {
  Pieces pieces(stream);
  for (std::int32_t index = 0; index < batch.record_count(); ++index) {
    Fields fields;
    std::int32_t length = 0;
    pieces.begin_body(kMaxVarintSize);
    bool good = pieces.varint(length) && length >= 0;
    if (good && static_cast<std::size_t>(length) <= pieces.piece().size()) {
      const std::byte* const at = pieces.piece().data();
      Plain body(at, at + length);
      good = read_body(body, fields);
      pieces.consume(static_cast<std::size_t>(length));
    } else if (good) {
      pieces.begin_body(length);
      good = read_body(pieces, fields);
    }
    if (pieces.failure()) return fail(undecodable(*pieces.failure()));
    if (!good) return fail(bad_record(batch, index));
    collector.note(fields);
  }
  if (pieces.refill()) return fail(left_over(batch));
  if (pieces.failure()) return fail(undecodable(*pieces.failure()));
  collector.facts().plain_bytes = stream.total_bytes();
  return {};
}

}  // namespace

Result<BatchFacts> inspect_records(const BatchView& batch, Codecs& codecs, const InspectOptions& options) {
  const std::optional<Compression> codec = batch.compression();
  if (!codec) {
    return fail(Errc::unsupported, fmt::format("compression codec {}", batch.attributes() & kCompressionMask));
  }
  if (batch.record_count() < 0) return fail(Errc::malformed, fmt::format("{} records", batch.record_count()));
  FactsCollector collector(batch, options);
  Result<void> walked;
  if (*codec == Compression::none) {
    walked = walk_plain(batch, collector);
  } else if (batch.record_count() > 0 || !batch.records_bytes().empty()) {
    compress::Decompressor stream(codecs, *codec, batch.records_bytes(), options.limit_bytes);
    walked = walk_compressed(batch, stream, collector);
  }
  KLAMM_TRY(walked);
  return std::move(collector.facts());
}

}  // namespace klamm::record
