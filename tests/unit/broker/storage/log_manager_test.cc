#include "broker/storage/log_manager.h"

#include <algorithm>
#include <cerrno>

#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

// A node's storage over two shards and two directories, as the broker puts it together.
struct Storage {
  explicit Storage(io::sim::Node& node_, std::vector<std::string> paths = {"/d1", "/d2"}) : node(node_) {
    dirs_options.directories = std::move(paths);
    dirs_options.node_id = 1;
  }
  io::sim::Simulation& simulation() { return node.simulation(); }
  io::Shard& shard(std::size_t index = 0) { return node.shard(index); }
  template <typename T>
  T run(Task<T> task, std::size_t index = 0) {
    return simulation().run(shard(index), std::move(task));
  }

  void format() {
    for (const std::string& path : dirs_options.directories) {
      REQUIRE(run(shard().files().make_directories(path)).has_value());
      MetaProperties meta{"cluster", 1, Uuid::random(shard().random())};
      REQUIRE(run(save_meta_properties(shard().files(), path, meta, 0)).has_value());
    }
    REQUIRE(run(shard().files().sync_directory("/")).has_value());
  }
  Result<void> start() {
    Result<std::unique_ptr<LogDirs>> opened = run(LogDirs::open(shard(), dirs_options));
    KLAMM_TRY(opened);
    dirs = *std::move(opened);
    Result<std::vector<FoundLog>> found = run(dirs->list_logs());
    KLAMM_TRY(found);
    std::vector<LogManager*> pointers;
    for (std::size_t i = 0; i < 2; ++i) {
      LogManagerOptions options = manager_options;
      options.config_of = [](const std::string&) { return small_segments(); };
      options.on_log_lost = [this](const protocol::TopicPartition& partition) { lost.push_back(partition); };
      managers.push_back(std::make_unique<LogManager>(shard(i), *dirs, options));
      pointers.push_back(managers.back().get());
      std::vector<FoundLog> mine;
      for (const FoundLog& log : *found) {
        if (static_cast<std::size_t>(log.partition.partition.value()) % 2 == i) mine.push_back(log);
      }
      Result<void> loaded = run(managers[i]->load(std::move(mine)), i);
      KLAMM_TRY(loaded);
      simulation().run(shard(i), [&]() -> Task<int> {
        managers[i]->start();
        co_return 0;
      });
    }
    dirs->start(pointers);
    return {};
  }
  Result<void> stop(std::int64_t broker_epoch) {
    for (std::size_t i = 0; i < managers.size(); ++i) simulation().run(shard(i), managers[i]->close());
    Result<void> closed = run(dirs->close(broker_epoch));
    managers.clear();
    dirs.reset();
    return closed;
  }
  std::size_t owner(std::int32_t partition) { return static_cast<std::size_t>(partition) % 2; }
  std::shared_ptr<Log> create(std::int32_t partition) {
    const std::size_t index = owner(partition);
    auto log = run(managers[index]->create(name(partition), Uuid{7, 7}, small_segments()), index);
    REQUIRE_MESSAGE(log.has_value(), why_of(log));
    return *log;
  }
  Result<AppendInfo> append(std::int32_t partition, Slice records) {
    const std::size_t index = owner(partition);
    std::shared_ptr<Log> log = managers[index]->find(name(partition));
    REQUIRE(log != nullptr);
    Result<AppendInfo> info = run(log->append_as_leader(leader_append(std::move(records))), index);
    if (info) log->set_high_watermark(log->log_end_offset());
    return info;
  }
  std::int64_t end_of(std::int32_t partition) {
    std::shared_ptr<Log> log = managers[owner(partition)]->find(name(partition));
    return log == nullptr ? -1 : log->log_end_offset();
  }
  static protocol::TopicPartition name(std::int32_t partition) { return {"t", protocol::PartitionIndex(partition)}; }
  std::vector<std::string> list(const std::string& path) { return run(shard().files().list(path)).value(); }
  std::string text(const std::string& path) {
    return std::string(run(io::read_file(shard().files(), path)).value().text());
  }

