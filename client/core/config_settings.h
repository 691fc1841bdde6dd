// The settings of the three clients with types, made from a klamm::Config and checked as Apache Kafka 4.3 checks them,
// the rules across keys included. Plain values; defaults are Kafka's.
//
// What klamm does not serve yet is refused, never passed over in silence: transactional.id, a security.protocol with
// SASL, config.providers. Keys that only a Java program can use (serializers, interceptors, reporters) give a
// warning.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "io/tls/settings.h"
#include "klamm/config.h"

namespace klamm::client {

struct ServerAddress {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  friend bool operator==(const ServerAddress&, const ServerAddress&) = default;
};

// What every client needs for its connections and its view of the cluster. Times in ms, sizes in bytes.
struct CommonSettings {
  std::vector<ServerAddress> bootstrap_servers;
  std::string client_id;
  bool resolve_canonical_names = false;  // client.dns.lookup=resolve_canonical_bootstrap_servers_only
  std::int32_t request_timeout_ms = 30'000;
  std::int64_t retry_backoff_ms = 100;
  std::int64_t retry_backoff_max_ms = 1000;
  std::int64_t reconnect_backoff_ms = 50;
  std::int64_t reconnect_backoff_max_ms = 1000;
  std::int64_t socket_connection_setup_timeout_ms = 10'000;
  std::int64_t socket_connection_setup_timeout_max_ms = 30'000;
  std::int64_t connections_max_idle_ms = 540'000;  // negative: never closed
  std::int64_t metadata_max_age_ms = 300'000;
  bool rebootstrap = true;  // metadata.recovery.strategy
  std::int64_t rebootstrap_trigger_ms = 300'000;
  std::int32_t send_buffer_bytes = -1;  // the system chooses
  std::int32_t receive_buffer_bytes = 32'768;
  bool enable_metrics_push = true;
  std::optional<io::tls::Settings> tls;  // security.protocol=SSL
};

// Names as in a batch's attributes.
enum class Compression : std::int8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };

enum class Acks : std::int16_t { all = -1, none = 0, leader = 1 };

struct ProducerSettings {
  CommonSettings common;
  Acks acks = Acks::all;
  bool enable_idempotence = true;  // false also if acks or retries do not go with it and it was not asked for
  std::int32_t batch_size = 16'384;
  std::int64_t linger_ms = 5;
  std::int64_t buffer_memory = 33'554'432;
  std::int32_t max_request_size = 1'048'576;
  std::int32_t max_in_flight_requests_per_connection = 5;
  std::int32_t retries = std::numeric_limits<std::int32_t>::max();
  std::int32_t delivery_timeout_ms = 120'000;  // at least linger_ms + common.request_timeout_ms
  std::int64_t max_block_ms = 60'000;
  std::int64_t metadata_max_idle_ms = 300'000;
  Compression compression_type = Compression::none;
  int compression_gzip_level = -1;  // -1: the codec's default
  int compression_lz4_level = 9;
  int compression_zstd_level = 3;
  bool partitioner_ignore_keys = false;
  bool partitioner_adaptive = true;                      // partitioner.adaptive.partitioning.enable
  std::int64_t partitioner_availability_timeout_ms = 0;  // 0: never passed over
  bool partitioner_round_robin = false;                  // partitioner.class=…RoundRobinPartitioner
  std::vector<std::string> warnings;                     // for the log, one line each
};

struct OffsetReset {
  enum class Kind : std::int8_t { earliest, latest, none, by_duration };
  Kind kind = Kind::latest;
  std::int64_t duration_ms = 0;  // by_duration: how far back from now
  friend bool operator==(const OffsetReset&, const OffsetReset&) = default;
};

enum class IsolationLevel : std::int8_t { read_uncommitted = 0, read_committed = 1 };
enum class GroupProtocol : std::int8_t { classic, consumer };

struct ConsumerSettings {
  CommonSettings common;
  std::int32_t fetch_min_bytes = 1;
  std::int32_t fetch_max_bytes = 52'428'800;
  std::int32_t fetch_max_wait_ms = 500;
  std::int32_t max_partition_fetch_bytes = 1'048'576;
  std::int32_t max_poll_records = 500;
  OffsetReset auto_offset_reset;
  bool check_crcs = true;
  IsolationLevel isolation_level = IsolationLevel::read_uncommitted;
  std::string client_rack;
  bool allow_auto_create_topics = true;
  bool exclude_internal_topics = true;
  std::int32_t default_api_timeout_ms = 60'000;

  std::optional<std::string> group_id;
  std::optional<std::string> group_instance_id;
  GroupProtocol group_protocol = GroupProtocol::classic;
  std::optional<std::string> group_remote_assignor;
  std::vector<std::string> partition_assignment_strategy;  // Java class names, as given
  bool enable_auto_commit = true;                          // false without a group, unless it was asked for (an error)
  std::int32_t auto_commit_interval_ms = 5000;
  std::int32_t session_timeout_ms = 45'000;
  std::int32_t heartbeat_interval_ms = 3000;
  std::int32_t max_poll_interval_ms = 300'000;
  std::vector<std::string> warnings;  // for the log, one line each
};

struct AdminSettings {
  CommonSettings common;        // bootstrap_servers: brokers, or controllers if to_controllers
  bool to_controllers = false;  // bootstrap.controllers was given
  std::int32_t default_api_timeout_ms = 60'000;
  std::int32_t retries = std::numeric_limits<std::int32_t>::max();
  std::vector<std::string> warnings;  // for the log, one line each
};

// Fail with Errc::invalid_argument (a bad value, a missing one, settings that contradict each other) or
// Errc::unsupported (a setting that klamm does not serve); the context is one line for people.
Result<ProducerSettings> parse_producer(const Config& config);
Result<ConsumerSettings> parse_consumer(const Config& config);
Result<AdminSettings> parse_admin(const Config& config);

// The registries, for tools that list keys. Live for ever, any thread may read them.
const ConfigDef& producer_def();
const ConfigDef& consumer_def();
const ConfigDef& admin_def();

// "host:port" or "[v6]:port", for bootstrap servers; the host is not looked up. Fails with Errc::invalid_argument.
Result<ServerAddress> parse_server_address(std::string_view text);

}  // namespace klamm::client
