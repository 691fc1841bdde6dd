#include "io/shard.h"

namespace klamm::io {

void Shard::resume_soon(std::coroutine_handle<> handle) {
  ready_.push_back(handle);
  if (ready_.size() == 1) ready_pending();
}

void Shard::drain_ready() {
  std::vector<std::coroutine_handle<>> round;
  round.swap(ready_);
  for (std::coroutine_handle<> handle : round) handle.resume();
  if (ready_.empty()) {  // give the memory back to the list
    round.clear();
    ready_.swap(round);
  }
}

void Shard::arm(TimerNode& node, Instant when) {
  const Instant before = timers_.earliest();
  timers_.arm(node, when);
  if (timers_.earliest() < before) timers_changed();
}

}  // namespace klamm::io
