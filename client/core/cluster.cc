#include "client/core/cluster.h"

#include <algorithm>

#include "protocol/messages/describe_cluster_request.h"
#include "protocol/messages/describe_cluster_response.h"

namespace klamm::client {

using protocol::MetadataRequest;
using protocol::MetadataResponse;

namespace {

// Reported at once, as Kafka's clients do, and not tried until the deadline; the next good update clears it.
bool is_fatal(const Error& error) { return error == Errc::authentication_failed || error == Errc::invalid_argument; }

}  // namespace

std::vector<PartitionInfo> TopicMetadata::partition_infos() const {
  std::vector<PartitionInfo> infos;
  infos.reserve(partitions.size());
  for (std::size_t index = 0; index < partitions.size(); ++index) {
    const PartitionMetadata& from = partitions[index];
    infos.push_back({name, static_cast<std::int32_t>(index), from.leader, from.leader_epoch, from.replicas,
                     from.in_sync_replicas, from.offline_replicas});
  }
  return infos;
}

Cluster::Cluster(io::Shard& shard, ClusterOptions options, Logger log)
    : shard_(shard),
      options_(std::move(options)),
      log_(std::move(log)),
      last_success_(shard.now()),
      update_backoff_(options_.retry_backoff, options_.retry_backoff_max),
      wake_(shard),
      changed_(shard),
      gate_(shard) {
  rebootstrap();
}

Cluster::~Cluster() { KLAMM_CHECK(closed_, "cluster destroyed before close()"); }

// Bootstrap servers stand as brokers -2, -3 and so on, until (and besides) the real ones are known.
void Cluster::rebootstrap() {
  BrokerNumber number = -2;
  for (const io::Endpoint& endpoint : options_.bootstrap) {
    const BrokerNumber id = number--;
    if (!links_.contains(id)) links_.emplace(id, std::make_shared<Link>(shard_, id, endpoint, options_));
  }
}

// ---- metadata ----

void Cluster::track(std::string_view topic) {
  const auto found = tracked_.find(topic);
  if (found != tracked_.end()) {
    found->second.mentioned_at = shard_.now();
    return;
  }
  tracked_.emplace(std::string(topic), Tracked{shard_.now()});
  urgent_ = true;
  request_update();
}

void Cluster::untrack(std::string_view topic) {
  const auto found = tracked_.find(topic);
  if (found != tracked_.end()) tracked_.erase(found);
  const auto known = topics_.find(topic);
  if (known != topics_.end()) topics_.erase(known);
}

const TopicMetadata* Cluster::find(std::string_view topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() ? nullptr : &found->second;
}

const TopicMetadata* Cluster::find(const Uuid& id) const {
  for (const auto& [name, topic] : topics_) {
    if (topic.id == id) return &topic;
  }
  return nullptr;
}

const PartitionMetadata* Cluster::find(std::string_view topic, std::int32_t partition) const {
  const TopicMetadata* found = find(topic);
  if (found == nullptr || partition < 0 || static_cast<std::size_t>(partition) >= found->partitions.size())
    return nullptr;
  return &found->partitions[static_cast<std::size_t>(partition)];
}

void Cluster::request_update() {
  if (closed_) return;
  update_requested_ = true;
  if (loop_runs_) {
    wake_.notify_all();
  } else {
    loop_runs_ = true;
    gate_.spawn(refresh_loop());
  }
}

bool Cluster::learn_leader(std::string_view topic, std::int32_t partition, BrokerNumber leader,
                           std::int32_t leader_epoch) {
  const auto found = topics_.find(topic);
  if (found == topics_.end() || partition < 0 ||
      static_cast<std::size_t>(partition) >= found->second.partitions.size()) {
    return false;
  }
  PartitionMetadata& known = found->second.partitions[static_cast<std::size_t>(partition)];
  if (leader < 0 || leader_epoch <= known.leader_epoch || !brokers_.contains(leader)) return false;
  known.leader = leader;
  known.leader_epoch = leader_epoch;
  known.error = ErrorCode::none;
  found->second.version = ++version_;
  changed_.notify_all();
  return true;
}

void Cluster::learn_broker(BrokerMetadata broker) {
  if (broker.id < 0) return;
  const auto link = links_.find(broker.id);
  if (link != links_.end() && link->second->endpoint != broker.endpoint) {
    retire(*link->second);
    link->second->endpoint = broker.endpoint;
    link->second->retry_at = {};
  }
  brokers_[broker.id] = std::move(broker);
}

// Something that we are asked to know is not known, or has no leader: ask again before the answer grows old.
bool Cluster::incomplete() const {
  for (const auto& [name, tracked] : tracked_) {
    const auto found = topics_.find(name);
    if (found == topics_.end()) return true;
    if (found->second.error != ErrorCode::none && protocol::retriable(found->second.error)) return true;
    for (const PartitionMetadata& partition : found->second.partitions) {
      if (partition.leader < 0) return true;
    }
  }
  return false;
}

io::Task<void> Cluster::refresh_loop() {
  while (!closed_) {
    const Instant now = shard_.now();
    if (!update_requested_) {
      const Instant due = updated_at_ + options_.metadata_max_age;
      if (now < due) {
        co_await wake_.wait_until(due);
        continue;
      }
    }
    // News of a topic that was not asked for before is worth an update at once; other requests keep a distance.
    const Instant allowed = attempted_at_ + options_.retry_backoff;
    if (!urgent_ && now < allowed) {
      co_await wake_.wait_until(allowed);
      continue;
    }
    update_requested_ = urgent_ = false;
    attempted_at_ = now;
    forget_idle();
    Result<void> refreshed = co_await refresh();
    if (closed_) break;
    Duration pause = 0ns;
    if (refreshed) {
      updated_at_ = last_success_ = shard_.now();
      update_error_.reset();
      if (incomplete()) {
        pause = update_backoff_.next(shard_.random());
        update_requested_ = true;
      } else {
        update_backoff_.reset();
      }
    } else {
      if (!update_error_ || update_error_->message() != refreshed.error().message()) {
        log_.warning("metadata update failed: {}", refreshed.error().message());
      }
      update_error_ = std::move(refreshed).error();
      pause = update_backoff_.next(shard_.random());
      update_requested_ = true;
      if (options_.rebootstrap && shard_.now() - last_success_ >= options_.rebootstrap_trigger) {
        log_.warning("no metadata for {} s, starting again from the bootstrap servers",
                     std::chrono::duration_cast<std::chrono::seconds>(shard_.now() - last_success_).count());
        last_success_ = shard_.now();
        brokers_.clear();
      }
      changed_.notify_all();
    }
    // Requests within the pause wait for its end, so that a broken cluster is not flooded.
    const Instant end = shard_.now() + pause;
    while (!closed_ && shard_.now() < end) co_await wake_.wait_until(end);
  }
  loop_runs_ = false;
}

void Cluster::forget_idle() {
  if (options_.metadata_max_idle == Duration::max()) return;
  const Instant now = shard_.now();
  for (auto at = tracked_.begin(); at != tracked_.end();) {
    if (at->second.mentioned_at + options_.metadata_max_idle < now) {
      topics_.erase(at->first);
      at = tracked_.erase(at);
    } else {
      ++at;
    }
  }
}

// Controllers do not serve Metadata; DescribeCluster tells who they are (KIP-919).
io::Task<Result<void>> Cluster::refresh_controllers() {
  constexpr std::int8_t kControllers = 2;
  Result<ConnectionRef> connection = co_await connect_any();
  KLAMM_CO_TRY(connection);
  protocol::DescribeClusterRequest request;
  request.endpoint_type = kControllers;
  const rpc::VersionBounds bounds{1};
  Result<protocol::DescribeClusterResponse> response = co_await (*connection)->call(std::move(request), bounds);
  KLAMM_CO_TRY(response);
  const ErrorCode code = protocol::error_code_from(response->error_code);
  if (code != ErrorCode::none)
    co_return fail(protocol::kafka_error(code, response->error_message.value_or("controllers")));
  if (closed_) co_return fail(Errc::cancelled, "client closed");
  cluster_id_ = response->cluster_id;
  controller_ = response->controller_id;
  for (const auto& node : response->brokers) {
    learn_broker({node.broker_id, {node.host, static_cast<std::uint16_t>(node.port)}, node.rack});
  }
  ++version_;
  changed_.notify_all();
  co_return Result<void>();
}

io::Task<Result<void>> Cluster::refresh() {
  if (options_.controllers) {
    Result<void> refreshed = co_await refresh_controllers();
    co_return refreshed;
  }
  MetadataRequest request;
  request.allow_auto_topic_creation = options_.allow_auto_create_topics;
  for (const auto& [name, tracked] : tracked_) request.topics->emplace_back().name = name;
  std::sort(request.topics->begin(), request.topics->end(),
            [](const auto& left, const auto& right) { return *left.name < *right.name; });
  Result<MetadataResponse> response = co_await ask(std::move(request));
  KLAMM_CO_TRY(response);
  co_return Result<void>();
}

io::Task<Result<MetadataResponse>> Cluster::ask(MetadataRequest request, std::optional<Duration> timeout) {
  Result<ConnectionRef> connection = co_await connect_any();
  KLAMM_CO_TRY(connection);
  rpc::Connection& peer = **connection;
  Result<std::int16_t> version = peer.version_of<MetadataRequest>();
  KLAMM_CO_TRY(version);
  if (*version == 0 && request.topics && request.topics->empty()) request.topics.reset();
  if (*version < 4) request.allow_auto_topic_creation = true;  // not told before
  Result<MetadataResponse> response = co_await peer.call_version(std::move(request), *version, timeout);
  KLAMM_CO_TRY(response);
  const ErrorCode code = protocol::error_code_from(response->error_code);
  if (code == ErrorCode::rebootstrap_required) {
    log_.warning("{} asks to start again from the bootstrap servers", peer.endpoint().text());
    brokers_.clear();
    peer.close(protocol::kafka_error(code, peer.endpoint().text()));
    co_return fail(Error(code, "metadata", true));
  }
  take(*response);
  co_return response;
}

void Cluster::take(const MetadataResponse& response) {
  if (closed_) return;
  if (response.cluster_id) {
    if (!cluster_id_.empty() && cluster_id_ != *response.cluster_id) {
      log_.warning("the cluster's id changed from {} to {}", cluster_id_, *response.cluster_id);
      topics_.clear();
    }
    cluster_id_ = *response.cluster_id;
  }
  controller_ = response.controller_id;
  std::map<BrokerNumber, BrokerMetadata> before;
  if (!response.brokers.empty()) before.swap(brokers_);
  for (const auto& broker : response.brokers) {
    learn_broker({broker.node_id, {broker.host, static_cast<std::uint16_t>(broker.port)}, broker.rack});
  }
  for (const auto& [id, broker] : before) {
    const auto link = links_.find(id);
    if (!brokers_.contains(id) && link != links_.end()) retire(*link->second);
  }
  ++version_;
  for (const auto& topic : response.topics) take_topic(topic);
  changed_.notify_all();
}

void Cluster::take_topic(const MetadataResponse::MetadataResponseTopic& topic) {
  const ErrorCode error = protocol::error_code_from(topic.error_code);
  if (!topic.name || !tracked_.contains(*topic.name)) return;
  TopicMetadata& known = topics_[*topic.name];
  known.name = *topic.name;
  known.error = error;
  known.version = version_;
  if (error != ErrorCode::none && error != ErrorCode::leader_not_available) return;
  const bool same_topic = known.id == topic.topic_id;
  known.id = topic.topic_id;
  known.internal = topic.is_internal;
  std::vector<PartitionMetadata> partitions;
  for (const auto& partition : topic.partitions) {
    if (partition.partition_index < 0 ||
        partition.partition_index >= static_cast<std::int32_t>(topic.partitions.size()))
      continue;
    const auto index = static_cast<std::size_t>(partition.partition_index);
    if (partitions.size() <= index) partitions.resize(index + 1);
    // A broker that lags behind may tell of an older leader than we know of (KIP-320).
    if (same_topic && index < known.partitions.size() && partition.leader_epoch >= 0 &&
        known.partitions[index].leader_epoch > partition.leader_epoch) {
      partitions[index] = known.partitions[index];
      continue;
    }
    partitions[index] = {protocol::error_code_from(partition.error_code),
                         partition.leader_id,
                         partition.leader_epoch,
                         partition.replica_nodes,
                         partition.isr_nodes,
                         partition.offline_replicas};
  }
  known.partitions = std::move(partitions);
}

io::Task<Result<const TopicMetadata*>> Cluster::await_topic(std::string topic, Instant deadline) {
  track(topic);
  for (;;) {
    if (closed_) co_return fail(Errc::cancelled, "client closed");
    const TopicMetadata* known = find(topic);
    if (known != nullptr) {
      if (known->error == ErrorCode::none) co_return known;
      if (!protocol::retriable(known->error)) co_return fail(protocol::kafka_error(known->error, "topic " + topic));
    }
    if (const Error* fatal = fatal_error()) co_return fail(*fatal);
    if (!update_requested_ && known != nullptr) request_update();
    const bool told = co_await changed_.wait_until(deadline);
    if (!told) {
      known = find(topic);
      if (known != nullptr && known->error != ErrorCode::none)
        co_return fail(protocol::kafka_error(known->error, "topic " + topic));
      std::string why = "metadata of topic " + topic + " not known in time";
      if (update_error_) why += " (" + update_error_->message() + ")";
      co_return fail(Error(Errc::timed_out, std::move(why), true));
    }
  }
}

io::Task<Result<void>> Cluster::await_brokers(Instant deadline) {
  while (version_ == 0 || brokers_.empty()) {
    if (closed_) co_return fail(Errc::cancelled, "client closed");
    if (const Error* fatal = fatal_error()) co_return fail(*fatal);
    if (!update_requested_) request_update();
    const bool told = co_await changed_.wait_until(deadline);
    if (!told) {
      std::string why = "no broker answered in time";
      if (update_error_) why += " (" + update_error_->message() + ")";
      co_return fail(Error(Errc::timed_out, std::move(why), true));
    }
  }
  co_return Result<void>();
}

// ---- connections ----

Cluster::LinkRef Cluster::link_of(BrokerNumber broker) {
  const auto found = links_.find(broker);
  if (found != links_.end()) return found->second;
  const auto known = brokers_.find(broker);
  if (known == brokers_.end()) return nullptr;
  LinkRef link = std::make_shared<Link>(shard_, broker, known->second.endpoint, options_);
  // The connection that bootstrapped us serves its broker from now on.
  for (auto& [id, other] : links_) {
    if (id < -1 && other->endpoint == link->endpoint && other->is_open()) {
      link->connection = std::exchange(other->connection, nullptr);
      link->connects = std::exchange(other->connects, 0);
      break;
    }
  }
  links_.emplace(broker, link);
  return link;
}

void Cluster::retire(Link& link) {
  if (!link.connection) return;
  const rpc::ConnectionCounts& counts = link.connection->counts();
  link.past.requests += counts.requests;
  link.past.responses += counts.responses;
  link.past.sent_bytes += counts.sent_bytes;
  link.past.received_bytes += counts.received_bytes;
  link.past.average_round_trip = counts.average_round_trip;
  if (link.connection->closed() && link.connection->fault() == Errc::timed_out) ++link.timeouts;
  link.connection->close(Error(Errc::cancelled, link.endpoint.text() + ": connection given up", true));
  gate_.spawn(link.connection->wait_ended());
  link.connection.reset();
}

ConnectionRef Cluster::open_connection(BrokerNumber broker) const {
  const auto found = links_.find(broker);
  return found != links_.end() && found->second->is_open() ? found->second->connection : nullptr;
}

io::Task<Result<ConnectionRef>> Cluster::connect(BrokerNumber broker) {
  LinkRef link = link_of(broker);
  if (!link) {
    request_update();
    co_return fail(Error(Errc::unavailable, "broker " + std::to_string(broker) + " is not known", true));
  }
  Result<ConnectionRef> connection = co_await connect(std::move(link));
  co_return connection;
}

io::Task<Result<ConnectionRef>> Cluster::connect(LinkRef link) {
  const std::uint64_t seen = link->attempts;
  for (;;) {
    if (closed_) co_return fail(Errc::cancelled, "client closed");
    if (link->is_open()) co_return link->connection;
    // Somebody else's attempt has failed. (If it did well, and the connection is gone again, one more is due.)
    if (link->attempts != seen && !link->connecting && link->last_error) co_return fail(*link->last_error);
    if (link->connecting) {
      co_await link->settled.wait();
      continue;
    }
    link->connecting = true;
    Result<void> opened = co_await open_link(link);
    link->connecting = false;
    ++link->attempts;
    link->last_error = opened ? std::nullopt : std::optional(opened.error());
    link->settled.notify_all();
    KLAMM_CO_TRY(opened);
  }
}

io::Task<Result<void>> Cluster::open_link(LinkRef link) {
  retire(*link);
  while (!closed_ && shard_.now() < link->retry_at) co_await link->settled.wait_until(link->retry_at);
  if (closed_) co_return fail(Errc::cancelled, "client closed");
  if (options_.tls && !tls_) {
    Result<void> loaded = co_await load_tls();
    KLAMM_CO_TRY(loaded);
  }
  rpc::ConnectionOptions options;
  options.tls = tls_;
  options.client_id = options_.client_id;
  options.setup_timeout = options_.setup_timeout;
  options.request_timeout = options_.request_timeout;
  options.max_idle = options_.max_idle;
  const io::Endpoint endpoint = link->endpoint;
  Result<ConnectionRef> connection = co_await rpc::Connection::open(shard_, endpoint, std::move(options));
  if (!connection) {
    link->retry_at = shard_.now() + link->backoff.next(shard_.random());
    log_.debug("connection to {} (broker {}) failed: {}", endpoint.text(), link->id, connection.error().message());
    const bool retriable = !is_fatal(connection.error());
    co_return fail(Error(connection.error().code(), connection.error().context(), retriable));
  }
  if (closed_ || endpoint != link->endpoint) {
    (*connection)->close();
    co_await (*connection)->wait_ended();
    if (closed_) co_return fail(Errc::cancelled, "client closed");
    co_return fail(Error(Errc::unavailable, "broker " + std::to_string(link->id) + " has moved", true));
  }
  link->backoff.reset();
  link->connection = std::move(*connection);
  ++link->connects;
  log_.debug("connected to {} (broker {})", endpoint.text(), link->id);
  co_return Result<void>();
}

// Keys and certificates are read when the first connection is made.
io::Task<Result<void>> Cluster::load_tls() {
  Result<std::shared_ptr<const io::tls::Context>> loaded =
      co_await io::tls::Context::load(shard_, *options_.tls, io::tls::Role::client);
  KLAMM_CO_TRY(loaded);
  tls_ = std::move(*loaded);
  co_return Result<void>();
}

const Error* Cluster::fatal_error() const noexcept {
  return update_error_ && is_fatal(*update_error_) ? &*update_error_ : nullptr;
}

io::Task<Result<ConnectionRef>> Cluster::connect_any() {
  // An open connection with the least to do.
  LinkRef best;
  for (const auto& [id, link] : links_) {
    if (!link->is_open()) continue;
    if (!best || link->connection->in_flight() < best->connection->in_flight()) best = link;
  }
  if (best) co_return best->connection;
  // Else the known brokers in random order, those last that failed lately; then the bootstrap servers.
  std::vector<BrokerNumber> order;
  for (const auto& [id, broker] : brokers_) order.push_back(id);
  std::shuffle(order.begin(), order.end(), shard_.random());
  if (order.empty() || options_.rebootstrap) {
    std::vector<BrokerNumber> bootstrap;
    for (const auto& [id, link] : links_) {
      if (id < -1) bootstrap.push_back(id);
    }
    std::shuffle(bootstrap.begin(), bootstrap.end(), shard_.random());
    order.insert(order.end(), bootstrap.begin(), bootstrap.end());
  }
  const Instant now = shard_.now();
  std::stable_partition(order.begin(), order.end(), [&](BrokerNumber id) {
    const LinkRef link = link_of(id);
    return link && link->retry_at <= now;
  });
  Error last(Errc::unavailable, "no broker to ask", true);
  for (const BrokerNumber id : order) {
    Result<ConnectionRef> connection = co_await connect(id);
    if (connection || closed_) co_return connection;
    last = std::move(connection).error();
  }
  co_return fail(std::move(last));
}

std::vector<BrokerStatistics> Cluster::statistics() const {
  std::vector<BrokerStatistics> all;
  for (const auto& [id, link] : links_) {
    if (link->connects == 0 && id < 0) continue;
    BrokerStatistics one;
    one.broker_id = id;
    one.address = link->endpoint.text();
    one.connected = link->is_open();
    one.connects = link->connects;
    one.disconnects = link->connects - (one.connected ? 1 : 0);
    one.timeouts = link->timeouts;
    rpc::ConnectionCounts counts = link->past;
    if (link->connection) {
      const rpc::ConnectionCounts& now = link->connection->counts();
      counts.requests += now.requests;
      counts.responses += now.responses;
      counts.sent_bytes += now.sent_bytes;
      counts.received_bytes += now.received_bytes;
      counts.average_round_trip = now.average_round_trip;
      one.in_flight = static_cast<std::uint32_t>(link->connection->in_flight());
    }
    one.requests = counts.requests;
    one.responses = counts.responses;
    one.sent_bytes = counts.sent_bytes;
    one.received_bytes = counts.received_bytes;
    one.average_round_trip = counts.average_round_trip;
    all.push_back(std::move(one));
  }
  return all;
}

void Cluster::stop() {
  if (closed_) return;
  closed_ = true;
  for (auto& [id, link] : links_) {
    retire(*link);
    link->settled.notify_all();
  }
  wake_.notify_all();
  changed_.notify_all();
}

io::Task<void> Cluster::close() {
  stop();
  co_await gate_.close();
}

}  // namespace klamm::client
