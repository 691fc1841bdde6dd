// Latencies in whole milliseconds, counted: average, maximum and percentiles as Apache Kafka's performance tools print
// them. Pure.
#pragma once

#include <cstdint>
#include <map>

namespace klamm::tools {

class Latencies {
 public:
  void add(std::int64_t ms, std::uint64_t count = 1);
  std::uint64_t count() const noexcept { return count_; }
  double average_ms() const noexcept {
    return count_ == 0 ? 0 : static_cast<double>(total_ms_) / static_cast<double>(count_);
  }
  std::int64_t most_ms() const noexcept { return counts_.empty() ? 0 : counts_.rbegin()->first; }
  // The latency at rank floor(fraction * count) of all, counted from 0.
  std::int64_t percentile_ms(double fraction) const;
  void clear();

 private:
  std::map<std::int64_t, std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  std::int64_t total_ms_ = 0;
};

}  // namespace klamm::tools
