// Points in time. Two clocks, never mixed: Instant (monotonic, for timers and deadlines) and wall milliseconds (for
// timestamps in records and files). Both come from the environment (io/shard.h), never from the system directly.
#pragma once

#include <chrono>
#include <cstdint>

namespace klamm {

using namespace std::chrono_literals;
using Duration = std::chrono::nanoseconds;

// A point on the environment's monotonic clock.
struct Instant {
  Duration since_start{0};
  static constexpr Instant never() { return {Duration::max()}; }
  friend constexpr auto operator<=>(const Instant&, const Instant&) = default;
  friend constexpr Instant operator+(Instant instant, Duration by) {
    return {instant.since_start > Duration::max() - by ? Duration::max() : instant.since_start + by};
  }
  friend constexpr Duration operator-(Instant left, Instant right) { return left.since_start - right.since_start; }
};

// Milliseconds since 1970-01-01 UTC: the unit of Kafka's timestamps.
using TimestampMs = std::int64_t;

constexpr Duration milliseconds(std::int64_t count) {
  constexpr std::int64_t kMost = std::chrono::duration_cast<std::chrono::milliseconds>(Duration::max()).count();
  return count >= kMost ? Duration::max() : std::chrono::milliseconds(count);
}

}  // namespace klamm
