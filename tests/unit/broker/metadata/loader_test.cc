#include "broker/metadata/loader.h"

#include <doctest/doctest.h>

#include "broker/metadata/image_writer.h"
#include "io/sim/simulation.h"

namespace klamm::metadata {
namespace {

using io::sim::Node;
using io::sim::Simulation;

raft::RaftOptions raft_options() {
  raft::RaftOptions options;
  options.node_id = 1;
  options.static_voters = raft::VoterSet({raft::Voter{{1, {}}, {}}});
  options.log.log_dir = "/data";
  options.log.file_delete_delay_ms = 0;
  return options;
}

Record topic(std::string name, Uuid id) {
  messages::TopicRecord message;
  message.name = std::move(name);
  message.topic_id = id;
  return {std::move(message), 0};
}

struct Stack {
  explicit Stack(Node& node, LoaderOptions options = {})
      : shard(node.shard(0)),
        publisher(node.shards(), shard),
        raft(shard, raft_options()),
        loader(shard, raft, &publisher, options) {}

  void start(Simulation& simulation) {
    REQUIRE(simulation.run(shard, raft.start()).has_value());
    REQUIRE(simulation.run_until([&] { return loader.leader().leader_id == 1; }));
  }
  void write(Simulation& simulation, const Records& records) {
    Result<std::int64_t> last = simulation.run(shard, raft.append(loader.leader().epoch, encode_records(records)));
    REQUIRE(last.has_value());
    REQUIRE(simulation.run(shard, publisher.wait_for(shard, *last, Instant::never())));
  }
  void write_open(Simulation& simulation, const Records& records) {
    REQUIRE(simulation.run(shard, raft.append(loader.leader().epoch, encode_records(records))).has_value());
  }
  void stop(Simulation& simulation) {
    simulation.run(shard, raft.stop());
    simulation.run(shard, loader.close());
    simulation.run(shard, publisher.clear());
  }

