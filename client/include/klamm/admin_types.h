// What klamm::Admin asks and answers. Each operation is a struct with its arguments and the type of its outcome.
// Where one request names several things, each has a Result of its own: the operation as a whole fails only if no
// broker could be asked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "base/uuid.h"
#include "klamm/record.h"

namespace klamm {

// How long an operation may take with its retries; zero: default.api.timeout.ms.
struct AdminOptions {
  Duration timeout{0};
};

// ---- topics ----

struct NewTopic {
  std::string name;
  std::int32_t partitions = -1;          // -1: the broker's num.partitions
  std::int16_t replication_factor = -1;  // -1: the broker's default.replication.factor
  // Instead of both: the replicas of each partition, partition 0 first, preferred leader first.
  std::vector<std::vector<std::int32_t>> assignments{};
  std::map<std::string, std::string> configs{};
};
struct CreatedTopic {
  Uuid id;
  std::int32_t partitions = -1;  // -1 and empty if the broker does not let this user see them
  std::int16_t replication_factor = -1;
  std::map<std::string, std::optional<std::string>> configs;
};
struct CreateTopics {
  std::vector<NewTopic> topics;
  bool validate_only = false;
  AdminOptions options{};
  using Outcome = std::map<std::string, Result<CreatedTopic>>;
};

struct DeleteTopics {
  std::vector<std::string> names{};
  std::vector<Uuid> ids{};
  AdminOptions options{};
  using Outcome = std::map<std::string, Result<void>>;  // by name; by the id's text for `ids`
};

struct TopicListing {
  std::string name;
  Uuid id;
  bool internal = false;
  friend bool operator==(const TopicListing&, const TopicListing&) = default;
};
struct ListTopics {
  bool internal = false;  // with internal topics (__consumer_offsets …)
  AdminOptions options{};
  using Outcome = std::vector<TopicListing>;  // by name
};

struct PartitionDescription {
  std::int32_t partition = 0;
  std::int32_t leader = -1;
  std::int32_t leader_epoch = -1;
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> in_sync_replicas;
  std::vector<std::int32_t> offline_replicas;
  std::optional<std::vector<std::int32_t>> eligible_leader_replicas;  // KIP-966; not told by older brokers
  std::optional<std::vector<std::int32_t>> last_known_elr;
};
struct TopicDescription {
  std::string name;
  Uuid id;
  bool internal = false;
  std::vector<PartitionDescription> partitions;  // by index
  std::optional<std::int32_t> authorized_operations;
};
struct DescribeTopics {
  std::vector<std::string> names{};
  std::vector<Uuid> ids{};
  bool authorized_operations = false;
  std::int32_t partitions_per_response = 2000;  // a topic of more is asked for in pages; at least 1
  AdminOptions options{};
  using Outcome = std::map<std::string, Result<TopicDescription>>;  // by name; by the id's text for `ids`
};

struct NewPartitions {
  std::int32_t total_count = 0;
  std::vector<std::vector<std::int32_t>> assignments{};  // of the added ones
};
struct CreatePartitions {
  std::map<std::string, NewPartitions> topics;
  bool validate_only = false;
  AdminOptions options{};
  using Outcome = std::map<std::string, Result<void>>;
};

// ---- records and offsets ----

struct DeleteRecords {
  std::map<TopicPartition, std::int64_t> before;  // the first offset to keep; -1: the high watermark
  AdminOptions options{};
  using Outcome = std::map<TopicPartition, Result<std::int64_t>>;  // the new log start offset
};

// What ListOffsets looks for besides a time in ms.
constexpr std::int64_t kLatestOffset = -1;
constexpr std::int64_t kEarliestOffset = -2;
constexpr std::int64_t kMaxTimestampOffset = -3;           // KIP-734
constexpr std::int64_t kEarliestLocalOffset = -4;          // KIP-405
constexpr std::int64_t kLatestTieredOffset = -5;           // KIP-1005
constexpr std::int64_t kEarliestPendingUploadOffset = -6;  // KIP-1023

struct ListedOffset {
  std::int64_t offset = -1;  // -1: there is none
  TimestampMs timestamp = kNoTimestamp;
  std::int32_t leader_epoch = -1;
};
struct ListOffsets {
  std::map<TopicPartition, std::int64_t> specs;  // a time in ms, or one of the constants above
  bool read_committed = false;
  AdminOptions options{};
  using Outcome = std::map<TopicPartition, Result<ListedOffset>>;
};

// ---- configs ----

enum class ConfigResourceType : std::int8_t {
  topic = 2,
  broker = 4,
  broker_logger = 8,
  client_metrics = 16,
  group = 32
};
struct ConfigResource {
  ConfigResourceType type = ConfigResourceType::topic;
  std::string name;  // a topic, a broker id ("" for the cluster-wide default), a group …
  friend auto operator<=>(const ConfigResource&, const ConfigResource&) = default;
};
enum class ConfigSource : std::int8_t {
  unknown = 0,
  dynamic_topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,
  default_value = 5,
  dynamic_broker_logger = 6,
  client_metrics = 7,
  group = 8,
};
struct ConfigSynonym {
  std::string name;
  std::optional<std::string> value;
  ConfigSource source = ConfigSource::unknown;
};
struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;  // nothing if null or sensitive
  ConfigSource source = ConfigSource::unknown;
  bool read_only = false;
  bool sensitive = false;
  std::int8_t type = 0;       // ConfigType's number; 0 if not told
  std::string documentation;  // if asked for
  std::vector<ConfigSynonym> synonyms;
};
struct DescribeConfigs {
  std::vector<ConfigResource> resources;
  std::vector<std::string> names{};  // empty: all
  bool synonyms = false;
  bool documentation = false;
  AdminOptions options{};
  using Outcome = std::map<ConfigResource, Result<std::vector<ConfigEntry>>>;
};

