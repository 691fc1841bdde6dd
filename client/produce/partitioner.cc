#include "client/produce/partitioner.h"

#include <algorithm>

#include "base/check.h"

namespace klamm::client {

std::int32_t StickyPartitioner::choose(std::span<const PartitionLoad> candidates, const StickyOptions& options,
                                       Random& random) {
  KLAMM_CHECK(!candidates.empty());
  produced_ = 0;
  const auto [least, most] = std::minmax_element(candidates.begin(), candidates.end(),
                                                 [](const auto& a, const auto& b) { return a.queued < b.queued; });
  if (!options.adaptive || candidates.size() < 2 || least->queued == most->queued) {
    current_ = candidates[random.below(candidates.size())].partition;
    return current_;
  }
  // Weight of each: how much shorter its queue is than the longest, and one.
  cumulative_.clear();
  std::uint64_t sum = 0;
  for (const PartitionLoad& candidate : candidates) cumulative_.push_back(sum += most->queued + 1 - candidate.queued);
  const auto drawn = std::upper_bound(cumulative_.begin(), cumulative_.end(), random.below(sum));
  current_ = candidates[static_cast<std::size_t>(drawn - cumulative_.begin())].partition;
  return current_;
}

}  // namespace klamm::client
