// The choice of a partition for records without a key (KIP-480, KIP-794): stay with one until batch.size bytes went
// there, then draw the next, with less weight for those whose queues are long. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"

namespace klamm::client {

struct StickyOptions {
  std::size_t sticky_bytes = 16384;  // batch.size
  bool adaptive = true;              // partitioner.adaptive.partitioning.enable
};

// A partition that may be chosen and how many batches wait for it.
struct PartitionLoad {
  std::int32_t partition;
  std::uint32_t queued;
};

// One per topic.
class StickyPartitioner {
 public:
  // The present choice; -1 if there is none yet, or if it was spent: then choose().
  std::int32_t current() const noexcept { return current_; }
  // A batch of the partition was closed: `bytes` more went to it. Gives the choice up once it has had its share.
  void batch_closed(std::int32_t partition, std::size_t bytes, const StickyOptions& options) noexcept {
    if (partition != current_) return;
    produced_ += bytes;
    if (produced_ >= options.sticky_bytes) current_ = -1;
  }
  // The partition has lost its leader.
  void give_up(std::int32_t partition) noexcept {
    if (partition == current_) current_ = -1;
  }
  // Draws among the candidates (not empty) and stays with the result.
  std::int32_t choose(std::span<const PartitionLoad> candidates, const StickyOptions& options, Random& random);

 private:
  std::int32_t current_ = -1;
  std::size_t produced_ = 0;
  std::vector<std::uint64_t> cumulative_;  // scratch
};

}  // namespace klamm::client
