#include <algorithm>
#include <memory>

#include "base/properties.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/format.h"
#include "broker/server/node.h"
#include "broker/storage/checkpoint.h"
#include "io/machine.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kController = "CONTROLLER";

Options declare() {
  Options options("server", "Runs a Kafka broker and controller.", Options::Style::argparse);
  options.words("[server.properties]", 1,
                "The file has Kafka's keys, and its directories must have been formatted by `klamm storage format`. "
                "Without a file: a "
                "development broker on localhost:9092 that keeps its data in ./klamm-data and formats that by itself.");
  options.many("--override", "key=value", "A setting that goes before that of the file.");
  return options;
}

// What a development broker runs with; overrides go on top.
ConfigMap development_settings() {
  return {
      {"node.id", "1"},
      {"process.roles", "broker,controller"},
      {"controller.listener.names", std::string(kController)},
      {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
      {"controller.quorum.bootstrap.servers", "localhost:9093"},
      {"log.dirs", "./klamm-data"},
      {"offsets.topic.replication.factor", "1"},
      {"transaction.state.log.replication.factor", "1"},
      {"transaction.state.log.min.isr", "1"},
      {"share.coordinator.state.topic.replication.factor", "1"},
      {"share.coordinator.state.topic.min.isr", "1"},
  };
}

// With listeners of the user's own, the controller gets one too, on the next port, and is looked for there.
void complete_development_settings(ConfigMap& settings, const ConfigMap& overrides) {
  if (!overrides.contains("listeners") || overrides.contains("controller.listener.names")) return;
  std::string& listeners = settings["listeners"];
  const std::string prefix = std::string(kController) + "://";
  std::size_t at = listeners.find(prefix);
  if (at == std::string::npos) {
    const std::size_t colon = listeners.rfind(':');
    const int port = colon == std::string::npos ? 0 : std::atoi(listeners.c_str() + colon + 1);
    if (port <= 0 || port >= 65535) return;
    listeners += fmt::format(",{}localhost:{}", prefix, port + 1);
    at = listeners.find(prefix);
  }
  if (overrides.contains("controller.quorum.bootstrap.servers") || overrides.contains("controller.quorum.voters"))
    return;
  const std::size_t begin = at + prefix.size();
  settings["controller.quorum.bootstrap.servers"] = listeners.substr(begin, listeners.find(',', begin) - begin);
}

Result<config::BrokerConfig> read_config(const Options& options) {
  ConfigMap settings;
  if (options.words().empty()) {
    settings = development_settings();
  } else {
    Result<std::string> content = file_content(options.words().front());
    KLAMM_TRY(content);
    Result<Properties> properties = Properties::parse(*content);
    if (!properties) return fail(std::move(properties.error()).in(options.words().front()));
    settings = properties->to_map();
  }
  ConfigMap overrides;
  for (const std::string& text : options.all_of("override")) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
      return fail(Errc::invalid_argument, "--override " + text + ": key=value is wanted");
    overrides.insert_or_assign(text.substr(0, equals), text.substr(equals + 1));
  }
  for (const auto& [key, value] : overrides) settings.insert_or_assign(key, value);
  if (options.words().empty()) complete_development_settings(settings, overrides);
  return config::BrokerConfig::parse(std::move(settings));
}

// Klamm's own errors say in their context what is wrong and what to do; the system's name only what was tried.
std::string sentence_of(const Error& error) {
  return error.code().category() == klamm_category() && !error.context().empty() ? error.context() : error.message();
}

