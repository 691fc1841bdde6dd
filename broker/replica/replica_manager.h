// The partitions that one shard serves: opened, led and dropped as the metadata image says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/publisher.h"
#include "broker/replica/partition.h"
#include "broker/storage/log_manager.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::replica {

// The shard, of `shards`, that a partition lives on: by its name, which is all that a directory found at start tells.
// The partitions of a topic go round the shards.
std::size_t shard_of(std::string_view topic, std::int32_t partition, std::size_t shards);

class ReplicaManager {
 public:
  // `logs`: this shard's, opened. All live longer than the manager.
  ReplicaManager(io::Shard& shard, std::size_t shard_count, const config::BrokerConfig& config,
                 storage::LogManager& logs, Logger logger);
  ~ReplicaManager();

  // A new image: subscribe this to the publisher. Opens logs of new replicas, applies leadership and configs, drops
  // what is gone. A replica whose log cannot be opened is reported in the log and answered KAFKA_STORAGE_ERROR; it is
  // tried again until it opens (a full disk gets room).
  io::Task<void> apply(const metadata::Publication& publication);

  // A partition to work with: NOT_LEADER_OR_FOLLOWER if this shard does not have it, KAFKA_STORAGE_ERROR if its log
  // failed to open.
  Result<Partition::Lease> lease(const Uuid& topic_id, std::int32_t partition);
  // In order of topic id and partition.
  void for_each(const std::function<void(Partition&)>& visit);
  std::size_t size() const noexcept { return partitions_.size(); }

  // Stops serving all partitions; the logs stay open with the log manager.
  io::Task<void> close();
  // LogManagerOptions::on_log_lost.
  void log_lost(const protocol::TopicPartition& partition);
  // The configuration in force of a topic.
  config::LogConfig log_config(const metadata::MetadataImage& image, const std::string& topic) const;

 private:
  using Key = std::pair<Uuid, std::int32_t>;
  bool mine(const std::string& topic, std::int32_t partition) const;
  io::Task<void> apply_locked(const metadata::Publication& publication);
  io::Task<void> open_failed();
  io::Task<void> apply_partition(const metadata::MetadataImage& image, const metadata::TopicImage& topic,
                                 std::int32_t index);
  io::Task<void> drop(Key key, const std::string& topic);
  void apply_configs(const metadata::Publication& publication);

  io::Shard& shard_;
  std::size_t shard_count_;
  const config::BrokerConfig& config_;
  storage::LogManager& logs_;
  Logger logger_;
  std::map<Key, std::unique_ptr<Partition>> partitions_;
  std::map<Key, Error> failed_;
  metadata::ImageRef image_;  // the last one that was applied
  io::AsyncMutex applying_;   // held while replicas come and go
  io::Signal stopping_;
  io::Gate background_;
  bool trying_again_ = false;
};

}  // namespace klamm::replica
