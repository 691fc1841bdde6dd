// Who gets a vote, row by row, and what a replica is told that pulls.
#include <doctest/doctest.h>

#include "broker/raft/raft_core.h"
#include "broker/raft/raft_wire.h"

namespace klamm::raft {
namespace {

constexpr std::int32_t kSelf = 1;
constexpr Uuid kDirectory{7, 1};

Now at(std::int64_t ms) { return {Instant{std::chrono::milliseconds(ms)}, 1'000'000 + ms}; }

Endpoint address_of(std::int32_t id) { return {"CONTROLLER", "node", static_cast<std::uint16_t>(9000 + id)}; }

RaftConfig config() {
  RaftConfig config;
  config.self = {kSelf, kDirectory};
  config.endpoints = {address_of(kSelf)};
  config.listener = "CONTROLLER";
  return config;
}

// Three voters of a static quorum; the log has ten records of epoch 3.
LocalState three_voters() {
  LocalState local;
  std::vector<Voter> voters;
  voters.reserve(3);
  for (const std::int32_t id : {1, 2, 3}) voters.push_back({{id, {}}, {address_of(id)}});
  local.voters = {{-1, 0, VoterSet(std::move(voters)), false}};
  local.log.append(3, 0, 9);
  local.quorum_state = QuorumState{};
  local.quorum_state->leader_epoch = 5;
  return local;
}

VoteAsk vote_of(std::int32_t candidate, std::int32_t epoch, bool pre_vote = false) {
  VoteAsk ask;
  ask.epoch = epoch;
  ask.candidate = {candidate, Uuid{7, static_cast<std::uint64_t>(candidate)}};
  ask.voter = {kSelf, {}};
  ask.last_epoch = 3;
  ask.end_offset = 10;
  ask.pre_vote = pre_vote;
  return ask;
}

template <typename T>
std::vector<T> all_of(std::vector<Action> actions) {
  std::vector<T> found;
  for (Action& action : actions) {
    if (T* one = std::get_if<T>(&action)) found.push_back(std::move(*one));
  }
  return found;
}

struct Voting {
  RaftCore core{config()};
  explicit Voting(LocalState local = three_voters()) {
    core.start(at(0), std::move(local));
    core.take_actions();
  }
  bool grants(const VoteAsk& ask) { return core.on_vote(at(1), ask).granted; }
  void follow(std::int32_t leader, bool fetched) {
    core.on_begin_epoch(at(1), {{kSelf, {}}, {leader, 5}, {address_of(leader)}});
    core.tick(at(1));
    const auto fetches = all_of<SendFetch>(core.take_actions());
    REQUIRE(fetches.size() == 1);
    if (!fetched) return;
    FetchAnswer answer;
    answer.leader = {leader, 5};
    core.on_fetch_answer(at(2), fetches[0], answer);
    core.tick(at(2));
  }
  void stand() {
    core.tick({core.next_deadline(), 0});
    for (Instant deadline = core.next_deadline(); core.role() == Role::unattached; deadline = core.next_deadline()) {
      core.tick({deadline, 0});
      for (const SendFetch& fetch : all_of<SendFetch>(core.take_actions())) {
        FetchAnswer nothing;
        nothing.error = ErrorCode::network_exception;
        core.on_fetch_answer({deadline, 0}, fetch, nothing);
      }
    }
    REQUIRE(core.role() == Role::prospective);
  }
  void win(bool pre_vote) {
    SendVote sent{{2, address_of(2)}, vote_of(kSelf, core.epoch(), pre_vote)};
    VoteAnswer yes;
    yes.leader = {-1, core.epoch()};
    yes.granted = true;
    core.on_vote_answer(at(3), sent, yes);
  }
};

TEST_CASE("an unattached voter votes once an epoch, and writes it down") {
  Voting voting;
  CHECK(voting.grants(vote_of(2, 5, true)));
  CHECK(voting.core.take_actions().empty());
  CHECK(voting.grants(vote_of(2, 5)));
  const auto persisted = all_of<PersistQuorumState>(voting.core.take_actions());
  REQUIRE(persisted.size() == 1);
  CHECK(persisted[0].state.voted->id == 2);
  CHECK(voting.grants(vote_of(2, 5)));
  CHECK_FALSE(voting.grants(vote_of(3, 5)));
  CHECK(voting.grants(vote_of(3, 5, true)));
  CHECK(voting.grants(vote_of(3, 6)));
  CHECK(voting.core.epoch() == 6);
}

TEST_CASE("a vote needs a log that is up to date, by epoch and then by length") {
  for (const bool pre_vote : {false, true}) {
    VoteAsk shorter = vote_of(2, 5, pre_vote);
    shorter.end_offset = 9;
    CHECK_FALSE(Voting().grants(shorter));
    VoteAsk older = vote_of(2, 5, pre_vote);
    older.last_epoch = 2;
    older.end_offset = 100;
    CHECK_FALSE(Voting().grants(older));
    VoteAsk newer = vote_of(2, 5, pre_vote);
    newer.last_epoch = 4;
    newer.end_offset = 1;
    CHECK(Voting().grants(newer));
  }
}

TEST_CASE("a follower refuses votes, and pre-votes too once it has fetched from its leader") {
  Voting waiting;
  waiting.follow(2, false);
  CHECK_FALSE(waiting.grants(vote_of(3, 5)));
  CHECK(waiting.grants(vote_of(3, 5, true)));
  Voting fetching;
  fetching.follow(2, true);
  CHECK_FALSE(fetching.grants(vote_of(3, 5)));
  CHECK_FALSE(fetching.grants(vote_of(3, 5, true)));
  CHECK(fetching.grants(vote_of(3, 6)));
}

TEST_CASE("a prospective voter votes, a candidate only says that it would, a leader does neither") {
  Voting voting;
  voting.stand();
  CHECK(voting.grants(vote_of(2, 5, true)));
  voting.win(true);
  REQUIRE(voting.core.role() == Role::candidate);
  CHECK(voting.core.epoch() == 6);
  CHECK(voting.grants(vote_of(2, 6, true)));
  CHECK_FALSE(voting.grants(vote_of(2, 6)));
  voting.win(false);
  REQUIRE(voting.core.is_leader());
  CHECK_FALSE(voting.grants(vote_of(2, 6, true)));
  CHECK_FALSE(voting.grants(vote_of(2, 6)));
  voting.core.resign(at(4), 6);
  CHECK(voting.core.role() == Role::resigned);
  CHECK_FALSE(voting.grants(vote_of(2, 6)));

  Voting prospective;
  prospective.stand();
  CHECK(prospective.grants(vote_of(2, 5)));
  CHECK(prospective.core.role() == Role::unattached);
}

TEST_CASE("a leader that comes back does not vote in the epoch that it led") {
  LocalState local = three_voters();
  local.quorum_state->leader_id = kSelf;
  Voting voting(local);
  CHECK(voting.core.role() == Role::resigned);
  CHECK_FALSE(voting.grants(vote_of(2, 5)));
  CHECK(voting.grants(vote_of(2, 6)));
}

TEST_CASE("a vote request that cannot be is refused with its code") {
  Voting voting;
  CHECK(voting.core.on_vote(at(1), vote_of(2, 4)).error == ErrorCode::fenced_leader_epoch);
  VoteAsk ask = vote_of(2, 5);
  ask.end_offset = -1;
  CHECK(voting.core.on_vote(at(1), ask).error == ErrorCode::invalid_request);
  ask = vote_of(2, 5);
  ask.last_epoch = 5;
  CHECK(voting.core.on_vote(at(1), ask).error == ErrorCode::invalid_request);
  ask.pre_vote = true;
  CHECK(voting.core.on_vote(at(1), ask).error == ErrorCode::none);
  ask = vote_of(2, 5);
  ask.voter.id = 3;
  CHECK(voting.core.on_vote(at(1), ask).error == ErrorCode::invalid_voter_key);
  ask = vote_of(2, 5);
  ask.voter.directory_id = Uuid{9, 9};
  CHECK(voting.core.on_vote(at(1), ask).error == ErrorCode::invalid_voter_key);
}

TEST_CASE("a fresh voter of a static quorum votes for empty logs only") {
  LocalState local = three_voters();
  local.log = {};
  local.quorum_state.reset();
  local.fresh = true;
  Voting voting(local);
  CHECK_FALSE(voting.grants(vote_of(2, 5, true)));
  CHECK_FALSE(voting.grants(vote_of(2, 5)));
  VoteAsk empty = vote_of(2, 5);
  empty.last_epoch = 0;
  empty.end_offset = 0;
  CHECK(voting.grants(empty));
}

TEST_CASE("the leader's EndQuorumEpoch lets its followers stand one after the other") {
  const auto wait_of = [](std::vector<ReplicaKey> candidates) {
    Voting voting;
    voting.follow(2, true);
    voting.core.take_actions();
    voting.core.on_end_epoch(at(10), {{2, 5}, std::move(candidates), {}});
    return voting.core.next_deadline() - at(10).instant;
  };
  CHECK(wait_of({{kSelf, {}}, {3, {}}}) == Duration(0));
  CHECK(wait_of({{3, {}}, {kSelf, {}}}) == 500ms);
  CHECK(wait_of({{3, {}}, {4, {}}, {kSelf, {}}}) == 500ms);
  CHECK(wait_of({{3, {}}}) == 1000ms);
}

// ---- What a replica is told.

// Log from 20 to 60: epoch 2 from 20, epoch 4 from 40; snapshots up to 20 (epoch 1) and 50 (epoch 4).
LogShape long_log() {
  LogShape log;
  log.restart_at({20, 1});
  log.append(2, 20, 39);
  log.append(4, 40, 59);
  log.snapshots.insert({50, 4});
  return log;
}

TEST_CASE("where a replica's log agrees with the leader's, where not, and when it needs the snapshot") {
  const LogShape log = long_log();
  const auto agrees = [&](std::int64_t offset, std::int32_t epoch) {
    return std::holds_alternative<LogShape::Agrees>(log.check(offset, epoch));
  };
  const auto diverging = [&](std::int64_t offset, std::int32_t epoch) {
    return std::get<OffsetAndEpoch>(log.check(offset, epoch));
  };
  const auto snapshot = [&](std::int64_t offset, std::int32_t epoch) {
    return std::get<SnapshotId>(log.check(offset, epoch));
  };
  CHECK(agrees(60, 4));
  CHECK(agrees(40, 2));
  CHECK(agrees(30, 2));
  CHECK(agrees(20, 1));
  CHECK(snapshot(20, 2) == SnapshotId{50, 4});
  CHECK(snapshot(19, 1) == SnapshotId{50, 4});
  CHECK(snapshot(30, 0) == SnapshotId{50, 4});
  CHECK(diverging(61, 4) == OffsetAndEpoch{60, 4});
  CHECK(diverging(45, 2) == OffsetAndEpoch{40, 2});
  CHECK(diverging(50, 3) == OffsetAndEpoch{40, 2});
  CHECK(diverging(50, 9) == OffsetAndEpoch{60, 4});
  CHECK(diverging(30, 1) == OffsetAndEpoch{20, 1});
}

TEST_CASE("a log with the bootstrap snapshot answers for epoch 0 as the oldest snapshot does") {
  LogShape log;
  log.snapshots = {kBootstrapSnapshotId};
  log.append(1, 0, 99);
  CHECK(std::holds_alternative<LogShape::Agrees>(log.check(0, 0)));
  CHECK(std::get<OffsetAndEpoch>(log.check(50, 0)) == OffsetAndEpoch{0, 0});
}

TEST_CASE("a follower is cut at the earlier of both ends of the epoch that both have") {
  const LogShape log = long_log();
  CHECK(log.truncation_point({55, 4}) == 55);
  CHECK(log.truncation_point({70, 4}) == 60);
  CHECK(log.truncation_point({50, 3}) == 40);
  CHECK(log.truncation_point({30, 2}) == 30);
}

TEST_CASE("who leads answers fetches, and says how epochs stand to those of others") {
  LocalState local = three_voters();
  Voting voting(local);
  FetchAsk ask;
  ask.replica = {2, {}};
  ask.offset = 10;
  ask.last_epoch = 3;
  ask.epoch = 5;
  CHECK(voting.core.on_fetch(at(1), ask).error == ErrorCode::not_leader_or_follower);
  voting.stand();
  voting.win(true);
  voting.win(false);
  REQUIRE(voting.core.is_leader());
  FetchAnswer fenced = voting.core.on_fetch(at(5), ask);
  CHECK(fenced.error == ErrorCode::fenced_leader_epoch);
  CHECK(fenced.leader == LeaderAndEpoch{kSelf, 6});
  CHECK(fenced.leader_address == address_of(kSelf));
  ask.epoch = 7;
  CHECK(voting.core.on_fetch(at(5), ask).error == ErrorCode::unknown_leader_epoch);
  ask.epoch = 6;
  CHECK(voting.core.on_fetch(at(5), ask).valid());
  for (auto spoil : std::vector<void (*)(FetchAsk&)>{
           [](FetchAsk& bad) { bad.offset = -1; }, [](FetchAsk& bad) { bad.last_epoch = -1; },
           [](FetchAsk& bad) { bad.max_wait_ms = -1; }, [](FetchAsk& bad) { bad.last_epoch = bad.epoch + 1; }}) {
    FetchAsk bad = ask;
    spoil(bad);
    CHECK(voting.core.on_fetch(at(5), bad).error == ErrorCode::invalid_request);
  }
}

TEST_CASE("a leader refuses who fetches with its own id, and gives its bootstrap snapshot to nobody") {
  LocalState local = three_voters();
  local.log.snapshots.insert(kBootstrapSnapshotId);
  Voting voting(local);
  voting.stand();
  voting.win(true);
  voting.win(false);
  REQUIRE(voting.core.is_leader());
  FetchAsk ask;
  ask.replica = {kSelf, {}};
  ask.epoch = voting.core.epoch();
  ask.offset = 10;
  ask.last_epoch = 3;
  CHECK(voting.core.on_fetch(at(5), ask).error == ErrorCode::unknown_server_error);
  FetchSnapshotAsk part;
  part.replica = {2, {}};
  part.epoch = voting.core.epoch();
  part.id = kBootstrapSnapshotId;
  CHECK(voting.core.on_fetch_snapshot(at(5), part).error == ErrorCode::snapshot_not_found);
}

TEST_CASE("a record of the leader's own epoch is committed when a majority has it; those before it only with it") {
  Voting voting;
  voting.stand();
  voting.win(true);
  voting.win(false);
  REQUIRE(voting.core.is_leader());
  voting.core.take_actions();
  voting.core.written(11);
  voting.core.flushed(11);
  FetchAsk ask;
  ask.replica = {2, {}};
  ask.epoch = 6;
  ask.offset = 10;
  ask.last_epoch = 3;
  voting.core.on_fetch(at(5), ask);
  CHECK(voting.core.high_watermark() == -1);
  ask.offset = 11;
  ask.last_epoch = 6;
  FetchAsk observer = ask;
  observer.replica.id = 9;
  voting.core.on_fetch(at(5), observer);
  CHECK(voting.core.high_watermark() == -1);
  CHECK(voting.core.observers().size() == 1);
  voting.core.on_fetch(at(6), ask);
  CHECK(voting.core.high_watermark() == 11);
}

TEST_CASE("messages say what the plain values say, there and back") {
  VoteAsk vote = vote_of(2, 5, true);
  const VoteAsk again = to_ask(to_message(vote, "cluster")).value();
  CHECK(again.candidate == vote.candidate);
  CHECK(again.voter == vote.voter);
  CHECK(again.end_offset == 10);
  CHECK(again.pre_vote);
  FetchAnswer fetch;
  fetch.leader = {2, 5};
  fetch.leader_address = address_of(2);
  fetch.diverging = OffsetAndEpoch{7, 3};
  fetch.high_watermark = 6;
  const FetchAnswer fetched = to_answer(to_message(fetch));
  CHECK(fetched.leader == fetch.leader);
  CHECK(fetched.leader_address->port == 9002);
  CHECK(fetched.diverging == fetch.diverging);
  CHECK_FALSE(fetched.snapshot.has_value());
  CHECK(fetched.high_watermark == 6);
  protocol::FetchSnapshotRequest nothing;
  CHECK_FALSE(to_ask(nothing).has_value());
  CHECK(check_cluster("a", "b") == ErrorCode::inconsistent_cluster_id);
  CHECK(check_cluster(std::nullopt, "b") == ErrorCode::none);
  protocol::FetchSnapshotResponse dropped;
  dropped.error_code = -1;
  CHECK(to_answer(dropped).error == ErrorCode::unknown_server_error);
}

}  // namespace
}  // namespace klamm::raft
