// The table of what the broker serves: one row an API, each with its handler. ApiVersions advertises just this table.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/bytes.h"
#include "broker/handler/call.h"
#include "broker/handler/services.h"
#include "io/task.h"
#include "protocol/message/api.h"

namespace klamm::handler {

// Decodes `body` in call.version, does the work, gives the reply with its header.
using Handler = io::Task<Reply> (*)(Call& call, Slice body);

struct Served {
  protocol::ApiKey key;
  Handler handler;
};

// In ascending order of keys.
std::span<const Served> served_apis();

// Serves one request frame: decodes its header, finds the handler, calls it. Frames that cannot be answered (an unknown
// API, a version that is not served, a body that does not decode) close the connection, as Kafka does; an ApiVersions
// request in an unknown version is answered in version 0 with the versions that are served.
io::Task<Reply> dispatch(Services& services, Slice frame, const security::RequestContext& connection,
                         std::function<void()> enqueued, Hangup& hangup);

}  // namespace klamm::handler