enum class AlterConfigOp : std::int8_t { set = 0, remove = 1, append = 2, subtract = 3 };
struct AlterConfig {
  std::string name;
  AlterConfigOp op = AlterConfigOp::set;
  std::optional<std::string> value{};
};
struct AlterConfigs {  // incremental (KIP-339)
  std::map<ConfigResource, std::vector<AlterConfig>> changes;
  bool validate_only = false;
  AdminOptions options{};
  using Outcome = std::map<ConfigResource, Result<void>>;
};
struct ListConfigResources {             // KIP-1142
  std::set<ConfigResourceType> types{};  // empty: all
  AdminOptions options{};
  using Outcome = std::vector<ConfigResource>;
};

// ---- cluster ----

struct Node {
  std::int32_t id = -1;
  std::string host;
  std::int32_t port = -1;
  std::optional<std::string> rack;
  bool fenced = false;
};
struct ClusterDescription {
  std::string cluster_id;
  std::int32_t controller_id = -1;
  std::vector<Node> nodes;  // by id
  std::optional<std::int32_t> authorized_operations;
};
struct DescribeCluster {
  bool authorized_operations = false;
  bool fenced_brokers = false;
  AdminOptions options{};
  using Outcome = ClusterDescription;
};

struct ApiRange {
  std::int16_t key = 0;
  std::int16_t min_version = 0;
  std::int16_t max_version = 0;
};
struct FeatureRange {
  std::int16_t min_level = 0;
  std::int16_t max_level = 0;
};
struct BrokerApiVersions {
  Node node;
  std::vector<ApiRange> apis;  // by key
  std::map<std::string, FeatureRange> supported_features;
  std::map<std::string, std::int16_t> finalized_features;
  std::int64_t finalized_features_epoch = -1;
};
struct DescribeApiVersions {
  AdminOptions options{};
  using Outcome = std::map<std::int32_t, Result<BrokerApiVersions>>;  // by broker id
};

struct ReplicaInfo {
  TopicPartition partition;
  std::int64_t size_bytes = 0;
  std::int64_t offset_lag = 0;
  bool future = false;  // being moved to this directory
};
struct LogDirDescription {
  std::string path;
  std::optional<Error> error;
  std::int64_t total_bytes = -1;
  std::int64_t usable_bytes = -1;
  bool cordoned = false;
  std::vector<ReplicaInfo> replicas;
};
struct DescribeLogDirs {
  std::vector<std::int32_t> brokers{};                      // empty: all
  std::optional<std::vector<TopicPartition>> partitions{};  // nothing: all
  AdminOptions options{};
  using Outcome = std::map<std::int32_t, Result<std::vector<LogDirDescription>>>;
};

// Moves replicas between the data directories of their broker (KIP-113). It is done when the move has begun;
// DescribeLogDirs tells how far it is. Of a replica that is not there yet, the broker remembers where it is wanted and
// answers REPLICA_NOT_AVAILABLE.
struct AlterReplicaLogDirs {
  struct Replica {
    TopicPartition partition;
    std::int32_t broker = -1;
    friend auto operator<=>(const Replica&, const Replica&) = default;
  };
  std::map<Replica, std::string> targets;  // absolute paths, as in the broker's log.dirs
  AdminOptions options{};
  using Outcome = std::map<Replica, Result<void>>;
};

