// The producer's buffer: who waits for room, for a flush, for a close, and how long.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client_world.h"
#include "producer_world.h"

using namespace klamm;
using namespace klamm::test;

TEST_CASE("linger.ms gathers records into one batch, and ends without a flush") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer({{"linger.ms", "50"}});
  auto work = [&]() -> io::Task<int> {
    std::vector<Accepted> all;
    for (int number = 0; number < 10; ++number) {
      Accepted one = co_await send(*producer, "log", std::to_string(number));
      all.push_back(std::move(one));
      co_await world.shard.sleep(2ms);
    }
    const Instant before = world.shard.now();
    while (!all.back().batch->done()) co_await world.shard.sleep(1ms);
    CHECK(world.shard.now() - before < 60ms);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  CHECK(world.cluster.partition("log", 0).batches.size() == 1);
  world.end(producer);
}

TEST_CASE("a full buffer suspends the sender, drops nothing, and goes on when there is room") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.answer_delay = 20ms;
  auto producer = world.producer({{"buffer.memory", "4000"}, {"batch.size", "1000"}});
  int refused = 0;
  auto work = [&]() -> io::Task<Result<void>> {
    for (int number = 0; number < 2000; ++number) {
      const std::string value = std::to_string(number);
      Record record{.topic = "log", .value = value, .partition = 0};
      for (;;) {
        Accepted one = producer->send(record);
        if (one.batch) break;
        ++refused;
        CHECK(producer->statistics().buffer_bytes <= 4000);
        Result<void> room = co_await producer->ready();
        REQUIRE(room.has_value());
      }
    }
    Result<void> flushed = co_await producer->flush();
    co_return flushed;
  };
  Result<void> done = world.simulation.run(world.shard, work);
  CHECK(done.has_value());
  CHECK(refused > 5);
  CHECK(refused < 500);  // suspended, not spinning
  CHECK(world.cluster.values("log", 0) == numbers(2000));
  CHECK(producer->statistics().buffer_bytes == 0);
  world.end(producer);
}

TEST_CASE("waiting for room ends after max.block.ms, or when it is cancelled") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.script = [](std::int32_t, ApiKey key) {
    return key == ApiKey::produce ? Verdict::ignore : Verdict::answer;
  };
  auto producer = world.producer({{"buffer.memory", "1100"}, {"batch.size", "1000"}, {"max.block.ms", "700"}});
  auto work = [&]() -> io::Task<int> {
    Accepted first = co_await send(*producer, "log", "x");
    CHECK(first.batch);
    const std::string large(925, 'y');
    Record record{.topic = "log", .value = large, .partition = 0};
    CHECK_FALSE(producer->send(record).batch);
    const Instant before = world.shard.now();
    Result<void> room = co_await producer->ready();
    REQUIRE_FALSE(room.has_value());
    CHECK(room.error() == Errc::timed_out);
    CHECK(world.shard.now() - before >= 700ms);
    CHECK_FALSE(producer->send(record).batch);
    auto cancellation = std::make_shared<detail::Cancellation>();
    world.simulation.after(100ms, [&] {
      world.shard.post([](void* what) { static_cast<detail::Cancellation*>(what)->request(); }, cancellation.get());
    });
    room = co_await producer->ready(cancellation);
    REQUIRE_FALSE(room.has_value());
    CHECK(room.error() == Errc::cancelled);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  world.end(producer);
}

TEST_CASE("a flush can be cancelled and leaves the records alone") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.answer_delay = 500ms;
  auto producer = world.producer();
  auto work = [&]() -> io::Task<int> {
    Accepted one = co_await send(*producer, "log", "x");
    auto cancellation = std::make_shared<detail::Cancellation>();
    world.simulation.after(50ms, [&] {
      world.shard.post([](void* what) { static_cast<detail::Cancellation*>(what)->request(); }, cancellation.get());
    });
    Result<void> flushed = co_await producer->flush(cancellation);
    REQUIRE_FALSE(flushed.has_value());
    CHECK(flushed.error() == Errc::cancelled);
    CHECK_FALSE(one.batch->done());
    flushed = co_await producer->flush();
    CHECK(flushed.has_value());
    CHECK(one.batch->offset(one.index) == 0);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  world.end(producer);
}

