// Compaction under random histories: what a reader makes of the log stays the same, whatever is cleaned when, and
// wherever the power fails.
#include <algorithm>

#include "broker/storage/cleaner.h"
#include "tests/unit/broker/storage/compaction_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

// Appends at random: keys, tombstones, several producers with and without transactions, all codecs.
class Writer {
 public:
  Writer(std::uint64_t seed, World& world, std::int64_t keys) : random_(seed), world_(world), keys_(keys) {}

  void append_some(Log& log) {
    const std::uint64_t dice = random_.below(100);
    if (dice < 50) {
      append(world_, log, batch({}), epoch_);
    } else if (dice < 65) {
      const std::int64_t id = 100 + static_cast<std::int64_t>(random_.below(3));
      std::int32_t& sequence = sequences_[id];
      const Slice records = batch({.id = id, .epoch = 0, .base_sequence = sequence});
      sequence += count_;
      append(world_, log, records, epoch_);
    } else if (dice < 85) {
      const std::int64_t id = 200 + static_cast<std::int64_t>(random_.below(3));
      std::int32_t& sequence = sequences_[id];
      const Slice records = batch({.id = id, .epoch = 0, .base_sequence = sequence, .transactional = true});
      sequence += count_;
      open_.insert(id);
      append(world_, log, records, epoch_);
    } else if (dice < 97) {
      end_one(log);
    } else {
      ++epoch_;
    }
  }
  void end_all(Log& log) {
    while (!open_.empty()) end_one(log);
  }
  Random& random() { return random_; }

 private:
  void end_one(Log& log) {
    if (open_.empty()) return;
    auto at = open_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random_.below(open_.size())));
    LeaderAppend marker = leader_append(
        record::build_transaction_marker(random_.chance(0.6), *at, 0, 1, world_.shard().wall_ms()), epoch_);
    marker.origin = AppendOrigin::coordinator;
    REQUIRE(world_.run(log.append_as_leader(std::move(marker))).has_value());
    log.set_high_watermark(log.log_end_offset());
    open_.erase(at);
  }
  Slice batch(record::ProducerStamp producer) {
    std::vector<KeyedRecord> records;
    count_ = static_cast<std::int32_t>(random_.between(1, 5));
    for (std::int32_t i = 0; i < count_; ++i) {
      KeyedRecord record;
      record.key = "key " + std::to_string(random_.below(static_cast<std::uint64_t>(keys_)));
      if (!random_.chance(0.2)) {
        record.value = std::to_string(++values_) + std::string(static_cast<std::size_t>(random_.below(60)), 'v');
      }
      record.timestamp = world_.shard().wall_ms() + random_.between(-50, 50);
      records.push_back(std::move(record));
    }
    return keyed_batch(records, producer, static_cast<compress::Compression>(random_.below(5)));
  }

  Random random_;
  World& world_;
  std::int64_t keys_;
  std::int32_t count_ = 0;
  std::int32_t epoch_ = 0;
  std::int64_t values_ = 0;
  std::map<std::int64_t, std::int32_t> sequences_;
  std::set<std::int64_t> open_;
};

config::LogConfig drawn_config(Random& random) {
  config::LogConfig config = compacted(static_cast<std::int32_t>(random.between(400, 3000)));
  config.index_interval_bytes = static_cast<std::int32_t>(random.between(0, 500));
  config.delete_retention_ms = random.chance(0.5) ? 0 : random.between(1, 3000);
  config.preallocate = random.chance(0.2);
  config.file_delete_delay_ms = random.chance(0.3) ? 0 : 500;
  return config;
}

CleaningOptions drawn_options(Random& random) {
  CleaningOptions options;
  options.io_buffer_bytes = static_cast<std::size_t>(random.between(50, 2000));
  if (random.chance(0.3)) options.map_bytes = OffsetMap::kEntryBytes * static_cast<std::size_t>(random.between(4, 40));
  return options;
}

// No segment reaches into the next one.
void check_disjoint(World& world, Log& log) {
  const std::vector<std::shared_ptr<Segment>> segments = log.segments_between(0, log.log_end_offset());
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    Result<std::optional<PlacedBatch>> found = world.run(segments[i]->find(segments[i + 1]->base_offset()));
    REQUIRE_MESSAGE(found.has_value(), why_of(found));
    CHECK(!found->has_value());
  }
}

// The records that differ from what the first log says, for the eye.
std::string keys_text(const std::map<std::string, std::string>& map) {
  std::string text;
  for (const auto& [key, value] : map) text += key + "=" + value.substr(0, 4) + " ";
  return text;
}

}  // namespace

