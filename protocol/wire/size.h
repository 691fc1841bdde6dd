// How many bytes a value takes on the wire. Generated size functions add these up before anything is written.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "protocol/wire/records.h"
#include "protocol/wire/tags.h"

namespace klamm::wire {

constexpr std::size_t size_of_uvarint(std::uint64_t value) noexcept {
  return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7;
}
constexpr std::size_t size_of_varint(std::int32_t value) noexcept {
  return size_of_uvarint((static_cast<std::uint32_t>(value) << 1) ^ static_cast<std::uint32_t>(value >> 31));
}
constexpr std::size_t size_of_varlong(std::int64_t value) noexcept {
  return size_of_uvarint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}

// The length in front of a string, of bytes or records, and the count in front of an array.
constexpr std::size_t size_of_string_length(std::size_t length, bool flexible) noexcept {
  return flexible ? size_of_uvarint(length + 1) : 2;
}
constexpr std::size_t size_of_length(std::size_t length, bool flexible) noexcept {
  return flexible ? size_of_uvarint(length + 1) : 4;
}
// The mark of null in place of a length.
constexpr std::size_t size_of_null(bool flexible) noexcept { return flexible ? 1 : 4; }

inline std::size_t size_of(std::string_view text, bool flexible) noexcept {
  return size_of_string_length(text.size(), flexible) + text.size();
}
inline std::size_t size_of(const std::string& text, bool flexible) noexcept {
  return size_of(std::string_view(text), flexible);
}
inline std::size_t size_of(const std::optional<std::string>& text, bool flexible) noexcept {
  return text ? size_of(std::string_view(*text), flexible) : (flexible ? 1 : 2);
}
inline std::size_t size_of(const Slice& bytes, bool flexible) noexcept {
  return size_of_length(bytes.size(), flexible) + bytes.size();
}
inline std::size_t size_of(const std::optional<Slice>& bytes, bool flexible) noexcept {
  return bytes ? size_of(*bytes, flexible) : size_of_null(flexible);
}
inline std::size_t size_of(const Records& records, bool flexible) noexcept {
  if (records.is_null()) return size_of_null(flexible);
  const auto size = static_cast<std::size_t>(records.size());
  return size_of_length(size, flexible) + size;
}
std::size_t size_of(const std::vector<std::string>& texts, bool flexible) noexcept;
template <typename Fixed>
std::size_t size_of_fixed(const std::vector<Fixed>& numbers, bool flexible) noexcept {
  return size_of_length(numbers.size(), flexible) + numbers.size() * sizeof(Fixed);
}
std::size_t size_of(const std::optional<std::vector<std::string>>& texts, bool flexible) noexcept;
template <typename Fixed>
std::size_t size_of_fixed(const std::optional<std::vector<Fixed>>& numbers, bool flexible) noexcept {
  return numbers ? size_of_fixed(*numbers, flexible) : size_of_null(flexible);
}

// A tagged field whose value takes `value_bytes`: tag, size and value.
constexpr std::size_t size_of_tagged(std::uint32_t tag, std::size_t value_bytes) noexcept {
  return size_of_uvarint(tag) + size_of_uvarint(value_bytes) + value_bytes;
}
// Unknown tagged fields without the count in front of the section.
std::size_t size_of(const UnknownTags& tags) noexcept;

}  // namespace klamm::wire
