// MetadataImage: all that the cluster knows at one offset of the metadata log, immutable. A new image shares with the
// one before all that did not change. Shards hold `std::shared_ptr<const MetadataImage>` and may read it freely; nobody
// changes an image, MetadataDelta (delta.h) makes the next one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "base/uuid.h"
#include "broker/metadata/features.h"
#include "broker/metadata/persistent_map.h"

namespace klamm::metadata {

constexpr std::int32_t kNoLeader = -1;
constexpr std::int32_t kNoBroker = -1;
// Directory ids with a meaning of their own.
constexpr Uuid kMigratingDirectory{0, 0};
constexpr Uuid kUnassignedDirectory{0, 1};
constexpr Uuid kLostDirectory{0, 2};
// The id of __cluster_metadata.
constexpr Uuid kMetadataTopicId{0, 1};
constexpr std::string_view kMetadataTopicName = "__cluster_metadata";

enum class LeaderRecoveryState : std::int8_t { recovered = 0, recovering = 1 };

// One partition, as the log knows it.
struct PartitionRegistration {
  std::vector<std::int32_t> replicas;  // in order of preference
  std::vector<Uuid> directories;       // parallel to replicas
  std::vector<std::int32_t> isr;
  std::vector<std::int32_t> removing_replicas;
  std::vector<std::int32_t> adding_replicas;
  std::vector<std::int32_t> elr;  // eligible leader replicas (KIP-966)
  std::vector<std::int32_t> last_known_elr;
  std::int32_t leader = kNoLeader;
  LeaderRecoveryState recovery_state = LeaderRecoveryState::recovered;
  std::int32_t leader_epoch = 0;
  std::int32_t partition_epoch = 0;

  bool has_leader() const noexcept { return leader != kNoLeader; }
  bool has_replica(std::int32_t broker) const;
  bool in_isr(std::int32_t broker) const;
  bool is_reassigning() const noexcept { return !removing_replicas.empty() || !adding_replicas.empty(); }
  std::int32_t preferred_replica() const noexcept { return replicas.empty() ? kNoBroker : replicas.front(); }
  // The directory of the broker's replica; kMigratingDirectory if it has none here.
  Uuid directory_of(std::int32_t broker) const;
  friend bool operator==(const PartitionRegistration&, const PartitionRegistration&) = default;
};
using PartitionRef = std::shared_ptr<const PartitionRegistration>;

struct TopicImage {
  std::string name;
  Uuid id;
  std::vector<PartitionRef> partitions;  // by index; null in a gap (a log that another writer left so)

  std::int32_t partition_count() const noexcept { return static_cast<std::int32_t>(partitions.size()); }
  // Null if there is no such partition.
  const PartitionRegistration* partition(std::int32_t index) const noexcept {
    if (index < 0 || index >= partition_count()) return nullptr;
    return partitions[static_cast<std::size_t>(index)].get();
  }
  friend bool operator==(const TopicImage& left, const TopicImage& right);
};
using TopicRef = std::shared_ptr<const TopicImage>;

class TopicsImage {
 public:
  const PersistentMap<std::string, TopicRef>& by_name() const noexcept { return by_name_; }
  const PersistentMap<Uuid, TopicRef>& by_id() const noexcept { return by_id_; }
  // Null if absent.
  const TopicImage* find(std::string_view name) const;
  const TopicImage* find(const Uuid& id) const;
  TopicRef find_ref(std::string_view name) const;
  TopicRef find_ref(const Uuid& id) const;
  const PartitionRegistration* partition(const Uuid& id, std::int32_t index) const;
  const PartitionRegistration* partition(std::string_view name, std::int32_t index) const;
  std::size_t size() const noexcept { return by_name_.size(); }
  friend bool operator==(const TopicsImage& left, const TopicsImage& right);

 private:
  friend class MetadataDelta;
  PersistentMap<std::string, TopicRef> by_name_;
  PersistentMap<Uuid, TopicRef> by_id_;
};

// The numbers of the protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
struct ListenerEndpoint {
  std::string name;
  std::string host;
  std::uint16_t port = 0;
  std::int16_t security_protocol = 0;
  friend bool operator==(const ListenerEndpoint&, const ListenerEndpoint&) = default;
};

struct BrokerRegistration {
  std::int32_t id = kNoBroker;
  std::int64_t epoch = -1;  // offset of the RegisterBroker record
  Uuid incarnation_id;
  std::vector<ListenerEndpoint> listeners;
  FeatureRanges features;
  std::optional<std::string> rack;
  bool fenced = true;
  bool in_controlled_shutdown = false;
  bool is_migrating_zk_broker = false;
  std::vector<Uuid> directories;  // online log directories, sorted; empty if unknown
  std::optional<std::vector<Uuid>> cordoned_directories;

