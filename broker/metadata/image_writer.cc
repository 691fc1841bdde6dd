#include "broker/metadata/image_writer.h"

#include "base/check.h"

namespace klamm::metadata {
namespace {

constexpr std::size_t kStepRecords = 1000;

template <typename Message>
void fill_endpoints(const std::vector<ListenerEndpoint>& listeners, Message& message) {
  for (const ListenerEndpoint& listener : listeners) {
    auto& endpoint = message.end_points.emplace_back();
    endpoint.name = listener.name;
    endpoint.host = listener.host;
    endpoint.port = listener.port;
    endpoint.security_protocol = listener.security_protocol;
  }
}

template <typename Message>
void fill_features(const FeatureRanges& ranges, Message& message) {
  for (const auto& [name, range] : ranges) {
    auto& feature = message.features.emplace_back();
    feature.name = name;
    feature.min_supported_version = range.min;
    feature.max_supported_version = range.max;
  }
}

void write_quotas(const MetadataImage& image, Records& records) {
  for (const auto& [entity, values] : image.client_quotas) {
    for (const auto& [key, value] : *values) {
      messages::ClientQuotaRecord message;
      for (const auto& [type, name] : entity) {
        auto& part = message.entity.emplace_back();
        part.entity_type = type;
        part.entity_name = name;
      }
      message.key = key;
      message.value = value;
      records.push_back({std::move(message), 0});
    }
  }
}

void write_acls(const MetadataImage& image, Records& records) {
  for (const auto& [id, acl] : image.acls) {
    messages::AccessControlEntryRecord message;
    message.id = id;
    message.resource_type = acl.resource_type;
    message.resource_name = acl.resource_name;
    message.pattern_type = acl.pattern_type;
    message.principal = acl.principal;
    message.host = acl.host;
    message.operation = acl.operation;
    message.permission_type = acl.permission_type;
    records.push_back({std::move(message), 0});
  }
}

void write_scram(const MetadataImage& image, Records& records) {
  for (const auto& [key, credential] : image.scram) {
    messages::UserScramCredentialRecord message;
    message.name = key.user;
    message.mechanism = key.mechanism;
    message.salt = credential.salt;
    message.stored_key = credential.stored_key;
    message.server_key = credential.server_key;
    message.iterations = credential.iterations;
    records.push_back({std::move(message), 0});
  }
}

void write_tokens(const MetadataImage& image, Records& records) {
  for (const auto& [id, token] : image.tokens) {
    messages::DelegationTokenRecord message;
    message.owner = token.owner;
    message.requester = token.requester;
    message.renewers = token.renewers;
    message.issue_timestamp = token.issue_ms;
    message.max_timestamp = token.max_ms;
    message.expiration_timestamp = token.expiry_ms;
    message.token_id = id;
    records.push_back({std::move(message), 0});
  }
}

void write_features(const MetadataImage& image, Records& records) {
  if (const auto version = image.metadata_version())
    records.push_back(feature_record(kMetadataVersionFeature, version->level));
  for (const auto& [name, level] : image.features) {
    if (name != kMetadataVersionFeature) records.push_back(feature_record(name, level));
  }
}

void write_configs(const MetadataImage& image, Records& records) {
  for (const auto& [resource, config] : image.configs.resources) {
    for (const auto& [name, value] : *config) records.push_back(config_record(resource, name, value));
  }
}

void write_producer_ids(const MetadataImage& image, Records& records) {
  if (image.next_producer_id < 0) return;
  messages::ProducerIdsRecord message;
  message.broker_id = kNoBroker;
  message.broker_epoch = -1;
  message.next_producer_id = image.next_producer_id;
  records.push_back({std::move(message), 0});
}

}  // namespace

Record feature_record(std::string_view name, std::int16_t level) {
  messages::FeatureLevelRecord message;
  message.name = name;
  message.feature_level = level;
  return {std::move(message), 0};
}

Record config_record(const ConfigResource& resource, std::string_view name, std::optional<std::string> value) {
  messages::ConfigRecord message;
  message.resource_type = static_cast<std::int8_t>(resource.type);
  message.resource_name = resource.name;
  message.name = name;
  message.value = std::move(value);
  return {std::move(message), 0};
}

Record broker_record(const BrokerRegistration& broker, MetadataVersion version) {
  messages::RegisterBrokerRecord message;
  message.broker_id = broker.id;
  message.incarnation_id = broker.incarnation_id;
  message.broker_epoch = broker.epoch;
  fill_endpoints(broker.listeners, message);
  fill_features(broker.features, message);
  message.rack = broker.rack;
  message.fenced = broker.fenced;
  const std::int16_t record_version = version.register_broker_record_version();
  if (record_version >= 1) message.in_controlled_shutdown = broker.in_controlled_shutdown;
  if (record_version >= 2) message.is_migrating_zk_broker = broker.is_migrating_zk_broker;
  if (record_version >= 3) message.log_dirs = broker.directories;
  if (record_version >= 4) message.cordoned_log_dirs = broker.cordoned_directories;
  return {std::move(message), record_version};
}

Record controller_record(const ControllerRegistration& controller) {
  messages::RegisterControllerRecord message;
  message.controller_id = controller.id;
  message.incarnation_id = controller.incarnation_id;
  message.zk_migration_ready = controller.zk_migration_ready;
  fill_endpoints(controller.listeners, message);
  fill_features(controller.features, message);
  return {std::move(message), 0};
}

Record partition_record(const Uuid& topic, std::int32_t index, const PartitionRegistration& partition,
                        MetadataVersion version) {
  messages::PartitionRecord message;
  const std::int16_t record_version = version.partition_record_version();
  message.partition_id = index;
  message.topic_id = topic;
  message.replicas = partition.replicas;
  message.isr = partition.isr;
  message.removing_replicas = partition.removing_replicas;
  message.adding_replicas = partition.adding_replicas;
  message.leader = partition.leader;
  message.leader_recovery_state = static_cast<std::int8_t>(partition.recovery_state);
  message.leader_epoch = partition.leader_epoch;
  message.partition_epoch = partition.partition_epoch;
  if (record_version >= 1) message.directories = partition.directories;
  if (record_version >= 2) {
    // Left out when empty.
    if (!partition.elr.empty()) message.eligible_leader_replicas = partition.elr;
    if (!partition.last_known_elr.empty()) message.last_known_elr = partition.last_known_elr;
  }
  return {std::move(message), record_version};
}

ImageWriter::ImageWriter(ImageRef image)
    : image_(std::move(image)),
      version_(image_->metadata_version().value_or(MetadataVersion{MetadataVersion::kMinimum})),
      topic_(image_->topics.by_id().begin()) {}

bool ImageWriter::next(Records& records) {
  const std::size_t before = records.size();
  while (part_ != Part::done && records.size() - before < kStepRecords) write_part(records);
  return records.size() > before;
}

void ImageWriter::write_part(Records& records) {
  const MetadataImage& image = *image_;
  switch (part_) {
    case Part::features: write_features(image, records); break;
    case Part::brokers:
      for (const auto& [id, broker] : image.cluster.brokers) records.push_back(broker_record(*broker, version_));
      break;
    case Part::controllers:
      if (!version_.controller_registration()) break;
      for (const auto& [id, controller] : image.cluster.controllers) records.push_back(controller_record(*controller));
      break;
    case Part::topics:
      write_topics(records);
      if (topic_ != image.topics.by_id().end()) return;
      break;
    case Part::configs: write_configs(image, records); break;
    case Part::quotas: write_quotas(image, records); break;
    case Part::producer_ids: write_producer_ids(image, records); break;
    case Part::acls: write_acls(image, records); break;
    case Part::scram:
      if (version_.scram()) write_scram(image, records);
      break;
    case Part::tokens:
      if (version_.delegation_tokens()) write_tokens(image, records);
      break;
    case Part::done: return;
  }
  part_ = static_cast<Part>(static_cast<int>(part_) + 1);
}

void ImageWriter::write_topics(Records& records) {
  std::size_t written = 0;
  while (topic_ != image_->topics.by_id().end() && written < kStepRecords) {
    const TopicImage& topic = *topic_->second;
    ++written;
    if (partition_ < 0) {
      messages::TopicRecord message;
      message.name = topic.name;
      message.topic_id = topic.id;
      records.push_back({std::move(message), 0});
    } else if (const PartitionRegistration* partition = topic.partition(partition_)) {
      records.push_back(partition_record(topic.id, partition_, *partition, version_));
    }
    if (++partition_ >= topic.partition_count()) {
      ++topic_;
      partition_ = -1;
    }
  }
}

Records write_image(const ImageRef& image) {
  Records records;
  ImageWriter writer(image);
  while (writer.next(records)) {
  }
  return records;
}

std::shared_ptr<const MetadataDelta> full_delta(const ImageRef& image) {
  auto delta = std::make_shared<MetadataDelta>(MetadataImage::none());
  for (const Record& record : write_image(image)) {
    Result<void> replayed = delta->replay(record);
    KLAMM_CHECK(replayed.has_value(), "an image cannot be made of its own records");
  }
  return delta;
}

}  // namespace klamm::metadata
