#include "klamm/detail/delivery.h"

#include <algorithm>

#include "base/check.h"

namespace klamm::detail {

void DeliveryRef::destroy(DeliveryBatch* batch) noexcept { delete batch; }

const DeliveryBatch::Part* DeliveryBatch::part_of(std::uint32_t index) const noexcept {
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), index,
                                      [](std::uint32_t wanted, const Part& part) { return wanted < part.first_index; });
  return after == parts_.begin() ? nullptr : &*(after - 1);
}

const Error* DeliveryBatch::error(std::uint32_t index) const noexcept {
  if (const Part* part = part_of(index)) return part->batch->error(index - part->first_index);
  return error_ ? &*error_ : nullptr;
}

std::int64_t DeliveryBatch::offset(std::uint32_t index) const noexcept {
  if (const Part* part = part_of(index)) return part->batch->offset(index - part->first_index);
  return base_offset_ < 0 ? -1 : base_offset_ + index;
}

TimestampMs DeliveryBatch::timestamp(std::uint32_t index) const noexcept {
  if (const Part* part = part_of(index)) return part->batch->timestamp(index - part->first_index);
  return timestamp_;
}

void DeliveryBatch::succeed(std::int64_t base_offset, TimestampMs timestamp) {
  base_offset_ = base_offset;
  timestamp_ = timestamp;
  finish();
}

void DeliveryBatch::fail(Error error) {
  error_ = std::move(error);
  finish();
}

void DeliveryBatch::add_part(std::uint32_t first_index, DeliveryRef part) {
  KLAMM_CHECK(!done_);
  ++parts_open_;
  parts_.push_back({first_index, part});
  part->on_done([self = DeliveryRef(this)] { self->part_done(); });
}

void DeliveryBatch::part_done() {
  if (--parts_open_ == 0) finish();
}

void DeliveryBatch::on_done(std::function<void()> waiter) {
  if (done_) {
    waiter();
  } else {
    waiters_.push_back(std::move(waiter));
  }
}

void DeliveryBatch::finish() {
  KLAMM_CHECK(!done_, "a batch has two outcomes");
  done_ = true;
  const DeliveryRef alive(this);
  std::vector<std::function<void()>> waiters = std::move(waiters_);
  waiters_.clear();
  for (const auto& waiter : waiters) waiter();
}

}  // namespace klamm::detail
