// Decodes the wire format from a Slice. Every read is checked against the bytes left; the first fault sticks, and from
// then on all reads give zeros and empties, so decoders need no branch a field: they look at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/uuid.h"
#include "protocol/wire/records.h"
#include "protocol/wire/tags.h"

namespace klamm::wire {

class Reader {
 public:
  explicit Reader(Slice slice) : slice_(std::move(slice)), at_(slice_.begin()), end_(slice_.end()) {}

  bool ok() const noexcept { return fault_ == nullptr; }
  std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  // Bytes used so far (all of them after a fault).
  std::size_t position() const noexcept { return static_cast<std::size_t>(at_ - slice_.begin()); }
  // Success, or Errc::malformed with the first fault and its position.
  Result<void> status() const;
  // status(), and a fault if bytes are left over.
  Result<void> finish() const;
  // Records a fault found by the caller. `what` is a literal.
  void fail(const char* what) noexcept {
    if (fault_ == nullptr) {
      fault_ = what;
      fault_position_ = position();
    }
    at_ = end_;
  }

  bool read_bool() { return read_int8() != 0; }
  std::int8_t read_int8() {
    if (at_ == end_) [[unlikely]] {
      fail(kShort);
      return 0;
    }
    return static_cast<std::int8_t>(*at_++);
  }
  std::int16_t read_int16() { return read_fixed<std::int16_t>(); }
  std::uint16_t read_uint16() { return read_fixed<std::uint16_t>(); }
  std::int32_t read_int32() { return read_fixed<std::int32_t>(); }
  std::uint32_t read_uint32() { return read_fixed<std::uint32_t>(); }
  std::int64_t read_int64() { return read_fixed<std::int64_t>(); }
  double read_float64();
  Uuid read_uuid();

  // Unsigned varints of up to 32 and 64 bits, and zigzag ones. Longer forms than the type can need are faults.
  std::uint32_t read_uvarint() {
    if (at_ != end_ && static_cast<std::uint8_t>(*at_) < 0x80) return static_cast<std::uint8_t>(*at_++);
    return read_long_uvarint();
  }
  std::uint64_t read_uvarlong();
  std::int32_t read_varint() {
    const std::uint32_t raw = read_uvarint();
    return static_cast<std::int32_t>((raw >> 1) ^ (~(raw & 1) + 1));
  }
  std::int64_t read_varlong() {
    const std::uint64_t raw = read_uvarlong();
    return static_cast<std::int64_t>((raw >> 1) ^ (~(raw & 1) + 1));
  }

  // `flexible` chooses between the classic and the compact form of lengths. Null where the name does not say nullable
  // is a fault.
  std::string read_string(bool flexible);
  std::optional<std::string> read_nullable_string(bool flexible);
  Slice read_bytes(bool flexible);
  std::optional<Slice> read_nullable_bytes(bool flexible);
  Records read_records(bool flexible);
  Records read_nullable_records(bool flexible);
  // The same into a member, which costs generated code a plain call instead of an inlined move.
  void read_string(std::string& into, bool flexible);
  void read_string(std::optional<std::string>& into, bool flexible);
  void read_nullable_string(std::optional<std::string>& into, bool flexible);
  void read_bytes(Slice& into, bool flexible);
  void read_bytes(std::optional<Slice>& into, bool flexible);
  void read_nullable_bytes(std::optional<Slice>& into, bool flexible);
  void read_records(Records& into, bool flexible);
  void read_nullable_records(Records& into, bool flexible);
  // The next `size` bytes, sharing the frame's buffer.
  Slice read_raw(std::size_t size);
  // All that is left.
  Slice read_rest() { return read_raw(remaining()); }

  // The element count of an array; a fault unless the bytes left could hold that many elements of at least
  // `element_bytes` (> 0) each.
  std::size_t read_count(bool flexible, std::size_t element_bytes);
  // The same; nullopt for null.
  std::optional<std::size_t> read_nullable_count(bool flexible, std::size_t element_bytes);
  // Arrays of std::int8_t, int16_t, int32_t, int64_t, Uuid and std::string.
  template <typename T>
  std::vector<T> read_array(bool flexible);
  template <typename T>
  std::optional<std::vector<T>> read_nullable_array(bool flexible);
  template <typename T>
  void read_array(std::vector<T>& into, bool flexible);
  template <typename T>
  void read_array(std::optional<std::vector<T>>& into, bool flexible);
  template <typename T>
  void read_nullable_array(std::optional<std::vector<T>>& into, bool flexible);
  // How many elements of `element_memory` bytes to reserve for `count` announced ones: no more memory than bytes are
  // left (and one element), the rest grows as elements really come.
  std::size_t reservable(std::size_t count, std::size_t element_memory) const noexcept {
    const std::size_t justified = remaining() / element_memory + 1;
    return count < justified ? count : justified;
  }

  // The marker before an inline nullable struct, and before one in a tagged field. True if the struct follows.
  bool read_presence() { return read_int8() >= 0; }
  bool read_tagged_presence() { return read_uvarint() != 0; }

  // One tagged field: its tag, and the position at which its value must end.
  struct Tag {
    std::uint32_t tag = 0;
    std::size_t end = 0;
  };
  // The count of a tagged section (each field takes at least two bytes).
  std::uint32_t read_tag_count();
  Tag read_tag();
  // Called after the value of a known field was read: a fault unless it ended where the tag said.
  void end_tag(const Tag& tag) {
    if (ok() && position() != tag.end) fail("a tagged field does not fill its size");
  }
  // Keeps the value of an unknown field; a fault unless these come in ascending order of their tags.
  void read_unknown_tag(const Tag& tag, UnknownTags& into);
  // A section in which no tag is known.
  void read_unknown_tags(UnknownTags& into);

 private:
  static constexpr const char* kShort = "the bytes end too early";

  template <typename Int>
  Int read_fixed() {
    if (remaining() < sizeof(Int)) [[unlikely]] {
      fail(kShort);
      return 0;
    }
    const Int value = load_big_endian<Int>(at_);
    at_ += sizeof(Int);
    return value;
  }
  std::uint32_t read_long_uvarint();
  // Lengths and counts; -1 for null.
  std::int64_t read_length(bool flexible);
  std::int64_t read_string_length(bool flexible);
  std::string_view read_text(std::int64_t length);
  template <typename T>
  std::vector<T> read_elements(std::size_t count, bool flexible);

  Slice slice_;
  const std::byte* at_;
  const std::byte* end_;
  const char* fault_ = nullptr;
  std::size_t fault_position_ = 0;
};

}  // namespace klamm::wire
