// Kafka's Uuid: 128 bits, as text 22 characters of URL-safe base64 without padding.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace klamm {

class Random;

struct Uuid {
  std::uint64_t high = 0;  // most significant 8 bytes
  std::uint64_t low = 0;

  static std::optional<Uuid> parse(std::string_view text);
  // Random, never one of the reserved values (high 0, low < 100), never one whose text starts with '-'.
  static Uuid random(Random& random);
  std::string text() const;
  bool is_zero() const noexcept { return high == 0 && low == 0; }
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

}  // namespace klamm

template <>
struct std::hash<klamm::Uuid> {
  std::size_t operator()(const klamm::Uuid& uuid) const noexcept {
    return uuid.high * 0x9E3779B97F4A7C15ULL ^ uuid.low;
  }
};
