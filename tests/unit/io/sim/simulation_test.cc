#include "io/sim/simulation.h"

#include <doctest/doctest.h>

#include <numeric>
#include <string>
#include <vector>

#include "io/sim/faults.h"
#include "io/sync.h"

using namespace klamm;
using namespace klamm::io;

namespace {

// A busy program: shards call each other, sleep, draw random numbers and write files.
std::uint64_t hash_of_run(std::uint64_t seed) {
  sim::Simulation simulation(seed);
  sim::Node& node = simulation.add_node("n1", {.shards = 3});
  for (std::size_t index = 0; index < 3; ++index) {
    simulation.run(node.shard(index), [&]() -> Task<void> {
      Shard& here = node.shard(index);
      for (int round = 0; round < 20; ++round) {
        co_await here.sleep(Duration(here.random().between(1, 1000)));
        Shard& there = node.shard(here.random().below(3));
        co_await call(here, there, [&]() -> Task<void> { co_await there.sleep(1us); });
        Result<std::shared_ptr<File>> file = co_await here.files().open("/f" + std::to_string(index), OpenMode::create);
        REQUIRE(file);
        Result<void> written = co_await (*file)->write(0, as_bytes("hello"));
        REQUIRE(written);
      }
    });
  }
  return simulation.trace_hash();
}

}  // namespace

TEST_CASE("the same seed gives the same run, another seed another one") {
  CHECK(hash_of_run(7) == hash_of_run(7));
  CHECK(hash_of_run(7) != hash_of_run(8));
}

TEST_CASE("timers fire in the order of their deadlines, in virtual time") {
  sim::Simulation simulation(1);
  sim::Node& node = simulation.add_node("n1");
  std::vector<int> fired;
  Timer late(node.shard(), [&] { fired.push_back(3); });
  Timer early(node.shard(), [&] { fired.push_back(1); });
  Timer middle(node.shard(), [&] { fired.push_back(2); });
  Timer cancelled(node.shard(), [&] { fired.push_back(4); });
  late.arm_in(24h);
  early.arm_in(1s);
  middle.arm_in(1min);
  cancelled.arm_in(2s);
  cancelled.cancel();
  CHECK(simulation.run_idle(48h));
  CHECK(fired == std::vector<int>{1, 2, 3});
  CHECK(simulation.now().since_start >= 24h);
  CHECK(simulation.now().since_start < 24h + 1s);
}

TEST_CASE("run_for moves the clock by exactly its duration and run_until gives up at its limit") {
  sim::Simulation simulation(1);
  sim::Node& node = simulation.add_node("n1", {.clock_skew_ms = 5000});
  simulation.run_for(10s);
  CHECK(simulation.now().since_start == 10s);
  CHECK(node.shard().wall_ms() == simulation.wall_ms() + 5000);
  bool rang = false;
  Timer bell(node.shard(), [&] { rang = true; });
  bell.arm_in(1min);
  CHECK_FALSE(simulation.run_until([&] { return rang; }, 30s));
  CHECK(simulation.run_until([&] { return rang; }, 31s));
}

TEST_CASE("a paused node stands still and goes on where it was") {
  sim::Simulation simulation(1);
  sim::Node& node = simulation.add_node("n1");
  Instant rang;
  Timer bell(node.shard(), [&] { rang = simulation.now(); });
  bell.arm_in(1s);
  node.pause(10s);
  CHECK(simulation.run_idle());
  CHECK(rang.since_start >= 10s);
}

TEST_CASE("call runs on the other shard and brings values and nothing back") {
  sim::Simulation simulation(3);
  sim::Node& node = simulation.add_node("n1", {.shards = 2});
  Shard& here = node.shard(0);
  Shard& there = node.shard(1);
  std::vector<std::string> steps;
  const int sum = simulation.run(here, [&]() -> Task<int> {
    int got = co_await call(here, there, [&]() -> Task<int> {
      co_await there.sleep(5ms);
      steps.emplace_back("there");
      co_return 41;
    });
    co_await call(here, here, [&]() -> Task<void> {
      steps.emplace_back("here");
      co_return;
    });
    co_return got + 1;
  });
  CHECK(sum == 42);
  CHECK(steps == std::vector<std::string>{"there", "here"});
}

TEST_CASE("posted functions run in the order of posting") {
  sim::Simulation simulation(5);
  sim::Node& node = simulation.add_node("n1");
  static std::vector<int> order;
  order.clear();
  static int numbers[100];
  std::iota(std::begin(numbers), std::end(numbers), 0);
  for (int& number : numbers) {
    node.shard().post([](void* which) { order.push_back(*static_cast<int*>(which)); }, &number);
  }
  CHECK(simulation.run_idle());
  CHECK(order == std::vector<int>(std::begin(numbers), std::end(numbers)));
}

