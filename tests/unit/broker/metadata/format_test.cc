#include "broker/metadata/format.h"

#include <doctest/doctest.h>

#include "broker/raft/snapshot.h"
#include "io/sim/simulation.h"

namespace klamm::metadata {
namespace {

using io::sim::Node;
using io::sim::Simulation;

FormatOptions standalone() {
  FormatOptions options;
  options.cluster_id = "MkU3OEVBNTcwNTJENDM2Qg";
  options.node_id = 1;
  options.log_dirs = {"/a", "/b"};
  options.quorum = QuorumFormat::standalone;
  options.controller_listeners = {{"CONTROLLER", "localhost", 9093}};
  return options;
}

struct Disk {
  explicit Disk(std::uint64_t seed) : simulation(seed), node(simulation.add_node("n1")), shard(node.shard()) {}
  Result<FormatReport> format(FormatOptions options) {
    return simulation.run(shard, format_storage(shard, std::move(options)));
  }
  Slice read(std::string path) {
    Result<Slice> content = simulation.run(shard, io::read_file(shard.files(), path));
    REQUIRE_MESSAGE(content.has_value(), path);
    return *content;
  }
  bool exists(std::string path) { return simulation.run(shard, shard.files().stat(path)).has_value(); }

  Simulation simulation;
  Node& node;
  io::Shard& shard;
};

TEST_CASE("format writes Kafka's files into every directory, and the first voter into the metadata one") {
  Disk disk(1);
  Result<FormatReport> report = disk.format(standalone());
  REQUIRE(report.has_value());
  CHECK(report->lines ==
        std::vector<std::string>{"Formatting dynamic metadata voter directory /a with metadata.version 4.3-IV0.",
                                 "Formatting data directory /b with metadata.version 4.3-IV0."});
  const StorageInfo info = disk.simulation.run(disk.shard, inspect_storage(disk.shard, {"/a", "/b"}, 1));
  CHECK(info.problems.empty());
  REQUIRE(info.directories.size() == 2);
  CHECK(info.directories[0].meta->cluster_id == "MkU3OEVBNTcwNTJENDM2Qg");
  CHECK(info.directories[0].meta->directory_id != info.directories[1].meta->directory_id);

  for (const char* directory : {"/a", "/b"}) {
    const auto records = disk.simulation.run(disk.shard, load_bootstrap(disk.shard, directory));
    REQUIRE(records.has_value());
    REQUIRE(records->has_value());
    REQUIRE((*records)->size() == 4);
    CHECK(std::get<messages::FeatureLevelRecord>((*records)->front().message).name == "metadata.version");
    CHECK(std::get<messages::FeatureLevelRecord>((*records)->front().message).feature_level == 30);
  }

  raft::SnapshotReader voters(raft::kBootstrapSnapshotId,
                              disk.read("/a/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint"));
  const auto header = voters.next();
  REQUIRE(header.has_value());
  CHECK((*header)->control_facts.kraft_version == 1);
  CHECK((*header)->control_facts.voters->is_only({1, info.directories[0].meta->directory_id}));
  const auto footer = voters.next();
  REQUIRE(footer.has_value());
  CHECK((*footer)->control_facts.snapshot_footer);
  CHECK_FALSE(voters.next()->has_value());
  CHECK_FALSE(disk.exists("/b/__cluster_metadata-0"));
}

TEST_CASE("Kafka's default features make a bootstrap file of Kafka's size") {
  Disk disk(2);
  FormatOptions options = standalone();
  options.kafka_defaults = true;
  REQUIRE(disk.format(options).has_value());
  CHECK(disk.read("/a/bootstrap.checkpoint").size() == 411);
}

TEST_CASE("a formatted directory is refused, or left alone when asked") {
  Disk disk(3);
  REQUIRE(disk.format(standalone()).has_value());
  const Slice before = disk.read("/a/meta.properties");
  CHECK(disk.format(standalone()).error() == Errc::already_exists);
  FormatOptions again = standalone();
  again.ignore_formatted = true;
  again.log_dirs.push_back("/c");
  Result<FormatReport> report = disk.format(again);
  REQUIRE(report.has_value());
  CHECK(report->lines.size() == 1);
  CHECK(disk.exists("/c/meta.properties"));
  CHECK(disk.read("/a/meta.properties") == before);
  report = disk.format(again);
  CHECK_FALSE(report->formatted_any);
  CHECK(report->lines.at(0) == "All of the log directories are already formatted.");
  again.cluster_id = "another";
  CHECK(disk.format(again).error() == Errc::invalid_argument);
}

TEST_CASE("a static quorum and a joining controller get no voters") {
  for (const QuorumFormat quorum : {QuorumFormat::static_voters, QuorumFormat::no_initial_controllers}) {
    Disk disk(4);
    FormatOptions options = standalone();
    options.quorum = quorum;
    REQUIRE(disk.format(options).has_value());
    CHECK_FALSE(disk.exists("/a/__cluster_metadata-0"));
  }
}

TEST_CASE("the directory of an initial controller gets the id that was given") {
  Disk disk(5);
  FormatOptions options = standalone();
  options.quorum = QuorumFormat::initial_controllers;
  options.initial_controllers = {raft::Voter{{1, Uuid{6, 1}}, {{"CONTROLLER", "a", 1}}},
                                 raft::Voter{{2, Uuid{6, 2}}, {{"CONTROLLER", "b", 1}}}};
  REQUIRE(disk.format(options).has_value());
  const StorageInfo info = disk.simulation.run(disk.shard, inspect_storage(disk.shard, {"/a"}, 1));
  CHECK(info.directories[0].meta->directory_id == Uuid{6, 1});
  options.initial_controllers.erase(options.initial_controllers.begin());
  options.log_dirs = {"/x"};
  options.metadata_log_dir = "/x";
  CHECK(disk.format(options).error() == Errc::invalid_argument);
}

TEST_CASE("features and releases are chosen as asked, and refused where they cannot be") {
  FormatOptions options = standalone();
  options.release_version = "4.1";
  CHECK(choose_features(options)->version.level == 27);
  options.release_version = "4.0-IV1";
  CHECK(choose_features(options)->features == FeatureLevels{{"group.version", 1}});
  options.release_version = "9.9";
  CHECK(choose_features(options).error() == Errc::invalid_argument);
  options.release_version = "4.4";
  CHECK_FALSE(choose_features(options).has_value());
  options.release_version = std::nullopt;
  options.features = {{"transaction.version", 1}, {"group.version", 0}};
  CHECK(choose_features(options)->features ==
        FeatureLevels{{"eligible.leader.replicas.version", 1}, {"transaction.version", 1}});
  options.features = {{"metadata.version", 25}};
  CHECK(choose_features(options)->version.level == 25);
  for (const FeatureLevels& bad : {FeatureLevels{{"no.such", 1}}, FeatureLevels{{"group.version", 2}},
                                   FeatureLevels{{"share.version", 1}}, FeatureLevels{{"metadata.version", 6}}}) {
    options.features = bad;
    CHECK_FALSE(choose_features(options).has_value());
  }
  options.features = {{"eligible.leader.replicas.version", 1}};
  options.release_version = "3.9";
  CHECK_FALSE(choose_features(options).has_value());
}

TEST_CASE("inspection finds directories that do not belong together") {
  Disk disk(6);
  FormatOptions options = standalone();
  options.log_dirs = {"/a"};
  REQUIRE(disk.format(options).has_value());
  options.log_dirs = {"/b"};
  options.metadata_log_dir = "/b";
  options.cluster_id = "other";
  REQUIRE(disk.format(options).has_value());
  CHECK(disk.simulation.run(disk.shard, inspect_storage(disk.shard, {"/a", "/b"}, 1)).problems.size() == 1);
  CHECK(disk.simulation.run(disk.shard, inspect_storage(disk.shard, {"/a"}, 2)).problems.size() == 1);
  CHECK(disk.simulation.run(disk.shard, inspect_storage(disk.shard, {"/nowhere"}, 1)).problems.size() == 1);
}

}  // namespace
}  // namespace klamm::metadata
