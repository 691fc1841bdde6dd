// The producer against a scripted cluster in simulated time.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client_world.h"
#include "producer_world.h"

using namespace klamm;
using namespace klamm::test;

TEST_CASE("records arrive in order and deliveries tell their offsets") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer();
  const Outcome outcome = world.run(ship(*producer, "log", 1000));
  check_all_delivered(outcome);
  CHECK(world.cluster.values("log", 0) == numbers(1000));
  world.end(producer);
}

TEST_CASE("a batch that is too large for the broker is split, its deliveries keep their offsets") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.max_batch_bytes = 600;
  auto producer = world.producer({{"batch.size", "5000"}, {"linger.ms", "20"}});
  const Outcome outcome = world.run(ship(*producer, "log", 500));
  check_all_delivered(outcome);
  CHECK(world.cluster.values("log", 0) == numbers(500));
  CHECK(producer->statistics().batches_split > 2);
  world.end(producer);
}

TEST_CASE("the parts of a split batch keep their order without idempotence too, also when they are split again") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.max_batch_bytes = 200;
  auto producer = world.producer({{"batch.size", "5000"},
                                  {"linger.ms", "20"},
                                  {"enable.idempotence", "false"},
                                  {"max.in.flight.requests.per.connection", "1"}});
  const Outcome outcome = world.run(ship(*producer, "log", 500));
  check_all_delivered(outcome);
  CHECK(world.cluster.values("log", 0) == numbers(500));
  CHECK(producer->statistics().batches_split > 2);
  world.end(producer);
}

TEST_CASE("a single record that is too large fails and the others are delivered") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.max_batch_bytes = 600;
  auto producer = world.producer({{"max.request.size", "5000"}, {"linger.ms", "0"}});
  auto work = [&]() -> io::Task<int> {
    Accepted before = co_await send(*producer, "log", "before", 0);
    Result<void> flushed = co_await producer->flush();
    CHECK(flushed.has_value());
    Accepted large = co_await send(*producer, "log", std::string(1000, 'x'), 0);
    Accepted after = co_await send(*producer, "log", "after", 0);
    Accepted impossible = co_await send(*producer, "log", std::string(6000, 'x'), 0);
    flushed = co_await producer->flush();
    CHECK(flushed.has_value());
    CHECK(before.batch->error(before.index) == nullptr);
    CHECK(after.batch->error(after.index) == nullptr);
    CHECK(protocol::code_of(*large.batch->error(large.index)) == ErrorCode::message_too_large);
    CHECK(protocol::code_of(*impossible.batch->error(impossible.index)) == ErrorCode::message_too_large);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  CHECK(world.cluster.values("log", 0) == std::vector<std::string>{"before", "after"});
  world.end(producer);
}

TEST_CASE("errors that pass are tried again, the others end the batch with Kafka's code") {
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  world.cluster.partition("log", 0).produce_errors = {ErrorCode::not_enough_replicas,
                                                      ErrorCode::coordinator_load_in_progress, ErrorCode::none};
  world.cluster.partition("log", 1).produce_errors = {ErrorCode::topic_authorization_failed};
  auto producer = world.producer({{"retry.backoff.ms", "10"}});
  auto work = [&]() -> io::Task<int> {
    Accepted good = co_await send(*producer, "log", "good", 0);
    Accepted bad = co_await send(*producer, "log", "bad", 1);
    Result<void> flushed = co_await producer->flush();
    CHECK(flushed.has_value());
    CHECK(good.batch->offset(good.index) == 0);
    REQUIRE(bad.batch->error(bad.index) != nullptr);
    CHECK(protocol::code_of(*bad.batch->error(bad.index)) == ErrorCode::topic_authorization_failed);
    CHECK_FALSE(bad.batch->error(bad.index)->retriable());
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  CHECK(producer->statistics().batches_retried == 2);
  CHECK(producer->statistics().records_failed == 1);
  world.end(producer);
}

TEST_CASE("acks=0 sends without answers") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer({{"acks", "0"}, {"enable.idempotence", "false"}});
  const Outcome outcome = world.run(ship(*producer, "log", 100));
  REQUIRE(outcome.flushed.has_value());
  CHECK(outcome.accepted.front().batch->offset(0) == -1);
  world.simulation.run_for(1s);
  CHECK(world.cluster.values("log", 0) == numbers(100));
  world.end(producer);
}

TEST_CASE("every codec arrives as it was sent, headers and timestamps included") {
  for (const char* codec : {"none", "gzip", "snappy", "lz4", "zstd"}) {
    CAPTURE(codec);
    ClientWorld world;
    world.cluster.add_topic("log", 1);
    auto producer = world.producer({{"compression.type", codec}, {"batch.size", "2000"}});
    auto work = [&]() -> io::Task<Result<void>> {
      for (int number = 0; number < 500; ++number) {
        const std::string value = std::to_string(number);
        const Header headers[] = {{"a", "1"}, {"b", nullptr}};
        Record record{.topic = "log", .value = value, .headers = headers, .partition = 0, .timestamp = 1000 + number};
        for (;;) {
          Accepted one = producer->send(record);
          if (one.batch) break;
          Result<void> room = co_await producer->ready();
          CHECK(room.has_value());
        }
      }
      Result<void> flushed = co_await producer->flush();
      co_return flushed;
    };
    CHECK(world.simulation.run(world.shard, work).has_value());
    CHECK(world.cluster.values("log", 0) == numbers(500));
    Result<record::BatchView> first = record::BatchView::parse(world.cluster.partition("log", 0).batches.front());
    REQUIRE(first.has_value());
    CHECK(first->base_timestamp() == 1000);
    CHECK(compress::name_of(*first->compression()) == codec);
    world.end(producer);
  }
}

TEST_CASE("on_batch reports every batch once, also those that failed") {
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  world.cluster.partition("log", 1).produce_errors = {ErrorCode::invalid_record};
  std::uint64_t good = 0;
  std::uint64_t bad = 0;
  ProducerHooks hooks;
  hooks.on_batch = [&](const BatchReport& report) {
    (report.error ? bad : good) += report.record_count;
    if (!report.error) CHECK(report.base_offset >= 0);
    CHECK(report.topic == "log");
  };
  auto producer = world.producer({}, hooks);
  auto work = [&]() -> io::Task<Result<void>> {
    for (int number = 0; number < 30; ++number) co_await send(*producer, "log", "x", number % 3 == 0 ? 1 : 0);
    Result<void> flushed = co_await producer->flush();
    co_return flushed;
  };
  CHECK(world.simulation.run(world.shard, work).has_value());
  CHECK(good == 20);
  CHECK(bad == 10);
  world.end(producer);
}
