// The producer when leaders move, brokers forget and answers are lost: each record once, in order.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client_world.h"
#include "producer_world.h"

using namespace klamm;
using namespace klamm::test;

TEST_CASE("lost answers with five requests in flight give each record once, in order") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    ClientWorld world(seed);
    world.cluster.add_topic("log", 1);
    world.cluster.answer_delay = 3ms;
    Random random(seed);
    int produced = 0;
    world.cluster.script = [&](std::int32_t, ApiKey key) {
      if (key != ApiKey::produce) return Verdict::answer;
      ++produced;
      if (produced % 7 == 3) return Verdict::lose_answer;
      if (produced % 11 == 5) return Verdict::cut;
      return Verdict::answer;
    };
    auto producer = world.producer(many_requests());
    const Outcome outcome = world.run(ship(*producer, "log", 300));
    check_all_delivered(outcome);
    CHECK(world.cluster.values("log", 0) == numbers(300));
    CHECK(producer->statistics().batches_retried > 0);
    CHECK(producer->statistics().epoch_bumps == 0);
    world.end(producer);
  }
}

TEST_CASE("a moved leader is found again and order is kept") {
  ClientWorld world(3, 3);
  world.cluster.add_topic("log", 1);
  auto producer = world.producer(many_requests());
  world.simulation.after(50ms, [&] { world.cluster.move_leader("log", 0, 2); });
  world.simulation.after(150ms, [&] { world.cluster.move_leader("log", 0, 3); });
  const Outcome outcome = world.run(ship(*producer, "log", 400, 1ms));
  check_all_delivered(outcome);
  CHECK(world.cluster.values("log", 0) == numbers(400));
  world.end(producer);
}

TEST_CASE("a new leader that the old one names is gone to at once, without metadata") {
  ClientWorld world(3, 3);
  world.cluster.add_topic("log", 1);
  world.cluster.hints = true;
  auto producer = world.producer(many_requests());
  world.simulation.after(40ms, [&] {
    world.cluster.script = [](std::int32_t, ApiKey key) {
      return key == ApiKey::metadata ? Verdict::ignore : Verdict::answer;
    };
  });
  world.simulation.after(50ms, [&] { world.cluster.move_leader("log", 0, 2); });
  world.simulation.after(150ms, [&] { world.cluster.move_leader("log", 0, 3); });
  const Instant start = world.shard.now();
  const Outcome outcome = world.run(ship(*producer, "log", 400, 1ms));
  check_all_delivered(outcome);
  CHECK(world.shard.now() - start < 2s);
  CHECK(world.cluster.values("log", 0) == numbers(400));
  world.end(producer);
}

TEST_CASE("metadata is asked for once, not again with each answer, nor for a new leader that the old one names") {
  for (const bool hints : {true, false}) {
    ClientWorld world(3, 3);
    world.cluster.add_topic("log", 1);
    world.cluster.hints = hints;
    world.cluster.answer_delay = 5ms;
    auto producer = world.producer(many_requests());
    const Outcome steady = world.run(ship(*producer, "log", 300, 10ms));
    check_all_delivered(steady);
    CHECK(world.cluster.requests[ApiKey::produce] > 100);
    CHECK(world.cluster.requests[ApiKey::metadata] == 1);
    world.cluster.move_leader("log", 0, 2);
    const Outcome moved = world.run(ship(*producer, "log", 300, 10ms));
    REQUIRE(moved.flushed.has_value());
    CHECK(world.cluster.values("log", 0).size() == 600);
    // Without a hint the batches that were under way ask, in one request or two.
    CHECK(world.cluster.requests[ApiKey::metadata] <= (hints ? 1UL : 3UL));
    CHECK(world.cluster.requests[ApiKey::metadata] >= (hints ? 1UL : 2UL));
    world.end(producer);
  }
}

TEST_CASE("a leader that does not know yet that it leads is asked again soon, however many batches were refused") {
  ClientWorld world(3, 3);
  world.cluster.add_topic("log", 1);
  world.cluster.hints = true;
  world.cluster.answer_delay = 3ms;
  auto producer = world.producer({{"batch.size", "100"}, {"linger.ms", "0"}, {"retry.backoff.ms", "1000"}});
  Instant moved;
  world.simulation.after(50ms, [&] {
    moved = world.simulation.now();
    FakePartition& partition = world.cluster.partition("log", 0);
    partition.leader_before = partition.leader;
    partition.leads_from = moved + 20ms;
    world.cluster.move_leader("log", 0, 2);
  });
  const Outcome outcome = world.run(ship(*producer, "log", 200, 1ms));
  check_all_delivered(outcome);
  CHECK(world.simulation.now() - moved < 600ms);
  CHECK(world.cluster.values("log", 0) == numbers(200));
  world.end(producer);
}

TEST_CASE("a partition without leader holds its records until it has one") {
  ClientWorld world(4, 2);
  world.cluster.add_topic("log", 1);
  world.cluster.partition("log", 0).leader = -1;
  auto producer = world.producer();
  world.simulation.after(2s, [&] { world.cluster.move_leader("log", 0, 2); });
  const Outcome outcome = world.run(ship(*producer, "log", 10));
  check_all_delivered(outcome);
  world.end(producer);
}

