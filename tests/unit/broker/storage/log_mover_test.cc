// Logs move from one data directory to another while they are written and read, and through crashes.
#include "broker/storage/log_mover.h"

#include <algorithm>

#include "broker/storage/log_manager.h"
#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

constexpr Uuid kTopicId{7, 7};
const std::vector<std::string> kPaths{"/d1", "/d2", "/d3"};

bool contains(const std::vector<std::string>& names, std::string_view part) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.find(part) != std::string::npos; });
}

// One shard of a node over three directories.
struct Storage {
  explicit Storage(io::sim::Node& node_) : node(node_) {}
  ~Storage() {
    if (manager != nullptr) stop();
  }
  io::sim::Simulation& simulation() { return node.simulation(); }
  io::Shard& shard() { return node.shard(); }
  template <typename T>
  T run(Task<T> task) {
    return simulation().run(shard(), std::move(task));
  }
  void format() {
    config.retention_ms = -1;  // the records are of 1970
    for (const std::string& path : kPaths) {
      REQUIRE(run(shard().files().make_directories(path)).has_value());
      MetaProperties meta{"cluster", 1, Uuid::random(shard().random())};
      REQUIRE(run(save_meta_properties(shard().files(), path, meta, 0)).has_value());
    }
    REQUIRE(run(shard().files().sync_directory("/")).has_value());
  }
  Result<void> try_start() {
    LogDirsOptions options;
    options.directories = kPaths;
    options.node_id = 1;
    Result<std::unique_ptr<LogDirs>> opened = run(LogDirs::open(shard(), options));
    KLAMM_TRY(opened);
    dirs = *std::move(opened);
    Result<std::vector<FoundLog>> found = run(dirs->list_logs());
    KLAMM_TRY(found);
    LogManagerOptions manager_options;
    manager_options.config_of = [this](const std::string&) { return config; };
    manager_options.moves_at_once = 2;
    manager_options.on_log_moved = [this](const protocol::TopicPartition&) { ++moved; };
    manager_options.assigned_directory = [this](const protocol::TopicPartition&) {
      return assigned ? std::optional(dirs->directories()[*assigned].id) : std::nullopt;
    };
    manager = std::make_unique<LogManager>(shard(), *dirs, manager_options);
    Result<void> loaded = run(manager->load(std::move(*found)));
    KLAMM_TRY(loaded);
    manager->start();
    dirs->start({manager.get()});
    return {};
  }
  void start() {
    Result<void> started = try_start();
    REQUIRE_MESSAGE(started.has_value(), why_of(started));
  }
  void stop() {
    simulation().run(shard(), manager->close());
    static_cast<void>(run(dirs->close(1)));
    manager.reset();
    dirs.reset();
  }
  // In d1.
  Log& create() {
    dirs->log_added(1);
    dirs->log_added(2);
    auto made = run(manager->create(kPartition, kTopicId, config));
    REQUIRE_MESSAGE(made.has_value(), why_of(made));
    REQUIRE(where() == 0);
    return **made;
  }
  Log& log() {
    std::shared_ptr<Log> found = manager->find(kPartition);
    REQUIRE(found != nullptr);
    return *found;
  }
  std::size_t where() { return manager->logs().at(kPartition).directory; }
  ErrorCode move(std::size_t directory) {
    Result<void> begun = run(manager->move(kPartition, directory));
    return begun ? ErrorCode::none : code(begun.error());
  }
  bool idle() const { return manager->mover().moves().empty(); }
  void wait_moved() {
    run([](Storage* self) -> Task<int> {
      while (!self->idle()) co_await self->shard().sleep(1ms);
      co_return 0;
    }(this));
  }
  std::vector<std::string> list(std::size_t directory) { return run(shard().files().list(kPaths[directory])).value(); }
  void append(Slice records) {
    Result<AppendInfo> info = run(log().append_as_leader(leader_append(std::move(records))));
    REQUIRE_MESSAGE(info.has_value(), why_of(info));
    log().set_high_watermark(log().log_end_offset());
  }
  void fill(int batches, std::size_t value_bytes = 40) {
    for (int i = 0; i < batches; ++i) append(make_batch(3, 1000 + i, value_bytes));
  }

