// The hash by which Kafka's producers map keys to partitions: 32-bit MurmurHash2 with Kafka's seed.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace klamm::client {

// murmur2("21") is -973932308.
std::int32_t murmur2(Bytes bytes) noexcept;

// The partition of a key among `partition_count` > 0.
inline std::int32_t partition_of_key(Bytes key, std::int32_t partition_count) noexcept {
  return (murmur2(key) & 0x7fffffff) % partition_count;
}

}  // namespace klamm::client
