// What a client knows of its cluster, and its connections: brokers, topics with their leaders, one connection a broker.
// Pure bookkeeping over rpc::Connection; every client (producer, consumer, admin) owns one, on its shard.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/uuid.h"
#include "client/core/strings.h"
#include "io/shard.h"
#include "io/sync.h"
#include "io/tls/context.h"
#include "klamm/record.h"
#include "klamm/statistics.h"
#include "protocol/error.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/rpc/backoff.h"
#include "protocol/rpc/connection.h"

namespace klamm::client {

using protocol::ErrorCode;
using BrokerNumber = std::int32_t;  // as in messages; below 0: a bootstrap server
using ConnectionRef = std::shared_ptr<rpc::Connection>;

struct ClusterOptions {
  std::vector<io::Endpoint> bootstrap;
  std::string client_id;
  Duration metadata_max_age = 5min;      // metadata.max.age.ms
  Duration metadata_max_idle = 5min;     // metadata.max.idle.ms; max(): topics are never forgotten
  Duration retry_backoff = 100ms;        // retry.backoff.ms
  Duration retry_backoff_max = 1s;       // retry.backoff.max.ms
  Duration reconnect_backoff = 50ms;     // reconnect.backoff.ms
  Duration reconnect_backoff_max = 1s;   // reconnect.backoff.max.ms
  Duration setup_timeout = 10s;          // socket.connection.setup.timeout.ms
  Duration request_timeout = 30s;        // request.timeout.ms
  Duration max_idle = 9min;              // connections.max.idle.ms
  bool rebootstrap = true;               // metadata.recovery.strategy
  Duration rebootstrap_trigger = 5min;   // metadata.recovery.rebootstrap.trigger.ms
  bool allow_auto_create_topics = true;  // allow.auto.create.topics; producers always
  bool controllers = false;              // bootstrap.controllers: the nodes are controllers, there are no topics
  std::optional<io::tls::Settings> tls;  // what connections speak; nothing: plain ones
};

struct PartitionMetadata {
  ErrorCode error = ErrorCode::none;
  BrokerNumber leader = -1;
  std::int32_t leader_epoch = -1;
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> in_sync_replicas;
  std::vector<std::int32_t> offline_replicas;
};

struct TopicMetadata {
  std::string name;
  Uuid id;
  bool internal = false;
  ErrorCode error = ErrorCode::none;          // why the last answer told nothing of it
  std::vector<PartitionMetadata> partitions;  // by index; of the last good answer
  std::uint64_t version = 0;                  // Cluster::version() at which it last changed

  std::vector<PartitionInfo> partition_infos() const;
};

struct BrokerMetadata {
  BrokerNumber id = -1;
  io::Endpoint endpoint;
  std::optional<std::string> rack;
};

class Cluster {
 public:
  Cluster(io::Shard& shard, ClusterOptions options, Logger log);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  io::Shard& shard() noexcept { return shard_; }
  const ClusterOptions& options() const noexcept { return options_; }
  const Logger& log() const noexcept { return log_; }

  // ---- metadata ----

  // Keeps this topic's metadata fresh from now on, and asks for it soon if it is not known. Topics that nobody has
  // mentioned for metadata.max.idle.ms are forgotten (by forget_idle() below).
  void track(std::string_view topic);
  void untrack(std::string_view topic);
  // What is known; null if no answer named the topic yet. Valid until the next await.
  const TopicMetadata* find(std::string_view topic) const;
  const TopicMetadata* find(const Uuid& id) const;
  const PartitionMetadata* find(std::string_view topic, std::int32_t partition) const;
  const std::map<BrokerNumber, BrokerMetadata>& brokers() const noexcept { return brokers_; }
  const std::string& cluster_id() const noexcept { return cluster_id_; }
  BrokerNumber controller() const noexcept { return controller_; }

  // Counts the answers taken in (and leaders learned in other ways).
  std::uint64_t version() const noexcept { return version_; }
  // Notified when version() rises, when an update has failed, and at close.
  io::Signal& changed() noexcept { return changed_; }
  // Why the last update failed; nothing after a good one.
  const std::optional<Error>& update_error() const noexcept { return update_error_; }
  // That reason, if waiting does not help: the cluster and this client do not take each other's certificates, or the
  // client's own cannot be read. Null otherwise.
  const Error* fatal_error() const noexcept;

