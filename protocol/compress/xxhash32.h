// xxHash, 32 bits: the checksum of LZ4 frames.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace klamm::compress {

std::uint32_t xxhash32(Bytes bytes, std::uint32_t seed = 0) noexcept;

}  // namespace klamm::compress
