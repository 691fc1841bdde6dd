#include "broker/raft/raft_node.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "io/sim/simulation.h"

namespace klamm::raft {
namespace {

using io::sim::CrashOptions;
using io::sim::Node;
using io::sim::Simulation;

// Keeps what it is told.
class Recorder final : public RaftListener {
 public:
  io::Task<Result<void>> committed(std::vector<Batch> batches) override {
    for (const Batch& batch : batches) {
      CHECK(batch.base_offset == next_offset);
      next_offset = batch.last_offset + 1;
      for (const Slice& value : batch.values) values.emplace_back(value.text());
    }
    co_return Result<void>();
  }
  io::Task<Result<void>> load_snapshot(SnapshotReader snapshot) override {
    values.clear();
    while (true) {
      Result<std::optional<Batch>> batch = snapshot.next();
      KLAMM_CO_TRY(batch);
      if (!*batch) break;
      for (const Slice& value : (*batch)->values) values.emplace_back(value.text());
    }
    next_offset = snapshot.id().end_offset;
    ++snapshots;
    co_return Result<void>();
  }
  void leader_changed(LeaderAndEpoch told) override {
    leader = told;
    next_offset_when_told = next_offset;
  }

  std::vector<std::string> values;
  std::int64_t next_offset = 0;
  std::int64_t next_offset_when_told = -1;
  LeaderAndEpoch leader{-1, -1};
  int snapshots = 0;
};

RaftOptions options_of(std::int32_t node_id) {
  RaftOptions options;
  options.node_id = node_id;
  options.endpoints = {{"CONTROLLER", "localhost", 9093}};
  options.static_voters = VoterSet({Voter{{node_id, {}}, options.endpoints}});
  options.log.log_dir = "/data";
  options.log.file_delete_delay_ms = 0;
  return options;
}

std::vector<Slice> values_of(std::initializer_list<const char*> texts) {
  std::vector<Slice> values;
  for (const char* text : texts) values.push_back(Slice::copy(text));
  return values;
}

// One node with its raft part; destroyed and made again for a restart.
struct Peer {
  explicit Peer(Node& node, RaftOptions options = options_of(1))
      : shard(node.shard()), raft(shard, std::move(options)) {
    raft.add_listener(recorder);
  }
  io::Shard& shard;
  Recorder recorder;
  RaftNode raft;
};

TEST_CASE("a fresh node leads, commits, and replays the same after a restart") {
  Simulation simulation(1);
  Node& node = simulation.add_node("n1");
  std::int32_t first_epoch = 0;
  {
    Peer peer(node);
    REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
    REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
    CHECK(peer.recorder.next_offset_when_told == 1);  // its LeaderChange was replayed before
    first_epoch = peer.recorder.leader.epoch;
    Result<std::int64_t> last = simulation.run(peer.shard, peer.raft.append(first_epoch, values_of({"a", "b"})));
    REQUIRE(last.has_value());
    CHECK(*last == 2);
    REQUIRE(simulation.run_until([&] { return peer.recorder.values.size() == 2; }));
    simulation.run(peer.shard, peer.raft.stop());
  }
  Peer peer(node);
  REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
  REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
  CHECK(peer.recorder.leader.epoch == first_epoch + 1);
  CHECK(peer.recorder.values == std::vector<std::string>{"a", "b"});
  simulation.run(peer.shard, peer.raft.stop());
}

TEST_CASE("what was committed survives a crash that loses all that was not synced") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Simulation simulation(seed);
    Node& node = simulation.add_node("n1");
    std::vector<std::string> acknowledged;
    for (int life = 0; life < 4; ++life) {
      auto peer = std::make_unique<Peer>(node);
      REQUIRE(simulation.run(peer->shard, peer->raft.start()).has_value());
      REQUIRE(simulation.run_until([&] { return peer->recorder.leader.leader_id == 1; }));
      REQUIRE(peer->recorder.values.size() >= acknowledged.size());
      for (std::size_t index = 0; index < acknowledged.size(); ++index)
        CHECK(peer->recorder.values[index] == acknowledged[index]);
      // What the crash spared of the unacknowledged is committed now.
      acknowledged = peer->recorder.values;
      const std::int32_t epoch = peer->recorder.leader.epoch;
      for (int index = 0; index < 10; ++index) {
        const std::string text = std::to_string(life) + "/" + std::to_string(index);
        Result<std::int64_t> done = simulation.run(peer->shard, peer->raft.append(epoch, values_of({text.c_str()})));
        REQUIRE(done.has_value());
        acknowledged.push_back(text);
      }
      // Some more that nobody waits for.
      for (int index = 0; index < 3; ++index) {
        const std::vector<Slice> values = values_of({"unacknowledged"});
        REQUIRE(peer->raft.enqueue(epoch, values).has_value());
      }
      simulation.run_for(std::chrono::microseconds(simulation.random().between(0, 300)));
      node.crash(CrashOptions{});
      simulation.run(peer->shard, peer->raft.stop());
      peer.reset();
      node.restart();
    }
  }
}

