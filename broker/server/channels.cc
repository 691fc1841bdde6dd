#include "broker/server/channels.h"

#include "broker/server/listener_tls.h"

namespace klamm::server {

using LoadedTls = Result<std::shared_ptr<const io::tls::Context>>;

io::Task<LoadedTls> load_controller_tls(const NodeBase& node) {
  const config::BrokerConfig& config = node.config();
  if (config.controller_listener_names().empty()) co_return std::shared_ptr<const io::tls::Context>();
  const std::string& listener = config.controller_listener_names().front();
  const auto found = config.protocols().find(listener);
  const auto protocol = found == config.protocols().end() ? config::SecurityProtocol::plaintext : found->second;
  LoadedTls loaded = co_await load_listener_tls(node.home, config, listener, protocol, io::tls::Role::client, listener);
  co_return loaded;
}

io::Task<LoadedTls> load_inter_broker_tls(const NodeBase& node) {
  const config::BrokerConfig& config = node.config();
  LoadedTls loaded =
      co_await load_listener_tls(node.home, config, config.inter_broker_listener(), config.inter_broker_protocol(),
                                 io::tls::Role::client, config.inter_broker_listener());
  co_return loaded;
}

controller::ControllerChannelOptions channel_options(const NodeBase& node,
                                                     std::shared_ptr<const io::tls::Context> tls) {
  const ConfigValues& values = node.config().values();
  controller::ControllerChannelOptions options;
  options.node_id = node.config().node_id();
  options.connection.client_id = std::to_string(options.node_id);
  options.connection.tls = std::move(tls);
  options.attempt_timeout = milliseconds(values.get_int("request.timeout.ms"));
  options.connection.request_timeout = options.attempt_timeout;
  return options;
}

}  // namespace klamm::server