  config::LogConfig config = small_segments();
  std::optional<std::size_t> assigned;
  int moved = 0;
  io::sim::Node& node;
  std::unique_ptr<LogDirs> dirs;
  std::unique_ptr<LogManager> manager;
};

// What read_all of storage_test.h asks for.
struct Reader {
  explicit Reader(Storage& storage) : storage_(storage) {}
  template <typename T>
  T run(Task<T> task) {
    return storage_.run(std::move(task));
  }
  io::FileSystem& files() { return storage_.shard().files(); }
  Storage& storage_;
};

// The bytes of all records, as they are stored.
std::string stored(Storage& storage, Log& log, std::int64_t from = 0) {
  std::string all;
  std::int64_t offset = std::max(from, log.log_start_offset());
  while (offset < log.log_end_offset()) {
    Result<FetchData> data = storage.run(log.read({.offset = offset, .isolation = FetchIsolation::log_end}));
    REQUIRE_MESSAGE(data.has_value(), why_of(data));
    if (data->size_bytes == 0) break;
    for (const io::Piece& piece : data->records) {
      const auto& region = std::get<io::FileRegion>(piece);
      std::string bytes(static_cast<std::size_t>(region.size), '\0');
      Result<std::size_t> got = storage.run(storage.shard().files().read_region(
          region, MutableBytes(reinterpret_cast<std::byte*>(bytes.data()), bytes.size())));
      REQUIRE(got.has_value());
      record::BatchCursor cursor(Slice::borrow(as_bytes(bytes)));
      while (cursor.next()) {
        all += cursor.entry().text();
        offset = cursor.batch()->next_offset();
      }
    }
  }
  return all;
}

}  // namespace

TEST_CASE("a log moves to another directory with all that belongs to it, and goes on there") {
  io::sim::Simulation simulation(3);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  Log& log = storage.create();
  storage.fill(60);
  storage.append(make_batch(2, 5000, 10, {.id = 9, .epoch = 1, .base_sequence = 0}));
  REQUIRE(storage.run(log.begin_epoch(4)).has_value());
  REQUIRE(storage.run(log.increment_log_start(31)).has_value());
  const std::string before = stored(storage, log);
  const std::vector<EpochEntry> epochs = log.leader_epochs().entries();
  const std::int64_t end = log.log_end_offset();

  CHECK(storage.move(1) == ErrorCode::none);
  CHECK(storage.move(1) == ErrorCode::none);  // it is on its way there
  CHECK(contains(storage.list(1), "-future"));
  REQUIRE(storage.manager->mover().moves().size() == 1);
  CHECK(storage.dirs->directories()[1].logs == 2);
  storage.wait_moved();
  CHECK(storage.where() == 1);
  CHECK(storage.moved == 1);
  CHECK(&storage.log() == &log);
  CHECK(log.directory() == "/d2/topic-0");
  CHECK(contains(storage.list(0), "-delete"));
  CHECK_FALSE(contains(storage.list(1), "-future"));
  CHECK(storage.dirs->directories()[0].logs == 0);
  CHECK(storage.dirs->directories()[1].logs == 2);
  CHECK(log.log_start_offset() == 31);
  CHECK(log.log_end_offset() == end);
  CHECK(log.high_watermark() == end);
  CHECK(log.leader_epochs().entries() == epochs);
  CHECK(stored(storage, log) == before);
  CHECK(storage.move(1) == ErrorCode::none);  // it is there
  CHECK(storage.idle());

  // A retry from before is known as one.
  Result<AppendInfo> retry = storage.run(
      log.append_as_leader(leader_append(make_batch(2, 5000, 10, {.id = 9, .epoch = 1, .base_sequence = 0}), 4)));
  REQUIRE(retry.has_value());
  CHECK(retry->duplicate);
  REQUIRE(storage.run(log.append_as_leader(leader_append(make_batch(1, 6000), 4))).has_value());
  log.set_high_watermark(log.log_end_offset());
  const std::string after = stored(storage, log);
  storage.stop();
  storage.start();
  CHECK(storage.where() == 1);
  CHECK(storage.log().log_start_offset() == 31);
  CHECK(storage.log().leader_epochs().entries() == epochs);
  CHECK(stored(storage, storage.log()) == after);
  CHECK_FALSE(contains(storage.list(1), "-future"));
  CHECK_FALSE(contains(storage.list(0), "topic-0"));  // deleted at the start
  CHECK_FALSE(contains(storage.run(storage.shard().files().list("/d2/topic-0")).value(), kMoveMarkerFile));
}

