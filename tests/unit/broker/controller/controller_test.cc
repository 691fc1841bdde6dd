#include "broker/controller/controller.h"

#include "broker/metadata/format.h"
#include "broker/metadata/loader.h"
#include "broker/raft/raft_node.h"
#include "io/sim/simulation.h"
#include "lab.h"
#include "protocol/messages/allocate_producer_ids_request.h"
#include "protocol/messages/allocate_producer_ids_response.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_request.h"
#include "protocol/messages/broker_registration_response.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/delete_topics_request.h"
#include "protocol/messages/delete_topics_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"

namespace klamm::controller {
namespace {

using io::sim::Node;
using io::sim::Simulation;

// A combined node's metadata side on a formatted directory: raft, loader, publisher, controller.
struct NodeStack {
  NodeStack(Simulation& sim, Node& node, std::uint64_t incarnation)
      : simulation(sim),
        shard(node.shard(0)),
        publisher(node.shards(), shard),
        raft(shard, raft_options()),
        loader(shard, raft, &publisher),
        controller(shard, raft, loader, options(incarnation)),
        broker_incarnation(incarnation) {}

  static raft::RaftOptions raft_options() {
    raft::RaftOptions options;
    options.node_id = 1;
    options.endpoints = {{"CONTROLLER", "localhost", 9093}};
    options.static_voters = raft::VoterSet({raft::Voter{{1, {}}, options.endpoints}});
    options.log.log_dir = "/data";
    options.log.file_delete_delay_ms = 0;
    return options;
  }
  static ControllerOptions options(std::uint64_t incarnation) {
    ControllerOptions options;
    options.node_id = 1;
    options.cluster_id = "cluster";
    options.incarnation_id = Uuid{400, incarnation};
    options.listeners = {{"CONTROLLER", "localhost", 9093, 0}};
    return options;
  }

  void start() {
    controller.start();
    REQUIRE(simulation.run(shard, raft.start()).has_value());
    REQUIRE(simulation.run(shard, controller.wait_active(Instant::never())));
  }
  void stop() {
    simulation.run(shard, controller.stop());
    simulation.run(shard, raft.stop());
    simulation.run(shard, loader.close());
    simulation.run(shard, publisher.clear());
  }

  std::int64_t join() {
    protocol::BrokerRegistrationRequest request;
    request.broker_id = 1;
    request.cluster_id = "cluster";
    request.incarnation_id = Uuid{500, broker_incarnation};
    request.rack = std::nullopt;
    auto& listener = request.listeners.emplace_back();
    listener.name = "PLAINTEXT";
    listener.host = "localhost";
    listener.port = 9092;
    for (const auto& [name, range] : metadata::supported_features()) {
      auto& feature = request.features.emplace_back();
      feature.name = name;
      feature.min_supported_version = range.min;
      feature.max_supported_version = range.max;
    }
    request.log_dirs = {Uuid{600, 1}};
    const auto registered = simulation.run(shard, controller.register_broker(context, request));
    REQUIRE(code(registered.error_code) == ErrorCode::none);
    REQUIRE(simulation.run(shard, publisher.wait_for(shard, registered.broker_epoch, Instant::never())));
    const auto beat = heartbeat(registered.broker_epoch);
    REQUIRE(code(beat.error_code) == ErrorCode::none);
    REQUIRE_FALSE(beat.is_fenced);
    return registered.broker_epoch;
  }
  protocol::BrokerHeartbeatResponse heartbeat(std::int64_t epoch) {
    protocol::BrokerHeartbeatRequest request;
    request.broker_id = 1;
    request.broker_epoch = epoch;
    request.current_metadata_offset = loader.image()->provenance.last_offset;
    return simulation.run(shard, controller.broker_heartbeat(context, request));
  }
  protocol::CreateTopicsResponse create(std::string name, std::int32_t partitions) {
    protocol::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = std::move(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    return simulation.run(shard, controller.create_topics(context, request));
  }

