// CRC-32C (Castagnoli), the checksum of record batches, and CRC-32 (IEEE), that of magic 0 and 1.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace klamm::record {

// crc32c("123456789") is 0xe3069283. `before` is the CRC of the bytes in front, so that pieces can be added one by one:
// crc32c(b, crc32c(a)) == crc32c(a + b).
std::uint32_t crc32c(Bytes bytes, std::uint32_t before = 0) noexcept;

// crc32_ieee("123456789") is 0xcbf43926.
std::uint32_t crc32_ieee(Bytes bytes) noexcept;

}  // namespace klamm::record
