// Envelopes: how a broker hands a client's request to the active controller, with the client's name and address, and
// gets the answer back (KIP-590). Here are both ends; forwarder.h is the broker's way in between.
#pragma once

#include "base/result.h"
#include "broker/handler/services.h"
#include "io/task.h"
#include "protocol/messages/envelope_request.h"
#include "protocol/messages/envelope_response.h"

namespace klamm::handler {

// `request`: header and body, without the frame's size. A client whose address is no numeric one is told as 0.0.0.0.
protocol::EnvelopeRequest make_envelope(Slice request, const security::RequestContext& sender);

// Serves what is in an envelope, as its sender. On the controller's shard.
io::Task<protocol::EnvelopeResponse> open_envelope(ControllerServices& services, protocol::EnvelopeRequest envelope,
                                                   std::string listener);

}  // namespace klamm::handler