// Formats the development broker's directories if none of them is; says so.
io::Task<Result<void>> format_if_new(io::Shard& shard, const config::BrokerConfig& config) {
  std::vector<std::string> directories = config.log_dirs();
  directories.push_back(config.metadata_log_dir());
  for (const std::string& directory : directories) {
    Result<std::optional<storage::MetaProperties>> meta =
        co_await storage::load_meta_properties(shard.files(), directory);
    if (!meta || *meta) co_return Result<void>();  // what is wrong is told at the start
  }
  metadata::FormatOptions format;
  format.cluster_id = Uuid::random(shard.random()).text();
  format.node_id = config.node_id();
  format.log_dirs = config.log_dirs();
  format.metadata_log_dir = config.metadata_log_dir();
  if (config.voters().empty()) {
    format.quorum = metadata::QuorumFormat::standalone;
    for (const config::Endpoint& listener : config.advertised_controller_listeners()) {
      format.controller_listeners.push_back(
          {listener.listener, listener.host.empty() ? io::host_name() : listener.host, listener.port});
    }
  }
  const std::string cluster_id = format.cluster_id;
  Result<metadata::FormatReport> report = co_await metadata::format_storage(shard, std::move(format));
  KLAMM_CO_TRY(report);
  fmt::print(stderr, "klamm formatted {} for a new cluster, {}\n", joined(config.log_dirs(), ", "), cluster_id);
  co_return Result<void>();
}

class Server {
 public:
  Server(io::Machine& machine, config::BrokerConfig config, bool development)
      : machine_(machine), config_(std::move(config)), development_(development), interrupt_(machine, 1) {}

  int run();

 private:
  io::Task<Result<void>> start();
  io::Task<void> stop();
  io::Task<void> drop();
  std::string ready_line() const;

  io::Machine& machine_;
  config::BrokerConfig config_;
  bool development_;
  Interrupt interrupt_;
  std::optional<Error> fatal_;  // set on shard 0, read after the interrupt
  std::unique_ptr<server::Node> node_;
};

io::Task<Result<void>> Server::start() {
  if (development_) {
    Result<void> formatted = co_await format_if_new(machine_.at(0), config_);
    KLAMM_CO_TRY(formatted);
  }
  server::NodeOptions options{config_, Logger(stderr_sink(), LogLevel::info), {}};
  for (const std::string& warning : config_.warnings()) options.logger.warning("{}", warning);
  options.on_fatal = [this](const Error& error) {
    if (!fatal_) fatal_ = error;
    interrupt_.raise();
  };
  node_ = std::make_unique<server::Node>(machine_, std::move(options));
  Result<void> started = co_await node_->start();
  co_return started;
}

io::Task<void> Server::stop() {
  co_await node_->stop();
  node_.reset();
}

io::Task<void> Server::drop() {
  node_.reset();
  co_return;
}

std::string Server::ready_line() const {
  std::vector<std::string> addresses;
  const std::vector<config::Endpoint> listeners = config_.broker_listeners();
  for (const server::BoundListener& bound : node_->listeners()) {
    const auto same = [&](const config::Endpoint& endpoint) { return endpoint.listener == bound.name; };
    const auto found = std::find_if(listeners.begin(), listeners.end(), same);
    const std::string host = found == listeners.end() || found->host.empty() ? io::host_name() : found->host;
    addresses.push_back(fmt::format(
        "{}://{}:{}", bound.name, host.find(':') == std::string::npos ? host : "[" + host + "]", bound.endpoint.port));
  }
  return fmt::format("klamm is ready: {} (node {}, cluster {}, data in {})", joined(addresses, ","), config_.node_id(),
                     node_->cluster_id(), joined(config_.log_dirs(), ", "));
}

int Server::run() {
  Result<void> started = machine_.run(0, start());
  if (!started) {
    fail_with("klamm server: {}", sentence_of(started.error()));
    machine_.run(0, drop());
    return 1;
  }
  fmt::print(stderr, "{}\n", ready_line());
  interrupt_.wait();
  machine_.run(0, stop());
  if (!fatal_) return 0;
  return fail_with("klamm server: {}", sentence_of(*fatal_));
}

}  // namespace

int run_server(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  Result<config::BrokerConfig> config = read_config(options);
  if (!config) return fail_with("klamm server: {}", sentence_of(config.error()));
  io::raise_descriptor_limit();
  io::MachineOptions machine_options;
  machine_options.shards = static_cast<unsigned>(std::max(0, config->num_shards()));
  io::Machine machine(machine_options);
  int status = 0;
  {
    Server server(machine, std::move(*config), options.words().empty());
    status = server.run();
  }
  machine.stop();
  return status;
}

}  // namespace klamm::tools
