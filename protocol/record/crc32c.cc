#include "protocol/record/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace klamm::record {

namespace {
unsigned char* as_unsigned(const std::byte* bytes) {
  return const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes));
}
}  // namespace

std::uint32_t crc32c(Bytes bytes, std::uint32_t before) noexcept {
  constexpr std::size_t kMostAtOnce = 1 << 30;  // ISA-L takes an int
  std::uint32_t state = ~before;
  while (bytes.size() > kMostAtOnce) {
    state = crc32_iscsi(as_unsigned(bytes.data()), static_cast<int>(kMostAtOnce), state);
    bytes = bytes.subspan(kMostAtOnce);
  }
  return ~crc32_iscsi(as_unsigned(bytes.data()), static_cast<int>(bytes.size()), state);
}

std::uint32_t crc32_ieee(Bytes bytes) noexcept { return crc32_gzip_refl(0, as_unsigned(bytes.data()), bytes.size()); }

}  // namespace klamm::record
