// The order in which Apache Kafka's tools print what they keep in a java.util.HashMap: it follows from the keys' hash
// codes, so klamm's tools can print the same. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "klamm/record.h"

namespace klamm::tools {

// String.hashCode of ASCII text, TopicPartition.hashCode, Integer.hashCode.
std::int32_t java_hash(std::string_view text);
std::int32_t java_hash(const TopicPartition& partition);
inline std::int32_t java_hash(std::int32_t number) { return number; }

// The positions of keys with these hash codes, put into a HashMap one after the other, in the order of walking it.
std::vector<std::size_t> java_map_order_of(std::span<const std::int32_t> hashes);

template <typename Key>
std::vector<Key> java_map_order(const std::vector<Key>& keys) {
  std::vector<std::int32_t> hashes;
  hashes.reserve(keys.size());
  for (const Key& key : keys) hashes.push_back(java_hash(key));
  std::vector<Key> ordered;
  ordered.reserve(keys.size());
  for (const std::size_t position : java_map_order_of(hashes)) ordered.push_back(keys[position]);
  return ordered;
}

}  // namespace klamm::tools
