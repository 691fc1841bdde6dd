// Which partition a record goes to.
#include <doctest/doctest.h>

#include <array>
#include <set>
#include <string>
#include <vector>

#include "client/produce/murmur2.h"
#include "client/produce/partitioner.h"
#include "client_world.h"
#include "producer_world.h"

using namespace klamm;
using namespace klamm::test;

TEST_CASE("murmur2 gives Kafka's hashes") {
  CHECK(client::murmur2(as_bytes("")) == 275646681);
  CHECK(client::murmur2(as_bytes("a")) == -1563381124);
  CHECK(client::murmur2(as_bytes("ab")) == 316155434);
  CHECK(client::murmur2(as_bytes("abc")) == 479470107);
  CHECK(client::murmur2(as_bytes("abcd")) == -1323649548);
  CHECK(client::murmur2(as_bytes("21")) == -973932308);
  CHECK(client::murmur2(as_bytes("foobar")) == -790332482);
  CHECK(client::murmur2(as_bytes("a-little-bit-long-string")) == -985981536);
  CHECK(client::murmur2(as_bytes("a-little-bit-longer-string")) == -1486304829);
  CHECK(client::murmur2(as_bytes("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")) == -58897971);
}

TEST_CASE("the sticky partitioner stays until batch.size and prefers short queues") {
  Random random(7);
  client::StickyPartitioner sticky;
  const client::StickyOptions options{1000, true};
  std::vector<client::PartitionLoad> loads{{0, 9}, {1, 0}, {2, 9}};
  std::array<int, 3> chosen{};
  for (int turn = 0; turn < 1200; ++turn) ++chosen[static_cast<std::size_t>(sticky.choose(loads, options, random))];
  // Weights are 1, 10 and 1 of 12.
  CHECK(chosen[1] > 900);
  CHECK(chosen[0] > 50);
  CHECK(chosen[2] > 50);
  const std::int32_t current = sticky.current();
  sticky.batch_closed(current, 999, options);
  CHECK(sticky.current() == current);
  sticky.batch_closed((current + 1) % 3, 5000, options);
  CHECK(sticky.current() == current);
  sticky.batch_closed(current, 1, options);
  CHECK(sticky.current() == -1);
}

TEST_CASE("records with keys go where Kafka's clients would put them, the others stick together") {
  ClientWorld world;
  world.cluster.add_topic("log", 5);
  auto producer = world.producer();
  auto work = [&]() -> io::Task<Result<void>> {
    for (int number = 0; number < 200; ++number) {
      const std::string key = "key" + std::to_string(number);
      Record record{.topic = "log", .key = key, .value = key};
      while (true) {
        Accepted one = producer->send(record);
        if (one.batch) {
          CHECK(one.batch->partition() == client::partition_of_key(as_bytes(key), 5));
          break;
        }
        Result<void> room = co_await producer->ready();
        CHECK(room.has_value());
      }
    }
    std::set<std::int32_t> partitions;
    for (int number = 0; number < 20; ++number) {
      Accepted one = co_await send(*producer, "log", "no key");
      partitions.insert(one.batch->partition());
    }
    CHECK(partitions.size() == 1);
    Result<void> flushed = co_await producer->flush();
    co_return flushed;
  };
  Result<void> done = world.simulation.run(world.shard, work);
  CHECK(done.has_value());
  for (std::size_t partition = 0; partition < 5; ++partition) {
    for (const std::string& value : world.cluster.values("log", partition)) {
      if (value != "no key")
        CHECK(client::partition_of_key(as_bytes(value), 5) == static_cast<std::int32_t>(partition));
    }
  }
  world.end(producer);
}

TEST_CASE("records with keys wait for a topic that is not known yet") {
  ClientWorld world;
  world.cluster.add_topic("log", 3);
  auto producer = world.producer();
  const Record record{.topic = "log", .key = "key", .value = "x"};
  CHECK_FALSE(producer->send(record).batch);
  CHECK_FALSE(producer->send(record).batch);
  CHECK(world.run(producer->ready()).has_value());
  CHECK(producer->send(record).batch);
  CHECK(world.run(producer->flush()).has_value());
  world.end(producer);
}

TEST_CASE("a partitioner of the application decides, and a partition that is not there fails the record alone") {
  ClientWorld world;
  world.cluster.add_topic("log", 3);
  ProducerHooks hooks;
  std::int32_t chosen = 0;
  hooks.partitioner = [&chosen](const PartitionerInput& input) {
    CHECK(input.partition_count == 3);
    CHECK(std::vector<std::int32_t>(input.available.begin(), input.available.end()) ==
          std::vector<std::int32_t>{0, 1, 2});
    return input.record.key.is_null() ? chosen : -7;
  };
  auto producer = world.producer({}, hooks);
  for (chosen = 0; chosen < 3; ++chosen) {
    CHECK(world.run(send(*producer, "log", std::to_string(chosen))).batch->partition() == chosen);
  }
  const Accepted wrong = producer->send({.topic = "log", .key = "key", .value = "x"});
  REQUIRE(wrong.batch);
  REQUIRE(wrong.batch->done());
  REQUIRE(wrong.batch->error(wrong.index) != nullptr);
  CHECK(*wrong.batch->error(wrong.index) == Errc::invalid_argument);
  // A record that names its partition asks nobody.
  CHECK(world.run(send(*producer, "log", "named", 2)).batch->partition() == 2);
  CHECK(world.run(producer->flush()).has_value());
  CHECK(world.cluster.values("log", 0) == std::vector<std::string>{"0"});
  CHECK(world.cluster.values("log", 1) == std::vector<std::string>{"1"});
  CHECK(world.cluster.values("log", 2) == std::vector<std::string>{"2", "named"});
  world.end(producer);
}
