// klamm::testing::Cluster: several nodes in this process, and a thread that starts them side by side.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <vector>

#include "broker/server/embedded_node.h"
#include "broker/storage/checkpoint.h"
#include "io/sync.h"
#include "klamm/testing.h"

namespace klamm::testing {
namespace {

constexpr int kMostNodes = 16;
constexpr const char* kHost = "127.0.0.1";
constexpr const char* kMemoryDirectory = "/memory";
// Below those that systems give to connections: a node that is started again must find its port free.
constexpr int kLowestPort = 16'000;
constexpr int kHighestPort = 31'999;
constexpr int kTries = 1000;

// What makes the nodes a cluster.
constexpr std::string_view kOwnSettings[] = {"node.id",
                                             "broker.id",
                                             "process.roles",
                                             "controller.listener.names",
                                             "listeners",
                                             "log.dirs",
                                             "metadata.log.dir",
                                             "controller.quorum.voters",
                                             "controller.quorum.bootstrap.servers",
                                             "log.dir",
                                             "advertised.listeners"};

Result<void> check(const ClusterOptions& options) {
  if (options.nodes < 1 || options.nodes > kMostNodes) {
    return fail(Errc::invalid_argument,
                fmt::format("a cluster of {} nodes: 1 to {} are possible", options.nodes, kMostNodes));
  }
  if (options.first_port != 0 && options.first_port + 2 * options.nodes - 1 > 65'535) {
    return fail(Errc::invalid_argument, fmt::format("port {}: {} ports are needed from there on, and 65535 is the last",
                                                    options.first_port, 2 * options.nodes));
  }
  for (const std::string_view own : kOwnSettings) {
    if (options.settings.contains(std::string(own))) {
      return fail(Errc::invalid_argument, fmt::format("{} is the cluster's own to set", own));
    }
  }
  return {};
}

std::string directory_of(const ClusterOptions& options, int node) {
  if (options.directory.empty()) return kMemoryDirectory;
  return io::join_path(options.directory, fmt::format("node-{}", node));
}

// `ports`: the brokers', then the controllers'.
Result<config::BrokerConfig> configure(const ClusterOptions& options, int node, const std::vector<int>& ports) {
  std::string voters;
  for (int each = 1; each <= options.nodes; ++each) {
    voters += fmt::format("{}{}@{}:{}", each == 1 ? "" : ",", each, kHost,
                          ports[static_cast<std::size_t>(options.nodes + each - 1)]);
  }
  const std::string replicas = std::to_string(std::min(3, options.nodes));
  const std::string in_sync = std::to_string(std::max(1, std::min(3, options.nodes) - 1));
  ConfigMap settings{
      {"node.id", std::to_string(node)},
      {"process.roles", "broker,controller"},
      {"controller.listener.names", "CONTROLLER"},
      {"listeners",
       fmt::format("PLAINTEXT://{0}:{1},CONTROLLER://{0}:{2}", kHost, ports[static_cast<std::size_t>(node - 1)],
                   ports[static_cast<std::size_t>(options.nodes + node - 1)])},
      {"controller.quorum.voters", voters},
      {"log.dirs", directory_of(options, node)},
      {"default.replication.factor", replicas},
      {"min.insync.replicas", in_sync},
      {"offsets.topic.replication.factor", replicas},
      {"transaction.state.log.replication.factor", replicas},
      {"transaction.state.log.min.isr", in_sync},
      {"share.coordinator.state.topic.replication.factor", replicas},
      {"share.coordinator.state.topic.min.isr", in_sync},
      {"broker.session.timeout.ms", "3000"},
      {"broker.heartbeat.interval.ms", "500"},
  };
  for (const auto& [key, value] : options.settings) settings.insert_or_assign(key, value);
  return config::BrokerConfig::parse(std::move(settings));
}

tl::unexpected<Error> other_content(const std::string& directory, std::string what) {
  return fail(Errc::invalid_argument,
              fmt::format("{} {}: name a directory that is empty or not there yet", directory, std::move(what)));
}

// The id of the cluster whose data lies there; a new one if nothing does. Errc::invalid_argument if something else
// does.
io::Task<Result<std::string>> find_cluster(io::Shard& shard, const ClusterOptions& options) {
  const std::string fresh = Uuid::random(shard.random()).text();
  if (options.directory.empty()) co_return fresh;
  Result<std::vector<std::string>> names = co_await shard.files().list(options.directory);
  if (!names && names.error() == Errc::not_found) co_return fresh;
  KLAMM_CO_TRY(names);
  if (names->empty()) co_return fresh;
  std::optional<std::string> found;
  int nodes = 0;
  for (const std::string& name : *names) {
    if (!name.starts_with("node-")) co_return other_content(options.directory, fmt::format("holds {}", name));
    const std::string path = io::join_path(options.directory, name);
    Result<std::optional<storage::MetaProperties>> meta = co_await storage::load_meta_properties(shard.files(), path);
    KLAMM_CO_TRY(meta);
    if (!*meta) co_return other_content(options.directory, fmt::format("holds {}, which is not formatted", name));
    if (name != fmt::format("node-{}", (*meta)->node_id)) {
      co_return other_content(path, fmt::format("holds the data of node {}", (*meta)->node_id));
    }
    if (found && *found != (*meta)->cluster_id) {
      co_return other_content(options.directory,
                              fmt::format("holds nodes of two clusters, {} and {}", *found, (*meta)->cluster_id));
    }
    found = (*meta)->cluster_id;
    ++nodes;
  }
  if (nodes != options.nodes) {
    co_return fail(
        Errc::invalid_argument,
        fmt::format("{} holds a cluster of {} nodes, not {}: start it with as many, or name another directory",
                    options.directory, nodes, options.nodes));
  }
  co_return *found;
}

// Ports that can be had now. The first that cannot, of those wanted, is the error.
Result<std::vector<int>> find_ports(io::Shard& shard, const ClusterOptions& options) {
  const int count = 2 * options.nodes;
  std::vector<int> ports;
  std::vector<std::unique_ptr<io::Listener>> held;
  for (int tries = 0; static_cast<int>(ports.size()) < count; ++tries) {
    const int port = options.first_port != 0 ? options.first_port + static_cast<int>(ports.size())
                                             : static_cast<int>(shard.random().between(kLowestPort, kHighestPort));
    if (std::find(ports.begin(), ports.end(), port) != ports.end()) continue;
    Result<std::unique_ptr<io::Listener>> listener = shard.listen({kHost, static_cast<std::uint16_t>(port)}, 1);
    if (!listener && (options.first_port != 0 || tries >= kTries)) return fail(std::move(listener.error()));
    if (!listener) continue;
    held.push_back(std::move(*listener));
    ports.push_back(port);
  }
  return ports;
}

}  // namespace

class Cluster::Impl {
 public:
  explicit Impl(ClusterOptions options) : options_(std::move(options)), home_({.shards = 1, .disk_threads = 1}) {}
  ~Impl() { stop(); }

