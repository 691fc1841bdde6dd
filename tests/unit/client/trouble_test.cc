// What a user sees when things do not work: warnings that name the trouble and do not flood, errors that come at once
// where waiting would not help, and clients that close promptly whatever their brokers do.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/admin/admin_core.h"
#include "client/core/repeated_warning.h"
#include "client_world.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::test;

namespace {

using Lines = std::vector<std::string>;

template <typename Hooks>
Hooks keeping(Lines& lines) {
  Hooks hooks;
  hooks.log_level = LogLevel::warning;
  hooks.log_sink = [&lines](LogLevel, std::string_view, std::string_view message) { lines.emplace_back(message); };
  return hooks;
}

std::size_t count(const Lines& lines, std::string_view part) {
  return static_cast<std::size_t>(std::count_if(
      lines.begin(), lines.end(), [&](const std::string& line) { return line.find(part) != std::string::npos; }));
}

io::Task<Result<RecordMetadata>> send_one(client::ProducerCore& producer, std::string topic) {
  Record record;
  record.topic = topic;
  record.value = "x";
  Result<RecordMetadata> sent = co_await producer.send_and_wait(record);
  co_return sent;
}

io::Task<void> pass(io::Shard& shard, Duration time) { co_await shard.sleep(time); }

// A node that takes connections and never says a word.
struct Silent {
  explicit Silent(ClientWorld& world) : node(world.simulation.add_node("silent")) {
    Result<std::unique_ptr<io::Listener>> made = node.shard().listen({"", 9092}, 100);
    REQUIRE(made);
    listener = std::move(*made);
  }
  io::sim::Node& node;
  std::unique_ptr<io::Listener> listener;
};

}  // namespace

TEST_CASE("a trouble that lasts is told again with growing intervals, another one at once") {
  client::RepeatedWarning warning;
  const Instant begin = Instant() + 1h;
  std::vector<int> told;
  for (int second = 0; second <= 100; ++second) {
    if (warning.due("refused", begin + second * 1s)) told.push_back(second);
  }
  CHECK(told == std::vector<int>{0, 10, 30, 70});
  CHECK(warning.due("timed out", begin + 101s));
  CHECK_FALSE(warning.due("timed out", begin + 102s));
  warning.over();
  CHECK(warning.due("timed out", begin + 103s));
  int hourly = 0;
  for (int second = 0; second < 3600; ++second) hourly += warning.due("timed out", begin + 1000s + second * 1s);
  CHECK(hourly >= 12);
  CHECK(hourly < 20);
}

TEST_CASE("bootstrap names without an address fail producer, consumer and admin client at once") {
  ClientWorld world;
  Lines lines;
  const Config config{{"bootstrap.servers", "nowhere:9092,nobody:9093"}};
  const Instant begin = world.simulation.now();
  const std::string_view expected = "No resolvable bootstrap urls given in bootstrap.servers";

  const auto producer = world.producer(config, keeping<ProducerHooks>(lines));
  const Result<RecordMetadata> sent = world.run(send_one(*producer, "log"));
  REQUIRE_FALSE(sent.has_value());
  CHECK(sent.error() == Errc::invalid_argument);
  CHECK(sent.error().context() == expected);
  CHECK(count(lines,
              "Couldn't resolve server nowhere:9092 from bootstrap.servers as DNS resolution failed for "
              "nowhere") == 1);
  CHECK(count(lines, "nobody:9093") == 1);
  CHECK(lines.size() == 2);

  const auto consumer = world.consumer(config);
  REQUIRE(consumer->assign({{"log", 0}}));
  const auto polled = world.run(consumer->poll(60s));
  REQUIRE_FALSE(polled.has_value());
  CHECK(polled.error().context() == expected);

  Result<client::AdminSettings> settings = client::parse_admin(config);
  REQUIRE(settings);
  const auto admin = client::AdminCore::start(world.shard, *settings, {});
  const auto listed = world.run(admin->run(ListTopics()));
  REQUIRE_FALSE(listed.has_value());
  CHECK(listed.error().context() == expected);

  CHECK(world.simulation.now() - begin < 2s);
  world.end(producer);
  world.end(consumer);
  admin->stop();
  world.run(admin->wait_finished());
}

TEST_CASE("one bootstrap name with an address is enough") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  const auto producer = world.producer({{"bootstrap.servers", "nowhere:9092," + world.cluster.bootstrap()}});
  const Result<RecordMetadata> sent = world.run(send_one(*producer, "log"));
  CHECK_MESSAGE(sent, why_of(sent));
  world.end(producer);
}

TEST_CASE("a broker that refuses connections is told with its address and the reason, not per attempt") {
  ClientWorld world;
  Lines lines;
  const auto producer = world.producer({{"bootstrap.servers", "broker1:1"}}, keeping<ProducerHooks>(lines));
  const Result<RecordMetadata> sent = world.run(send_one(*producer, "log"));  // gives up after max.block.ms
  REQUIRE_FALSE(sent.has_value());
  REQUIRE_FALSE(lines.empty());
  CHECK(lines.front() == "Connection to bootstrap server (broker1:1) could not be established: Connection refused");
  CHECK(lines.size() >= 2);
  CHECK(lines.size() <= 4);  // at 0, 10, 30 and 70 s
  // The reason is in the error too, once.
  const std::string text = sent.error().message();
  CHECK_MESSAGE(text.find("Connection refused") != std::string::npos, text);
  CHECK_MESSAGE(text.find("Connection refused") == text.rfind("Connection refused"), text);
  world.end(producer);
}

