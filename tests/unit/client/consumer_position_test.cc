// Where the consumer reads: resets, seeks, epochs, leaders that move.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client_world.h"
#include "consumer_world.h"

using namespace klamm;
using namespace klamm::test;

TEST_CASE("auto.offset.reset decides where to begin, seek where to go on") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 10);
  auto consumer = world.consumer({{"auto.offset.reset", "latest"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  auto position = world.run(consumer->await_position({"log", 0}));
  REQUIRE(position.has_value());
  CHECK(*position == 30);
  fill(world.cluster, "log", 0, 1, 30);
  Result<Values> values = world.run(read_all(*consumer, 3));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(30, 33));
  REQUIRE(consumer->seek({"log", 0}, 17).has_value());
  values = world.run(read_all(*consumer, 16));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(17, 33));
  REQUIRE(consumer->seek_to({}, client::kEarliest).has_value());
  values = world.run(read_all(*consumer, 33));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(0, 33));
  CHECK_FALSE(consumer->seek({"other", 0}, 0).has_value());
  world.end(consumer);
}

TEST_CASE("without a reset policy a missing or impossible offset is an error of that partition alone") {
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  fill(world.cluster, "log", 0, 2);
  fill(world.cluster, "log", 1, 2);
  auto consumer = world.consumer({{"auto.offset.reset", "none"}});
  REQUIRE(consumer->assign({{"log", 0}, {"log", 1}}).has_value());
  REQUIRE(consumer->seek({"log", 1}, 0).has_value());
  Result<Values> values = world.run(read_all(*consumer, 6));
  REQUIRE_FALSE(values.has_value());
  CHECK(values.error().context().find("log-0") != std::string::npos);
  values = world.run(read_all(*consumer, 6));  // told once
  REQUIRE(values.has_value());
  CHECK((*values)[1] == numbers(0, 6));
  REQUIRE(consumer->seek({"log", 0}, 99).has_value());
  Result<Block> block = world.run(consumer->poll(2s));
  REQUIRE_FALSE(block.has_value());
  CHECK(protocol::code_of(block.error()) == ErrorCode::offset_out_of_range);
  REQUIRE(consumer->seek({"log", 0}, 3).has_value());
  values = world.run(read_all(*consumer, 3));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(3, 6));
  world.end(consumer);
}

TEST_CASE("an offset that retention has removed is reset by policy") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 10);
  world.cluster.partition("log", 0).start_offset = 21;
  auto consumer = world.consumer();
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  REQUIRE(consumer->seek({"log", 0}, 5).has_value());
  Result<Values> values = world.run(read_all(*consumer, 9));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(21, 30));
  world.end(consumer);
}

TEST_CASE("reading goes on when leaders move and connections break") {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    CAPTURE(seed);
    Random random(seed);  // used by events of the world: it must outlive that
    ClientWorld world(seed, 3, io::sim::Options::draw(seed));
    world.cluster.add_topic("log", 3);
    for (std::size_t partition = 0; partition < 3; ++partition) fill(world.cluster, "log", partition, 200);
    world.cluster.script = [&](std::int32_t, ApiKey) { return random.chance(0.05) ? Verdict::cut : Verdict::answer; };
    for (int move = 1; move < 20; ++move) {
      world.simulation.after(move * 20ms, [&] {
        world.cluster.move_leader("log", static_cast<std::size_t>(random.below(3)),
                                  static_cast<std::int32_t>(random.between(1, 3)));
      });
    }
    auto consumer = world.consumer(
        {{"max.partition.fetch.bytes", "500"}, {"retry.backoff.ms", "10"}, {"reconnect.backoff.ms", "5"}});
    REQUIRE(consumer->assign({{"log", 0}, {"log", 1}, {"log", 2}}).has_value());
    Result<Values> values = world.run(read_all(*consumer, 1800));
    REQUIRE(values.has_value());
    for (std::int32_t partition = 0; partition < 3; ++partition) CHECK((*values)[partition] == numbers(0, 600));
    world.end(consumer);
  }
}

