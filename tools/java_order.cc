#include "tools/java_order.h"

namespace klamm::tools {

std::int32_t java_hash(std::string_view text) {
  std::uint32_t hash = 0;
  for (const char letter : text) hash = hash * 31 + static_cast<unsigned char>(letter);
  return static_cast<std::int32_t>(hash);
}

std::int32_t java_hash(const TopicPartition& partition) {
  const std::uint32_t hash = 31 + static_cast<std::uint32_t>(partition.partition);
  return static_cast<std::int32_t>(31 * hash + static_cast<std::uint32_t>(java_hash(partition.topic)));
}

std::vector<std::size_t> java_map_order_of(std::span<const std::int32_t> hashes) {
  std::size_t buckets = 16;
  while (hashes.size() > buckets * 3 / 4) buckets *= 2;
  std::vector<std::size_t> order(hashes.size());
  for (std::size_t index = 0; index < order.size(); ++index) order[index] = index;
  const auto bucket_of = [&](std::size_t index) {
    const auto hash = static_cast<std::uint32_t>(hashes[index]);
    return (hash ^ (hash >> 16)) & (buckets - 1);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t left, std::size_t right) { return bucket_of(left) < bucket_of(right); });
  return order;
}

}  // namespace klamm::tools
