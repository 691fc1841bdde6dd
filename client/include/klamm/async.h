// Completion tokens for the SDK's operations. Every async_ function takes one as its last argument, as Asio's do:
// asio::use_awaitable (the default), asio::use_future, a callback, asio::bind_cancellation_slot(...) and so on. The
// signature is void(std::exception_ptr, T), or void(std::exception_ptr) where there is no result; the exception is a
// klamm::Exception. An operation may be started from any thread; its handler runs on its associated executor, by
// default the client's. Cancelled operations end with Errc::cancelled.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/dispatch.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/use_awaitable.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "klamm/detail/completion.h"
#include "klamm/error.h"

namespace klamm {

using Executor = asio::any_io_executor;

namespace detail {

template <typename T>
struct Signature {
  using Type = void(std::exception_ptr, T);
};
template <>
struct Signature<void> {
  using Type = void(std::exception_ptr);
};

template <typename T, typename Handler>
class HandlerReceiver final : public Receiver<T> {
 public:
  HandlerReceiver(const Executor& executor, Handler handler)
      : handler_(std::move(handler)), work_(asio::get_associated_executor(handler_, executor)) {}

  void receive(Result<T> outcome) override {
    auto slot = asio::get_associated_cancellation_slot(handler_);
    if (slot.is_connected()) slot.clear();
    auto executor = work_.get_executor();
    auto work = std::move(work_);
    Handler handler = std::move(handler_);
    delete this;
    asio::dispatch(executor, [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
      std::exception_ptr error = outcome ? nullptr : std::make_exception_ptr(Exception(outcome.error()));
      if constexpr (std::is_void_v<T>) {
        std::move(handler)(error);
      } else if (outcome) {
        std::move(handler)(error, std::move(*outcome));
      } else {
        std::move(handler)(error, T{});
      }
    });
  }
  void abandon() noexcept override { delete this; }
  Handler& handler() { return handler_; }

 private:
  Handler handler_;
  asio::executor_work_guard<asio::associated_executor_t<Handler, Executor>> work_;
};

// Starts an operation: `start(Completion<T>)` is called on `executor`.
template <typename T, typename Token, typename Start>
auto initiate(Executor executor, Token&& token, Start start) {
  return asio::async_initiate<Token, typename Signature<T>::Type>(
      [](auto handler, Executor on, Start begin) {
        auto cancellation = std::make_shared<Cancellation>();
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected()) {
          slot.assign([cancellation, on](asio::cancellation_type type) {
            if (type == asio::cancellation_type::none) return;
            asio::dispatch(on, [cancellation] { cancellation->request(); });
          });
        }
        using Receiving = HandlerReceiver<T, decltype(handler)>;
        Completion<T> completion(new Receiving(on, std::move(handler)), std::move(cancellation));
        asio::dispatch(on, [begin = std::move(begin), completion = std::move(completion)]() mutable {
          begin(std::move(completion));
        });
      },
      token, std::move(executor), std::move(start));
}

}  // namespace detail
}  // namespace klamm
