// The consumer against a scripted cluster in simulated time.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client/consume/fetch_session.h"
#include "client_world.h"
#include "consumer_world.h"
#include "protocol/record/batch_builder.h"
#include "protocol/record/control.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::test;

TEST_CASE("all records of all partitions come once, in order, whatever max.poll.records") {
  for (const char* most : {"1", "7", "500"}) {
    CAPTURE(most);
    ClientWorld world(1, 2);
    world.cluster.add_topic("log", 3);
    for (std::size_t partition = 0; partition < 3; ++partition) fill(world.cluster, "log", partition, 50);
    auto consumer = world.consumer({{"max.poll.records", most}, {"max.partition.fetch.bytes", "1000"}});
    REQUIRE(consumer->assign({{"log", 0}, {"log", 1}, {"log", 2}}).has_value());
    Result<Values> values = world.run(read_all(*consumer, 450));
    REQUIRE(values.has_value());
    for (std::int32_t partition = 0; partition < 3; ++partition) CHECK((*values)[partition] == numbers(0, 150));
    CHECK(consumer->position({"log", 1}) == 150);
    CHECK(consumer->lag({"log", 1}) == 0);
    world.end(consumer);
  }
}

TEST_CASE("records carry everything, and runs tell where each partition goes on") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  compress::Codecs codecs;
  record::BatchBuilder builder{record::BatchOptions{}};
  const record::Header headers[] = {{"a", "1"}, {"b", nullptr}, {"a", "2"}};
  builder.append(77, nullptr, "value", headers);
  builder.append(78, "key", nullptr);
  world.cluster.append("log", 0, *builder.build(codecs));
  auto consumer = world.consumer();
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Block> block = world.run(consumer->poll(2s));
  REQUIRE(block.has_value());
  Records records(*block);
  REQUIRE(records.size() == 2);
  CHECK(records[0].topic == "log");
  CHECK(records[0].offset == 0);
  CHECK(records[0].timestamp == 77);
  CHECK(records[0].key.is_null());
  CHECK(records[0].value.text() == "value");
  CHECK(records[0].headers.size() == 3);
  CHECK(records[0].headers.find("a")->text() == "2");
  CHECK(records[0].headers.find("b")->is_null());
  CHECK_FALSE(records[0].headers.find("c").has_value());
  CHECK(records[1].key.text() == "key");
  CHECK(records[1].value.is_null());
  CHECK(records[1].headers.empty());
  REQUIRE(records.runs().size() == 1);
  CHECK(records.runs()[0].next_offset == 2);
  CHECK(records.runs()[0].records.size() == 2);
  world.end(consumer);
  CHECK(records[0].value.text() == "value");  // they outlive the consumer
}

TEST_CASE("a batch that was cut because others filled the response is asked for again, in turn") {
  // 300 bytes hold two or three batches: of eight partitions most get a part of a batch or nothing.
  ClientWorld world;
  world.cluster.cuts_batches = true;
  world.cluster.add_topic("log", 8);
  std::vector<TopicPartition> partitions;
  for (std::int32_t partition = 0; partition < 8; ++partition) {
    fill(world.cluster, "log", static_cast<std::size_t>(partition), 10);
    partitions.push_back({"log", partition});
  }
  auto consumer = world.consumer({{"fetch.max.bytes", "300"}, {"max.poll.records", "1000"}});
  REQUIRE(consumer->assign(partitions).has_value());
  Result<Values> values = world.run(read_all(*consumer, 8 * 3));
  REQUIRE_MESSAGE(values.has_value(), why_of(values));
  for (const auto& [partition, read] : *values) CHECK(read.size() < 30);  // nobody waits until another is read up
  Result<Values> rest = world.run(read_all(*consumer, 8 * 27));
  REQUIRE_MESSAGE(rest.has_value(), why_of(rest));
  for (std::int32_t partition = 0; partition < 8; ++partition) {
    std::vector<std::string>& all = (*values)[partition];
    all.insert(all.end(), (*rest)[partition].begin(), (*rest)[partition].end());
    CHECK(all == numbers(0, 30));
  }
  world.end(consumer);
}