  Result<void> start();
  Result<void> start_node(int number);
  Result<void> stop_node(int number);
  Result<void> kill_node(int number);
  void stop();

  int size() const noexcept { return options_.nodes; }
  const std::string& bootstrap_servers() const noexcept { return bootstrap_; }
  std::string address(int number) const {
    return is_node(number) ? fmt::format("{}:{}", kHost, ports_[at(number)]) : "";
  }
  const std::string& cluster_id() const noexcept { return cluster_id_; }
  bool running(int number) const { return is_node(number) && nodes_[at(number)]->running(); }

 private:
  using Nodes = std::vector<server::EmbeddedNode*>;

  static std::size_t at(int number) { return static_cast<std::size_t>(number - 1); }
  bool is_node(int number) const { return number >= 1 && number <= static_cast<int>(nodes_.size()); }
  Result<void> check_node(int number) const;
  bool majority(int running) const { return 2 * running > options_.nodes; }
  int count_running() const;
  io::Shard& home() { return home_.at(0); }

  io::Task<Result<void>> prepare();
  io::Task<Result<void>> start_all(Nodes nodes);
  io::Task<void> start_one(server::EmbeddedNode& node, const Nodes& all, Result<void>& started);

  ClusterOptions options_;
  io::Machine home_;  // of what concerns all nodes
  std::vector<int> ports_;
  std::string cluster_id_;
  std::string bootstrap_;
  std::vector<std::unique_ptr<server::EmbeddedNode>> nodes_;
};

// Everything is looked at before anything is written.
io::Task<Result<void>> Cluster::Impl::prepare() {
  Result<std::string> cluster = co_await find_cluster(home(), options_);
  KLAMM_CO_TRY(cluster);
  cluster_id_ = std::move(*cluster);
  Result<std::vector<int>> ports = find_ports(home(), options_);
  KLAMM_CO_TRY(ports);
  ports_ = std::move(*ports);
  for (int number = 1; number <= options_.nodes; ++number) {
    Result<config::BrokerConfig> config = configure(options_, number, ports_);
    KLAMM_CO_TRY(config);
    const server::EmbeddedOptions embedded{options_.shards, options_.directory.empty(), fmt::format("node {}/", number),
                                           options_.log};
    nodes_.push_back(std::make_unique<server::EmbeddedNode>(std::move(*config), embedded));
    bootstrap_ += fmt::format("{}{}:{}", number == 1 ? "" : ",", kHost, ports_[at(number)]);
  }
  for (const auto& node : nodes_) {
    const auto format = [this, &node] { return node->format_if_new(cluster_id_); };
    Result<void> formatted = co_await io::call(home(), node->machine().at(0), format);
    KLAMM_CO_TRY(formatted);
  }
  co_return Result<void>();
}

io::Task<void> Cluster::Impl::start_one(server::EmbeddedNode& node, const Nodes& all, Result<void>& started) {
  const auto start = [&node] { return node.start(); };
  started = co_await io::call(home(), node.machine().at(0), start);
  if (started) co_return;
  for (server::EmbeddedNode* other : all) other->interrupt();  // they may be waiting for this one
}

// Side by side: each waits for the quorum. If one fails all do, and none runs.
io::Task<Result<void>> Cluster::Impl::start_all(Nodes nodes) {
  bool late = false;
  std::vector<Result<void>> started(nodes.size());
  io::Timer patience(home(), [&nodes, &late] {
    late = true;
    for (server::EmbeddedNode* node : nodes) node->interrupt();
  });
  patience.arm_in(std::chrono::duration_cast<Duration>(options_.start_timeout));
  io::Gate starting(home());
  for (std::size_t index = 0; index < nodes.size(); ++index) {
    starting.spawn(start_one(*nodes[index], nodes, started[index]));
  }
  co_await starting.close();
  patience.cancel();
  // The first cause: the others were only told to end.
  const Error* cause = nullptr;
  for (const Result<void>& one : started) {
    if (!one && (cause == nullptr || *cause == Errc::cancelled)) cause = &one.error();
  }
  if (cause == nullptr) co_return Result<void>();
  if (late && *cause == Errc::cancelled) {
    co_return fail(Errc::timed_out, fmt::format("the nodes did not come to serve within {} ms: a majority of the {} "
                                                "nodes of the cluster must run",
                                                options_.start_timeout.count(), options_.nodes));
  }
  co_return fail(*cause);
}

Result<void> Cluster::Impl::start() {
  Result<void> checked = check(options_);
  KLAMM_TRY(checked);
  Result<void> prepared = home_.run(0, prepare());
  KLAMM_TRY(prepared);
  Nodes all;
  for (const auto& node : nodes_) all.push_back(node.get());
  return home_.run(0, start_all(std::move(all)));
}

Result<void> Cluster::Impl::check_node(int number) const {
  if (is_node(number)) return {};
  return fail(Errc::invalid_argument, fmt::format("there is no node {}: they are numbered 1 to {}", number, size()));
}

int Cluster::Impl::count_running() const {
  return static_cast<int>(
      std::count_if(nodes_.begin(), nodes_.end(), [](const auto& node) { return node->running(); }));
}

Result<void> Cluster::Impl::start_node(int number) {
  Result<void> checked = check_node(number);
  KLAMM_TRY(checked);
  if (running(number)) return {};
  return home_.run(0, start_all({nodes_[at(number)].get()}));
}

Result<void> Cluster::Impl::stop_node(int number) {
  Result<void> checked = check_node(number);
  KLAMM_TRY(checked);
  if (!running(number)) return {};
  server::EmbeddedNode& node = *nodes_[at(number)];
  // Without a majority there is no controller to be asked.
  node.machine().run(0, node.stop(!majority(count_running())));
  return {};
}

Result<void> Cluster::Impl::kill_node(int number) {
  Result<void> checked = check_node(number);
  KLAMM_TRY(checked);
  nodes_[at(number)]->kill();
  return {};
}

void Cluster::Impl::stop() {
  for (int number = 1; number <= static_cast<int>(nodes_.size()); ++number) {
    const Result<void> stopped = stop_node(number);
    static_cast<void>(stopped);  // there is such a node
  }
}

Result<Cluster> Cluster::start(ClusterOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  Result<void> started = impl->start();
  KLAMM_TRY(started);
  return Cluster(std::move(impl));
}

Cluster Cluster::in_memory(int nodes) {
  ClusterOptions options;
  options.nodes = nodes;
  Result<Cluster> cluster = start(std::move(options));
  if (!cluster) throw std::runtime_error("klamm::testing::Cluster::in_memory: " + cluster.error().message());
  return std::move(*cluster);
}

Cluster::Cluster(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Cluster::Cluster(Cluster&&) noexcept = default;
Cluster& Cluster::operator=(Cluster&&) noexcept = default;
Cluster::~Cluster() = default;
int Cluster::size() const noexcept { return impl_->size(); }
const std::string& Cluster::bootstrap_servers() const noexcept { return impl_->bootstrap_servers(); }
std::string Cluster::address(int node) const { return impl_->address(node); }
const std::string& Cluster::cluster_id() const noexcept { return impl_->cluster_id(); }
bool Cluster::running(int node) const { return impl_->running(node); }
Result<void> Cluster::start_node(int node) { return impl_->start_node(node); }
Result<void> Cluster::stop_node(int node) { return impl_->stop_node(node); }
Result<void> Cluster::kill_node(int node) { return impl_->kill_node(node); }
void Cluster::stop() { impl_->stop(); }

}  // namespace klamm::testing