TEST_CASE("close gives up at its deadline, and says which records were lost") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.script = [](std::int32_t, ApiKey key) {
    return key == ApiKey::produce ? Verdict::ignore : Verdict::answer;
  };
  auto producer = world.producer();
  auto work = [&]() -> io::Task<int> {
    Accepted one = co_await send(*producer, "log", "x");
    const Instant before = world.shard.now();
    Result<void> closed = co_await producer->close(300ms);
    REQUIRE_FALSE(closed.has_value());
    CHECK(closed.error() == Errc::timed_out);
    CHECK(world.shard.now() - before >= 300ms);
    CHECK(world.shard.now() - before < 1s);
    REQUIRE(one.batch->done());
    REQUIRE(one.batch->error(one.index) != nullptr);
    CHECK(*one.batch->error(one.index) == Errc::cancelled);
    Accepted late = producer->send({.topic = "log", .value = "late"});
    REQUIRE(late.batch);
    REQUIRE(late.batch->error(late.index) != nullptr);
    CHECK(*late.batch->error(late.index) == Errc::shutting_down);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  world.simulation.run(world.shard, producer->wait_finished());
}

TEST_CASE("close delivers what is buffered") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer({{"linger.ms", "10000"}});
  auto work = [&]() -> io::Task<Result<void>> {
    for (int number = 0; number < 10; ++number) co_await send(*producer, "log", std::to_string(number), 0);
    Result<void> closed = co_await producer->close(5s);
    co_return closed;
  };
  CHECK(world.simulation.run(world.shard, work).has_value());
  CHECK(world.cluster.values("log", 0) == numbers(10));
}

TEST_CASE("a record that is not delivered in delivery.timeout.ms fails") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.script = [](std::int32_t, ApiKey key) {
    return key == ApiKey::produce ? Verdict::cut : Verdict::answer;
  };
  auto producer = world.producer({{"delivery.timeout.ms", "3000"}, {"request.timeout.ms", "1000"}});
  const Instant before = world.simulation.now();
  const Outcome outcome = world.run(ship(*producer, "log", 3));
  REQUIRE(outcome.flushed.has_value());
  const Accepted& one = outcome.accepted.front();
  REQUIRE(one.batch->error(one.index) != nullptr);
  CHECK(*one.batch->error(one.index) == Errc::timed_out);
  CHECK(world.simulation.now() - before >= 3s);
  CHECK(world.simulation.now() - before < 5s);
  // What comes after is delivered once the broker works again: with a new epoch, as the sequences have a hole.
  world.cluster.script = nullptr;
  const Outcome after = world.run(ship(*producer, "log", 20));
  check_all_delivered(after);
  world.end(producer);
}

TEST_CASE("an unknown topic fails after max.block.ms with Kafka's code") {
  ClientWorld world;
  world.cluster.auto_create = false;
  auto producer = world.producer({{"max.block.ms", "1000"}});
  auto work = [&]() -> io::Task<int> {
    const Instant before = world.shard.now();
    Accepted one = co_await send(*producer, "nowhere", "x");
    CHECK(world.shard.now() - before >= 900ms);
    CHECK(world.shard.now() - before < 3s);
    REQUIRE(one.batch->error(one.index) != nullptr);
    CHECK(protocol::code_of(*one.batch->error(one.index)) == ErrorCode::unknown_topic_or_partition);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  // Those who waited with it are refused with it, not one after the other.
  io::Gate gate(world.shard);
  int refused = 0;
  auto many = [&]() -> io::Task<int> {
    const Instant before = world.shard.now();
    auto one = [&]() -> io::Task<void> {
      const Record record{.topic = "nowhere", .value = "x"};
      Result<RecordMetadata> outcome = co_await producer->send_and_wait(record);
      refused += outcome ? 0 : 1;
    };
    for (int waiter = 0; waiter < 10; ++waiter) gate.spawn(one());
    co_await gate.close();
    CHECK(world.shard.now() - before < 2s);
    co_return 0;
  };
  world.simulation.run_for(5s);
  world.simulation.run(world.shard, many);
  CHECK(refused == 10);
  // It waits between its questions.
  CHECK(world.cluster.requests[ApiKey::metadata] < 40);
  world.end(producer);
}
