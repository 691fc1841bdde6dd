// Message sets of magic 0 and 1, which old segments still hold: read, never written and never converted.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compress/codec.h"
#include "protocol/record/batch.h"
#include "protocol/record/record.h"

namespace klamm::record {

constexpr std::size_t kLegacyOverheadMagic0 = 14;
constexpr std::size_t kLegacyOverheadMagic1 = 22;

// One entry: a message, or the wrapper of a compressed message set. No copy; keeps the slice's buffer alive.
class LegacyView {
 public:
  // `entry` must be exactly one entry of magic 0 or 1 (BatchCursor gives them). malformed if a length does not fit.
  static Result<LegacyView> parse(Slice entry);

  // Of the message; of the last one inside, for a wrapper.
  std::int64_t offset() const noexcept { return load_big_endian<std::int64_t>(entry_.data()); }
  std::int8_t magic() const noexcept { return static_cast<std::int8_t>(entry_[kMagicPosition]); }
  std::int8_t attributes() const noexcept { return static_cast<std::int8_t>(entry_[kMagicPosition + 1]); }
  std::uint32_t crc() const noexcept { return load_big_endian<std::uint32_t>(entry_.data() + kLogOverhead); }
  // Nothing for the values 4..7: zstd does not exist here.
  std::optional<Compression> compression() const noexcept;
  bool is_compressed() const noexcept { return (attributes() & kCompressionMask) != 0; }
  TimestampType timestamp_type() const noexcept {
    return magic() == 1 && (attributes() & kLogAppendTimeBit) ? TimestampType::log_append_time
                                                              : TimestampType::create_time;
  }
  // kNoTimestamp for magic 0.
  TimestampMs timestamp() const noexcept;
  NullableBytes key() const noexcept { return key_; }
  NullableBytes value() const noexcept { return value_; }
  Result<void> check_crc() const;
  const Slice& slice() const noexcept { return entry_; }

 private:
  explicit LegacyView(Slice entry) : entry_(std::move(entry)) {}
  Slice entry_;
  NullableBytes key_;
  NullableBytes value_;
};

// The records of one entry: itself, or those inside of a wrapper. Same use as RecordIterator:
//
//   Result<LegacyIterator> records = LegacyIterator::open(entry, codecs, limit);
//   for (RecordView record; records->next(record);) use(record);
//   Result<void> status = records->status();
//
// Views borrow from the entry or from memory that the iterator owns.
class LegacyIterator {
 public:
  // Checks the CRC of the entry, and of inner messages as they are read. Fails with malformed, checksum_mismatch,
  // too_large (a wrapper that unpacks to more than `limit` bytes), unsupported (unknown codec).
  static Result<LegacyIterator> open(Slice entry, Codecs& codecs, std::size_t limit);

  bool next(RecordView& record);
  Result<void> status() const;
  std::int64_t first_offset() const noexcept { return first_offset_; }
  std::int64_t last_offset() const noexcept { return last_offset_; }
  // The memory that the views borrow from.
  const Slice& memory() const noexcept { return inner_; }

 private:
  explicit LegacyIterator(LegacyView outer) : outer_(std::move(outer)) {}
  Result<void> open_wrapper(Codecs& codecs, std::size_t limit);

  LegacyView outer_;
  Slice inner_;  // the decompressed message set, or the entry itself
  std::size_t at_ = 0;
  std::int64_t inner_base_ = 0;  // what inner offsets are relative to (magic 1 wrappers)
  std::int64_t first_offset_ = 0;
  std::int64_t last_offset_ = 0;
  std::optional<Error> error_;
};

}  // namespace klamm::record
