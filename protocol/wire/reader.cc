#include "protocol/wire/reader.h"

#include <bit>
#include <limits>
#include <type_traits>

namespace klamm::wire {
namespace {

constexpr const char* kNull = "null where null is not allowed";
constexpr const char* kNegative = "a negative length";
constexpr std::int64_t kMostStringBytes = std::numeric_limits<std::int16_t>::max();

// The fewest bytes that an array element can take.
template <typename T>
constexpr std::size_t least_bytes(bool flexible) {
  if constexpr (std::is_same_v<T, std::string>) return flexible ? 1 : 2;
  return sizeof(T);
}

}  // namespace

Result<void> Reader::status() const {
  if (ok()) return {};
  return klamm::fail(Errc::malformed, std::string(fault_) + " (at byte " + std::to_string(fault_position_) + " of " +
                                          std::to_string(slice_.size()) + ")");
}

Result<void> Reader::finish() const {
  if (ok() && at_ != end_) {
    return klamm::fail(Errc::malformed,
                       std::to_string(remaining()) + " bytes left over of " + std::to_string(slice_.size()));
  }
  return status();
}

double Reader::read_float64() { return std::bit_cast<double>(read_int64()); }

Uuid Reader::read_uuid() {
  if (remaining() < 16) {
    fail(kShort);
    return {};
  }
  Uuid uuid;
  uuid.high = read_fixed<std::uint64_t>();
  uuid.low = read_fixed<std::uint64_t>();
  return uuid;
}

std::uint32_t Reader::read_long_uvarint() {
  const std::byte* at = at_;
  std::uint32_t value = 0;
  for (unsigned shift = 0; shift < 32; shift += 7) {
    if (at == end_) {
      fail(kShort);
      return 0;
    }
    const auto byte = static_cast<std::uint8_t>(*at++);
    if (shift == 28 && byte > 0x0F) break;
    value |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      at_ = at;
      return value;
    }
  }
  fail("a varint of more than 32 bits");
  return 0;
}

std::uint64_t Reader::read_uvarlong() {
  const std::byte* at = at_;
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at == end_) {
      fail(kShort);
      return 0;
    }
    const auto byte = static_cast<std::uint8_t>(*at++);
    if (shift == 63 && byte > 0x01) break;
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) {
      at_ = at;
      return value;
    }
  }
  fail("a varint of more than 64 bits");
  return 0;
}

std::int64_t Reader::read_length(bool flexible) {
  if (flexible) return static_cast<std::int64_t>(read_uvarint()) - 1;
  const std::int32_t length = read_int32();
  if (length < -1) fail(kNegative);
  return ok() ? length : 0;
}

std::int64_t Reader::read_string_length(bool flexible) {
  if (flexible) {
    const std::int64_t length = static_cast<std::int64_t>(read_uvarint()) - 1;
    if (length <= kMostStringBytes) return length;
    fail("a string longer than 32767 bytes");
    return 0;
  }
  const std::int16_t length = read_int16();
  if (length < -1) fail(kNegative);
  return ok() ? length : 0;
}

std::string_view Reader::read_text(std::int64_t length) {
  if (length < 0 || static_cast<std::size_t>(length) > remaining()) {
    fail(length < 0 ? kNull : kShort);
    return {};
  }
  const std::string_view text = as_text({at_, static_cast<std::size_t>(length)});
  at_ += length;
  return text;
}

std::string Reader::read_string(bool flexible) { return std::string(read_text(read_string_length(flexible))); }

std::optional<std::string> Reader::read_nullable_string(bool flexible) {
  const std::int64_t length = read_string_length(flexible);
  if (length < 0) return std::nullopt;
  return std::string(read_text(length));
}

Slice Reader::read_raw(std::size_t size) {
  if (size > remaining()) {
    fail(kShort);
    return {};
  }
  Slice part = slice_.part(position(), size);
  at_ += size;
  return part;
}

Slice Reader::read_bytes(bool flexible) {
  const std::int64_t length = read_length(flexible);
  if (length < 0) {
    fail(kNull);
    return {};
  }
  return read_raw(static_cast<std::size_t>(length));
}

std::optional<Slice> Reader::read_nullable_bytes(bool flexible) {
  const std::int64_t length = read_length(flexible);
  if (length < 0) return std::nullopt;
  return read_raw(static_cast<std::size_t>(length));
}

Records Reader::read_records(bool flexible) { return read_bytes(flexible); }

Records Reader::read_nullable_records(bool flexible) {
  std::optional<Slice> slice = read_nullable_bytes(flexible);
  return slice ? Records(*std::move(slice)) : Records();
}

