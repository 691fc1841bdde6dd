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
#include "tools/server_settings.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("server", "Runs a Kafka broker and controller.", Options::Style::argparse);
  options.words("[server.properties]", 1,
                "The file has Kafka's keys, and its directories must have been formatted by `klamm storage format`. "
                "Without a file: a "
                "development broker on localhost:9092 that keeps its data in ./klamm-data and formats that by itself.");
  options.many("--override", "key=value", "A setting that goes before that of the file.");
  options.epilogue("SIGTERM or Ctrl-C stops it in order; the exit status is 0 then.");
  return options;
}

Result<config::BrokerConfig> read_config(const Options& options) {
  ConfigMap overrides;
  for (const std::string& text : options.all_of("override")) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
      return fail(Errc::invalid_argument, "--override " + text + ": key=value is wanted");
    overrides.insert_or_assign(text.substr(0, equals), text.substr(equals + 1));
  }
  if (options.words().empty()) return config::BrokerConfig::parse(development_settings(overrides));
  Result<std::string> content = file_content(options.words().front());
  KLAMM_TRY(content);
  Result<Properties> properties = Properties::parse(*content);
  if (!properties) return fail(std::move(properties.error()).in(options.words().front()));
  ConfigMap settings = properties->to_map();
  for (const auto& [key, value] : overrides) settings.insert_or_assign(key, value);
  return config::BrokerConfig::parse(std::move(settings));
}

// Klamm's own errors say in their context what is wrong and what to do; the system's name only what was tried.
std::string sentence_of(const Error& error) {
  return error.code().category() == klamm_category() && !error.context().empty() ? error.context() : error.message();
}

// Whether the listeners can be had: a start that cannot succeed must leave nothing behind.
Result<void> try_listeners(io::Shard& shard, const config::BrokerConfig& config) {
  std::vector<std::unique_ptr<io::Listener>> held;
  for (const config::Endpoint& endpoint : config.listeners()) {
    Result<std::unique_ptr<io::Listener>> listener = shard.listen({endpoint.host, endpoint.port}, 1);
    if (!listener) return fail(std::move(listener.error()));
    held.push_back(std::move(*listener));
  }
  return {};
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
  Result<void> free = try_listeners(shard, config);
  KLAMM_CO_TRY(free);
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
  Server(io::Machine& machine, config::BrokerConfig config, bool development, std::uint64_t descriptor_limit)
      : machine_(machine),
        config_(std::move(config)),
        development_(development),
        descriptor_limit_(descriptor_limit),
        interrupt_(machine, {.first = [this] { give_up_start(); }}) {}

  int run();

 private:
  io::Task<Result<void>> start();
  io::Task<void> stop();
  io::Task<void> drop();
  // A signal has come, on shard 0.
  void give_up_start() {
    if (node_) node_->interrupt();
  }
  std::string ready_line() const;

  io::Machine& machine_;
  config::BrokerConfig config_;
  bool development_;
  std::uint64_t descriptor_limit_;
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
  options.descriptor_limit = descriptor_limit_;
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
  std::vector<config::Endpoint> bound_to;
  std::vector<server::BoundListener> all = node_->listeners();
  if (all.empty()) all = node_->controller_listeners();
  for (const server::BoundListener& bound : all) {
    const auto same = [&](const config::Endpoint& endpoint) { return endpoint.listener == bound.name; };
    const auto found = std::find_if(config_.listeners().begin(), config_.listeners().end(), same);
    bound_to.push_back(found == config_.listeners().end() ? config::Endpoint{.listener = bound.name} : *found);
    bound_to.back().port = bound.endpoint.port;
  }
  const std::vector<config::Endpoint>& advertised =
      config_.is_broker() ? config_.advertised_broker_listeners() : config_.advertised_controller_listeners();
  return fmt::format("klamm is ready: {} (node {}, cluster {}, data in {})",
                     listeners_text(std::move(bound_to), advertised, io::host_name()), config_.node_id(),
                     node_->cluster_id(), joined(config_.log_dirs(), ", "));
}

int Server::run() {
  Result<void> started = machine_.run(0, start());
  if (!started) {
    // Told to stop before it was up: that is what it did.
    const bool told = interrupt_.raised() && !fatal_;
    if (!told) fail_with("klamm server: {}", sentence_of(fatal_.value_or(started.error())));
    machine_.run(0, drop());
    return told ? 0 : 1;
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
  const std::uint64_t descriptor_limit = io::raise_descriptor_limit();
  io::MachineOptions machine_options;
  machine_options.shards = static_cast<unsigned>(std::max(0, config->num_shards()));
  io::Machine machine(machine_options);
  int status = 0;
  {
    Server server(machine, std::move(*config), options.words().empty(), descriptor_limit);
    status = server.run();
  }
  machine.stop();
  return status;
}

}  // namespace klamm::tools
