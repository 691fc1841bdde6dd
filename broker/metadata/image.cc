#include "broker/metadata/image.h"

#include <algorithm>

namespace klamm::metadata {
namespace {

template <typename T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// Maps of references are equal if what they refer to is.
template <typename Key, typename Value>
bool same_entries(const PersistentMap<Key, std::shared_ptr<const Value>>& left,
                  const PersistentMap<Key, std::shared_ptr<const Value>>& right) {
  if (left.shares_all_with(right)) return true;
  return left.size() == right.size() &&
         std::equal(left.begin(), left.end(), right.begin(), [](const auto& one, const auto& other) {
           return one.first == other.first && (one.second == other.second || *one.second == *other.second);
         });
}

}  // namespace

bool PartitionRegistration::has_replica(std::int32_t broker) const { return contains(replicas, broker); }
bool PartitionRegistration::in_isr(std::int32_t broker) const { return contains(isr, broker); }

Uuid PartitionRegistration::directory_of(std::int32_t broker) const {
  for (std::size_t index = 0; index < replicas.size() && index < directories.size(); ++index) {
    if (replicas[index] == broker) return directories[index];
  }
  return kMigratingDirectory;
}

bool operator==(const TopicImage& left, const TopicImage& right) {
  return left.name == right.name && left.id == right.id &&
         std::equal(left.partitions.begin(), left.partitions.end(), right.partitions.begin(), right.partitions.end(),
                    [](const PartitionRef& one, const PartitionRef& other) {
                      return one == other || (one && other && *one == *other);
                    });
}

const TopicImage* TopicsImage::find(std::string_view name) const {
  const TopicRef* found = by_name_.find(name);
  return found == nullptr ? nullptr : found->get();
}
const TopicImage* TopicsImage::find(const Uuid& id) const {
  const TopicRef* found = by_id_.find(id);
  return found == nullptr ? nullptr : found->get();
}
TopicRef TopicsImage::find_ref(std::string_view name) const {
  const TopicRef* found = by_name_.find(name);
  return found == nullptr ? nullptr : *found;
}
TopicRef TopicsImage::find_ref(const Uuid& id) const {
  const TopicRef* found = by_id_.find(id);
  return found == nullptr ? nullptr : *found;
}
const PartitionRegistration* TopicsImage::partition(const Uuid& id, std::int32_t index) const {
  const TopicImage* topic = find(id);
  return topic == nullptr ? nullptr : topic->partition(index);
}
const PartitionRegistration* TopicsImage::partition(std::string_view name, std::int32_t index) const {
  const TopicImage* topic = find(name);
  return topic == nullptr ? nullptr : topic->partition(index);
}
bool operator==(const TopicsImage& left, const TopicsImage& right) { return same_entries(left.by_id_, right.by_id_); }

const ListenerEndpoint* BrokerRegistration::listener(std::string_view listener_name) const {
  for (const ListenerEndpoint& endpoint : listeners) {
    if (endpoint.name == listener_name) return &endpoint;
  }
  return nullptr;
}

bool BrokerRegistration::has_online_directory(const Uuid& directory) const {
  if (directory == kLostDirectory) return false;
  return directories.empty() || directory == kUnassignedDirectory || directory == kMigratingDirectory ||
         contains(directories, directory);
}

bool BrokerRegistration::all_directories_cordoned() const {
  if (!cordoned_directories || directories.empty()) return false;
  return std::all_of(directories.begin(), directories.end(),
                     [this](const Uuid& directory) { return contains(*cordoned_directories, directory); });
}

const BrokerRegistration* ClusterImage::broker(std::int32_t id) const {
  const BrokerRef* found = brokers.find(id);
  return found == nullptr ? nullptr : found->get();
}
bool operator==(const ClusterImage& left, const ClusterImage& right) {
  return same_entries(left.brokers, right.brokers) && same_entries(left.controllers, right.controllers);
}

const ResourceConfig& ConfigsImage::of(const ConfigResource& resource) const {
  static const ResourceConfig kNothing;
  const ResourceConfigRef* found = resources.find(resource);
  return found == nullptr ? kNothing : **found;
}
bool operator==(const ConfigsImage& left, const ConfigsImage& right) {
  return same_entries(left.resources, right.resources);
}

std::optional<MetadataVersion> MetadataImage::metadata_version() const {
  const auto found = features.find(kMetadataVersionFeature);
  if (found == features.end()) return std::nullopt;
  return MetadataVersion{found->second};
}

std::int16_t MetadataImage::feature(std::string_view name) const {
  const auto found = features.find(name);
  return found == features.end() ? std::int16_t{0} : found->second;
}

std::shared_ptr<const MetadataImage> MetadataImage::none() {
  static const std::shared_ptr<const MetadataImage> kNone = std::make_shared<const MetadataImage>();
  return kNone;
}

bool same_content(const MetadataImage& left, const MetadataImage& right) {
  return left.features == right.features && left.cluster == right.cluster && left.topics == right.topics &&
         left.configs == right.configs && left.next_producer_id == right.next_producer_id &&
         same_entries(left.client_quotas, right.client_quotas) && left.scram == right.scram &&
         left.tokens == right.tokens && left.acls == right.acls && left.zk_migration_state == right.zk_migration_state;
}

}  // namespace klamm::metadata
