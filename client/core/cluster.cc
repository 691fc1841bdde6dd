#include "client/core/cluster.h"

#include <algorithm>

#include "protocol/messages/describe_cluster_request.h"
#include "protocol/messages/describe_cluster_response.h"

namespace klamm::client {

using protocol::MetadataRequest;
using protocol::MetadataResponse;

namespace {

// Reported at once, as Kafka's clients do, and not waited out until the deadline; the next good update clears it.
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
      links_(shard, options_, log_),
      last_success_(shard.now()),
      update_backoff_(options_.retry_backoff, options_.retry_backoff_max),
      wake_(shard),
      changed_(shard),
      gate_(shard) {}

Cluster::~Cluster() { KLAMM_CHECK(closed_, "cluster destroyed before close()"); }

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
  links_.relocate(broker.id, broker.endpoint);
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
    const Duration pause = refreshed ? take_refreshed() : take_failure(std::move(refreshed).error());
    // Requests within the pause wait for its end, so that a broken cluster is not flooded.
    const Instant end = shard_.now() + pause;
    while (!closed_ && shard_.now() < end) co_await wake_.wait_until(end);
  }
  loop_runs_ = false;
}

// An update did well, or failed: each tells how long to wait before another one.
Duration Cluster::take_refreshed() {
  updated_at_ = last_success_ = shard_.now();
  update_error_.reset();
  update_failed_.over();
  if (!incomplete()) {
    update_backoff_.reset();
    return Duration(0);
  }
  update_requested_ = true;
  return update_backoff_.next(shard_.random());
}

Duration Cluster::take_failure(Error error) {
  log_.debug("metadata update failed: {}", error.message());
  update_error_ = std::move(error);
  update_requested_ = true;
  if (options_.rebootstrap && shard_.now() - last_success_ >= options_.rebootstrap_trigger) {
    log_.warning("no metadata for {} s, starting again from the bootstrap servers",
                 std::chrono::duration_cast<std::chrono::seconds>(shard_.now() - last_success_).count());
    last_success_ = shard_.now();
    brokers_.clear();
  }
  changed_.notify_all();
  return update_backoff_.next(shard_.random());
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
io::Task<Result<void>> Cluster::refresh_controllers(ConnectionRef connection) {
  constexpr std::int8_t kControllers = 2;
  protocol::DescribeClusterRequest request;
  request.endpoint_type = kControllers;
  const rpc::VersionBounds bounds{1};
  Result<protocol::DescribeClusterResponse> response = co_await connection->call(std::move(request), bounds);
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
  Result<ConnectionRef> connection = co_await connect_any();  // tells by itself of nodes that cannot be reached
  KLAMM_CO_TRY(connection);
  Result<void> refreshed;
  if (options_.controllers) {
    refreshed = co_await refresh_controllers(*connection);
  } else {
    MetadataRequest request;
    request.allow_auto_topic_creation = options_.allow_auto_create_topics;
    for (const auto& [name, tracked] : tracked_) request.topics->emplace_back().name = name;
    std::sort(request.topics->begin(), request.topics->end(),
              [](const auto& left, const auto& right) { return *left.name < *right.name; });
    Result<MetadataResponse> response = co_await ask_over(*connection, std::move(request), Instant::never());
    if (!response) refreshed = fail(std::move(response).error());
  }
  if (!refreshed && !closed_) tell_failure(refreshed.error());
  co_return refreshed;
}

void Cluster::tell_failure(const Error& error) {
  // A connection that is lost once is no trouble yet: the next attempt tells whether it is.
  const bool may_pass = error.retriable() && !(error == Errc::timed_out) && !update_error_;
  if (may_pass || !update_failed_.due("no answer", shard_.now())) return;
  log_.warning("Error while fetching metadata: {}", error.message());
}

io::Task<Result<MetadataResponse>> Cluster::ask(MetadataRequest request, Instant deadline) {
  Result<ConnectionRef> connection = co_await connect_any(deadline);
  KLAMM_CO_TRY(connection);
  Result<MetadataResponse> response = co_await ask_over(std::move(*connection), std::move(request), deadline);
  co_return response;
}

io::Task<Result<MetadataResponse>> Cluster::ask_over(ConnectionRef connection, MetadataRequest request,
                                                     Instant deadline) {
  rpc::Connection& peer = *connection;
  Result<std::int16_t> version = peer.version_of<MetadataRequest>();
  KLAMM_CO_TRY(version);
  if (*version == 0 && request.topics && request.topics->empty()) request.topics.reset();
  if (*version < 4) request.allow_auto_topic_creation = true;  // not told before
  const Duration left = time_left(deadline);
  if (left <= 0ns) co_return fail(no_time_for(peer));
  Result<MetadataResponse> response = co_await peer.call_version(std::move(request), *version, left);
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
    if (!brokers_.contains(id)) links_.drop(id);
  }
  ++version_;
  for (const auto& topic : response.topics) take_topic(topic);
  tell_missing_topics(response);
  changed_.notify_all();
}

