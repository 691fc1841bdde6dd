#include <algorithm>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("cluster", "Prints the cluster's id and endpoints, unregisters a broker.", Options::Style::argparse);
  options.words("cluster-id | list-endpoints | unregister", 1,
                "cluster-id: prints the cluster's id. list-endpoints: prints the brokers. unregister: takes a broker "
                "that is gone for good "
                "out of the cluster's metadata.");
  options.text("-b,--bootstrap-server", "host:port,...", "The brokers to connect to first.");
  options.text("-C,--bootstrap-controller", "host:port,...", "Controllers to connect to: not served yet.");
  options.text("-c,--command-config", "file", "A properties file with settings of the admin client.");
  options.text("--config", "file", "Deprecated: use --command-config.");
  options.int32("-i,--id", "id", "unregister: the broker.");
  options.flag("--include-fenced-brokers", "list-endpoints: with brokers that are fenced.");
  return options;
}

int print_endpoints(const ClusterDescription& cluster, bool fenced) {
  std::size_t width = 1;
  for (const Node& node : cluster.nodes) width = std::max(width, node.host.size());
  const auto line = [&](std::string_view id, std::string_view host, std::string_view port, std::string_view rack,
                        std::string_view state) {
    print("{:<10} {:<{}} {:<10} {:<10} {:<10} {:<15}\n", id, host, width, port, rack, state,
          state == "STATE" ? "ENDPOINT_TYPE" : "broker");
  };
  line("ID", "HOST", "PORT", "RACK", "STATE");
  for (const Node& node : cluster.nodes) {
    if (node.fenced && !fenced) continue;
    line(std::to_string(node.id), node.host, std::to_string(node.port), node.rack.value_or("null"),
         node.fenced ? "fenced" : "unfenced");
  }
  return 0;
}

}  // namespace

int run_cluster(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.words().empty()) return options.usage_error("one of cluster-id, list-endpoints and unregister is wanted");
  const std::string& command = options.words().front();
  if (command != "cluster-id" && command != "list-endpoints" && command != "unregister") {
    return options.usage_error(
        fmt::format("there is no command '{}': cluster-id, list-endpoints and unregister are there", command));
  }
  if (options.has("bootstrap-controller"))
    return fail_text("--bootstrap-controller is not served yet: use --bootstrap-server");
  if (!options.has("bootstrap-server")) return options.usage_error("--bootstrap-server is required");
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
  const bool fenced = options.has("include-fenced-brokers");
  Result<DescribeCluster::Outcome> cluster = admin->describe_cluster({.fenced_brokers = fenced});
  if (!cluster) return fail_text(reason_of(cluster.error()));
  if (command == "list-endpoints") return print_endpoints(*cluster, fenced);
  print("Cluster ID: {}\n", cluster->cluster_id);
  return 0;
}

}  // namespace klamm::tools
