// Who asks, through which door, and until when: what comes with every request besides its bytes.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace klamm::security {

// A Kafka principal: "User:ANONYMOUS" until a listener authenticates.
struct Principal {
  std::string type = "User";
  std::string name = "ANONYMOUS";
  bool token_authenticated = false;  // came by a delegation token

  std::string text() const { return type + ":" + name; }
  friend bool operator==(const Principal&, const Principal&) = default;
};

// Made by the session for each request (or by the broker for its own calls) and handed down by reference; a plain
// value, so it may be copied to another shard.
struct RequestContext {
  Principal principal;
  std::string client_id;       // of the request header; empty if null
  std::string client_address;  // numeric host, without port
  std::string listener;        // name of the listener the connection came in by
  std::int16_t api_version = 0;
  // When the answer is of no use any more; Instant::never() if the request has no timeout of its own.
  Instant deadline = Instant::never();
};

}  // namespace klamm::security