// What is waited for although it may never come. Other errors are told to those who ask.
void Cluster::tell_missing_topics(const MetadataResponse& response) {
  if (response.topics.empty()) return;
  constexpr std::uint32_t kElections = 2;  // answers during which a new topic may have no leader yet
  bool any = false;
  std::string missing;
  for (const auto& topic : response.topics) {
    const ErrorCode error = protocol::error_code_from(topic.error_code);
    if (error == ErrorCode::none || !protocol::retriable(error)) continue;
    if (!topic.name || !tracked_.contains(*topic.name)) continue;
    any = true;
    if (error == ErrorCode::leader_not_available && answers_with_missing_ < kElections) continue;
    missing += (missing.empty() ? "" : ", ") + *topic.name + "=" + std::string(protocol::name(error));
  }
  answers_with_missing_ = any ? answers_with_missing_ + 1 : 0;
  if (!any) topics_missing_.over();
  if (!missing.empty() && topics_missing_.due(missing, shard_.now())) {
    log_.warning("Error while fetching metadata: {{{}}}", missing);
  }
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
      co_return fail(
          Error(Errc::timed_out, with_update_error("metadata of topic " + topic + " not known in time"), true));
    }
  }
}

io::Task<Result<void>> Cluster::await_brokers(Instant deadline) {
  while (version_ == 0 || brokers_.empty()) {
    if (closed_) co_return fail(Errc::cancelled, "client closed");
    if (const Error* fatal = fatal_error()) co_return fail(*fatal);
    if (!update_requested_) request_update();
    const bool told = co_await changed_.wait_until(deadline);
    if (!told) co_return fail(Error(Errc::timed_out, with_update_error("no broker answered in time"), true));
  }
  co_return Result<void>();
}

// ---- connections ----

LinkRef Cluster::link_of(BrokerNumber broker) {
  if (LinkRef link = links_.find(broker)) return link;
  const auto known = brokers_.find(broker);
  return known == brokers_.end() ? nullptr : links_.add(broker, known->second.endpoint);
}

ConnectionRef Cluster::open_connection(BrokerNumber broker) const {
  const LinkRef link = links_.find(broker);
  return link ? link->channel.open_connection() : nullptr;
}

io::Task<Result<ConnectionRef>> Cluster::connect(BrokerNumber broker, Instant deadline) {
  LinkRef link = link_of(broker);
  if (!link) {
    request_update();
    co_return fail(Error(Errc::unavailable, "broker " + std::to_string(broker) + " is not known", true));
  }
  Result<ConnectionRef> connection = co_await links_.connect(std::move(link), deadline);
  co_return connection;
}

Error Cluster::no_time_for(const rpc::Connection& connection) {
  return {Errc::timed_out, connection.endpoint().text() + ": not asked in time", true};
}

const Error* Cluster::fatal_error() const noexcept {
  return update_error_ && is_fatal(*update_error_) ? &*update_error_ : nullptr;
}

std::string Cluster::with_update_error(std::string why) const {
  if (update_error_) why += " (" + update_error_->message() + ")";
  return why;
}

io::Task<Result<ConnectionRef>> Cluster::connect_any(Instant deadline) {
  if (ConnectionRef best = links_.least_loaded()) co_return best;
  // The known brokers in random order, those last that failed lately; then the bootstrap servers.
  std::vector<BrokerNumber> order;
  order.reserve(brokers_.size());
  for (const auto& [id, broker] : brokers_) order.push_back(id);
  std::shuffle(order.begin(), order.end(), shard_.random());
  if (order.empty() || options_.rebootstrap) {
    std::vector<BrokerNumber> bootstrap = links_.bootstrap();
    std::shuffle(bootstrap.begin(), bootstrap.end(), shard_.random());
    order.insert(order.end(), bootstrap.begin(), bootstrap.end());
  }
  std::stable_partition(order.begin(), order.end(), [&](BrokerNumber id) {
    const LinkRef link = link_of(id);
    return link && !link->channel.is_backing_off();
  });
  Error last(Errc::unavailable, "no broker to ask", true);
  for (const BrokerNumber id : order) {
    Result<ConnectionRef> connection = co_await connect(id, deadline);
    if (connection || closed_) co_return connection;
    last = std::move(connection).error();
    if (shard_.now() >= deadline) break;
  }
  if (version_ == 0 && links_.bootstrap_unresolvable()) {
    co_return fail(Errc::invalid_argument, std::string("No resolvable bootstrap urls given in ") +
                                               (options_.controllers ? "bootstrap.controllers" : "bootstrap.servers"));
  }
  co_return fail(std::move(last));
}

void Cluster::stop() {
  if (closed_) return;
  closed_ = true;
  links_.stop();
  wake_.notify_all();
  changed_.notify_all();
}

io::Task<void> Cluster::close() {
  stop();
  co_await gate_.close();
  co_await links_.close();
}

}  // namespace klamm::client
