// One broker of the replication lab: logs, replica manager and request handlers are the real ones.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "broker/handler/dispatch.h"
#include "broker/metadata/loader.h"
#include "broker/storage/log_dirs.h"
#include "fake_controller.h"
#include "protocol/message/header.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "tests/unit/why.h"

namespace klamm::handler::testing {

using SettingsMap = std::map<std::string, std::string>;

// What is wrong with the requests that brokers get: planted bugs, which the tests have to find.
struct Bugs {
  bool no_truncation = false;  // followers do not tell the epoch of what they have, so that nobody sees a difference
  bool early_ack = false;      // acks=all is taken for acks=1
  bool any() const { return no_truncation || early_ack; }
};

inline Slice plant(const Bugs& bugs, Slice frame) {
  wire::Reader reader(frame);
  const Result<protocol::RequestHeader> header = protocol::read_request_header(reader);
  if (!header) return frame;
  const auto again = [&](const auto& request) {
    const io::Pieces pieces = protocol::encode_request(request, header->request_api_version, header->correlation_id,
                                                       header->client_id.value_or(""));
    std::string bytes;
    for (const io::Piece& piece : pieces) bytes += as_text(std::get<Slice>(piece).bytes());
    return Slice::copy(std::string_view(bytes).substr(4));
  };
  const auto key = static_cast<protocol::ApiKey>(header->request_api_key);
  if (bugs.no_truncation && key == protocol::ApiKey::fetch) {
    auto request = wire::decode_request<protocol::FetchRequest>(reader.read_rest(), header->request_api_version);
    if (!request) return frame;
    for (auto& topic : request->topics) {
      for (auto& partition : topic.partitions) partition.last_fetched_epoch = -1;
    }
    return again(*request);
  }
  if (bugs.early_ack && key == protocol::ApiKey::produce) {
    auto request = wire::decode_request<protocol::ProduceRequest>(reader.read_rest(), header->request_api_version);
    if (!request) return frame;
    request->acks = 1;
    return again(*request);
  }
  return frame;
}

// What one process of a broker has. Runs on the machine's only shard.
class BrokerLife {
 public:
  BrokerLife(io::sim::Node& machine, FakeController& controller, std::int32_t id, const SettingsMap& settings)
      : machine_(machine),
        controller_(controller),
        shards_(machine.shards()),
        shard_(shards_.at(0)),
        id_(id),
        config_(parse(id, settings)),
        logger_(machine.simulation().logger(machine, LogLevel::info)),
        sessions_(shard_),
        told_(shard_) {}

  void start() {
    shard_.post([](void* self) { io::spawn_detached(static_cast<BrokerLife*>(self)->run()); }, this);
  }
  // The machine is dead, or the broker is to stop.
  void end() {
    must_end_ = true;
    if (listener_) listener_->close();
    for (io::Stream* stream : streams_) stream->close();
    told_.notify_all();
  }
  bool serving() const { return serving_ && !must_end_; }
  bool ended() const { return ended_; }
  replica::ReplicaManager& replicas() { return *replicas_; }
  Services& services() { return *services_; }
  io::Shard& shard() { return shard_; }
  std::int64_t epoch() const { return epoch_; }
  // Partition `index`, if this process has it open.
  std::optional<replica::Partition::Lease> lease(std::int32_t index) {
    if (!replicas_) return std::nullopt;
    Result<replica::Partition::Lease> lease = replicas_->lease(kTopic, index);
    if (!lease) return std::nullopt;
    return std::move(*lease);
  }

  // What the metadata reaches the broker after.
  Duration slowest_metadata = 30ms;
  Bugs bugs;

