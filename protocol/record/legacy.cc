#include "protocol/record/legacy.h"

#include <fmt/format.h>

#include "protocol/record/crc32c.h"

namespace klamm::record {

namespace {

constexpr std::size_t kTimestampPosition = kMagicPosition + 2;  // magic 1 only

// A sized field at `position` of the entry; moves `position` behind it.
Result<NullableBytes> take_sized(Bytes entry, std::size_t& position) {
  if (entry.size() - position < 4) return fail(Errc::malformed, "a message's field is cut short");
  const std::int32_t size = load_big_endian<std::int32_t>(entry.data() + position);
  position += 4;
  if (size == -1) return NullableBytes();
  if (size < 0 || static_cast<std::size_t>(size) > entry.size() - position) {
    return fail(Errc::malformed,
                fmt::format("a message's field of {} bytes where {} are left", size, entry.size() - position));
  }
  const Bytes field = entry.subspan(position, static_cast<std::size_t>(size));
  position += field.size();
  return NullableBytes(field);
}

std::int64_t plus(std::int64_t left, std::int64_t right) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(left) + static_cast<std::uint64_t>(right));
}

}  // namespace

Result<LegacyView> LegacyView::parse(Slice entry) {
  const EntryHead head = peek_entry(entry.bytes());
  if (head.status != EntryStatus::whole || head.size_bytes != entry.size()) {
    return fail(Errc::malformed, fmt::format("{} bytes are not one message", entry.size()));
  }
  if (head.magic != 0 && head.magic != 1) return fail(Errc::malformed, fmt::format("message of magic {}", head.magic));
  LegacyView view(std::move(entry));
  std::size_t position = kTimestampPosition + (head.magic == 1 ? 8 : 0);
  Result<NullableBytes> key = take_sized(view.entry_.bytes(), position);
  KLAMM_TRY(key);
  Result<NullableBytes> value = take_sized(view.entry_.bytes(), position);
  KLAMM_TRY(value);
  if (position != view.entry_.size()) return fail(Errc::malformed, "bytes behind a message's value");
  view.key_ = *key;
  view.value_ = *value;
  return view;
}

std::optional<Compression> LegacyView::compression() const noexcept {
  const std::optional<Compression> codec = compress::compression_of(attributes() & kCompressionMask);
  return codec == Compression::zstd ? std::nullopt : codec;
}

TimestampMs LegacyView::timestamp() const noexcept {
  return magic() == 1 ? load_big_endian<std::int64_t>(entry_.data() + kTimestampPosition) : kNoTimestamp;
}

Result<void> LegacyView::check_crc() const {
  const std::uint32_t computed = crc32_ieee(entry_.bytes().subspan(kMagicPosition));
  if (computed == crc()) return {};
  return fail(Errc::checksum_mismatch,
              fmt::format("message at offset {}: CRC stored {:08x}, computed {:08x}", offset(), crc(), computed));
}

Result<LegacyIterator> LegacyIterator::open(Slice entry, Codecs& codecs, std::size_t limit) {
  Result<LegacyView> outer = LegacyView::parse(std::move(entry));
  KLAMM_TRY(outer);
  Result<void> good = outer->check_crc();
  KLAMM_TRY(good);
  LegacyIterator records(std::move(*outer));
  if (records.outer_.is_compressed()) {
    Result<void> opened = records.open_wrapper(codecs, limit);
    if (!opened) {
      return fail(std::move(opened).error().in(fmt::format("messages up to offset {}", records.outer_.offset())));
    }
  } else {
    records.inner_ = records.outer_.slice();
    records.first_offset_ = records.last_offset_ = records.outer_.offset();
  }
  return records;
}

Result<void> LegacyIterator::open_wrapper(Codecs& codecs, std::size_t limit) {
  const std::optional<Compression> codec = outer_.compression();
  if (!codec) {
    return fail(Errc::unsupported, fmt::format("compression codec {}", outer_.attributes() & kCompressionMask));
  }
  if (outer_.value().is_null()) return fail(Errc::malformed, "a compressed message without a value");
  const auto header_check = outer_.magic() == 0 ? compress::Lz4HeaderCheck::skipped : compress::Lz4HeaderCheck::strict;
  Result<Slice> inner = codecs.decompress(*codec, outer_.value().bytes(), limit, header_check);
  KLAMM_TRY(inner);
  inner_ = std::move(*inner);

  std::optional<std::int64_t> first;
  std::int64_t last = 0;
  BatchCursor cursor(inner_);
  while (cursor.next()) {
    if (cursor.magic() != outer_.magic()) return fail(Errc::malformed, "an inner message of another magic");
    if (static_cast<std::int8_t>(cursor.entry()[kMagicPosition + 1]) & kCompressionMask) {
      return fail(Errc::malformed, "a compressed message inside of another");
    }
    last = cursor.head().offset;
    if (!first) first = last;
  }
  if (cursor.tail() != EntryStatus::whole) return fail(Errc::malformed, "the inner messages are cut short");
  if (!first) return fail(Errc::malformed, "a compressed message set without messages");
  if (outer_.magic() == 1) inner_base_ = plus(outer_.offset(), -last);
  first_offset_ = plus(inner_base_, *first);
  last_offset_ = plus(inner_base_, last);
  return {};
}

bool LegacyIterator::next(RecordView& record) {
  if (error_ || at_ == inner_.size()) return false;
  const EntryHead head = peek_entry(inner_.bytes().subspan(at_));
  KLAMM_CHECK(head.status == EntryStatus::whole);  // open() walked them
  Result<LegacyView> message = LegacyView::parse(inner_.part(at_, head.size_bytes));
  if (message && outer_.is_compressed()) {
    Result<void> good = message->check_crc();
    if (!good) message = fail(std::move(good).error());
  }
  if (!message) {
    error_ = std::move(message).error();
    return false;
  }
  at_ += head.size_bytes;
  record.offset = plus(inner_base_, message->offset());
  record.timestamp =
      outer_.timestamp_type() == TimestampType::log_append_time ? outer_.timestamp() : message->timestamp();
  record.key = message->key();
  record.value = message->value();
  record.headers = HeaderRange();
  return true;
}

Result<void> LegacyIterator::status() const {
  if (error_) return fail(*error_);
  return {};
}

}  // namespace klamm::record
