// What a node says of itself to the active controller, the same as broker and as controller.
#pragma once

#include <cstdint>
#include <vector>

#include "broker/config/broker_config.h"
#include "broker/metadata/features.h"

namespace klamm::server {

// Fills `listeners` and `features` of a BrokerRegistration or ControllerRegistration.
template <typename Request>
void introduce(Request& request, const std::vector<config::Endpoint>& listeners) {
  for (const config::Endpoint& endpoint : listeners) {
    auto& listener = request.listeners.emplace_back();
    listener.name = endpoint.listener;
    listener.host = endpoint.host;
    listener.port = endpoint.port;
    listener.security_protocol = static_cast<std::int16_t>(endpoint.protocol);
  }
  for (const auto& [name, range] : metadata::supported_features()) {
    auto& feature = request.features.emplace_back();
    feature.name = name;
    feature.min_supported_version = range.min;
    feature.max_supported_version = range.max;
  }
}

}  // namespace klamm::server