  io::sim::Node& node;
  LogDirsOptions dirs_options;
  LogManagerOptions manager_options;
  std::unique_ptr<LogDirs> dirs;
  std::vector<std::unique_ptr<LogManager>> managers;
  std::vector<protocol::TopicPartition> lost;
};

bool contains(const std::vector<std::string>& names, const std::string& part) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("logs are spread over directories, and a clean stop leaves Kafka's files") {
  io::sim::Simulation simulation(1);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage first(node);
  first.format();
  REQUIRE(first.start().has_value());
  CHECK(first.dirs->previous_broker_epoch() == -1);
  for (std::int32_t i = 0; i < 6; ++i) {
    first.create(i);
    for (int j = 0; j <= i; ++j) REQUIRE(first.append(i, make_batch(1)).has_value());
  }
  CHECK(first.dirs->directories()[0].logs == 3);
  CHECK(first.dirs->directories()[1].logs == 3);
  CHECK(first.create(3) == first.managers[1]->find(Storage::name(3)));
  REQUIRE(first.stop(41).has_value());
  CHECK(first.text("/d1/.kafka_cleanshutdown") == R"({"version":0,"brokerEpoch":41})");
  for (const char* directory : {"/d1", "/d2"}) {
    const auto offsets =
        parse_offset_checkpoint(first.text(std::string(directory) + "/recovery-point-offset-checkpoint"));
    REQUIRE(offsets.has_value());
    CHECK(offsets->size() == 3);
    for (const auto& [partition, offset] : *offsets) CHECK(offset == partition.partition.value() + 1);
    CHECK(parse_offset_checkpoint(first.text(std::string(directory) + "/replication-offset-checkpoint")).value() ==
          *offsets);
    CHECK(first.text(std::string(directory) + "/log-start-offset-checkpoint") == "0\n0\n");
  }
  Storage second(node);
  REQUIRE(second.start().has_value());
  CHECK(second.dirs->previous_broker_epoch() == 41);
  CHECK(!contains(second.list("/d1"), ".kafka_cleanshutdown"));
  for (std::int32_t i = 0; i < 6; ++i) {
    CHECK(second.end_of(i) == i + 1);
    CHECK(second.managers[second.owner(i)]->find(Storage::name(i))->high_watermark() == i + 1);
  }
  REQUIRE(second.stop(42).has_value());
}

TEST_CASE("a log that finds no room leaves nothing behind, in whichever directory it was tried") {
  io::sim::Simulation simulation(1);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node);
  storage.format();
  REQUIRE(storage.start().has_value());
  node.disk().options().capacity_bytes = node.disk().image().used_bytes();
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto log = storage.run(storage.managers[0]->create(Storage::name(0), Uuid{7, 7}, small_segments()));
    REQUIRE_FALSE(log.has_value());
    for (const char* directory : {"/d1", "/d2"}) CHECK(!contains(storage.list(directory), "t-0"));
    for (const LogDirs::Directory& directory : storage.dirs->directories()) CHECK(directory.logs == 0);
  }
  node.disk().options().capacity_bytes = 1 << 30;
  storage.create(0);
  REQUIRE(storage.stop(1).has_value());
  REQUIRE(storage.start().has_value());
  CHECK(storage.end_of(0) == 0);
  REQUIRE(storage.stop(2).has_value());
}

