#include "broker/server/options.h"

#include <algorithm>

#include "broker/config/registry.h"

namespace klamm::server {
namespace {

// Several requests of one client may wait for their replies; this many are enough to keep it busy.
constexpr std::size_t kOutstandingReplies = 128;

// What is set for one listener, under its prefix; no limit if nothing is.
std::int64_t listener_limit(const config::BrokerConfig& config, std::string_view listener, std::string_view name) {
  constexpr std::int64_t kNoLimit = CreationRate::kNoLimit;
  const ConfigMap& given = config.values().originals();
  const auto found = given.find(config::listener_prefix(listener).append(name));
  const ConfigKey* key = config::find_broker_key(name);
  if (found == given.end() || key == nullptr) return kNoLimit;
  const Result<ConfigValue> value = parse_value(*key, found->second);
  const std::int64_t* number = value ? std::get_if<std::int64_t>(&*value) : nullptr;
  return number == nullptr ? kNoLimit : *number;
}

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
  for (const config::Endpoint& each : config.listeners()) {
    ListenerLimits own;
    own.max_connections = listener_limit(config, each.listener, "max.connections");
    own.max_creation_rate =
        static_cast<std::int32_t>(listener_limit(config, each.listener, "max.connection.creation.rate"));
    connections.by_listener.emplace(each.listener, own);
  }
  return connections;
}

}  // namespace klamm::server