  // Asks for an update soon; many requests make one.
  void request_update();
  // A leader learned from a Produce or Fetch response (KIP-951). False if it is no news.
  bool learn_leader(std::string_view topic, std::int32_t partition, BrokerNumber leader, std::int32_t leader_epoch);
  void learn_broker(BrokerMetadata broker);
  // Waits until the topic is known (or its error is not retriable); Errc::timed_out at the deadline, with the last
  // reason in its context.
  io::Task<Result<const TopicMetadata*>> await_topic(std::string topic, Instant deadline);
  // Waits until at least one answer was taken in.
  io::Task<Result<void>> await_brokers(Instant deadline);
  // One Metadata request on its own (admin); what it tells is taken in as well.
  io::Task<Result<protocol::MetadataResponse>> ask(protocol::MetadataRequest request,
                                                   std::optional<Duration> timeout = {});

  // ---- connections ----

  // The open connection to a broker, opening it if need be, after the backoff that earlier failures ask for.
  // Errc::unavailable if the broker is not known (an update is requested).
  io::Task<Result<ConnectionRef>> connect(BrokerNumber broker);
  // The least loaded broker; a bootstrap server if no other can be reached.
  io::Task<Result<ConnectionRef>> connect_any();
  // Without waiting: null if there is none.
  ConnectionRef open_connection(BrokerNumber broker) const;

  std::vector<BrokerStatistics> statistics() const;

  // Cuts all connections, wakes all waiters, and waits for the background tasks.
  bool closed() const noexcept { return closed_; }
  void stop();
  io::Task<void> close();

 private:
  struct Link {
    BrokerNumber id;
    io::Endpoint endpoint;
    ConnectionRef connection;
    bool connecting = false;
    std::uint64_t attempts = 0;
    Instant retry_at;
    rpc::Backoff backoff;
    std::optional<Error> last_error;
    io::Signal settled;
    std::uint64_t connects = 0;
    std::uint64_t timeouts = 0;
    rpc::ConnectionCounts past;  // of connections that are gone
    Link(io::Shard& shard, BrokerNumber number, io::Endpoint at, const ClusterOptions& options)
        : id(number),
          endpoint(std::move(at)),
          backoff(options.reconnect_backoff, options.reconnect_backoff_max),
          settled(shard) {}
    bool is_open() const { return connection && !connection->closed(); }
  };
  using LinkRef = std::shared_ptr<Link>;

  struct Tracked {
    Instant mentioned_at;
  };

  LinkRef link_of(BrokerNumber broker);
  io::Task<Result<ConnectionRef>> connect(LinkRef link);
  io::Task<Result<void>> open_link(LinkRef link);
  io::Task<Result<void>> load_tls();
  void retire(Link& link);
  io::Task<void> refresh_loop();
  io::Task<Result<void>> refresh();
  io::Task<Result<void>> refresh_controllers();
  void forget_idle();
  bool incomplete() const;
  void take(const protocol::MetadataResponse& response);
  void take_topic(const protocol::MetadataResponse::MetadataResponseTopic& topic);
  void rebootstrap();

  io::Shard& shard_;
  ClusterOptions options_;
  Logger log_;
  std::unordered_map<std::string, Tracked, StringHash, std::equal_to<>> tracked_;
  std::unordered_map<std::string, TopicMetadata, StringHash, std::equal_to<>> topics_;
  std::map<BrokerNumber, BrokerMetadata> brokers_;
  std::map<BrokerNumber, LinkRef> links_;
  std::shared_ptr<const io::tls::Context> tls_;  // once options_.tls was loaded
  std::string cluster_id_;
  BrokerNumber controller_ = -1;
  std::uint64_t version_ = 0;
  std::optional<Error> update_error_;
  bool update_requested_ = false;
  bool urgent_ = false;
  bool loop_runs_ = false;
  bool closed_ = false;
  Instant updated_at_;
  Instant attempted_at_{-1h};
  Instant last_success_;
  rpc::Backoff update_backoff_;
  io::Signal wake_;
  io::Signal changed_;
  io::Gate gate_;
};

}  // namespace klamm::client