TEST_CASE("deleted partitions go after the delay or at the next start, and their name is free at once") {
  io::sim::Simulation simulation(2);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node, {"/d1"});
  storage.format();
  REQUIRE(storage.start().has_value());
  for (std::int32_t i = 0; i < 3; ++i) {
    storage.create(i);
    REQUIRE(storage.append(i, make_batch(2)).has_value());
  }
  REQUIRE(storage.run(storage.managers[1]->remove(Storage::name(1)), 1).has_value());
  CHECK(storage.managers[1]->find(Storage::name(1)) == nullptr);
  CHECK(contains(storage.list("/d1"), "-delete"));
  storage.create(1);
  CHECK(storage.end_of(1) == 0);
  simulation.run_for(70s);
  CHECK(!contains(storage.list("/d1"), "-delete"));
  REQUIRE(storage.run(storage.managers[0]->remove(Storage::name(2)), 0).has_value());
  REQUIRE(storage.run(storage.managers[0]->set_aside(Storage::name(0)), 0).has_value());
  CHECK(contains(storage.list("/d1"), "-stray"));
  REQUIRE(storage.stop(1).has_value());
  CHECK(contains(storage.list("/d1"), "-delete"));
  Storage again(node, {"/d1"});
  REQUIRE(again.start().has_value());
  simulation.run_for(1s);
  CHECK(!contains(again.list("/d1"), "-delete"));
  CHECK(contains(again.list("/d1"), "-stray"));
  CHECK(again.end_of(2) == -1);
  CHECK(again.end_of(0) == -1);
  CHECK(again.end_of(1) == 0);
  REQUIRE(again.stop(2).has_value());
}

TEST_CASE("a long start tells every few seconds how far it is, and works on all directories at once") {
  io::sim::Simulation simulation(9);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  std::vector<std::string> lines;
  const Logger logger(
      [&](LogLevel, std::string_view, std::string_view message) {
        if (message.find("load") != std::string_view::npos) lines.emplace_back(message);
      },
      LogLevel::info);
  for (const bool slow : {false, true}) {
    Storage storage(node);
    storage.manager_options.logger = logger;
    if (!slow) storage.format();
    node.disk().set_slowdown(slow ? 1000 : 1);
    REQUIRE(storage.start().has_value());
    node.disk().set_slowdown(1);
    for (std::int32_t i = 0; i < 40; i += 4) {  // so that each shard has logs in both directories
      for (const std::int32_t partition : {i, i + 2, i + 1, i + 3}) storage.create(partition);
    }
    REQUIRE(storage.stop(1).has_value());
    CHECK(lines.empty() == !slow);
  }
  REQUIRE(lines.size() >= 4);
  CHECK(lines.size() < 30);
  CHECK(lines.front().starts_with("loading logs: "));
  CHECK(lines.front().find(" of 20 after 5") != std::string::npos);
  CHECK(std::count(lines.front().begin(), lines.front().end(), ',') == 4);  // two of each directory are under way
  CHECK(lines.back().starts_with("loaded 20 logs in "));
}

TEST_CASE("a crash loses at most what was not flushed, and all logs open again") {
  for (std::uint64_t seed = 1; seed <= 15; ++seed) {
    io::sim::Simulation simulation(seed);
    io::sim::Node& node = simulation.add_node("node", {.shards = 2});
    Storage storage(node);
    storage.format();
    REQUIRE(storage.start().has_value());
    for (std::int32_t i = 0; i < 4; ++i) {
      storage.create(i);
      for (int j = 0; j < 30; ++j) REQUIRE(storage.append(i, make_batch(2)).has_value());
    }
    std::shared_ptr<Log> flushed = storage.managers[1]->find(Storage::name(1));
    REQUIRE(storage.run(flushed->flush(), 1).has_value());
    simulation.run_for(120s);  // the checkpoints come by
    for (std::int32_t i = 0; i < 4; ++i) {
      for (int j = 0; j < 5; ++j) REQUIRE(storage.append(i, make_batch(2)).has_value());
    }
    flushed.reset();
    node.crash();
    [[maybe_unused]] Result<void> ignored = storage.stop(1);
    node.restart();
    Storage again(node);
    Result<void> started = again.start();
    REQUIRE_MESSAGE(started.has_value(), why_of(started));
    CHECK(again.dirs->previous_broker_epoch() == -1);
    CHECK(again.end_of(1) >= 60);
    for (std::int32_t i = 0; i < 4; ++i) {
      CHECK(again.end_of(i) <= 70);
      CHECK(again.end_of(i) % 2 == 0);
      REQUIRE(again.append(i, make_batch(1)).has_value());
    }
    REQUIRE(again.stop(2).has_value());
  }
}

