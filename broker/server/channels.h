// How this node's connections to the controller quorum are made.
#pragma once

#include <string>

#include "broker/controller/controller_channel.h"
#include "broker/server/node_base.h"

namespace klamm::server {

// Reads what TLS to controller listeners needs: by the first of controller.listener.names, whose protocol it is; null
// for a plain one. Errc::unsupported for SASL.
io::Task<Result<std::shared_ptr<const io::tls::Context>>> load_controller_tls(const NodeBase& node);
// The same for the brokers' own listener, on which followers fetch.
io::Task<Result<std::shared_ptr<const io::tls::Context>>> load_inter_broker_tls(const NodeBase& node);

// For a ControllerChannel. `tls`: from load_controller_tls().
controller::ControllerChannelOptions channel_options(const NodeBase& node, std::shared_ptr<const io::tls::Context> tls);

}  // namespace klamm::server