TEST_CASE("offsets that are too far apart for one index move too, each segment with what fits") {
  constexpr std::int64_t kFar = std::int64_t{1} << 31;
  io::sim::Simulation simulation(3);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.config.cleanup_compact = true;
  storage.config.segment_bytes = 1 << 20;
  storage.start();
  Log& log = storage.create();
  for (const std::int64_t base : {std::int64_t{0}, kFar - 3, kFar, 3 * kFar + 5, 3 * kFar + 8, 9 * kFar}) {
    const Slice batch = make_batch(3);
    record::patch_base_offset(MutableBytes(batch.mutable_data(), batch.size()), base);
    record::patch_leader_epoch(MutableBytes(batch.mutable_data(), batch.size()), 0);
    REQUIRE(storage.run(log.append_as_follower(batch, 0)).has_value());
  }
  log.set_high_watermark(log.log_end_offset());
  const std::string before = stored(storage, log);
  CHECK(log.segment_count() == 4);
  CHECK(storage.move(1) == ErrorCode::none);
  storage.wait_moved();
  CHECK(storage.where() == 1);
  CHECK(log.log_end_offset() == 9 * kFar + 3);
  CHECK(log.segment_count() == 4);
  CHECK(stored(storage, log) == before);
  storage.stop();
  storage.start();
  CHECK(storage.where() == 1);
  CHECK(stored(storage, storage.log()) == before);
}

TEST_CASE("while a copy is emptied no checkpoint takes the log's recovery point for the copy's") {
  io::sim::Simulation simulation(3);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  Log& log = storage.create();
  storage.fill(40);
  REQUIRE(storage.run(log.flush()).has_value());
  CHECK(storage.move(1) == ErrorCode::none);
  const std::shared_ptr<Log> copy = storage.manager->mover().moves().begin()->second->copy;
  int emptied = 0;
  bool ahead = false;
  storage.node.disk().set_observer([&](io::sim::DiskOperation, const std::string&) {
    if (copy->segment_count() == 0 && !copy->is_taken_over()) ++emptied;
    for (const LogOffsets& each : storage.manager->offsets()) {
      if (each.directory == 1 && each.recovery_point > copy->recovery_point()) ahead = true;
    }
  });
  REQUIRE(storage.run(log.increment_log_start(31)).has_value());
  storage.wait_moved();
  storage.node.disk().set_observer(nullptr);
  CHECK(emptied > 0);
  CHECK(!ahead);
  CHECK(log.log_start_offset() == 31);
}