TEST_CASE("a failed directory goes offline with its logs, the others serve on") {
  io::sim::Simulation simulation(4);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node);
  std::size_t left = 99;
  storage.dirs_options.on_directory_failed = [&](const std::string& path, const Error&, std::size_t count) {
    CHECK(path == "/d1");
    left = count;
  };
  storage.format();
  REQUIRE(storage.start().has_value());
  for (std::int32_t i = 0; i < 4; ++i) storage.create(i);
  node.disk().inject({.operation = io::sim::DiskOperation::write, .path = "/d1/", .error_number = EIO});
  std::vector<std::int32_t> failed;
  for (std::int32_t i = 0; i < 4; ++i) {
    if (storage.end_of(i) >= 0 && !storage.append(i, make_batch(1)).has_value()) failed.push_back(i);
  }
  CHECK(failed.size() >= 1);
  simulation.run_for(1s);
  CHECK(left == 1);
  CHECK(storage.lost.size() == 2);
  for (const protocol::TopicPartition& partition : storage.lost)
    CHECK(storage.end_of(partition.partition.value()) == -1);
  for (std::int32_t i = 0; i < 4; ++i) {
    if (storage.end_of(i) >= 0) REQUIRE(storage.append(i, make_batch(1)).has_value());
  }
  storage.create(8);
  REQUIRE(storage.append(8, make_batch(1)).has_value());
  REQUIRE(storage.stop(5).has_value());
  node.disk().clear_faults();
  CHECK(!contains(storage.list("/d1"), ".kafka_cleanshutdown"));
  CHECK(contains(storage.list("/d2"), ".kafka_cleanshutdown"));
}

TEST_CASE("a log that the start finds no room for waits for it, with its checkpointed offsets, and the others serve") {
  io::sim::Simulation simulation(7);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node);
  storage.format();
  REQUIRE(storage.start().has_value());
  for (std::int32_t i = 0; i < 4; ++i) {
    storage.create(i);
    for (int j = 0; j < 6; ++j) REQUIRE(storage.append(i, make_batch(1)).has_value());
  }
  const std::shared_ptr<Log> cut = storage.managers[0]->find(Storage::name(0));
  REQUIRE(storage.run(cut->increment_log_start(4)).value());
  REQUIRE(storage.stop(1).has_value());

  // Its index is lost, and there is no room to make another.
  const std::string home = contains(storage.list("/d1"), "t-0") ? "/d1/t-0" : "/d2/t-0";
  REQUIRE(storage.run(storage.shard().files().remove(home + "/00000000000000000000.index")).has_value());
  node.disk().inject({.operation = io::sim::DiskOperation::open, .path = home + "/", .error_number = EDQUOT});
  node.disk().inject({.operation = io::sim::DiskOperation::write, .path = home + "/", .error_number = EDQUOT});
  REQUIRE(storage.start().has_value());
  CHECK(storage.end_of(0) == -1);
  for (std::int32_t i = 1; i < 4; ++i) {
    CHECK(storage.end_of(i) == 6);
    REQUIRE(storage.append(i, make_batch(1)).has_value());
  }
  const auto refused = storage.run(storage.managers[0]->create(Storage::name(0), Uuid{7, 7}, small_segments()));
  REQUIRE_FALSE(refused.has_value());
  CHECK(protocol::code_of(refused.error()) == protocol::ErrorCode::kafka_storage_error);
  for (const LogDirs::Directory& directory : storage.dirs->directories()) CHECK(directory.online);
  // The checkpoints still know it, and its directory is not called clean.
  REQUIRE(storage.run(storage.dirs->checkpoint_log_starts()).has_value());
  const std::string parent = io::parent_path(home);
  CHECK(parse_offset_checkpoint(storage.text(parent + "/log-start-offset-checkpoint"))->at(Storage::name(0)) == 4);

  node.disk().clear_faults();
  CHECK(storage.create(0)->log_start_offset() == 4);
  CHECK(storage.end_of(0) == 6);
  REQUIRE(storage.append(0, make_batch(1)).has_value());
  REQUIRE(storage.stop(2).has_value());
}

