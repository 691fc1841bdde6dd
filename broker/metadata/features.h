// Finalized features and what their levels mean: which record versions a metadata.version calls for, and which levels
// this build supports. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace klamm::metadata {

constexpr std::string_view kMetadataVersionFeature = "metadata.version";
constexpr std::string_view kKRaftVersionFeature = "kraft.version";
constexpr std::string_view kTransactionVersionFeature = "transaction.version";
constexpr std::string_view kGroupVersionFeature = "group.version";
constexpr std::string_view kElrVersionFeature = "eligible.leader.replicas.version";
constexpr std::string_view kShareVersionFeature = "share.version";
constexpr std::string_view kStreamsVersionFeature = "streams.version";

struct VersionRange {
  std::int16_t min = 0;
  std::int16_t max = 0;
  bool contains(std::int16_t level) const noexcept { return min <= level && level <= max; }
  friend bool operator==(const VersionRange&, const VersionRange&) = default;
};
using FeatureRanges = std::map<std::string, VersionRange, std::less<>>;
using FeatureLevels = std::map<std::string, std::int16_t, std::less<>>;

// What this build can replay and serve as a member of a cluster: the ranges it registers with and shows in ApiVersions.
const FeatureRanges& supported_features();

// A level of metadata.version.
struct MetadataVersion {
  static constexpr std::int16_t kMinimum = 7;      // 3.3-IV3
  static constexpr std::int16_t kProduction = 30;  // 4.3-IV0
  static constexpr std::int16_t kLatest = 31;      // 4.4-IV0, not for production

  std::int16_t level = kProduction;

  // "4.3-IV0"; empty for a level that is not known.
  std::string_view name() const;
  // From "4.3-IV0", or "4.3" (the production level of that release).
  static std::optional<MetadataVersion> from_name(std::string_view text);
  bool known() const noexcept { return level >= kMinimum && level <= kLatest; }
  // True if the form of the metadata changed between `other` (lower) and this one: going back may lose some.
  bool metadata_changed_since(MetadataVersion other) const noexcept;

  std::int16_t register_broker_record_version() const noexcept {
    return level >= 30 ? 4 : level >= 17 ? 3 : level >= 8 ? 2 : 1;
  }
  std::int16_t partition_record_version() const noexcept { return level >= 23 ? 2 : level >= 17 ? 1 : 0; }
  // What brokers speak among themselves: Fetch 13 has topic ids, 15 replica epochs, 17 directory ids.
  std::int16_t fetch_version() const noexcept {
    return level >= 27 ? 18 : level >= 21 ? 17 : level >= 19 ? 16 : level >= 10 ? 15 : level == 9 ? 14 : 13;
  }
  std::int16_t list_offsets_version() const noexcept {
    return level >= 29 ? 11 : level >= 25 ? 10 : level >= 21 ? 9 : level >= 9 ? 8 : 7;
  }
  bool directory_assignment() const noexcept { return level >= 17; }
  bool elr() const noexcept { return level >= 23; }
  bool cordoned_directories() const noexcept { return level >= 30; }
  bool transactions() const noexcept { return level >= 13; }
  bool controller_registration() const noexcept { return level >= 15; }
  bool scram() const noexcept { return level >= 11; }
  bool delegation_tokens() const noexcept { return level >= 14; }
  bool leader_epoch_bump_on_shrink() const noexcept { return level < 12; }
  friend auto operator<=>(const MetadataVersion&, const MetadataVersion&) = default;
};

// The levels that Kafka finalizes in a new cluster of this metadata.version, without metadata.version itself and
// without kraft.version; features at level 0 are left out.
FeatureLevels default_features(MetadataVersion version);
// The same, less what klamm does not serve yet (share groups, streams groups): what its own format writes.
FeatureLevels served_features(MetadataVersion version);

}  // namespace klamm::metadata