TEST_CASE("for random histories the log says the same before and after compaction, and a second one changes nothing") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    World world(seed);
    Random random(seed);
    auto log = world.open(world.options(drawn_config(random)));
    Writer writer(seed, world, random.between(2, 30));
    const int rounds = static_cast<int>(random.between(1, 6));
    for (int round = 0; round < rounds; ++round) {
      const int steps = static_cast<int>(random.between(5, 60));
      for (int i = 0; i < steps; ++i) writer.append_some(*log);
      if (random.chance(0.5)) writer.end_all(*log);
      if (random.chance(0.5)) REQUIRE(world.run(log->roll()).has_value());
      const auto before = map_of(world, *log);
      const std::int64_t end = log->log_end_offset();
      const std::int64_t stable = log->last_stable_offset();
      if (cleanable(world, *log).dirty_bytes > 0) clean(world, *log, drawn_options(random));
      const auto after = map_of(world, *log);
      CHECK_MESSAGE(after == before, keys_text(after), " instead of ", keys_text(before));
      CHECK(log->log_end_offset() == end);
      CHECK(log->last_stable_offset() == stable);
      check_disjoint(world, *log);
      if (random.chance(0.3)) world.simulation.run_for(milliseconds(random.between(1, 4000)));
      if (random.chance(0.3)) {
        const auto dirty = log->first_dirty_offset();
        const std::int64_t recovery_point = random.between(0, log->recovery_point());
        log = random.chance(0.5) ? world.reopen_clean(std::move(log))
                                 : world.reopen_killed(std::move(log), recovery_point);
        if (dirty) log->set_first_dirty_offset(*dirty);
        CHECK(map_of(world, *log) == before);
        CHECK(log->log_end_offset() == end);
        CHECK(log->last_stable_offset() == stable);
        CHECK(leftovers(world).empty());
      }
    }
    writer.end_all(*log);
    REQUIRE(world.run(log->roll()).has_value());
    config::LogConfig config = log->config();
    config.delete_retention_ms = 1'000'000;
    log->set_config(config);
    // When all horizons have passed, tombstones go, then markers whose data is gone; after that nothing is left to do.
    world.simulation.run_for(5s);
    const auto before = map_of(world, *log);
    for (int i = 0; i < 4; ++i) {
      log->set_first_dirty_offset(0);
      if (cleanable(world, *log).dirty_bytes > 0) clean(world, *log);
      CHECK(map_of(world, *log) == before);
    }
    const std::vector<SeenRecord> once = see_all(world, *log);
    const std::int64_t bytes = log->size_bytes();
    log->set_first_dirty_offset(0);
    if (cleanable(world, *log).dirty_bytes > 0) clean(world, *log);
    CHECK(see_all(world, *log) == once);
    CHECK(log->size_bytes() == bytes);
    // Each key once, at most.
    std::set<std::string> keys;
    for (const SeenRecord& record : once) CHECK(keys.insert(record.key).second);
    REQUIRE(world.run(log->close()).has_value());
  }
}

TEST_CASE("a reader that goes through the log while it is cleaned never sees an offset go back") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    World world(seed);
    Random random(seed);
    auto log = world.open(world.options(drawn_config(random)));
    Writer writer(seed, world, random.between(2, 20));
    for (int i = 0; i < 150; ++i) writer.append_some(*log);
    writer.end_all(*log);
    REQUIRE(world.run(log->roll()).has_value());
    const auto before = map_of(world, *log);
    std::vector<std::unique_ptr<Reader>> readers;
    std::vector<FetchData> held;  // regions of segments that are replaced before they are read
    io::Gate gate(world.shard());
    const Cleanable range = cleanable(world, *log);
    const CleaningOptions options = drawn_options(random);
    bool done = false;
    const auto cleaning = [&]() -> Task<void> {
      Result<CleaningReport> report = co_await clean_log(*log, range, options);
      REQUIRE_MESSAGE(report.has_value(), why_of(report));
      done = true;
    };
    gate.spawn(cleaning());
    while (!done) {
      if (readers.size() < 8 && random.chance(0.2)) readers.push_back(std::make_unique<Reader>(world, *log));
      for (int i = 0; i < 20 && !done; ++i) world.simulation.step();
      if (held.size() < 20 && random.chance(0.1)) {
        Result<FetchData> data = world.run(log->read({.offset = random.between(0, log->last_stable_offset())}));
        REQUIRE_MESSAGE(data.has_value(), why_of(data));
        held.push_back(*std::move(data));
      }
      for (const auto& reader : readers) {
        if (random.chance(0.5)) reader->step(random.between(1, 1500));
      }
    }
    world.run(gate.close());
    world.simulation.run_for(2s);
    CHECK(leftovers(world).empty());
    // Files that are gone can be read to the end by who has them.
    for (const FetchData& data : held) {
      record::BatchCursor cursor(bytes_of(world, data.records));
      std::int64_t last_offset = -1;
      while (cursor.next()) {
        CHECK(cursor.batch()->check_crc().has_value());
        CHECK(cursor.batch()->base_offset() > last_offset);
        last_offset = cursor.batch()->last_offset();
      }
      CHECK(cursor.tail() != record::EntryStatus::malformed);
    }
    readers.push_back(std::make_unique<Reader>(world, *log));
    for (const auto& reader : readers) {
      while (reader->step()) {
      }
      // A reader that began before a tombstone went has seen what it removed; it has seen the tombstone too.
      CHECK(reader->map() == before);
      CHECK(reader->offset() <= log->log_end_offset());
    }
    REQUIRE(world.run(log->close()).has_value());
  }
}