TEST_CASE("a broker that sends nothing but a part of a batch is told of, instead of asking for ever") {
  ClientWorld world;
  world.cluster.cuts_batches = world.cluster.cuts_first_batch = true;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 3);
  auto consumer = world.consumer({{"fetch.max.bytes", "70"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Values> values = world.run(read_all(*consumer, 3));
  REQUIRE_FALSE(values.has_value());
  CHECK(values.error() == Errc::too_large);
  world.end(consumer);
}

TEST_CASE("paused partitions keep their records until they are resumed") {
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  fill(world.cluster, "log", 0, 5);
  fill(world.cluster, "log", 1, 5);
  auto consumer = world.consumer();
  REQUIRE(consumer->assign({{"log", 0}, {"log", 1}}).has_value());
  const std::vector<TopicPartition> first{{"log", 0}};
  REQUIRE(consumer->pause(first, true).has_value());
  Result<Values> values = world.run(read_all(*consumer, 30));
  REQUIRE(values.has_value());
  CHECK((*values)[0].empty());
  CHECK((*values)[1] == numbers(0, 15));
  CHECK(consumer->paused() == first);
  REQUIRE(consumer->pause(first, false).has_value());
  values = world.run(read_all(*consumer, 15));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(0, 15));
  world.end(consumer);
}

TEST_CASE("a poll ends at its timeout, and at once when it is cancelled") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  auto consumer = world.consumer();
  CHECK_FALSE(world.run(consumer->poll(1s)).has_value());  // nothing assigned
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Instant before = world.simulation.now();
  Result<Block> block = world.run(consumer->poll(700ms));
  REQUIRE(block.has_value());
  CHECK((*block)->records.empty());
  CHECK(world.simulation.now() - before >= 700ms);
  CHECK(world.simulation.now() - before < 800ms);
  auto cancellation = std::make_shared<detail::Cancellation>();
  world.simulation.after(100ms, [&] {
    world.shard.post([](void* what) { static_cast<detail::Cancellation*>(what)->request(); }, cancellation.get());
  });
  before = world.simulation.now();
  block = world.run(consumer->poll(10s, cancellation));
  REQUIRE_FALSE(block.has_value());
  CHECK(block.error() == Errc::cancelled);
  CHECK(world.simulation.now() - before < 200ms);
  world.end(consumer);
}

TEST_CASE("read_committed leaves out aborted transactions, and nobody sees control batches") {
  for (const bool committed : {false, true}) {
    CAPTURE(committed);
    ClientWorld world;
    world.cluster.add_topic("log", 1);
    FakePartition& partition = world.cluster.partition("log", 0);
    const auto append = [&](std::string value, std::int64_t producer, bool transactional) {
      world.cluster.append("log", 0, batch_of({{std::move(value)}, 1000, producer, transactional}));
    };
    append("plain", -1, false);                                                              // 0
    append("aborted 1", 5, true);                                                            // 1
    append("good 1", 6, true);                                                               // 2
    append("aborted 2", 5, true);                                                            // 3
    world.cluster.append("log", 0, record::build_transaction_marker(false, 5, 0, 0, 1000));  // 4
    append("good 2", 5, true);                                                               // 5
    world.cluster.append("log", 0, record::build_transaction_marker(true, 5, 0, 0, 1000));   // 6
    world.cluster.append("log", 0, record::build_transaction_marker(true, 6, 0, 0, 1000));   // 7
    partition.aborted = {{5, 1}};
    auto consumer = world.consumer({{"isolation.level", committed ? "read_committed" : "read_uncommitted"}});
    REQUIRE(consumer->assign({{"log", 0}}).has_value());
    Result<Values> values = world.run(read_all(*consumer, committed ? 3 : 5));
    REQUIRE(values.has_value());
    const std::vector<std::string> all{"plain", "aborted 1", "good 1", "aborted 2", "good 2"};
    const std::vector<std::string> good{"plain", "good 1", "good 2"};
    CHECK((*values)[0] == (committed ? good : all));
    Result<Block> rest = world.run(consumer->poll(300ms));
    REQUIRE(rest.has_value());
    CHECK((*rest)->records.empty());
    CHECK(consumer->position({"log", 0}) == 8);
    world.end(consumer);
  }
}

