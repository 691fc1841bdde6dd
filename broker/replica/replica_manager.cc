#include "broker/replica/replica_manager.h"

#include "broker/config/topic_config.h"
#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::kafka_error;

namespace {
constexpr Duration kTryAgainAfter = 1s;  // doubled with each turn up to the longest
constexpr Duration kTryAgainAtMost = 60s;
}  // namespace

std::size_t shard_of(std::string_view topic, std::int32_t partition, std::size_t shards) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;  // FNV-1a
  for (const char character : topic) hash = (hash ^ static_cast<unsigned char>(character)) * 0x100000001B3ULL;
  return (hash + static_cast<std::uint32_t>(partition)) % shards;
}

namespace {

FetcherOptions fetcher_options(const config::BrokerConfig& config) {
  const ConfigValues& values = config.values();
  FetcherOptions options;
  options.broker_id = config.node_id();
  options.min_bytes = values.get_int("replica.fetch.min.bytes");
  options.max_bytes = values.get_int("replica.fetch.max.bytes");
  options.response_max_bytes = values.get_int("replica.fetch.response.max.bytes");
  options.wait_max_ms = values.get_int("replica.fetch.wait.max.ms");
  options.backoff = milliseconds(values.get_int("replica.fetch.backoff.ms"));
  options.timeout = milliseconds(values.get_int("replica.socket.timeout.ms"));
  options.buffers.receive_bytes = values.get_int("replica.socket.receive.buffer.bytes");
  return options;
}

}  // namespace

ReplicaManager::ReplicaManager(io::Shard& shard, std::size_t shard_count, const config::BrokerConfig& config,
                               storage::LogManager& logs, Logger logger, ReplicaOptions options)
    : shard_(shard),
      shard_count_(shard_count),
      config_(config),
      logs_(logs),
      logger_(std::move(logger)),
      options_(std::move(options)),
      context_{shard, config.node_id(), {}, milliseconds(config.values().get_long("replica.lag.time.max.ms")), {}},
      isr_changes_(
          shard, config.node_id(), [this] { return broker_epoch(); }, options_.ask_controller,
          [this](const Key& key, std::uint64_t number, const IsrAnswer& answer) {
            return isr_answered(key, number, answer);
          },
          logger_),
      fetchers_(
          shard, config.values().get_int("num.replica.fetchers"),
          [this] {
            FetcherOptions fetching = fetcher_options(config_);
            fetching.broker_epoch = [this] { return broker_epoch(); };
            fetching.versions = [this] { return versions(); };
            fetching.tls = options_.tls;
            fetching.throttles = &throttles_;
            return fetching;
          }(),
          logger_),
      applying_(shard),
      stopping_(shard),
      background_(shard) {
  logs_.configure_cleaner(config::make_cleaner_config({nullptr, nullptr, &config_}));
  if (!options_.ask_controller) return;
  context_.propose = [this](Partition& partition, const IsrProposal& proposal) {
    isr_changes_.propose({partition.topic_id(), partition.id().partition.value()}, proposal);
  };
}

ReplicaManager::~ReplicaManager() = default;

bool ReplicaManager::mine(const std::string& topic, std::int32_t partition) const {
  return shard_of(topic, partition, shard_count_) == shard_.index();
}

config::LogConfig ReplicaManager::log_config(const metadata::MetadataImage& image, const std::string& topic) const {
  const config::BrokerLayers layers{&image.configs.of_broker(config_.node_id()), &image.configs.cluster_default(),
                                    &config_};
  return config::make_log_config(layers, image.configs.of_topic(topic));
}

io::Task<void> ReplicaManager::apply(const metadata::Publication& publication) {
  co_await applying_.lock();
  starting_ = image_ == nullptr;
  image_ = publication.image;
  co_await apply_locked(publication);
  starting_ = false;
  applying_.unlock();
  if (failed_.empty() || std::exchange(trying_again_, true)) co_return;
  background_.spawn(open_failed());
}

