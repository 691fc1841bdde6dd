#include "broker/server/options.h"

#include <algorithm>

namespace klamm::server {
namespace {

Duration duration_ms(const ConfigValues& values, std::string_view key) { return milliseconds(values.get_int(key)); }

// Several requests of one client may wait for their replies; this many are enough to keep it busy.
constexpr std::size_t kOutstandingReplies = 128;

}  // namespace

raft::RaftOptions raft_options(const config::BrokerConfig& config, const Uuid& metadata_directory_id) {
  const ConfigValues& values = config.values();
  raft::RaftOptions options;
  options.node_id = config.node_id();
  options.directory_id = metadata_directory_id;
  std::vector<raft::Voter> voters;
  for (const config::Voter& voter : config.voters()) {
    raft::Voter& each = voters.emplace_back();
    each.key.id = voter.id;
    each.endpoints.push_back({config.controller_listener_names().front(), voter.address.host, voter.address.port});
  }
  options.static_voters = raft::VoterSet(std::move(voters));
  for (const config::Endpoint& endpoint : config.advertised_controller_listeners()) {
    options.endpoints.push_back({endpoint.listener, endpoint.host, endpoint.port});
  }
  options.log.log_dir = config.metadata_log_dir();
  options.log.segment_bytes = values.get_int("metadata.log.segment.bytes");
  options.log.segment_ms = values.get_long("metadata.log.segment.ms");
  options.log.max_retention_bytes = values.get_long("metadata.max.retention.bytes");
  options.log.max_retention_ms = values.get_long("metadata.max.retention.ms");
  options.election_timeout = duration_ms(values, "controller.quorum.election.timeout.ms");
  return options;
}

metadata::LoaderOptions loader_options(const config::BrokerConfig& config) {
  metadata::LoaderOptions options;
  options.snapshot_max_new_bytes = config.values().get_long("metadata.log.max.record.bytes.between.snapshots");
  options.snapshot_max_interval_ms = config.values().get_long("metadata.log.max.snapshot.interval.ms");
  return options;
}

controller::ControllerOptions controller_options(const config::BrokerConfig& config, const std::string& cluster_id,
                                                 const Uuid& incarnation_id) {
  const ConfigValues& values = config.values();
  controller::ControllerOptions options;
  options.node_id = config.node_id();
  options.cluster_id = cluster_id;
  options.incarnation_id = incarnation_id;
  for (const config::Endpoint& endpoint : config.advertised_controller_listeners()) {
    options.listeners.push_back({endpoint.listener, endpoint.host, endpoint.port, static_cast<std::int16_t>(endpoint.protocol)});
  }
  options.file = &config;
  options.num_partitions = config.num_partitions();
  options.default_replication_factor = static_cast<std::int16_t>(config.default_replication_factor());
  options.delete_topic_enable = config.delete_topics();
  options.session_timeout_ms = values.get_int("broker.session.timeout.ms");
  options.max_idle_interval_ms = values.get_int("metadata.max.idle.interval.ms");
  options.leader_rebalance_enable = values.get_bool("auto.leader.rebalance.enable");
  options.leader_rebalance_check_ms = values.get_long("leader.imbalance.check.interval.seconds") * 1000;
  options.unclean_election_check_ms = values.get_long("unclean.leader.election.interval.ms");
  return options;
}

SessionHostOptions session_options(const config::BrokerConfig& config, std::size_t shards) {
  const config::BrokerLimits& limits = config.limits();
  SessionHostOptions options;
  options.max_request_bytes = static_cast<std::uint32_t>(limits.socket_request_max_bytes);
  options.max_outstanding_replies = std::min<std::size_t>(kOutstandingReplies, static_cast<std::size_t>(limits.queued_max_requests));
  std::int64_t memory = limits.request_memory_max_bytes;
  if (limits.queued_max_request_bytes > 0) memory = std::min(memory, limits.queued_max_request_bytes);
  options.request_memory_bytes = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(memory) / shards);
  options.max_idle = limits.connections_max_idle_ms < 0 ? Duration::max() : milliseconds(limits.connections_max_idle_ms);
  return options;
}

ConnectionLimits connection_limits(const config::BrokerConfig& config) {
  const config::BrokerLimits& limits = config.limits();
  return {limits.max_connections, limits.max_connections_per_ip, limits.max_connections_per_ip_overrides};
}

}  // namespace klamm::server