void Reader::read_string(std::string& into, bool flexible) { into = read_text(read_string_length(flexible)); }
void Reader::read_string(std::optional<std::string>& into, bool flexible) { into = read_string(flexible); }
void Reader::read_nullable_string(std::optional<std::string>& into, bool flexible) {
  into = read_nullable_string(flexible);
}
void Reader::read_bytes(Slice& into, bool flexible) { into = read_bytes(flexible); }
void Reader::read_bytes(std::optional<Slice>& into, bool flexible) { into = read_bytes(flexible); }
void Reader::read_nullable_bytes(std::optional<Slice>& into, bool flexible) { into = read_nullable_bytes(flexible); }
void Reader::read_records(Records& into, bool flexible) { into = read_records(flexible); }
void Reader::read_nullable_records(Records& into, bool flexible) { into = read_nullable_records(flexible); }

std::optional<std::size_t> Reader::read_nullable_count(bool flexible, std::size_t element_bytes) {
  const std::int64_t length = read_length(flexible);
  if (length < 0) return std::nullopt;
  const auto count = static_cast<std::size_t>(length);
  if (count > remaining() / element_bytes) {
    fail("more array elements than bytes for them");
    return 0;
  }
  return count;
}

std::size_t Reader::read_count(bool flexible, std::size_t element_bytes) {
  const std::optional<std::size_t> count = read_nullable_count(flexible, element_bytes);
  if (!count) fail(kNull);
  return count.value_or(0);
}

template <typename T>
std::vector<T> Reader::read_elements(std::size_t count, bool flexible) {
  std::vector<T> elements;
  elements.reserve(reservable(count, sizeof(T)));
  for (; count > 0 && ok(); --count) {
    if constexpr (std::is_same_v<T, std::string>) {
      elements.push_back(read_string(flexible));
    } else if constexpr (std::is_same_v<T, Uuid>) {
      elements.push_back(read_uuid());
    } else if constexpr (std::is_same_v<T, std::int8_t>) {
      elements.push_back(read_int8());
    } else {
      elements.push_back(read_fixed<T>());
    }
  }
  return elements;
}

template <typename T>
std::vector<T> Reader::read_array(bool flexible) {
  return read_elements<T>(read_count(flexible, least_bytes<T>(flexible)), flexible);
}

template <typename T>
std::optional<std::vector<T>> Reader::read_nullable_array(bool flexible) {
  const std::optional<std::size_t> count = read_nullable_count(flexible, least_bytes<T>(flexible));
  if (!count) return std::nullopt;
  return read_elements<T>(*count, flexible);
}

template <typename T>
void Reader::read_array(std::vector<T>& into, bool flexible) {
  into = read_array<T>(flexible);
}

template <typename T>
void Reader::read_array(std::optional<std::vector<T>>& into, bool flexible) {
  into = read_array<T>(flexible);
}

template <typename T>
void Reader::read_nullable_array(std::optional<std::vector<T>>& into, bool flexible) {
  into = read_nullable_array<T>(flexible);
}

#define KLAMM_ARRAY_OF(T)                                                                   \
  template std::vector<T> Reader::read_array<T>(bool flexible);                             \
  template std::optional<std::vector<T>> Reader::read_nullable_array<T>(bool flexible);     \
  template void Reader::read_array<T>(std::vector<T> & into, bool flexible);                \
  template void Reader::read_array<T>(std::optional<std::vector<T>> & into, bool flexible); \
  template void Reader::read_nullable_array<T>(std::optional<std::vector<T>> & into, bool flexible)
KLAMM_ARRAY_OF(std::int8_t);
KLAMM_ARRAY_OF(std::int16_t);
KLAMM_ARRAY_OF(std::int32_t);
KLAMM_ARRAY_OF(std::int64_t);
KLAMM_ARRAY_OF(Uuid);
KLAMM_ARRAY_OF(std::string);
#undef KLAMM_ARRAY_OF

std::uint32_t Reader::read_tag_count() {
  const std::uint32_t count = read_uvarint();
  if (count > remaining() / 2) {
    fail("more tagged fields than bytes for them");
    return 0;
  }
  return count;
}

Reader::Tag Reader::read_tag() {
  const std::uint32_t tag = read_uvarint();
  const std::uint32_t size = read_uvarint();
  if (size > remaining()) fail(kShort);
  return {tag, ok() ? position() + size : position()};
}

void Reader::read_unknown_tag(const Tag& tag, UnknownTags& into) {
  if (!ok()) return;
  if (!into.empty() && into.back().tag >= tag.tag) {
    fail("unknown tagged fields out of order");
    return;
  }
  into.push_back({tag.tag, read_raw(tag.end - position())});
}

void Reader::read_unknown_tags(UnknownTags& into) {
  for (std::uint32_t left = read_tag_count(); left > 0 && ok(); --left) read_unknown_tag(read_tag(), into);
}

}  // namespace klamm::wire