io::Task<void> ReplicaManager::apply_locked(const metadata::Publication& publication) {
  const metadata::MetadataDelta& delta = *publication.delta;
  const bool brokers_changed = starting_ || !delta.changed_brokers().empty();
  if (brokers_changed) note_brokers(*publication.image);
  for (const auto& [id, topic] : delta.deleted_topics()) {
    for (std::int32_t index = 0; index < topic->partition_count(); ++index) {
      const Key key(id, index);
      if (mine(topic->name, index)) co_await drop(key, topic->name);
    }
  }
  for (const auto& [id, change] : delta.changed_topics()) {
    for (const std::int32_t index : change.changed_partitions) {
      if (mine(change.after->name, index)) co_await apply_partition(*publication.image, *change.after, index);
    }
  }
  apply_configs(publication);
  apply_throttles(publication);
  if (!brokers_changed && delta.changed_configs().empty()) co_return;
  for (const auto& [key, partition] : partitions_) {
    partition->review_followers();  // min.insync.replicas, or who counts
    if (brokers_changed) arrange_fetching(*publication.image, *partition);
  }
}

void ReplicaManager::note_brokers(const metadata::MetadataImage& image) {
  context_.brokers.clear();
  for (const auto& [id, broker] : image.cluster.brokers) {
    context_.brokers.emplace(id, BrokerLife{broker->epoch, broker->fenced, broker->active()});
  }
}

void ReplicaManager::arrange_fetching(const metadata::MetadataImage& image, Partition& partition) {
  const Key key{partition.topic_id(), partition.id().partition.value()};
  const std::int32_t leader = partition.state().leader;
  const metadata::BrokerRegistration* broker = partition.is_leader() ? nullptr : image.cluster.broker(leader);
  const metadata::ListenerEndpoint* endpoint =
      broker == nullptr ? nullptr : broker->listener(config_.inter_broker_listener());
  if (endpoint == nullptr || !partition.follows(partition.state().leader_epoch)) {
    fetchers_.unfollow(key);
  } else {
    fetchers_.follow(partition, leader, {endpoint->host, endpoint->port});
  }
}

io::Task<void> ReplicaManager::review_regularly() {
  while (!background_.closed()) {
    const Instant next = shard_.now() + context_.max_lag / 2;
    while (!background_.closed() && shard_.now() < next) co_await stopping_.wait_until(next);
    if (background_.closed()) break;
    for (const auto& [key, partition] : partitions_) partition->review_followers();
  }
}

bool ReplicaManager::isr_answered(const Key& key, std::uint64_t number, const IsrAnswer& answer) {
  const auto known = partitions_.find(key);
  return known == partitions_.end() || known->second->isr_answered(number, answer);
}

std::int64_t ReplicaManager::broker_epoch() const {
  if (options_.broker_epoch) return options_.broker_epoch();
  const auto own = context_.brokers.find(config_.node_id());
  return own == context_.brokers.end() ? -1 : own->second.epoch;
}

FetcherOptions::Versions ReplicaManager::versions() const {
  const metadata::MetadataVersion version =
      (image_ == nullptr ? std::nullopt : image_->metadata_version()).value_or(metadata::MetadataVersion{});
  return {version.fetch_version(), version.list_offsets_version()};
}

io::Task<void> ReplicaManager::apply_partition(const metadata::MetadataImage& image, const metadata::TopicImage& topic,
                                               std::int32_t index) {
  const metadata::PartitionRegistration* registration = topic.partition(index);
  const Key key{topic.id, index};
  if (registration == nullptr || !registration->has_replica(config_.node_id())) {
    co_await drop(key, topic.name);
    co_return;
  }
  auto known = partitions_.find(key);
  if (known == partitions_.end()) {
    const protocol::TopicPartition name{topic.name, protocol::PartitionIndex(index)};
    const Uuid directory = registration->directory_of(config_.node_id());
    std::optional<Uuid> chosen;
    if (directory > metadata::kLostDirectory) chosen = directory;
    const bool may_exist = starting_ || missing_.contains(key);
    Result<std::shared_ptr<storage::Log>> log =
        co_await logs_.create(name, topic.id, log_config(image, topic.name), chosen, may_exist);
    if (!log) {
      if (may_exist) missing_.insert(key);
      const auto earlier = failed_.find(key);
      if (earlier == failed_.end() || earlier->second.message() != log.error().message()) {
        logger_.error("{}-{}: no log: {}", topic.name, index, log.error().message());
      }
      failed_.insert_or_assign(key, std::move(log).error());
      co_return;
    }
    failed_.erase(key);
    missing_.erase(key);
    known = partitions_.emplace(key, std::make_unique<Partition>(context_, topic.id, std::move(*log))).first;
  }
  PartitionState state;
  state.leader = registration->leader;
  state.leader_epoch = registration->leader_epoch;
  state.partition_epoch = registration->partition_epoch;
  state.replicas = registration->replicas;
  state.isr = registration->isr;
  Result<void> applied = co_await known->second->apply(std::move(state));
  if (!applied) logger_.error("{}-{}: {}", topic.name, index, applied.error().message());
  arrange_fetching(image, *known->second);
  if (registration->replicas.size() > 1 && !std::exchange(reviewing_, true)) background_.spawn(review_regularly());
  check_placement(image, topic, index);
}

