#include "tools/version_mapping.h"

#include <charconv>

#include "broker/metadata/format.h"
#include "tools/output.h"

namespace klamm::tools {
namespace {

// What Apache Kafka 4.3.1 knows besides metadata.version, in the order of its mapping.
struct Known {
  std::string_view feature;
  std::int16_t most;
};
constexpr Known kKnown[] = {
    {metadata::kKRaftVersionFeature, 1}, {metadata::kTransactionVersionFeature, 2},
    {metadata::kGroupVersionFeature, 1}, {metadata::kElrVersionFeature, 1},
    {metadata::kShareVersionFeature, 1}, {metadata::kStreamsVersionFeature, 1},
};
constexpr std::int16_t kFirstWithKRaftVersion = 21;  // 3.9-IV0
constexpr std::int16_t kFirstWithElr = 23;           // 4.0-IV1

int print_dependencies(const std::string& feature, std::int16_t level) {
  const bool is_version = feature == metadata::kMetadataVersionFeature;
  if (is_version && !metadata::MetadataVersion{level}.known()) return fail_with("Unknown metadata.version {}", level);
  if (!is_version) {
    const auto same = [&](const Known& known) { return known.feature == feature; };
    const Known* known = std::find_if(std::begin(kKnown), std::end(kKnown), same);
    if (known == std::end(kKnown)) return fail_with("Unknown feature: {}", feature);
    if (level < 0 || level > known->most) return fail_with("No feature:{} with feature level {}", feature, level);
  }
  const std::string named = is_version ? fmt::format(" ({})", level_text(feature, level)) : "";
  if (feature == metadata::kElrVersionFeature && level > 0) {
    print("{}={} requires:\n    {}={} ({})\n", feature, level, metadata::kMetadataVersionFeature, kFirstWithElr,
          level_text(metadata::kMetadataVersionFeature, kFirstWithElr));
  } else {
    print("{}={}{} has no dependencies.\n", feature, level, named);
  }
  return 0;
}

}  // namespace

std::string level_text(std::string_view feature, std::int16_t level) {
  if (feature != metadata::kMetadataVersionFeature) return std::to_string(level);
  const std::string_view name = metadata::MetadataVersion{level}.name();
  return name.empty() ? fmt::format("UNKNOWN [{}]", level) : std::string(name);
}

Result<std::pair<std::string, std::int16_t>> parse_level(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return fail(Errc::invalid_argument,
                fmt::format("Can't parse feature=level string {}: equals sign not found.", text));
  }
  std::int16_t level = 0;
  const std::string_view digits = trimmed(text.substr(equals + 1));
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), level);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return fail(Errc::invalid_argument,
                fmt::format("Can't parse feature=level string {}: unable to parse {} as a short.", text, digits));
  }
  return std::pair(std::string(trimmed(text.substr(0, equals))), level);
}

Result<metadata::FeatureLevels> levels_of_release(const std::optional<std::string>& release) {
  metadata::FormatOptions options;
  options.release_version = release;
  options.kafka_defaults = true;
  Result<metadata::ChosenFeatures> chosen = metadata::choose_features(options);
  KLAMM_TRY(chosen);
  metadata::FeatureLevels levels = chosen->features;
  for (const Known& known : kKnown) levels.try_emplace(std::string(known.feature), std::int16_t{0});
  levels.insert_or_assign(std::string(metadata::kMetadataVersionFeature), chosen->version.level);
  levels.insert_or_assign(std::string(metadata::kKRaftVersionFeature),
                          static_cast<std::int16_t>(chosen->version.level >= kFirstWithKRaftVersion ? 1 : 0));
  return levels;
}

int print_version_mapping(const std::optional<std::string>& release) {
  const Result<metadata::FeatureLevels> levels = levels_of_release(release);
  if (!levels) return fail_text(reason_of(levels.error()));
  const std::int16_t version = levels->find(metadata::kMetadataVersionFeature)->second;
  print("{}={} ({})\n", metadata::kMetadataVersionFeature, version,
        release ? *release : level_text(metadata::kMetadataVersionFeature, version));
  for (const Known& known : kKnown) print("{}={}\n", known.feature, levels->find(known.feature)->second);
  return 0;
}

int print_feature_dependencies(const std::vector<std::string>& levels) {
  for (const std::string& text : levels) {
    const Result<std::pair<std::string, std::int16_t>> level = parse_level(text);
    if (!level) return fail_text(level.error().context());
    if (const int status = print_dependencies(level->first, level->second)) return status;
  }
  return 0;
}

}  // namespace klamm::tools