  // Alive for leadership and ISR.
  bool active() const noexcept { return !fenced && !in_controlled_shutdown; }
  const ListenerEndpoint* listener(std::string_view listener_name) const;
  // True if a replica in this directory can be served: the directory is online, or not chosen yet.
  bool has_online_directory(const Uuid& directory) const;
  // True if it has directories and all of them are cordoned.
  bool all_directories_cordoned() const;
  friend bool operator==(const BrokerRegistration&, const BrokerRegistration&) = default;
};
using BrokerRef = std::shared_ptr<const BrokerRegistration>;

struct ControllerRegistration {
  std::int32_t id = kNoBroker;
  Uuid incarnation_id;
  bool zk_migration_ready = false;
  std::vector<ListenerEndpoint> listeners;
  FeatureRanges features;
  friend bool operator==(const ControllerRegistration&, const ControllerRegistration&) = default;
};
using ControllerRef = std::shared_ptr<const ControllerRegistration>;

struct ClusterImage {
  PersistentMap<std::int32_t, BrokerRef> brokers;
  PersistentMap<std::int32_t, ControllerRef> controllers;

  const BrokerRegistration* broker(std::int32_t id) const;  // null if not registered
  friend bool operator==(const ClusterImage& left, const ClusterImage& right);
};

// The numbers of ConfigRecord and of the config requests.
enum class ConfigResourceType : std::int8_t {
  unknown = 0,
  topic = 2,
  broker = 4,
  broker_logger = 8,
  client_metrics = 16,
  group = 32,
};
struct ConfigResource {
  ConfigResourceType type = ConfigResourceType::unknown;
  std::string name;  // "" with type broker: the default of the whole cluster
  friend auto operator<=>(const ConfigResource&, const ConfigResource&) = default;
};
// What is set on one resource. Never empty in an image.
using ResourceConfig = std::map<std::string, std::string, std::less<>>;
using ResourceConfigRef = std::shared_ptr<const ResourceConfig>;

struct ConfigsImage {
  PersistentMap<ConfigResource, ResourceConfigRef> resources;

  // What is set on the resource; an empty map if nothing.
  const ResourceConfig& of(const ConfigResource& resource) const;
  const ResourceConfig& of_topic(std::string name) const { return of({ConfigResourceType::topic, std::move(name)}); }
  const ResourceConfig& of_broker(std::int32_t id) const {
    return of({ConfigResourceType::broker, std::to_string(id)});
  }
  const ResourceConfig& cluster_default() const { return of({ConfigResourceType::broker, {}}); }
  friend bool operator==(const ConfigsImage& left, const ConfigsImage& right);
};

// An entity of quotas: type ("user", "client-id", "ip") to name, no name meaning the type's default.
using QuotaEntity = std::map<std::string, std::optional<std::string>>;
using QuotaValues = std::map<std::string, double>;  // never empty in an image

struct ScramKey {
  std::string user;
  std::int8_t mechanism = 0;  // 1 SCRAM-SHA-256, 2 SCRAM-SHA-512
  friend auto operator<=>(const ScramKey&, const ScramKey&) = default;
};
struct ScramCredential {
  Slice salt;
  Slice stored_key;
  Slice server_key;
  std::int32_t iterations = 0;
  friend bool operator==(const ScramCredential&, const ScramCredential&) = default;
};

struct DelegationToken {
  std::string token_id;
  std::string owner;
  std::string requester;
  std::vector<std::string> renewers;
  TimestampMs issue_ms = 0;
  TimestampMs max_ms = 0;
  TimestampMs expiry_ms = 0;
  friend bool operator==(const DelegationToken&, const DelegationToken&) = default;
};

struct AclEntry {
  std::int8_t resource_type = 0;
  std::string resource_name;
  std::int8_t pattern_type = 0;
  std::string principal;
  std::string host;
  std::int8_t operation = 0;
  std::int8_t permission_type = 0;
  friend auto operator<=>(const AclEntry&, const AclEntry&) = default;
};

// Up to where an image has come.
struct Provenance {
  std::int64_t last_offset = -1;  // of the last record taken in; -1 before the first
  std::int32_t last_epoch = -1;
  TimestampMs last_timestamp_ms = -1;  // append time of that record's batch
  std::int16_t kraft_version = 0;      // the quorum's, which control records say and not the metadata
  friend bool operator==(const Provenance&, const Provenance&) = default;
};

struct MetadataImage {
  Provenance provenance;
  FeatureLevels features;  // finalized, metadata.version among them; never level 0
  ClusterImage cluster;
  TopicsImage topics;
  ConfigsImage configs;
  std::int64_t next_producer_id = -1;  // first id of the next block; -1: none was ever given out
  PersistentMap<QuotaEntity, std::shared_ptr<const QuotaValues>> client_quotas;
  PersistentMap<ScramKey, ScramCredential> scram;
  PersistentMap<std::string, DelegationToken> tokens;
  PersistentMap<Uuid, AclEntry> acls;
  std::optional<std::int8_t> zk_migration_state;  // only where a record said so (clusters born under 3.9 or older)

  // Nothing before the bootstrap records.
  std::optional<MetadataVersion> metadata_version() const;
  std::int16_t feature(std::string_view name) const;  // 0 if not finalized
  // eligible.leader.replicas.version is on.
  bool elr_enabled() const { return feature(kElrVersionFeature) >= 1; }
  bool empty() const noexcept { return provenance.last_offset < 0; }

  // The image of an empty log.
  static std::shared_ptr<const MetadataImage> none();
};
using ImageRef = std::shared_ptr<const MetadataImage>;

// True if both hold the same, provenance left out.
bool same_content(const MetadataImage& left, const MetadataImage& right);

}  // namespace klamm::metadata
