// Which log is compacted when: over shards and directories, with its checkpoint, its limits and its ends.
#include "broker/storage/cleaner_manager.h"

#include <algorithm>

#include "broker/storage/log_dirs.h"
#include "broker/storage/log_manager.h"
#include "tests/unit/broker/storage/compaction_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

constexpr std::size_t kShards = 2;

// A node's storage over two shards and two directories.
struct Storage {
  explicit Storage(io::sim::Node& node_) : node(node_) {
    options.directories = {"/d1", "/d2"};
    options.node_id = 1;
    config.min_cleanable_dirty_ratio = 0.7;
  }
  io::sim::Simulation& simulation() { return node.simulation(); }
  io::Shard& shard(std::size_t index = 0) { return node.shard(index); }
  template <typename T>
  T run(Task<T> task, std::size_t index = 0) {
    return simulation().run(shard(index), std::move(task));
  }
  void format() {
    for (const std::string& path : options.directories) {
      REQUIRE(run(shard().files().make_directories(path)).has_value());
      MetaProperties meta{"cluster", 1, Uuid::random(shard().random())};
      REQUIRE(run(save_meta_properties(shard().files(), path, meta, 0)).has_value());
    }
    REQUIRE(run(shard().files().sync_directory("/")).has_value());
  }
  void start() {
    Result<std::unique_ptr<LogDirs>> opened = run(LogDirs::open(shard(), options));
    REQUIRE_MESSAGE(opened.has_value(), why_of(opened));
    dirs = *std::move(opened);
    Result<std::vector<FoundLog>> found = run(dirs->list_logs());
    REQUIRE_MESSAGE(found.has_value(), why_of(found));
    std::vector<LogManager*> pointers;
    for (std::size_t i = 0; i < kShards; ++i) {
      LogManagerOptions manager;
      manager.config_of = [this](const std::string&) { return config; };
      managers.push_back(std::make_unique<LogManager>(shard(i), *dirs, manager));
      pointers.push_back(managers.back().get());
      std::vector<FoundLog> mine;
      for (const FoundLog& log : *found) {
        if (owner(log.partition.partition.value()) == i) mine.push_back(log);
      }
      Result<void> loaded = run(managers[i]->load(std::move(mine)), i);
      REQUIRE_MESSAGE(loaded.has_value(), why_of(loaded));
      simulation().run(shard(i), [&]() -> Task<int> {
        managers[i]->start();
        co_return 0;
      });
    }
    dirs->start(pointers);
  }
  void configure(config::CleanerConfig cleaner) {
    simulation().run(shard(1), [&]() -> Task<int> {
      managers[1]->configure_cleaner(cleaner);
      co_return 0;
    });
  }
  void stop() {
    for (std::size_t i = 0; i < managers.size(); ++i) simulation().run(shard(i), managers[i]->close());
    Result<void> closed = run(dirs->close(1));
    if (node.alive()) REQUIRE_MESSAGE(closed.has_value(), why_of(closed));
    managers.clear();
    dirs.reset();
  }
  static std::size_t owner(std::int32_t partition) { return static_cast<std::size_t>(partition) % kShards; }
  static protocol::TopicPartition name(std::int32_t partition) { return {"t", protocol::PartitionIndex(partition)}; }
  std::shared_ptr<Log> log(std::int32_t partition) { return managers[owner(partition)]->find(name(partition)); }
  void create(std::int32_t partition) {
    auto made = run(managers[owner(partition)]->create(name(partition), Uuid{7, 7}, config), owner(partition));
    REQUIRE_MESSAGE(made.has_value(), why_of(made));
  }
  // `count` records over 5 keys.
  void fill(std::int32_t partition, int count) {
    for (int i = 0; i < count; ++i) {
      const std::string key = "key " + std::to_string(i % 5);
      Result<AppendInfo> info =
          run(log(partition)->append_as_leader(leader_append(keyed_batch({{key, std::string(60, 'v')}}))),
              owner(partition));
      REQUIRE_MESSAGE(info.has_value(), why_of(info));
      log(partition)->set_high_watermark(log(partition)->log_end_offset());
    }
  }
  bool clean(std::int32_t partition) {
    const auto found = log(partition);
    return found->first_dirty_offset().value_or(-1) == found->segments().back().base_offset;
  }
  // What the checkpoint files say.
  std::optional<std::int64_t> checkpoint(std::int32_t partition) {
    for (const std::string& path : options.directories) {
      Result<OffsetCheckpoint> loaded = run(load_offset_checkpoint(shard().files(), io::join_path(path, kCleanerFile)));
      REQUIRE(loaded.has_value());
      if (const auto at = loaded->find(name(partition)); at != loaded->end()) return at->second;
    }
    return std::nullopt;
  }
  // The keys of the records below an offset.
  std::vector<std::string> keys_below(std::int32_t partition, std::int64_t end) {
    std::vector<std::string> keys;
    const std::shared_ptr<Log> from = log(partition);
    for (std::int64_t offset = from->log_start_offset();;) {
      Result<FetchData> data =
          run(from->read({.offset = offset, .max_bytes = 1, .isolation = FetchIsolation::log_end}), owner(partition));
      REQUIRE_MESSAGE(data.has_value(), why_of(data));
      if (data->size_bytes == 0 || data->first_batch_offset >= end) return keys;
      const auto& region = std::get<io::FileRegion>(data->records.at(0));
      Buffer::Ref buffer = Buffer::allocate(region.size);
      const MutableBytes into(buffer->data(), region.size);
      REQUIRE(run(shard(owner(partition)).files().read_region(region, into), owner(partition)).has_value());
      const record::BatchView batch = record::BatchView::parse(Slice(std::move(buffer), region.size)).value();
      record::RecordIterator records(batch, batch.records_bytes());
      for (record::RecordView record; records.next(record);) keys.emplace_back(record.key.text());
      offset = batch.next_offset();
    }
  }
  bool until(const std::function<bool()>& done, Duration limit = 10min) { return simulation().run_until(done, limit); }

