// Brokers: registration, heartbeats, fencing, shutdown, and the controllers' own registrations. Pure but for the
// sessions, which a heartbeat renews.
#pragma once

#include <optional>

#include "broker/controller/compute.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_request.h"
#include "protocol/messages/broker_registration_response.h"
#include "protocol/messages/controller_registration_request.h"
#include "protocol/messages/controller_registration_response.h"
#include "protocol/messages/unregister_broker_request.h"
#include "protocol/messages/unregister_broker_response.h"

namespace klamm::controller {

Decision<protocol::BrokerRegistrationResponse> register_broker(const Compute& compute,
                                                               const protocol::BrokerRegistrationRequest& request);

// A heartbeat's outcome besides records and reply.
struct HeartbeatDecision : Decision<protocol::BrokerHeartbeatResponse> {
  bool touch = false;                       // renew the broker's session
  bool begins_controlled_shutdown = false;  // note the last record's offset in its session
};
HeartbeatDecision broker_heartbeat(const Compute& compute, const protocol::BrokerHeartbeatRequest& request);

Decision<protocol::UnregisterBrokerResponse> unregister_broker(const Compute& compute,
                                                               const protocol::UnregisterBrokerRequest& request);
Decision<protocol::ControllerRegistrationResponse> register_controller(
    const Compute& compute, const protocol::ControllerRegistrationRequest& request);

// An unfenced broker whose session has run out, if there is one.
std::optional<std::int32_t> expired_broker(const Compute& compute);
// Takes a broker out: leaderships, ISRs, and the fence itself.
void fence_broker(const Compute& compute, std::int32_t id, Records& records);
// When the next session runs out; Instant::never() if none does.
Instant next_expiry(const Compute& compute);

}  // namespace klamm::controller
