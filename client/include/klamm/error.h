// Errors of the SDK. Functions that return at once give a klamm::Result; asynchronous ones hand their completion token
// a std::exception_ptr whose pointee is a klamm::Exception (a co_await throws it).
#pragma once

#include <stdexcept>

#include "base/error.h"
#include "base/result.h"
#include "protocol/error.h"

namespace klamm {

// Kafka's error codes by name, as brokers answer them: ErrorCode::unknown_topic_or_partition and so on.
using ErrorCode = protocol::ErrorCode;

// Kafka's code of the error; unknown_server_error for faults that have none (see Error::code() for those).
inline ErrorCode error_code(const Error& error) noexcept { return protocol::code_of(error); }

// An Error thrown: code, whether trying again may help, and context come with it.
class Exception : public std::runtime_error {
 public:
  explicit Exception(Error error) : std::runtime_error(error.message()), error_(std::move(error)) {}
  const Error& error() const noexcept { return error_; }
  // Kafka's code, see error_code().
  ErrorCode kafka_code() const noexcept { return error_code(error_); }
  bool retriable() const noexcept { return error_.retriable(); }

 private:
  Error error_;
};

}  // namespace klamm