  io::sim::Node& node;
  LogDirsOptions options;
  config::LogConfig config = compacted();
  std::unique_ptr<LogDirs> dirs;
  std::vector<std::unique_ptr<LogManager>> managers;
};

struct StorageWorld {
  explicit StorageWorld(std::uint64_t seed = 1)
      : simulation(seed), node(simulation.add_node("n", {.shards = kShards})), storage(node) {
    storage.format();
    storage.start();
  }
  io::sim::Simulation simulation;
  io::sim::Node& node;
  Storage storage;
};

}  // namespace

TEST_CASE("logs of all shards are compacted when they are dirty enough, and the checkpoint tells how far") {
  StorageWorld world;
  Storage& storage = world.storage;
  for (std::int32_t partition = 0; partition < 4; ++partition) {
    storage.create(partition);
    storage.fill(partition, 60);
  }
  storage.config.cleanup_compact = false;
  storage.create(4);
  storage.fill(4, 60);
  storage.config.cleanup_compact = true;
  CHECK(!storage.checkpoint(0));
  world.simulation.run_for(60s);
  CHECK(!storage.clean(0));  // nothing begins before it is configured
  storage.configure({});
  REQUIRE(storage.until([&] { return storage.clean(0) && storage.clean(1) && storage.clean(2) && storage.clean(3); }));
  world.simulation.run_for(1s);
  for (std::int32_t partition = 0; partition < 4; ++partition) {
    CHECK(storage.checkpoint(partition) == storage.log(partition)->segments().back().base_offset);
  }
  CHECK(!storage.log(4)->first_dirty_offset());
  CHECK(!storage.checkpoint(4));

  // Less than min.cleanable.dirty.ratio: later.
  const std::int64_t cleaned = *storage.log(0)->first_dirty_offset();
  storage.fill(0, 4);
  world.simulation.run_for(60s);
  CHECK(storage.log(0)->first_dirty_offset() == cleaned);
  storage.fill(0, 60);
  REQUIRE(storage.until([&] { return storage.clean(0); }));

  // After a restart it goes on where it was.
  const std::int64_t last = *storage.log(0)->first_dirty_offset();
  storage.stop();
  world.node.crash({io::sim::Unsynced::keep_all, io::sim::PeersSee::reset});
  world.node.restart();
  storage.start();
  CHECK(storage.log(0)->first_dirty_offset() == last);
  CHECK(!storage.log(4)->first_dirty_offset());

  // A topic of the same name begins anew.
  storage.simulation().run(storage.shard(0), storage.managers[0]->remove(Storage::name(0)));
  world.simulation.run_for(5s);
  CHECK(!storage.checkpoint(0));
  CHECK(storage.checkpoint(2));
  storage.stop();
}

TEST_CASE("without log.cleaner.enable nothing is compacted, and a change of the keys takes effect at once") {
  StorageWorld world;
  Storage& storage = world.storage;
  storage.create(0);
  storage.fill(0, 60);
  config::CleanerConfig cleaner;
  cleaner.enable = false;
  storage.configure(cleaner);
  world.simulation.run_for(5min);
  CHECK(!storage.clean(0));
  cleaner.enable = true;
  cleaner.backoff_ms = 3'600'000;
  storage.configure(cleaner);
  REQUIRE(storage.until([&] { return storage.clean(0); }, 10s));
  world.simulation.run_for(1s);
  storage.fill(0, 100);
  world.simulation.run_for(5min);
  CHECK(!storage.clean(0));
  cleaner.backoff_ms = 1000;
  storage.configure(cleaner);
  REQUIRE(storage.until([&] { return storage.clean(0); }, 10s));
  storage.stop();
}

