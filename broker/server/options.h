// What the components of a node are told, taken from its configuration.
#pragma once

#include <string>

#include "broker/config/broker_config.h"
#include "broker/controller/controller.h"
#include "broker/metadata/loader.h"
#include "broker/raft/raft_node.h"
#include "broker/server/acceptor.h"
#include "broker/server/session_host.h"

namespace klamm::server {

raft::RaftOptions raft_options(const config::BrokerConfig& config, const Uuid& metadata_directory_id);
metadata::LoaderOptions loader_options(const config::BrokerConfig& config);
// The options refer to `config`, which must outlive the controller.
controller::ControllerOptions controller_options(const config::BrokerConfig& config, const std::string& cluster_id,
                                                 const Uuid& incarnation_id);
// `shards`: the node's memory bound and its fetch sessions are shared out evenly.
SessionHostOptions session_options(const config::BrokerConfig& config, std::size_t shards);
ConnectionLimits connection_limits(const config::BrokerConfig& config);

}  // namespace klamm::server
