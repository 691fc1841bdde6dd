#include "client/core/settings.h"

#include <algorithm>

namespace klamm::client {

ClusterOptions cluster_options(const CommonSettings& common) {
  ClusterOptions options;
  for (const ServerAddress& server : common.bootstrap_servers) options.bootstrap.push_back({server.host, server.port});
  options.client_id = common.client_id;
  options.metadata_max_age = milliseconds(common.metadata_max_age_ms);
  options.metadata_max_idle = Duration::max();
  options.retry_backoff = milliseconds(common.retry_backoff_ms);
  options.retry_backoff_max = milliseconds(common.retry_backoff_max_ms);
  options.reconnect_backoff = milliseconds(common.reconnect_backoff_ms);
  options.reconnect_backoff_max = milliseconds(common.reconnect_backoff_max_ms);
  options.setup_timeout = milliseconds(common.socket_connection_setup_timeout_ms);
  options.setup_timeout_max = milliseconds(common.socket_connection_setup_timeout_max_ms);
  options.request_timeout = milliseconds(common.request_timeout_ms);
  options.max_idle =
      common.connections_max_idle_ms < 0 ? Duration::max() : milliseconds(common.connections_max_idle_ms);
  options.rebootstrap = common.rebootstrap;
  options.buffers = {common.send_buffer_bytes, common.receive_buffer_bytes};
  options.tls = common.tls;
  options.rebootstrap_trigger = milliseconds(common.rebootstrap_trigger_ms);
  return options;
}

Logger client_logger(const LogSink& sink, LogLevel level, std::string_view kind, const std::string& client_id) {
  std::string component(kind);
  if (!client_id.empty()) component += " " + client_id;
  if (!sink) return Logger(stderr_sink(), std::max(level, LogLevel::warning), std::move(component));
  return Logger(sink, level, std::move(component));
}

}  // namespace klamm::client