struct QuorumReplica {
  std::int32_t id = -1;
  Uuid directory_id;
  std::int64_t log_end_offset = -1;
  TimestampMs last_fetch_ms = -1;
  TimestampMs last_caught_up_ms = -1;
};
struct QuorumNode {
  std::int32_t id = -1;
  struct Listener {
    std::string name;
    std::string host;
    std::int32_t port = 0;
  };
  std::vector<Listener> listeners;
};
struct QuorumDescription {
  std::int32_t leader_id = -1;
  std::int32_t leader_epoch = -1;
  std::int64_t high_watermark = -1;
  std::vector<QuorumReplica> voters;
  std::vector<QuorumReplica> observers;
  std::vector<QuorumNode> nodes;
};
struct DescribeQuorum {
  AdminOptions options{};
  using Outcome = QuorumDescription;
};

// Changes of the quorum's voters, one at a time (KIP-853; kraft.version 1). Done once the change is committed.
struct AddRaftVoter {
  std::int32_t id = -1;
  Uuid directory_id;                              // of the controller's metadata log directory
  std::vector<QuorumNode::Listener> endpoints{};  // its controller listeners, the quorum's default one among them
  std::optional<std::string> cluster_id{};        // refused by another cluster than this
  AdminOptions options{};
  struct Done {};
  using Outcome = Done;
};
struct RemoveRaftVoter {
  std::int32_t id = -1;
  Uuid directory_id;
  std::optional<std::string> cluster_id{};
  AdminOptions options{};
  struct Done {};
  using Outcome = Done;
};

struct FeatureUpdate {
  std::int16_t max_level = 0;
  enum class Kind : std::int8_t { upgrade = 1, safe_downgrade = 2, unsafe_downgrade = 3 };
  Kind kind = Kind::upgrade;
};
struct UpdateFeatures {
  std::map<std::string, FeatureUpdate> updates;
  bool validate_only = false;
  AdminOptions options{};
  using Outcome = std::map<std::string, Result<void>>;
};

struct UnregisterBroker {
  std::int32_t broker_id = -1;
  AdminOptions options{};
  struct Done {};
  using Outcome = Done;
};

// ---- replicas ----

enum class ElectionType : std::int8_t { preferred = 0, unclean = 1 };
struct ElectLeaders {
  ElectionType type = ElectionType::preferred;
  std::optional<std::vector<TopicPartition>> partitions{};  // nothing: all
  AdminOptions options{};
  using Outcome = std::map<TopicPartition, Result<void>>;
};

struct Reassignment {
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> adding_replicas;
  std::vector<std::int32_t> removing_replicas;
};
struct ListReassignments {
  std::optional<std::vector<TopicPartition>> partitions{};  // nothing: all that are under way
  AdminOptions options{};
  using Outcome = std::map<TopicPartition, Reassignment>;
};
struct AlterReassignments {
  std::map<TopicPartition, std::optional<std::vector<std::int32_t>>> targets;  // nothing: cancel
  bool allow_replication_factor_change = true;  // else a target of another size is refused (KIP-860)
  AdminOptions options{};
  using Outcome = std::map<TopicPartition, Result<void>>;
};

// ---- producers and transactions ----

struct ProducerState {
  std::int64_t producer_id = -1;
  std::int32_t producer_epoch = -1;
  std::int32_t last_sequence = -1;
  TimestampMs last_timestamp = -1;
  std::int32_t coordinator_epoch = -1;
  std::int64_t current_transaction_start_offset = -1;
};
struct DescribeProducers {
  std::vector<TopicPartition> partitions;
  std::optional<std::int32_t> broker{};  // ask this replica instead of the leader
  AdminOptions options{};
  using Outcome = std::map<TopicPartition, Result<std::vector<ProducerState>>>;
};
struct TransactionListing {
  std::string transactional_id;
  std::int64_t producer_id = -1;
  std::string state;
  std::int32_t broker = -1;
};
struct ListTransactions {
  std::vector<std::string> states{};
  std::vector<std::int64_t> producer_ids{};
  Duration longer_than{-1};  // below zero: any
  std::optional<std::string> id_pattern{};
  AdminOptions options{};
  using Outcome = std::vector<TransactionListing>;
};

}  // namespace klamm
