// Tells of batches that have ended: to the user's on_batch, to those who hold deliveries, and to the counts.
#pragma once

#include <cstdint>
#include <functional>

#include "base/time.h"
#include "client/produce/batch_fate.h"
#include "klamm/hooks.h"

namespace klamm::client {

class DeliveryReports {
 public:
  void report(BatchOutcome& outcome, const std::function<void(const BatchReport&)>& on_batch, Instant now);
  // A record that failed before it came into a batch, with nobody to tell.
  void count_refused() noexcept { ++records_failed_; }

  std::uint64_t records_delivered() const noexcept { return records_delivered_; }
  std::uint64_t records_failed() const noexcept { return records_failed_; }
  std::uint64_t records_ended() const noexcept { return records_delivered_ + records_failed_; }
  std::uint64_t batches_delivered() const noexcept { return batches_delivered_; }
  std::uint64_t bytes_delivered() const noexcept { return bytes_delivered_; }

 private:
  std::uint64_t records_delivered_ = 0;
  std::uint64_t records_failed_ = 0;
  std::uint64_t batches_delivered_ = 0;
  std::uint64_t bytes_delivered_ = 0;
};

}  // namespace klamm::client
