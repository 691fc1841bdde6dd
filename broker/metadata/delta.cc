#include "broker/metadata/delta.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/metadata/record.h"

namespace klamm::metadata {
namespace {

// A record that names a larger partition does not come from Kafka or klamm.
constexpr std::int32_t kMostPartitions = 10'000'000;

tl::unexpected<Error> unfit(std::string what) { return fail(Errc::corrupt, std::move(what)); }

template <typename Endpoints>
std::vector<ListenerEndpoint> listeners_of(const Endpoints& end_points) {
  std::vector<ListenerEndpoint> listeners;
  for (const auto& endpoint : end_points) {
    listeners.push_back({endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
  }
  return listeners;
}

template <typename Features>
FeatureRanges features_of(const Features& features) {
  FeatureRanges ranges;
  for (const auto& feature : features) {
    ranges.insert_or_assign(feature.name, VersionRange{feature.min_supported_version, feature.max_supported_version});
  }
  return ranges;
}

QuotaEntity entity_of(const messages::ClientQuotaRecord& record) {
  QuotaEntity entity;
  for (const auto& part : record.entity) entity.insert_or_assign(part.entity_type, part.entity_name);
  return entity;
}

}  // namespace

MetadataDelta::MetadataDelta(ImageRef base) : base_(std::move(base)) {}

// ---- The record types, one function each.

struct MetadataDelta::Replayer {
  MetadataDelta& delta;

  Result<void> operator()(const messages::RegisterBrokerRecord& record) {
    BrokerRegistration broker;
    broker.id = record.broker_id;
    broker.epoch = record.broker_epoch;
    broker.incarnation_id = record.incarnation_id;
    broker.listeners = listeners_of(record.end_points);
    broker.features = features_of(record.features);
    broker.rack = record.rack;
    broker.fenced = record.fenced;
    broker.in_controlled_shutdown = record.in_controlled_shutdown;
    broker.is_migrating_zk_broker = record.is_migrating_zk_broker;
    broker.directories = record.log_dirs;
    std::sort(broker.directories.begin(), broker.directories.end());
    broker.cordoned_directories = record.cordoned_log_dirs;
    delta.changed_brokers_[record.broker_id] = std::make_shared<const BrokerRegistration>(std::move(broker));
    return {};
  }

  Result<void> operator()(const messages::UnregisterBrokerRecord& record) {
    Result<const BrokerRegistration*> broker = known_broker(record.broker_id, record.broker_epoch);
    KLAMM_TRY(broker);
    delta.changed_brokers_[record.broker_id] = std::nullopt;
    return {};
  }

  Result<void> operator()(const messages::BrokerRegistrationChangeRecord& record) {
    Result<const BrokerRegistration*> broker = known_broker(record.broker_id, record.broker_epoch);
    KLAMM_TRY(broker);
    BrokerRegistration changed = **broker;
    if (record.fenced != 0) changed.fenced = record.fenced > 0;
    if (record.in_controlled_shutdown > 0) changed.in_controlled_shutdown = true;
    if (!record.log_dirs.empty()) {
      changed.directories = record.log_dirs;
      std::sort(changed.directories.begin(), changed.directories.end());
    }
    if (record.cordoned_log_dirs) changed.cordoned_directories = record.cordoned_log_dirs;
    delta.changed_brokers_[record.broker_id] = std::make_shared<const BrokerRegistration>(std::move(changed));
    return {};
  }

  Result<void> operator()(const messages::FenceBrokerRecord& record) {
    return set_fenced(record.id, record.epoch, true);
  }
  Result<void> operator()(const messages::UnfenceBrokerRecord& record) {
    return set_fenced(record.id, record.epoch, false);
  }

  Result<void> operator()(const messages::RegisterControllerRecord& record) {
    ControllerRegistration controller;
    controller.id = record.controller_id;
    controller.incarnation_id = record.incarnation_id;
    controller.zk_migration_ready = record.zk_migration_ready;
    controller.listeners = listeners_of(record.end_points);
    controller.features = features_of(record.features);
    delta.changed_controllers_[record.controller_id] =
        std::make_shared<const ControllerRegistration>(std::move(controller));
    return {};
  }

  Result<void> operator()(const messages::TopicRecord& record) {
    if (delta.topic(record.topic_id) != nullptr && !delta.in_snapshot_) {
      return unfit(fmt::format("topic {} is created with the id {} of a topic that is there", record.name,
                               record.topic_id.text()));
    }
    TopicChange change;
    if (const auto gone = delta.deleted_topics_.find(record.topic_id); gone != delta.deleted_topics_.end()) {
      return unfit(fmt::format("topic id {} is used again after its topic was deleted", record.topic_id.text()));
    }
    change.before = delta.base_->topics.find_ref(record.topic_id);
    change.after = std::make_shared<TopicImage>();
    change.after->name = record.name;
    change.after->id = record.topic_id;
    delta.changed_topics_.insert_or_assign(record.topic_id, std::move(change));
    delta.topic_names_.insert_or_assign(record.name, record.topic_id);
    return {};
  }

  Result<void> operator()(const messages::PartitionRecord& record) {
    TopicChange* topic = delta.touch_topic(record.topic_id);
    if (topic == nullptr) return unfit(fmt::format("a partition of unknown topic {}", record.topic_id.text()));
    if (record.partition_id < 0 || record.partition_id >= kMostPartitions) {
      return unfit(fmt::format("partition {} of topic {}", record.partition_id, topic->after->name));
    }
    PartitionRegistration partition;
    partition.replicas = record.replicas;
    partition.directories = record.directories;
    partition.directories.resize(partition.replicas.size(), kMigratingDirectory);
    partition.isr = record.isr;
    partition.removing_replicas = record.removing_replicas;
    partition.adding_replicas = record.adding_replicas;
    if (record.eligible_leader_replicas) partition.elr = *record.eligible_leader_replicas;
    if (record.last_known_elr) partition.last_known_elr = *record.last_known_elr;
    partition.leader = record.leader;
    partition.recovery_state = static_cast<LeaderRecoveryState>(record.leader_recovery_state);
    partition.leader_epoch = record.leader_epoch;
    partition.partition_epoch = record.partition_epoch;
    auto& partitions = topic->after->partitions;
    const auto index = static_cast<std::size_t>(record.partition_id);
    if (index >= partitions.size()) partitions.resize(index + 1);
    partitions[index] = std::make_shared<const PartitionRegistration>(std::move(partition));
    topic->changed_partitions.insert(record.partition_id);
    return {};
  }

  Result<void> operator()(const messages::PartitionChangeRecord& record) {
    TopicChange* topic = delta.touch_topic(record.topic_id);
    if (topic == nullptr) return unfit(fmt::format("a partition change of unknown topic {}", record.topic_id.text()));
    const PartitionRegistration* before = topic->after->partition(record.partition_id);
    if (before == nullptr) {
      return unfit(fmt::format("a change of unknown partition {}-{}", topic->after->name, record.partition_id));
    }
    auto after = std::make_shared<PartitionRegistration>(*before);
    if (record.replicas) after->replicas = *record.replicas;
    if (record.directories) {
      after->directories = *record.directories;
    } else if (record.replicas) {
      // Each replica keeps its directory; new ones have none yet.
      after->directories.clear();
      for (const std::int32_t replica : after->replicas) after->directories.push_back(before->directory_of(replica));
    }
    after->directories.resize(after->replicas.size(), kMigratingDirectory);
    if (record.isr) after->isr = *record.isr;
    if (record.removing_replicas) after->removing_replicas = *record.removing_replicas;
    if (record.adding_replicas) after->adding_replicas = *record.adding_replicas;
    if (record.eligible_leader_replicas) after->elr = *record.eligible_leader_replicas;
    if (record.last_known_elr) after->last_known_elr = *record.last_known_elr;
    if (record.leader_recovery_state >= 0) {
      after->recovery_state = static_cast<LeaderRecoveryState>(record.leader_recovery_state);
    }
    constexpr std::int32_t kNoChange = -2;
    if (record.leader != kNoChange) {
      after->leader = record.leader;
      ++after->leader_epoch;
    }
    ++after->partition_epoch;
    topic->after->partitions[static_cast<std::size_t>(record.partition_id)] = std::move(after);
    topic->changed_partitions.insert(record.partition_id);
    return {};
  }

  Result<void> operator()(const messages::RemoveTopicRecord& record) {
    const TopicImage* topic = delta.topic(record.topic_id);
    if (topic == nullptr) return unfit(fmt::format("unknown topic {} is removed", record.topic_id.text()));
    delta.remove_topic_by_id(record.topic_id, std::string(topic->name));
    return {};
  }

  Result<void> operator()(const messages::ClearElrRecord& record) {
    if (!record.topic_name.empty()) {
      const std::optional<Uuid> id = id_of(record.topic_name);
      if (!id) return unfit(fmt::format("the ELR of unknown topic {} is cleared", record.topic_name));
      clear_elr(*id);
      return {};
    }
    std::vector<Uuid> ids;
    for (const auto& [id, topic] : delta.base_->topics.by_id()) {
      if (!delta.deleted_topics_.contains(id)) ids.push_back(id);
    }
    for (const auto& [id, change] : delta.changed_topics_) {
      if (change.created()) ids.push_back(id);
    }
    for (const Uuid& id : ids) clear_elr(id);
    return {};
  }

  Result<void> operator()(const messages::ConfigRecord& record) {
    ConfigResource resource{static_cast<ConfigResourceType>(record.resource_type), record.resource_name};
    ResourceConfig& config = delta.touch_config(resource);
    if (record.value) {
      config.insert_or_assign(record.name, *record.value);
    } else if (const auto found = config.find(record.name); found != config.end()) {
      config.erase(found);
    }
    return {};
  }

  Result<void> operator()(const messages::FeatureLevelRecord& record) {
    FeatureLevels& features = delta.touch_features();
    if (record.name == kMetadataVersionFeature && !MetadataVersion{record.feature_level}.known()) {
      return fail(Errc::unsupported,
                  fmt::format("metadata.version {} is not known to this build ({} to {})", record.feature_level,
                              MetadataVersion::kMinimum, MetadataVersion::kLatest));
    }
    if (record.feature_level == 0) {
      features.erase(record.name);
    } else {
      features.insert_or_assign(record.name, record.feature_level);
    }
    return {};
  }

  Result<void> operator()(const messages::ProducerIdsRecord& record) {
    delta.next_producer_id_ = record.next_producer_id;
    return {};
  }

  Result<void> operator()(const messages::ClientQuotaRecord& record) {
    const QuotaEntity entity = entity_of(record);
    auto found = delta.quotas_.find(entity);
    if (found == delta.quotas_.end()) {
      QuotaValues values;
      const auto* before = delta.in_snapshot_ ? nullptr : delta.base_->client_quotas.find(entity);
      if (before != nullptr) values = **before;
      found = delta.quotas_.emplace(entity, std::move(values)).first;
    }
    if (record.remove) {
      found->second.erase(record.key);
    } else {
      found->second.insert_or_assign(record.key, record.value);
    }
    return {};
  }

  Result<void> operator()(const messages::UserScramCredentialRecord& record) {
    delta.scram_[{record.name, record.mechanism}] =
        ScramCredential{record.salt, record.stored_key, record.server_key, record.iterations};
    return {};
  }
  Result<void> operator()(const messages::RemoveUserScramCredentialRecord& record) {
    delta.scram_[{record.name, record.mechanism}] = std::nullopt;
    return {};
  }

  Result<void> operator()(const messages::DelegationTokenRecord& record) {
    delta.tokens_[record.token_id] =
        DelegationToken{record.token_id,        record.owner,         record.requester,           record.renewers,
                        record.issue_timestamp, record.max_timestamp, record.expiration_timestamp};
    return {};
  }
  Result<void> operator()(const messages::RemoveDelegationTokenRecord& record) {
    delta.tokens_[record.token_id] = std::nullopt;
    return {};
  }

  Result<void> operator()(const messages::AccessControlEntryRecord& record) {
    delta.acls_[record.id] =
        AclEntry{record.resource_type, record.resource_name, record.pattern_type,   record.principal,
                 record.host,          record.operation,     record.permission_type};
    return {};
  }
  Result<void> operator()(const messages::RemoveAccessControlEntryRecord& record) {
    delta.acls_[record.id] = std::nullopt;
    return {};
  }

  Result<void> operator()(const messages::ZkMigrationStateRecord& record) {
    delta.zk_migration_state_ = record.zk_migration_state;
    return {};
  }

  Result<void> operator()(const messages::NoOpRecord&) { return {}; }
  // The borders of transactions are the loader's business.
  Result<void> operator()(const messages::BeginTransactionRecord&) { return {}; }
  Result<void> operator()(const messages::EndTransactionRecord&) { return {}; }
  Result<void> operator()(const messages::AbortTransactionRecord&) { return {}; }

 private:
  Result<const BrokerRegistration*> known_broker(std::int32_t id, std::int64_t epoch) {
    const BrokerRegistration* broker = delta.broker(id);
    if (broker == nullptr) return unfit(fmt::format("a record names broker {}, which is not registered", id));
    if (broker->epoch != epoch) {
      return unfit(fmt::format("a record names epoch {} of broker {}, which has epoch {}", epoch, id, broker->epoch));
    }
    return broker;
  }

  Result<void> set_fenced(std::int32_t id, std::int64_t epoch, bool fenced) {
    Result<const BrokerRegistration*> broker = known_broker(id, epoch);
    KLAMM_TRY(broker);
    BrokerRegistration changed = **broker;
    changed.fenced = fenced;
    delta.changed_brokers_[id] = std::make_shared<const BrokerRegistration>(std::move(changed));
    return {};
  }

  std::optional<Uuid> id_of(const std::string& name) const {
    const auto changed = delta.topic_names_.find(name);
    if (changed != delta.topic_names_.end()) return changed->second;
    const TopicImage* topic = delta.base_->topics.find(name);
    return topic == nullptr ? std::nullopt : std::optional(topic->id);
  }

  void clear_elr(const Uuid& id) {
    const TopicImage* topic = delta.topic(id);
    for (std::int32_t index = 0; index < topic->partition_count(); ++index) {
      const PartitionRegistration* partition = topic->partition(index);
      if (partition == nullptr || (partition->elr.empty() && partition->last_known_elr.empty())) continue;
      auto cleared = std::make_shared<PartitionRegistration>(*partition);
      cleared->elr.clear();
      cleared->last_known_elr.clear();
      TopicChange* change = delta.touch_topic(id);
      change->after->partitions[static_cast<std::size_t>(index)] = std::move(cleared);
      change->changed_partitions.insert(index);
      topic = change->after.get();
    }
  }
};

Result<void> MetadataDelta::replay(const Record& record) {
  Replayer replayer{*this};
  Result<void> done = std::visit(replayer, record.message);
  if (!done) return fail(std::move(done).error().in(name_of(record)));
  return done;
}

// ---- What a record touches is copied out of the base first; in a snapshot it starts empty.

TopicChange* MetadataDelta::touch_topic(const Uuid& id) {
  if (const auto found = changed_topics_.find(id); found != changed_topics_.end()) return &found->second;
  if (deleted_topics_.contains(id) || in_snapshot_) return nullptr;
  TopicRef before = base_->topics.find_ref(id);
  if (before == nullptr) return nullptr;
  TopicChange change;
  change.after = std::make_shared<TopicImage>(*before);
  change.before = std::move(before);
  return &changed_topics_.emplace(id, std::move(change)).first->second;
}

void MetadataDelta::remove_topic_by_id(const Uuid& id, const std::string& name) {
  changed_topics_.erase(id);
  if (TopicRef before = base_->topics.find_ref(id)) deleted_topics_.emplace(id, std::move(before));
  topic_names_.insert_or_assign(name, std::nullopt);
  // A topic's configs go with it.
  const ConfigResource resource{ConfigResourceType::topic, name};
  if (configs_.contains(resource) || base_->configs.resources.contains(resource)) touch_config(resource).clear();
}

ResourceConfig& MetadataDelta::touch_config(const ConfigResource& resource) {
  changed_config_resources_.insert(resource);
  const auto found = configs_.find(resource);
  if (found != configs_.end()) return found->second;
  return configs_.emplace(resource, in_snapshot_ ? ResourceConfig() : base_->configs.of(resource)).first->second;
}

FeatureLevels& MetadataDelta::touch_features() {
  if (!features_) features_ = in_snapshot_ ? FeatureLevels() : base_->features;
  return *features_;
}

const BrokerRegistration* MetadataDelta::broker(std::int32_t id) const {
  if (const auto found = changed_brokers_.find(id); found != changed_brokers_.end()) {
    return found->second ? found->second->get() : nullptr;
  }
  return base_->cluster.broker(id);
}

const TopicImage* MetadataDelta::topic(const Uuid& id) const {
  if (const auto found = changed_topics_.find(id); found != changed_topics_.end()) return found->second.after.get();
  if (deleted_topics_.contains(id)) return nullptr;
  return base_->topics.find(id);
}

// ---- Snapshots: what they do not mention is gone.

void MetadataDelta::begin_snapshot() {
  KLAMM_CHECK(empty(), "a snapshot begins in a delta of its own");
  in_snapshot_ = true;
}

void MetadataDelta::finish_snapshot() {
  KLAMM_CHECK(in_snapshot_);
  for (const auto& [id, topic] : base_->topics.by_id()) {
    const auto found = changed_topics_.find(id);
    if (found == changed_topics_.end()) {
      deleted_topics_.emplace(id, topic);
      const auto named = topic_names_.find(topic->name);
      if (named == topic_names_.end()) topic_names_.emplace(topic->name, std::nullopt);
      continue;
    }
    // Only partitions that differ count as changed.
    std::erase_if(found->second.changed_partitions, [&](std::int32_t index) {
      const PartitionRegistration* before = topic->partition(index);
      const PartitionRegistration* after = found->second.after->partition(index);
      return before != nullptr && after != nullptr && *before == *after;
    });
  }
  for (const auto& [resource, config] : base_->configs.resources) {
    if (!configs_.contains(resource)) touch_config(resource);
  }
  for (const auto& [id, broker] : base_->cluster.brokers) changed_brokers_.emplace(id, std::nullopt);
  for (const auto& [id, controller] : base_->cluster.controllers) changed_controllers_.emplace(id, std::nullopt);
  for (const auto& [entity, values] : base_->client_quotas) quotas_.emplace(entity, QuotaValues());
  for (const auto& [key, credential] : base_->scram) scram_.emplace(key, std::nullopt);
  for (const auto& [id, token] : base_->tokens) tokens_.emplace(id, std::nullopt);
  for (const auto& [id, acl] : base_->acls) acls_.emplace(id, std::nullopt);
  touch_features();
  if (!next_producer_id_) next_producer_id_ = -1;
  in_snapshot_ = false;
}

bool MetadataDelta::empty() const {
  return changed_topics_.empty() && deleted_topics_.empty() && topic_names_.empty() && configs_.empty() &&
         changed_brokers_.empty() && changed_controllers_.empty() && !features_ && !next_producer_id_ &&
         quotas_.empty() && scram_.empty() && tokens_.empty() && acls_.empty() && !zk_migration_state_;
}

ImageRef MetadataDelta::apply(Provenance provenance) const {
  auto image = std::make_shared<MetadataImage>(*base_);
  image->provenance = provenance;
  if (features_) image->features = *features_;
  image->cluster.brokers = base_->cluster.brokers.with(changed_brokers_);
  image->cluster.controllers = base_->cluster.controllers.with(changed_controllers_);

  PersistentMap<Uuid, TopicRef>::Changes by_id;
  PersistentMap<std::string, TopicRef>::Changes by_name;
  for (const auto& [id, topic] : deleted_topics_) {
    by_id[id] = std::nullopt;
    by_name[topic->name] = std::nullopt;
  }
  for (const auto& [id, change] : changed_topics_) {
    // A delta may be replayed further after apply(): its working copies are not handed out.
    TopicRef topic = std::make_shared<const TopicImage>(*change.after);
    by_id[id] = topic;
    by_name[change.after->name] = std::move(topic);
  }
  image->topics.by_id_ = base_->topics.by_id_.with(by_id);
  image->topics.by_name_ = base_->topics.by_name_.with(by_name);

  PersistentMap<ConfigResource, ResourceConfigRef>::Changes configs;
  for (const auto& [resource, config] : configs_) {
    if (config.empty()) {
      configs[resource] = std::nullopt;
    } else {
      configs[resource] = std::make_shared<const ResourceConfig>(config);
    }
  }
  image->configs.resources = base_->configs.resources.with(configs);

  if (next_producer_id_) image->next_producer_id = *next_producer_id_;
  PersistentMap<QuotaEntity, std::shared_ptr<const QuotaValues>>::Changes quotas;
  for (const auto& [entity, values] : quotas_) {
    if (values.empty()) {
      quotas[entity] = std::nullopt;
    } else {
      quotas[entity] = std::make_shared<const QuotaValues>(values);
    }
  }
  image->client_quotas = base_->client_quotas.with(quotas);
  image->scram = base_->scram.with(scram_);
  image->tokens = base_->tokens.with(tokens_);
  image->acls = base_->acls.with(acls_);
  if (zk_migration_state_) image->zk_migration_state = zk_migration_state_;
  return image;
}

}  // namespace klamm::metadata