TEST_CASE("a node formatted for a dynamic quorum finds its voters in the bootstrap snapshot, then in the log") {
  Simulation simulation(3);
  Node& node = simulation.add_node("n1");
  const Uuid directory{1, 2};
  RaftOptions options = options_of(1);
  options.static_voters = {};
  options.directory_id = directory;
  const VoterSet voters({Voter{{1, directory}, options.endpoints}});
  SnapshotBuilder::Options snapshot;
  snapshot.voters = &voters;
  SnapshotBuilder builder(snapshot);
  builder.finish();
  io::Shard& shard = node.shard();
  const std::string log = "/data/__cluster_metadata-0";
  REQUIRE(simulation.run(shard, shard.files().make_directories(log)).has_value());
  REQUIRE(simulation.run(shard, write_snapshot_file(shard, log, kBootstrapSnapshotId, builder.take())).has_value());
  for (const std::int64_t expected_first : {3, 4}) {  // LeaderChange, KRaftVersion, Voters; then LeaderChange alone
    Peer peer(node, options);
    REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
    REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
    CHECK(peer.raft.describe().kraft_version == 1);
    CHECK(peer.raft.log_end_offset() == expected_first);
    simulation.run(peer.shard, peer.raft.stop());
  }
  const Slice state = simulation.run(shard, io::read_file(shard.files(), log + "/quorum-state")).value();
  CHECK(state.text() ==
        R"({"leaderId":1,"leaderEpoch":2,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1})");
}

TEST_CASE("a node without any voters says what to do") {
  Simulation simulation(4);
  Node& node = simulation.add_node("n1");
  RaftOptions options = options_of(1);
  options.static_voters = {};
  Peer peer(node, options);
  Result<void> started = simulation.run(peer.shard, peer.raft.start());
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().context().find("--standalone") != std::string::npos);
  simulation.run(peer.shard, peer.raft.stop());
}

TEST_CASE("a snapshot stands for the log below it after a restart") {
  Simulation simulation(5);
  Node& node = simulation.add_node("n1");
  SnapshotId id;
  {
    Peer peer(node);
    REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
    REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
    const std::int32_t epoch = peer.recorder.leader.epoch;
    const std::int64_t last = simulation.run(peer.shard, peer.raft.append(epoch, values_of({"old"}))).value();
    id = {last + 1, epoch};
    REQUIRE(simulation.run(peer.shard, peer.raft.create_snapshot(id, 12345, values_of({"state"}))).has_value());
    REQUIRE(simulation.run(peer.shard, peer.raft.append(epoch, values_of({"new"}))).has_value());
    simulation.run(peer.shard, peer.raft.stop());
  }
  Peer peer(node);
  REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
  REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
  CHECK(peer.raft.latest_snapshot() == id);
  CHECK(peer.recorder.snapshots == 1);
  CHECK(peer.recorder.values == std::vector<std::string>{"state", "new"});
  simulation.run(peer.shard, peer.raft.stop());
}

