// Data of different kinds for the codecs' tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "protocol/compress/codec.h"

namespace klamm::compress {

inline std::string log_lines(std::size_t size) {
  Random random(size + 1);
  constexpr std::string_view kWords[] = {"GET ",  "POST ", "/index.html ", "/api/v1/items/",
                                         " 200 ", " 404 ", "user=",        "took ms "};
  std::string text;
  while (text.size() < size) {
    text += kWords[random.below(std::size(kWords))];
    if (random.chance(0.3)) text += std::to_string(random.below(100000));
    if (random.chance(0.1)) text += '\n';
  }
  text.resize(size);
  return text;
}

inline std::string noise(std::size_t size) {
  Random random(size + 2);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

inline std::string from_hex(std::string_view hex) {
  std::string bytes;
  unsigned high = 16;
  for (char digit : hex) {
    if (digit == ' ') continue;
    const unsigned value = static_cast<unsigned>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    if (high == 16) {
      high = value;
    } else {
      bytes += static_cast<char>(high * 16 + value);
      high = 16;
    }
  }
  return bytes;
}

inline std::string to_hex(Bytes bytes) {
  std::string hex;
  for (std::byte byte : bytes) {
    hex += "0123456789abcdef"[static_cast<unsigned>(byte) >> 4];
    hex += "0123456789abcdef"[static_cast<unsigned>(byte) & 15];
  }
  return hex;
}

// All pieces of a stream, put together.
inline Result<std::string> stream_all(Codecs& codecs, Compression codec, Bytes input, std::uint64_t limit,
                                      std::size_t* largest_piece = nullptr) {
  Decompressor stream(codecs, codec, input, limit);
  std::string all;
  for (;;) {
    Result<Bytes> piece = stream.next();
    KLAMM_TRY(piece);
    if (piece->empty()) return all;
    if (largest_piece) *largest_piece = std::max(*largest_piece, piece->size());
    all += as_text(*piece);
  }
}

}  // namespace klamm::compress
