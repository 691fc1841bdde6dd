// Records of a batch: a view of one, the iterator that reads them where they lie, and the broker's one-walk inspection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compress/codec.h"
#include "protocol/record/batch.h"
#include "protocol/record/varint.h"

namespace klamm::record {

using compress::Codecs;

// A key or value: bytes, or null, which Kafka tells from empty (a null value is a tombstone). Passed in two registers.
class NullableBytes {
 public:
  constexpr NullableBytes() = default;  // null
  constexpr NullableBytes(std::nullptr_t) {}
  constexpr NullableBytes(Bytes bytes) : data_(bytes.data()), size_(static_cast<std::int64_t>(bytes.size())) {}
  NullableBytes(std::string_view text) : NullableBytes(as_bytes(text)) {}
  NullableBytes(const char* text) : NullableBytes(std::string_view(text)) {}
  NullableBytes(const std::string& text) : NullableBytes(as_bytes(text)) {}
  NullableBytes(const Slice& slice) : NullableBytes(slice.bytes()) {}
  constexpr NullableBytes(const std::optional<Bytes>& bytes)
      : NullableBytes(bytes ? NullableBytes(*bytes) : NullableBytes()) {}

  constexpr bool is_null() const noexcept { return size_ < 0; }
  constexpr explicit operator bool() const noexcept { return size_ >= 0; }
  // 0 for null.
  constexpr std::size_t size() const noexcept { return size_ < 0 ? 0 : static_cast<std::size_t>(size_); }
  constexpr const std::byte* data() const noexcept { return data_; }
  // Empty for null.
  constexpr Bytes bytes() const noexcept { return {data_, size()}; }
  std::string_view text() const noexcept { return as_text(bytes()); }
  constexpr std::optional<Bytes> optional() const noexcept { return is_null() ? std::nullopt : std::optional(bytes()); }
  // As on the wire: -1 for null.
  constexpr std::int64_t signed_size() const noexcept { return size_; }

  // Equal bytes; null equals null only.
  friend bool operator==(const NullableBytes& left, const NullableBytes& right) noexcept {
    return left.size_ == right.size_ && (left.size_ <= 0 || std::memcmp(left.data_, right.data_, left.size()) == 0);
  }

  // A size as on the wire: below 0 is null.
  static constexpr NullableBytes sized(const std::byte* data, std::int64_t size) noexcept { return {data, size}; }

 private:
  constexpr NullableBytes(const std::byte* data, std::int64_t size) : data_(data), size_(size) {}
  const std::byte* data_ = nullptr;
  std::int64_t size_ = -1;
};

struct Header {
  std::string_view key;
  NullableBytes value;
};

// The headers of a record, parsed while they are walked. Only the iterators make one, after they checked the bytes.
class HeaderRange {
 public:
  HeaderRange() = default;
  HeaderRange(const std::byte* begin, const std::byte* end, std::int32_t count) noexcept
      : begin_(begin), end_(end), count_(count) {}

  class Iterator {
   public:
    using value_type = Header;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using pointer = const Header*;
    using reference = const Header&;
    Iterator() = default;
    Iterator(const std::byte* at, const std::byte* end, std::int32_t left) : at_(at), end_(end), left_(left) { load(); }
    const Header& operator*() const noexcept { return header_; }
    const Header* operator->() const noexcept { return &header_; }
    Iterator& operator++() {
      --left_;
      load();
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& other) const noexcept { return left_ == other.left_; }

   private:
    void load();
    const std::byte* at_ = nullptr;
    const std::byte* end_ = nullptr;
    std::int32_t left_ = 0;
    Header header_;
  };

  Iterator begin() const { return {begin_, end_, count_}; }
  Iterator end() const { return {}; }
  std::int32_t size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  // The encoded headers without their count: what a batch builder can copy as they are.
  Bytes encoded() const noexcept { return count_ == 0 ? Bytes() : Bytes(begin_, end_); }

