#include "broker/server/creation_rate.h"

#include <algorithm>

namespace klamm::server {

Duration CreationRate::record(Instant now) {
  if (quota_ == kNoLimit) return Duration(0);
  while (!window_.empty() && now - window_.front().begin >= sample_ * samples_) window_.pop_front();
  if (window_.empty() || now - window_.back().begin >= sample_) window_.push_back({now});
  ++window_.back().count;

  std::int64_t count = 0;
  for (const Sample& each : window_) count += each.count;
  // A window that has only begun counts as a full one: the samples before were empty.
  const Duration elapsed = now - window_.front().begin;
  const Duration measured = elapsed + sample_ * std::max<std::int64_t>(0, samples_ - 1 - elapsed / sample_);
  const double seconds = std::chrono::duration<double>(measured).count();
  const double allowed = quota_ * seconds;
  if (static_cast<double>(count) <= allowed) return Duration(0);
  if (quota_ == 0) return sample_;
  const double wait_seconds = (static_cast<double>(count) - allowed) / quota_;
  return std::min(sample_, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(wait_seconds)));
}

}  // namespace klamm::server
