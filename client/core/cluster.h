// What a client knows of its cluster: brokers, and topics with their leaders, kept fresh by Metadata requests over the
// connections in links.h. Every client (producer, consumer, admin) owns one, on its shard.
#pragma once

#include <algorithm>
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
#include "client/core/cluster_options.h"
#include "client/core/links.h"
#include "client/core/repeated_warning.h"
#include "client/core/strings.h"
#include "io/shard.h"
#include "io/sync.h"
#include "klamm/record.h"
#include "klamm/statistics.h"
#include "protocol/error.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/rpc/backoff.h"
#include "protocol/rpc/connection.h"

namespace klamm::client {

using protocol::ErrorCode;

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
  // That reason, if waiting does not help: no bootstrap server's name has an address, the cluster and this client do
  // not take each other's certificates, or the client's own cannot be read. Null otherwise.
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
  io::Task<Result<protocol::MetadataResponse>> ask(protocol::MetadataRequest request, Instant deadline);

  // ---- connections ----

  // The open connection to a broker, opening it if need be, after the backoff that earlier failures ask for.
  // Errc::unavailable if the broker is not known (an update is requested), Errc::timed_out at the deadline.
  io::Task<Result<ConnectionRef>> connect(BrokerNumber broker, Instant deadline = Instant::never());
  // One request to the broker, and its answer; Errc::timed_out after request.timeout.ms, or at the deadline.
  template <typename Request>
  io::Task<Result<typename Request::Response>> call(BrokerNumber broker, Request request,
                                                    Instant deadline = Instant::never()) {
    Result<ConnectionRef> connection = co_await connect(broker, deadline);
    KLAMM_CO_TRY(connection);
    Result<typename Request::Response> response =
        co_await call(std::move(*connection), std::move(request), rpc::VersionBounds(), deadline);
    co_return response;
  }
  // The same over a connection that is there. One that has no time left is not sent: a request that is not answered in
  // time costs all who use the connection.
  template <typename Request>
  io::Task<Result<typename Request::Response>> call(ConnectionRef connection, Request request,
                                                    rpc::VersionBounds bounds, Instant deadline) {
    const Duration left = time_left(deadline);
    if (left <= 0ns) co_return fail(no_time_for(*connection));
    Result<typename Request::Response> response = co_await connection->call(std::move(request), bounds, left);
    co_return response;
  }
  // The least loaded broker; a bootstrap server if no other can be reached. Errc::invalid_argument, not retriable, if
  // no broker was ever known and no bootstrap server's name has an address; Errc::timed_out at the deadline.
  io::Task<Result<ConnectionRef>> connect_any(Instant deadline = Instant::never());
  // Without waiting: null if there is none.
  ConnectionRef open_connection(BrokerNumber broker) const;

  std::vector<BrokerStatistics> statistics() const { return links_.statistics(); }

  // Cuts all connections, wakes all waiters, and waits for the background tasks.
  bool closed() const noexcept { return closed_; }
  void stop();
  io::Task<void> close();

 private:
  struct Tracked {
    Instant mentioned_at;
  };

  LinkRef link_of(BrokerNumber broker);
  io::Task<void> refresh_loop();
  Duration take_refreshed();
  Duration take_failure(Error error);
  io::Task<Result<void>> refresh();
  io::Task<Result<void>> refresh_controllers(ConnectionRef connection);
  io::Task<Result<protocol::MetadataResponse>> ask_over(ConnectionRef connection, protocol::MetadataRequest request,
                                                        Instant deadline);
  // For a request: not more than request.timeout.ms.
  Duration time_left(Instant deadline) const { return std::min(deadline - shard_.now(), options_.request_timeout); }
  static Error no_time_for(const rpc::Connection& connection);
  void forget_idle();
  bool incomplete() const;
  void take(const protocol::MetadataResponse& response);
  void take_topic(const protocol::MetadataResponse::MetadataResponseTopic& topic);
  void tell_failure(const Error& error);
  void tell_missing_topics(const protocol::MetadataResponse& response);
  std::string with_update_error(std::string why) const;

  io::Shard& shard_;
  ClusterOptions options_;
  Logger log_;
  std::unordered_map<std::string, Tracked, StringHash, std::equal_to<>> tracked_;
  std::unordered_map<std::string, TopicMetadata, StringHash, std::equal_to<>> topics_;
  std::map<BrokerNumber, BrokerMetadata> brokers_;
  Links links_;
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
  RepeatedWarning update_failed_;
  RepeatedWarning topics_missing_;
  std::uint32_t answers_with_missing_ = 0;  // in a row
  io::Signal wake_;
  io::Signal changed_;
  io::Gate gate_;
};

}  // namespace klamm::client