TEST_CASE("a corrupt batch is told once, after the records before it; other partitions go on") {
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  fill(world.cluster, "log", 0, 3);
  fill(world.cluster, "log", 1, 3);
  Slice& broken = world.cluster.partition("log", 0).batches[1];
  broken = Slice::copy(broken.bytes());
  broken.mutable_data()[broken.size() - 2] ^= std::byte{1};
  auto consumer = world.consumer();
  REQUIRE(consumer->assign({{"log", 0}, {"log", 1}}).has_value());
  auto work = [&]() -> io::Task<int> {
    Values values;
    int errors = 0;
    for (int poll = 0; poll < 5; ++poll) {
      Result<Block> block = co_await consumer->poll(300ms);
      if (!block) {
        ++errors;
        CHECK(block.error() == Errc::checksum_mismatch);
        CHECK(block.error().context().find("log-0") != std::string::npos);
        continue;
      }
      for (const RecordView& record : (*block)->records) values[record.partition].emplace_back(record.value.text());
    }
    CHECK(errors == 1);
    CHECK(values[0] == numbers(0, 3));
    CHECK(values[1] == numbers(0, 9));
    // The application may go around it.
    CHECK(consumer->seek({"log", 0}, 6).has_value());
    Result<Block> block = co_await consumer->poll(2s);
    CHECK(block.has_value());
    if (block) CHECK((*block)->records.size() == 3);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  world.end(consumer);
}

TEST_CASE("check.crcs=false reads over a wrong checksum") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 1);
  Slice& broken = world.cluster.partition("log", 0).batches[0];
  broken = Slice::copy(broken.bytes());
  broken.mutable_data()[record::kCrcPosition] ^= std::byte{1};
  auto consumer = world.consumer({{"check.crcs", "false"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Values> values = world.run(read_all(*consumer, 3));
  REQUIRE(values.has_value());
  CHECK((*values)[0] == numbers(0, 3));
  world.end(consumer);
}

TEST_CASE("what is read ahead is bounded") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 500);
  auto consumer = world.consumer({{"max.partition.fetch.bytes", "2000"}, {"fetch.max.bytes", "100000"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Block> block = world.run(consumer->poll(2s));
  REQUIRE(block.has_value());
  world.simulation.run_for(5s);
  CHECK(consumer->statistics().buffered_bytes > 0);
  CHECK(consumer->statistics().buffered_bytes <= 4000);
  world.end(consumer);
}

TEST_CASE("an answer as large as was asked for is read while the next one comes") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 500, 1000);
  const std::size_t answer_bytes = 4 * batch_of({{"1000", "1001", "1002"}}).size();
  auto consumer = world.consumer({{"max.partition.fetch.bytes", std::to_string(answer_bytes)},
                                  {"fetch.max.bytes", std::to_string(answer_bytes)},
                                  {"max.poll.records", "1"}});
  REQUIRE(consumer->assign({{"log", 0}}).has_value());
  Result<Block> block = world.run(consumer->poll(2s));
  REQUIRE(block.has_value());
  world.simulation.run_for(5s);
  CHECK(consumer->statistics().buffered_bytes == 2 * answer_bytes);
  world.end(consumer);
}

TEST_CASE("a fetch session names only what has changed") {
  client::FetchSession session;
  const auto assigned = [](int partition) {
    auto one = std::make_shared<client::Assigned>();
    one->partition = {"log", partition};
    return one;
  };
  const client::AssignedRef zero = assigned(0);
  const client::AssignedRef one = assigned(1);
  const Uuid id{0, 1234};
  protocol::FetchRequest first;
  session.plan({{zero, id, 0, 0, 100}, {one, id, 0, 0, 100}}, true, first);
  CHECK(first.session_id == 0);
  CHECK(first.session_epoch == 0);
  REQUIRE(first.topics.size() == 1);
  CHECK(first.topics[0].partitions.size() == 2);
  protocol::FetchResponse response;
  response.session_id = 77;
  CHECK(session.accept(response));
  protocol::FetchRequest second;
  session.plan({{zero, id, 10, 0, 100}, {one, id, 0, 0, 100}}, true, second);
  CHECK(second.session_id == 77);
  CHECK(second.session_epoch == 1);
  REQUIRE(second.topics.size() == 1);
  REQUIRE(second.topics[0].partitions.size() == 1);
  CHECK(second.topics[0].partitions[0].partition == 0);
  CHECK(session.accept(response));
  protocol::FetchRequest third;
  session.plan({{one, id, 0, 0, 100}}, true, third);
  CHECK(third.session_epoch == 2);
  CHECK(third.topics.empty());
  REQUIRE(third.forgotten_topics_data.size() == 1);
  CHECK(third.forgotten_topics_data[0].partitions == std::vector<std::int32_t>{0});
  response.error_code = protocol::to_wire(ErrorCode::invalid_fetch_session_epoch);
  CHECK_FALSE(session.accept(response));
  protocol::FetchRequest fourth;
  session.plan({{one, id, 0, 0, 100}}, true, fourth);
  CHECK(fourth.session_id == 0);
  CHECK(fourth.session_epoch == 0);
  CHECK(fourth.topics.size() == 1);
}
