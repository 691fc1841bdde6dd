#include "broker/controller/features.h"

#include <map>

#include "broker/metadata/image_writer.h"

namespace klamm::controller {
namespace {

using metadata::FeatureLevels;
using metadata::VersionRange;

enum class UpgradeType : std::int8_t { unknown = 0, upgrade = 1, safe_downgrade = 2, unsafe_downgrade = 3 };

// What this controller lets an operator finalize: less than what it can replay, for features that klamm does not serve.
std::optional<VersionRange> served_range(std::string_view name) {
  if (name == metadata::kShareVersionFeature || name == metadata::kStreamsVersionFeature) return VersionRange{0, 0};
  const auto found = metadata::supported_features().find(name);
  if (found == metadata::supported_features().end()) return std::nullopt;
  return found->second;
}

Fault refused(const std::string& feature, std::int16_t level, std::string_view why) {
  return {ErrorCode::invalid_update_version,
          fmt::format("Invalid update version {} for feature {}. {}", level, feature, why)};
}

std::optional<std::string> unsupported_by(std::string_view who, std::int32_t id, const VersionRange* range,
                                          std::int16_t level) {
  if (range == nullptr) {
    if (level == 0) return std::nullopt;
    return fmt::format("{} {} does not support this feature.", who, id);
  }
  if (range->contains(level)) return std::nullopt;
  return fmt::format("{} {} only supports versions {}-{}", who, id, range->min, range->max);
}

const VersionRange* find_range(const metadata::FeatureRanges& ranges, const std::string& name) {
  const auto found = ranges.find(name);
  return found == ranges.end() ? nullptr : &found->second;
}

// Whether every node of the cluster can work with the level.
std::optional<std::string> quorum_objection(const Compute& compute, const std::string& feature, std::int16_t level) {
  const std::optional<VersionRange> local = served_range(feature);
  if (auto why = unsupported_by("Local controller", compute.settings.node_id, local ? &*local : nullptr, level))
    return why;
  for (const auto& [id, controller] : compute.image.cluster.controllers) {
    if (id == compute.settings.node_id) continue;
    if (auto why = unsupported_by("Controller", id, find_range(controller->features, feature), level)) return why;
  }
  for (const auto& [id, broker] : compute.image.cluster.brokers) {
    if (auto why = unsupported_by("Broker", id, find_range(broker->features, feature), level)) return why;
  }
  return std::nullopt;
}

Fault check_metadata_version(const Compute& compute, std::int16_t level, UpgradeType type) {
  const MetadataVersion current = compute.version();
  const MetadataVersion wanted{level};
  if (wanted.level < current.level && current.metadata_changed_since(wanted)) {
    return refused(std::string(metadata::kMetadataVersionFeature), level,
                   type == UpgradeType::unsafe_downgrade
                       ? "Unsafe metadata downgrade is not supported in this version."
                       : "Refusing to perform the requested downgrade because it might delete metadata information.");
  }
  return {};
}

Fault check_dependencies(const std::string& feature, std::int16_t level, const FeatureLevels& proposed) {
  const auto found = proposed.find(metadata::kMetadataVersionFeature);
  const std::int16_t version = found == proposed.end() ? std::int16_t{0} : found->second;
  const auto elr = proposed.find(metadata::kElrVersionFeature);
  constexpr std::int16_t kElrNeeds = 23;
  if (elr != proposed.end() && elr->second >= 1 && version < kElrNeeds &&
      (feature == metadata::kElrVersionFeature || feature == metadata::kMetadataVersionFeature)) {
    return refused(feature, level,
                   fmt::format("eligible.leader.replicas.version=1 depends on metadata.version={}", kElrNeeds));
  }
  return {};
}

// kraft.version is the quorum's, and no metadata record says it.
std::int16_t current_level(const Compute& compute, const std::string& feature) {
  return feature == metadata::kKRaftVersionFeature ? compute.image.provenance.kraft_version
                                                   : compute.image.feature(feature);
}

Fault check_update(const Compute& compute, const std::string& feature, std::int16_t level, UpgradeType type) {
  const std::int16_t current = current_level(compute, feature);
  if (level < 0) return refused(feature, level, "A feature version cannot be less than 0.");
  if (!served_range(feature)) {
    return refused(feature, level,
                   fmt::format("Local controller {} does not support this feature.", compute.settings.node_id));
  }
  if (type == UpgradeType::unknown || static_cast<std::int8_t>(type) > 3 || static_cast<std::int8_t>(type) < 0) {
    return refused(feature, level, "The controller does not support the given upgrade type.");
  }
  if (type == UpgradeType::upgrade && level < current) {
    return refused(feature, level,
                   "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
                   "unsafe downgrade.");
  }
  if (type != UpgradeType::upgrade && level > current)
    return refused(feature, level, "Can't downgrade to a newer version.");
  if (auto why = quorum_objection(compute, feature, level)) return refused(feature, level, *why);
  if (feature == metadata::kMetadataVersionFeature) return check_metadata_version(compute, level, type);
  if (feature == metadata::kKRaftVersionFeature && level != current) {
    return refused(feature, level, "Changing kraft.version of a running quorum is not served yet.");
  }
  return {};
}

// With ELR every cluster has a min.insync.replicas of its own, which elections go by.
void pin_min_insync_replicas(const config::BrokerConfig* file, Records& records) {
  constexpr std::string_view kKey = "min.insync.replicas";
  const std::int32_t value = file == nullptr ? 1 : file->values().get_int(kKey);
  records.push_back(metadata::config_record({ConfigResourceType::broker, {}}, kKey, std::to_string(value)));
}

}  // namespace

Decision<protocol::UpdateFeaturesResponse> update_features(const Compute& compute,
                                                           const protocol::UpdateFeaturesRequest& request,
                                                           std::int16_t api_version) {
  Decision<protocol::UpdateFeaturesResponse> decision;
  FeatureLevels proposed = compute.image.features;
  std::vector<std::pair<std::string, Fault>> results;
  Fault first;
  std::map<std::string_view, decltype(request.feature_updates.data())> last;
  for (const auto& update : request.feature_updates) last[update.feature] = &update;
  for (const auto& update : request.feature_updates) {
    if (last[update.feature] != &update) continue;  // of several for one feature the last counts
    UpgradeType type = static_cast<UpgradeType>(update.upgrade_type);
    if (api_version == 0) type = update.allow_downgrade ? UpgradeType::safe_downgrade : UpgradeType::upgrade;
    const std::int16_t level = update.max_version_level;
    Fault fault = check_update(compute, update.feature, level, type);
    if (!fault && update.feature != metadata::kKRaftVersionFeature) {
      if (level == 0) {
        proposed.erase(update.feature);
      } else {
        proposed.insert_or_assign(update.feature, level);
      }
    }
    results.emplace_back(update.feature, fault);
  }
  for (auto& [feature, fault] : results) {
    const auto level = proposed.find(feature);
    if (!fault)
      fault = check_dependencies(feature, level == proposed.end() ? std::int16_t{0} : level->second, proposed);
    if (fault && !first) first = fault;
  }
  decision.response.error_message = std::nullopt;
  if (first) {
    // All or nothing; the top level alone carries the first fault.
    first.message = "The update failed for all features since the following feature had an error: " + first.message;
    set_fault(decision.response, first);
  } else {
    for (const auto& [feature, fault] : results) {
      const auto level = proposed.find(feature);
      const std::int16_t wanted = level == proposed.end() ? std::int16_t{0} : level->second;
      // None for kraft.version, which is in neither.
      if (wanted != compute.image.feature(feature))
        decision.records.push_back(metadata::feature_record(feature, wanted));
    }
    const auto elr = proposed.find(metadata::kElrVersionFeature);
    const bool elr_begins = elr != proposed.end() && !compute.image.elr_enabled();
    if (elr_begins && !compute.image.configs.cluster_default().contains("min.insync.replicas")) {
      pin_min_insync_replicas(compute.settings.file, decision.records);
    }
  }
  if (api_version <= 1 && !first) {
    for (const auto& [feature, fault] : results) {
      auto& result = decision.response.results.emplace_back();
      result.feature = feature;
      result.error_message = std::nullopt;
      if (fault) set_fault(result, fault);
    }
  }
  if (request.validate_only) decision.records.clear();
  return decision;
}

Records feature_records(MetadataVersion version, const FeatureLevels& features) {
  Records records;
  records.push_back(metadata::feature_record(metadata::kMetadataVersionFeature, version.level));
  for (const auto& [name, level] : features) {
    if (name != metadata::kMetadataVersionFeature && level > 0)
      records.push_back(metadata::feature_record(name, level));
  }
  return records;
}

Records bootstrap_transaction(const Records& bootstrap, const config::BrokerConfig* file) {
  MetadataVersion version{MetadataVersion::kMinimum};
  bool elr = false;
  for (const Record& record : bootstrap) {
    const auto* feature = std::get_if<messages::FeatureLevelRecord>(&record.message);
    if (feature == nullptr) continue;
    if (feature->name == metadata::kMetadataVersionFeature) version.level = feature->feature_level;
    if (feature->name == metadata::kElrVersionFeature) elr = feature->feature_level >= 1;
  }
  Records records;
  if (version.transactions()) {
    messages::BeginTransactionRecord begin;
    begin.name = "Bootstrap records";
    records.push_back({std::move(begin), 0});
  }
  records.insert(records.end(), bootstrap.begin(), bootstrap.end());
  if (elr) pin_min_insync_replicas(file, records);
  if (version.transactions()) records.push_back({messages::EndTransactionRecord(), 0});
  return records;
}

}  // namespace klamm::controller
