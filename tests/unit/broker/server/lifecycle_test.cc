// The broker's talk with controllers elsewhere: registration, heartbeats, controlled shutdown.
#include "broker/server/lifecycle.h"

#include <doctest/doctest.h>

#include "broker/metadata/format.h"
#include "broker/metadata/image_writer.h"
#include "scripted_controllers.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::server;
using namespace klamm::server::testing;
using protocol::ApiKey;
using protocol::BrokerHeartbeatRequest;
using protocol::BrokerHeartbeatResponse;
using protocol::BrokerRegistrationRequest;
using protocol::BrokerRegistrationResponse;
using protocol::ErrorCode;

namespace {

constexpr std::int32_t kBroker = 7;

config::BrokerConfig broker_config() {
  Result<config::BrokerConfig> config =
      config::BrokerConfig::parse({{"node.id", "7"},
                                   {"process.roles", "broker"},
                                   {"controller.listener.names", "CONTROLLER"},
                                   {"controller.quorum.bootstrap.servers", "controller1:9093"},
                                   {"listeners", "PLAINTEXT://broker:9092"},
                                   {"log.dirs", "/one,/two"},
                                   {"broker.rack", "r1"}});
  REQUIRE_MESSAGE(config.has_value(), why_of(config));
  return *config;
}

class World {
 public:
  World()
      : simulation_(1),
        controllers(simulation_, 2),
        node_(simulation_.add_node("broker")),
        config_(broker_config()),
        directories_(open_directories()),
        publisher_(node_.shards(), node_.shard()),
        image_(metadata::MetadataImage::none()) {
    controllers.script = [this](const Asked& asked, std::int32_t correlation_id) {
      return answer(asked, correlation_id);
    };
    controller::ControllerChannelOptions channel;
    channel.node_id = kBroker;
    channel_ = std::make_unique<controller::ControllerChannel>(node_.shard(), channel, controllers.find_leader(),
                                                               nullptr, Logger());
    LifecycleOptions options;
    options.cluster_id = "AAAAAAAAQUCAAAAAAAAAAQ";
    options.incarnation_id = kIncarnation;
    options.listeners = config_.advertised_broker_listeners();
    options.on_fatal = [this](const Error&) { ++fatal; };
    lifecycle_ = std::make_unique<Lifecycle>(node_.shard(), config_, std::move(options), *channel_, publisher_,
                                             *directories_, Logger());
    metadata::messages::FeatureLevelRecord level;
    level.name = "metadata.version";
    level.feature_level = metadata::MetadataVersion::kProduction;
    publish({std::move(level), 0});
  }
  ~World() {
    simulation_.run(shard(), lifecycle_->leave());
    lifecycle_.reset();
    Result<void> closed = simulation_.run(shard(), directories_->close(-1));
    CHECK(closed.has_value());
  }

  static constexpr Uuid kIncarnation{5, 5};
  Lifecycle& lifecycle() { return *lifecycle_; }
  storage::LogDirs& directories() { return *directories_; }
  io::Shard& shard() { return node_.shard(); }
  io::sim::Simulation& simulation() { return simulation_; }

  // Registered, and known to be so.
  void join() {
    simulation_.after(100ms, [this] { publish_soon(); });
    Result<void> joined = simulation_.run(shard(), lifecycle_->join());
    REQUIRE_MESSAGE(joined.has_value(), why_of(joined));
  }
  void serve() {
    Result<void> served = simulation_.run(shard(), lifecycle_->serve());
    REQUIRE_MESSAGE(served.has_value(), why_of(served));
  }
  // The metadata takes in one more record.
  void publish(metadata::Record record) { simulation_.run(shard(), publish_task(std::move(record))); }
  void publish_registration(const Uuid& incarnation) {
    metadata::BrokerRegistration broker;
    broker.id = kBroker;
    broker.epoch = epoch;
    broker.incarnation_id = incarnation;
    broker.directories = {{1, 1}};
    publish(metadata::broker_record(broker, metadata::MetadataVersion()));
  }
  BrokerHeartbeatRequest last_beat() const { return controllers.last<BrokerHeartbeatRequest>(); }

