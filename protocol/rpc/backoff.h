// How long to wait before trying again: exponential, with jitter, as Kafka's clients do (KIP-144, KIP-580).
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/random.h"
#include "base/time.h"

namespace klamm::rpc {

// Doubles from `first` up to `most`, each time drawn from 80 % to 120 %. One per thing that is retried.
class Backoff {
 public:
  Backoff(Duration first, Duration most) noexcept : first_(first), most_(std::max(first, most)) {}

  // The wait before the next attempt; each call counts one failure.
  Duration next(Random& random) noexcept {
    const Duration wait = after(failures_, random);
    ++failures_;
    return wait;
  }
  // The wait after `failures` earlier ones, without counting.
  Duration after(std::uint32_t failures, Random& random) const noexcept {
    constexpr std::uint32_t kMostDoublings = 40;
    double wait = static_cast<double>(first_.count());
    for (std::uint32_t step = 0; step < std::min(failures, kMostDoublings); ++step) {
      wait *= 2;
      if (wait >= static_cast<double>(most_.count())) break;
    }
    wait *= 0.8 + 0.4 * random.unit();
    return Duration(static_cast<std::int64_t>(std::min(wait, static_cast<double>(most_.count()))));
  }
  void reset() noexcept { failures_ = 0; }
  std::uint32_t failures() const noexcept { return failures_; }

 private:
  Duration first_;
  Duration most_;
  std::uint32_t failures_ = 0;
};

}  // namespace klamm::rpc