void ReplicaManager::check_placement(const metadata::MetadataImage& image, const metadata::TopicImage& topic,
                                     std::int32_t index) {
  if (!options_.on_misplaced || !image.metadata_version()
                                     .value_or(metadata::MetadataVersion{metadata::MetadataVersion::kMinimum})
                                     .directory_assignment())
    return;
  const metadata::PartitionRegistration* registration = topic.partition(index);
  if (registration == nullptr || !registration->has_replica(config_.node_id())) return;
  const std::optional<Uuid> actual = logs_.directory_of({topic.name, protocol::PartitionIndex(index)});
  if (!actual || *actual == registration->directory_of(config_.node_id())) return;
  options_.on_misplaced({topic.id, index, *actual});
}

void ReplicaManager::log_moved(const protocol::TopicPartition& partition) {
  if (image_ == nullptr) return;
  const metadata::TopicImage* topic = image_->topics.find(std::string_view(partition.topic));
  if (topic != nullptr) check_placement(*image_, *topic, partition.partition.value());
}

std::optional<Uuid> ReplicaManager::assigned_directory(const metadata::MetadataImage& image,
                                                       const protocol::TopicPartition& partition) const {
  const metadata::TopicImage* topic = image.topics.find(std::string_view(partition.topic));
  const metadata::PartitionRegistration* registration =
      topic == nullptr ? nullptr : topic->partition(partition.partition.value());
  if (registration == nullptr || !registration->has_replica(config_.node_id())) return std::nullopt;
  return registration->directory_of(config_.node_id());
}

io::Task<void> ReplicaManager::drop(Key key, const std::string& topic) {
  const bool had_failed = failed_.erase(key) > 0;
  missing_.erase(key);
  const auto known = partitions_.find(key);
  if (known == partitions_.end() && !had_failed) co_return;
  if (known != partitions_.end()) {
    const std::unique_ptr<Partition> partition = std::move(known->second);
    partitions_.erase(known);
    fetchers_.unfollow(key);
    isr_changes_.forget(key);
    co_await partition->retire();
  }
  const protocol::TopicPartition name{topic, protocol::PartitionIndex(key.second)};
  Result<void> removed = co_await logs_.remove(name);
  if (!removed) logger_.error("{}-{}: not deleted: {}", topic, key.second, removed.error().message());
}

// Until none is left, or the manager closes.
io::Task<void> ReplicaManager::open_failed() {
  Duration pause = kTryAgainAfter;
  while (!background_.closed() && !failed_.empty()) {
    const Instant next = shard_.now() + pause;
    pause = std::min(2 * pause, kTryAgainAtMost);
    while (!background_.closed() && shard_.now() < next) co_await stopping_.wait_until(next);
    co_await applying_.lock();
    const metadata::ImageRef image = image_;
    const std::map<Key, Error> failed = failed_;
    for (const auto& [key, error] : failed) {
      if (background_.closed()) break;
      const metadata::TopicImage* topic = image->topics.find(key.first);
      if (topic == nullptr) {
        failed_.erase(key);
      } else {
        co_await apply_partition(*image, *topic, key.second);
      }
    }
    applying_.unlock();
  }
  trying_again_ = false;
}

