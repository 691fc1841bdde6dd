#include "broker/server/options.h"

#include <algorithm>

namespace klamm::server {
namespace {

// Several requests of one client may wait for their replies; this many are enough to keep it busy.
constexpr std::size_t kOutstandingReplies = 128;

}  // namespace

SessionHostOptions session_options(const config::BrokerConfig& config, std::size_t shards) {
  const config::BrokerLimits& limits = config.limits();
  SessionHostOptions options;
  options.max_request_bytes = static_cast<std::uint32_t>(limits.socket_request_max_bytes);
  options.max_outstanding_replies =
      std::min<std::size_t>(kOutstandingReplies, static_cast<std::size_t>(limits.queued_max_requests));
  std::int64_t memory = limits.request_memory_max_bytes;
  if (limits.queued_max_request_bytes > 0) memory = std::min(memory, limits.queued_max_request_bytes);
  options.request_memory_bytes = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(memory) / shards);
  options.max_idle =
      limits.connections_max_idle_ms < 0 ? Duration::max() : milliseconds(limits.connections_max_idle_ms);
  return options;
}

ConnectionLimits connection_limits(const config::BrokerConfig& config) {
  const config::BrokerLimits& limits = config.limits();
  ConnectionLimits connections;
  connections.max_connections = limits.max_connections;
  connections.max_connections_per_ip = limits.max_connections_per_ip;
  connections.per_ip_overrides = limits.max_connections_per_ip_overrides;
  connections.max_creation_rate = limits.max_connection_creation_rate;
  connections.rate_sample = std::chrono::seconds(config.values().get_int("quota.window.size.seconds"));
  connections.rate_samples = config.values().get_int("quota.window.num");
  connections.protected_listener = config.inter_broker_listener();
  return connections;
}

}  // namespace klamm::server
