#include "io/sim/trace.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace klamm::io::sim {

void Trace::add(std::uint64_t number) noexcept {
  hash_ = std::rotl(hash_ ^ (number * 0xBF58476D1CE4E5B9ULL), 29) * 0x94D049BB133111EBULL;
}

void Trace::add(Bytes bytes) noexcept {
  add(bytes.size());
  while (bytes.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    add(word);
    bytes = bytes.subspan(8);
  }
  if (bytes.empty()) return;
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data(), bytes.size());
  add(word);
}

void Trace::note(Instant now, std::string_view what, std::uint64_t where, std::uint64_t a, std::uint64_t b,
                 std::string_view detail) {
  ++events_;
  add(static_cast<std::uint64_t>(now.since_start.count()));
  add(as_bytes(what));
  add(where);
  add(a);
  add(b);
  add(as_bytes(detail));
  if (sink_) line(now, fmt::format("{} {}.{} {} {} {}", what, where >> 32, where & 0xffffffffU, a, b, detail));
}

void Trace::line(Instant now, std::string_view text) const {
  if (sink_) sink_(fmt::format("{:.6f} {}", static_cast<double>(now.since_start.count()) / 1e9, text));
}

}  // namespace klamm::io::sim
