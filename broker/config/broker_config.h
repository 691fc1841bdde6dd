// A broker's or controller's configuration, read from a server.properties file and checked as strictly as Apache Kafka
// 4.3 checks it for a KRaft node. Immutable; any shard may read it. What may change at run time is layered on top of it
// by dynamic_config.h.
//
// Unlike Kafka, which passes over names that it does not know, klamm refuses them: a misspelt key in a file is an error
// that names the nearest known one. Left alone are the keys of plugins (is_plugin_key in registry.h), listener.name.
// keys, and the keys of a remote storage manager under its configured prefix. Keys that were removed with ZooKeeper are
// errors that say what replaced them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "broker/config/endpoint.h"

namespace klamm::config {

// The bounds on what clients may ask for and hold.
struct BrokerLimits {
  std::int32_t socket_request_max_bytes = 104'857'600;
  std::int64_t queued_max_request_bytes = -1;           // queued.max.request.bytes; -1: none
  std::int32_t queued_max_requests = 500;               // replies outstanding
  std::int64_t request_memory_max_bytes = 268'435'456;  // klamm.request.memory.max.bytes
  std::int32_t max_connections = 2'147'483'647;
  std::int32_t max_connections_per_ip = 2'147'483'647;
  std::map<std::string, std::int32_t, std::less<>> max_connections_per_ip_overrides;  // by address or host name
  std::int32_t max_connection_creation_rate = 2'147'483'647;                          // per second
  std::int64_t connections_max_idle_ms = 600'000;   // negative: never closed for being idle
  std::int32_t socket_send_buffer_bytes = 409'600;  // -1: the system chooses
  std::int32_t socket_receive_buffer_bytes = -1;    // the same
  std::int32_t socket_listen_backlog_size = 50;
  std::int32_t fetch_max_bytes = 57'671'680;
  std::int32_t max_fetch_sessions = 1000;  // max.incremental.fetch.session.cache.slots
  std::int32_t max_request_partition_size_limit = 2000;
};

class BrokerConfig {
 public:
  // From settings by name. Fails with Errc::invalid_argument; the context is one line with key, value and what is
  // allowed.
  static Result<BrokerConfig> parse(ConfigMap originals);
  // From the text of a server.properties file.
  static Result<BrokerConfig> read(std::string_view properties_text);

  // Every key, parsed. The accessors below are the ones that need more than a look into this.
  const ConfigValues& values() const noexcept { return values_; }
  // What is odd, but no error: one line each, for the log.
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

  std::int32_t node_id() const noexcept { return node_id_; }
  bool is_broker() const noexcept { return is_broker_; }
  bool is_controller() const noexcept { return is_controller_; }

  // Where to listen: `listeners`, split by controller.listener.names. A host may be empty (all interfaces).
  const std::vector<Endpoint>& listeners() const noexcept { return listeners_; }
  std::vector<Endpoint> broker_listeners() const;
  std::vector<Endpoint> controller_listeners() const;
  // What others are told: advertised.listeners, else the listeners themselves. A host may be empty (the machine's name
  // is to be put in).
  const std::vector<Endpoint>& advertised_broker_listeners() const noexcept { return advertised_broker_listeners_; }
  const std::vector<Endpoint>& advertised_controller_listeners() const noexcept {
    return advertised_controller_listeners_;
  }
  const std::vector<std::string>& controller_listener_names() const noexcept { return controller_listener_names_; }
  bool is_controller_listener(std::string_view name) const;
  // The listener and protocol that brokers use among themselves.
  const std::string& inter_broker_listener() const noexcept { return inter_broker_listener_; }
  SecurityProtocol inter_broker_protocol() const noexcept { return inter_broker_protocol_; }
  // By normalized listener name; controller listeners are PLAINTEXT if no map is given.
  const ProtocolMap& protocols() const noexcept { return protocols_; }

  // log.dirs, else log.dir; at least one.
  const std::vector<std::string>& log_dirs() const noexcept { return log_dirs_; }
  // metadata.log.dir, else the first log dir.
  const std::string& metadata_log_dir() const noexcept { return metadata_log_dir_; }

  // The static quorum; empty if the quorum is dynamic.
  const std::vector<Voter>& voters() const noexcept { return voters_; }
  // Where to look for the quorum's leader. May be empty if voters() is not.
  const std::vector<HostPort>& bootstrap_servers() const noexcept { return bootstrap_servers_; }

  const BrokerLimits& limits() const noexcept { return limits_; }
  std::int32_t num_shards() const { return values_.get_int("num.shards"); }  // 0: one per core
  std::int32_t num_partitions() const { return values_.get_int("num.partitions"); }
  std::int32_t default_replication_factor() const { return values_.get_int("default.replication.factor"); }
  bool auto_create_topics() const { return values_.get_bool("auto.create.topics.enable"); }
  bool delete_topics() const { return values_.get_bool("delete.topic.enable"); }
  std::optional<std::string> rack() const { return values_.find_string("broker.rack"); }

  // With Kafka's precedence of units.
  std::int64_t log_retention_ms() const noexcept { return log_retention_ms_; }  // -1: for ever
  std::int64_t log_roll_ms() const noexcept { return log_roll_ms_; }
  std::int64_t log_roll_jitter_ms() const noexcept { return log_roll_jitter_ms_; }
  std::int64_t log_flush_interval_ms() const noexcept { return log_flush_interval_ms_; }

 private:
  friend class BrokerConfigChecker;  // broker_config_check.cc: the rules across keys
  explicit BrokerConfig(ConfigValues values) : values_(std::move(values)) {}

  Result<void> derive();
  Result<void> derive_listeners();
  Result<void> derive_inter_broker_listener();
  Result<void> derive_limits();
  void derive_times();

  ConfigValues values_;
  std::vector<std::string> warnings_;
  std::int32_t node_id_ = -1;
  bool is_broker_ = false;
  bool is_controller_ = false;
  ProtocolMap protocols_;
  std::vector<std::string> controller_listener_names_;
  std::vector<Endpoint> listeners_;
  std::vector<Endpoint> advertised_broker_listeners_;
  std::vector<Endpoint> advertised_controller_listeners_;
  std::string inter_broker_listener_;
  SecurityProtocol inter_broker_protocol_ = SecurityProtocol::plaintext;
  std::vector<std::string> log_dirs_;
  std::string metadata_log_dir_;
  std::vector<Voter> voters_;
  std::vector<HostPort> bootstrap_servers_;
  BrokerLimits limits_;
  std::int64_t log_retention_ms_ = 0;
  std::int64_t log_roll_ms_ = 0;
  std::int64_t log_roll_jitter_ms_ = 0;
  std::int64_t log_flush_interval_ms_ = 0;
};

// The value in milliseconds of a chain of keys with units (log.retention.ms, .minutes, .hours), the first that is set.
std::int64_t first_time_ms(const ConfigValues& values, std::string_view topic_key);

}  // namespace klamm::config
