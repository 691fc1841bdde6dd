// Encodes the wire format into one buffer of the exact size, which the caller computed before. `records` values are
// not copied into it: they become pieces of their own between the parts of the buffer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/uuid.h"
#include "io/piece.h"
#include "protocol/wire/records.h"
#include "protocol/wire/tags.h"

namespace klamm::wire {

// What becomes of the bytes of a `records` field.
enum class RecordsMode {
  splice,  // references in take_pieces(); the buffer holds everything else
  copy,    // copied into the buffer, for take_slice(); they must be in memory
};

// Writing more than `bytes`, or taking the result before all of them are written, is a broken invariant.
class Writer {
 public:
  explicit Writer(std::size_t bytes, RecordsMode mode = RecordsMode::splice)
      : buffer_(Buffer::allocate(bytes)), at_(buffer_->data()), piece_(at_), end_(at_ + bytes), mode_(mode) {}

  // The whole output; the Writer is used up.
  io::Pieces take_pieces();
  Slice take_slice();

  void write_bool(bool value) { write_int8(value ? 1 : 0); }
  void write_int8(std::int8_t value) { *room(1) = static_cast<std::byte>(value); }
  void write_int16(std::int16_t value) { write_fixed(value); }
  void write_uint16(std::uint16_t value) { write_fixed(value); }
  void write_int32(std::int32_t value) { write_fixed(value); }
  void write_uint32(std::uint32_t value) { write_fixed(value); }
  void write_int64(std::int64_t value) { write_fixed(value); }
  void write_float64(double value);
  void write_uuid(const Uuid& uuid) {
    write_fixed(uuid.high);
    write_fixed(uuid.low);
  }

  void write_uvarint(std::uint64_t value);
  void write_varint(std::int32_t value) {
    write_uvarint((static_cast<std::uint32_t>(value) << 1) ^ static_cast<std::uint32_t>(value >> 31));
  }
  void write_varlong(std::int64_t value) {
    write_uvarint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }

  // `flexible` chooses between the classic and the compact form of lengths.
  void write_string(std::string_view text, bool flexible);
  void write_string(const std::string& text, bool flexible) { write_string(std::string_view(text), flexible); }
  void write_string(const std::optional<std::string>& text, bool flexible);
  void write_bytes(const Slice& bytes, bool flexible);
  void write_bytes(const std::optional<Slice>& bytes, bool flexible);
  void write_records(const Records& records, bool flexible);
  // Bytes as they are, without a length.
  void write_raw(Bytes bytes);

  // The count in front of an array, or null in its place.
  void write_count(std::size_t count, bool flexible);
  void write_null(bool flexible);
  void write_array(const std::vector<std::int8_t>& values, bool flexible);
  void write_array(const std::vector<std::int16_t>& values, bool flexible);
  void write_array(const std::vector<std::int32_t>& values, bool flexible);
  void write_array(const std::vector<std::int64_t>& values, bool flexible);
  void write_array(const std::vector<Uuid>& values, bool flexible);
  void write_array(const std::vector<std::string>& values, bool flexible);
  template <typename T>
  void write_array(const std::optional<std::vector<T>>& values, bool flexible) {
    if (values) {
      write_array(*values, flexible);
    } else {
      write_null(flexible);
    }
  }

  // The marker before an inline nullable struct, and before one in a tagged field.
  void write_presence(bool present) { write_int8(present ? 1 : -1); }
  void write_tagged_presence(bool present) { write_int8(present ? 1 : 0); }

  // The front of a tagged field; its value must follow.
  void write_tag(std::uint32_t tag, std::size_t value_bytes) {
    write_uvarint(tag);
    write_uvarint(value_bytes);
  }
  // Writes the fields of `tags` from index `from` on whose tag is below `limit`; returns the index of the first left.
  std::size_t write_unknown_tags(const UnknownTags& tags, std::size_t from, std::uint32_t limit = ~std::uint32_t{0});

 private:
  std::byte* room(std::size_t bytes) {
    KLAMM_CHECK(static_cast<std::size_t>(end_ - at_) >= bytes, "more bytes written than were announced");
    std::byte* const at = at_;
    at_ += bytes;
    return at;
  }
  template <typename Int>
  void write_fixed(Int value) {
    store_big_endian(room(sizeof value), value);
  }
  template <typename Int>
  void write_ints(const std::vector<Int>& values, bool flexible);
  // Ends the current piece of the buffer.
  void cut();

  Buffer::Ref buffer_;
  std::byte* at_;
  std::byte* piece_;  // where the piece that is being written began
  std::byte* end_;
  RecordsMode mode_;
  io::Pieces pieces_;
};

}  // namespace klamm::wire
