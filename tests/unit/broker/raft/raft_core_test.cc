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
  local.voters = {{-1, 0, VoterSet({Voter{{id, {}}, {{"CONTROLLER", "localhost", 9093}}}}), false}};
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
  core.start(at(0), local);
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
  local.log.append(12, 0, 9);
  core.start(at(0), local);
  CHECK(core.epoch() == 13);
  CHECK(core.epoch_start_offset() == 10);
}

TEST_CASE("voters that only the bootstrap snapshot names are written with the first leader change") {
  RaftCore core(config_of(1));
  LocalState local;
  local.voters = {{-1, 1, VoterSet({Voter{{1, kDirectory}, {{"CONTROLLER", "localhost", 9093}}}}), true}};
  core.start(at(0), local);
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
    local.voters = {{-1, 1, VoterSet({Voter{{1, kDirectory}, {{"CONTROLLER", "localhost", 9093}}}}), false}};
    core.start(at(0), local);
    const auto appends = all_of<AppendBatch>(core.take_actions());
    CHECK(read_batch(appends.at(0).batch).value().control_facts.voters.has_value() == moved);
  }
}

TEST_CASE("what is appended is committed when the disk has flushed it, not before") {
  RaftCore core(config_of(1));
  core.start(at(0), fresh_static(1));
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
  core.start(at(0), fresh_static(1));
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
  core.start(at(0), fresh_static(1));
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
  core.start(at(0), fresh_static(1));
  const std::vector<Slice> one{Slice::copy("x")};
  CHECK(core.append(at(0), core.epoch() - 1, one).error() ==
        make_error_code(protocol::ErrorCode::not_leader_or_follower));
}

TEST_CASE("a node becomes a voter once it has been where the leader's log ended, and has fetched within the hour") {
  RaftCore core(config_of(1));
  LocalState local;
  local.voters = {{-1, 1, VoterSet({Voter{{1, kDirectory}, {{"CONTROLLER", "localhost", 9093}}}}), true}};
  core.start(at(0), local);
  disk_takes(core, core.take_actions());
  REQUIRE(core.high_watermark() == 3);
  const Voter second{{2, kDirectory}, {{"CONTROLLER", "other", 9093}}};
  const auto refusal = [&](std::int64_t ms) {
    const Result<std::int64_t> added = core.add_voter(at(ms), second);
    REQUIRE(!added.has_value());
    return protocol::code_of(added.error());
  };
  // Whether it follows is looked at last: it is asked first what it supports.
  CHECK(core.may_add_voter(second.key).has_value());
  CHECK(refusal(1) == protocol::ErrorCode::request_timed_out);
  FetchAsk ask;
  ask.replica = second.key;
  ask.epoch = core.epoch();
  REQUIRE(core.on_fetch(at(2), ask).valid());
  CHECK(refusal(3) == protocol::ErrorCode::request_timed_out);  // it has begun, and nothing yet
  // The leader has gone on meanwhile; what counts is where its log ended at the fetch before.
  const std::vector<Slice> one{Slice::copy("x")};
  REQUIRE(core.append(at(4), core.epoch(), one).has_value());
  disk_takes(core, core.take_actions());
  ask.offset = 3;
  ask.last_epoch = core.epoch();
  REQUIRE(core.on_fetch(at(5), ask).valid());
  CHECK(refusal(3'600'006) == protocol::ErrorCode::request_timed_out);
  CHECK(core.add_voter(at(6), second).value() == 4);
  CHECK(protocol::code_of(core.may_add_voter(second.key).error()) == protocol::ErrorCode::request_timed_out);
}

TEST_CASE("a node that resigned stands again after an election timeout, in a new epoch") {
  RaftCore core(config_of(1));
  core.start(at(0), fresh_static(1));
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

TEST_CASE("one that led and is no voter any more looks for its successor after a restart, in the same epoch") {
  RaftConfig config = config_of(1);
  config.bootstrap = {{"CONTROLLER", "other", 9093}};
  RaftCore core(config);
  LocalState local = fresh_static(2);
  local.voters = {{0, 1, VoterSet({Voter{{2, {}}, {{"CONTROLLER", "other", 9093}}}}), false}};
  local.quorum_state = QuorumState{};
  local.quorum_state->leader_epoch = 4;
  local.quorum_state->leader_id = 1;
  core.start(at(0), std::move(local));
  CHECK(all_of<SendFetch>(core.take_actions()).empty());
  core.tick({core.next_deadline(), 0});
  const std::vector<SendFetch> asked = all_of<SendFetch>(core.take_actions());
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].to.address.host == "other");
  CHECK(core.epoch() == 4);
}

TEST_CASE("a node that is no voter asks to join after a restart with a leader it knows, too") {
  RaftConfig config = config_of(1);
  config.may_vote = config.auto_join = true;
  RaftCore core(config);
  LocalState local = fresh_static(2);
  local.voters = {{0, 1, VoterSet({Voter{{2, {}}, {{"CONTROLLER", "other", 9093}}}}), false}};
  local.quorum_state = QuorumState{};
  local.quorum_state->leader_epoch = 4;
  local.quorum_state->leader_id = 2;
  core.start(at(0), std::move(local));
  bool asked = false;
  for (std::int64_t ms = 0; ms < 20'000 && !asked; ms += 100) {
    core.tick(at(ms));
    for (const Action& action : core.take_actions()) {
      if (const auto* fetch = std::get_if<SendFetch>(&action)) {
        FetchAnswer nothing;
        nothing.error = protocol::ErrorCode::request_timed_out;
        nothing.leader = {2, 4};
        core.on_fetch_answer(at(ms), *fetch, nothing);
      }
      asked = asked || std::holds_alternative<SendAddVoter>(action);
    }
  }
  CHECK(asked);
}

}  // namespace
}  // namespace klamm::raft
