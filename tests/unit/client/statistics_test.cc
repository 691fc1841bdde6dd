// What clients count, and that they tell it in time: on_statistics and its figures, in simulated time.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client_world.h"
#include "protocol/record/batch_builder.h"

using namespace klamm;
using namespace klamm::test;

namespace {

// What a hook heard, and when.
template <typename Statistics>
struct Heard {
  std::vector<Statistics> figures;
  std::vector<Instant> at;
};

// That it was heard every `interval` from `start` on, to the nanosecond: the time is simulated.
template <typename Statistics>
void check_interval(const Heard<Statistics>& heard, Instant start, Duration interval) {
  for (std::size_t index = 0; index < heard.at.size(); ++index) {
    CHECK(heard.at[index] == start + static_cast<std::int64_t>(index + 1) * interval);
  }
}

io::Task<Result<void>> deliver(client::ProducerCore& producer, int count, std::int32_t partition) {
  for (int number = 0; number < count; ++number) co_await send(producer, "log", "12345", partition);
  Result<void> flushed = co_await producer.flush();
  co_return flushed;
}

const BrokerStatistics* broker(const std::vector<BrokerStatistics>& brokers, std::int32_t id) {
  for (const BrokerStatistics& one : brokers) {
    if (one.broker_id == id) return &one;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a producer tells its statistics every statistics_interval, from its first use to its close") {
  Heard<ProducerStatistics> heard;
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  world.cluster.partition("log", 1).produce_errors = {ErrorCode::topic_authorization_failed};
  ProducerHooks hooks;
  hooks.statistics_interval = 250ms;
  hooks.on_statistics = [&](const ProducerStatistics& figures) {
    heard.figures.push_back(figures);
    heard.at.push_back(world.simulation.now());
  };
  auto producer = world.producer({{"client.id", "counter"}, {"buffer.memory", "1000000"}}, std::move(hooks));
  world.simulation.run_for(1s);
  CHECK(heard.figures.empty());  // not used yet

  const Instant start = world.simulation.now();
  REQUIRE(world.run(deliver(*producer, 100, 0)).has_value());
  REQUIRE(world.run(deliver(*producer, 7, 1)).has_value());
  const TimestampMs wall_start = world.shard.wall_ms();
  world.simulation.run_for(start + 1100ms - world.simulation.now());
  REQUIRE(heard.figures.size() == 4);
  check_interval(heard, start, 250ms);
  const ProducerStatistics& last = heard.figures.back();
  CHECK(last.client_id == "counter");
  CHECK(last.time_ms >= wall_start);
  CHECK(last.time_ms <= world.shard.wall_ms());
  CHECK(last.records_sent == 107);
  CHECK(last.records_delivered == 100);
  CHECK(last.records_failed == 7);
  CHECK(last.records_queued == 0);
  CHECK(last.batches_delivered == world.cluster.partition("log", 0).batches.size());
  std::uint64_t bytes = 0;
  for (const Slice& batch : world.cluster.partition("log", 0).batches) bytes += batch.size();
  CHECK(last.bytes_delivered == bytes);
  CHECK(last.buffer_bytes == 0);
  CHECK(last.buffer_limit_bytes == 1'000'000);
  const BrokerStatistics* one = broker(last.brokers, 1);
  REQUIRE(one != nullptr);
  CHECK(one->connected);
  CHECK(one->address == world.cluster.bootstrap());
  CHECK(one->requests >= world.cluster.requests[ApiKey::produce]);
  CHECK(one->responses == one->requests);
  CHECK(one->in_flight == 0);
  CHECK(one->sent_bytes > bytes);
  CHECK(one->average_round_trip > 0ns);

  CHECK(world.run(producer->close(1s)).has_value());
  const std::size_t told = heard.figures.size();
  world.simulation.run_for(2s);
  CHECK(heard.figures.size() == told);
}

TEST_CASE("a producer's gauges show what lies in its buffer") {
  bool silent = true;
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  world.cluster.script = [&](std::int32_t, ApiKey key) {
    return key == ApiKey::produce && silent ? Verdict::cut : Verdict::answer;
  };
  auto producer = world.producer({{"retry.backoff.ms", "10"}, {"linger.ms", "0"}});
  auto work = [&]() -> io::Task<int> {
    for (int number = 0; number < 20; ++number) co_await send(*producer, "log", "12345", 0);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  world.simulation.run_for(500ms);
  const ProducerStatistics stuck = producer->statistics();
  CHECK(stuck.records_sent == 20);
  CHECK(stuck.records_queued == 20);
  CHECK(stuck.records_delivered == 0);
  CHECK(stuck.buffer_bytes > 20 * 5);
  CHECK(stuck.batches_retried > 0);
  const BrokerStatistics* one = broker(stuck.brokers, 1);
  REQUIRE(one != nullptr);
  CHECK(one->disconnects > 0);
  silent = false;
  CHECK(world.run(producer->flush()).has_value());
  CHECK(producer->statistics().records_queued == 0);
  CHECK(producer->statistics().buffer_bytes == 0);
  CHECK(producer->statistics().records_delivered == 20);
  world.end(producer);
}

TEST_CASE("a consumer tells its statistics every statistics_interval, from its first assignment to its close") {
  Heard<ConsumerStatistics> heard;
  ClientWorld world;
  world.cluster.add_topic("log", 2);
  compress::Codecs codecs;
  record::BatchBuilder builder{record::BatchOptions{}};
  for (int number = 0; number < 10; ++number) builder.append(1000, "key", "value");
  const Slice batch = *builder.build(codecs);
  world.cluster.append("log", 0, batch);
  world.cluster.append("log", 1, batch);
  ConsumerHooks hooks;
  hooks.statistics_interval = 300ms;
  hooks.on_statistics = [&](const ConsumerStatistics& figures) {
    heard.figures.push_back(figures);
    heard.at.push_back(world.simulation.now());
  };
  auto consumer = world.consumer({{"client.id", "reader"}, {"max.poll.records", "4"}}, std::move(hooks));
  world.simulation.run_for(1s);
  CHECK(heard.figures.empty());

  const Instant start = world.simulation.now();
  REQUIRE(consumer->assign({{"log", 0}, {"log", 1}}).has_value());
  const std::vector<TopicPartition> second{{"log", 1}};
  REQUIRE(consumer->pause(second, true).has_value());
  auto block = world.run(consumer->poll(200ms));
  REQUIRE(block.has_value());
  REQUIRE((*block)->records.size() == 4);
  world.simulation.run_for(start + 1000ms - world.simulation.now());
  REQUIRE(heard.figures.size() == 3);
  check_interval(heard, start, 300ms);
  const ConsumerStatistics& last = heard.figures.back();
  CHECK(last.client_id == "reader");
  CHECK(last.records == 4);
  CHECK(last.record_bytes == 4 * 8);
  CHECK(last.fetched_bytes >= batch.size());
  CHECK(last.fetches > 0);
  REQUIRE(last.partitions.size() == 2);
  CHECK(last.partitions[0].topic == "log");
  CHECK(last.partitions[0].partition == 0);
  CHECK(last.partitions[0].position == 4);
  CHECK(last.partitions[0].high_watermark == 10);
  CHECK(last.partitions[0].lag == 6);
  CHECK(last.partitions[0].buffered_bytes > 0);
  CHECK_FALSE(last.partitions[0].paused);
  CHECK(last.partitions[1].paused);
  CHECK(last.buffered_bytes >= last.partitions[0].buffered_bytes);
  const BrokerStatistics* one = broker(last.brokers, 1);
  REQUIRE(one != nullptr);
  CHECK(one->received_bytes > batch.size());

  CHECK(world.run(consumer->close()).has_value());
  const std::size_t told = heard.figures.size();
  world.simulation.run_for(2s);
  CHECK(heard.figures.size() == told);
}

TEST_CASE("statistics as JSON have librdkafka's names") {
  ProducerStatistics producer;
  producer.client_id = "p";
  producer.time_ms = 5;
  producer.records_queued = 3;
  producer.records_delivered = 4;
  producer.buffer_bytes = 100;
  BrokerStatistics one;
  one.broker_id = 2;
  one.address = "host:9092";
  one.connected = true;
  one.requests = 7;
  one.average_round_trip = 1500us;
  producer.brokers = {one};
  const auto json = nlohmann::json::parse(producer.to_json());
  CHECK(json["type"] == "producer");
  CHECK(json["client_id"] == "p");
  CHECK(json["ts"] == 5);
  CHECK(json["msg_cnt"] == 3);
  CHECK(json["msg_size"] == 100);
  CHECK(json["txmsgs"] == 4);
  CHECK(json["brokers"]["host:9092/2"]["nodeid"] == 2);
  CHECK(json["brokers"]["host:9092/2"]["state"] == "UP");
  CHECK(json["brokers"]["host:9092/2"]["tx"] == 7);
  CHECK(json["brokers"]["host:9092/2"]["rtt"]["avg"] == 1500);

  ConsumerStatistics consumer;
  consumer.records = 8;
  ConsumerPartitionStatistics partition;
  partition.topic = "a \"topic\"";
  partition.partition = 3;
  partition.position = 10;
  partition.high_watermark = 12;
  partition.lag = 2;
  partition.paused = true;
  consumer.partitions = {partition};
  const auto read = nlohmann::json::parse(consumer.to_json());
  CHECK(read["type"] == "consumer");
  CHECK(read["rxmsgs"] == 8);
  const auto& told = read["topics"]["a \"topic\""]["partitions"]["3"];
  CHECK(told["app_offset"] == 10);
  CHECK(told["hi_offset"] == 12);
  CHECK(told["consumer_lag"] == 2);
  CHECK(told["fetch_state"] == "stopped");
}
