#include "broker/metadata/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "broker/metadata/image_writer.h"
#include "broker/raft/metadata_log.h"
#include "broker/raft/snapshot.h"
#include "broker/storage/names.h"

namespace klamm::metadata {
namespace {

tl::unexpected<Error> refuse(std::string why) { return fail(Errc::invalid_argument, std::move(why)); }

std::string names_of_features() {
  std::string names;
  for (const auto& [name, range] : supported_features()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

std::string names_of_versions() {
  std::string names;
  for (std::int16_t level = MetadataVersion::kMinimum; level <= MetadataVersion::kProduction; ++level) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", MetadataVersion{level}.name());
  }
  return names;
}

Result<MetadataVersion> choose_version(const FormatOptions& options) {
  MetadataVersion version;
  if (options.release_version) {
    const std::optional<MetadataVersion> named = MetadataVersion::from_name(*options.release_version);
    if (!named || named->level > MetadataVersion::kProduction) {
      return refuse(fmt::format("Unknown metadata.version {}. Supported metadata.version are: {}",
                                *options.release_version, names_of_versions()));
    }
    version = *named;
  }
  const auto feature = options.features.find(kMetadataVersionFeature);
  if (feature == options.features.end()) return version;
  if (options.release_version) return refuse("Use --release-version or --feature metadata.version=…, not both.");
  const VersionRange& range = supported_features().find(kMetadataVersionFeature)->second;
  if (!range.contains(feature->second)) {
    return refuse(
        fmt::format("metadata.version {} is not supported: {} to {} are.", feature->second, range.min, range.max));
  }
  return MetadataVersion{feature->second};
}

Result<void> check_quorum(const FormatOptions& options, const ChosenFeatures& chosen) {
  const auto kraft = options.features.find(kKRaftVersionFeature);
  const bool dynamic = options.quorum != QuorumFormat::static_voters;
  if (kraft != options.features.end() && (kraft->second >= 1) != dynamic) {
    return refuse(
        dynamic
            ? "kraft.version=0 cannot be combined with --standalone, --initial-controllers or --no-initial-controllers."
            : "kraft.version=1 needs one of --standalone, --initial-controllers and --no-initial-controllers.");
  }
  static_cast<void>(chosen);
  if (options.quorum == QuorumFormat::standalone && options.controller_listeners.empty()) {
    return refuse("--standalone needs a controller listener: this node does not have the controller role.");
  }
  if (options.quorum != QuorumFormat::initial_controllers) return {};
  const bool among = std::any_of(options.initial_controllers.begin(), options.initial_controllers.end(),
                                 [&](const raft::Voter& voter) { return voter.key.id == options.node_id; });
  if (!among)
    return refuse(
        fmt::format("The initial controllers do not include node {}, which is being formatted.", options.node_id));
  std::set<std::int32_t> ids;
  for (const raft::Voter& voter : options.initial_controllers) {
    if (!ids.insert(voter.key.id).second)
      return refuse(fmt::format("Node {} is named twice in --initial-controllers.", voter.key.id));
    if (voter.key.directory_id.is_zero())
      return refuse(fmt::format("Node {} has no directory id in --initial-controllers.", voter.key.id));
  }
  return {};
}

// The directories to format, the metadata one first.
std::vector<std::string> all_directories(const FormatOptions& options) {
  std::vector<std::string> directories{options.metadata_log_dir};
  for (const std::string& directory : options.log_dirs) {
    if (std::find(directories.begin(), directories.end(), directory) == directories.end())
      directories.push_back(directory);
  }
  return directories;
}

Slice bootstrap_content(const ChosenFeatures& chosen, TimestampMs now_ms) {
  Records records;
  records.push_back(feature_record(kMetadataVersionFeature, chosen.version.level));
  for (const auto& [name, level] : chosen.features) records.push_back(feature_record(name, level));
  raft::SnapshotBuilder::Options options;
  options.now_ms = now_ms;
  options.last_contained_ms = now_ms;
  raft::SnapshotBuilder builder(options);
  builder.append(encode_records(records));
  builder.finish();
  std::size_t size = 0;
  const std::vector<Slice> batches = builder.take();
  for (const Slice& batch : batches) size += batch.size();
  Buffer::Ref content = Buffer::allocate(size);
  std::size_t filled = 0;
  for (const Slice& batch : batches) {
    std::memcpy(content->data() + filled, batch.data(), batch.size());
    filled += batch.size();
  }
  return Slice(content, size);
}

std::vector<raft::Voter> first_voters(const FormatOptions& options, const Uuid& directory_id) {
  if (options.quorum == QuorumFormat::initial_controllers) return options.initial_controllers;
  raft::Voter self;
  self.key = {options.node_id, directory_id};
  self.endpoints = options.controller_listeners;
  return {std::move(self)};
}

// The (0,0) snapshot with the first voters.
io::Task<Result<void>> write_first_voters(io::Shard& shard, const FormatOptions& options, const Uuid& directory_id) {
  const raft::VoterSet voters(first_voters(options, directory_id));
  const std::string directory = io::join_path(options.metadata_log_dir, std::string(storage::kMetadataTopic) + "-0");
  Result<void> made = co_await raft::make_directories_durably(shard.files(), directory);
  KLAMM_CO_TRY(made);
  raft::SnapshotBuilder::Options snapshot;
  snapshot.now_ms = shard.wall_ms();
  snapshot.last_contained_ms = snapshot.now_ms;
  snapshot.voters = &voters;
  raft::SnapshotBuilder builder(snapshot);
  builder.finish();
  Result<void> written =
      co_await raft::write_snapshot_file(shard, directory, raft::kBootstrapSnapshotId, builder.take());
  co_return written;
}

io::Task<Result<void>> format_directory(io::Shard& shard, const FormatOptions& options, const ChosenFeatures& chosen,
                                        const std::string& directory) {
  io::FileSystem& files = shard.files();
  Result<void> done = co_await raft::make_directories_durably(files, directory);
  if (!done)
    co_return fail(std::move(done).error().in(fmt::format("Unable to create storage directory {}", directory)));
  storage::MetaProperties meta;
  meta.cluster_id = options.cluster_id;
  meta.node_id = options.node_id;
  meta.directory_id = Uuid::random(shard.random());
  if (directory == options.metadata_log_dir) {
    for (const raft::Voter& voter : options.initial_controllers) {
      if (voter.key.id == options.node_id) meta.directory_id = voter.key.directory_id;
    }
    if (options.quorum == QuorumFormat::standalone || options.quorum == QuorumFormat::initial_controllers) {
      done = co_await write_first_voters(shard, options, meta.directory_id);
      KLAMM_CO_TRY(done);
    }
  }
  done = co_await io::write_file_atomically(files, io::join_path(directory, kBootstrapFile),
                                            bootstrap_content(chosen, shard.wall_ms()));
  KLAMM_CO_TRY(done);
  // Last: it is what makes the directory a formatted one.
  done = co_await storage::save_meta_properties(files, directory, std::move(meta), shard.wall_ms());
  co_return done;
}

std::string describe(const FormatOptions& options, const std::string& directory, MetadataVersion version) {
  std::string_view kind = "data directory";
  if (directory == options.metadata_log_dir) {
    const bool dynamic =
        options.quorum == QuorumFormat::standalone || options.quorum == QuorumFormat::initial_controllers;
    kind = dynamic ? "dynamic metadata voter directory" : "metadata directory";
  }
  return fmt::format("Formatting {} {} with metadata.version {}.", kind, directory, version.name());
}

}  // namespace

FormatOptions format_options(const config::BrokerConfig& file, std::string cluster_id) {
  FormatOptions options;
  options.cluster_id = std::move(cluster_id);
  options.node_id = file.node_id();
  options.log_dirs = file.log_dirs();
  options.metadata_log_dir = file.metadata_log_dir();
  for (const config::Endpoint& endpoint : file.advertised_controller_listeners()) {
    options.controller_listeners.push_back({endpoint.listener, endpoint.host, endpoint.port});
  }
  return options;
}

Result<ChosenFeatures> choose_features(const FormatOptions& options) {
  Result<MetadataVersion> version = choose_version(options);
  KLAMM_TRY(version);
  ChosenFeatures chosen{*version, options.kafka_defaults ? default_features(*version) : served_features(*version)};
  for (const auto& [name, level] : options.features) {
    if (name == kMetadataVersionFeature || name == kKRaftVersionFeature) continue;
    const auto range = supported_features().find(name);
    if (range == supported_features().end()) {
      return refuse(fmt::format("Unsupported feature: {}. Supported features are: {}", name, names_of_features()));
    }
    if (!range->second.contains(level)) {
      return refuse(fmt::format("Feature {} has no level {}: {} to {} are supported.", name, level, range->second.min,
                                range->second.max));
    }
    const bool served = options.kafka_defaults || (name != kShareVersionFeature && name != kStreamsVersionFeature);
    if (level > 0 && !served)
      return refuse(fmt::format("Feature {} is not served by klamm yet: only level 0 can be finalized.", name));
    if (level == 0) {
      chosen.features.erase(name);
    } else {
      chosen.features.insert_or_assign(name, level);
    }
  }
  if (chosen.features.contains(kElrVersionFeature) && !chosen.version.elr()) {
    return refuse(fmt::format("eligible.leader.replicas.version=1 needs metadata.version 4.0-IV1 or newer, not {}.",
                              chosen.version.name()));
  }
  return chosen;
}

io::Task<Result<FormatReport>> format_storage(io::Shard& shard, FormatOptions options) {
  if (options.cluster_id.empty()) co_return refuse("You must specify a cluster id: --cluster-id.");
  if (options.node_id < 0) co_return refuse(fmt::format("The node id must be 0 or more, it is {}.", options.node_id));
  if (options.metadata_log_dir.empty() && !options.log_dirs.empty())
    options.metadata_log_dir = options.log_dirs.front();
  if (options.metadata_log_dir.empty()) co_return refuse("No log directories found in the configuration.");
  Result<ChosenFeatures> chosen = choose_features(options);
  KLAMM_CO_TRY(chosen);
  Result<void> quorum = check_quorum(options, *chosen);
  KLAMM_CO_TRY(quorum);

  FormatReport report;
  report.version = chosen->version;
  report.features = chosen->features;
  std::vector<std::string> wanted;
  for (const std::string& directory : all_directories(options)) {
    Result<std::optional<storage::MetaProperties>> meta =
        co_await storage::load_meta_properties(shard.files(), directory);
    KLAMM_CO_TRY(meta);
    if (!*meta) {
      wanted.push_back(directory);
      continue;
    }
    if (!options.ignore_formatted) {
      co_return fail(Errc::already_exists, fmt::format("Log directory {} is already formatted. Use --ignore-formatted "
                                                       "to ignore this directory and format the others.",
                                                       directory));
    }
    if ((*meta)->cluster_id != options.cluster_id || (*meta)->node_id != options.node_id) {
      co_return refuse(fmt::format("Log directory {} belongs to cluster {} and node {}, not to cluster {} and node {}.",
                                   directory, (*meta)->cluster_id, (*meta)->node_id, options.cluster_id,
                                   options.node_id));
    }
  }
  for (const std::string& directory : wanted) {
    Result<void> done = co_await format_directory(shard, options, *chosen, directory);
    KLAMM_CO_TRY(done);
    report.lines.push_back(describe(options, directory, chosen->version));
    report.formatted_any = true;
  }
  if (!report.formatted_any) report.lines.push_back("All of the log directories are already formatted.");
  co_return std::move(report);
}

io::Task<StorageInfo> inspect_storage(io::Shard& shard, std::vector<std::string> directories, std::int32_t node_id) {
  StorageInfo info;
  std::set<std::string> clusters;
  std::set<Uuid> directory_ids;
  for (std::string& path : directories) {
    DirectoryInfo directory;
    directory.path = std::move(path);
    Result<io::FileInfo> found = co_await shard.files().stat(directory.path);
    directory.exists = found.has_value() && found->is_directory;
    if (!directory.exists) {
      info.problems.push_back(directory.path + (found ? " is not a directory" : " does not exist"));
      info.directories.push_back(std::move(directory));
      continue;
    }
    Result<std::optional<storage::MetaProperties>> meta =
        co_await storage::load_meta_properties(shard.files(), directory.path);
    if (!meta) {
      directory.problem = meta.error().message();
      info.problems.push_back(fmt::format(
          "Unable to read {}: {}", io::join_path(directory.path, storage::kMetaPropertiesFile), *directory.problem));
    } else if (!*meta) {
      info.problems.push_back(directory.path + " is not formatted.");
    } else {
      directory.meta = std::move(**meta);
      clusters.insert(directory.meta->cluster_id);
      if (node_id >= 0 && directory.meta->node_id != node_id) {
        info.problems.push_back(fmt::format("{} belongs to node {}, but the configured node id is {}.", directory.path,
                                            directory.meta->node_id, node_id));
      }
      if (!directory.meta->directory_id.is_zero() && !directory_ids.insert(directory.meta->directory_id).second) {
        info.problems.push_back(fmt::format("{} has a directory id that another directory has: {}", directory.path,
                                            directory.meta->directory_id.text()));
      }
    }
    info.directories.push_back(std::move(directory));
  }
  if (clusters.size() > 1) {
    std::string names;
    for (const std::string& cluster : clusters) names += (names.empty() ? "" : ", ") + cluster;
    info.problems.push_back("The directories belong to different clusters: " + names);
  }
  co_return std::move(info);
}

io::Task<Result<std::optional<Records>>> load_bootstrap(io::Shard& shard, std::string directory) {
  const std::string path = io::join_path(directory, kBootstrapFile);
  Result<Slice> content = co_await io::read_file(shard.files(), path);
  if (!content) {
    if (content.error() == Errc::not_found) co_return std::nullopt;
    co_return fail(std::move(content).error());
  }
  Records records;
  raft::SnapshotReader reader(raft::kBootstrapSnapshotId, std::move(*content));
  while (true) {
    Result<std::optional<raft::Batch>> batch = reader.next();
    if (!batch) co_return fail(std::move(batch).error().in(path));
    if (!*batch) break;
    for (const Slice& value : (*batch)->values) {
      Result<Record> record = decode_record(value);
      if (!record) co_return fail(std::move(record).error().in(path));
      records.push_back(std::move(*record));
    }
  }
  co_return std::optional<Records>(std::move(records));
}

}  // namespace klamm::metadata
