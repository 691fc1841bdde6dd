// MetadataDelta: records replayed on top of an image. It says what changed (for publishers) and makes the next image.
// Pure; belongs to the loader or the controller while records are replayed, immutable and shared once published.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "broker/metadata/image.h"

namespace klamm::metadata {

struct Record;

// A topic that was created, or of which partitions were added or changed.
struct TopicChange {
  TopicRef before;                            // null if the topic is new
  std::shared_ptr<TopicImage> after;          // as it is after the records so far
  std::set<std::int32_t> changed_partitions;  // indexes: new ones too
  bool created() const noexcept { return before == nullptr; }
};

class MetadataDelta {
 public:
  explicit MetadataDelta(ImageRef base);

  // Takes one record in. Fails for a record that does not fit what is known (an unknown topic or broker, ...): the log
  // is damaged or written by something newer; the caller must stop using the delta.
  Result<void> replay(const Record& record);

  // Replaying a snapshot: what the records between the two calls do not mention is gone.
  void begin_snapshot();
  void finish_snapshot();

  // The image after the records. May be called more than once.
  ImageRef apply(Provenance provenance) const;

  const ImageRef& base() const noexcept { return base_; }
  bool empty() const;

  // ---- What changed.
  // By topic id; a topic that was made and deleted again is not mentioned.
  const std::map<Uuid, TopicChange>& changed_topics() const noexcept { return changed_topics_; }
  // Topics of the base image that are gone.
  const std::map<Uuid, TopicRef>& deleted_topics() const noexcept { return deleted_topics_; }
  // Resources of which a key was set or removed (those of deleted topics too).
  const std::set<ConfigResource>& changed_configs() const noexcept { return changed_config_resources_; }
  bool config_changed(const ConfigResource& resource) const { return changed_config_resources_.contains(resource); }
  // Registered, changed or (null) unregistered.
  const PersistentMap<std::int32_t, BrokerRef>::Changes& changed_brokers() const noexcept { return changed_brokers_; }
  const PersistentMap<std::int32_t, ControllerRef>::Changes& changed_controllers() const noexcept {
    return changed_controllers_;
  }
  bool features_changed() const noexcept { return features_.has_value(); }
  bool acls_changed() const noexcept { return !acls_.empty(); }
  bool quotas_changed() const noexcept { return !quotas_.empty(); }
  bool scram_changed() const noexcept { return !scram_.empty(); }
  bool tokens_changed() const noexcept { return !tokens_.empty(); }

  // ---- The state after the records so far, without making an image.
  const BrokerRegistration* broker(std::int32_t id) const;
  const TopicImage* topic(const Uuid& id) const;

 private:
  struct Replayer;
  friend struct Replayer;

  TopicChange* touch_topic(const Uuid& id);
  ResourceConfig& touch_config(const ConfigResource& resource);
  void remove_topic_by_id(const Uuid& id, const std::string& name);
  FeatureLevels& touch_features();

  ImageRef base_;
  bool in_snapshot_ = false;

  std::map<Uuid, TopicChange> changed_topics_;
  std::map<Uuid, TopicRef> deleted_topics_;
  std::map<std::string, std::optional<Uuid>, std::less<>> topic_names_;  // names given or freed
  std::map<ConfigResource, ResourceConfig> configs_;                     // whole resources, as they are now
  std::set<ConfigResource> changed_config_resources_;
  PersistentMap<std::int32_t, BrokerRef>::Changes changed_brokers_;
  PersistentMap<std::int32_t, ControllerRef>::Changes changed_controllers_;
  std::optional<FeatureLevels> features_;
  std::optional<std::int64_t> next_producer_id_;
  std::map<QuotaEntity, QuotaValues> quotas_;
  PersistentMap<ScramKey, ScramCredential>::Changes scram_;
  PersistentMap<std::string, DelegationToken>::Changes tokens_;
  PersistentMap<Uuid, AclEntry>::Changes acls_;
  std::optional<std::int8_t> zk_migration_state_;
};

}  // namespace klamm::metadata
