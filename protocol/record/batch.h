// A record batch of magic 2 as it lies on the wire and on disk: layout, a view without copy, patches in place, and the
// walk over concatenated log entries of any magic. Pure functions over bytes; any shard may use them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "protocol/compress/compression.h"

namespace klamm::record {

using compress::Compression;

// Each log entry, of any magic, begins with int64 offset and int32 size (of what follows).
constexpr std::size_t kLogOverhead = 12;
constexpr std::size_t kSizePosition = 8;
constexpr std::size_t kMagicPosition = 16;
// An entry's offset, size and magic can be told from this many bytes.
constexpr std::size_t kEntryHeadSize = 17;

// Positions in a batch of magic 2.
constexpr std::size_t kBaseOffsetPosition = 0;
constexpr std::size_t kBatchLengthPosition = 8;
constexpr std::size_t kLeaderEpochPosition = 12;
constexpr std::size_t kCrcPosition = 17;
constexpr std::size_t kAttributesPosition = 21;  // the CRC covers everything from here to the end
constexpr std::size_t kLastOffsetDeltaPosition = 23;
constexpr std::size_t kBaseTimestampPosition = 27;
constexpr std::size_t kMaxTimestampPosition = 35;
constexpr std::size_t kProducerIdPosition = 43;
constexpr std::size_t kProducerEpochPosition = 51;
constexpr std::size_t kBaseSequencePosition = 53;
constexpr std::size_t kRecordCountPosition = 57;
constexpr std::size_t kBatchHeaderSize = 61;

constexpr std::int8_t kMagic = 2;
constexpr std::int16_t kCompressionMask = 7;
constexpr std::int16_t kLogAppendTimeBit = 8;
constexpr std::int16_t kTransactionalBit = 16;
constexpr std::int16_t kControlBit = 32;
constexpr std::int16_t kDeleteHorizonBit = 64;

constexpr std::int64_t kNoTimestamp = -1;
constexpr std::int64_t kNoProducerId = -1;
constexpr std::int16_t kNoProducerEpoch = -1;
constexpr std::int32_t kNoSequence = -1;
constexpr std::int32_t kNoLeaderEpoch = -1;

enum class TimestampType : std::int8_t { create_time = 0, log_append_time = 1 };

// The sequence number `by` records after `sequence`: after 2^31-1 comes 0.
constexpr std::int32_t advance_sequence(std::int32_t sequence, std::int32_t by) noexcept {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(sequence) + static_cast<std::uint32_t>(by)) &
                                   0x7fffffffu);
}

// Who wrote a batch: an idempotent or transactional producer, or nobody in particular.
struct ProducerStamp {
  std::int64_t id = kNoProducerId;
  std::int16_t epoch = kNoProducerEpoch;
  std::int32_t base_sequence = kNoSequence;
  bool transactional = false;
};

// A batch's header, decoded. `crc` and `batch_length` are ignored by write_batch_header, which computes them.
struct BatchHeader {
  std::int64_t base_offset = 0;
  std::int32_t batch_length = 0;  // bytes after that field: the whole batch's size less kLogOverhead
  std::int32_t leader_epoch = kNoLeaderEpoch;
  std::uint32_t crc = 0;
  std::int16_t attributes = 0;
  std::int32_t last_offset_delta = 0;
  TimestampMs base_timestamp = kNoTimestamp;  // or the delete horizon, if the attributes say so
  TimestampMs max_timestamp = kNoTimestamp;
  std::int64_t producer_id = kNoProducerId;
  std::int16_t producer_epoch = kNoProducerEpoch;
  std::int32_t base_sequence = kNoSequence;
  std::int32_t record_count = 0;
};

// Writes the header of the batch that fills `batch` (records in place from kBatchHeaderSize on), with length and CRC.
// `batch` holds at least kBatchHeaderSize bytes.
void write_batch_header(MutableBytes batch, const BatchHeader& header) noexcept;

// One whole batch of magic 2, without copy; keeps the slice's buffer alive. Cheap to copy.
// Field accessors trust nothing but the size: parse() has checked that the header is there.
class BatchView {
 public:
  // `batch` must be exactly one batch. Fails with malformed when the size, the length field or the magic do not fit;
  // the CRC is not checked here.
  static Result<BatchView> parse(Slice batch);

  std::int64_t base_offset() const noexcept { return field<std::int64_t>(kBaseOffsetPosition); }
  std::int32_t leader_epoch() const noexcept { return field<std::int32_t>(kLeaderEpochPosition); }
  std::uint32_t crc() const noexcept { return field<std::uint32_t>(kCrcPosition); }
  std::int16_t attributes() const noexcept { return field<std::int16_t>(kAttributesPosition); }
  std::int32_t last_offset_delta() const noexcept { return field<std::int32_t>(kLastOffsetDeltaPosition); }
  // The raw field: the base of the records' timestamp deltas, also where it is the delete horizon.
  TimestampMs base_timestamp() const noexcept { return field<std::int64_t>(kBaseTimestampPosition); }
  TimestampMs max_timestamp() const noexcept { return field<std::int64_t>(kMaxTimestampPosition); }
  std::int64_t producer_id() const noexcept { return field<std::int64_t>(kProducerIdPosition); }
  std::int16_t producer_epoch() const noexcept { return field<std::int16_t>(kProducerEpochPosition); }
  std::int32_t base_sequence() const noexcept { return field<std::int32_t>(kBaseSequencePosition); }
  std::int32_t record_count() const noexcept { return field<std::int32_t>(kRecordCountPosition); }
  BatchHeader header() const noexcept;

