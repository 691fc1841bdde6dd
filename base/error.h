// klamm::Error: what went wrong, as a value. Part of the public API (see client/include/klamm/error.h).
#pragma once

#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace klamm {

// Faults that have no Kafka error code and no errno. Kafka's own codes are in protocol/error.h (kafka_category()),
// operating system errors keep std::system_category().
enum class Errc {
  would_block = 1,    // nothing to read or no room to write now; wait for readiness
  end_of_stream,      // the peer closed the connection in good order
  cancelled,          // the operation was cancelled, or its owner was closed
  timed_out,          // the deadline passed before the operation was done
  malformed,          // bytes that do not decode: a length, a count or a value that cannot be
  too_large,          // decodes, but breaks a limit
  checksum_mismatch,  // a CRC does not fit the bytes it covers
  unsupported,        // a valid request that klamm does not serve
  invalid_argument,   // a bad value from the caller: configuration, argument, file content
  not_found,          // a file, key or thing that should be there is not
  already_exists,     // the thing to make is there already
  corrupt,            // stored data that contradicts itself
  shutting_down,      // the component is being closed
  unavailable,        // no peer could be reached
  buffer_full,        // no memory left under the configured bound

  authentication_failed,  // one side does not take the other for who it should be (TLS); trying again does not help
};

const std::error_category& klamm_category() noexcept;
std::error_code make_error_code(Errc errc) noexcept;

// An error code with the context a person needs to act on it. Cheap to move; copying copies the context.
class Error {
 public:
  Error(std::error_code code, std::string context = {}, bool retriable = false)
      : code_(code), context_(std::move(context)), retriable_(retriable) {}
  Error(Errc errc, std::string context = {}, bool retriable = false)
      : Error(make_error_code(errc), std::move(context), retriable) {}

  const std::error_code& code() const noexcept { return code_; }
  // What was being done, to what: "open /data/meta.properties". May be empty.
  const std::string& context() const noexcept { return context_; }
  // True if trying the same thing again later may succeed.
  bool retriable() const noexcept { return retriable_; }
  // "context: message of the code", one line; without the latter where the context ends in it.
  std::string message() const;
  // The same error with `outer` put before its context ("outer: context").
  Error in(std::string_view outer) &&;

  friend bool operator==(const Error& error, Errc errc) noexcept { return error.code_ == make_error_code(errc); }
  friend bool operator==(const Error& error, const std::error_code& code) noexcept { return error.code_ == code; }

 private:
  std::error_code code_;
  std::string context_;
  bool retriable_;
};

// An errno as an Error.
Error system_error(int error_number, std::string context);

}  // namespace klamm

template <>
struct std::is_error_code_enum<klamm::Errc> : std::true_type {};
