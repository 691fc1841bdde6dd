// Keys of the producer whose effect shows at the brokers: which partitions and topics they hear of, and how long they
// are waited for.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "producer_world.h"

using namespace klamm;
using namespace klamm::test;

namespace {

io::Task<void> pass(io::Shard& shard, Duration time) { co_await shard.sleep(time); }

}  // namespace

TEST_CASE("partitioner.ignore.keys spreads records with keys like those without") {
  for (const bool ignores : {true, false}) {
    ClientWorld world;
    world.cluster.add_topic("log", 8);
    const auto producer =
        world.producer({{"partitioner.ignore.keys", ignores ? "true" : "false"}, {"linger.ms", "1000"}});
    (void)world.run(send(*producer, "log", "x"));  // the topic is known now
    std::set<std::int32_t> partitions;
    for (int number = 0; number < 50; ++number) {
      const std::string key = "key" + std::to_string(number);
      const Accepted one = producer->send({.topic = "log", .key = key, .value = "x"});
      REQUIRE(one.batch);
      partitions.insert(one.batch->partition());
    }
    // Those without a key stay together until batch.size.
    CHECK((partitions.size() == 1) == ignores);
    world.end(producer);
  }
}

TEST_CASE("metadata.max.idle.ms: a topic that is not written to is asked for no longer, and again when it is") {
  ClientWorld world;
  world.cluster.add_topic("busy", 1);
  world.cluster.add_topic("idle", 1);
  std::set<std::string> asked;
  world.cluster.on_metadata = [&](const protocol::MetadataRequest& request) {
    asked.clear();
    for (const auto& topic : *request.topics) asked.insert(topic.name.value_or(""));
  };
  const auto producer =
      world.producer({{"metadata.max.idle.ms", "6000"}, {"metadata.max.age.ms", "500"}, {"linger.ms", "0"}});
  const auto write = [&](const char* topic) {
    const Accepted one = world.run(send(*producer, topic, "x", 0));
    CHECK(world.run(producer->flush()));
    CHECK(one.batch->error(one.index) == nullptr);
  };
  write("idle");
  write("busy");
  for (int second = 0; second < 5; ++second) {
    world.run(pass(world.shard, 1s));
    write("busy");
  }
  CHECK(asked == std::set<std::string>{"busy", "idle"});
  for (int second = 0; second < 5; ++second) {
    world.run(pass(world.shard, 1s));
    write("busy");
  }
  CHECK(asked == std::set<std::string>{"busy"});
  write("idle");
  world.run(pass(world.shard, 1s));
  CHECK(asked == std::set<std::string>{"busy", "idle"});
  world.end(producer);
}

TEST_CASE("metadata.recovery.strategy: when no known broker is left the bootstrap servers are asked again, or not") {
  for (const bool rebootstrap : {true, false}) {
    ClientWorld world(1, 3);
    world.cluster.add_topic("log", 1);
    world.cluster.move_leader("log", 0, 2);
    world.cluster.hidden = {1, 3};  // broker 1 is for bootstrapping only
    const auto producer = world.producer({{"bootstrap.servers", "broker1:9092"},
                                          {"metadata.recovery.strategy", rebootstrap ? "rebootstrap" : "none"},
                                          {"socket.connection.setup.timeout.ms", "1000"},
                                          {"socket.connection.setup.timeout.max.ms", "1000"},
                                          {"request.timeout.ms", "1000"},
                                          {"delivery.timeout.ms", "30000"}});
    const auto write = [&] {
      const Accepted one = world.run(send(*producer, "log", "x", 0));
      CHECK(world.run(producer->flush()));
      return one.batch->error(one.index) == nullptr;
    };
    CHECK(write());
    // The cluster is another one when its only known broker is gone.
    world.simulation.network().partition(world.node, world.cluster.node(2));
    world.simulation.network().cut(world.node, world.cluster.node(1));
    world.cluster.hidden = {1, 2};
    world.cluster.move_leader("log", 0, 3);
    CHECK(write() == rebootstrap);
    world.end(producer);
  }
}
