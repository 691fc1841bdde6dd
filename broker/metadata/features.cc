#include "broker/metadata/features.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace klamm::metadata {
namespace {

struct Level {
  std::int16_t level;
  std::string_view name;
  bool changed;  // the form of the metadata is another than at the level below
};

constexpr std::array<Level, 25> kLevels = {{
    {7, "3.3-IV3", true},   {8, "3.4-IV0", true},   {9, "3.5-IV0", false},  {10, "3.5-IV1", false},
    {11, "3.5-IV2", true},  {12, "3.6-IV0", false}, {13, "3.6-IV1", true},  {14, "3.6-IV2", true},
    {15, "3.7-IV0", true},  {16, "3.7-IV1", false}, {17, "3.7-IV2", true},  {18, "3.7-IV3", false},
    {19, "3.7-IV4", false}, {20, "3.8-IV0", false}, {21, "3.9-IV0", false}, {22, "4.0-IV0", false},
    {23, "4.0-IV1", true},  {24, "4.0-IV2", false}, {25, "4.0-IV3", false}, {26, "4.1-IV0", false},
    {27, "4.1-IV1", false}, {28, "4.2-IV0", false}, {29, "4.2-IV1", false}, {30, "4.3-IV0", true},
    {31, "4.4-IV0", false},
}};

// "4.3" of "4.3-IV0".
std::string_view release_of(std::string_view name) { return name.substr(0, name.find('-')); }

}  // namespace

const FeatureRanges& supported_features() {
  static const FeatureRanges kRanges = {
      {std::string(kMetadataVersionFeature), {MetadataVersion::kMinimum, MetadataVersion::kProduction}},
      {std::string(kKRaftVersionFeature), {0, 1}},
      {std::string(kTransactionVersionFeature), {0, 2}},
      {std::string(kGroupVersionFeature), {0, 1}},
      {std::string(kElrVersionFeature), {0, 1}},
      {std::string(kShareVersionFeature), {0, 1}},
      {std::string(kStreamsVersionFeature), {0, 1}},
  };
  return kRanges;
}

std::string_view MetadataVersion::name() const {
  const auto found =
      std::find_if(kLevels.begin(), kLevels.end(), [this](const Level& entry) { return entry.level == level; });
  return found == kLevels.end() ? std::string_view() : found->name;
}

std::optional<MetadataVersion> MetadataVersion::from_name(std::string_view text) {
  for (const Level& entry : kLevels) {
    if (entry.name == text) return MetadataVersion{entry.level};
  }
  // A release: "4.3", also "4.3.1"; its newest level.
  const std::size_t first = text.find('.');
  const std::size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  const std::string_view release = text.substr(0, second);
  std::optional<MetadataVersion> newest;
  for (const Level& entry : kLevels) {
    if (release_of(entry.name) == release) newest = MetadataVersion{entry.level};
  }
  return newest;
}

bool MetadataVersion::metadata_changed_since(MetadataVersion other) const noexcept {
  return std::any_of(kLevels.begin(), kLevels.end(), [&](const Level& entry) {
    return entry.changed && entry.level > other.level && entry.level <= level;
  });
}

FeatureLevels default_features(MetadataVersion version) {
  FeatureLevels levels;
  if (version.level >= 26) levels.emplace(kElrVersionFeature, std::int16_t{1});
  if (version.level >= 22) levels.emplace(kGroupVersionFeature, std::int16_t{1});
  if (version.level >= 28) levels.emplace(kShareVersionFeature, std::int16_t{1});
  if (version.level >= 29) levels.emplace(kStreamsVersionFeature, std::int16_t{1});
  if (version.level >= 24) levels.emplace(kTransactionVersionFeature, std::int16_t{2});
  return levels;
}

FeatureLevels served_features(MetadataVersion version) {
  FeatureLevels levels = default_features(version);
  levels.erase(std::string(kShareVersionFeature));
  levels.erase(std::string(kStreamsVersionFeature));
  return levels;
}

}  // namespace klamm::metadata
