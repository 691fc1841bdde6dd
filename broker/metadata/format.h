// Making a node's directories: what `klamm storage format` and the self-formatting development broker write, and what
// `klamm storage info` reads. Kafka starts on the result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/features.h"
#include "broker/metadata/record.h"
#include "broker/raft/voters.h"
#include "broker/storage/checkpoint.h"
#include "io/shard.h"

namespace klamm::metadata {

constexpr std::string_view kBootstrapFile = "bootstrap.checkpoint";

// How the first voters of the metadata quorum become known.
enum class QuorumFormat {
  static_voters,  // controller.quorum.voters in every node's configuration; or a broker without the controller role
  standalone,     // --standalone: this node alone
  initial_controllers,     // --initial-controllers: those named
  no_initial_controllers,  // --no-initial-controllers: this node joins the quorum of others
};

struct FormatOptions {
  std::string cluster_id;
  std::int32_t node_id = -1;
  std::vector<std::string> log_dirs;  // log.dirs
  std::string metadata_log_dir;       // metadata.log.dir; one of log_dirs or another
  QuorumFormat quorum = QuorumFormat::static_voters;
  std::vector<raft::Endpoint> controller_listeners;  // --standalone: own addresses, as other nodes would see them
  std::vector<raft::Voter> initial_controllers;  // this node must be among them, with the directory id it shall have
  bool ignore_formatted = false;                 // leave formatted directories alone
  std::optional<std::string> release_version;    // "4.3", "4.3-IV0"
  FeatureLevels features;                        // --feature name=level
  // Kafka's own defaults finalize share groups and streams groups too; klamm's only what it serves.
  bool kafka_defaults = false;
};

// Node id, directories and controller listeners from the node's configuration. The quorum is left at static_voters: the
// command line (or the development broker: standalone) decides.
FormatOptions format_options(const config::BrokerConfig& file, std::string cluster_id);

struct FormatReport {
  MetadataVersion version;
  FeatureLevels features;          // finalized, without metadata.version
  std::vector<std::string> lines;  // what was done, for people
  bool formatted_any = false;      // false: all were formatted before
};

// Checks everything first, so that nothing is written where something is wrong. Errors (Errc::invalid_argument, or
// Errc::already_exists for a formatted directory) carry the sentence to print.
io::Task<Result<FormatReport>> format_storage(io::Shard& shard, FormatOptions options);

// The features that the options come to. Errc::invalid_argument as above.
struct ChosenFeatures {
  MetadataVersion version;
  FeatureLevels features;
};
Result<ChosenFeatures> choose_features(const FormatOptions& options);

// One directory as `info` shows it.
struct DirectoryInfo {
  std::string path;
  bool exists = false;
  std::optional<storage::MetaProperties> meta;
  std::optional<std::string> problem;  // meta.properties cannot be read
};
struct StorageInfo {
  std::vector<DirectoryInfo> directories;
  // Directories that contradict each other (cluster id, node id, a directory id twice), or are of another node than
  // `node_id`, or not formatted. Empty: all is well.
  std::vector<std::string> problems;
};
io::Task<StorageInfo> inspect_storage(io::Shard& shard, std::vector<std::string> directories, std::int32_t node_id);

// The records of bootstrap.checkpoint; nothing if the directory has none.
io::Task<Result<std::optional<Records>>> load_bootstrap(io::Shard& shard, std::string directory);

}  // namespace klamm::metadata
