#include "base/uuid.h"

#include "base/random.h"

namespace klamm {
namespace {
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t kTextLength = 22;
}  // namespace

std::optional<Uuid> Uuid::parse(std::string_view text) {
  if (text.size() != kTextLength) return std::nullopt;
  unsigned __int128 bits = 0;
  for (std::size_t index = 0; index < kTextLength; ++index) {
    const std::size_t digit = kAlphabet.find(text[index]);
    if (digit == std::string_view::npos) return std::nullopt;
    if (index + 1 < kTextLength) {
      bits = (bits << 6) | digit;
    } else {
      bits = (bits << 2) | (digit >> 4);  // 22 * 6 = 132: the last four bits are padding
    }
  }
  return Uuid{static_cast<std::uint64_t>(bits >> 64), static_cast<std::uint64_t>(bits)};
}

Uuid Uuid::random(Random& random) {
  constexpr std::uint64_t kReservedBelow = 100;
  for (;;) {
    Uuid uuid{random.next(), random.next()};
    uuid.high = (uuid.high & ~0xF000ULL) | 0x4000ULL;                // version 4
    uuid.low = (uuid.low & ~(0xC000ULL << 48)) | (0x8000ULL << 48);  // IETF variant
    if (uuid.high == 0 && uuid.low < kReservedBelow) continue;
    if (uuid.text().front() != '-') return uuid;
  }
}

std::string Uuid::text() const {
  std::string text;
  text.reserve(kTextLength);
  const unsigned __int128 bits = (static_cast<unsigned __int128>(high) << 64) | low;
  for (std::size_t index = 0; index + 1 < kTextLength; ++index) {
    text += kAlphabet[static_cast<std::size_t>(bits >> (122 - 6 * index)) & 63];
  }
  text += kAlphabet[static_cast<std::size_t>(bits << 4) & 63];
  return text;
}

}  // namespace klamm
