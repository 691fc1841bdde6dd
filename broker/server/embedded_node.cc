#include "broker/server/embedded_node.h"

#include "broker/metadata/format.h"
#include "broker/storage/checkpoint.h"

namespace klamm::server {
namespace {

io::MachineOptions machine_options(const EmbeddedOptions& options) {
  io::MachineOptions machine;
  machine.shards = options.shards;
  machine.disk_threads = 2;
  machine.memory_files = options.in_memory;
  return machine;
}

}  // namespace

EmbeddedNode::EmbeddedNode(config::BrokerConfig config, const EmbeddedOptions& options)
    : machine_(machine_options(options)), config_(std::move(config)), logger_(make_logger(options)) {}

EmbeddedNode::~EmbeddedNode() { kill(); }

// What a killed node says while it is taken apart is of no interest to anybody.
Logger EmbeddedNode::make_logger(const EmbeddedOptions& options) {
  const LogLevel level = options.log ? LogLevel::info : LogLevel::warning;
  LogSink sink = options.log ? options.log : stderr_sink();
  return Logger(
      [this, sink = std::move(sink), prefix = options.log_prefix](LogLevel severity, std::string_view component,
                                                                  std::string_view message) {
        if (machine_.killed()) return;
        if (prefix.empty()) return sink(severity, component, message);
        sink(severity, prefix + std::string(component), message);
      },
      level);
}

io::Task<Result<void>> EmbeddedNode::format_if_new(std::string cluster_id) {
  io::Shard& shard = machine_.at(0);
  for (const std::string& directory : config_.log_dirs()) {
    Result<std::optional<storage::MetaProperties>> meta =
        co_await storage::load_meta_properties(shard.files(), directory);
    if (!meta || *meta) co_return Result<void>();  // what is wrong is told at the start
  }
  metadata::FormatOptions format;
  format.cluster_id = cluster_id.empty() ? Uuid::random(shard.random()).text() : std::move(cluster_id);
  format.node_id = config_.node_id();
  format.log_dirs = config_.log_dirs();
  format.metadata_log_dir = config_.metadata_log_dir();
  Result<metadata::FormatReport> report = co_await metadata::format_storage(shard, std::move(format));
  KLAMM_CO_TRY(report);
  co_return Result<void>();
}

io::Task<Result<void>> EmbeddedNode::start() {
  NodeOptions options{config_, logger_, {}};
  options.on_fatal = [this](const Error& error) {
    logger_.error("this node cannot go on, stop it: {}", error.message());
  };
  node_ = std::make_unique<Node>(machine_, std::move(options));
  Result<void> started = co_await node_->start();
  if (!started) node_.reset();
  co_return started;
}

void EmbeddedNode::interrupt() {
  machine_.at(0).post(
      [](void* self) {
        const std::unique_ptr<Node>& node = static_cast<EmbeddedNode*>(self)->node_;
        if (node) node->interrupt();
      },
      this);
}

io::Task<void> EmbeddedNode::stop(bool abandoned) {
  if (!node_) co_return;
  if (abandoned) node_->abandon();
  co_await node_->stop();
  node_.reset();
}

void EmbeddedNode::kill() {
  if (!node_) return;
  machine_.kill();
  machine_.run(0, stop(true));
  machine_.revive();
}

}  // namespace klamm::server
