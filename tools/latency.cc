#include "tools/latency.h"

#include <algorithm>

namespace klamm::tools {

void Latencies::add(std::int64_t ms, std::uint64_t count) {
  if (count == 0) return;
  counts_[ms] += count;
  count_ += count;
  total_ms_ += ms * static_cast<std::int64_t>(count);
}

std::int64_t Latencies::percentile_ms(double fraction) const {
  if (count_ == 0) return 0;
  const auto rank = std::min(count_ - 1, static_cast<std::uint64_t>(fraction * static_cast<double>(count_)));
  std::uint64_t below = 0;
  for (const auto& [ms, count] : counts_) {
    below += count;
    if (rank < below) return ms;
  }
  return most_ms();
}

void Latencies::clear() { *this = Latencies(); }

}  // namespace klamm::tools
