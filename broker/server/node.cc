#include "broker/server/node.h"

#include "broker/server/broker_part.h"
#include "broker/server/channels.h"
#include "broker/server/controller_part.h"
#include "broker/server/node_base.h"
#include "broker/server/quorum_part.h"

namespace klamm::server {

// Order of life: what is made later uses what was made before, and ends before it.
//   directories, ports, quorum, controller; the quorum runs, the controller is served; the broker registers, loads its
//   logs, is served.
class Node::Impl {
 public:
  Impl(io::Shards& shards, NodeOptions options) : node_(shards, std::move(options)) {}

  io::Task<Result<void>> start();
  void interrupt();
  void abandon() { node_.abandoned = true; }
  io::Task<void> stop();

  std::vector<BoundListener> listeners_;
  std::vector<BoundListener> controller_listeners_;
  std::string cluster_id_;

 private:
  io::Task<Result<void>> start_steps();
  io::Task<Result<void>> open_directories();
  io::Task<Result<void>> bind();

  NodeBase node_;
  std::unique_ptr<QuorumPart> quorum_;
  std::unique_ptr<ControllerPart> controller_;  // null without the role
  std::unique_ptr<BrokerPart> broker_;          // null without the role
};

io::Task<Result<void>> Node::Impl::start() {
  Result<void> started = co_await start_steps();
  if (!started) co_await stop();
  co_return started;
}

io::Task<Result<void>> Node::Impl::start_steps() {
  node_.incarnation_id = Uuid::random(node_.home.random());
  Result<void> step = co_await open_directories();
  KLAMM_CO_TRY(step);
  step = co_await bind();
  KLAMM_CO_TRY(step);
  Result<std::shared_ptr<const io::tls::Context>> tls = co_await load_controller_tls(node_);
  KLAMM_CO_TRY(tls);
  quorum_ = std::make_unique<QuorumPart>(
      node_, controller_ ? controller_->endpoints() : std::vector<config::Endpoint>(), std::move(*tls));
  if (controller_) {
    step = co_await controller_->prepare(*quorum_);
    KLAMM_CO_TRY(step);
  }
  if (broker_) {
    step = co_await broker_->prepare(*quorum_, controller_.get());
    KLAMM_CO_TRY(step);
  }
  step = co_await quorum_->start();
  KLAMM_CO_TRY(step);
  if (controller_) controller_->start();
  step = co_await quorum_->wait_caught_up();
  KLAMM_CO_TRY(step);
  if (broker_) step = co_await broker_->start();
  co_return step;
}

void Node::Impl::interrupt() {
  node_.interrupted = true;
  if (broker_) broker_->interrupt();
}

io::Task<Result<void>> Node::Impl::open_directories() {
  const config::BrokerConfig& config = node_.config();
  const ConfigValues& values = config.values();
  storage::LogDirsOptions options;
  options.directories = config.log_dirs();
  options.metadata_directory = config.metadata_log_dir();
  options.node_id = config.node_id();
  options.recovery_point_checkpoint_interval_ms = values.get_int("log.flush.offset.checkpoint.interval.ms");
  options.log_start_checkpoint_interval_ms = values.get_int("log.flush.start.offset.checkpoint.interval.ms");
  options.high_watermark_checkpoint_interval_ms = values.get_long("replica.high.watermark.checkpoint.interval.ms");
  options.logger = node_.logger("log");
  options.on_directory_failed = [this](const std::string& path, const Error& error, std::size_t left) {
    if (left == 0) node_.fatal(Error(error).in("the last log directory failed: " + path));
    if (broker_) broker_->directory_failed();
  };
  Result<std::unique_ptr<storage::LogDirs>> opened = co_await storage::LogDirs::open(node_.home, std::move(options));
  KLAMM_CO_TRY(opened);
  node_.directories = std::move(*opened);
  cluster_id_ = node_.cluster_id();
  co_return Result<void>();
}

// Listening sockets come first: a port in use must be told before anything is changed on the disk.
io::Task<Result<void>> Node::Impl::bind() {
  Result<void> bound;
  if (node_.config().is_broker()) {
    broker_ = std::make_unique<BrokerPart>(node_);
    bound = co_await broker_->bind();
    KLAMM_CO_TRY(bound);
    listeners_ = broker_->bound();
  }
  if (node_.config().is_controller()) {
    controller_ = std::make_unique<ControllerPart>(node_);
    bound = co_await controller_->bind();
    KLAMM_CO_TRY(bound);
    controller_listeners_ = controller_->bound();
  }
  co_return bound;
}

io::Task<void> Node::Impl::stop() {
  interrupt();
  if (broker_) co_await broker_->leave();
  // What waits for a commit is answered when the quorum is left; only then can all connections end.
  if (controller_) co_await controller_->stop();
  if (quorum_) co_await quorum_->stop();
  if (broker_) co_await broker_->stop();
  if (controller_) co_await controller_->close();
  if (quorum_) co_await quorum_->close();
  if (broker_) co_await broker_->close_logs();
  if (node_.directories) {
    Result<void> closed = co_await node_.directories->close(broker_ ? broker_->broker_epoch() : -1);
    if (!closed) node_.options.logger.error("log directories not closed cleanly: {}", closed.error().message());
  }
  if (broker_) co_await broker_->destroy();
  if (controller_) co_await controller_->destroy();
  broker_.reset();
  controller_.reset();
  quorum_.reset();
  node_.directories.reset();
}

Node::Node(io::Shards& shards, NodeOptions options) : impl_(std::make_unique<Impl>(shards, std::move(options))) {}
Node::~Node() = default;
io::Task<Result<void>> Node::start() { return impl_->start(); }
void Node::interrupt() { impl_->interrupt(); }
void Node::abandon() { impl_->abandon(); }
io::Task<void> Node::stop() { return impl_->stop(); }
const std::vector<BoundListener>& Node::listeners() const noexcept { return impl_->listeners_; }
const std::vector<BoundListener>& Node::controller_listeners() const noexcept { return impl_->controller_listeners_; }
const std::string& Node::cluster_id() const noexcept { return impl_->cluster_id_; }

}  // namespace klamm::server
