// One request on its way through a handler, and the reply that comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "broker/security/context.h"
#include "io/piece.h"

namespace klamm::handler {

class Services;

// What a handler gets besides the decoded request. Lives on the connection's shard until the handler has returned.
struct Call {
  std::int16_t api_key = 0;
  std::int32_t correlation_id = 0;
  std::int16_t version = 0;
  const security::RequestContext& context;
  Services& services;
  // The request has taken its place in the order of effects: the connection's next request may start. Called at most
  // once; returning implies it.
  std::function<void()> enqueued;
};

// What to send back.
struct Reply {
  enum class Kind {
    respond,  // `body` (response header and message) goes out
    silent,   // nothing is sent (Produce with acks=0)
    close,    // the connection is closed; `reason` goes to the log
  };
  Kind kind = Kind::respond;
  io::Pieces body;
  std::string reason;

  static Reply respond(io::Pieces body) { return {Kind::respond, std::move(body), {}}; }
  static Reply silent() { return {Kind::silent, {}, {}}; }
  static Reply close(std::string reason) { return {Kind::close, {}, std::move(reason)}; }
};

}  // namespace klamm::handler
