// A node's way to the active controller, over a simulated network.
#include "broker/controller/controller_channel.h"

#include <doctest/doctest.h>

#include <set>

#include "scripted_controllers.h"

using namespace klamm;
using namespace klamm::server::testing;
using protocol::AllocateProducerIdsRequest;
using protocol::AllocateProducerIdsResponse;
using protocol::ErrorCode;

namespace {

class World {
 public:
  World()
      : simulation_(1),
        controllers(simulation_, 2),
        node_(simulation_.add_node("broker")),
        channel(node_.shard(), options(), controllers_leader(), nullptr, Logger()) {
    controllers.script = [this](const Asked& asked, std::int32_t correlation_id) -> std::optional<io::Pieces> {
      if (hanging.contains(asked.controller)) return std::nullopt;
      AllocateProducerIdsResponse response;
      response.error_code = protocol::to_wire(asked.controller == active ? ErrorCode::none : ErrorCode::not_controller);
      response.producer_id_start = asked.controller * 1000;
      return ScriptedControllers::reply(response, asked, correlation_id);
    };
  }
  ~World() { simulation_.run(node_.shard(), channel.close()); }

  // The answer's producer id; an error's code as a negative number.
  Result<std::int64_t> ask(Duration patience) {
    return simulation_.run(node_.shard(), ask_in(channel, node_.shard(), patience));
  }
  void after(Duration delay, std::function<void()> action) { simulation_.after(delay, std::move(action)); }
  Instant now() { return simulation_.now(); }
  io::sim::Simulation& simulation() { return simulation_; }
  io::Shard& shard() { return node_.shard(); }

 private:
  static controller::ControllerChannelOptions options() {
    controller::ControllerChannelOptions options;
    options.node_id = 7;
    options.connection.client_id = "7";
    return options;
  }
  controller::FindLeader controllers_leader() { return controllers.find_leader(); }
  static io::Task<Result<std::int64_t>> ask_in(controller::ControllerChannel& channel, io::Shard& shard,
                                               Duration patience) {
    AllocateProducerIdsRequest request;
    request.broker_id = 7;
    Result<AllocateProducerIdsResponse> response = co_await channel.call(std::move(request), shard.now() + patience);
    KLAMM_CO_TRY(response);
    co_return response->producer_id_start;
  }

  io::sim::Simulation simulation_;

 public:
  ScriptedControllers controllers;
  std::int32_t active = 1;
  std::set<std::int32_t> hanging;

 private:
  io::sim::Node& node_;

 public:
  controller::ControllerChannel channel;
};

}  // namespace

TEST_CASE("the leader of the quorum is asked, under the node's own name") {
  World world;
  CHECK(world.ask(5s).value() == 1000);
  CHECK(world.controllers.count(protocol::ApiKey::allocate_producer_ids, 1) == 1);
  CHECK(world.controllers.asked.back().client_id == "7");
}

TEST_CASE("who is no controller any more is asked again until the quorum names another") {
  World world;
  world.active = 2;
  world.after(300ms, [&] { world.controllers.leader = 2; });
  CHECK(world.ask(5s).value() == 2000);
  const std::size_t refused = world.controllers.count(protocol::ApiKey::allocate_producer_ids, 1);
  CHECK(refused > 1);
  CHECK(refused < 12);  // with a backoff
}

TEST_CASE("a controller that hangs is left when another leads, long before its answer is due") {
  World world;
  world.hanging = {1};
  world.active = 2;
  world.after(1s, [&] { world.controllers.leader = 2; });
  const Instant begin = world.now();
  CHECK(world.ask(25s).value() == 2000);
  CHECK(world.now() - begin < 2s);
}

TEST_CASE("without a leader a call ends at its deadline, and with one in time it does not") {
  World world;
  world.controllers.leader = -1;
  const Instant begin = world.now();
  CHECK(world.ask(2s).error() == Errc::unavailable);
  CHECK(world.now() - begin >= 2s);
  CHECK(world.now() - begin < 3s);
  world.after(1s, [&] { world.controllers.leader = 1; });
  CHECK(world.ask(5s).value() == 1000);
}

TEST_CASE("a closed way ends its calls as cancelled") {
  World world;
  world.hanging = {1};
  world.after(1s, [&] {
    world.shard().post([](void* raw) { io::spawn_detached(static_cast<controller::ControllerChannel*>(raw)->close()); },
                       &world.channel);
  });
  const Result<std::int64_t> answer = world.ask(25s);
  REQUIRE_FALSE(answer.has_value());
  CHECK(answer.error() == Errc::cancelled);
  CHECK(world.ask(25s).error() == Errc::cancelled);
}