TEST_CASE("the throttle bounds what all cleanings read and write together") {
  StorageWorld world;
  Storage& storage = world.storage;
  for (std::int32_t partition = 0; partition < 2; ++partition) {
    storage.create(partition);
    storage.fill(partition, 200);
  }
  config::CleanerConfig cleaner;
  cleaner.threads = 2;
  cleaner.io_buffer_bytes = 4096;
  cleaner.io_max_bytes_per_second = 2000;
  const std::int64_t bytes = storage.log(0)->size_bytes() + storage.log(1)->size_bytes();
  const Instant begin = world.simulation.now();
  storage.configure(cleaner);
  REQUIRE(storage.until([&] { return storage.clean(0) && storage.clean(1); }, 1h));
  const Duration took = world.simulation.now() - begin;
  // All is read twice, little is written.
  const Duration least = milliseconds(bytes * 2 * 1000 / 2000);
  CHECK(took > least * 9 / 10);
  CHECK(took < least * 3 / 2);
  // It does not hold up a stop.
  storage.fill(0, 200);
  const Instant stopping = world.simulation.now();
  storage.stop();
  CHECK(world.simulation.now() - stopping < 5s);
}

TEST_CASE("a log with damaged bytes is passed over, and the others are compacted") {
  StorageWorld world;
  Storage& storage = world.storage;
  storage.create(0);
  storage.create(2);
  storage.fill(0, 100);
  storage.fill(2, 60);
  const SegmentInfo second = storage.log(0)->segments()[1];
  REQUIRE(storage.run(storage.log(0)->flush()).has_value());
  REQUIRE(world.node.disk().image().flip_bit(
      io::join_path(storage.log(0)->directory(), file_name(second.base_offset, suffix::kLog)), 100));
  storage.configure({});
  REQUIRE(storage.until([&] { return storage.clean(2); }));
  REQUIRE(storage.until([&] { return storage.managers[0]->is_uncleanable(Storage::name(0)); }));
  CHECK(!storage.clean(0));
  CHECK(!storage.log(0)->failed());
  storage.fill(0, 10);
  storage.stop();
}

TEST_CASE("deletion, truncation and a stop during compaction leave whole logs and no checkpoint ahead of them") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    StorageWorld world(seed);
    Storage& storage = world.storage;
    Random random(seed);
    for (std::int32_t partition = 0; partition < 4; ++partition) {
      storage.create(partition);
      storage.fill(partition, 60);
    }
    config::CleanerConfig cleaner;
    cleaner.threads = static_cast<std::int32_t>(random.between(1, 3));
    cleaner.io_buffer_bytes = 2048;
    cleaner.backoff_ms = 100;
    storage.configure(cleaner);
    const int steps = static_cast<int>(random.between(0, 3000));
    for (int i = 0; i < steps; ++i) world.simulation.step();
    const std::int64_t cut = random.between(10, 50);
    if (seed % 3 == 0) {
      REQUIRE(storage.run(storage.managers[0]->remove(Storage::name(0)), 0).has_value());
    } else if (seed % 3 == 1) {
      REQUIRE(storage.run(storage.log(1)->truncate_to(cut), 1).has_value());
    } else {
      world.node.crash();
    }
    if (seed % 3 != 2 && random.chance(0.5)) world.simulation.run_for(milliseconds(random.between(0, 300)));
    if (seed % 3 != 2 && random.chance(0.5)) world.node.crash();
    const bool crashed = !world.node.alive();
    storage.stop();
    if (!crashed) world.node.crash({io::sim::Unsynced::keep_all, io::sim::PeersSee::reset});
    world.node.restart();
    storage.start();
    for (std::int32_t partition = 0; partition < 4; ++partition) {
      const auto log = storage.log(partition);
      if (log == nullptr) continue;
      const auto range = storage.run(log->cleanable(), Storage::owner(partition));
      REQUIRE(range.has_value());
      CHECK(range->first_dirty <= log->log_end_offset());
      // What the checkpoint calls clean is clean: no key twice.
      std::vector<std::string> keys = storage.keys_below(partition, range->first_dirty);
      std::sort(keys.begin(), keys.end());
      CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
      const Result<std::vector<std::string>> names = storage.run(storage.shard().files().list(log->directory()));
      REQUIRE(names.has_value());
      for (const std::string& name : *names) {
        CHECK(!name.ends_with(suffix::kCleaned));
        CHECK(!name.ends_with(suffix::kSwap));
      }
    }
    storage.stop();
  }
}