 private:
  friend class RecordIterator;
  const std::byte* begin_ = nullptr;
  const std::byte* end_ = nullptr;
  std::int32_t count_ = 0;
};

// One record, borrowed from the bytes it was read from (batch, or its decompressed records).
struct RecordView {
  std::int64_t offset = 0;
  TimestampMs timestamp = kNoTimestamp;  // of the log append, where the batch has that type
  NullableBytes key;
  NullableBytes value;
  HeaderRange headers;
};

// The bytes of a batch's records, decompressed if need be: a part of the batch itself, or a new buffer of at most
// `limit` bytes. Fails with malformed, too_large, or unsupported for an unknown codec.
Result<Slice> plain_records(const BatchView& batch, Codecs& codecs, std::size_t limit);

// Reads a batch's records in order:
//
//   Result<Slice> plain = plain_records(batch, codecs, limit);
//   RecordIterator records(batch, plain->bytes());
//   for (RecordView record; records.next(record);) use(record);
//   Result<void> status = records.status();
//
// `plain` must stay alive while the views are used. Nothing is copied or allocated.
class RecordIterator {
 public:
  RecordIterator() = default;
  RecordIterator(const BatchView& batch, Bytes plain) noexcept;

  // Fills `record` with the next one. False at the end and at malformed bytes: status() tells which.
  bool next(RecordView& record) noexcept;
  // malformed if the walk stopped before the last record, or if bytes are left behind it.
  Result<void> status() const;
  // Records that were not read yet.
  std::int32_t left() const noexcept { return left_; }