TEST_CASE("a move is throttled, changes its target, and ends where the log is told to stay") {
  io::sim::Simulation simulation(4);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  storage.config.segment_bytes = 1 << 20;
  storage.create();
  for (int i = 0; i < 40; ++i) storage.append(make_batch(1, 1000 + i, 100'000));
  storage.dirs->configure_moves(100'000);  // 40 seconds
  const Instant begin = storage.shard().now();
  CHECK(storage.move(1) == ErrorCode::none);
  storage.run([](Storage* self) -> Task<int> {
    co_await self->shard().sleep(12s);
    co_return 0;
  }(&storage));
  REQUIRE_FALSE(storage.idle());
  const LogMover::MoveRef move = storage.manager->mover().moves().begin()->second;
  CHECK(move->copy->log_end_offset() > 3);
  CHECK(move->copy->log_end_offset() < 25);
  CHECK(storage.manager->logs().size() == 1);

  CHECK(storage.move(2) == ErrorCode::none);
  CHECK_FALSE(contains(storage.list(1), "-future"));
  CHECK(contains(storage.list(1), "-delete"));
  CHECK(contains(storage.list(2), "-future"));
  CHECK(storage.dirs->directories()[1].logs == 1);
  CHECK(storage.move(0) == ErrorCode::none);
  CHECK(storage.idle());
  CHECK_FALSE(contains(storage.list(2), "-future"));
  CHECK(storage.where() == 0);

  const Instant again = storage.shard().now();
  CHECK(storage.move(2) == ErrorCode::none);
  storage.wait_moved();
  CHECK(storage.shard().now() - again > 30s);
  CHECK(storage.where() == 2);
  CHECK(storage.shard().now() - begin > 40s);
  CHECK(storage.log().log_end_offset() == 40);
}

TEST_CASE("moves are refused for what is not there, and a log that comes later is made where it was wanted") {
  io::sim::Simulation simulation(5);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  CHECK(storage.move(2) == ErrorCode::replica_not_available);
  auto made = storage.run(storage.manager->create(kPartition, kTopicId, storage.config));
  REQUIRE(made.has_value());
  CHECK(storage.where() == 2);
  const protocol::TopicPartition long_name{std::string(220, 'x'), protocol::PartitionIndex(0)};
  Result<void> refused = storage.run(storage.manager->move(long_name, 1));
  REQUIRE_FALSE(refused.has_value());
  CHECK(code(refused.error()) == ErrorCode::invalid_topic_exception);
  const auto target = [&](const std::string& path) {
    Result<std::size_t> found = storage.dirs->find_target(path);
    return found ? static_cast<int>(*found) : -static_cast<int>(code(found.error()));
  };
  CHECK(target("/d2") == 1);
  CHECK(target("/d4") == -static_cast<int>(ErrorCode::log_dir_not_found));
  CHECK(target("d2") == -static_cast<int>(ErrorCode::log_dir_not_found));
  storage.dirs->set_cordoned({"/d2"});
  CHECK(target("/d2") == -static_cast<int>(ErrorCode::invalid_replica_assignment));
  storage.dirs->directory_failed(0, Error(Errc::unavailable));
  CHECK(target("/d1") == -static_cast<int>(ErrorCode::kafka_storage_error));
  CHECK(storage.move(1) == ErrorCode::kafka_storage_error);  // a copy may lie in the one that is offline
}

TEST_CASE("a topic deleted while it moves leaves nothing, and a directory that fails ends the move") {
  io::sim::Simulation simulation(6);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  storage.create();
  storage.fill(50);
  storage.dirs->configure_moves(1);
  CHECK(storage.move(1) == ErrorCode::none);
  REQUIRE(storage.run(storage.manager->remove(kPartition)).has_value());
  CHECK(storage.idle());
  for (const std::size_t directory : {0UL, 1UL}) {
    CHECK_FALSE(contains(storage.list(directory), "-future"));
    CHECK(contains(storage.list(directory), "-delete"));
  }
  storage.create();
  storage.fill(5);
  CHECK(storage.move(1) == ErrorCode::none);
  storage.dirs->directory_failed(1, Error(Errc::unavailable));
  storage.wait_moved();
  CHECK(storage.where() == 0);
  storage.fill(1);
  CHECK(storage.log().log_end_offset() == 18);
}

TEST_CASE("a move goes on after a stop, though the copy has what the log has lost") {
  io::sim::Simulation simulation(7);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  Log& log = storage.create();
  storage.fill(50);
  storage.dirs->configure_moves(1'000'000);
  CHECK(storage.move(1) == ErrorCode::none);
  storage.run([](Storage* self) -> Task<int> {
    const LogMover::MoveRef move = self->manager->mover().moves().begin()->second;
    while (move->copy->log_end_offset() < 150) co_await self->shard().sleep(10us);
    co_return 0;
  }(&storage));
  if (!storage.idle()) {
    // As after a power loss, which the copy survived better.
    REQUIRE(storage.run(log.truncate_to(120)).has_value());
    REQUIRE(storage.run(log.begin_epoch(2)).has_value());
  }
  storage.stop();
  storage.start();
  REQUIRE(storage.run(storage.log().append_as_leader(leader_append(make_batch(4, 7000), 2))).has_value());
  const std::string all = stored(storage, storage.log());
  storage.wait_moved();
  CHECK(storage.where() == 1);
  CHECK(stored(storage, storage.log()) == all);
}

TEST_CASE("a log that has forgotten a deletion begins, once it is moved, where its copy does") {
  io::sim::Simulation simulation(13);
  Storage storage(simulation.add_node("node"));
  storage.format();
  storage.start();
  Log& log = storage.create();
  storage.fill(60);
  REQUIRE(storage.run(log.increment_log_start(90)).has_value());
  storage.dirs->configure_moves(1000);
  CHECK(storage.move(1) == ErrorCode::none);
  storage.run([](Storage* self) -> Task<int> {
    const LogMover::MoveRef move = self->manager->mover().moves().begin()->second;
    while (move->copy->log_end_offset() < 120) co_await self->shard().sleep(10us);
    co_return 0;
  }(&storage));
  REQUIRE_FALSE(storage.idle());
  storage.stop();
  // As after a power loss before the log start was saved.
  REQUIRE(storage.run(storage.shard().files().remove("/d1/" + std::string(kLogStartFile))).has_value());
  storage.start();
  REQUIRE_FALSE(storage.idle());
  CHECK(storage.log().log_start_offset() == 0);
  const std::string all = stored(storage, storage.log(), 90);
  storage.wait_moved();
  CHECK(storage.where() == 1);
  CHECK(storage.log().log_start_offset() == 90);
  CHECK(stored(storage, storage.log()) == all);
}

TEST_CASE("a copy without its log is the log only where the metadata says so") {
  for (const bool assigned : {false, true}) {
    io::sim::Simulation simulation(8);
    Storage storage(simulation.add_node("node"));
    storage.format();
    storage.start();
    storage.create();
    storage.fill(20);
    storage.stop();
    const std::string copy = "/d2/" + directory_name(kPartition, DirectoryKind::future, kTopicId);
    REQUIRE(storage.run(storage.shard().files().rename("/d1/topic-0", copy)).has_value());
    if (assigned) storage.assigned = 1;
    storage.start();
    CHECK(contains(storage.list(1), "-future") == !assigned);
    REQUIRE((storage.manager->find(kPartition) != nullptr) == assigned);
    if (assigned) CHECK(storage.log().log_end_offset() == 60);
  }
}

TEST_CASE("two directories of one partition are refused unless a move says which one counts") {
  for (const bool marked : {false, true}) {
    io::sim::Simulation simulation(9);
    Storage storage(simulation.add_node("node"));
    storage.format();
    storage.start();
    storage.create();
    storage.fill(20);
    storage.stop();
    io::FileSystem& files = storage.shard().files();
    REQUIRE(storage.run(files.make_directories("/d3/topic-0")).has_value());
    if (marked) {
      const std::string marker = "/d3/topic-0/" + std::string(kMoveMarkerFile);
      REQUIRE(storage.run(io::write_file_atomically(files, marker, Slice::copy("x"))).has_value());
    }
    Result<void> started = storage.try_start();
    CHECK(started.has_value() == marked);
    if (!marked) {
      CHECK(started.error().message().find("two data directories") != std::string::npos);
      static_cast<void>(storage.run(storage.dirs->close(-1)));
      continue;
    }
    CHECK(storage.where() == 2);
    CHECK_FALSE(contains(storage.list(0), "topic-0\n"));
    CHECK_FALSE(contains(storage.run(files.list("/d3/topic-0")).value(), kMoveMarkerFile));
  }
}

namespace {

// A move with appends beside it. `acked` is flushed, `written` is in the files.
struct Story {
  Storage& storage;
  std::int64_t acked = 0;
  std::int64_t written = 0;
  bool done = false;

  void play() {
    storage.config.file_delete_delay_ms = 5;
    storage.config.flush_messages = 1;
    Log& log = storage.create();
    storage.fill(12);
    REQUIRE(storage.run(log.flush()).has_value());
    acked = written = log.log_end_offset();
    io::spawn_detached(write(this));
    REQUIRE(storage.move(1) == ErrorCode::none);
    storage.wait_moved();
    done = true;
    storage.run([](Storage* self) -> Task<int> {
      co_await self->shard().sleep(1s);
      co_return 0;
    }(&storage));
  }
  static Task<void> write(Story* self) {
    Storage& storage = self->storage;
    Log& log = *storage.manager->find(kPartition);
    for (int i = 0; i < 300 && !self->done; ++i) {
      Result<AppendInfo> info = co_await log.append_as_leader(leader_append(make_batch(1, 2000 + i, 60)));
      REQUIRE_MESSAGE(info.has_value(), why_of(info));
      self->written = info->last_offset + 1;
      log.set_high_watermark(log.log_end_offset());
      Result<void> flushed = co_await log.flushed(info->last_offset + 1);
      REQUIRE(flushed.has_value());
      self->acked = info->last_offset + 1;
      co_await storage.shard().sleep(100us);
    }
  }
};

}  // namespace

TEST_CASE("appends go on while a log moves, and a crash at any point loses nothing that was acknowledged") {
  struct Crash {
    io::sim::DiskImage image;
    std::int64_t least = 0;
    std::uint64_t point = 0;
    io::sim::Unsynced kind = io::sim::Unsynced::keep_all;
  };
  std::vector<Crash> crashes;
  std::string whole;
  std::uint64_t points = 0;
  const auto play = [&](std::uint64_t point) {
    io::sim::Simulation simulation(11);
    Storage storage(simulation.add_node("node"));
    storage.format();
    storage.start();
    Story story{storage};
    const std::uint64_t before = storage.node.disk().crash_points();
    if (point > 0) {
      storage.node.disk().crash_after(point, [&] {
        for (const auto kind : {io::sim::Unsynced::lose_all, io::sim::Unsynced::keep_all, io::sim::Unsynced::draw}) {
          const std::int64_t least = kind == io::sim::Unsynced::keep_all ? story.written : story.acked;
          crashes.push_back({storage.node.disk().image_after_crash(kind, point), least, point, kind});
        }
      });
    }
    story.play();
    points = storage.node.disk().crash_points() - before;
    whole = stored(storage, storage.log());
    CHECK(storage.where() == 1);
    CHECK_FALSE(contains(storage.list(0), "topic-0"));
    CHECK(storage.log().log_end_offset() > 40);
  };
  play(0);
  REQUIRE(points > 100);
  const std::uint64_t last = points;
  for (std::uint64_t point = 40; point <= last; point += 1 + point / 64) play(point);
  std::size_t in_second = 0;
  for (Crash& crash : crashes) {
    CAPTURE(crash.point);
    CAPTURE(static_cast<int>(crash.kind));
    io::sim::Simulation simulation(crash.point + 1);
    Storage storage(simulation.add_node("node", {.image = std::move(crash.image)}));
    storage.start();
    if (storage.manager->find(kPartition) == nullptr) {
      CHECK(crash.least == 0);
      continue;
    }
    const std::int64_t end = storage.log().log_end_offset();
    CHECK(end >= crash.least);
    const std::string now = stored(storage, storage.log());
    CHECK(whole.substr(0, now.size()) == now);
    storage.fill(2);
    const bool moving = !storage.idle();
    storage.wait_moved();
    CHECK(storage.log().log_end_offset() == end + 6);
    CHECK(stored(storage, storage.log()).substr(0, now.size()) == now);
    if (moving) CHECK(storage.where() == 1);
    in_second += storage.where() == 1 ? 1 : 0;
    storage.stop();
    storage.start();
    CHECK(storage.log().log_end_offset() == end + 6);
    for (const std::size_t directory : {0UL, 1UL, 2UL}) CHECK_FALSE(contains(storage.list(directory), "-future"));
  }
  CHECK(in_second > 10);
  CHECK(in_second < crashes.size());
}
