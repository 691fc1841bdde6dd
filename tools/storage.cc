#include <algorithm>
#include <charconv>
#include <set>

#include "broker/config/broker_config.h"
#include "broker/metadata/format.h"
#include "io/machine.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"
#include "tools/version_mapping.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("storage", "Formats a node's directories, shows what they hold, makes ids.",
                  Options::Style::argparse);
  options.words(
      "format | info | random-uuid | version-mapping | feature-dependencies", 1,
      "format: makes the directories of a node ready. info: shows them. random-uuid: prints a new id, for a "
      "cluster or a "
      "directory. version-mapping: prints the features of a release. feature-dependencies: prints what a level needs.");
  options.text("-c,--config", "file", "The node's server.properties. For format and info.");
  options.text("-t,--cluster-id", "id", "The id of the cluster that the node is to be of. For format.");
  options.flag("-s,--standalone", "Format for a quorum of this controller alone; others may join.");
  options.text("-I,--initial-controllers", "id@host:port:directory-id,...",
               "Format for a quorum of these controllers.");
  options.flag("-N,--no-initial-controllers", "Format a node that joins the quorum of others.");
  options.flag("-g,--ignore-formatted", "Leave directories alone that are formatted, instead of failing.");
  options.text("-r,--release-version", "version",
               "The release whose features are finalized, 3.3-IV3 or newer (default: 4.3-IV0).");
  options.many("-f,--feature", "name=level", "The level of one feature.");
  options.many("-S,--add-scram", "credential", "SCRAM credentials are not served yet.");
  return options;
}

Result<config::BrokerConfig> read_config(const Options& options) {
  const std::string path = options.text_or("config", "");
  Result<std::string> content = file_content(path);
  KLAMM_TRY(content);
  return config::BrokerConfig::read(*content);
}

// "1@host:9093:directory"
Result<raft::Voter> parse_controller(std::string_view text, const std::string& listener) {
  const auto bad = [&] {
    return fail(Errc::invalid_argument,
                fmt::format("--initial-controllers {}: id@host:port:directory-id is wanted", text));
  };
  const std::size_t last = text.rfind(':');
  const std::size_t at = text.find('@');
  if (last == std::string_view::npos || at == std::string_view::npos || at > last) return bad();
  Result<config::Voter> parsed = config::parse_voter(text.substr(0, last));
  const std::optional<Uuid> directory = Uuid::parse(text.substr(last + 1));
  if (!parsed || !directory) return bad();
  raft::Voter voter;
  voter.key = {parsed->id, *directory};
  voter.endpoints.push_back({listener, parsed->address.host, parsed->address.port});
  return voter;
}

Result<metadata::FeatureLevels> parse_features(const std::vector<std::string>& texts) {
  metadata::FeatureLevels levels;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
      return fail(Errc::invalid_argument, "Can't parse feature=level string " + text + ": equals sign not found.");
    const std::string_view digits = trimmed(std::string_view(text).substr(equals + 1));
    std::int16_t level = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), level);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return fail(Errc::invalid_argument, "Can't parse feature=level string " + text + ": unable to parse " +
                                              std::string(digits) + " as a short.");
    }
    levels.insert_or_assign(std::string(trimmed(std::string_view(text).substr(0, equals))), level);
  }
  return levels;
}

Result<metadata::FormatOptions> format_options(const Options& options, const config::BrokerConfig& config) {
  metadata::FormatOptions format;
  format.cluster_id = *options.text_of("cluster-id");
  format.node_id = config.node_id();
  format.log_dirs = config.log_dirs();
  format.metadata_log_dir = config.metadata_log_dir();
  format.ignore_formatted = options.has("ignore-formatted");
  format.release_version = options.text_of("release-version");
  Result<metadata::FeatureLevels> features = parse_features(options.all_of("feature"));
  KLAMM_TRY(features);
  format.features = std::move(*features);

  const bool named =
      options.has("standalone") || options.has("initial-controllers") || options.has("no-initial-controllers");
  if (named && !config.voters().empty()) {
    return fail(Errc::invalid_argument,
                "You cannot specify controller.quorum.voters and format the node with --initial-controllers, "
                "--standalone or --no-initial-controllers.");
  }
  if (!named && config.voters().empty() && config.is_controller()) {
    return fail(Errc::invalid_argument,
                "Because controller.quorum.voters is not set on this controller, you must specify one of the "
                "following: --standalone, "
                "--initial-controllers, or --no-initial-controllers.");
  }
  if (options.has("standalone")) {
    if (!config.is_controller()) return fail(Errc::invalid_argument, "You can only use --standalone on a controller.");
    format.quorum = metadata::QuorumFormat::standalone;
    for (const config::Endpoint& listener : config.advertised_controller_listeners()) {
      format.controller_listeners.push_back(
          {listener.listener, listener.host.empty() ? io::host_name() : listener.host, listener.port});
    }
  } else if (const auto text = options.text_of("initial-controllers")) {
    format.quorum = metadata::QuorumFormat::initial_controllers;
    for (const std::string& one : split(*text, ',')) {
      Result<raft::Voter> voter = parse_controller(trimmed(one), config.controller_listener_names().front());
      KLAMM_TRY(voter);
      format.initial_controllers.push_back(std::move(*voter));
    }
  } else if (options.has("no-initial-controllers")) {
    format.quorum = metadata::QuorumFormat::no_initial_controllers;
  }
  return format;
}