TEST_CASE("leftovers of an unfinished snapshot are removed at start, and a damaged snapshot is refused") {
  Simulation simulation(6);
  Node& node = simulation.add_node("n1");
  io::Shard& shard = node.shard();
  const std::string log = "/data/__cluster_metadata-0";
  REQUIRE(simulation.run(shard, shard.files().make_directories(log)).has_value());
  const std::string leftover = log + "/00000000000000000005-0000000001-77.checkpoint.part";
  REQUIRE(simulation.run(shard, io::write_file_atomically(shard.files(), leftover, Slice::copy("x"))).has_value());
  {
    Peer peer(node);
    REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
    CHECK(simulation.run(shard, shard.files().stat(leftover)).error() == Errc::not_found);
    simulation.run(peer.shard, peer.raft.stop());
  }
  const std::string bad = log + "/00000000000000000001-0000000001.checkpoint";
  REQUIRE(
      simulation.run(shard, io::write_file_atomically(shard.files(), bad, Slice::copy("not a snapshot"))).has_value());
  Peer peer(node);
  CHECK(simulation.run(peer.shard, peer.raft.start()).error() == Errc::corrupt);
  simulation.run(peer.shard, peer.raft.stop());
}

TEST_CASE("a full disk lets changes wait for room, and ends nothing") {
  Simulation simulation(1);
  Node& node = simulation.add_node("n1");
  RaftOptions options = options_of(1);
  bool fatal = false;
  options.on_fatal = [&](const Error&) { fatal = true; };
  Peer peer(node, options);
  REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
  REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
  const std::int32_t epoch = peer.recorder.leader.epoch;
  REQUIRE(simulation.run(peer.shard, peer.raft.append(epoch, values_of({"a"}))).has_value());
  node.disk().inject(
      {.operation = io::sim::DiskOperation::write, .path = "__cluster_metadata", .error_number = ENOSPC});
  const Result<std::int64_t> late =
      simulation.run(peer.shard, peer.raft.append(epoch, values_of({"b"}), peer.shard.now() + 5s));
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error() == Errc::timed_out);
  CHECK_FALSE(fatal);
  CHECK(peer.recorder.values == std::vector<std::string>{"a"});
  node.disk().clear_faults();
  REQUIRE(simulation.run(peer.shard, peer.raft.append(epoch, values_of({"c"}))).has_value());
  REQUIRE(simulation.run_until([&] { return peer.recorder.values.size() == 3; }));
  CHECK(peer.recorder.values == std::vector<std::string>{"a", "b", "c"});
  node.disk().inject(
      {.operation = io::sim::DiskOperation::write, .path = "__cluster_metadata", .error_number = ENOSPC});
  simulation.run(peer.shard, peer.raft.stop());
  CHECK_FALSE(fatal);
}

TEST_CASE("waiting calls end when the node stops") {
  Simulation simulation(7);
  Node& node = simulation.add_node("n1");
  Peer peer(node);
  REQUIRE(simulation.run(peer.shard, peer.raft.start()).has_value());
  REQUIRE(simulation.run_until([&] { return peer.recorder.leader.leader_id == 1; }));
  std::optional<Result<void>> outcome;
  const std::int32_t epoch = peer.recorder.leader.epoch;
  const auto wait = [&]() -> io::Task<void> {
    Result<void> done = co_await peer.raft.wait_committed(epoch, 1000, Instant::never());
    outcome = std::move(done);
  };
  const auto both = [&]() -> io::Task<void> {
    io::Gate gate(peer.shard);
    gate.spawn(wait());
    co_await peer.raft.stop();
    co_await gate.close();
  };
  simulation.run(peer.shard, both());
  REQUIRE(outcome.has_value());
  CHECK(outcome->error() == Errc::shutting_down);
}

}  // namespace
}  // namespace klamm::raft
