// klamm::Broker: a Node with threads of its own.
#include <stdexcept>

#include "broker/config/broker_config.h"
#include "broker/metadata/format.h"
#include "broker/server/node.h"
#include "broker/storage/checkpoint.h"
#include "io/machine.h"
#include "klamm/broker.h"

namespace klamm {
namespace {

constexpr std::int32_t kNodeId = 1;
constexpr const char* kMemoryDirectory = "/memory";

Result<config::BrokerConfig> configure(const BrokerOptions& options) {
  ConfigMap settings{
      {"node.id", std::to_string(kNodeId)},
      {"process.roles", "broker,controller"},
      {"controller.listener.names", "CONTROLLER"},
      {"listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"},
      {"controller.quorum.voters", std::to_string(kNodeId) + "@127.0.0.1:9093"},
      {"log.dirs", options.directory.empty() ? kMemoryDirectory : options.directory},
      {"offsets.topic.replication.factor", "1"},
      {"transaction.state.log.replication.factor", "1"},
      {"transaction.state.log.min.isr", "1"},
  };
  for (const auto& [key, value] : options.settings) settings.insert_or_assign(key, value);
  return config::BrokerConfig::parse(std::move(settings));
}

io::Task<Result<void>> format_if_new(io::Shard& shard, const config::BrokerConfig& config) {
  for (const std::string& directory : config.log_dirs()) {
    Result<std::optional<storage::MetaProperties>> meta =
        co_await storage::load_meta_properties(shard.files(), directory);
    if (!meta || *meta) co_return Result<void>();  // what is wrong is told at the start
  }
  metadata::FormatOptions format;
  format.cluster_id = Uuid::random(shard.random()).text();
  format.node_id = config.node_id();
  format.log_dirs = config.log_dirs();
  format.metadata_log_dir = config.metadata_log_dir();
  Result<metadata::FormatReport> report = co_await metadata::format_storage(shard, std::move(format));
  KLAMM_CO_TRY(report);
  co_return Result<void>();
}

io::MachineOptions machine_options(const BrokerOptions& options) {
  io::MachineOptions machine;
  machine.shards = options.shards;
  machine.disk_threads = 2;
  machine.memory_files = options.directory.empty();
  return machine;
}

}  // namespace

class Broker::Impl {
 public:
  Impl(const BrokerOptions& options, config::BrokerConfig config)
      : machine_(machine_options(options)), config_(std::move(config)) {
    logger_ = options.log ? Logger(options.log, LogLevel::info) : Logger(stderr_sink(), LogLevel::warning);
  }
  ~Impl() { stop(); }

  Result<void> start() {
    Result<void> started = machine_.run(0, start_node());
    if (!started) return started;
    for (const server::BoundListener& listener : node_->listeners()) {
      if (!bootstrap_.empty()) bootstrap_ += ",";
      bootstrap_ += listener.endpoint.text();
    }
    return {};
  }
  void stop() {
    if (node_) machine_.run(0, stop_node());
  }
  const std::string& bootstrap_servers() const { return bootstrap_; }

 private:
  io::Task<Result<void>> start_node() {
    Result<void> formatted = co_await format_if_new(machine_.at(0), config_);
    KLAMM_CO_TRY(formatted);
    node_ = std::make_unique<server::Node>(machine_, server::NodeOptions{config_, logger_, {}});
    Result<void> started = co_await node_->start();
    co_return started;
  }
  io::Task<void> stop_node() {
    co_await node_->stop();
    node_.reset();
  }

  io::Machine machine_;
  config::BrokerConfig config_;
  Logger logger_;
  std::unique_ptr<server::Node> node_;
  std::string bootstrap_;
};

Result<Broker> Broker::start(BrokerOptions options) {
  Result<config::BrokerConfig> config = configure(options);
  KLAMM_TRY(config);
  auto impl = std::make_unique<Impl>(options, std::move(*config));
  Result<void> started = impl->start();
  KLAMM_TRY(started);
  return Broker(std::move(impl));
}

Broker Broker::in_memory() {
  Result<Broker> broker = start();
  if (!broker) throw std::runtime_error("klamm::Broker::in_memory: " + broker.error().message());
  return std::move(*broker);
}

Broker::Broker(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Broker::Broker(Broker&&) noexcept = default;
Broker& Broker::operator=(Broker&&) noexcept = default;
Broker::~Broker() = default;
const std::string& Broker::bootstrap_servers() const noexcept { return impl_->bootstrap_servers(); }
void Broker::stop() { impl_->stop(); }

}  // namespace klamm