 private:
  struct Placer;
  enum class Fault : std::int8_t { none, length, field, headers, left_over };
  bool next_general(RecordView& record) noexcept;
  bool stop(Fault fault) noexcept;
  bool read_headers(const std::byte* at, const std::byte* end, RecordView& record) noexcept;

  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  std::int64_t base_offset_ = 0;
  std::int64_t base_timestamp_ = 0;
  std::int64_t timestamp_mask_ = -1;  // 0 with log append time: deltas do not count
  std::int32_t count_ = 0;
  std::int32_t left_ = 0;
  Fault fault_ = Fault::none;
};

// What inspect_records looks for beyond the structure, and how far it goes.
struct InspectOptions {
  std::uint64_t limit_bytes = 1ULL << 30;   // most bytes that a compressed batch may unpack to
  bool list_null_keys = false;              // compacted topics refuse null keys
  TimestampMs least_timestamp = INT64_MIN;  // timestamps outside are listed; kNoTimestamp never is
  TimestampMs most_timestamp = INT64_MAX;
};

// Lists of record indexes are cut at this many; `…_count` tells the truth.
constexpr std::size_t kMaxListedRecords = 1000;

struct BatchFacts {
  std::int32_t record_count = 0;
  bool dense_offsets = true;            // offset deltas run 0, 1, 2, …
  bool increasing_offsets = true;       // each delta is above the one before
  std::int32_t last_offset_delta = -1;  // of the last record read
  TimestampMs min_timestamp = kNoTimestamp;
  TimestampMs max_timestamp = kNoTimestamp;
  std::int64_t max_timestamp_offset = -1;  // offset of the first record that has it (by the batch's base offset)
  std::uint64_t plain_bytes = 0;           // size of the records, decompressed
  std::int32_t null_key_count = 0;
  std::int32_t bad_timestamp_count = 0;
  std::vector<std::int32_t> null_keys;       // indexes in the batch
  std::vector<std::int32_t> bad_timestamps;  // indexes in the batch
};

// One walk over all records, for the broker before it appends a client's batch: each record's length, fields and
// headers are checked, records must be as many as the header says and end where the batch ends. Compressed batches are
// streamed through the codecs' small buffers. Nothing is allocated per record. Timestamps are the records' own
// (base + delta), whatever the timestamp type. The CRC is not looked at.
// Fails with malformed (Kafka: INVALID_RECORD), too_large (limit_bytes), unsupported (unknown codec).
Result<BatchFacts> inspect_records(const BatchView& batch, Codecs& codecs, const InspectOptions& options = {});

// --- implementation of the hot path ---

namespace detail {

// Length, attributes, time, offset and the key's size take at most this.
constexpr std::ptrdiff_t kMostBeforeKey = 3 * kMaxVarintSize + kMaxVarlongSize + 1;

// Reads the record at `at` if it is of the usual kind: not close to `limit`, below 8 KiB, close in time and offset to
// the batch's first, without headers. Its fields go to the sink as they are found: time(delta), offset(delta), key(…),
// value(…). Returns the record's end. Null says nothing about the record: the general path then decides.
// A negative (odd) size becomes huge by the rotation and fails the comparison that any size has to pass.
template <typename Sink>
[[gnu::always_inline]] inline const std::byte* parse_usual_record(const std::byte* at, const std::byte* limit,
                                                                  Sink&& sink) noexcept {
  if (limit - at < kMostBeforeKey) return nullptr;
  std::uint32_t bits = 0;
  at = read_short_bits<2>(at, bits);
  if (at == nullptr) return nullptr;
  const std::int64_t length = std::rotr(bits, 1);
  if (length > limit - at) return nullptr;
  const std::byte* const end = at + length;
  at = read_short_bits<3>(at + 1, bits);  // behind the attributes, of which no bit has a meaning
  if (at == nullptr) return nullptr;
  sink.time(unzigzag(static_cast<std::uint64_t>(bits)));
  at = read_short_bits<3>(at, bits);
  if (at == nullptr) return nullptr;
  sink.offset(unzigzag(bits));
  at = read_short_bits<2>(at, bits);
  if (at == nullptr) return nullptr;
  // Behind the key two bytes are still to come, the value's size and the header count. (Had the fields before it run
  // over the end, it would show here.)
  const std::ptrdiff_t most_key = end - at - 2;
  if (bits != 1) {
    const std::int64_t size = std::rotr(bits, 1);
    if (size > most_key) return nullptr;
    sink.key(NullableBytes::sized(at, size));
    at += size;
  } else {
    if (most_key < 0) return nullptr;
    sink.key(NullableBytes());
  }
  at = read_short_bits<2>(at, bits);
  if (at == nullptr) return nullptr;
  const std::int64_t size = end - at - 1;  // all but the header count, which is 0
  if (2 * size == static_cast<std::int64_t>(bits)) {
    sink.value(NullableBytes::sized(at, size));
  } else {
    if (bits != 1 || size != 0) return nullptr;
    sink.value(NullableBytes());
  }
  return end[-1] == std::byte{0} ? end : nullptr;
}

}  // namespace detail

// Puts the fields of a record into its view. (Stored as they are read: it keeps few values alive on the hot path.)
struct RecordIterator::Placer {
  const RecordIterator& iterator;
  RecordView& record;
  // Unsigned sums: a malformed delta may wrap around.
  void time(std::int64_t delta) const noexcept {
    record.timestamp = static_cast<std::int64_t>(static_cast<std::uint64_t>(iterator.base_timestamp_) +
                                                 static_cast<std::uint64_t>(delta & iterator.timestamp_mask_));
  }
  void offset(std::int32_t delta) const noexcept {
    record.offset = static_cast<std::int64_t>(static_cast<std::uint64_t>(iterator.base_offset_) +
                                              static_cast<std::uint64_t>(std::int64_t{delta}));
  }
  void key(NullableBytes key) const noexcept { record.key = key; }
  void value(NullableBytes value) const noexcept { record.value = value; }
};

// Inlined by force: the loop around it is where a consumer spends its time, and the call is a tenth of the work.
[[gnu::always_inline]] inline bool RecordIterator::next(RecordView& record) noexcept {
  const std::byte* const end = detail::parse_usual_record(at_, end_, Placer{*this, record});
  if (end != nullptr && --left_ >= 0) [[likely]] {
    record.headers.count_ = 0;
    at_ = end;
    return true;
  }
  return next_general(record);
}

}  // namespace klamm::record
