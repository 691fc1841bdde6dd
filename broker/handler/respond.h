// From a response message to the bytes of its frame, and the glue that makes a Handler of a typed function.
#pragma once

#include <optional>
#include <utility>

#include "broker/handler/call.h"
#include "io/task.h"
#include "protocol/error.h"
#include "protocol/message/header.h"
#include "protocol/wire/message.h"

namespace klamm::handler {

// The frame of a response: size, header, message. A message that its version cannot carry is our own fault: it closes
// the connection with a reason instead of sending nonsense.
template <wire::Message Response>
Reply respond(const CallBase& call, const Response& response) {
  const Result<void> fits = response.check(call.version);
  if (!fits) return Reply::close("response does not fit its version: " + fits.error().message());
  return Reply::respond(protocol::encode_response(response, call.version, call.correlation_id));
}

// Handler of `Response handle(Call&, Request)` (a coroutine), or of the same with a ControllerCall.
template <auto function, wire::Message Request, wire::Message Response, typename CallType>
io::Task<Reply> serve_with(CallType& call, Slice body) {
  Result<Request> request = wire::decode_request<Request>(std::move(body), call.version);
  if (!request) co_return Reply::close(request.error().message());
  Response response = co_await function(call, std::move(*request));
  Reply reply = respond(call, response);
  co_return reply;
}

inline std::int16_t code(protocol::ErrorCode error) { return static_cast<std::int16_t>(error); }
inline std::int16_t code(const Error& error) { return static_cast<std::int16_t>(protocol::code_of(error)); }

}  // namespace klamm::handler
