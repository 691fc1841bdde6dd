// Zigzag varints, as records hold them: 7 bits a byte, low group first, top bit set on all bytes but the last.
// Reading never passes `end`. One and two byte values, nearly all that records have, are decoded inline.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace klamm::record {

constexpr std::size_t kMaxVarintSize = 5;
constexpr std::size_t kMaxVarlongSize = 10;

constexpr std::uint32_t zigzag(std::int32_t value) noexcept {
  return (static_cast<std::uint32_t>(value) << 1) ^ static_cast<std::uint32_t>(value >> 31);
}
constexpr std::uint64_t zigzag(std::int64_t value) noexcept {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int32_t unzigzag(std::uint32_t bits) noexcept {
  return static_cast<std::int32_t>((bits >> 1) ^ (~(bits & 1) + 1));
}
constexpr std::int64_t unzigzag(std::uint64_t bits) noexcept {
  return static_cast<std::int64_t>((bits >> 1) ^ (~(bits & 1) + 1));
}

// Bytes that the bits take: one for each 7 bits begun, at least one. (9 * width + 64) / 64 is exact for widths to 64.
constexpr std::size_t varint_bits_size(std::uint64_t bits) noexcept {
  return (static_cast<std::size_t>(std::bit_width(bits | 1)) * 9 + 64) / 64;
}
constexpr std::size_t varint_size(std::int32_t value) noexcept { return varint_bits_size(zigzag(value)); }
constexpr std::size_t varlong_size(std::int64_t value) noexcept { return varint_bits_size(zigzag(value)); }

namespace detail {
// A varint's bits (still zigzag) and the position behind it; null if the bytes end early or the value is too long.
// Returned in registers, so that the readers' variables need no memory.
struct LongVarint {
  const std::byte* next;
  std::uint64_t bits;
};
// The general case of the readers below.
LongVarint read_long_varint(const std::byte* at, const std::byte* end) noexcept;
LongVarint read_long_varlong(const std::byte* at, const std::byte* end) noexcept;
std::byte* write_long_varint(std::byte* to, std::uint64_t bits) noexcept;
}  // namespace detail

// Reads at `at` into `value`; returns the position behind it, or null if it is malformed or reaches past `end`.
template <typename Int>
inline const std::byte* read_varint(const std::byte* at, const std::byte* end, Int& value) noexcept {
  using Bits = std::make_unsigned_t<Int>;
  if (at < end && static_cast<Bits>(*at) < 0x80) {
    value = unzigzag(static_cast<Bits>(*at));
    return at + 1;
  }
  const detail::LongVarint read =
      sizeof(Int) == 4 ? detail::read_long_varint(at, end) : detail::read_long_varlong(at, end);
  value = unzigzag(static_cast<Bits>(read.bits));
  return read.next;
}

// The bits of a varint of at most kMost (2 or 3) bytes, which may all be read; null if it is longer. No call, no bound:
// for hot paths that have checked what they read and leave all else to the general one.
template <int kMost>
[[gnu::always_inline]] inline const std::byte* read_short_bits(const std::byte* at, std::uint32_t& bits) noexcept {
  const std::uint32_t first = static_cast<std::uint32_t>(at[0]);
  bits = first;
  if (first < 0x80) return at + 1;
  const std::uint32_t second = static_cast<std::uint32_t>(at[1]);
  bits = first + (second << 7) - 0x80;
  if (second < 0x80) return at + 2;
  if constexpr (kMost == 3) {
    const std::uint32_t third = static_cast<std::uint32_t>(at[2]);
    bits += (third << 14) - (0x80u << 7);
    if (third < 0x80) return at + 3;
  }
  return nullptr;
}

// Writes the (already zigzagged) bits; returns the position behind. The caller has made room for kMax… bytes.
[[gnu::always_inline]] inline std::byte* write_varint_bits(std::byte* to, std::uint64_t bits) noexcept {
  if (bits < 0x80) {
    to[0] = static_cast<std::byte>(bits);
    return to + 1;
  }
  if (bits < 0x4000) {
    to[0] = static_cast<std::byte>(bits | 0x80);
    to[1] = static_cast<std::byte>(bits >> 7);
    return to + 2;
  }
  return detail::write_long_varint(to, bits);
}
inline std::byte* write_varint(std::byte* to, std::int32_t value) noexcept {
  return write_varint_bits(to, zigzag(value));
}
inline std::byte* write_varlong(std::byte* to, std::int64_t value) noexcept {
  return write_varint_bits(to, zigzag(value));
}

}  // namespace klamm::record
