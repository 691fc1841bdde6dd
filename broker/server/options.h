// What the network side of a node is told, taken from its configuration.
#pragma once

#include "broker/config/broker_config.h"
#include "broker/server/acceptor.h"
#include "broker/server/session_host.h"

namespace klamm::server {

// `shards`: the node's memory bound is shared out evenly.
SessionHostOptions session_options(const config::BrokerConfig& config, std::size_t shards);
ConnectionLimits connection_limits(const config::BrokerConfig& config);

}  // namespace klamm::server