TEST_CASE("a partition that waits for room can be deleted") {
  io::sim::Simulation simulation(8);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node, {"/d1"});
  storage.format();
  REQUIRE(storage.start().has_value());
  storage.create(0);
  REQUIRE(storage.append(0, make_batch(1)).has_value());
  REQUIRE(storage.stop(1).has_value());
  REQUIRE(storage.run(storage.shard().files().remove("/d1/t-0/00000000000000000000.index")).has_value());
  node.disk().inject({.operation = io::sim::DiskOperation::open, .path = "/d1/t-0/", .error_number = ENOSPC});
  REQUIRE(storage.start().has_value());
  CHECK(storage.end_of(0) == -1);
  REQUIRE(storage.run(storage.managers[0]->remove(Storage::name(0))).has_value());
  simulation.run_for(1s);
  CHECK(!contains(storage.list("/d1"), "t-0"));
  CHECK(storage.dirs->directories()[0].logs == 0);
  node.disk().clear_faults();
  storage.create(0);
  CHECK(storage.end_of(0) == 0);
  REQUIRE(storage.stop(2).has_value());
}

TEST_CASE("a directory that fails at the start is offline, and no log is made in place of those it has") {
  io::sim::Simulation simulation(9);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node);
  storage.format();
  REQUIRE(storage.start().has_value());
  for (std::int32_t i = 0; i < 4; ++i) {
    storage.create(i);
    for (int j = 0; j <= i; ++j) REQUIRE(storage.append(i, make_batch(1)).has_value());
  }
  REQUIRE(storage.stop(1).has_value());
  std::vector<std::int32_t> there;
  for (std::int32_t i = 0; i < 4; ++i) {
    if (contains(storage.list("/d2"), fmt::format("t-{}", i))) there.push_back(i);
  }
  REQUIRE(there.size() == 2);
  using io::sim::DiskOperation;
  for (const DiskOperation operation : {DiskOperation::look_up, DiskOperation::open, DiskOperation::read}) {
    CAPTURE(io::sim::name_of(operation));
    node.disk().inject({.operation = operation, .path = "/d2", .error_number = EIO});
    REQUIRE(storage.start().has_value());
    CHECK_FALSE(storage.dirs->directories()[1].online);
    CHECK(storage.dirs->previous_broker_epoch() == -1);
    for (const std::int32_t i : there) {
      LogManager& manager = *storage.managers[storage.owner(i)];
      const auto log = storage.run(manager.create(Storage::name(i), Uuid{7, 7}, small_segments(), std::nullopt, true),
                                   storage.owner(i));
      REQUIRE_FALSE(log.has_value());
      CHECK(protocol::code_of(log.error()) == protocol::ErrorCode::kafka_storage_error);
      CHECK(!contains(storage.list("/d1"), fmt::format("t-{}", i)));
    }
    for (std::int32_t i = 0; i < 4; ++i) {
      if (std::find(there.begin(), there.end(), i) == there.end())
        REQUIRE(storage.append(i, make_batch(1)).has_value());
    }
    static_cast<void>(storage.stop(2));
    node.disk().clear_faults();
  }
  // The directory of the metadata, and the last one, cannot be done without.
  node.disk().inject({.operation = DiskOperation::look_up, .path = "/d1", .error_number = EIO});
  CHECK_FALSE(storage.start().has_value());
  storage.dirs.reset();
  node.disk().clear_faults();
  REQUIRE(storage.start().has_value());
  for (const std::int32_t i : there) CHECK(storage.end_of(i) == i + 1);
  REQUIRE(storage.stop(3).has_value());
}

