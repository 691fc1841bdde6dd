// Timers of one shard: an intrusive heap, shared by the real and the simulated shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/time.h"

namespace klamm::io {

class Shard;

// A deadline with something to do at it. Not movable while armed.
class TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  virtual ~TimerNode() = default;
  bool armed() const noexcept { return index_ != kNotArmed; }
  Instant when() const noexcept { return when_; }

 protected:
  // Called from the shard's loop, once, after the node was taken off the queue.
  virtual void expired() = 0;

 private:
  friend class TimerQueue;
  static constexpr std::size_t kNotArmed = ~std::size_t{0};
  Instant when_;
  std::uint64_t sequence_ = 0;
  std::size_t index_ = kNotArmed;
};

// A binary heap of timers by (when, order of arming). No allocation a timer beyond the heap's own array.
class TimerQueue {
 public:
  void arm(TimerNode& node, Instant when);  // re-arms if armed
  void cancel(TimerNode& node);             // nothing if not armed
  Instant earliest() const noexcept { return heap_.empty() ? Instant::never() : heap_.front()->when_; }
  bool empty() const noexcept { return heap_.empty(); }
  // Runs all that are due at `now`; those armed meanwhile with a deadline <= now run in the next call.
  void run_due(Instant now);

 private:
  static bool before(const TimerNode& left, const TimerNode& right) noexcept {
    return left.when_ != right.when_ ? left.when_ < right.when_ : left.sequence_ < right.sequence_;
  }
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);
  void place(TimerNode* node, std::size_t index);

  std::vector<TimerNode*> heap_;
  std::uint64_t next_sequence_ = 0;
};

// Calls a function at a time, on the shard's loop. Destruction cancels.
class Timer final : public TimerNode {
 public:
  Timer(Shard& shard, std::function<void()> action) : shard_(shard), action_(std::move(action)) {}
  ~Timer() override { cancel(); }
  void arm_at(Instant when);
  void arm_in(Duration delay);
  void cancel();

 private:
  void expired() override { action_(); }
  Shard& shard_;
  std::function<void()> action_;
};

}  // namespace klamm::io