  Simulation& simulation;
  io::Shard& shard;
  metadata::Publisher publisher;
  raft::RaftNode raft;
  metadata::Loader loader;
  Controller controller;
  security::RequestContext context;
  std::uint64_t broker_incarnation;
};

TEST_CASE("a fresh node bootstraps, takes its broker in, creates a topic, and is the same after a restart") {
  Simulation simulation(21);
  Node& node = simulation.add_node("n1", {.shards = 2});
  ImageRef before;
  {
    NodeStack stack(simulation, node, 1);
    stack.start();
    stack.join();
    REQUIRE(simulation.run(stack.shard, stack.publisher.wait_for(stack.shard, 9, Instant::never())));
    CHECK(stack.loader.image()->features == metadata::FeatureLevels{{"metadata.version", 30},
                                                                    {"eligible.leader.replicas.version", 1},
                                                                    {"group.version", 1},
                                                                    {"transaction.version", 2}});
    CHECK(stack.loader.image()->configs.cluster_default().at("min.insync.replicas") == "1");
    CHECK(stack.loader.image()->cluster.controllers.size() == 1);
    const auto created = stack.create("orders", 5);
    CHECK(code(created.topics.at(0).error_code) == ErrorCode::none);
    // What was answered is in every shard's image soon after.
    REQUIRE(simulation.run_until([&] { return stack.publisher.image(1)->topics.find("orders") != nullptr; }));
    CHECK(stack.publisher.image(1)->topics.find("orders")->partition_count() == 5);
    CHECK(code(stack.create("orders", 5).topics.at(0).error_code) == ErrorCode::topic_already_exists);
    before = stack.loader.image();
    stack.stop();
  }
  NodeStack stack(simulation, node, 2);
  stack.start();
  REQUIRE(simulation.run(stack.shard, stack.loader.wait_published(Instant::never())));
  CHECK(stack.loader.image()->topics == before->topics);
  CHECK(stack.loader.image()->configs == before->configs);
  CHECK(stack.loader.image()->features == before->features);
  stack.join();  // at once, though the broker of the former process was never fenced
  const PartitionRegistration* partition = stack.publisher.image(0)->topics.partition("orders", 0);
  REQUIRE(partition != nullptr);
  REQUIRE(simulation.run_until([&] { return stack.publisher.image(0)->topics.partition("orders", 0)->leader == 1; }));
  stack.stop();
}

TEST_CASE("acknowledged topics survive power loss at any moment") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    Simulation simulation(seed);
    Node& node = simulation.add_node("n1");
    std::vector<std::string> acknowledged;
    for (std::uint64_t life = 1; life <= 4; ++life) {
      NodeStack stack(simulation, node, life);
      stack.start();
      stack.join();
      for (const std::string& name : acknowledged) CHECK(stack.loader.image()->topics.find(name) != nullptr);
      const std::uint64_t count = simulation.random().below(5);
      for (std::uint64_t index = 0; index < count; ++index) {
        const std::string name = "t" + std::to_string(life) + "-" + std::to_string(index);
        REQUIRE(code(stack.create(name, 2).topics.at(0).error_code) == ErrorCode::none);
        acknowledged.push_back(name);
      }
      // One in flight when the power goes.
      protocol::CreateTopicsRequest request;
      auto& topic = request.topics.emplace_back();
      topic.name = "in-flight-" + std::to_string(life);
      topic.num_partitions = 1;
      topic.replication_factor = 1;
      std::optional<protocol::CreateTopicsResponse> answer;
      const auto ask = [&]() -> io::Task<void> {
        protocol::CreateTopicsResponse response = co_await stack.controller.create_topics(stack.context, request);
        answer = std::move(response);
      };
      simulation.run(stack.shard, [&]() -> io::Task<void> {
        io::spawn_detached(ask());
        co_return;
      });
      simulation.run_for(std::chrono::microseconds(simulation.random().between(0, 500)));
      if (answer && code(answer->topics.at(0).error_code) == ErrorCode::none)
        acknowledged.push_back(request.topics[0].name);
      node.crash();
      stack.stop();
      REQUIRE(simulation.run_until([&] { return answer.has_value(); }));
      node.restart();
    }
  }
}

TEST_CASE("an idle controller writes NoOps, and fences a broker that went silent") {
  Simulation simulation(23);
  Node& node = simulation.add_node("n1");
  NodeStack stack(simulation, node, 1);
  stack.start();
  stack.join();
  stack.create("a", 1);
  const std::int64_t before = stack.raft.log_end_offset();
  simulation.run_for(3s);
  const std::int64_t after = stack.raft.log_end_offset();
  CHECK(after - before >= 5);
  CHECK(after - before <= 7);
  CHECK_FALSE(stack.loader.image()->cluster.broker(1)->fenced);
  simulation.run_for(7s);
  CHECK(stack.loader.image()->cluster.broker(1)->fenced);
  CHECK(stack.loader.image()->topics.partition("a", 0)->leader == metadata::kNoLeader);
  stack.stop();
}

TEST_CASE("many creations at once are answered all, and written in few flushes") {
  Simulation simulation(24);
  Node& node = simulation.add_node("n1");
  NodeStack stack(simulation, node, 1);
  stack.start();
  stack.join();
  int done = 0;
  const auto one = [&](int index) -> io::Task<void> {
    protocol::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "t" + std::to_string(index);
    topic.num_partitions = 3;
    topic.replication_factor = 1;
    protocol::CreateTopicsResponse response = co_await stack.controller.create_topics(stack.context, request);
    if (code(response.topics.at(0).error_code) == ErrorCode::none) ++done;
  };
  const auto all = [&]() -> io::Task<void> {
    io::Gate gate(stack.shard);
    for (int index = 0; index < 100; ++index) gate.spawn(one(index));
    co_await gate.close();
  };
  simulation.run(stack.shard, all());
  CHECK(done == 100);
  CHECK(stack.raft.high_watermark() == stack.raft.log_end_offset());
  REQUIRE(simulation.run_until([&] { return stack.loader.image()->topics.size() == 100; }));
  stack.stop();
}

TEST_CASE("calls to a controller that is not active say so") {
  Simulation simulation(25);
  Node& node = simulation.add_node("n1");
  NodeStack stack(simulation, node, 1);
  CHECK(code(stack.create("a", 1).topics.at(0).error_code) == ErrorCode::not_controller);
  stack.start();
  stack.join();
  CHECK(code(stack.create("a", 1).topics.at(0).error_code) == ErrorCode::none);
  // Leadership goes and comes back: the state is what the log says.
  stack.raft.resign(stack.raft.leader().epoch);
  CHECK(code(stack.create("b", 1).topics.at(0).error_code) == ErrorCode::not_controller);
  REQUIRE(simulation.run_until([&] { return stack.controller.active() && stack.raft.leader().leader_id == 1; }));
  CHECK(code(stack.create("a", 1).topics.at(0).error_code) == ErrorCode::topic_already_exists);
  CHECK(code(stack.create("b", 1).topics.at(0).error_code) == ErrorCode::none);
  stack.stop();
}

TEST_CASE("DescribeQuorum shows the voter and the high watermark") {
  Simulation simulation(26);
  Node& node = simulation.add_node("n1");
  NodeStack stack(simulation, node, 1);
  stack.start();
  stack.context.api_version = 2;
  protocol::DescribeQuorumRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = "__cluster_metadata";
  topic.partitions.emplace_back().partition_index = 0;
  const auto response = simulation.run(stack.shard, stack.controller.describe_quorum(stack.context, request));
  const auto& partition = response.topics.at(0).partitions.at(0);
  CHECK(partition.leader_id == 1);
  REQUIRE(partition.current_voters.size() == 1);
  CHECK(partition.current_voters[0].replica_id == 1);
  CHECK(partition.high_watermark > 0);
  REQUIRE(response.nodes.size() == 1);
  CHECK(response.nodes[0].listeners.at(0).port == 9093);
  stack.stop();
}

}  // namespace
}  // namespace klamm::controller
