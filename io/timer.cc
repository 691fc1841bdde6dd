#include "io/timer.h"

#include "base/check.h"
#include "io/shard.h"

namespace klamm::io {

void TimerQueue::place(TimerNode* node, std::size_t index) {
  heap_[index] = node;
  node->index_ = index;
}

void TimerQueue::sift_up(std::size_t index) {
  TimerNode* node = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(*node, *heap_[parent])) break;
    place(heap_[parent], index);
    index = parent;
  }
  place(node, index);
}

void TimerQueue::sift_down(std::size_t index) {
  TimerNode* node = heap_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *node)) break;
    place(heap_[child], index);
    index = child;
  }
  place(node, index);
}

void TimerQueue::arm(TimerNode& node, Instant when) {
  cancel(node);
  node.when_ = when;
  node.sequence_ = next_sequence_++;
  heap_.push_back(&node);
  sift_up(heap_.size() - 1);
}

void TimerQueue::cancel(TimerNode& node) {
  if (!node.armed()) return;
  const std::size_t index = node.index_;
  node.index_ = TimerNode::kNotArmed;
  TimerNode* last = heap_.back();
  heap_.pop_back();
  if (last == &node) return;
  place(last, index);
  sift_down(index);
  sift_up(last->index_);
}

void TimerQueue::run_due(Instant now) {
  const std::uint64_t armed_before = next_sequence_;  // timers armed by the ones that run wait for the next call
  while (!heap_.empty() && heap_.front()->when_ <= now && heap_.front()->sequence_ < armed_before) {
    TimerNode* node = heap_.front();
    cancel(*node);
    node->expired();
  }
}

void Timer::arm_at(Instant when) { shard_.arm(*this, when); }
void Timer::arm_in(Duration delay) { shard_.arm(*this, shard_.now() + delay); }
void Timer::cancel() { shard_.cancel(*this); }

}  // namespace klamm::io
