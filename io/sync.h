// Coordination among coroutines of one shard. None of these may be touched from another shard.
#pragma once

#include <coroutine>
#include <cstdint>
#include <utility>

#include "base/time.h"
#include "io/shard.h"
#include "io/task.h"

namespace klamm::io {

// Waiters that are woken together. `co_await signal.wait();` returns at the next notify_all(); look at your condition
// again after it. Woken coroutines resume from the loop, not inside notify_all().
class Signal {
 public:
  explicit Signal(Shard& shard) : shard_(shard) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  class Waiter final : public TimerNode {
   public:
    Waiter(Signal& signal, Instant deadline) : signal_(signal), deadline_(deadline) {}
    ~Waiter() override { leave(); }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle);
    // True if notified, false if the deadline passed first.
    bool await_resume() const noexcept { return notified_; }

   private:
    friend class Signal;
    void expired() override;
    void leave() noexcept;
    Signal& signal_;
    Instant deadline_;
    std::coroutine_handle<> handle_;
    Waiter* previous_ = nullptr;
    Waiter* next_ = nullptr;
    bool listed_ = false;
    bool notified_ = false;
  };

  Waiter wait() { return {*this, Instant::never()}; }
  Waiter wait_until(Instant deadline) { return {*this, deadline}; }
  void notify_all();
  bool has_waiters() const noexcept { return first_ != nullptr; }

 private:
  Shard& shard_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

// Background tasks with an owner: spawn() while open, close() refuses new ones and waits for all to end. The owner must
// make them end (close streams, notify signals).
class Gate {
 public:
  explicit Gate(Shard& shard) : idle_(shard) {}
  ~Gate() { KLAMM_CHECK(running_ == 0, "gate destroyed while tasks run"); }
  bool closed() const noexcept { return closed_; }
  std::size_t running() const noexcept { return running_; }
  // Starts the task now; dropped without starting if the gate is closed.
  void spawn(Task<void> task);
  Task<void> close();

 private:
  Signal idle_;
  std::size_t running_ = 0;
  bool closed_ = false;
};

// One holder at a time, first come first served. `co_await mutex.lock(); ... mutex.unlock();`
class AsyncMutex {
 public:
  explicit AsyncMutex(Shard& shard) : freed_(shard) {}
  Task<void> lock();
  void unlock();

 private:
  Signal freed_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

// A bound on bytes held at once. acquire() waits until the bytes fit; one request larger than the whole bound is let
// through alone. Served in order.
class MemoryGate {
 public:
  MemoryGate(Shard& shard, std::uint64_t limit_bytes) : freed_(shard), limit_(limit_bytes) {}
  Task<void> acquire(std::uint64_t bytes);
  // True, and the bytes are acquired, if that needs no waiting.
  bool try_acquire(std::uint64_t bytes) {
    if (serving_ != next_ticket_ || !fits(bytes)) return false;
    ++next_ticket_;
    ++serving_;
    used_ += bytes;
    return true;
  }
  void release(std::uint64_t bytes);
  std::uint64_t used() const noexcept { return used_; }
  std::uint64_t limit() const noexcept { return limit_; }

 private:
  bool fits(std::uint64_t bytes) const noexcept { return used_ == 0 || (bytes <= limit_ && used_ <= limit_ - bytes); }
  Signal freed_;
  std::uint64_t limit_;
  std::uint64_t used_ = 0;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace klamm::io
