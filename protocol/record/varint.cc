#include "protocol/record/varint.h"

namespace klamm::record::detail {

namespace {

template <int kWidth>
LongVarint read_long(const std::byte* at, const std::byte* end) noexcept {
  std::uint64_t bits = 0;
  for (int shift = 0; shift < kWidth; shift += 7) {
    if (at >= end) return {nullptr, 0};
    const auto byte = static_cast<std::uint8_t>(*at++);
    const std::uint64_t group = byte & 0x7f;
    // The last byte has room for fewer than 7 bits (4 of 32, 1 of 64): more would be lost.
    if (shift > kWidth - 7 && (group >> (kWidth - shift)) != 0) return {nullptr, 0};
    bits |= group << shift;
    if (byte < 0x80) return {at, bits};
  }
  return {nullptr, 0};
}

}  // namespace

LongVarint read_long_varint(const std::byte* at, const std::byte* end) noexcept { return read_long<32>(at, end); }
LongVarint read_long_varlong(const std::byte* at, const std::byte* end) noexcept { return read_long<64>(at, end); }

std::byte* write_long_varint(std::byte* to, std::uint64_t bits) noexcept {
  for (; bits >= 0x80; bits >>= 7) *to++ = static_cast<std::byte>(bits | 0x80);
  *to++ = static_cast<std::byte>(bits);
  return to;
}

}  // namespace klamm::record::detail
