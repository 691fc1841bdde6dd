#include "broker/raft/raft_core.h"

#include <doctest/doctest.h>

#include "broker/raft/control_records.h"
#include "broker/raft/snapshot.h"
#include "protocol/error.h"

namespace klamm::raft {
namespace {

constexpr Uuid kDirectory{7, 8};

Now at(std::int64_t ms) { return {Instant{std::chrono::milliseconds(ms)}, 1'000'000 + ms}; }

RaftConfig config_of(std::int32_t id) {
  RaftConfig config;
  config.self = {id, kDirectory};
  config.endpoints = {{"CONTROLLER", "localhost", 9093}};
  return config;
}

LocalState fresh_static(std::int32_t id) {
  LocalState local;
  local.voters = VoterSet({Voter{{id, {}}, {{"CONTROLLER", "localhost", 9093}}}});
  return local;
}

template <typename T>
std::vector<T> all_of(const std::vector<Action>& actions) {
  std::vector<T> found;
  for (const Action& action : actions) {
    if (const T* one = std::get_if<T>(&action)) found.push_back(*one);
  }
  return found;
}

// Does what a disk does with the appends of `actions`; returns what the core wants after that.
std::vector<Action> disk_takes(RaftCore& core, const std::vector<Action>& actions) {
  for (const AppendBatch& append : all_of<AppendBatch>(actions)) {
    core.written(append.last_offset + 1);
    core.flushed(append.last_offset + 1);
  }
  return core.take_actions();
}

TEST_CASE("the only voter elects itself at once, in the next epoch, and writes that down first") {
  RaftCore core(config_of(1));
  LocalState local = fresh_static(1);
  local.quorum_state = QuorumState{};
  local.quorum_state->leader_epoch = 4;
  REQUIRE(core.start(at(0), local).has_value());
  CHECK(core.is_leader());
  CHECK(core.epoch() == 5);
  const std::vector<Action> actions = core.take_actions();
  REQUIRE(actions.size() >= 3);
  const auto* persisted = std::get_if<PersistQuorumState>(&actions[0]);
  REQUIRE(persisted != nullptr);
  CHECK(persisted->state.leader_id == 1);
  CHECK(persisted->state.leader_epoch == 5);
  CHECK(persisted->state.data_version == 0);
  CHECK(persisted->state.static_voters == std::vector<std::int32_t>{1});
  const auto appends = all_of<AppendBatch>(actions);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].base_offset == 0);
  CHECK(appends[0].last_offset == 0);
  const Batch batch = read_batch(appends[0].batch).value();
  CHECK(batch.control);
  CHECK(batch.control_facts.leader_change);
  CHECK(batch.epoch == 5);
}

TEST_CASE("an epoch is above what the log knows, whatever the quorum-state file says") {
  RaftCore core(config_of(1));
  LocalState local = fresh_static(1);
  local.log_end_offset = 10;
  local.last_epoch = 12;
  REQUIRE(core.start(at(0), local).has_value());
  CHECK(core.epoch() == 13);
  CHECK(core.epoch_start_offset() == 10);
}

TEST_CASE("voters that only the bootstrap snapshot names are written with the first leader change") {
  RaftCore core(config_of(1));
  LocalState local;
  local.voters = VoterSet({Voter{{1, kDirectory}, {{"CONTROLLER", "localhost", 9093}}}});
  local.kraft_version = 1;
  local.voters_from_bootstrap = true;
  REQUIRE(core.start(at(0), local).has_value());
  const std::vector<Action> actions = core.take_actions();
  CHECK(std::get<PersistQuorumState>(actions[0]).state.data_version == 1);
  const auto appends = all_of<AppendBatch>(actions);
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].last_offset == 2);
  const ControlFacts facts = read_batch(appends[0].batch).value().control_facts;
  CHECK(facts.kraft_version == 1);
  REQUIRE(facts.voters.has_value());
  CHECK(facts.voters->is_only({1, kDirectory}));
}

TEST_CASE("known voters are not written again, unless this node's own address changed") {
  for (const bool moved : {false, true}) {
    RaftConfig config = config_of(1);
    if (moved) config.endpoints[0].port = 19093;
    RaftCore core(config);
    LocalState local;
    local.voters = VoterSet({Voter{{1, kDirectory}, {{"CONTROLLER", "localhost", 9093}}}});
    local.kraft_version = 1;
    REQUIRE(core.start(at(0), local).has_value());
    const auto appends = all_of<AppendBatch>(core.take_actions());
    CHECK(read_batch(appends.at(0).batch).value().control_facts.voters.has_value() == moved);
  }
}