  io::Shard& shard;
  Publisher publisher;
  raft::RaftNode raft;
  Loader loader;
};

TEST_CASE("committed records reach every shard, subscribers before the shard's image") {
  Simulation simulation(11);
  Node& node = simulation.add_node("n1", {.shards = 3});
  Stack stack(node);
  struct Seen {
    std::vector<std::int64_t> offsets;
    bool image_was_behind = true;
  };
  std::vector<Seen> seen(3);
  for (std::size_t index = 0; index < 3; ++index) {
    const auto note = [&seen, &stack, index](const Publication& publication) -> io::Task<void> {
      seen[index].offsets.push_back(publication.image->provenance.last_offset);
      const bool behind =
          stack.publisher.image(index)->provenance.last_offset < publication.image->provenance.last_offset;
      seen[index].image_was_behind = seen[index].image_was_behind && behind;
      co_return;
    };
    simulation.run(stack.shard, stack.publisher.subscribe(index, "test", note));
  }
  stack.start(simulation);
  stack.write(simulation, {feature_record(kMetadataVersionFeature, 30), topic("a", Uuid{3, 1})});
  for (std::size_t index = 0; index < 3; ++index) {
    CAPTURE(index);
    REQUIRE(simulation.run_until([&] { return stack.publisher.image(index)->topics.find("a") != nullptr; }));
    CHECK(seen[index].image_was_behind);
    CHECK(std::is_sorted(seen[index].offsets.begin(), seen[index].offsets.end()));
  }
  stack.stop(simulation);
}

TEST_CASE("a late subscriber gets all that is there as one publication") {
  Simulation simulation(12);
  Node& node = simulation.add_node("n1", {.shards = 2});
  Stack stack(node);
  stack.start(simulation);
  stack.write(simulation, {feature_record(kMetadataVersionFeature, 30), topic("a", Uuid{3, 1})});
  int calls = 0;
  bool created = false;
  const auto note = [&](const Publication& publication) -> io::Task<void> {
    ++calls;
    created = publication.delta->changed_topics().at(Uuid{3, 1}).created();
    co_return;
  };
  simulation.run(stack.shard, stack.publisher.subscribe(1, "late", note));
  CHECK(calls == 1);
  CHECK(created);
  stack.stop(simulation);
}

TEST_CASE("a transaction counts when it ends, and not at all when it is aborted") {
  Simulation simulation(13);
  Node& node = simulation.add_node("n1");
  Stack stack(node);
  stack.start(simulation);
  stack.write(simulation, {feature_record(kMetadataVersionFeature, 30)});
  stack.write_open(simulation, {Record{messages::BeginTransactionRecord(), 0}, topic("a", Uuid{3, 1})});
  REQUIRE(simulation.run_until([&] { return stack.loader.in_transaction(); }));
  CHECK(stack.loader.image()->topics.size() == 0);
  const std::int64_t before = stack.loader.image()->provenance.last_offset;
  stack.write(simulation, {topic("b", Uuid{3, 2}), Record{messages::EndTransactionRecord(), 0}});
  CHECK(stack.loader.image()->topics.size() == 2);
  CHECK(stack.loader.image()->provenance.last_offset == before + 4);
  stack.write(simulation, {Record{messages::BeginTransactionRecord(), 0}, topic("c", Uuid{3, 3}),
                           Record{messages::AbortTransactionRecord(), 0}});
  CHECK(stack.loader.image()->topics.size() == 2);
  stack.stop(simulation);
}

TEST_CASE("a node that starts publishes once it has caught up, and has the same image as before") {
  Simulation simulation(14);
  Node& node = simulation.add_node("n1");
  ImageRef before;
  {
    Stack stack(node);
    stack.start(simulation);
    stack.write(simulation, {feature_record(kMetadataVersionFeature, 30)});
    for (std::uint64_t index = 0; index < 50; ++index)
      stack.write(simulation, {topic("t" + std::to_string(index), Uuid{4, index})});
    before = stack.loader.image();
    stack.stop(simulation);
  }
  Stack stack(node);
  int publications = 0;
  const auto count = [&](const Publication&) -> io::Task<void> {
    ++publications;
    co_return;
  };
  simulation.run(stack.shard, stack.publisher.subscribe(0, "count", count));
  stack.start(simulation);
  CHECK(simulation.run(stack.shard, stack.loader.wait_published(Instant::never())));
  CHECK(same_content(*before, *stack.loader.image()));
  CHECK(publications == 1);
  stack.stop(simulation);
}

TEST_CASE("snapshots are written by size, old ones go, and a restart begins with the newest") {
  Simulation simulation(15);
  Node& node = simulation.add_node("n1");
  ImageRef before;
  {
    Stack stack(node, {.snapshot_max_new_bytes = 2000, .snapshot_max_interval_ms = 0});
    stack.start(simulation);
    stack.write(simulation, {feature_record(kMetadataVersionFeature, 30)});
    for (std::uint64_t index = 0; index < 60; ++index)
      stack.write(simulation, {topic("t" + std::to_string(index), Uuid{4, index})});
    REQUIRE(simulation.run_until([&] { return stack.raft.latest_snapshot().has_value(); }));
    CHECK(stack.raft.latest_snapshot()->end_offset > 10);
    before = stack.loader.image();
    stack.stop(simulation);
  }
  Stack stack(node);
  stack.start(simulation);
  REQUIRE(simulation.run(stack.shard, stack.loader.wait_published(Instant::never())));
  CHECK(same_content(*before, *stack.loader.image()));
  CHECK(stack.loader.last_loaded_offset() > before->provenance.last_offset);
  stack.stop(simulation);
}

TEST_CASE("a record that this build does not know ends the node with a clear error") {
  Simulation simulation(16);
  Node& node = simulation.add_node("n1");
  Stack stack(node);
  stack.start(simulation);
  std::vector<Slice> values;
  values.push_back(Slice::copy(std::string("\x01\x63\x00\x00", 4)));
  Result<std::int64_t> done =
      simulation.run(stack.shard, stack.raft.append(stack.loader.leader().epoch, std::move(values)));
  REQUIRE(simulation.run_until([&] { return stack.raft.failure().has_value(); }));
  CHECK(stack.raft.failure()->context().find("record type 99") != std::string::npos);
  stack.stop(simulation);
}

}  // namespace
}  // namespace klamm::metadata