 private:
  std::unique_ptr<storage::LogDirs> open_directories() {
    metadata::FormatOptions format = metadata::format_options(config_, "AAAAAAAAQUCAAAAAAAAAAQ");
    Result<metadata::FormatReport> report =
        simulation_.run(node_.shard(), metadata::format_storage(node_.shard(), std::move(format)));
    REQUIRE_MESSAGE(report.has_value(), why_of(report));
    storage::LogDirsOptions options;
    options.directories = config_.log_dirs();
    options.node_id = kBroker;
    Result<std::unique_ptr<storage::LogDirs>> opened =
        simulation_.run(node_.shard(), storage::LogDirs::open(node_.shard(), std::move(options)));
    REQUIRE_MESSAGE(opened.has_value(), why_of(opened));
    return std::move(*opened);
  }
  io::Task<void> publish_task(metadata::Record record) {
    auto delta = std::make_shared<metadata::MetadataDelta>(image_);
    Result<void> replayed = delta->replay(record);
    CHECK(replayed.has_value());
    image_ = delta->apply({++offset_, 1, 0, 0});
    co_await publisher_.publish(image_, delta);
  }
  void publish_soon() {
    offset_ = epoch - 1;
    metadata::messages::NoOpRecord nothing;
    shard().post(
        [](void* raw) {
          auto* world = static_cast<World*>(raw);
          io::spawn_detached(world->publish_task({metadata::messages::NoOpRecord(), 0}));
        },
        this);
  }
  std::optional<io::Pieces> answer(const Asked& asked, std::int32_t correlation_id) {
    if (hanging) return std::nullopt;
    if (asked.key == ApiKey::broker_registration) {
      BrokerRegistrationResponse response;
      if (!refusals.empty()) {
        response.error_code = protocol::to_wire(refusals.front());
        refusals.pop_front();
      } else {
        response.broker_epoch = epoch;
      }
      return ScriptedControllers::reply(response, asked, correlation_id);
    }
    const auto request = asked.as<BrokerHeartbeatRequest>();
    BrokerHeartbeatResponse response;
    response.error_code =
        protocol::to_wire(request.broker_epoch == epoch ? ErrorCode::none : ErrorCode::stale_broker_epoch);
    response.is_caught_up = request.current_metadata_offset >= epoch;
    response.is_fenced = request.want_fence || request.want_shut_down;
    response.should_shut_down = request.want_shut_down && beats_until_shutdown-- <= 0;
    return ScriptedControllers::reply(response, asked, correlation_id);
  }

  io::sim::Simulation simulation_;

 public:
  ScriptedControllers controllers;
  std::int64_t epoch = 40;
  std::deque<ErrorCode> refusals;  // of the next registrations
  int beats_until_shutdown = 2;
  bool hanging = false;
  int fatal = 0;

 private:
  io::sim::Node& node_;
  config::BrokerConfig config_;
  std::unique_ptr<storage::LogDirs> directories_;
  metadata::Publisher publisher_;
  metadata::ImageRef image_;
  std::int64_t offset_ = -1;
  std::unique_ptr<controller::ControllerChannel> channel_;
  std::unique_ptr<Lifecycle> lifecycle_;
};

}  // namespace

TEST_CASE("a broker registers, stays fenced while it loads its logs, is unfenced, and leaves when it may") {
  World world;
  world.join();
  CHECK(world.lifecycle().broker_epoch() == 40);
  const auto registration = world.controllers.last<BrokerRegistrationRequest>();
  CHECK(registration.broker_id == kBroker);
  CHECK(registration.incarnation_id == World::kIncarnation);
  CHECK(registration.rack == "r1");
  CHECK(registration.previous_broker_epoch == -1);
  CHECK(registration.log_dirs.size() == 2);
  CHECK(registration.features.size() == 7);
  REQUIRE(registration.listeners.size() == 1);
  CHECK(registration.listeners[0].name == "PLAINTEXT");
  CHECK(registration.listeners[0].host == "broker");
  world.simulation().run_for(5s);  // as if much had to be recovered
  CHECK(world.last_beat().want_fence);
  CHECK(world.last_beat().current_metadata_offset == 40);
  CHECK(world.controllers.count(ApiKey::broker_heartbeat) == 3);
  world.serve();
  CHECK_FALSE(world.last_beat().want_fence);
  world.simulation().run_for(20s);
  const std::size_t beats = world.controllers.count(ApiKey::broker_heartbeat);
  CHECK(beats >= 13);
  CHECK(beats <= 15);
  world.simulation().run(world.shard(), world.lifecycle().leave());
  CHECK(world.last_beat().want_shut_down);
  CHECK(world.controllers.count(ApiKey::broker_heartbeat) == beats + 3);
}