 private:
  static config::BrokerConfig parse(std::int32_t id, const SettingsMap& more) {
    ConfigMap settings{{"node.id", std::to_string(id)},
                       {"process.roles", "broker,controller"},
                       {"controller.listener.names", "CONTROLLER"},
                       {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"},
                       {"controller.quorum.voters", std::to_string(id) + "@localhost:9093"},
                       {"log.dirs", "/data"}};
    for (const auto& [key, value] : more) settings.insert_or_assign(key, value);
    Result<config::BrokerConfig> config = config::BrokerConfig::parse(std::move(settings));
    REQUIRE_MESSAGE(config.has_value(), why_of(config));
    return *config;
  }

  io::Task<void> run() {
    Result<void> opened = co_await open();
    // A machine that dies while its broker starts is the only reason to fail.
    if (!opened && !must_end_) FAIL(why_of(opened));
    if (opened) {
      io::Gate parts(shard_);
      parts.spawn(accept());
      parts.spawn(follow_metadata());
      co_await parts.close();
    }
    co_await sessions_.close();
    if (publisher_) co_await publisher_->clear();
    if (replicas_) co_await replicas_->close();
    if (logs_) co_await logs_->close();
    if (dirs_) {
      Result<void> closed = co_await dirs_->close(epoch_);
      static_cast<void>(closed);
    }
    services_.reset();
    unused_.reset();
    replicas_.reset();
    logs_.reset();
    dirs_.reset();
    ended_ = true;
  }

  io::Task<Result<void>> open() {
    Result<void> step = co_await shard_.files().make_directories("/data");
    KLAMM_CO_TRY(step);
    step = co_await shard_.files().sync_directory("/");
    KLAMM_CO_TRY(step);
    Result<std::optional<storage::MetaProperties>> meta =
        co_await storage::load_meta_properties(shard_.files(), "/data");
    KLAMM_CO_TRY(meta);
    if (!*meta) {
      const storage::MetaProperties fresh{"cluster", id_, Uuid{300, static_cast<std::uint64_t>(id_)}};
      step = co_await storage::save_meta_properties(shard_.files(), "/data", fresh, 0);
      KLAMM_CO_TRY(step);
    }
    storage::LogDirsOptions options;
    options.directories = {"/data"};
    options.metadata_directory = "/data";
    options.node_id = id_;
    options.logger = logger_;
    Result<std::unique_ptr<storage::LogDirs>> dirs = co_await storage::LogDirs::open(shard_, std::move(options));
    KLAMM_CO_TRY(dirs);
    dirs_ = std::move(*dirs);
    Result<std::vector<storage::FoundLog>> found = co_await dirs_->list_logs();
    KLAMM_CO_TRY(found);
    make_parts();
    step = co_await logs_->load(std::move(*found));
    KLAMM_CO_TRY(step);
    logs_->start();
    dirs_->start({logs_.get()});
    Result<std::unique_ptr<io::Listener>> listener = shard_.listen({"", kPort}, 100);
    KLAMM_CO_TRY(listener);
    listener_ = std::move(*listener);
    epoch_ = controller_.join(id_, machine_.address(), config_.rack());
    co_await publisher_->subscribe(
        0, "replicas", [this](const metadata::Publication& publication) { return replicas_->apply(publication); });
    co_return Result<void>();
  }

  void make_parts() {
    storage::LogManagerOptions options;
    options.logger = logger_;
    options.config_of = [this](const std::string& topic) { return replicas_->log_config(*controller_.image(), topic); };
    options.on_log_lost = [this](const protocol::TopicPartition& partition) { replicas_->log_lost(partition); };
    logs_ = std::make_unique<storage::LogManager>(shard_, *dirs_, std::move(options));
    replica::ReplicaOptions replicas;
    replicas.ask_controller = [this](protocol::AlterPartitionRequest request) {
      return controller_.alter_partition(shard_, std::move(request));
    };
    replicas_ = std::make_unique<replica::ReplicaManager>(shard_, 1, config_, *logs_, logger_, std::move(replicas));
    publisher_ = std::make_unique<metadata::Publisher>(shards_, shard_);
    unused_ = std::make_unique<Unused>(shard_);
    services_.reset(new Services{{shard_, config_, *publisher_, shard_, "cluster", logger_},
                                 *logs_,
                                 *replicas_,
                                 *dirs_,
                                 unused_->forwarder,
                                 unused_->producer_ids,
                                 everywhere_,
                                 FetchSessionCache(100, shard_.random())});
    everywhere_ = {services_.get()};
  }

  // What Services has for handlers that nobody calls here.
  struct Unused {
    explicit Unused(io::Shard& shard)
        : channel(shard, {}, {}, nullptr, {}), forwarder(channel, nullptr), producer_ids(shard, channel, 0, {}) {}
    controller::ControllerChannel channel;
    Forwarder forwarder;
    ProducerIds producer_ids;
  };

  // Everything up to now at once, then step by step, each after a while.
  io::Task<void> follow_metadata() {
    std::size_t seen = controller_.steps().size();
    const metadata::ImageRef first = controller_.image();
    co_await publisher_->publish(first, metadata::full_delta(first));
    if (!must_end_) controller_.unfence(id_);
    serving_ = true;
    while (!must_end_) {
      const Instant next = shard_.now() + Duration(shard_.random().between(0, slowest_metadata.count()));
      while (!must_end_ && shard_.now() < next) co_await told_.wait_until(next);
      while (!must_end_ && seen < controller_.steps().size()) {
        const FakeController::Step step = controller_.steps()[seen++];
        co_await publisher_->publish(step.image, step.delta);
      }
    }
  }

  io::Task<void> accept() {
    while (!must_end_) {
      Result<std::unique_ptr<io::Stream>> stream = co_await listener_->accept(shard_);
      if (!stream || must_end_) break;
      sessions_.spawn(serve(std::move(*stream)));
    }
  }

  // One request after the other.
  io::Task<void> serve(std::unique_ptr<io::Stream> stream) {
    streams_.push_back(stream.get());
    rpc::FrameReader reader(100 << 20);
    Hangup hangup;
    security::RequestContext context;
    context.listener = "PLAINTEXT";
    for (;;) {
      Result<Slice> frame = co_await reader.read(*stream);
      if (!frame || must_end_) break;
      Slice request = std::move(*frame);
      if (bugs.any()) request = plant(bugs, std::move(request));
      Reply reply = co_await dispatch(
          *services_, std::move(request), context, [] {}, hangup);
      if (reply.kind == Reply::Kind::close) break;
      if (reply.kind == Reply::Kind::silent) continue;
      Result<void> written = co_await io::write_all(*stream, std::move(reply.body));
      if (!written) break;
    }
    std::erase(streams_, stream.get());
  }

  io::sim::Node& machine_;
  FakeController& controller_;
  io::Shards& shards_;
  io::Shard& shard_;
  std::int32_t id_;
  config::BrokerConfig config_;
  Logger logger_;
  std::unique_ptr<storage::LogDirs> dirs_;
  std::unique_ptr<storage::LogManager> logs_;
  std::unique_ptr<replica::ReplicaManager> replicas_;
  std::unique_ptr<metadata::Publisher> publisher_;
  std::unique_ptr<Unused> unused_;
  std::unique_ptr<Services> services_;
  std::vector<Services*> everywhere_;
  std::unique_ptr<io::Listener> listener_;
  std::vector<io::Stream*> streams_;
  io::Gate sessions_;
  io::Signal told_;
  std::int64_t epoch_ = -1;
  bool must_end_ = false;
  bool serving_ = false;
  bool ended_ = false;
};

}  // namespace klamm::handler::testing