int run_format(const Options& options) {
  if (const auto status = options.check_required({"config", "cluster-id"})) return *status;
  const int quorums =
      options.has("standalone") + options.has("initial-controllers") + options.has("no-initial-controllers");
  if (quorums > 1)
    return options.usage_error(
        "only one of --standalone, --initial-controllers and --no-initial-controllers may be given");
  if (options.has("add-scram")) return fail_text("--add-scram: SCRAM is not served yet, no credential can be stored");
  Result<config::BrokerConfig> config = read_config(options);
  if (!config) return fail_text(reason_of(config.error()));
  Result<metadata::FormatOptions> format = format_options(options, *config);
  if (!format) return fail_text(reason_of(format.error()));
  io::Machine machine({.shards = 1});
  Result<metadata::FormatReport> report = machine.run(0, metadata::format_storage(machine.at(0), std::move(*format)));
  if (!report) return fail_text(reason_of(report.error()));
  for (const std::string& line : report->lines) print("{}\n", line);
  return 0;
}

int run_info(const Options& options) {
  if (const auto status = options.check_required({"config"})) return *status;
  Result<config::BrokerConfig> config = read_config(options);
  if (!config) return fail_text(reason_of(config.error()));
  std::set<std::string> directories(config->log_dirs().begin(), config->log_dirs().end());
  directories.insert(config->metadata_log_dir());
  io::Machine machine({.shards = 1});
  const metadata::StorageInfo info = machine.run(
      0, metadata::inspect_storage(machine.at(0), std::vector<std::string>(directories.begin(), directories.end()),
                                   config->node_id()));
  std::vector<std::string> found;
  std::vector<std::string> problems;
  const storage::MetaProperties* meta = nullptr;
  for (const metadata::DirectoryInfo& directory : info.directories) {
    if (!directory.exists) {
      problems.push_back(directory.path + " does not exist");
      continue;
    }
    found.push_back(directory.path);
    if (directory.meta && meta == nullptr) meta = &*directory.meta;
    if (directory.problem)
      problems.push_back(directory.path + ": " + *directory.problem);
    else if (!directory.meta)
      problems.push_back(directory.path + " is not formatted.");
  }
  for (const std::string& problem : info.problems) {
    if (std::find(problems.begin(), problems.end(), problem) == problems.end()) problems.push_back(problem);
  }
  const auto section = [](std::string_view one, std::string_view several, const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    print("{}\n", lines.size() == 1 ? one : several);
    for (const std::string& line : lines) print("  {}\n", line);
    print("\n");
  };
  section("Found log directory:", "Found log directories:", found);
  if (meta != nullptr)
    print("Found metadata: {{cluster.id={}, directory.id={}, node.id={}, version=1}}\n\n", meta->cluster_id,
          meta->directory_id.text(), meta->node_id);
  section("Found problem:", "Found problems:", problems);
  return problems.empty() ? 0 : 1;
}

}  // namespace

int run_storage(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.words().empty())
    return options.usage_error("one of format, info, random-uuid and version-mapping is wanted");
  const std::string& command = options.words().front();
  if (command == "random-uuid") {
    io::Machine machine({.shards = 1});
    print("{}\n", Uuid::random(machine.at(0).random()).text());
    return 0;
  }
  if (command == "format") return run_format(options);
  if (command == "info") return run_info(options);
  if (command == "version-mapping") return print_version_mapping(options.text_of("release-version"));
  if (command == "feature-dependencies") {
    if (!options.has("feature")) return options.usage_error("argument --feature is required");
    return print_feature_dependencies(options.all_of("feature"));
  }
  return options.usage_error(fmt::format(
      "there is no command '{}': format, info, random-uuid, version-mapping and feature-dependencies are there",
      command));
}

}  // namespace klamm::tools