TEST_CASE("a consumer goes at once to the leader that the old one names, without metadata") {
  ClientWorld world(1, 3);
  world.cluster.add_topic("log", 1);
  world.cluster.hints = true;
  fill(world.cluster, "log", 0, 10);
  auto consumer = world.consumer();
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  REQUIRE(world.run(read_all(*consumer, 30)).has_value());
  world.cluster.script = [](std::int32_t, ApiKey key) {
    return key == ApiKey::metadata ? Verdict::ignore : Verdict::answer;
  };
  const Instant start = world.shard.now();
  world.cluster.move_leader("log", 0, 2);
  fill(world.cluster, "log", 0, 4, 30);
  Result<Values> values = world.run(read_all(*consumer, 12));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(30, 42));
  CHECK(world.shard.now() - start < 3s);
  world.end(consumer);
}

TEST_CASE("a log that was cut off by an unclean election is noticed") {
  ClientWorld world(1, 2);
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 10);
  auto consumer = world.consumer({{"metadata.max.age.ms", "1000"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Values> values = world.run(read_all(*consumer, 30));
  REQUIRE(values.has_value());
  // The new leader never had the last three batches.
  FakePartition& partition = world.cluster.partition("log", 0);
  partition.batches.resize(7);
  partition.next_offset = 21;
  partition.epoch_ends = {{0, 21}};
  world.cluster.move_leader("log", 0, 2);
  fill(world.cluster, "log", 0, 4, 100);
  values = world.run(read_all(*consumer, 12));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(100, 112));
  world.end(consumer);
}

TEST_CASE("a leader that was deposed before the position was written is not asked: it may have less") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 10);
  FakePartition& partition = world.cluster.partition("log", 0);
  partition.leader_epoch = 3;
  auto consumer = world.consumer();
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  REQUIRE(consumer->seek({"log", 0}, 36, 5).has_value());
  Result<Values> values = world.run(read_all(*consumer, 1));
  REQUIRE(values.has_value());
  CHECK(values->empty());
  CHECK(consumer->position({"log", 0}) == 36);
  CHECK(consumer->position_epoch({"log", 0}) == 5);
  fill(world.cluster, "log", 0, 4, 30);
  partition.leader_epoch = 5;
  values = world.run(read_all(*consumer, 6));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(36, 42));
  world.end(consumer);
}

TEST_CASE("the epoch of a position is that of the record before it, also within a batch") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 1);
  world.cluster.partition("log", 0).leader_epoch = 4;
  fill(world.cluster, "log", 0, 1, 3);
  auto consumer = world.consumer({{"max.poll.records", "2"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Values> values = world.run(read_all(*consumer, 2));
  REQUIRE(values.has_value());
  CHECK(consumer->position_epoch({"log", 0}) == 0);
  values = world.run(read_all(*consumer, 1));
  REQUIRE(values.has_value());
  CHECK(consumer->position({"log", 0}) == 4);
  CHECK(consumer->position_epoch({"log", 0}) == 4);
  world.end(consumer);
}

TEST_CASE("a topic that was made anew counts its leaders' epochs anew") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.partition("log", 0).leader_epoch = 5;
  fill(world.cluster, "log", 0, 2);
  auto consumer = world.consumer({{"metadata.max.age.ms", "1000"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  REQUIRE(consumer->seek({"log", 0}, 6, 5).has_value());
  Result<Values> values = world.run(read_all(*consumer, 1));
  REQUIRE(values.has_value());
  CHECK(values->empty());
  world.cluster.add_topic("log", 1).partitions[0] = FakePartition();
  fill(world.cluster, "log", 0, 1, 100);
  values = world.run(read_all(*consumer, 3));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(100, 103));
  world.end(consumer);
}

TEST_CASE("offsets are found by time and at both ends") {
  ClientWorld world(1, 2);
  world.cluster.add_topic("log", 2);
  fill(world.cluster, "log", 0, 10);  // timestamps 1000, 1001 …, three records each
  auto consumer = world.consumer();
  const client::OffsetTimes times{{{"log", 0}, client::kLatest}, {{"log", 1}, client::kEarliest}};
  auto found = world.run(consumer->list_offsets(times));
  REQUIRE(found.has_value());
  CHECK(found->at({"log", 0}).offset == 30);
  CHECK(found->at({"log", 1}).offset == 0);
  found = world.run(consumer->list_offsets({{{"log", 0}, 1004}}));
  REQUIRE(found.has_value());
  CHECK(found->at({"log", 0}).offset == 12);
  found = world.run(consumer->list_offsets({{{"log", 0}, 9999}}));
  REQUIRE(found.has_value());
  CHECK(found->at({"log", 0}).offset == -1);
  world.end(consumer);
}
