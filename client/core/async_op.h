// Runs a Task and hands its outcome to a completion.
#pragma once

#include <memory>
#include <utility>

#include "io/task.h"
#include "klamm/detail/completion.h"

namespace klamm::client {

// The task looks at the completion's Cancellation by itself.
template <typename T>
void complete_with(io::Task<Result<T>> task, detail::Completion<T> done) {
  io::spawn_detached([](io::Task<Result<T>> running, detail::Completion<T> completion) -> io::Task<void> {
    Result<T> outcome = co_await running;
    completion.cancellation()->wake = nullptr;
    completion(std::move(outcome));
  }(std::move(task), std::move(done)));
}

// For tasks that nobody waits for once they are cancelled: the completion ends at once with Errc::cancelled, the task
// goes on by itself to its end and its outcome is dropped.
template <typename T>
void complete_or_leave(io::Task<Result<T>> task, detail::Completion<T> done) {
  auto shared = std::make_shared<detail::Completion<T>>(std::move(done));
  const std::shared_ptr<detail::Cancellation>& cancellation = shared->cancellation();
  auto finish = [shared, finished = false](Result<T> outcome) mutable {
    if (std::exchange(finished, true)) return;
    shared->cancellation()->wake = nullptr;
    (*shared)(std::move(outcome));
  };
  auto once = std::make_shared<decltype(finish)>(std::move(finish));
  cancellation->wake = [once] { (*once)(fail(Errc::cancelled, "operation cancelled")); };
  io::spawn_detached([](io::Task<Result<T>> running, auto give) -> io::Task<void> {
    Result<T> outcome = co_await running;
    (*give)(std::move(outcome));
  }(std::move(task), once));
}

}  // namespace klamm::client
