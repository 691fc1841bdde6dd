#include "protocol/compress/xxhash32.h"

#include <bit>
#include <cstring>

namespace klamm::compress {

namespace {

constexpr std::uint32_t kPrime1 = 0x9E3779B1u;
constexpr std::uint32_t kPrime2 = 0x85EBCA77u;
constexpr std::uint32_t kPrime3 = 0xC2B2AE3Du;
constexpr std::uint32_t kPrime4 = 0x27D4EB2Fu;
constexpr std::uint32_t kPrime5 = 0x165667B1u;

static_assert(std::endian::native == std::endian::little);
std::uint32_t load(const std::byte* from) noexcept {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
std::uint32_t round(std::uint32_t lane, std::uint32_t input) noexcept {
  return std::rotl(lane + input * kPrime2, 13) * kPrime1;
}

}  // namespace

std::uint32_t xxhash32(Bytes bytes, std::uint32_t seed) noexcept {
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint32_t hash = seed + kPrime5;
  if (left >= 16) {
    std::uint32_t lanes[4] = {seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1};
    for (; left >= 16; left -= 16, at += 16) {
      for (int lane = 0; lane < 4; ++lane) lanes[lane] = round(lanes[lane], load(at + 4 * lane));
    }
    hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) + std::rotl(lanes[3], 18);
  }
  hash += static_cast<std::uint32_t>(bytes.size());
  for (; left >= 4; left -= 4, at += 4) hash = std::rotl(hash + load(at) * kPrime3, 17) * kPrime4;
  for (; left > 0; --left, ++at) hash = std::rotl(hash + static_cast<std::uint32_t>(*at) * kPrime5, 11) * kPrime1;
  hash = (hash ^ (hash >> 15)) * kPrime2;
  hash = (hash ^ (hash >> 13)) * kPrime3;
  return hash ^ (hash >> 16);
}

}  // namespace klamm::compress
