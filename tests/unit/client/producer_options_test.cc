// Keys of the producer whose effect shows at the brokers: which partitions and topics they hear of, and how long they
// are waited for.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "producer_world.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::test;

namespace {

io::Task<void> pass(io::Shard& shard, Duration time) { co_await shard.sleep(time); }

// How many of `count` records without a key, one every 5 ms, go to each of two partitions.
io::Task<std::vector<int>> spread(ProducerCore& producer, int count) {
  std::vector<int> chosen(2, 0);
  for (int number = 0; number < count; ++number) {
    Accepted one = co_await send(producer, "log", std::string(90, 'x'));
    ++chosen.at(static_cast<std::size_t>(one.batch->partition()));
    co_await producer.shard().sleep(5ms);
  }
  co_return chosen;
}

// A producer of two partitions on two brokers, of which the second is lost after a while.
struct OneLost : ClientWorld {
  OneLost() : ClientWorld(5, 2) { cluster.add_topic("log", 2); }
  std::shared_ptr<ProducerCore> start(std::string_view adaptive, std::string_view timeout_ms) {
    return producer({{"batch.size", "100"},
                     {"linger.ms", "0"},
                     {"partitioner.adaptive.partitioning.enable", adaptive},
                     {"partitioner.availability.timeout.ms", timeout_ms}});
  }
  void lose() { simulation.network().partition(node, cluster.node(2)); }
};

}  // namespace

TEST_CASE("partitioner.availability.timeout.ms leaves out a broker that takes nothing, until it takes batches again") {
  OneLost world;
  const auto producer = world.start("true", "200");
  const std::vector<int> before = world.run(spread(*producer, 100));
  CHECK(before[0] > 10);
  CHECK(before[1] > 10);
  world.lose();
  (void)world.run(spread(*producer, 100));  // 500 ms
  const std::vector<int> lost = world.run(spread(*producer, 400));
  CHECK(lost == std::vector<int>{400, 0});
  world.simulation.network().heal_all();
  world.run(pass(world.shard, 40s));  // the lost connection is found out, and made anew
  const std::vector<int> after = world.run(spread(*producer, 200));
  CHECK(after[0] > 10);
  CHECK(after[1] > 10);
  CHECK(world.run(producer->flush()));
  world.end(producer);
}

TEST_CASE("partitioner.availability.timeout.ms does nothing by default, nor without the adaptive choice") {
  for (const bool adaptive : {true, false}) {
    OneLost world;
    const auto producer = world.start(adaptive ? "true" : "false", adaptive ? "0" : "200");
    (void)world.run(spread(*producer, 100));
    world.lose();
    (void)world.run(spread(*producer, 100));
    const std::vector<int> lost = world.run(spread(*producer, 400));
    CHECK(lost[1] > (adaptive ? 0 : 100));
    world.end(producer);
  }
}

TEST_CASE("partitioner.availability.timeout.ms: where all brokers take nothing none is left out") {
  OneLost world;
  const auto producer = world.start("true", "100");
  (void)world.run(spread(*producer, 50));
  world.lose();
  world.simulation.network().partition(world.node, world.cluster.node(1));
  (void)world.run(spread(*producer, 200));
  const std::vector<int> lost = world.run(spread(*producer, 200));
  CHECK(lost[0] > 10);
  CHECK(lost[1] > 10);
  world.end(producer);
}

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

TEST_CASE("socket.connection.setup.timeout.ms doubles with each failure up to its max, and begins anew after success") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  std::vector<Instant> failures;
  ProducerHooks hooks;
  hooks.log_level = LogLevel::debug;
  hooks.log_sink = [&](LogLevel, std::string_view, std::string_view line) {
    if (line.find(" (broker 1) failed: ") != std::string_view::npos) {
      failures.push_back(world.simulation.now());
    }
  };
  const auto producer = world.producer({{"socket.connection.setup.timeout.ms", "1000"},
                                        {"socket.connection.setup.timeout.max.ms", "5000"},
                                        {"reconnect.backoff.ms", "0"},
                                        {"retry.backoff.ms", "0"},
                                        {"delivery.timeout.ms", "100000"}},
                                       hooks);
  const auto near = [](Duration measured, Duration wanted) {  // 20 % of jitter, and some slack for what comes between
    return measured >= wanted * 8 / 10 && measured <= wanted * 12 / 10 + 300ms;
  };
  CHECK(world.run(send(*producer, "log", "x")).batch);
  CHECK(world.run(producer->flush()));
  for (int outage = 0; outage < 2; ++outage) {
    failures.clear();
    world.simulation.network().partition(world.node, world.cluster.node(1));
    world.simulation.network().cut(world.node, world.cluster.node(1));
    const Instant begin = world.simulation.now();
    Record record{.topic = "log", .value = "x"};
    const Accepted accepted = producer->send(record);
    REQUIRE(accepted.batch);
    world.run(pass(world.shard, 22s));
    REQUIRE(failures.size() >= 5);
    CHECK(near(failures[1] - failures[0], 2s));
    CHECK(near(failures[2] - failures[1], 4s));
    for (std::size_t later = 3; later < failures.size(); ++later) {
      CHECK(failures[later] - failures[later - 1] >= 4s);
      CHECK(failures[later] - failures[later - 1] <= 5s + 300ms);  // the max is not exceeded
    }
    CHECK(failures[0] - begin <= 1200ms + 300ms);
    world.simulation.network().heal_all();
    const Result<void> flushed = world.run(producer->flush());
    CHECK_MESSAGE(flushed, why_of(flushed));
    CHECK(accepted.batch->error(accepted.index) == nullptr);
  }
  world.end(producer);
}