void ReplicaManager::apply_configs(const metadata::Publication& publication) {
  const metadata::MetadataDelta& delta = *publication.delta;
  const bool defaults_changed =
      delta.config_changed({metadata::ConfigResourceType::broker, {}}) ||
      delta.config_changed({metadata::ConfigResourceType::broker, std::to_string(config_.node_id())});
  if (defaults_changed) {
    logs_.configure_moves(config::move_bytes_per_second({&publication.image->configs.of_broker(config_.node_id()),
                                                         &publication.image->configs.cluster_default(), &config_}));
    logs_.configure_cleaner(config::make_cleaner_config({&publication.image->configs.of_broker(config_.node_id()),
                                                         &publication.image->configs.cluster_default(), &config_}));
    std::string last;
    for (const auto& [name, entry] : logs_.logs()) {
      if (name.topic != last) logs_.set_config(name.topic, log_config(*publication.image, name.topic));
      last = name.topic;
    }
    return;
  }
  for (const metadata::ConfigResource& resource : delta.changed_configs()) {
    if (resource.type == metadata::ConfigResourceType::topic) {
      logs_.set_config(resource.name, log_config(*publication.image, resource.name));
    }
  }
}

void ReplicaManager::apply_throttles(const metadata::Publication& publication) {
  const metadata::MetadataDelta& delta = *publication.delta;
  const metadata::MetadataImage& image = *publication.image;
  for (const metadata::ConfigResource& resource : delta.changed_configs()) {
    if (resource.type != metadata::ConfigResourceType::topic) continue;
    if (has_throttled_replicas(image, resource.name)) {
      throttled_topics_.insert(resource.name);
    } else {
      throttled_topics_.erase(resource.name);
    }
  }
  const bool none =
      throttled_topics_.empty() && throttles_.replicas.as_leader.empty() && throttles_.replicas.as_follower.empty();
  if (none || (delta.changed_configs().empty() && delta.changed_topics().empty())) return;
  throttles_.replicas = throttled_replicas(image, throttled_topics_, config_.node_id(), shard_.index(), shard_count_);
  const config::BrokerLayers layers{&image.configs.of_broker(config_.node_id()), &image.configs.cluster_default(),
                                    &config_};
  const auto rate = [&](std::string_view key) { return std::get<std::int64_t>(config::effective_value(layers, key)); };
  const ThrottledReplicas& replicas = throttles_.replicas;
  throttles_.sent.set_rate(replicas.sent.share_of(rate("leader.replication.throttled.rate")), shard_.now());
  throttles_.received.set_rate(replicas.received.share_of(rate("follower.replication.throttled.rate")), shard_.now());
}

bool ReplicaManager::holds_back(const Partition& partition, std::int32_t follower) const {
  if (!throttles_.as_leader({partition.topic_id(), partition.id().partition.value()})) return false;
  return !partition.isr().in_isr(follower) && throttles_.sent.exceeded(shard_.now());
}

void ReplicaManager::note_sent(const Partition& partition, std::int64_t bytes) {
  if (bytes > 0 && throttles_.as_leader({partition.topic_id(), partition.id().partition.value()}))
    throttles_.sent.record(bytes, shard_.now());
}

Result<Partition::Lease> ReplicaManager::lease(const Uuid& topic_id, std::int32_t partition) {
  const Key key{topic_id, partition};
  const auto known = partitions_.find(key);
  if (known != partitions_.end()) return Partition::Lease(*known->second);
  if (failed_.contains(key)) return fail(kafka_error(ErrorCode::kafka_storage_error));
  return fail(kafka_error(ErrorCode::not_leader_or_follower));
}

void ReplicaManager::for_each(const std::function<void(Partition&)>& visit) {
  for (const auto& [key, partition] : partitions_) visit(*partition);
}

void ReplicaManager::log_lost(const protocol::TopicPartition& partition) {
  for (const auto& [key, each] : partitions_) {
    if (each->id() != partition) continue;
    fetchers_.unfollow(key);
    each->lose_log();
  }
}

io::Task<void> ReplicaManager::close() {
  stopping_.notify_all();
  co_await background_.close();
  co_await fetchers_.close();
  co_await isr_changes_.close();
  while (!partitions_.empty()) {
    const std::unique_ptr<Partition> partition = std::move(partitions_.begin()->second);
    partitions_.erase(partitions_.begin());
    co_await partition->retire();
  }
}

}  // namespace klamm::replica
