#include <set>

#include "broker/metadata/features.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"
#include "tools/version_mapping.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kCommands =
    "describe | upgrade | downgrade | disable | version-mapping | feature-dependencies";

Options declare() {
  Options options("features", "Prints and changes the finalized features of a cluster.", Options::Style::argparse);
  options.words(std::string(kCommands), 1,
                "describe: prints them. upgrade, downgrade: change levels. disable: sets levels to 0. version-mapping: "
                "prints the features of a release. feature-dependencies: prints which levels of other features a level "
                "needs.");
  options.admin_client(false).admin_controllers();
  options.int32("--node-id", "id", "describe: the broker or controller to ask.");
  options.many("--feature", "name[=level]", "A feature, with its level but for disable.");
  options.text("--release-version", "version",
               "upgrade, downgrade: the levels of this release. version-mapping: the release.");
  options.text("--metadata", "version", "Deprecated: upgrade, downgrade: the level of metadata.version.");
  options.flag("--unsafe", "downgrade, disable: even if metadata is lost.");
  options.flag("--dry-run", "Only tell whether it could be done.");
  return options;
}

int describe(const Options& options, blocking::Admin& admin) {
  Result<DescribeApiVersions::Outcome> described = admin.describe_api_versions({});
  if (!described) return fail_text(reason_of(described.error()));
  const std::int64_t wanted = options.number_or("node-id", -1);
  for (const auto& [id, broker] : *described) {
    if (wanted >= 0 && id != wanted) continue;
    if (!broker && wanted < 0 && described->size() > 1) continue;
    if (!broker) return fail_text(reason_of(broker.error()));
    std::map<std::string, FeatureRange> supported = broker->supported_features;
    const std::string epoch =
        broker->finalized_features_epoch < 0 ? "-" : std::to_string(broker->finalized_features_epoch);
    for (const auto& [name, range] : supported) {
      const auto found = broker->finalized_features.find(name);
      const std::int16_t level = found == broker->finalized_features.end() ? std::int16_t{0} : found->second;
      print(
          "Feature: {:<42}SupportedMinVersion: {:<17}SupportedMaxVersion: {:<17}FinalizedVersionLevel: {:<17}Epoch: "
          "{}\n",
          name, level_text(name, range.min_level), level_text(name, range.max_level), level_text(name, level), epoch);
    }
    return 0;
  }
  return fail_with("there is no broker {}", wanted);
}

// What is to become of which feature; fails with the sentence to print.
Result<std::map<std::string, std::int16_t>> wanted_levels(const Options& options, std::string_view command) {
  const bool disable = command == "disable";
  std::map<std::string, std::int16_t> levels;
  for (const std::string& text : options.all_of("feature")) {
    std::pair<std::string, std::int16_t> wanted{text, std::int16_t{0}};
    if (!disable) {
      Result<std::pair<std::string, std::int16_t>> level = parse_level(text);
      KLAMM_TRY(level);
      wanted = std::move(*level);
    }
    if (!levels.insert(wanted).second)
      return fail(Errc::invalid_argument, "Feature " + wanted.first + " was specified more than once.");
  }
  if (const auto text = options.text_of("metadata")) {
    print(" `metadata` flag is deprecated and may be removed in a future release.\n");
    const std::optional<metadata::MetadataVersion> version = metadata::MetadataVersion::from_name(*text);
    if (!version) return fail(Errc::invalid_argument, "Unknown metadata.version '" + *text + "'");
    levels.insert_or_assign(std::string(metadata::kMetadataVersionFeature), version->level);
  }
  if (const auto text = options.text_of("release-version")) {
    if (!levels.empty())
      return fail(Errc::invalid_argument, "Can not specify `release-version` with other feature flags.");
    Result<metadata::FeatureLevels> release = levels_of_release(text);
    KLAMM_TRY(release);
    for (const auto& [name, level] : *release) levels.emplace(name, level);
  }
  if (levels.empty())
    return fail(Errc::invalid_argument, fmt::format("You must specify at least one feature to {}", command));
  return levels;
}

int update(const Options& options, blocking::Admin& admin, std::string_view command) {
  const bool disable = command == "disable";
  Result<std::map<std::string, std::int16_t>> levels = wanted_levels(options, command);
  if (!levels) return fail_text(reason_of(levels.error()));
  const bool dry = options.has("dry-run");
  UpdateFeatures request;
  request.validate_only = dry;
  const FeatureUpdate::Kind down =
      options.has("unsafe") ? FeatureUpdate::Kind::unsafe_downgrade : FeatureUpdate::Kind::safe_downgrade;
  for (const auto& [name, level] : *levels)
    request.updates[name] = {level, command == "upgrade" ? FeatureUpdate::Kind::upgrade : down};
  Result<UpdateFeatures::Outcome> done = admin.update_features(std::move(request));
  const std::string past = std::string(command) + "d";
  std::size_t failures = 0;
  for (const auto& [name, level] : *levels) {
    const Error* error = nullptr;
    if (!done) {
      error = &done.error();
    } else if (const auto found = done->find(name); found != done->end() && !found->second) {
      error = &found->second.error();
    }
    const std::string to = disable ? "" : fmt::format(" to {}", level);
    if (error != nullptr) {
      ++failures;
      const std::string verb = dry ? fmt::format("Can not {}", command) : fmt::format("Could not {}", command);
      print("{} {}{}. {}\n", verb, name, to, reason_of(*error, done ? "feature " + name : "update of features"));
    } else if (dry) {
      print("{} can be {}{}.\n", name, past, to);
    } else {
      print("{} was {}{}.\n", name, past, to);
    }
  }
  if (failures == 0) return 0;
  return fail_with("{} out of {} operation(s) failed.", failures, levels->size());
}

}  // namespace

int run_features(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.words().empty()) return options.usage_error(fmt::format("one of {} is wanted", kCommands));
  const std::string command = options.words().front();
  if (command == "version-mapping") return print_version_mapping(options.text_of("release-version"));
  if (command == "feature-dependencies") {
    if (!options.has("feature")) return options.usage_error("argument --feature is required");
    return print_feature_dependencies(options.all_of("feature"));
  }
  const std::set<std::string_view> known = {"describe", "upgrade", "downgrade", "disable"};
  if (!known.contains(command))
    return options.usage_error(fmt::format("there is no command '{}': {} are there", command, kCommands));
  if (const auto status = options.check_bootstrap()) return *status;
  if (options.number_or("node-id", 0) < 0)
    return fail_with("Invalid node id {}: must be non-negative.", options.number_or("node-id", 0));
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  return command == "describe" ? describe(options, *admin) : update(options, *admin, command);
}

}  // namespace klamm::tools
