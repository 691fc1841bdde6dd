// Keys of the consumer whose effect shows at the brokers.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "consumer_world.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::test;

namespace {

struct Asked {
  std::int32_t min_bytes;
  std::int32_t max_wait_ms;
  std::int32_t max_bytes;
  std::string rack;
  friend bool operator==(const Asked&, const Asked&) = default;
};

// What a consumer with this configuration asks for in each of its fetches while it reads six records.
std::vector<Asked> fetches_with(const Config& config) {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 2);
  std::vector<Asked> asked;
  world.cluster.on_fetch = [&](const protocol::FetchRequest& request) {
    asked.push_back({request.min_bytes, request.max_wait_ms, request.max_bytes, request.rack_id});
  };
  const auto consumer = world.consumer(config);
  REQUIRE(consumer->assign({{"log", 0}}));
  const Result<Values> read = world.run(read_all(*consumer, 6));
  REQUIRE_MESSAGE(read, why_of(read));
  CHECK(read->at(0) == numbers(0, 6));
  const auto idle = world.run(consumer->poll(1s));
  CHECK(idle.has_value());
  world.end(consumer);
  return asked;
}

}  // namespace

TEST_CASE("fetch.min.bytes, fetch.max.wait.ms, fetch.max.bytes and client.rack are told with each fetch") {
  const std::vector<Asked> asked = fetches_with({{"fetch.min.bytes", "1234"},
                                                 {"fetch.max.wait.ms", "77"},
                                                 {"fetch.max.bytes", "98765"},
                                                 {"client.rack", "rack-7"}});
  CHECK(asked.size() >= 2);
  for (const Asked& one : asked) CHECK(one == Asked{1234, 77, 98765, "rack-7"});
}

TEST_CASE("fetches ask for Kafka's defaults") {
  const std::vector<Asked> asked = fetches_with({});
  CHECK(asked.size() >= 2);
  for (const Asked& one : asked) CHECK(one == Asked{1, 500, 52'428'800, ""});
}

TEST_CASE("a broker may gather for fetch.max.wait.ms beyond request.timeout.ms") {
  ClientWorld world;
  world.cluster.add_topic("log", 1);
  fill(world.cluster, "log", 0, 1);
  const auto consumer = world.consumer({{"request.timeout.ms", "1000"}, {"fetch.max.wait.ms", "3000"}});
  REQUIRE(consumer->assign({{"log", 0}}));
  Result<Values> read = world.run(read_all(*consumer, 3));
  REQUIRE_MESSAGE(read, why_of(read));
  const std::uint64_t connections = world.cluster.connections;
  world.cluster.answer_delay = 3s;
  fill(world.cluster, "log", 0, 1, 3);
  auto work = [&]() -> io::Task<std::size_t> {
    Result<Block> block = co_await consumer->poll(20s);
    co_return block ? (*block)->records.size() : 0;
  };
  CHECK(world.simulation.run(world.shard, work) == 3);
  CHECK(world.cluster.connections == connections);  // no answer was taken for lost
  world.end(consumer);
}

TEST_CASE("allow.auto.create.topics: asking for a topic makes it, or does not") {
  for (const bool allowed : {true, false}) {
    ClientWorld world;
    std::vector<bool> told;
    world.cluster.on_metadata = [&](const protocol::MetadataRequest& request) {
      told.push_back(request.allow_auto_topic_creation);
    };
    const auto consumer = world.consumer({{"allow.auto.create.topics", allowed ? "true" : "false"},
                                          {"request.timeout.ms", "1000"},
                                          {"default.api.timeout.ms", "2000"}});
    REQUIRE(consumer->assign({{"new", 0}}));
    const Result<std::int64_t> position = world.run(consumer->await_position({"new", 0}));
    CHECK(position.has_value() == allowed);
    const auto partitions = world.run(consumer->partitions_for("new"));
    CHECK(partitions.has_value() == allowed);
    if (!partitions) CHECK(protocol::code_of(partitions.error()) == ErrorCode::unknown_topic_or_partition);
    REQUIRE_FALSE(told.empty());
    for (const bool one : told) CHECK(one == allowed);
    world.end(consumer);
  }
}
