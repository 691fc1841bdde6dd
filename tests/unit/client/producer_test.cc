// The producer against a scripted cluster in simulated time.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "client/produce/murmur2.h"
#include "client/produce/partitioner.h"
#include "client_world.h"

using namespace klamm;
using namespace klamm::test;
using client::ProducerCore;

namespace {

using Accepted = ProducerCore::Accepted;

struct Outcome {
  std::vector<Accepted> accepted;
  Result<void> flushed;
};

// Sends `count` numbered records to one partition and flushes. With `pause` between them, in virtual time.
io::Task<Outcome> ship(ProducerCore& producer, std::string topic, int count, Duration pause = 0ns) {
  Outcome outcome;
  for (int number = 0; number < count; ++number) {
    Accepted one = co_await send(producer, topic, std::to_string(number), 0);
    outcome.accepted.push_back(std::move(one));
    if (pause > 0ns) co_await producer.shard().sleep(pause);
  }
  outcome.flushed = co_await producer.flush();
  co_return outcome;
}

std::vector<std::string> numbers(int count) {
  std::vector<std::string> all;
  for (int number = 0; number < count; ++number) all.push_back(std::to_string(number));
  return all;
}

void check_all_delivered(const Outcome& outcome) {
  REQUIRE(outcome.flushed.has_value());
  for (std::size_t index = 0; index < outcome.accepted.size(); ++index) {
    const Accepted& one = outcome.accepted[index];
    REQUIRE(one.batch->done());
    const Error* error = one.batch->error(one.index);
    REQUIRE_MESSAGE(error == nullptr, (error ? error->message() : ""));
    REQUIRE(one.batch->offset(one.index) == static_cast<std::int64_t>(index));
  }
}

// Small batches and no linger, so that many requests are under way.
Config many_requests() { return {{"batch.size", "100"}, {"linger.ms", "0"}, {"retry.backoff.ms", "10"}}; }

}  // namespace

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

TEST_CASE("records arrive in order and deliveries tell their offsets") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto producer = world.producer();
  const Outcome outcome = world.run(ship(*producer, "log", 1000));
  check_all_delivered(outcome);
  CHECK(world.cluster.values("log", 0) == numbers(1000));
  world.end(producer);
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

TEST_CASE("under random faults every record arrives once and in order") {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    ClientWorld world(seed, 3, io::sim::Options::draw(seed));
    world.cluster.add_topic("log", 3);
    Random random(seed * 77);
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
