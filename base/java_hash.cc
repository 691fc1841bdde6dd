#include "base/java_hash.h"

#include <cstdlib>
#include <limits>

#include "base/utf8.h"

namespace klamm {

std::int32_t java_hash(std::string_view text) {
  std::uint32_t hash = 0;
  bool valid = true;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at, valid);
    if (code < 0x10000) {
      hash = 31 * hash + code;
      continue;
    }
    const char32_t beyond = code - 0x10000;  // a pair of surrogates
    hash = 31 * hash + (0xD800 | (beyond >> 10));
    hash = 31 * hash + (0xDC00 | (beyond & 0x3FF));
  }
  return static_cast<std::int32_t>(hash);
}

std::int32_t place_by_java_hash(std::string_view text, std::int32_t count) {
  const std::int32_t hash = java_hash(text);
  if (hash == std::numeric_limits<std::int32_t>::min()) return 0;
  return std::abs(hash) % count;
}

}  // namespace klamm