TEST_CASE("a registration that another incarnation holds up is tried again; one that is refused is not") {
  World world;
  world.refusals = {ErrorCode::duplicate_broker_registration, ErrorCode::not_controller,
                    ErrorCode::duplicate_broker_registration};
  world.join();
  CHECK(world.controllers.count(ApiKey::broker_registration) == 4);

  World other;
  other.refusals = {ErrorCode::inconsistent_cluster_id};
  const Result<void> joined = other.simulation().run(other.shard(), other.lifecycle().join());
  REQUIRE_FALSE(joined.has_value());
  CHECK(protocol::code_of(joined.error()) == ErrorCode::inconsistent_cluster_id);
  CHECK(other.controllers.count(ApiKey::broker_registration) == 1);
}

TEST_CASE("a registration that nobody takes is given up after initial.broker.registration.timeout.ms") {
  World world;
  world.controllers.leader = -1;
  const Instant begin = world.simulation().now();
  const Result<void> joined = world.simulation().run(world.shard(), world.lifecycle().join());
  REQUIRE_FALSE(joined.has_value());
  CHECK(world.simulation().now() - begin >= 60s);
  CHECK(world.simulation().now() - begin < 65s);
}

TEST_CASE("a start that waits for its registration can be interrupted") {
  World world;
  world.controllers.leader = -1;
  world.simulation().after(3s, [&] {
    world.shard().post([](void* raw) { static_cast<Lifecycle*>(raw)->interrupt(); }, &world.lifecycle());
  });
  const Instant begin = world.simulation().now();
  const Result<void> joined = world.simulation().run(world.shard(), world.lifecycle().join());
  REQUIRE_FALSE(joined.has_value());
  CHECK(joined.error() == Errc::cancelled);
  CHECK(world.simulation().now() - begin < 5s);
}

TEST_CASE("a broker whose registration was removed registers again; one that another process replaced does not") {
  World world;
  world.join();
  world.serve();
  world.epoch = 60;  // its epoch of before is stale, and the metadata does not show it
  world.simulation().run_for(5s);
  CHECK(world.lifecycle().broker_epoch() == 60);
  CHECK(world.controllers.last<BrokerRegistrationRequest>().incarnation_id == World::kIncarnation);
  const std::size_t registrations = world.controllers.count(ApiKey::broker_registration);
  world.epoch = 80;
  world.publish_registration(Uuid{9, 9});
  world.simulation().run_for(10s);
  CHECK(world.lifecycle().broker_epoch() == 60);
  CHECK(world.controllers.count(ApiKey::broker_registration) == registrations);
}

TEST_CASE("heartbeats tell at once of directories that are offline or cordoned") {
  World world;
  world.join();
  world.serve();
  CHECK(world.last_beat().offline_log_dirs.empty());
  REQUIRE(world.last_beat().cordoned_log_dirs.has_value());
  CHECK(world.last_beat().cordoned_log_dirs->empty());
  world.directories().set_cordoned({"/one"});
  world.lifecycle().beat_soon();
  world.simulation().run_for(100ms);
  CHECK(world.last_beat().cordoned_log_dirs == std::vector<Uuid>{world.directories().directories()[0].id});
  world.directories().directory_failed(1, Error(Errc::corrupt, "gone"));
  world.lifecycle().beat_soon();
  world.simulation().run_for(100ms);
  CHECK(world.last_beat().offline_log_dirs == std::vector<Uuid>{world.directories().directories()[1].id});
  world.simulation().run_for(60s);
  CHECK(world.fatal == 0);
}

TEST_CASE("a broker that cannot tell of a failed directory for log.dir.failure.timeout.ms must end") {
  World world;
  world.join();
  world.serve();
  world.hanging = true;
  world.directories().directory_failed(1, Error(Errc::corrupt, "gone"));
  world.lifecycle().beat_soon();
  world.simulation().run_for(25s);
  CHECK(world.fatal == 0);
  world.simulation().run_for(10s);
  CHECK(world.fatal == 1);
}

TEST_CASE("a controlled shutdown that nobody answers is given up when the session is over anyway") {
  World world;
  world.join();
  world.serve();
  world.hanging = true;
  const Instant begin = world.simulation().now();
  world.simulation().run(world.shard(), world.lifecycle().leave());
  CHECK(world.simulation().now() - begin >= 9s);
  CHECK(world.simulation().now() - begin < 13s);
}
