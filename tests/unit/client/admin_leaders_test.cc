// The admin client where several brokers must be asked: what some of them answer is kept when others do not.
#include <doctest/doctest.h>

#include <string>

#include "client_world.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::test;

namespace {

ListOffsets ends_of(std::initializer_list<std::int32_t> partitions, Duration timeout) {
  ListOffsets operation;
  for (const std::int32_t partition : partitions) operation.specs[{"log", partition}] = kLatestOffset;
  operation.options.timeout = timeout;
  return operation;
}

// Broker 1 leads partition 0, broker 2 partition 1; what broker 2 is asked of offsets it does not answer.
struct HalfSilent : ClientWorld {
  HalfSilent() : ClientWorld(1, 2) {
    cluster.add_topic("log", 2);
    cluster.partition("log", 0).next_offset = 7;
    cluster.partition("log", 1).next_offset = 9;
    cluster.script = [](std::int32_t broker, ApiKey key) {
      return broker == 2 && key == ApiKey::list_offsets ? Verdict::ignore : Verdict::answer;
    };
  }
};

}  // namespace

TEST_CASE("a leader that does not answer fails its own partitions, the others have their answers") {
  HalfSilent world;
  const auto admin = world.admin();
  const Instant begin = world.simulation.now();
  const auto listed = world.run(admin->run(ends_of({0, 1}, 3s)));
  CHECK(world.simulation.now() - begin <= 3s + 10ms);
  REQUIRE_MESSAGE(listed, why_of(listed));
  REQUIRE(listed->size() == 2);
  const Result<ListedOffset>& answered = listed->at({"log", 0});
  REQUIRE_MESSAGE(answered, why_of(answered));
  CHECK(answered->offset == 7);
  const Result<ListedOffset>& silent = listed->at({"log", 1});
  REQUIRE_FALSE(silent.has_value());
  CHECK(silent.error() == Errc::timed_out);
  CHECK(silent.error().retriable());
  CHECK(silent.error().context().starts_with("log-1: ListOffsets not done in 3000 ms: broker2:9092: "));
  world.end(admin);
}

TEST_CASE("partitions whose leader does not answer are asked of the next one, once another leads") {
  HalfSilent world;
  const auto admin = world.admin({{"request.timeout.ms", "1000"}});
  world.simulation.after(500ms, [&] { world.cluster.move_leader("log", 1, 1); });
  const Instant begin = world.simulation.now();
  const auto listed = world.run(admin->run(ends_of({0, 1}, 10s)));
  CHECK(world.simulation.now() - begin < 2s);
  REQUIRE_MESSAGE(listed, why_of(listed));
  for (const auto& [partition, offset] : *listed) CHECK_MESSAGE(offset, why_of(offset));
  CHECK(listed->at({"log", 1})->offset == 9);
  world.end(admin);
}

TEST_CASE("leaders are asked side by side") {
  ClientWorld world(1, 3);
  world.cluster.add_topic("log", 3);
  world.cluster.answer_delay = 400ms;
  const auto admin = world.admin();
  CHECK(world.run(admin->run(ends_of({0, 1, 2}, 10s))));  // all connections are made
  const Instant begin = world.simulation.now();
  const auto listed = world.run(admin->run(ends_of({0, 1, 2}, 10s)));
  REQUIRE_MESSAGE(listed, why_of(listed));
  for (const auto& [partition, offset] : *listed) CHECK_MESSAGE(offset, why_of(offset));
  CHECK(world.simulation.now() - begin < 1s);  // metadata and one round
  world.end(admin);
}

TEST_CASE("an admin client that is closed ends what it waits for") {
  HalfSilent world;
  const auto admin = world.admin();
  world.simulation.after(
      500ms, [&] { world.shard.post([](void* core) { static_cast<client::AdminCore*>(core)->stop(); }, admin.get()); });
  const Instant begin = world.simulation.now();
  const auto listed = world.run(admin->run(ends_of({0, 1}, 10s)));
  REQUIRE_FALSE(listed.has_value());
  CHECK(listed.error() == Errc::cancelled);
  CHECK(world.simulation.now() - begin < 600ms);
  world.end(admin);
}
