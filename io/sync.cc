#include "io/sync.h"

namespace klamm::io {

void Signal::Waiter::await_suspend(std::coroutine_handle<> handle) {
  handle_ = handle;
  previous_ = signal_.last_;
  (previous_ ? previous_->next_ : signal_.first_) = this;
  signal_.last_ = this;
  listed_ = true;
  if (deadline_ != Instant::never()) signal_.shard_.arm(*this, deadline_);
}

void Signal::Waiter::leave() noexcept {
  if (!listed_) return;
  (previous_ ? previous_->next_ : signal_.first_) = next_;
  (next_ ? next_->previous_ : signal_.last_) = previous_;
  previous_ = next_ = nullptr;
  listed_ = false;
  signal_.shard_.cancel(*this);
}

void Signal::Waiter::expired() {
  leave();
  handle_.resume();
}

void Signal::notify_all() {
  while (first_ != nullptr) {
    Waiter* waiter = first_;
    waiter->leave();
    waiter->notified_ = true;
    shard_.resume_soon(waiter->handle_);
  }
}

void Gate::spawn(Task<void> task) {
  if (closed_) return;
  ++running_;
  spawn_detached([](Gate* gate, Task<void> owned) -> Task<void> {
    co_await owned;
    if (--gate->running_ == 0) gate->idle_.notify_all();
  }(this, std::move(task)));
}

Task<void> Gate::close() {
  closed_ = true;
  while (running_ != 0) co_await idle_.wait();
}

Task<void> AsyncMutex::lock() {
  const std::uint64_t ticket = next_ticket_++;
  while (ticket != serving_) co_await freed_.wait();
}

void AsyncMutex::unlock() {
  KLAMM_CHECK(serving_ < next_ticket_, "unlock without lock");
  ++serving_;
  freed_.notify_all();
}

Task<void> MemoryGate::acquire(std::uint64_t bytes) {
  const std::uint64_t ticket = next_ticket_++;
  while (ticket != serving_ || !fits(bytes)) co_await freed_.wait();
  ++serving_;
  used_ += bytes;
  if (serving_ != next_ticket_) freed_.notify_all();
}

void MemoryGate::release(std::uint64_t bytes) {
  KLAMM_CHECK(bytes <= used_, "more released than acquired");
  used_ -= bytes;
  freed_.notify_all();
}

}  // namespace klamm::io
