#include "tools/cluster_demo.h"

#include <fmt/format.h>

#include "io/machine.h"
#include "klamm/testing.h"
#include "tools/client.h"
#include "tools/output.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kDirectory = "./klamm-demo";
constexpr int kBrokers = 3;

constexpr std::string_view kOfDemo[] = {"brokers", "directory", "port", "override"};
constexpr std::string_view kOfOthers[] = {
    "bootstrap-server", "bootstrap-controller", "command-config", "config", "id", "include-fenced-brokers"};

Result<testing::ClusterOptions> cluster_options(const Options& options) {
  testing::ClusterOptions cluster;
  cluster.nodes = static_cast<int>(options.number_or("brokers", kBrokers));
  cluster.directory = options.text_or("directory", kDirectory);
  if (cluster.directory.empty()) return fail(Errc::invalid_argument, "--directory: a name is wanted");
  const std::int64_t port = options.number_or("port", 0);
  if (port < 0 || port > 65'535 || (port == 0 && options.has("port"))) {
    return fail(Errc::invalid_argument, fmt::format("--port {}: a number from 1 to 65535 is wanted", port));
  }
  cluster.first_port = static_cast<std::uint16_t>(port);
  for (const std::string& text : options.all_of("override")) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
      return fail(Errc::invalid_argument, "--override " + text + ": key=value is wanted");
    cluster.settings.insert_or_assign(text.substr(0, equals), text.substr(equals + 1));
  }
  return cluster;
}

void print_ready(const testing::Cluster& cluster, const std::string& directory) {
  const std::string& servers = cluster.bootstrap_servers();
  print("A cluster of {} {} is ready, its data in {}.\nBootstrap servers: {}\n\n", cluster.size(),
        cluster.size() == 1 ? "broker" : "brokers", directory, servers);
  print("Try in another terminal:\n");
  print("  klamm topics --bootstrap-server {} --create --topic hello --partitions 3\n", servers);
  print("  klamm console-producer --bootstrap-server {} --topic hello\n", servers);
  print("  klamm console-consumer --bootstrap-server {} --topic hello --from-beginning\n\n", servers);
  print("Ctrl-C ends it; the same command goes on with its data.\n");
}

}  // namespace

void declare_cluster_demo(Options& options) {
  options.int32("--brokers", "number",
                fmt::format("demo: how many, each of them a controller too (default: {}).", kBrokers));
  options.text("--directory", "path",
               fmt::format("demo: where the brokers keep their data, each in a directory of its own; formatted when it "
                           "is empty or not there yet (default: {}).",
                           kDirectory));
  options.int32("--port", "port",
                "demo: the brokers listen on this port and those that follow, their controllers behind them (default: "
                "free ones are chosen).");
  options.many("--override", "key=value", "demo: a setting for all brokers, by the keys of server.properties.");
}

std::optional<int> check_cluster_demo(const Options& options, bool demo) {
  if (demo) {
    for (const std::string_view name : kOfOthers) {
      if (options.has(name)) return options.usage_error(fmt::format("--{} is not for demo", name));
    }
    return std::nullopt;
  }
  for (const std::string_view name : kOfDemo) {
    const bool given = name == "override" ? !options.all_of(name).empty() : options.has(name);
    if (given) return options.usage_error(fmt::format("--{} is for demo only", name));
  }
  return std::nullopt;
}

int run_cluster_demo(const Options& options) {
  Result<testing::ClusterOptions> wanted = cluster_options(options);
  if (!wanted) return fail_with("klamm cluster demo: {}", message_of(wanted.error()));
  io::raise_descriptor_limit();
  const std::string directory = wanted->directory;
  io::Machine machine({.shards = 1, .disk_threads = 0});
  Interrupt interrupt(machine);
  Result<testing::Cluster> cluster = testing::Cluster::start(std::move(*wanted));
  if (!cluster) return fail_with("klamm cluster demo: {}", message_of(cluster.error()));
  if (!interrupt.raised()) {
    print_ready(*cluster, directory);
    if (!flush_output()) return 1;
  }
  interrupt.wait();
  cluster->stop();
  return 0;
}

}  // namespace klamm::tools
