#include <algorithm>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/cluster_demo.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("cluster",
                  "Prints the cluster's id and endpoints, unregisters a broker; runs a cluster for trying out.",
                  Options::Style::argparse);
  options.words("cluster-id | list-endpoints | unregister | demo", 1,
                "cluster-id: prints the cluster's id. list-endpoints: prints the brokers. unregister: takes a broker "
                "that is gone for good out of the cluster's metadata. demo: runs a cluster of several brokers in this "
                "process, on 127.0.0.1, until Ctrl-C.");
  options.text("-b,--bootstrap-server", "host:port,...", "The brokers to connect to first.");
  options.text("-C,--bootstrap-controller", "host:port,...",
               "The controllers to connect to first, instead of brokers; list-endpoints then prints controllers.");
  options.text("-c,--command-config", "file", "A properties file with settings of the admin client.");
  options.text("--config", "file", "Deprecated: use --command-config.");
  options.int32("-i,--id", "id", "unregister: the broker.");
  options.flag("--include-fenced-brokers", "list-endpoints: with brokers that are fenced.");
  declare_cluster_demo(options);
  return options;
}

// Brokers, or controllers, which have no state to tell.
int print_endpoints(const ClusterDescription& cluster, bool controllers) {
  std::size_t host_width = 1;
  std::size_t rack_width = 10;
  for (const Node& node : cluster.nodes) {
    host_width = std::max(host_width, node.host.size());
    rack_width = std::max(rack_width, node.rack.value_or("").size());
  }
  const auto line = [&](std::string_view id, std::string_view host, std::string_view port, std::string_view rack,
                        std::string_view state, std::string_view type) {
    const std::string shown = controllers ? "" : fmt::format("{:<10} ", state);
    print("{:<10} {:<{}} {:<10} {:<{}} {}{:<15}\n", id, host, host_width, port, rack, rack_width, shown, type);
  };
  line("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE");
  for (const Node& node : cluster.nodes) {
    line(std::to_string(node.id), node.host, std::to_string(node.port), node.rack.value_or("null"),
         node.fenced ? "fenced" : "unfenced", controllers ? "controller" : "broker");
  }
  return 0;
}

}  // namespace

int run_cluster(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.words().empty())
    return options.usage_error("one of cluster-id, list-endpoints, unregister and demo is wanted");
  const std::string& command = options.words().front();
  if (const auto status = check_cluster_demo(options, command == "demo")) return *status;
  if (command == "demo") return run_cluster_demo(options);
  if (command != "cluster-id" && command != "list-endpoints" && command != "unregister") {
    return options.usage_error(
        fmt::format("there is no command '{}': cluster-id, list-endpoints, unregister and demo are there", command));
  }
  if (const auto status = options.check_bootstrap()) return *status;
  if (options.has("config") && options.has("command-config"))
    return fail_text("--config and --command-config cannot be specified together.");
  if (command == "unregister" && !options.has("id")) return options.usage_error("argument --id/-i is required");
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  if (command == "unregister") {
    const auto id = static_cast<std::int32_t>(options.number_or("id", -1));
    Result<UnregisterBroker::Outcome> done = admin->unregister_broker({.broker_id = id});
    if (!done) return fail_text(reason_of(done.error()));
    print("Broker {} is no longer registered.\n", id);
    return 0;
  }
  const bool controllers = options.has("bootstrap-controller");
  const bool fenced = options.has("include-fenced-brokers");
  if (command == "list-endpoints" && controllers && fenced) {
    return fail_text("The option --include-fenced-brokers is only supported with --bootstrap-server option");
  }
  Result<DescribeCluster::Outcome> cluster = admin->describe_cluster({.fenced_brokers = fenced});
  if (!cluster) return fail_text(reason_of(cluster.error()));
  if (command == "list-endpoints") return print_endpoints(*cluster, controllers);
  print("Cluster ID: {}\n", cluster->cluster_id);
  return 0;
}

}  // namespace klamm::tools
