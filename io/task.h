// Task<T>: a coroutine that runs on one shard. It starts when it is awaited (or spawned), on the awaiting shard, and
// resumes its awaiter on that shard. No symmetric transfer: a Task resumes its child and looks at a flag, so chains of
// tasks that finish at once do not grow the stack even at -O0.
//
// Rules (see DESIGN.md): co_await stands alone in a statement (`auto x = co_await f();`); a Task is awaited at most
// once; nothing thrown may leave it (errors are values).
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/check.h"

namespace klamm::io {

template <typename T = void>
class [[nodiscard]] Task;

namespace detail {

struct TaskPromiseBase {
  std::coroutine_handle<> awaiter;
  bool finished = false;
  bool awaiter_suspended = false;

  struct FinalAwaiter {
    bool await_ready() const noexcept { return false; }
    template <typename Promise>
    void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
      TaskPromiseBase& promise = self.promise();
      promise.finished = true;
      // While await_suspend() of the awaiter is still on the stack it continues by itself; this frame may be gone after
      // resume.
      if (promise.awaiter_suspended) promise.awaiter.resume();
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() const noexcept {
    check_failed(__FILE__, __LINE__, "exception in a Task", current_exception_text());
  }
  static const char* current_exception_text() noexcept {
    try {
      throw;
    } catch (const std::exception& exception) {
      static thread_local char text[256];
      std::size_t length = 0;
      for (const char* from = exception.what(); *from != 0 && length + 1 < sizeof text; ++from) text[length++] = *from;
      text[length] = 0;
      return text;
    } catch (...) {
      return "unknown exception";
    }
  }
};

template <typename T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
};

}  // namespace detail

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() = default;
  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  // Destroying a task that has started but not finished destroys its frame: only for shutdown of a simulated node.
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> awaiter) {
    KLAMM_CHECK(handle_, "task awaited twice");
    auto& promise = handle_.promise();
    promise.awaiter = awaiter;
    handle_.resume();
    if (promise.finished) return false;
    promise.awaiter_suspended = true;
    return true;
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) {
      T result = std::move(*handle_.promise().value);
      std::exchange(handle_, {}).destroy();
      return result;
    } else {
      std::exchange(handle_, {}).destroy();
    }
  }

 private:
  Handle handle_;
};

namespace detail {
template <typename T>
Task<T> TaskPromise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

// A coroutine without owner: runs at once, frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {
      check_failed(__FILE__, __LINE__, "exception in a detached task", TaskPromiseBase::current_exception_text());
    }
  };
};
}  // namespace detail

// Starts `task` now, on the calling shard, and forgets it. Prefer Gate::spawn, which can be waited for.
inline void spawn_detached(Task<void> task) {
  [](Task<void> owned) -> detail::Detached { co_await owned; }(std::move(task));
}

}  // namespace klamm::io
