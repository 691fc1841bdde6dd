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

ReplicaManager::ReplicaManager(io::Shard& shard, std::size_t shard_count, const config::BrokerConfig& config,
                               storage::LogManager& logs, Logger logger)
    : shard_(shard),
      shard_count_(shard_count),
      config_(config),
      logs_(logs),
      logger_(std::move(logger)),
      applying_(shard),
      stopping_(shard),
      background_(shard) {}

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
  image_ = publication.image;
  co_await apply_locked(publication);
  applying_.unlock();
  if (failed_.empty() || std::exchange(trying_again_, true)) co_return;
  background_.spawn(open_failed());
}

io::Task<void> ReplicaManager::apply_locked(const metadata::Publication& publication) {
  const metadata::MetadataDelta& delta = *publication.delta;
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
    Result<std::shared_ptr<storage::Log>> log =
        co_await logs_.create(name, topic.id, log_config(image, topic.name), chosen);
    if (!log) {
      const auto earlier = failed_.find(key);
      if (earlier == failed_.end() || earlier->second.message() != log.error().message()) {
        logger_.error("{}-{}: no log: {}", topic.name, index, log.error().message());
      }
      failed_.insert_or_assign(key, std::move(log).error());
      co_return;
    }
    failed_.erase(key);
    known = partitions_.emplace(key, std::make_unique<Partition>(shard_, config_.node_id(), topic.id, std::move(*log)))
                .first;
  }
  PartitionState state;
  state.leader = registration->leader;
  state.leader_epoch = registration->leader_epoch;
  state.partition_epoch = registration->partition_epoch;
  state.replicas = registration->replicas;
  state.isr = registration->isr;
  Result<void> applied = co_await known->second->apply(std::move(state));
  if (!applied) logger_.error("{}-{}: {}", topic.name, index, applied.error().message());
}

io::Task<void> ReplicaManager::drop(Key key, const std::string& topic) {
  failed_.erase(key);
  const auto known = partitions_.find(key);
  if (known == partitions_.end()) co_return;
  const std::unique_ptr<Partition> partition = std::move(known->second);
  partitions_.erase(known);
  co_await partition->retire();
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
    if (each->id() == partition) each->lose_log();
  }
}

io::Task<void> ReplicaManager::close() {
  stopping_.notify_all();
  co_await background_.close();
  while (!partitions_.empty()) {
    const std::unique_ptr<Partition> partition = std::move(partitions_.begin()->second);
    partitions_.erase(partitions_.begin());
    co_await partition->retire();
  }
}

}  // namespace klamm::replica