TEST_CASE("a data directory that has vanished is not made again by a new partition") {
  io::sim::Simulation simulation(10);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node);
  storage.format();
  REQUIRE(storage.start().has_value());
  storage.create(0);
  storage.create(1);
  const std::string gone = storage.managers[0]->find(Storage::name(0))->directory();
  const std::string parent = io::parent_path(gone);
  REQUIRE(storage.run(storage.shard().files().rename(parent, "/away")).has_value());
  const Uuid id = storage.dirs->directories()[parent == "/d1" ? 0 : 1].id;
  const auto log = storage.run(storage.managers[0]->create(Storage::name(2), Uuid{7, 7}, small_segments(), id));
  CHECK_FALSE(log.has_value());
  simulation.run_for(1s);
  CHECK_FALSE(storage.run(storage.shard().files().stat(parent)).has_value());
  CHECK_FALSE(storage.dirs->directories()[parent == "/d1" ? 0 : 1].online);
  CHECK(storage.lost.size() == 1);
  REQUIRE(storage.append(1, make_batch(1)).has_value());
  storage.create(4);
  CHECK(contains(storage.list("/away"), "t-0"));
  static_cast<void>(storage.stop(1));
}

TEST_CASE("directories of other nodes or clusters, locked or unformatted ones are refused") {
  io::sim::Simulation simulation(5);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  {
    Storage storage(node);
    CHECK(storage.start().error() == Errc::not_found);
    storage.format();
    storage.dirs_options.node_id = 2;
    CHECK(storage.start().error() == Errc::invalid_argument);
    storage.dirs_options.node_id = 1;
    MetaProperties other{"other", 1, Uuid{9, 9}};
    REQUIRE(storage.run(save_meta_properties(storage.shard().files(), "/d2", other, 0)).has_value());
    CHECK(storage.start().error() == Errc::invalid_argument);
    REQUIRE(storage.run(storage.shard().files().remove("/d2/meta.properties")).has_value());
    REQUIRE(storage.start().has_value());  // gets an identity of its own
    CHECK(storage.dirs->directories()[1].id != storage.dirs->directories()[0].id);
    CHECK(storage.dirs->cluster_id() == "cluster");
    Storage rival(node);
    CHECK(rival.start().error() == Errc::unavailable);
    REQUIRE(storage.stop(1).has_value());
  }
  Storage storage(node);
  REQUIRE(storage.run(storage.shard().files().make_directories("/d1/nonsense")).has_value());
  CHECK(storage.start().error() == Errc::invalid_argument);
}

TEST_CASE("retention and checkpoints run by themselves") {
  io::sim::Simulation simulation(6);
  io::sim::Node& node = simulation.add_node("node", {.shards = 2});
  Storage storage(node, {"/d1"});
  storage.manager_options.retention_check_interval_ms = 1000;
  storage.manager_options.initial_task_delay_ms = 0;
  storage.format();
  REQUIRE(storage.start().has_value());
  storage.create(0);
  for (int i = 0; i < 40; ++i) REQUIRE(storage.append(0, make_batch(3, 1000)).has_value());  // long ago
  const auto start = [&] { return storage.managers[0]->find(Storage::name(0))->log_start_offset(); };
  CHECK(simulation.run_until([&] { return start() == 120; }, 60s));
  simulation.run_for(6s);
  CHECK(storage.text("/d1/replication-offset-checkpoint") == "0\n1\nt 0 120\n");
  REQUIRE(storage.stop(1).has_value());
}
