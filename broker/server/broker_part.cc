#include "broker/server/broker_part.h"

#include <algorithm>

#include "broker/config/dynamic_config.h"
#include "broker/handler/dispatch.h"
#include "broker/server/channels.h"

namespace klamm::server {
namespace {

constexpr std::size_t kLeastOpenFiles = 16;  // of segments, a shard
constexpr Duration kClientsWait = 5s;        // with their first request, for a broker that is starting
constexpr Duration kAlterPartitionPatience = 30s;
constexpr Duration kPublishPatience = 60s;  // for the replicas to take up what they lead

// The paths that cordoned.log.dirs names; "*" stands for all.
std::vector<std::string> cordoned_paths(const config::BrokerConfig& config, const config::BrokerLayers& layers) {
  const ConfigValue value = config::effective_value(layers, "cordoned.log.dirs");
  const auto* named = std::get_if<std::vector<std::string>>(&value);
  if (named == nullptr) return {};
  const bool all = std::find(named->begin(), named->end(), "*") != named->end();
  return all ? config.log_dirs() : *named;
}

}  // namespace

BrokerPart::BrokerPart(NodeBase& node)
    : node_(node),
      listeners_(
          node.shards, node.home, node.config(),
          {.shards = node.shards.size(), .shares = node.shards.size() + (node.config().is_controller() ? 1 : 0)},
          [this](std::size_t index) -> Dispatch {
            return [this, index](Slice frame, const security::RequestContext& connection,
                                 std::function<void()> enqueued, handler::Hangup& hangup) {
              return handler::dispatch(*locals_[index].services, std::move(frame), connection, std::move(enqueued),
                                       hangup);
            };
          },
          node.logger("network")),
      locals_(node.shards.size()) {}

io::Task<Result<void>> BrokerPart::bind() {
  Result<void> bound = co_await listeners_.bind(config().broker_listeners());
  if (bound) listeners_.turn_away_after(kClientsWait);
  co_return bound;
}

// ---- The way to the controller

io::Task<Result<void>> BrokerPart::prepare(QuorumPart& quorum, ControllerPart* controller) {
  quorum_ = &quorum;
  Result<std::shared_ptr<const io::tls::Context>> tls = co_await load_controller_tls(node_);
  KLAMM_CO_TRY(tls);
  Result<std::shared_ptr<const io::tls::Context>> between_brokers = co_await load_inter_broker_tls(node_);
  KLAMM_CO_TRY(between_brokers);
  inter_broker_tls_ = std::move(*between_brokers);
  const auto make_channel = [&](std::string name) {
    return std::make_unique<controller::ControllerChannel>(
        node_.home, channel_options(node_, *tls), [&quorum] { return quorum.leader(); },
        controller == nullptr ? nullptr : controller->controller(), node_.logger(std::move(name)));
  };
  channels_.lifecycle = make_channel("lifecycle");
  channels_.forwarding = make_channel("forwarding");
  channels_.partitions = make_channel("replica");
  channels_.directories = make_channel("directories");

  LifecycleOptions life;
  life.cluster_id = node_.cluster_id();
  life.incarnation_id = node_.incarnation_id;
  life.listeners = reachable(config().advertised_broker_listeners(), listeners_.bound());
  life.on_fatal = [this](const Error& error) { node_.fatal(error); };
  life.is_hopeless = [this, &quorum] { return node_.abandoned || quorum.failed(); };
  lifecycle_ = std::make_unique<Lifecycle>(node_.home, config(), std::move(life), *channels_.lifecycle,
                                           quorum.publisher(), *node_.directories, node_.logger("lifecycle"));
  const auto epoch = [this] { return lifecycle_->broker_epoch(); };
  forwarder_ = std::make_unique<handler::Forwarder>(*channels_.forwarding,
                                                    controller == nullptr ? nullptr : controller->services());
  producer_ids_ = std::make_unique<handler::ProducerIds>(node_.home, *channels_.forwarding, config().node_id(), epoch);
  assigner_ = std::make_unique<DirectoryAssigner>(node_.home, *channels_.directories, config().node_id(), epoch,
                                                  node_.logger("directories"));
  co_return Result<void>();
}

io::Task<Result<protocol::AlterPartitionResponse>> BrokerPart::alter_partition(
    io::Shard& here, protocol::AlterPartitionRequest request) {
  const auto ask = [this, &request]() {
    return channels_.partitions->call(std::move(request), node_.home.now() + kAlterPartitionPatience);
  };
  Result<protocol::AlterPartitionResponse> response = co_await io::call(here, node_.home, ask);
  co_return response;
}

// ---- The start

io::Task<Result<void>> BrokerPart::start() {
  co_await watch_settings();
  Result<void> step = co_await lifecycle_->join();
  KLAMM_CO_TRY(step);
  step = co_await open_logs();
  KLAMM_CO_TRY(step);
  step = co_await lifecycle_->serve();
  KLAMM_CO_TRY(step);
  assigner_->start();
  // Being unfenced made this broker the leader of its partitions: serve when the replicas know.
  const bool caught_up = co_await quorum_->publisher().wait_for(node_.home, quorum_->raft().high_watermark() - 1,
                                                                node_.home.now() + kPublishPatience);
  if (!caught_up) co_return fail(Errc::timed_out, "the metadata did not reach the replicas");
  listeners_.start();
  co_return Result<void>();
}

void BrokerPart::interrupt() {
  if (lifecycle_) lifecycle_->interrupt();
}

void BrokerPart::directory_failed() {
  if (lifecycle_) lifecycle_->beat_soon();
}

// Some of the broker's settings may change while it runs. (Those of logs are taken with each log's own.)
io::Task<void> BrokerPart::watch_settings() {
  const auto look = [this](const metadata::Publication& publication) -> io::Task<void> {
    const metadata::ConfigResource self{metadata::ConfigResourceType::broker, std::to_string(config().node_id())};
    const bool first = !own_settings_;
    take_settings(*publication.image);
    // Set anew though the same: a store may have other content under its old name.
    const bool set = first ? !own_settings_->empty() : publication.delta->config_changed(self);
    if (set) co_await renew_tls(*publication.image);
  };
  co_await quorum_->publisher().subscribe(node_.home.index(), "broker settings", look);
}

void BrokerPart::take_settings(const metadata::MetadataImage& image) {
  const ConfigMap& own = image.configs.of_broker(config().node_id());
  const ConfigMap& common = image.configs.cluster_default();
  if (own == own_settings_ && common == common_settings_) return;
  own_settings_ = own;
  common_settings_ = common;
  const config::BrokerLayers layers{&own, &common, &config()};
  const std::vector<Uuid> before = node_.directories->cordoned_ids();
  node_.directories->set_cordoned(cordoned_paths(config(), layers));
  if (before != node_.directories->cordoned_ids()) lifecycle_->beat_soon();
  const Result<config::BrokerConfig> in_force = config::effective_broker_config(layers);
  if (in_force) {
    listeners_.set_limits(*in_force);
  } else {
    node_.logger("network").warning("settings that contradict each other are left as they were: {}",
                                    in_force.error().message());
  }
}

io::Task<void> BrokerPart::renew_tls(const metadata::MetadataImage& image) {
  const config::BrokerLayers layers{&image.configs.of_broker(config().node_id()), &image.configs.cluster_default(),
                                    &config()};
  const Result<config::BrokerConfig> in_force = config::effective_broker_config(layers);
  if (in_force) co_await listeners_.renew_tls(*in_force);
}

io::Task<Result<void>> BrokerPart::open_logs() {
  Result<std::vector<storage::FoundLog>> found = co_await node_.directories->list_logs();
  KLAMM_CO_TRY(found);
  const std::size_t count = locals_.size();
  std::vector<std::vector<storage::FoundLog>> shares(count);
  for (storage::FoundLog& log : *found) {
    const std::size_t index = replica::shard_of(log.partition.topic, log.partition.partition.value(), count);
    shares[index].push_back(std::move(log));
  }
  std::vector<storage::LogManager*> managers;
  for (std::size_t index = 0; index < count; ++index) {
    auto make = [this, index] { return make_local(index); };
    co_await io::call(node_.home, node_.shards.at(index), make);
    managers.push_back(locals_[index].logs.get());
    everywhere_.push_back(locals_[index].services.get());
  }
  // The shards side by side.
  std::vector<Result<void>> loaded(count);
  io::Gate loading(node_.home);
  for (std::size_t index = 0; index < count; ++index) {
    loading.spawn(load_local(index, std::move(shares[index]), loaded[index]));
  }
  co_await loading.close();
  for (Result<void>& shard : loaded) KLAMM_CO_TRY(shard);
  for (std::size_t index = 0; index < count; ++index) {
    auto begin = [this, index]() -> io::Task<void> {
      locals_[index].logs->start();
      co_return;
    };
    co_await io::call(node_.home, node_.shards.at(index), begin);
    replica::ReplicaManager* replicas = locals_[index].replicas.get();
    co_await quorum_->publisher().subscribe(index, "replicas", [replicas](const metadata::Publication& publication) {
      return replicas->apply(publication);
    });
  }
  node_.directories->start(std::move(managers));
  co_return Result<void>();
}

io::Task<void> BrokerPart::load_local(std::size_t index, std::vector<storage::FoundLog> found, Result<void>& loaded) {
  auto load = [this, index, &found] { return locals_[index].logs->load(std::move(found)); };
  loaded = co_await io::call(node_.home, node_.shards.at(index), load);
}

storage::LogManagerOptions BrokerPart::log_options(std::size_t index) {
  Local& local = locals_[index];
  metadata::Publisher& publisher = quorum_->publisher();
  const ConfigValues& values = config().values();
  storage::LogManagerOptions options;
  options.producers.expiration_ms = values.get_int("producer.id.expiration.ms");
  options.retention_check_interval_ms = values.get_long("log.retention.check.interval.ms");
  options.flush_check_interval_ms = values.get_long("log.flush.scheduler.interval.ms");
  options.producer_expiration_check_interval_ms = values.get_int("producer.id.expiration.check.interval.ms");
  options.initial_task_delay_ms = values.get_long("log.initial.task.delay.ms");
  options.recovery_threads_per_directory = values.get_int("num.recovery.threads.per.data.dir");
  if (node_.options.descriptor_limit > 0) {
    options.most_open_files =
        std::max<std::size_t>(node_.options.descriptor_limit / 2 / locals_.size(), kLeastOpenFiles);
  }
  options.logger = node_.logger("log");
  options.config_of = [&publisher, &local, index](const std::string& topic) {
    return local.replicas->log_config(*publisher.image(index), topic);
  };
  options.on_log_lost = [&local](const protocol::TopicPartition& partition) { local.replicas->log_lost(partition); };
  options.on_log_moved = [&local](const protocol::TopicPartition& partition) { local.replicas->log_moved(partition); };
  options.assigned_directory = [&publisher, &local, index](const protocol::TopicPartition& partition) {
    return local.replicas->assigned_directory(*publisher.image(index), partition);
  };
  const auto moves = values.find_int("num.replica.alter.log.dirs.threads").value_or(config().log_dirs().size());
  options.moves_at_once = (static_cast<std::size_t>(moves) + locals_.size() - 1) / locals_.size();
  return options;
}

// On shard `index`.
io::Task<void> BrokerPart::make_local(std::size_t index) {
  io::Shard& shard = node_.shards.at(index);
  Local& local = locals_[index];
  local.logs = std::make_unique<storage::LogManager>(shard, *node_.directories, log_options(index));
  replica::ReplicaOptions replicas;
  replicas.on_misplaced = [this, &shard](const replica::Placement& placement) { assigner_->report(shard, placement); };
  replicas.ask_controller = [this, &shard](protocol::AlterPartitionRequest request) {
    return alter_partition(shard, std::move(request));
  };
  replicas.broker_epoch = [this] { return broker_epoch(); };
  replicas.tls = inter_broker_tls_;
  local.replicas = std::make_unique<replica::ReplicaManager>(shard, locals_.size(), config(), *local.logs,
                                                             node_.logger("replica"), std::move(replicas));
  const std::size_t slots = static_cast<std::size_t>(config().limits().max_fetch_sessions) / locals_.size();
  local.services.reset(new handler::Services{
      {shard, config(), quorum_->publisher(), node_.home, node_.cluster_id(), node_.logger("handler")},
      *local.logs,
      *local.replicas,
      *node_.directories,
      *forwarder_,
      *producer_ids_,
      everywhere_,
      handler::FetchSessionCache(slots, shard.random())});
  co_return;
}

// ---- The end

// Clients and other brokers are served until the leadership is elsewhere.
io::Task<void> BrokerPart::leave() {
  if (lifecycle_) co_await lifecycle_->leave();
  co_await listeners_.stop_accepting();
}

io::Task<void> BrokerPart::stop() {
  // First, because requests that are being answered may wait for the controller.
  for (controller::ControllerChannel* channel :
       {channels_.forwarding.get(), channels_.partitions.get(), channels_.directories.get()}) {
    if (channel != nullptr) co_await channel->close();
  }
  co_await listeners_.close_connections();
  if (assigner_) co_await assigner_->close();
}

// On shard `index`.
io::Task<void> BrokerPart::close_local(std::size_t index) {
  Local& local = locals_[index];
  if (local.replicas) co_await local.replicas->close();
  if (local.logs) co_await local.logs->close();
}

io::Task<void> BrokerPart::close_logs() {
  for (std::size_t index = 0; index < locals_.size(); ++index) {
    auto close = [this, index] { return close_local(index); };
    co_await io::call(node_.home, node_.shards.at(index), close);
  }
}

io::Task<void> BrokerPart::destroy() {
  co_await listeners_.destroy();
  for (std::size_t index = 0; index < locals_.size(); ++index) {
    auto end = [this, index]() -> io::Task<void> {
      locals_[index] = Local();
      co_return;
    };
    co_await io::call(node_.home, node_.shards.at(index), end);
  }
  locals_.clear();
  producer_ids_.reset();
  assigner_.reset();
  forwarder_.reset();
  lifecycle_.reset();
  channels_ = Channels();
}

}  // namespace klamm::server
