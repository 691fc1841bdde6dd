// How an operation of the SDK ends, with the completion token's type erased. No Asio here: the insides of the SDK see
// this, the adapters are in klamm/async.h.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"

namespace klamm::detail {

// Asks a running operation to end early. Lives on the client's executor, shared by the one who asks and the operation.
struct Cancellation {
  bool requested = false;
  std::function<void()> wake;  // set by the operation while it waits; called once when the request comes

  void request() {
    requested = true;
    if (wake) std::exchange(wake, nullptr)();
  }
};

// Takes the outcome; frees itself.
template <typename T>
class Receiver {
 public:
  virtual void receive(Result<T> outcome) = 0;
  virtual void abandon() noexcept = 0;

 protected:
  ~Receiver() = default;
};

// The one right to end an operation. Dropped unused (its execution context is being destroyed), the handler is dropped
// too.
template <typename T>
class Completion {
 public:
  Completion(Receiver<T>* receiver, std::shared_ptr<Cancellation> cancellation)
      : receiver_(receiver), cancellation_(std::move(cancellation)) {}
  Completion(Completion&& other) noexcept
      : receiver_(std::exchange(other.receiver_, nullptr)), cancellation_(std::move(other.cancellation_)) {}
  Completion& operator=(Completion&& other) noexcept {
    if (this != &other) {
      if (receiver_) receiver_->abandon();
      receiver_ = std::exchange(other.receiver_, nullptr);
      cancellation_ = std::move(other.cancellation_);
    }
    return *this;
  }
  ~Completion() {
    if (receiver_) receiver_->abandon();
  }

  // Once, on the client's executor.
  void operator()(Result<T> outcome) { std::exchange(receiver_, nullptr)->receive(std::move(outcome)); }
  const std::shared_ptr<Cancellation>& cancellation() const noexcept { return cancellation_; }

 private:
  Receiver<T>* receiver_;
  std::shared_ptr<Cancellation> cancellation_;
};

}  // namespace klamm::detail
