// The tables of what is served, one for the broker's listeners and one for the controller's: a row an API, with its
// handler. ApiVersions advertises just these tables.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/bytes.h"
#include "broker/handler/call.h"
#include "broker/handler/services.h"
#include "io/task.h"
#include "protocol/error.h"
#include "protocol/message/api.h"
#include "protocol/message/header.h"

namespace klamm::handler {

// Decodes `body` in call.version, does the work, gives the reply with its header.
template <typename CallType>
struct Row {
  protocol::ApiKey key;
  io::Task<Reply> (*handler)(CallType& call, Slice body);
};
using Served = Row<Call>;
using ControllerServed = Row<ControllerCall>;

// In ascending order of keys.
std::span<const Served> served_apis();
std::span<const ControllerServed> controller_apis();
// The part of controller_apis() that the quorum's nodes ask of each other (raft_apis.cc), in any order.
std::span<const ControllerServed> served_raft_apis();

// Why a request's connection is closed whose API, or version of it, is not served by the broker: one line for the log
// that names the API, the client and what is served instead.
std::string why_not_served(const protocol::RequestHeader& header);

// Serves one request frame: decodes its header, finds the handler, calls it. Frames that cannot be answered (an unknown
// API, a version that is not served, a body that does not decode) close the connection, as Kafka does; an ApiVersions
// request in an unknown version is answered in version 0 with the versions that are served.
io::Task<Reply> dispatch(Services& services, Slice frame, const security::RequestContext& connection,
                         std::function<void()> enqueued, Hangup& hangup);
// The same for the controller's listeners.
io::Task<Reply> dispatch(ControllerServices& services, Slice frame, const security::RequestContext& connection,
                         std::function<void()> enqueued, Hangup& hangup);

// Serves a request that a broker has forwarded, as its sender, whom `sender` describes. `fault` is the Envelope's:
// INVALID_REQUEST for what is not to be forwarded, UNSUPPORTED_VERSION for what this node cannot read, NOT_CONTROLLER
// if another node is the one to ask; there is no reply then.
struct Forwarded {
  protocol::ErrorCode fault = protocol::ErrorCode::none;
  Reply reply;
};
io::Task<Forwarded> serve_forwarded(ControllerServices& services, Slice request, security::RequestContext sender);

}  // namespace klamm::handler
