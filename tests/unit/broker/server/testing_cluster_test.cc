#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "io/machine.h"
#include "klamm/broker.h"
#include "klamm/testing.h"
#include "tests/unit/why.h"

using namespace klamm;
using klamm::testing::Cluster;
using klamm::testing::ClusterOptions;

namespace {

// A directory that is gone at the end.
class Folder {
 public:
  Folder() {
    char name[] = "/tmp/klamm-cluster-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

ClusterOptions quiet(int nodes, std::string directory = {}) {
  ClusterOptions options;
  options.nodes = nodes;
  options.directory = std::move(directory);
  options.log = [](LogLevel, std::string_view, std::string_view) {};
  return options;
}

std::string refusal(ClusterOptions options, Errc errc = Errc::invalid_argument) {
  Result<Cluster> cluster = Cluster::start(std::move(options));
  REQUIRE_FALSE(cluster.has_value());
  CHECK(cluster.error() == errc);
  return cluster.error().message();
}

bool contains(const std::string& text, std::string_view part) {
  if (text.find(part) == std::string::npos) MESSAGE(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a cluster's nodes are stopped, killed and started again, on their ports and their data") {
  Folder folder;
  std::string id;
  {
    Result<Cluster> started = Cluster::start(quiet(3, folder / "data"));
    REQUIRE_MESSAGE(started.has_value(), why_of(started));
    Cluster cluster = std::move(*started);
    id = cluster.cluster_id();
    const std::string servers = cluster.bootstrap_servers();
    CHECK(servers == cluster.address(1) + "," + cluster.address(2) + "," + cluster.address(3));
    REQUIRE(cluster.kill_node(1));
    CHECK_FALSE(cluster.running(1));
    CHECK(cluster.running(2));
    REQUIRE(cluster.kill_node(1));  // dead already
    Result<void> again = cluster.start_node(1);
    REQUIRE_MESSAGE(again.has_value(), why_of(again));
    CHECK(cluster.running(1));
    REQUIRE(cluster.stop_node(2));
    CHECK_FALSE(cluster.running(2));
    again = cluster.start_node(2);
    REQUIRE_MESSAGE(again.has_value(), why_of(again));
    CHECK(cluster.bootstrap_servers() == servers);
    cluster.stop();
    cluster.stop();
    CHECK_FALSE(cluster.running(3));
  }
  Result<Cluster> next = Cluster::start(quiet(3, folder / "data"));
  REQUIRE_MESSAGE(next.has_value(), why_of(next));
  CHECK(next->cluster_id() == id);
}

TEST_CASE("a cluster in memory comes back after all its nodes were killed") {
  Result<Cluster> cluster = Cluster::start(quiet(1));
  REQUIRE_MESSAGE(cluster.has_value(), why_of(cluster));
  REQUIRE(cluster->kill_node(1));
  Result<void> again = cluster->start_node(1);
  REQUIRE_MESSAGE(again.has_value(), why_of(again));
}

TEST_CASE("a node that is not there is told") {
  ClusterOptions options = quiet(3);
  Result<Cluster> cluster = Cluster::start(std::move(options));
  REQUIRE_MESSAGE(cluster.has_value(), why_of(cluster));
  for (int node = 0; node <= 4; node += 4) {
    CHECK(cluster->start_node(node).error() == Errc::invalid_argument);
    CHECK(cluster->stop_node(node).error() == Errc::invalid_argument);
    CHECK(cluster->kill_node(node).error() == Errc::invalid_argument);
    CHECK_FALSE(cluster->running(node));
    CHECK(cluster->address(node).empty());
  }
}

TEST_CASE("a cluster refuses what cannot be, and leaves nothing behind") {
  Folder folder;
  CHECK(contains(refusal(quiet(0)), "0 nodes"));
  CHECK(contains(refusal(quiet(-1)), "-1 nodes"));
  CHECK(contains(refusal(quiet(17)), "17 nodes"));
  ClusterOptions options = quiet(3, folder / "new");
  options.first_port = 65'531;
  CHECK(contains(refusal(options), "65531"));
  options = quiet(3, folder / "new");
  options.settings["node.id"] = "7";
  CHECK(contains(refusal(options), "node.id"));
  options = quiet(3, folder / "new");
  options.settings["num.partitions"] = "none";
  CHECK(contains(refusal(options), "num.partitions"));
  CHECK_FALSE(std::filesystem::exists(folder / "new"));
}

TEST_CASE("a cluster tells of a port in use before it writes anything") {
  Folder folder;
  io::Machine machine({.shards = 1, .disk_threads = 1});
  std::unique_ptr<io::Listener> taken;
  auto listen = [&taken](io::Shard& shard) -> io::Task<Result<void>> {
    Result<std::unique_ptr<io::Listener>> listener = shard.listen({"127.0.0.1", 0}, 1);
    KLAMM_CO_TRY(listener);
    taken = std::move(*listener);
    co_return Result<void>();
  };
  REQUIRE(machine.run(0, listen(machine.at(0))));
  ClusterOptions options = quiet(3, folder / "new");
  options.first_port = taken->local().port;
  Result<Cluster> cluster = Cluster::start(std::move(options));
  REQUIRE_FALSE(cluster.has_value());
  CHECK(contains(cluster.error().message(), taken->local().text()));
  CHECK_FALSE(std::filesystem::exists(folder / "new"));
  auto close = [&taken]() -> io::Task<void> {
    taken.reset();
    co_return;
  };
  machine.run(0, close());
}

TEST_CASE("a cluster does not take a directory that is something else's") {
  Folder folder;
  std::ofstream(folder / "letter.txt") << "dear";
  CHECK(contains(refusal(quiet(3, folder.path())), "letter.txt"));
  {
    BrokerOptions options;
    options.directory = folder / "single";
    options.log = [](LogLevel, std::string_view, std::string_view) {};
    Result<Broker> broker = Broker::start(options);
    REQUIRE_MESSAGE(broker.has_value(), why_of(broker));
  }
  CHECK(contains(refusal(quiet(1, folder / "single")), folder / "single"));
  for (const char* name : {"one", "other"}) {
    Result<Cluster> cluster = Cluster::start(quiet(1, folder / name));
    REQUIRE_MESSAGE(cluster.has_value(), why_of(cluster));
  }
  CHECK(contains(refusal(quiet(3, folder / "one")), "a cluster of 1 node"));
  std::filesystem::rename(folder / "other/node-1", folder / "one/node-2");
  CHECK(contains(refusal(quiet(2, folder / "one")), "node 1"));
}

TEST_CASE("two clusters do not share a directory") {
  Folder folder;
  Result<Cluster> first = Cluster::start(quiet(1, folder / "data"));
  REQUIRE_MESSAGE(first.has_value(), why_of(first));
  CHECK(contains(refusal(quiet(1, folder / "data"), Errc::unavailable), "/data/node-1"));
}