TEST_CASE("a broker that lost the producer's state is met with a new epoch, nothing is lost or repeated") {
  ClientWorld world(5);
  world.cluster.add_topic("log", 1);
  world.cluster.answer_delay = 2ms;
  auto producer = world.producer(many_requests());
  const Outcome first = world.run(ship(*producer, "log", 50));
  check_all_delivered(first);
  // It remembers another last sequence than the producer has.
  for (auto& [id, state] : world.cluster.partition("log", 0).producers) state.last = {{7000, 7000, 0}};
  const Outcome second = world.run(ship(*producer, "log", 50));
  REQUIRE(second.flushed.has_value());
  for (const Accepted& one : second.accepted) CHECK(one.batch->error(one.index) == nullptr);
  std::vector<std::string> wanted = numbers(50);
  const std::vector<std::string> again = numbers(50);
  wanted.insert(wanted.end(), again.begin(), again.end());
  CHECK(world.cluster.values("log", 0) == wanted);
  CHECK(producer->statistics().epoch_bumps == 1);
  world.end(producer);
}

TEST_CASE("a fenced producer gets a new id and goes on") {
  ClientWorld world(6);
  world.cluster.add_topic("log", 1);
  auto producer = world.producer(many_requests());
  check_all_delivered(world.run(ship(*producer, "log", 20)));
  for (auto& [id, state] : world.cluster.partition("log", 0).producers) state.epoch = 5;
  const Outcome second = world.run(ship(*producer, "log", 20));
  for (const Accepted& one : second.accepted) CHECK(one.batch->error(one.index) == nullptr);
  CHECK(world.cluster.values("log", 0).size() == 40);
  CHECK(world.cluster.requests[ApiKey::init_producer_id] == 2);
  world.end(producer);
}

TEST_CASE("a leader that has forgotten the producer over a restart is not given a later batch before the first") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer(many_requests());
  check_all_delivered(world.run(ship(*producer, "log", 40)));
  // It takes any sequence from a producer that it does not know, and refuses the first batch that comes.
  FakePartition& partition = world.cluster.partition("log", 0);
  partition.producers.clear();
  partition.produce_errors = {ErrorCode::kafka_storage_error};
  world.simulation.network().cut(world.node, world.cluster.node(1));
  world.simulation.run_for(1s);
  REQUIRE(world.run(ship(*producer, "log", 40)).flushed.has_value());
  std::vector<std::string> expected = numbers(40);
  for (const std::string& number : numbers(40)) expected.push_back(number);
  CHECK(world.cluster.values("log", 0) == expected);
  world.end(producer);
}

TEST_CASE("without answers a connection that has fallen silent is given up after request.timeout.ms") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer({{"acks", "0"},
                                  {"enable.idempotence", "false"},
                                  {"request.timeout.ms", "1000"},
                                  {"delivery.timeout.ms", "6000"},
                                  {"batch.size", "1000"},
                                  {"linger.ms", "0"}});
  REQUIRE(world.run(ship(*producer, "log", 10)).flushed.has_value());
  world.simulation.network().drop(world.node, world.cluster.node(1));
  // More than the system's buffer takes.
  const Outcome outcome = world.run(ship(*producer, "log", 30'000));
  REQUIRE(outcome.flushed.has_value());
  for (const Accepted& one : outcome.accepted) REQUIRE(one.batch->error(one.index) == nullptr);
  world.simulation.run_for(5s);  // the last ones are on their way
  CHECK(world.cluster.values("log", 0).back() == "29999");
  world.end(producer);
}

TEST_CASE("under random faults every record arrives once and in order") {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    Random random(seed * 77);  // the world's end still asks its script
    ClientWorld world(seed, 3, io::sim::Options::draw(seed));
    world.cluster.add_topic("log", 3);
    world.cluster.script = [&](std::int32_t, ApiKey key) {
      if (random.chance(0.03)) return Verdict::cut;
      if (random.chance(0.02)) return Verdict::lose_answer;
      if (key == ApiKey::produce && random.chance(0.005)) return Verdict::ignore;
      return Verdict::answer;
    };
    for (int move = 1; move < 10; ++move) {
      world.simulation.after(move * 300ms, [&] {
        world.cluster.move_leader("log", static_cast<std::size_t>(random.below(3)),
                                  static_cast<std::int32_t>(random.between(1, 3)));
      });
    }
    auto producer = world.producer(
        {{"batch.size", "200"}, {"linger.ms", "1"}, {"retry.backoff.ms", "10"}, {"request.timeout.ms", "2000"}});
    auto work = [&]() -> io::Task<Result<void>> {
      for (int number = 0; number < 1500; ++number) {
        co_await send(*producer, "log", std::to_string(number), number % 3);
        co_await world.shard.sleep(2ms);
      }
      Result<void> flushed = co_await producer->flush();
      co_return flushed;
    };
    REQUIRE(world.simulation.run(world.shard, work).has_value());
    CHECK(producer->statistics().records_failed == 0);
    for (int partition = 0; partition < 3; ++partition) {
      std::vector<std::string> wanted;
      for (int number = partition; number < 1500; number += 3) wanted.push_back(std::to_string(number));
      CHECK(world.cluster.values("log", static_cast<std::size_t>(partition)) == wanted);
    }
    world.end(producer);
  }
}
