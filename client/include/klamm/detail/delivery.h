// The shared state behind Delivery: one per batch, counted without atomics (it never leaves its executor).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace klamm::detail {

class DeliveryBatch;

// What the batches of one topic of one producer have in common.
struct DeliveryOrigin {
  std::string topic;
  std::shared_ptr<const void> executor;  // an asio::any_io_executor, where the producer was given one
};

// Owns one count of a DeliveryBatch.
class DeliveryRef {
 public:
  DeliveryRef() = default;
  explicit DeliveryRef(DeliveryBatch* batch) noexcept;
  DeliveryRef(const DeliveryRef& other) noexcept : DeliveryRef(other.batch_) {}
  DeliveryRef(DeliveryRef&& other) noexcept : batch_(std::exchange(other.batch_, nullptr)) {}
  DeliveryRef& operator=(DeliveryRef other) noexcept {
    std::swap(batch_, other.batch_);
    return *this;
  }
  ~DeliveryRef();
  explicit operator bool() const noexcept { return batch_ != nullptr; }
  DeliveryBatch* operator->() const noexcept { return batch_; }
  DeliveryBatch& operator*() const noexcept { return *batch_; }
  // Gives the count up without destroying the batch, even if it was the last: another reference must be made at once.
  DeliveryBatch* hand_over() noexcept;

 private:
  static void destroy(DeliveryBatch* batch) noexcept;
  DeliveryBatch* batch_ = nullptr;
};

// The outcome of a batch of records, and those who wait for it. A batch that had to be split (MESSAGE_TOO_LARGE) has
// parts, each with an outcome of its own.
class DeliveryBatch {
 public:
  DeliveryBatch(std::shared_ptr<const DeliveryOrigin> origin, std::int32_t partition) noexcept
      : origin_(std::move(origin)), partition_(partition) {}

  bool done() const noexcept { return done_; }
  const DeliveryOrigin& origin() const noexcept { return *origin_; }
  const std::string& topic() const noexcept { return origin_->topic; }
  std::int32_t partition() const noexcept { return partition_; }
  const Error* error(std::uint32_t index) const noexcept;
  std::int64_t offset(std::uint32_t index) const noexcept;
  TimestampMs timestamp(std::uint32_t index) const noexcept;

  void succeed(std::int64_t base_offset, TimestampMs timestamp);
  void fail(Error error);
  // The records from `first_index` on have their outcome in `part` (until the next part's first index). The last part
  // to end ends this batch.
  void add_part(std::uint32_t first_index, DeliveryRef part);
  // Calls `waiter` once done; at once if it is.
  void on_done(std::function<void()> waiter);

 private:
  friend class DeliveryRef;
  struct Part {
    std::uint32_t first_index;
    DeliveryRef batch;
  };
  const Part* part_of(std::uint32_t index) const noexcept;
  void part_done();
  void finish();

  std::shared_ptr<const DeliveryOrigin> origin_;
  std::uint32_t owners_ = 0;
  std::int32_t partition_;
  bool done_ = false;
  std::uint32_t parts_open_ = 0;
  std::int64_t base_offset_ = -1;
  TimestampMs timestamp_ = -1;
  std::optional<Error> error_;
  std::vector<Part> parts_;
  std::vector<std::function<void()>> waiters_;
};

inline DeliveryRef::DeliveryRef(DeliveryBatch* batch) noexcept : batch_(batch) {
  if (batch_ != nullptr) ++batch_->owners_;
}
inline DeliveryRef::~DeliveryRef() {
  if (batch_ != nullptr && --batch_->owners_ == 0) [[unlikely]]
    destroy(batch_);
}
inline DeliveryBatch* DeliveryRef::hand_over() noexcept {
  if (batch_ != nullptr) --batch_->owners_;
  return std::exchange(batch_, nullptr);
}

}  // namespace klamm::detail
