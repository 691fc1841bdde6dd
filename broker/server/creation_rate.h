// How fast connections may come (max.connection.creation.rate), measured as Kafka does: a rate over the last samples of
// a second each, and a pause for the acceptor when it is over the quota.
#pragma once

#include <cstdint>
#include <deque>

#include "base/time.h"

namespace klamm::server {

// Belongs to the acceptor's shard.
class CreationRate {
 public:
  static constexpr std::int32_t kNoLimit = 2'147'483'647;
  // `sample`, `samples`: quota.window.size.seconds and quota.window.num.
  explicit CreationRate(std::int32_t per_second, Duration sample = 1s, std::int32_t samples = 11)
      : quota_(per_second), sample_(sample), samples_(samples) {}

  // From the next connection on.
  void set_quota(std::int32_t per_second) { quota_ = per_second; }
  // Counts a connection. How long the acceptor is to wait before it serves this one: until the rate is down at the
  // quota, but never longer than one sample. A start from rest may use up what the whole window allows.
  Duration record(Instant now);

 private:
  struct Sample {
    Instant begin;
    std::int64_t count = 0;
  };
  std::int32_t quota_;
  Duration sample_;
  std::int32_t samples_;
  std::deque<Sample> window_;  // oldest first, none empty
};

}  // namespace klamm::server