TEST_CASE("a broker that takes connections and stays silent is told as well") {
  ClientWorld world;
  const Silent silent(world);
  Lines lines;
  const auto producer = world.producer({{"bootstrap.servers", "silent:9092"}}, keeping<ProducerHooks>(lines));
  const Result<RecordMetadata> sent = world.run(send_one(*producer, "log"));
  REQUIRE_FALSE(sent.has_value());
  CHECK(count(lines, "Connection to bootstrap server (silent:9092) could not be established: ") >= 1);
  CHECK(count(lines, "not answered in") >= 1);
  CHECK(lines.size() <= 4);
  world.end(producer);
}

TEST_CASE("a broker that comes back and goes again is told again at once") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  Lines lines;
  const auto producer =
      world.producer({{"delivery.timeout.ms", "2000"}, {"request.timeout.ms", "1000"}, {"max.block.ms", "2000"}},
                     keeping<ProducerHooks>(lines));
  CHECK(world.run(send_one(*producer, "log")));
  CHECK(lines.empty());
  for (std::size_t outage = 1; outage <= 2; ++outage) {
    world.simulation.network().partition(world.node, world.cluster.node(1));
    CHECK_FALSE(world.run(send_one(*producer, "log")));
    world.run(pass(world.shard, 12s));
    CHECK(count(lines, "Connection to node 1 (") == outage);
    world.simulation.network().heal_all();
    world.run(pass(world.shard, 30s));
    CHECK(world.run(send_one(*producer, "log")));
  }
  world.end(producer);
}

TEST_CASE("a topic that does not exist is named in a warning while the producer waits for it") {
  ClientWorld world;
  world.cluster.auto_create = false;
  Lines lines;
  const auto producer = world.producer({}, keeping<ProducerHooks>(lines));
  const Result<RecordMetadata> sent = world.run(send_one(*producer, "nosuch"));
  REQUIRE_FALSE(sent.has_value());
  CHECK(protocol::code_of(sent.error()) == ErrorCode::unknown_topic_or_partition);
  CHECK(count(lines, "Error while fetching metadata: {nosuch=UNKNOWN_TOPIC_OR_PARTITION}") == lines.size());
  CHECK(lines.size() >= 2);
  CHECK(lines.size() <= 4);
  world.end(producer);
}

TEST_CASE("clients close at once while their broker swallows what is sent to it") {
  for (const bool black_hole : {true, false}) {
    ClientWorld world;
    const Silent silent(world);
    if (black_hole) world.simulation.network().partition(world.node, silent.node);
    const Config config{{"bootstrap.servers", "silent:9092"}};
    const auto producer = world.producer(config);
    const auto consumer = world.consumer(config);
    REQUIRE(consumer->assign({{"log", 0}}));
    Record record;
    record.topic = "log";
    record.value = "x";
    CHECK_FALSE(producer->send(record).batch);
    world.run(pass(world.shard, 500ms));  // they are connecting now
    const Instant begin = world.simulation.now();
    CHECK(world.run(producer->close(200ms)));
    CHECK(world.run(consumer->close()));
    CHECK(world.simulation.now() - begin < 300ms);
    silent.listener->close();
    world.run(pass(world.shard, 20s));  // what the network had begun ends by itself
    CHECK(world.simulation.network().connections(world.node) == 0);
  }
}

TEST_CASE("a client closes at once in the middle of a TLS handshake") {
  ClientWorld world;
  const Silent silent(world);
  const auto consumer = world.consumer({{"bootstrap.servers", "silent:9092"}, {"security.protocol", "SSL"}});
  REQUIRE(consumer->assign({{"log", 0}}));
  world.run(pass(world.shard, 500ms));
  const Instant begin = world.simulation.now();
  CHECK(world.run(consumer->close()));
  CHECK(world.simulation.now() - begin < 100ms);
}

TEST_CASE("records that wait for a broker that is gone are given up at the deadline of close()") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  const auto producer = world.producer();
  CHECK(world.run(send_one(*producer, "log")));
  world.simulation.network().partition(world.node, world.cluster.node(1));
  Record record;
  record.topic = "log";
  record.value = "x";
  const client::ProducerCore::Accepted accepted = producer->send(record);
  REQUIRE(accepted.batch);
  const Instant begin = world.simulation.now();
  const Result<void> closed = world.run(producer->close(700ms));
  REQUIRE_FALSE(closed.has_value());
  CHECK(closed.error() == Errc::timed_out);
  CHECK(world.simulation.now() - begin < 800ms);
  REQUIRE(accepted.batch->done());
  CHECK(accepted.batch->error(accepted.index) != nullptr);
}