  std::int64_t last_offset() const noexcept { return base_offset() + last_offset_delta(); }
  std::int64_t next_offset() const noexcept { return last_offset() + 1; }
  // kNoSequence where the batch has none.
  std::int32_t last_sequence() const noexcept {
    const std::int32_t base = base_sequence();
    return base == kNoSequence ? kNoSequence : advance_sequence(base, last_offset_delta());
  }
  // Nothing for the values 5..7 that no codec has.
  std::optional<Compression> compression() const noexcept {
    return compress::compression_of(attributes() & kCompressionMask);
  }
  bool is_compressed() const noexcept { return (attributes() & kCompressionMask) != 0; }
  TimestampType timestamp_type() const noexcept {
    return (attributes() & kLogAppendTimeBit) ? TimestampType::log_append_time : TimestampType::create_time;
  }
  bool is_transactional() const noexcept { return attributes() & kTransactionalBit; }
  bool is_control() const noexcept { return attributes() & kControlBit; }
  bool has_delete_horizon() const noexcept { return attributes() & kDeleteHorizonBit; }
  bool has_producer_id() const noexcept { return producer_id() > kNoProducerId; }

  // checksum_mismatch if the CRC does not fit the bytes it covers.
  Result<void> check_crc() const;
  bool crc_fits() const noexcept;

  std::size_t size_bytes() const noexcept { return batch_.size(); }
  const Slice& slice() const noexcept { return batch_; }
  // What follows the header: records, or one compressed block of them.
  Bytes records_bytes() const noexcept { return batch_.bytes().subspan(kBatchHeaderSize); }
  Slice records_slice() const { return batch_.from(kBatchHeaderSize); }

 private:
  explicit BatchView(Slice batch) : batch_(std::move(batch)) {}
  template <typename Int>
  Int field(std::size_t position) const noexcept {
    return load_big_endian<Int>(batch_.data() + position);
  }
  Slice batch_;
};

// Patches in place. `batch` is a whole batch of magic 2 that only the caller uses (see Slice::mutable_data).
// Outside of the CRC, a few stores:
void patch_base_offset(MutableBytes batch, std::int64_t base_offset) noexcept;
void patch_leader_epoch(MutableBytes batch, std::int32_t leader_epoch) noexcept;
// Inside of it; the CRC is computed anew over the whole batch:
void patch_max_timestamp_and_type(MutableBytes batch, TimestampMs max_timestamp, TimestampType type) noexcept;
void patch_producer(MutableBytes batch, const ProducerStamp& producer) noexcept;

// --- Entries of a log or of a records field: batches of magic 2 and messages of magic 0 and 1 ---

enum class EntryStatus {
  whole,       // the entry is there from end to end
  incomplete,  // the bytes end inside it: a torn write, or a fetch cut at its limit
  malformed,   // its size or magic cannot be
};

struct EntryHead {
  EntryStatus status = EntryStatus::incomplete;
  std::size_t size_bytes = 0;  // of the whole entry with its first 12 bytes; 0 if not yet known (fewer than 12 bytes)
  std::int64_t offset = 0;     // base offset (magic 2), else the offset of the message or of the wrapper's last one
  std::int8_t magic = -1;      // -1 if not yet known (fewer than 17 bytes)
};

// What `bytes` begin with. Nothing is checked but size and magic. Empty bytes are an incomplete entry of size 0.
EntryHead peek_entry(Bytes bytes) noexcept;

// Walks the entries of a slice: `while (cursor.next()) use(cursor.entry(), cursor.magic());` and then tail().
class BatchCursor {
 public:
  explicit BatchCursor(Slice entries) : rest_(std::move(entries)) {}

  // True if there was another whole entry.
  bool next();
  const Slice& entry() const noexcept { return entry_; }
  std::int8_t magic() const noexcept { return head_.magic; }
  const EntryHead& head() const noexcept { return head_; }
  // Where the current entry begins in the slice given.
  std::size_t position() const noexcept { return position_; }
  // The current entry as a batch; malformed if its magic is 0 or 1.
  Result<BatchView> batch() const { return BatchView::parse(entry_); }

  // After next() was false: why. `whole` means that nothing was left.
  EntryStatus tail() const noexcept { return rest_.empty() ? EntryStatus::whole : head_.status; }
  const Slice& rest() const noexcept { return rest_; }
  // malformed if the walk ended at bytes that cannot be an entry; an incomplete tail is no error.
  Result<void> check_tail() const;

 private:
  Slice rest_;
  Slice entry_;
  EntryHead head_;
  std::size_t position_ = 0;
  std::size_t next_position_ = 0;
};

}  // namespace klamm::record
