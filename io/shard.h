// A shard: one thread's event loop with everything that runs on it: clocks, timers, network, files, randomness. This
// is klamm's environment: code that takes a Shard& runs on the machine or in the simulator (io/sim/) alike.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "io/file.h"
#include "io/stream.h"
#include "io/task.h"
#include "io/timer.h"

namespace klamm::io {

class Shard {
 public:
  virtual ~Shard() = default;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // Position among the shards of its node, from 0.
  unsigned index() const noexcept { return index_; }

  virtual Instant now() const = 0;
  virtual TimestampMs wall_ms() const = 0;
  Random& random() noexcept { return random_; }
  virtual FileSystem& files() = 0;

  // Opens a TCP connection. Names are resolved; the deadline bounds the whole. Errors: errno, or Errc::timed_out.
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Endpoint to, Duration timeout, SocketBuffers buffers = {}) = 0;
  // Listens on an address; port 0 picks one. `backlog` as listen(2); `buffers` are those of the connections.
  virtual Result<std::unique_ptr<Listener>> listen(Endpoint at, int backlog, SocketBuffers buffers = {}) = 0;

  // Runs `run(argument)` on this shard's loop, in order of posting. The only member that other threads may call.
  virtual void post(void (*run)(void*), void* argument) = 0;

  // Resumes a coroutine of this shard from its loop, soon. Only from this shard.
  void resume_soon(std::coroutine_handle<> handle);

  // `co_await shard.others_first();` goes on after everything that is ready now.
  struct OthersFirst {
    Shard& shard;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { shard.resume_soon(handle); }
    void await_resume() const noexcept {}
  };
  OthersFirst others_first() { return {*this}; }

  void arm(TimerNode& node, Instant when);
  void cancel(TimerNode& node) {
    if (!node.armed()) return;
    timers_.cancel(node);
    if (timers_.empty()) timers_emptied();
  }

  // Awaits a point in time: `co_await shard.sleep(10ms);`
  class Sleep;
  Sleep sleep(Duration delay);
  Sleep sleep_until(Instant when);

 protected:
  Shard(unsigned index, std::uint64_t seed) : random_(seed), index_(index) {}
  // The earliest deadline has moved forward: make sure the loop wakes at it.
  virtual void timers_changed() = 0;
  // The last timer was cancelled: a loop that runs until there is nothing left to wait for must not wait for it.
  virtual void timers_emptied() {}
  // resume_soon() got its first handle: make sure drain_ready() is called from the loop.
  virtual void ready_pending() = 0;
  // Resumes what resume_soon() collected (one round).
  void drain_ready();
  TimerQueue& timers() noexcept { return timers_; }
  bool has_ready() const noexcept { return !ready_.empty(); }

 private:
  TimerQueue timers_;
  Random random_;
  std::vector<std::coroutine_handle<>> ready_;
  unsigned index_;
};

class Shard::Sleep final : public TimerNode {
 public:
  Sleep(Shard& shard, Instant when) : shard_(shard), until_(when) {}
  ~Sleep() override { shard_.cancel(*this); }
  bool await_ready() const { return until_ <= shard_.now(); }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    shard_.arm(*this, until_);
  }
  void await_resume() const noexcept {}

 private:
  void expired() override { handle_.resume(); }
  Shard& shard_;
  Instant until_;
  std::coroutine_handle<> handle_;
};

inline Shard::Sleep Shard::sleep_until(Instant when) { return {*this, when}; }
inline Shard::Sleep Shard::sleep(Duration delay) { return {*this, now() + delay}; }

namespace detail {

// co_await of a function that runs on another shard. The caller's frame never moves; the result is carried back.
template <typename Function, typename T>
class RemoteCall {
 public:
  RemoteCall(Shard& here, Shard& there, Function function)
      : here_(here), there_(there), function_(std::move(function)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    there_.post([](void* self) { spawn_detached(static_cast<RemoteCall*>(self)->run()); }, this);
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) return std::move(*result_);
  }

 private:
  struct Nothing {};
  Task<void> run() {
    if constexpr (std::is_void_v<T>) {
      co_await function_();
    } else {
      T value = co_await function_();
      result_.emplace(std::move(value));
    }
    here_.post([](void* self) { static_cast<RemoteCall*>(self)->handle_.resume(); }, this);
  }

  Shard& here_;
  Shard& there_;
  Function function_;
  std::coroutine_handle<> handle_;
  std::optional<std::conditional_t<std::is_void_v<T>, Nothing, T>> result_;
};

template <typename T>
struct TaskValue;
template <typename T>
struct TaskValue<Task<T>> {
  using Type = T;
};

}  // namespace detail

// Runs `function` (returning a Task) on shard `there` and brings its result back to `here`, the calling shard. On the
// same shard it is a plain call. `auto result = co_await call(here, there, [&]() -> Task<Result<int>> {...});`
template <typename Function>
auto call(Shard& here, Shard& there, Function function) -> std::invoke_result_t<Function&> {
  using T = typename detail::TaskValue<std::invoke_result_t<Function&>>::Type;
  if (&here == &there) {
    if constexpr (std::is_void_v<T>) {
      co_await function();
      co_return;
    } else {
      T value = co_await function();
      co_return value;
    }
  } else {
    detail::RemoteCall<Function, T> remote(here, there, std::move(function));
    if constexpr (std::is_void_v<T>) {
      co_await remote;
    } else {
      T value = co_await remote;
      co_return value;
    }
  }
}

// The shards of one node (one process). Partition and connection placement go by index.
class Shards {
 public:
  virtual ~Shards() = default;
  virtual std::size_t size() const = 0;
  virtual Shard& at(std::size_t index) = 0;
};

}  // namespace klamm::io
