// The quorum's rules under faults: what must hold always, over many seeds; and mistakes that must be found.
#include "tests/unit/broker/raft/core_network.h"

#include <doctest/doctest.h>

namespace klamm::raft::testing {
namespace {

// Faults for a while, then none: everybody follows one leader, and what is appended is committed everywhere.
std::string trouble(std::uint64_t seed, NetworkOptions options, int rounds = 12) {
  CoreNetwork network(seed, options);
  for (int round = 0; round < rounds && network.violation().empty(); ++round) {
    network.disturb();
    network.run(Duration(network.random().between(100'000'000, 4'000'000'000)));
  }
  if (!network.violation().empty()) return network.violation();
  network.restore_all();
  const std::int64_t before = network.committed_end();
  const bool healed = network.run_until([&] { return network.all_follow(before + 5); }, 30s);
  if (!network.violation().empty()) return network.violation();
  return healed ? "" : "no progress after everything was healed";
}

TEST_CASE("three voters of a static quorum hold what they committed through crashes, cuts and losses") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    CHECK(trouble(seed, {}) == "");
  }
}

TEST_CASE("five voters of a dynamic quorum with two observers do so too") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    CHECK(trouble(seed, {.nodes = 5, .observers = 2, .dynamic = true}) == "");
  }
}

TEST_CASE("a quorum without faults elects one leader and keeps it") {
  CoreNetwork network(7, {.loss = 0});
  REQUIRE(network.run_until([&] { return network.leader() >= 0 && network.all_follow(); }, 10s));
  const std::int32_t epoch = network.newest_epoch();
  network.run(20s);
  CHECK(network.violation() == "");
  CHECK(network.newest_epoch() - epoch <= 1);
  CHECK(network.committed_end() > 100);
}

TEST_CASE("logs that parted are cut, and those far behind get a snapshot: both happen under these faults") {
  int truncations = 0;
  int installs = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CoreNetwork network(seed, {});
    for (int round = 0; round < 12; ++round) {
      network.disturb();
      network.run(2s);
    }
    truncations += network.truncations();
    installs += network.snapshots_installed();
  }
  CHECK(truncations > 0);
  CHECK(installs > 0);
}

bool found_within(PlantedBug bug, std::uint64_t seeds) {
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (!trouble(seed, {.bug = bug, .loss = 0.1, .snapshots = false}, 40).empty()) return true;
  }
  return false;
}

TEST_CASE("a vote that is forgotten at a restart is found") { CHECK(found_within(PlantedBug::forget_vote, 400)); }
TEST_CASE("a follower that is not cut where it parts from the leader is found") {
  CHECK(found_within(PlantedBug::skip_truncation, 100));
}
TEST_CASE("answers of an epoch that is over, counted in the next one, are found") {
  CHECK(found_within(PlantedBug::count_stale_epoch, 100));
}

TEST_CASE("a leader that goes hands over quickly") {
  CoreNetwork network(3, {.loss = 0});
  REQUIRE(network.run_until([&] { return network.all_follow(); }, 10s));
  const int old = network.leader();
  const Instant begun = network.now().instant;
  network.call(old, [&](RaftCore& core) { core.shut_down(network.now()); });
  REQUIRE(network.run_until([&] { return network.leader() >= 0 && network.leader() != old; }, 5s));
  CHECK(network.now().instant - begun < 1500ms);
}

TEST_CASE("a leader that no majority pulls from gives up, and does not stop the others") {
  CoreNetwork network(5, {.loss = 0});
  REQUIRE(network.run_until([&] { return network.all_follow(); }, 10s));
  const int old = network.leader();
  network.isolate(old);
  CHECK(network.run_until([&] { return !network.core(old).is_leader(); }, 4s));
  CHECK(network.run_until([&] { return network.leader() >= 0 && network.leader() != old; }, 8s));
  network.heal();
  CHECK(network.run_until([&] { return network.all_follow(); }, 10s));
  CHECK(network.violation() == "");
}

TEST_CASE("a voter whose disk was wiped does not help to elect one that lacks what was committed") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    CoreNetwork network(seed, {.loss = 0, .snapshots = false});
    const auto settled = [&] {
      bool fresh = false;
      for (int id = 0; id < 3; ++id) fresh = fresh || network.core(id).fresh();
      return !fresh && network.all_follow();
    };
    REQUIRE(network.run_until(settled, 15s));
    const int leads = network.leader();
    const int helper = (leads + 1) % 3;
    const int behind = (leads + 2) % 3;
    network.isolate(behind);
    const std::int64_t before = network.committed_end();
    REQUIRE(network.run_until([&] { return network.committed_end() > before + 10; }, 10s));
    network.crash(leads);
    network.wipe(helper);
    network.heal();
    network.restart(helper);
    network.run(20s);
    CHECK(network.violation() == "");
    CHECK(network.leader() < 0);
    network.restart(leads);
    CHECK(network.run_until([&] { return network.all_follow(); }, 20s));
    CHECK(network.violation() == "");
  }
}

TEST_CASE("observers become voters and voters go, the leader itself too") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    CoreNetwork network(seed, {.nodes = 3, .observers = 1, .dynamic = true, .loss = 0});
    REQUIRE(network.run_until([&] { return network.all_follow(); }, 15s));
    const int first = network.leader();
    Result<std::int64_t> added = fail(Errc::unavailable);
    REQUIRE(network.run_until(
        [&] {
          if (network.leader() == first) {
            network.call(first, [&](RaftCore& core) {
              if (!added) added = core.add_voter(network.now(), network.voter_of(3));
            });
          }
          return added && network.core(first).high_watermark() > *added;
        },
        10s));
    CHECK(network.core(first).voters().size() == 4);
    Result<std::int64_t> removed = fail(Errc::unavailable);
    const std::int32_t epoch = network.core(first).epoch();
    network.call(first,
                 [&](RaftCore& core) { removed = core.remove_voter(network.now(), network.voter_of(first).key); });
    REQUIRE(removed.has_value());
    CHECK_FALSE(network.core(first).is_committed(epoch, *removed));
    REQUIRE(network.run_until([&] { return network.leader() >= 0 && network.leader() != first; }, 15s));
    CHECK(network.core(first).is_committed(epoch, *removed));
    CHECK_FALSE(network.core(first).is_committed(epoch + 1, *removed));
    REQUIRE(network.run_until([&] { return network.all_follow(); }, 15s));
    CHECK(network.core(first).voters().size() == 3);
    CHECK_FALSE(network.core(first).is_voter());
    CHECK(network.violation() == "");
  }
}

TEST_CASE("controllers that join by themselves become voters once they follow closely") {
  CoreNetwork network(11, {.nodes = 3, .observers = 2, .dynamic = true, .auto_join = true, .loss = 0});
  const auto joined = [&] {
    for (int id = 0; id < 5; ++id) {
      if (network.core(id).voters().size() != 5 || !network.core(id).is_voter()) return false;
    }
    return network.all_follow();
  };
  CHECK(network.run_until(joined, 60s));
  CHECK(network.violation() == "");
}

}  // namespace
}  // namespace klamm::raft::testing
