// The partitions that one shard serves: opened, led and dropped as the metadata image says.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/publisher.h"
#include "broker/replica/fetcher.h"
#include "broker/replica/isr_changes.h"
#include "broker/replica/partition.h"
#include "broker/replica/replication_quota.h"
#include "broker/storage/log_manager.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::replica {

// The shard, of `shards`, that a partition lives on: by its name, which is all that a directory found at start tells.
// The partitions of a topic go round the shards.
std::size_t shard_of(std::string_view topic, std::int32_t partition, std::size_t shards);

// A replica of this broker and the data directory where its log is.
struct Placement {
  Uuid topic_id;
  std::int32_t partition = 0;
  Uuid directory;
};

// The manager's ways to the rest of the node; all are used on the manager's shard.
struct ReplicaOptions {
  // Told of replicas that lie elsewhere than the metadata says (AssignReplicasToDirs, KIP-858).
  std::function<void(const Placement& placement)> on_misplaced;
  // AlterPartition. Without it ISRs stay as they are, which is all that a node alone needs. close() waits for the call
  // that is under way: who stops the node has it end first.
  AskController ask_controller;
  // The epoch that this process is registered with; without it, the one in the metadata.
  std::function<std::int64_t()> broker_epoch;
  // For connections to leaders, where the inter-broker listener speaks TLS.
  std::shared_ptr<const io::tls::Context> tls;
};

class ReplicaManager {
 public:
  // `logs`: this shard's, opened. All live longer than the manager.
  ReplicaManager(io::Shard& shard, std::size_t shard_count, const config::BrokerConfig& config,
                 storage::LogManager& logs, Logger logger, ReplicaOptions options = {});
  ~ReplicaManager();

  // A new image: subscribe this to the publisher. Opens logs of new replicas, applies leadership and configs, drops
  // what is gone. A replica whose log cannot be opened is reported in the log and answered KAFKA_STORAGE_ERROR; it is
  // tried again until it opens (a full disk gets room).
  io::Task<void> apply(const metadata::Publication& publication);

  // A partition to work with: NOT_LEADER_OR_FOLLOWER if this shard does not have it, KAFKA_STORAGE_ERROR if its log
  // failed to open.
  Result<Partition::Lease> lease(const Uuid& topic_id, std::int32_t partition);
  // Whether the follower, which is not in sync, is to get no records now, as more was sent than the throttle allows.
  bool holds_back(const Partition& partition, std::int32_t follower) const;
  // So much of the partition was read for a follower.
  void note_sent(const Partition& partition, std::int64_t bytes);
  // In order of topic id and partition.
  void for_each(const std::function<void(Partition&)>& visit);
  std::size_t size() const noexcept { return partitions_.size(); }

  // Stops serving all partitions; the logs stay open with the log manager.
  io::Task<void> close();
  // LogManagerOptions::on_log_lost.
  void log_lost(const protocol::TopicPartition& partition);
  // LogManagerOptions::on_log_moved.
  void log_moved(const protocol::TopicPartition& partition);
  // LogManagerOptions::assigned_directory.
  std::optional<Uuid> assigned_directory(const metadata::MetadataImage& image,
                                         const protocol::TopicPartition& partition) const;
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
  void apply_throttles(const metadata::Publication& publication);
  void note_brokers(const metadata::MetadataImage& image);
  // Fetches the partition from its leader, if it has one elsewhere that can be reached.
  void arrange_fetching(const metadata::MetadataImage& image, Partition& partition);
  io::Task<void> review_regularly();
  bool isr_answered(const Key& key, std::uint64_t number, const IsrAnswer& answer);
  std::int64_t broker_epoch() const;
  FetcherOptions::Versions versions() const;
  void check_placement(const metadata::MetadataImage& image, const metadata::TopicImage& topic, std::int32_t index);

  io::Shard& shard_;
  std::size_t shard_count_;
  const config::BrokerConfig& config_;
  storage::LogManager& logs_;
  Logger logger_;
  ReplicaOptions options_;
  PartitionContext context_;
  IsrChanges isr_changes_;
  ReplicationThrottles throttles_;
  std::set<std::string> throttled_topics_;  // that have a list of throttled replicas
  Fetchers fetchers_;
  std::map<Key, std::unique_ptr<Partition>> partitions_;
  std::map<Key, Error> failed_;
  std::set<Key> missing_;  // of failed_: older than this run, so that a log of theirs may lie in an offline directory
  metadata::ImageRef image_;  // the last one that was applied
  io::AsyncMutex applying_;   // held while replicas come and go
  io::Signal stopping_;
  io::Gate background_;
  bool trying_again_ = false;
  bool reviewing_ = false;
  bool starting_ = false;  // the first publication is being applied
};

}  // namespace klamm::replica
