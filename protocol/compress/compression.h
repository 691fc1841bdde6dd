// The codecs of record batches: their numbers in batch attributes, their names and their levels.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace klamm::compress {

// The value is bits 0-2 of a batch's attributes.
enum class Compression : std::int8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };

// Nothing for 5..7, which no codec has.
constexpr std::optional<Compression> compression_of(int attribute_bits) noexcept {
  if (attribute_bits < 0 || attribute_bits > 4) return std::nullopt;
  return static_cast<Compression>(attribute_bits);
}

// The name in configurations ("none", "gzip", "snappy", "lz4", "zstd").
constexpr std::string_view name_of(Compression codec) noexcept {
  constexpr std::string_view kNames[] = {"none", "gzip", "snappy", "lz4", "zstd"};
  return kNames[static_cast<int>(codec)];
}

// Exact, lower case, as Kafka's configuration takes it. Topics' "producer" is not a codec and gives nothing here.
constexpr std::optional<Compression> parse_compression(std::string_view name) noexcept {
  for (int value = 0; value <= 4; ++value) {
    if (name_of(static_cast<Compression>(value)) == name) return static_cast<Compression>(value);
  }
  return std::nullopt;
}

// Levels that a user may set (compression.<codec>.level). `standard` is the default and is valid even where it lies
// outside of [least, most] (gzip's -1). none and snappy have no level: any value is ignored there.
struct Levels {
  int least;
  int most;
  int standard;
};
constexpr Levels levels_of(Compression codec) noexcept {
  switch (codec) {
    case Compression::gzip: return {1, 9, -1};
    case Compression::lz4: return {1, 17, 9};
    case Compression::zstd: return {-131072, 22, 3};
    case Compression::none:
    case Compression::snappy: break;
  }
  return {0, 0, 0};
}
constexpr int standard_level(Compression codec) noexcept { return levels_of(codec).standard; }
constexpr bool is_valid_level(Compression codec, int level) noexcept {
  if (codec == Compression::none || codec == Compression::snappy) return true;
  const Levels levels = levels_of(codec);
  return level == levels.standard || (level >= levels.least && level <= levels.most);
}

}  // namespace klamm::compress
