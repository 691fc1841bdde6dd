#include "broker/server/node.h"

#include <map>

#include "broker/config/registry.h"
#include "broker/handler/dispatch.h"
#include "broker/handler/producer_ids.h"
#include "broker/handler/services.h"
#include "broker/metadata/format.h"
#include "broker/metadata/publisher.h"
#include "broker/replica/replica_manager.h"
#include "broker/server/lifecycle.h"
#include "broker/server/options.h"
#include "broker/storage/log_dirs.h"
#include "broker/storage/log_manager.h"
#include "io/tls/context.h"

namespace klamm::server {

// Order of life: what is made later uses what was made before, and ends before it.
class Node::Impl {
 public:
  Impl(io::Shards& shards, NodeOptions options) : shards_(shards), home_(shards.at(0)), options_(std::move(options)) {}

  io::Task<Result<void>> start();
  io::Task<void> stop();

  std::vector<BoundListener> listeners_;
  std::string cluster_id_;

 private:
  // What one shard has.
  struct Local {
    std::unique_ptr<storage::LogManager> logs;
    std::unique_ptr<replica::ReplicaManager> replicas;
    std::unique_ptr<handler::Services> services;
    std::unique_ptr<SessionHost> sessions;
  };

  io::Task<Result<void>> start_steps();
  io::Task<Result<void>> open_directories();
  io::Task<Result<void>> start_quorum();
  io::Task<Result<void>> open_logs();
  io::Task<Result<void>> load_tls();
  Result<void> bind();
  io::Task<void> make_local(std::size_t index);
  io::Task<void> stop_local(std::size_t index);
  const config::BrokerConfig& config() const { return options_.config; }

