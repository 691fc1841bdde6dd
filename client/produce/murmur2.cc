#include "client/produce/murmur2.h"

#include <bit>
#include <cstring>

namespace klamm::client {

std::int32_t murmur2(Bytes bytes) noexcept {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint32_t kSeed = 0x9747b28c;
  constexpr std::uint32_t kMultiplier = 0x5bd1e995;
  constexpr int kShift = 24;

  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint32_t hash = kSeed ^ static_cast<std::uint32_t>(left);
  for (; left >= 4; at += 4, left -= 4) {
    std::uint32_t word;
    std::memcpy(&word, at, 4);
    word *= kMultiplier;
    word ^= word >> kShift;
    hash = (hash * kMultiplier) ^ (word * kMultiplier);
  }
  if (left >= 3) hash ^= static_cast<std::uint32_t>(at[2]) << 16;
  if (left >= 2) hash ^= static_cast<std::uint32_t>(at[1]) << 8;
  if (left >= 1) hash = (hash ^ static_cast<std::uint32_t>(at[0])) * kMultiplier;
  hash ^= hash >> 13;
  hash *= kMultiplier;
  hash ^= hash >> 15;
  return static_cast<std::int32_t>(hash);
}

}  // namespace klamm::client