TEST_CASE("a signal wakes all its waiters and a deadline wakes its own") {
  sim::Simulation simulation(2);
  sim::Node& node = simulation.add_node("n1");
  Shard& shard = node.shard();
  Signal signal(shard);
  int notified = 0;
  int expired = 0;
  Gate gate(shard);
  auto waiter = [&](Duration patience) -> Task<void> {
    const bool told = co_await signal.wait_until(shard.now() + patience);
    ++(told ? notified : expired);
  };
  simulation.run(shard, [&]() -> Task<void> {
    gate.spawn(waiter(1s));
    gate.spawn(waiter(10s));
    gate.spawn(waiter(10s));
    CHECK(gate.running() == 3);
    co_await shard.sleep(5s);
    CHECK(expired == 1);
    signal.notify_all();
    CHECK(notified == 0);  // from the loop, not inside notify_all()
    co_await gate.close();
  });
  CHECK(notified == 2);
  CHECK(expired == 1);
  CHECK(gate.running() == 0);
  CHECK_FALSE(signal.has_waiters());
}

TEST_CASE("a closed gate drops what is spawned") {
  sim::Simulation simulation(2);
  Shard& shard = simulation.add_node("n1").shard();
  Gate gate(shard);
  bool started = false;
  auto work = [&]() -> Task<void> {
    started = true;
    co_return;
  };
  simulation.run(shard, [&]() -> Task<void> { co_await gate.close(); });
  gate.spawn(work());
  CHECK_FALSE(started);
}

TEST_CASE("an async mutex has one holder at a time, first come first served") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    sim::Simulation simulation(seed);
    Shard& shard = simulation.add_node("n1").shard();
    AsyncMutex mutex(shard);
    Gate gate(shard);
    int inside = 0;
    std::vector<int> order;
    auto enter = [&](int number) -> Task<void> {
      co_await mutex.lock();
      CHECK(++inside == 1);
      order.push_back(number);
      co_await shard.sleep(Duration(shard.random().between(0, 100'000)));
      --inside;
      mutex.unlock();
    };
    simulation.run(shard, [&]() -> Task<void> {
      for (int number = 0; number < 10; ++number) gate.spawn(enter(number));
      co_await gate.close();
    });
    CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
}

TEST_CASE("a memory gate never lets more through than its bound, except one large request alone") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    sim::Simulation simulation(seed);
    Shard& shard = simulation.add_node("n1").shard();
    MemoryGate memory(shard, 100);
    Gate gate(shard);
    std::uint64_t held = 0;
    std::vector<std::uint64_t> order;
    auto take = [&](std::uint64_t bytes) -> Task<void> {
      co_await memory.acquire(bytes);
      held += bytes;
      order.push_back(bytes);
      CHECK(memory.used() == held);
      CHECK((held <= 100 || held == bytes));
      co_await shard.sleep(Duration(shard.random().between(0, 100'000)));
      held -= bytes;
      memory.release(bytes);
    };
    const std::vector<std::uint64_t> requests{60, 50, 30, 500, 10, 90, 100, 1};
    simulation.run(shard, [&]() -> Task<void> {
      for (const std::uint64_t bytes : requests) gate.spawn(take(bytes));
      co_await gate.close();
    });
    CHECK(order == requests);
    CHECK(memory.used() == 0);
  }
}

namespace {

Task<bool> can_write(Shard& shard, std::string path) {
  Result<std::shared_ptr<File>> file = co_await shard.files().open(std::move(path), OpenMode::create);
  if (!file) co_return false;
  Result<void> written = co_await (*file)->write(0, as_bytes("hello"));
  co_return written.has_value();
}

}  // namespace

TEST_CASE("a plan's disk errors hit what they name, as often as they say, and are over when the fault is") {
  sim::Simulation simulation(1);
  sim::Node& node = simulation.add_node("n");
  const auto works = [&](const char* path) { return simulation.run(node.shard(), can_write(node.shard(), path)); };
  const sim::FaultPlan plan(
      {{.at = 1s, .length = 5s, .kind = sim::FaultKind::write_errors, .node = "n", .amount = 2, .path = ".log"},
       {.at = 10s, .length = 5s, .kind = sim::FaultKind::write_errors, .node = "n", .amount = 1000}});
  plan.install(simulation, {});
  CHECK(works("/a.log"));
  simulation.run_for(2s);
  CHECK_FALSE(works("/a.log"));
  CHECK(works("/b.index"));
  CHECK_FALSE(works("/b.log"));
  CHECK(works("/a.log"));  // two were to fail
  simulation.run_for(9s);
  CHECK_FALSE(works("/a.log"));
  CHECK_FALSE(works("/b.index"));
  simulation.run_for(5s);
  CHECK(works("/a.log"));
}

TEST_CASE("a node tells whether its last process was killed or lost power") {
  sim::Simulation simulation(1);
  sim::Node& node = simulation.add_node("n");
  node.kill();
  CHECK_FALSE(node.lost_power());
  node.restart();
  node.crash();
  CHECK(node.lost_power());
}