  io::Shards& shards_;
  io::Shard& home_;
  NodeOptions options_;
  std::unique_ptr<storage::LogDirs> directories_;
  std::unique_ptr<metadata::Publisher> publisher_;
  std::unique_ptr<raft::RaftNode> raft_;
  std::unique_ptr<metadata::Loader> loader_;
  std::unique_ptr<controller::Controller> controller_;
  std::unique_ptr<handler::ProducerIds> producer_ids_;
  std::vector<Local> locals_;
  std::vector<handler::Services*> everywhere_;
  std::map<std::string, std::shared_ptr<const io::tls::Context>> tls_;  // by listener, of those that speak it
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<Lifecycle> lifecycle_;
};

io::Task<Result<void>> Node::Impl::start() {
  Result<void> started = co_await start_steps();
  if (!started) co_await stop();
  co_return started;
}

io::Task<Result<void>> Node::Impl::start_steps() {
  if (!config().is_broker() || !config().is_controller()) {
    co_return fail(Errc::unsupported,
                   "process.roles must be broker,controller: a node of one role only is not served yet");
  }
  Result<void> step = co_await open_directories();
  KLAMM_CO_TRY(step);
  locals_.resize(shards_.size());
  step = co_await load_tls();
  KLAMM_CO_TRY(step);
  step = bind();
  KLAMM_CO_TRY(step);
  step = co_await start_quorum();
  KLAMM_CO_TRY(step);
  step = co_await open_logs();
  KLAMM_CO_TRY(step);
  step = co_await lifecycle_->join();
  KLAMM_CO_TRY(step);
  producer_ids_->set_broker_epoch(lifecycle_->broker_epoch());
  // Being unfenced made this broker the leader of its partitions: serve when the replicas know.
  const bool caught_up =
      co_await publisher_->wait_for(home_, raft_->high_watermark() - 1, home_.now() + Lifecycle::kPatience);
  if (!caught_up) co_return fail(Errc::timed_out, "the metadata did not reach the replicas");
  acceptor_->start();
  co_return Result<void>();
}

io::Task<Result<void>> Node::Impl::open_directories() {
  const ConfigValues& values = config().values();
  storage::LogDirsOptions options;
  options.directories = config().log_dirs();
  options.metadata_directory = config().metadata_log_dir();
  options.node_id = config().node_id();
  options.recovery_point_checkpoint_interval_ms = values.get_int("log.flush.offset.checkpoint.interval.ms");
  options.log_start_checkpoint_interval_ms = values.get_int("log.flush.start.offset.checkpoint.interval.ms");
  options.high_watermark_checkpoint_interval_ms = values.get_long("replica.high.watermark.checkpoint.interval.ms");
  options.logger = options_.logger.named("log");
  options.on_directory_failed = [this](const std::string& path, const Error& error, std::size_t left) {
    if (left == 0 && options_.on_fatal) options_.on_fatal(Error(error).in("the last log directory failed: " + path));
  };
  Result<std::unique_ptr<storage::LogDirs>> opened = co_await storage::LogDirs::open(home_, std::move(options));
  KLAMM_CO_TRY(opened);
  directories_ = std::move(*opened);
  cluster_id_ = directories_->cluster_id();
  co_return Result<void>();
}

// What each TLS listener needs, by its own keys (listener.name.<name>.ssl.*) or the general ones.
io::Task<Result<void>> Node::Impl::load_tls() {
  for (const config::Endpoint& endpoint : config().broker_listeners()) {
    if (endpoint.protocol != config::SecurityProtocol::ssl) continue;
    Result<io::tls::Settings> settings =
        io::tls::parse_settings(config().values(), config::listener_prefix(endpoint.listener));
    KLAMM_CO_TRY(settings);
    Result<std::shared_ptr<const io::tls::Context>> context =
        co_await io::tls::Context::load(home_, std::move(*settings), io::tls::Role::server);
    if (!context) co_return fail(std::move(context).error().in("listener " + endpoint.text()));
    tls_[endpoint.listener] = std::move(*context);
  }
  co_return Result<void>();
}

// Listening sockets come first: a port in use must be told before anything is changed on the disk.
Result<void> Node::Impl::bind() {
  std::vector<SessionHost*> hosts;
  for (std::size_t index = 0; index < shards_.size(); ++index) {
    SessionHostOptions options = session_options(config(), shards_.size());
    Local& local = locals_[index];
    Dispatch dispatch = [&local](Slice frame, const security::RequestContext& connection,
                                 std::function<void()> enqueued, handler::Hangup& hangup) {
      return handler::dispatch(*local.services, std::move(frame), connection, std::move(enqueued), hangup);
    };
    local.sessions = std::make_unique<SessionHost>(shards_.at(index), options, std::move(dispatch),
                                                   options_.logger.named("network"));
    hosts.push_back(local.sessions.get());
  }
  acceptor_ = std::make_unique<Acceptor>(shards_, home_, std::move(hosts), connection_limits(config()),
                                         options_.logger.named("network"));
  for (const config::Endpoint& endpoint : config().broker_listeners()) {
    const auto tls = tls_.find(endpoint.listener);
    if (endpoint.protocol != config::SecurityProtocol::plaintext && tls == tls_.end()) {
      return fail(Errc::unsupported, "listener " + endpoint.text() + " of protocol " +
                                         std::string(config::name_of(endpoint.protocol)) +
                                         ": only PLAINTEXT and SSL are served yet");
    }
    Result<io::Endpoint> bound =
        acceptor_->listen(endpoint.listener, {endpoint.host, endpoint.port},
                          config().limits().socket_listen_backlog_size, tls == tls_.end() ? nullptr : tls->second);
    KLAMM_TRY(bound);
    listeners_.push_back({endpoint.listener, *bound});
  }
  return {};
}

io::Task<Result<void>> Node::Impl::start_quorum() {
  Uuid metadata_directory_id;
  for (const storage::LogDirs::Directory& directory : directories_->directories()) {
    if (directory.path == directories_->metadata_directory()) metadata_directory_id = directory.id;
  }
  const Uuid incarnation_id = Uuid::random(home_.random());
  publisher_ = std::make_unique<metadata::Publisher>(shards_, home_, options_.logger.named("metadata"));
  raft::RaftOptions raft = raft::raft_options(config(), metadata_directory_id);
  raft.on_fatal = options_.on_fatal;
  raft_ = std::make_unique<raft::RaftNode>(home_, std::move(raft), options_.logger.named("raft"));
  loader_ = std::make_unique<metadata::Loader>(home_, *raft_, publisher_.get(), metadata::loader_options(config()),
                                               options_.logger.named("metadata"));
  controller::ControllerOptions controller = controller::controller_options(config());
  controller.cluster_id = cluster_id_;
  controller.incarnation_id = incarnation_id;
  Result<std::optional<metadata::Records>> bootstrap =
      co_await metadata::load_bootstrap(home_, directories_->metadata_directory());
  KLAMM_CO_TRY(bootstrap);
  if (*bootstrap) controller.bootstrap_records = std::move(**bootstrap);
  controller_ = std::make_unique<controller::Controller>(home_, *raft_, *loader_, std::move(controller),
                                                         options_.logger.named("controller"));
  producer_ids_ = std::make_unique<handler::ProducerIds>(home_, *controller_, config().node_id());
  lifecycle_ = std::make_unique<Lifecycle>(home_, config(), *controller_, *loader_, *directories_, incarnation_id,
                                           listeners_, cluster_id_, options_.logger.named("lifecycle"));
  controller_->start();
  Result<void> started = co_await raft_->start();
  KLAMM_CO_TRY(started);
  const bool published = co_await loader_->wait_published(home_.now() + Lifecycle::kPatience);
  if (!published) co_return fail(Errc::timed_out, "the metadata log has no leader");
  co_return Result<void>();
}

io::Task<Result<void>> Node::Impl::open_logs() {
  Result<std::vector<storage::FoundLog>> found = co_await directories_->list_logs();
  KLAMM_CO_TRY(found);
  std::vector<std::vector<storage::FoundLog>> shares(shards_.size());
  for (storage::FoundLog& log : *found) {
    const std::size_t index = replica::shard_of(log.partition.topic, log.partition.partition.value(), shards_.size());
    shares[index].push_back(std::move(log));
  }
  std::vector<storage::LogManager*> managers;
  for (std::size_t index = 0; index < shards_.size(); ++index) {
    auto make = [this, index] { return make_local(index); };
    co_await io::call(home_, shards_.at(index), make);
    managers.push_back(locals_[index].logs.get());
    everywhere_.push_back(locals_[index].services.get());
  }
  for (std::size_t index = 0; index < shards_.size(); ++index) {
    auto load = [this, index, &shares] { return locals_[index].logs->load(std::move(shares[index])); };
    Result<void> loaded = co_await io::call(home_, shards_.at(index), load);
    KLAMM_CO_TRY(loaded);
  }
  for (std::size_t index = 0; index < shards_.size(); ++index) {
    auto begin = [this, index]() -> io::Task<void> {
      locals_[index].logs->start();
      co_return;
    };
    co_await io::call(home_, shards_.at(index), begin);
    replica::ReplicaManager* replicas = locals_[index].replicas.get();
    co_await publisher_->subscribe(index, "replicas", [replicas](const metadata::Publication& publication) {
      return replicas->apply(publication);
    });
  }
  directories_->start(std::move(managers));
  co_return Result<void>();
}

// On shard `index`.
io::Task<void> Node::Impl::make_local(std::size_t index) {
  io::Shard& shard = shards_.at(index);
  Local& local = locals_[index];
  const ConfigValues& values = config().values();
  storage::LogManagerOptions options;
  options.producers.expiration_ms = values.get_int("producer.id.expiration.ms");
  options.retention_check_interval_ms = values.get_long("log.retention.check.interval.ms");
  options.flush_check_interval_ms = values.get_long("log.flush.scheduler.interval.ms");
  options.producer_expiration_check_interval_ms = values.get_int("producer.id.expiration.check.interval.ms");
  options.initial_task_delay_ms = values.get_long("log.initial.task.delay.ms");
  options.recovery_threads_per_directory = values.get_int("num.recovery.threads.per.data.dir");
  options.logger = options_.logger.named("log");
  options.config_of = [this, &local, index](const std::string& topic) {
    return local.replicas->log_config(*publisher_->image(index), topic);
  };
  options.on_log_lost = [&local](const protocol::TopicPartition& partition) { local.replicas->log_lost(partition); };
  local.logs = std::make_unique<storage::LogManager>(shard, *directories_, std::move(options));
  local.replicas = std::make_unique<replica::ReplicaManager>(shard, shards_.size(), config(), *local.logs,
                                                             options_.logger.named("replica"));
  const std::size_t slots = static_cast<std::size_t>(config().limits().max_fetch_sessions) / shards_.size();
  local.services.reset(new handler::Services{shard, config(), *publisher_, *local.logs, *local.replicas, *directories_,
                                             *controller_, *raft_, home_, *producer_ids_, everywhere_, cluster_id_,
                                             handler::FetchSessionCache(slots, shard.random()),
                                             options_.logger.named("handler")});
  co_return;
}

io::Task<void> Node::Impl::stop() {
  if (acceptor_) co_await acceptor_->close();
  if (lifecycle_) co_await lifecycle_->leave();
  for (std::size_t index = 0; index < locals_.size(); ++index) {
    auto close = [this, index]() -> io::Task<void> {
      if (locals_[index].sessions) co_await locals_[index].sessions->close();
    };
    co_await io::call(home_, shards_.at(index), close);
  }
  if (controller_) co_await controller_->stop();
  if (raft_) co_await raft_->stop();
  if (loader_) co_await loader_->close();
  if (publisher_) co_await publisher_->clear();
  for (std::size_t index = 0; index < locals_.size(); ++index) {
    auto close = [this, index] { return stop_local(index); };
    co_await io::call(home_, shards_.at(index), close);
  }
  if (directories_) {
    Result<void> closed = co_await directories_->close(lifecycle_ ? lifecycle_->broker_epoch() : -1);
    if (!closed) options_.logger.error("log directories not closed cleanly: {}", closed.error().message());
  }
  lifecycle_.reset();
  acceptor_.reset();
  for (std::size_t index = 0; index < locals_.size(); ++index) {
    auto destroy = [this, index]() -> io::Task<void> {
      locals_[index] = Local();
      co_return;
    };
    co_await io::call(home_, shards_.at(index), destroy);
  }
  locals_.clear();
  producer_ids_.reset();
  controller_.reset();
  loader_.reset();
  raft_.reset();
  publisher_.reset();
  directories_.reset();
}

// On shard `index`.
io::Task<void> Node::Impl::stop_local(std::size_t index) {
  Local& local = locals_[index];
  if (local.replicas) co_await local.replicas->close();
  if (local.logs) co_await local.logs->close();
}

Node::Node(io::Shards& shards, NodeOptions options) : impl_(std::make_unique<Impl>(shards, std::move(options))) {}
Node::~Node() = default;
io::Task<Result<void>> Node::start() { return impl_->start(); }
io::Task<void> Node::stop() { return impl_->stop(); }
const std::vector<BoundListener>& Node::listeners() const noexcept { return impl_->listeners_; }
const std::string& Node::cluster_id() const noexcept { return impl_->cluster_id_; }

}  // namespace klamm::server