TEST_CASE("what is appended is committed when the disk has flushed it, not before") {
  RaftCore core(config_of(1));
  REQUIRE(core.start(at(0), fresh_static(1)).has_value());
  disk_takes(core, core.take_actions());
  CHECK(core.high_watermark() == 1);
  const std::vector<Slice> values{Slice::copy("a"), Slice::copy("b")};
  CHECK(core.append(at(1), core.epoch(), values).value() == 2);
  CHECK(core.next_offset() == 3);
  const std::vector<Action> actions = core.take_actions();
  core.written(3);
  CHECK(core.take_actions().empty());
  CHECK(core.high_watermark() == 1);
  core.flushed(3);
  const auto committed = all_of<Committed>(core.take_actions());
  REQUIRE(committed.size() == 1);
  CHECK(committed[0].high_watermark == 3);
  const Batch batch = read_batch(all_of<AppendBatch>(actions).at(0).batch).value();
  CHECK(batch.base_offset == 1);
  CHECK(batch.append_timestamp_ms == 1'000'001);
  REQUIRE(batch.values.size() == 2);
  CHECK(batch.values[1].text() == "b");
}

TEST_CASE("appends made while the disk is busy go out as one batch") {
  RaftCore core(config_of(1));
  REQUIRE(core.start(at(0), fresh_static(1)).has_value());
  disk_takes(core, core.take_actions());
  const std::vector<Slice> one{Slice::copy("x")};
  for (int index = 0; index < 5; ++index) REQUIRE(core.append(at(2), core.epoch(), one).has_value());
  const auto appends = all_of<AppendBatch>(core.take_actions());
  REQUIRE(appends.size() == 1);
  CHECK(appends[0].last_offset - appends[0].base_offset == 4);
}

TEST_CASE("records that belong together are not torn over two batches") {
  RaftConfig config = config_of(1);
  config.max_batch_bytes = 1000;
  RaftCore core(config);
  REQUIRE(core.start(at(0), fresh_static(1)).has_value());
  disk_takes(core, core.take_actions());
  const std::vector<Slice> half{Slice::copy(std::string(300, 'x')), Slice::copy(std::string(300, 'y'))};
  REQUIRE(core.append(at(1), core.epoch(), half).has_value());
  REQUIRE(core.append(at(1), core.epoch(), half).has_value());
  const auto appends = all_of<AppendBatch>(core.take_actions());
  REQUIRE(appends.size() == 2);
  CHECK(appends[0].last_offset == 2);
  CHECK(appends[1].base_offset == 3);
  const std::vector<Slice> huge{Slice::copy(std::string(2000, 'z'))};
  CHECK(core.append(at(1), core.epoch(), huge).error() == make_error_code(protocol::ErrorCode::record_list_too_large));
}

TEST_CASE("an append in another epoch than the present one is refused") {
  RaftCore core(config_of(1));
  REQUIRE(core.start(at(0), fresh_static(1)).has_value());
  const std::vector<Slice> one{Slice::copy("x")};
  CHECK(core.append(at(0), core.epoch() - 1, one).error() ==
        make_error_code(protocol::ErrorCode::not_leader_or_follower));
}

TEST_CASE("a node that resigned stands again after an election timeout, in a new epoch") {
  RaftCore core(config_of(1));
  REQUIRE(core.start(at(0), fresh_static(1)).has_value());
  disk_takes(core, core.take_actions());
  const std::int32_t epoch = core.epoch();
  core.resign(at(10), epoch);
  CHECK_FALSE(core.is_leader());
  const std::vector<Slice> one{Slice::copy("x")};
  CHECK_FALSE(core.append(at(10), epoch, one).has_value());
  const Instant deadline = core.next_deadline();
  CHECK(deadline >= at(1010).instant);
  CHECK(deadline < at(2010).instant);
  core.tick({Instant{deadline.since_start - 1ns}, 0});
  CHECK_FALSE(core.is_leader());
  core.tick({deadline, 0});
  CHECK(core.is_leader());
  CHECK(core.epoch() == epoch + 1);
}

TEST_CASE("a quorum of others is refused in plain words") {
  RaftCore not_a_voter(config_of(1));
  CHECK(not_a_voter.start(at(0), fresh_static(2)).error() == Errc::unsupported);
  RaftCore one_of_two(config_of(1));
  LocalState local;
  local.voters = VoterSet({Voter{{1, {}}, {}}, Voter{{2, {}}, {}}});
  CHECK(one_of_two.start(at(0), local).error() == Errc::unsupported);
  RaftCore other_directory(config_of(1));
  local.voters = VoterSet({Voter{{1, Uuid{9, 9}}, {}}});
  CHECK(other_directory.start(at(0), local).error() == Errc::unsupported);
}

}  // namespace
}  // namespace klamm::raft