TEST_CASE("wherever the power fails during a cleaning, the log comes back with the same map and no leftovers") {
  int crashes = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    for (std::uint64_t point = 1;; ++point) {
      CAPTURE(seed);
      CAPTURE(point);
      World world(seed);
      Random random(seed);
      config::LogConfig config = drawn_config(random);
      auto log = world.open(world.options(config));
      Writer writer(seed, world, random.between(2, 20));
      for (int i = 0; i < 40; ++i) writer.append_some(*log);
      writer.end_all(*log);
      REQUIRE(world.run(log->roll()).has_value());
      if (random.chance(0.5)) {  // a second cleaning, of what a first one left
        clean(world, *log);
        for (int i = 0; i < 15; ++i) writer.append_some(*log);
        writer.end_all(*log);
        REQUIRE(world.run(log->roll()).has_value());
      }
      REQUIRE(world.run(log->flush()).has_value());
      const auto before = map_of(world, *log);
      const std::int64_t end = log->log_end_offset();
      const std::int64_t recovery_point = log->recovery_point();
      const std::optional<std::int64_t> first_dirty = log->first_dirty_offset();
      bool crashed = false;
      world.node->disk().crash_after(point, [&] {
        crashed = true;
        world.node->crash();
      });
      Result<CleaningReport> report = world.run(clean_log(*log, cleanable(world, *log), drawn_options(random)));
      if (!crashed) {
        REQUIRE(report.has_value());
        world.node->disk().crash_after(1'000'000, [] {});
        REQUIRE(world.run(log->close()).has_value());
        REQUIRE(point > 10);
        break;
      }
      ++crashes;
      world.simulation.run(world.shard(), log->abandon());
      log.reset();
      // The start may be cut short as well.
      for (int start = 0;; ++start) {
        world.node->restart();
        LogOptions options = world.options(config);
        options.recovery_point = recovery_point;
        options.first_dirty_offset = first_dirty;
        options.high_watermark = end;
        bool again = false;
        if (start < 3) {
          world.node->disk().crash_after(random.below(start == 0 ? 12 : 40) + 1, [&] {
            again = true;
            world.node->crash();
          });
        } else {
          world.node->disk().crash_after(1'000'000, [] {});
        }
        Result<std::unique_ptr<Log>> opened = world.run(Log::open(world.shard(), options));
        if (again) {
          if (opened) {
            world.simulation.run(world.shard(), (*opened)->abandon());
            opened->reset();
          }
          continue;
        }
        world.node->disk().crash_after(1'000'000, [] {});
        REQUIRE_MESSAGE(opened.has_value(), why_of(opened));
        log = *std::move(opened);
        break;
      }
      CHECK(log->log_end_offset() == end);
      CHECK(log->last_stable_offset() == end);
      CHECK(leftovers(world).empty());
      const auto after = map_of(world, *log);
      CHECK_MESSAGE(after == before, keys_text(after), " instead of ", keys_text(before));
      check_disjoint(world, *log);
      // And it can be cleaned now.
      if (cleanable(world, *log).dirty_bytes > 0) clean(world, *log);
      CHECK(map_of(world, *log) == before);
      REQUIRE(world.run(log->close()).has_value());
    }
  }
  CHECK(crashes > 300);
}
