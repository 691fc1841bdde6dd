// Compaction of single logs: what stays, what goes, and what it looks like on the disk.
#include "broker/storage/cleaner.h"

#include "broker/storage/offset_map.h"
#include "tests/unit/broker/storage/compaction_test.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

record::ProducerStamp producer(std::int64_t id, std::int16_t epoch, std::int32_t sequence, bool transactional = false) {
  return {.id = id, .epoch = epoch, .base_sequence = sequence, .transactional = transactional};
}

// Every stored batch, also the empty ones and those of aborted transactions.
std::vector<record::BatchView> stored_batches(World& world, Log& log) {
  std::vector<record::BatchView> batches;
  for (std::int64_t offset = log.log_start_offset();;) {
    Result<FetchData> data = world.run(log.read({.offset = offset, .isolation = FetchIsolation::log_end}));
    REQUIRE(data.has_value());
    if (data->size_bytes == 0) return batches;
    record::BatchCursor cursor(bytes_of(world, data->records));
    while (cursor.next()) {
      Result<record::BatchView> batch = cursor.batch();
      REQUIRE(batch.has_value());
      batches.push_back(*batch);
      offset = batch->next_offset();
    }
  }
}

}  // namespace

TEST_CASE("the keyed hash is SipHash-2-4 with 128 bits") {
  // The reference implementation's first vectors: key 00 01 … 0f, message 00 01 … of growing length.
  const HashKey key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
  std::vector<std::byte> message;
  for (int i = 0; i < 16; ++i) message.push_back(static_cast<std::byte>(i));
  const KeyHash empty = siphash_128(key, {});
  CHECK(empty.low == 0xe6a825ba047f81a3ULL);
  CHECK(empty.high == 0x930255c71472f66dULL);
  const KeyHash one = siphash_128(key, Bytes(message).first(1));
  CHECK(one.low == 0x44af996bd8c187daULL);
  CHECK(one.high == 0x45fc229b11597634ULL);
}

TEST_CASE("the offset map keeps each key's last offset until it is full") {
  OffsetMap map(24 * 100, 0.5, 1000, {1, 2});
  CHECK(map.most_entries() == 50);
  CHECK(map.latest_offset() == -1);
  for (int i = 0; i < 50; ++i) CHECK(map.put(as_bytes(std::to_string(i)), i));
  CHECK(!map.put(as_bytes("new"), 50));
  CHECK(map.latest_offset() == 49);
  for (int i = 0; i < 50; i += 2) CHECK(map.put(as_bytes(std::to_string(i)), 100 + i));
  for (int i = 0; i < 50; ++i) CHECK(map.find(as_bytes(std::to_string(i))) == (i % 2 == 0 ? 100 + i : i));
  CHECK(map.find(as_bytes("new")) == -1);
  CHECK(map.size() == 50);
  // No more memory than the keys can need.
  CHECK(OffsetMap(std::size_t{128} << 20, 0.9, 10, {1, 2}).memory_bytes() < 1000);
}

TEST_CASE("only the last value of each key stays, at its offset") {
  World world;
  auto log = world.open(world.options(compacted()));
  for (int i = 0; i < 200; ++i)
    put(world, *log, "key " + std::to_string(i % 7), "value " + std::to_string(i), 1000 + i);
  const auto before = map_of(world, *log);
  const std::int64_t end = log->log_end_offset();
  const std::size_t segments = log->segment_count();
  REQUIRE(segments > 5);
  const std::int64_t active = log->segments().back().base_offset;
  const Cleanable range = cleanable(world, *log);
  CHECK(range.first_dirty == 0);
  CHECK(range.end == active);
  CHECK(range.clean_bytes == 0);
  CHECK(range.ratio() == 1.0);
  const CleaningReport report = clean(world, *log);
  CHECK(report.end == active);
  CHECK(log->first_dirty_offset() == active);
  CHECK(log->log_start_offset() == 0);
  CHECK(log->log_end_offset() == end);
  const std::vector<SeenRecord> seen = see_all(world, *log);
  std::size_t cleaned = 0;
  for (const SeenRecord& record : seen) {
    CHECK(record.value == "value " + std::to_string(record.offset));
    CHECK(record.timestamp == 1000 + record.offset);
    if (record.offset < active) {
      ++cleaned;
      CHECK(record.offset >= active - 7);
    }
  }
  CHECK(cleaned == 7);
  CHECK(map_of(world, *log) == before);
  CHECK(cleanable(world, *log).dirty_bytes == 0);
  // An offset that is gone is answered with what follows.
  Result<FetchData> data = world.run(log->read({.offset = 3, .max_bytes = 1}));
  REQUIRE(data.has_value());
  CHECK(data->first_batch_offset == active - 7);
  world.simulation.run_for(2s);
  CHECK(leftovers(world).empty());
  log = world.reopen_clean(std::move(log));
  CHECK(see_all(world, *log) == seen);
  log = world.reopen_killed(std::move(log), 0);
  CHECK(see_all(world, *log) == seen);
  // What has become small is put together by the next cleaning.
  log->set_first_dirty_offset(active);
  put(world, *log, "other", "v");
  REQUIRE(world.run(log->roll()).has_value());
  clean(world, *log);
  CHECK(log->segment_count() < segments / 2);
  CHECK(see_all(world, *log).size() <= 9);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a tombstone stays until its horizon, which its batch tells, has passed") {
  World world;
  config::LogConfig config = compacted();
  config.delete_retention_ms = 10'000;
  auto log = world.open(world.options(config));
  put(world, *log, "gone", "value");
  put(world, *log, "kept", "value");
  append(world, *log, keyed_batch({{"other", "value", 1500}, {"gone", std::nullopt, 1700}}));
  REQUIRE(world.run(log->roll()).has_value());
  put(world, *log, "last", "x");
  const TimestampMs cleaned_ms = world.shard().wall_ms();
  clean(world, *log);
  std::vector<SeenRecord> seen = see_all(world, *log);
  REQUIRE(seen.size() == 4);
  CHECK(seen[0] == SeenRecord{1, 1000, "kept", "value"});
  CHECK(seen[1] == SeenRecord{2, 1500, "other", "value"});
  CHECK(seen[2] == SeenRecord{3, 1700, "gone", std::nullopt});
  const auto horizon_of = [&](std::int64_t offset) {
    for (const record::BatchView& batch : stored_batches(world, *log)) {
      if (batch.last_offset() < offset) continue;
      return batch.has_delete_horizon() ? batch.base_timestamp() : -1;
    }
    return TimestampMs{-2};
  };
  CHECK(horizon_of(1) == -1);
  const TimestampMs horizon = horizon_of(3);
  CHECK(horizon >= cleaned_ms + 10'000);
  CHECK(horizon < cleaned_ms + 12'000);

  // Nothing new before the horizon: the second cleaning changes no batch.
  const auto stored = stored_batches(world, *log);
  REQUIRE(world.run(log->roll()).has_value());
  put(world, *log, "last", "y");
  clean(world, *log);
  const auto again = stored_batches(world, *log);
  REQUIRE(again.size() == stored.size() + 1);
  for (std::size_t i = 0; i < stored.size(); ++i) CHECK(again[i].slice() == stored[i].slice());

  world.simulation.run_for(12s);
  REQUIRE(world.run(log->roll()).has_value());
  put(world, *log, "last", "z");
  clean(world, *log);
  seen = see_all(world, *log);
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].key == "kept");
  CHECK(seen[1].key == "other");
  CHECK(seen[2] == SeenRecord{5, 1000, "last", "y"});
  CHECK(seen[3] == SeenRecord{6, 1000, "last", "z"});
  log = world.reopen_killed(std::move(log), 0);
  CHECK(see_all(world, *log) == seen);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a thinned batch keeps its codec, its offsets and its producer") {
  World world;
  for (int codec = 0; codec <= 4; ++codec) {
    CAPTURE(codec);
    auto log = world.open(world.options(compacted()));
    std::vector<KeyedRecord> records;
    for (int i = 0; i < 10; ++i) records.push_back({"key " + std::to_string(i), std::string(50, 'v'), 1000 + i});
    append(world, *log, keyed_batch(records, producer(7, 3, 40), static_cast<compress::Compression>(codec)), 5);
    append(world, *log, keyed_batch({{"key 0", "new"}, {"key 9", "new"}}, producer(7, 3, 50)), 5);
    REQUIRE(world.run(log->roll()).has_value());
    clean(world, *log);
    const record::BatchView batch = stored_batches(world, *log).at(0);
    CHECK(batch.base_offset() == 0);
    CHECK(batch.last_offset() == 9);
    CHECK(batch.record_count() == 8);
    CHECK(batch.attributes() == codec);
    CHECK(batch.producer_id() == 7);
    CHECK(batch.producer_epoch() == 3);
    CHECK(batch.base_sequence() == 40);
    CHECK(batch.leader_epoch() == 5);
    CHECK(batch.base_timestamp() == 1001);
    CHECK(batch.max_timestamp() == 1008);
    CHECK(see_all(world, *log).size() == 10);
    REQUIRE(world.run(log->close()).has_value());
    REQUIRE(world.run(io::remove_tree(world.files(), kDirectory)).has_value());
  }
}

TEST_CASE("a producer's last batch stays as a header, so that a retry and the next sequence are known") {
  World world;
  auto log = world.open(world.options(compacted()));
  const TimestampMs now = world.shard().wall_ms();
  append(world, *log, keyed_batch({{"a", "1", now}}, producer(7, 0, 0)));
  append(world, *log, keyed_batch({{"a", "2", now}, {"b", "2", now}}, producer(7, 0, 1)));
  for (int i = 0; i < 30; ++i) {
    append(world, *log, keyed_batch({{"a", "3", now}, {"b", std::string(40, 'x'), now}}));
  }
  REQUIRE(world.run(log->roll()).has_value());
  clean(world, *log);
  const auto batches = stored_batches(world, *log);
  REQUIRE(batches.size() == 2);
  CHECK(batches[0].record_count() == 0);
  CHECK(batches[0].size_bytes() == record::kBatchHeaderSize);
  CHECK(batches[0].base_offset() == 1);
  CHECK(batches[0].last_offset() == 2);
  CHECK(batches[0].base_sequence() == 1);
  CHECK(batches[0].last_sequence() == 2);
  CHECK(batches[0].max_timestamp() == now);
  log = world.reopen_killed(std::move(log), 0);
  CHECK(stored_batches(world, *log).size() == 2);
  const ProducerEntry* known = log->producers().find(7);
  REQUIRE(known != nullptr);
  CHECK(known->last_sequence() == 2);
  Result<AppendInfo> retry = world.run(
      log->append_as_leader(leader_append(keyed_batch({{"a", "2", now}, {"b", "2", now}}, producer(7, 0, 1)))));
  REQUIRE(retry.has_value());
  CHECK(retry->duplicate);
  append(world, *log, keyed_batch({{"c", "1", now}}, producer(7, 0, 3)));
  REQUIRE(world.run(log->roll()).has_value());
  clean(world, *log);
  CHECK(stored_batches(world, *log).front().record_count() > 0);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("records of aborted transactions go at once, markers with the last of their data and after the horizon") {
  World world;
  config::LogConfig config = compacted();
  config.delete_retention_ms = 10'000;
  auto log = world.open(world.options(config));
  const TimestampMs now = world.shard().wall_ms();
  append(world, *log, keyed_batch({{"a", "old", now}}));                            // 0
  append(world, *log, keyed_batch({{"a", "bad", now}}, producer(1, 0, 0, true)));   // 1
  append(world, *log, keyed_batch({{"b", "good", now}}, producer(2, 0, 0, true)));  // 2
  end_transaction(world, *log, false, 1, 0, now);                                   // 3
  end_transaction(world, *log, true, 2, 0, now);                                    // 4
  append(world, *log, keyed_batch({{"d", "more", now}}, producer(1, 0, 1, true)));  // 5
  append(world, *log, keyed_batch({{"e", "more", now}}, producer(2, 0, 1, true)));  // 6
  end_transaction(world, *log, true, 1, 0, now);                                    // 7
  end_transaction(world, *log, true, 2, 0, now);                                    // 8
  REQUIRE(world.run(log->roll()).has_value());
  clean(world, *log);
  CHECK(map_of(world, *log) ==
        std::map<std::string, std::string>{{"a", "old"}, {"b", "good"}, {"d", "more"}, {"e", "more"}});
  const auto offsets = [&] {
    std::vector<std::int64_t> all;
    for (const record::BatchView& batch : stored_batches(world, *log)) all.push_back(batch.last_offset());
    return all;
  };
  // The aborted record is gone, its marker was still needed for it.
  CHECK(offsets() == std::vector<std::int64_t>{0, 2, 3, 4, 5, 6, 7, 8});
  append(world, *log, keyed_batch({{"x", "1", now}}));
  REQUIRE(world.run(log->roll()).has_value());
  clean(world, *log);
  CHECK(offsets() == std::vector<std::int64_t>{0, 2, 3, 4, 5, 6, 7, 8, 9});
  for (const record::BatchView& batch : stored_batches(world, *log)) {
    CHECK(batch.has_delete_horizon() == (batch.last_offset() == 3));
  }
  world.simulation.run_for(12s);
  append(world, *log, keyed_batch({{"x", "2", now}}));
  REQUIRE(world.run(log->roll()).has_value());
  clean(world, *log);
  CHECK(offsets() == std::vector<std::int64_t>{0, 2, 4, 5, 6, 7, 8, 10});
  log = world.reopen_killed(std::move(log), 0);
  CHECK(map_of(world, *log).at("a") == "old");
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("nothing is cleaned at or above the last stable offset, the active segment and the compaction lag") {
  World world;
  config::LogConfig config = compacted();
  auto log = world.open(world.options(config));
  const TimestampMs now = world.shard().wall_ms();
  for (int i = 0; i < 40; ++i) put(world, *log, "key", std::string(60, 'v'), now - 100'000 + i * 1000);
  const std::vector<SegmentInfo> segments = log->segments();
  REQUIRE(segments.size() > 4);
  CHECK(cleanable(world, *log).end == segments.back().base_offset);
  config.min_compaction_lag_ms = now - (now - 100'000 + segments[2].base_offset * 1000);
  log->set_config(config);
  CHECK(cleanable(world, *log).end == segments[2].base_offset);
  config.min_compaction_lag_ms = 0;
  config.max_compaction_lag_ms = 50'000;
  log->set_config(config);
  CHECK(cleanable(world, *log).overdue);
  config.max_compaction_lag_ms = 500'000;
  log->set_config(config);
  CHECK(!cleanable(world, *log).overdue);
  // An open transaction, and a high watermark that is behind.
  append(world, *log, keyed_batch({{"t", "1", now}}, producer(1, 0, 0, true)));
  const std::int64_t open = log->log_end_offset() - 1;
  for (int i = 0; i < 40; ++i) put(world, *log, "key", std::string(60, 'v'), now);
  const Cleanable range = cleanable(world, *log);
  CHECK(range.end <= open);
  CHECK(range.end > open - 10);
  log = world.reopen_clean(std::move(log));
  LogOptions options = world.options(config);
  REQUIRE(world.run(log->close()).has_value());
  options.clean_shutdown = true;
  options.high_watermark = segments[1].base_offset + 1;
  log = world.open(options);
  CHECK(cleanable(world, *log).end == segments[1].base_offset);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a map that is too small cleans in several rounds") {
  World world;
  auto log = world.open(world.options(compacted()));
  for (int i = 0; i < 300; ++i) put(world, *log, "key " + std::to_string(i % 90), std::to_string(i), 1000 + i);
  const auto before = map_of(world, *log);
  CleaningOptions options;
  options.map_bytes = OffsetMap::kEntryBytes * 30;
  std::int64_t first_dirty = 0;
  int rounds = 0;
  while (cleanable(world, *log).dirty_bytes > 0) {
    const CleaningReport report = clean(world, *log, options);
    CHECK(report.first_dirty == first_dirty);
    CHECK(report.end > first_dirty);
    first_dirty = report.end;
    CHECK(map_of(world, *log) == before);
    REQUIRE(++rounds < 20);
  }
  CHECK(rounds > 2);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("truncating, emptying, closing and a change of the policy end a cleaning, and the log is as it was") {
  for (int way = 0; way < 5; ++way) {
    for (int steps = 0; steps < 60; steps += 3) {
      CAPTURE(way);
      CAPTURE(steps);
      World world(static_cast<std::uint64_t>(steps) + 1);
      auto log = world.open(world.options(compacted()));
      for (int i = 0; i < 60; ++i) put(world, *log, "key " + std::to_string(i % 9), std::string(60, 'v'), 1000 + i);
      const auto before = map_of(world, *log);
      const std::int64_t end = log->log_end_offset();
      CleaningOptions options;
      options.io_buffer_bytes = 200;
      std::optional<Result<CleaningReport>> report;
      io::Gate gate(world.shard());
      const Cleanable range = cleanable(world, *log);
      const auto cleaning = [&]() -> Task<void> {
        Result<CleaningReport> done = co_await clean_log(*log, range, options);
        report.emplace(std::move(done));
      };
      gate.spawn(cleaning());
      for (int i = 0; i < steps * 10 && !report; ++i) world.simulation.step();
      if (way == 0) {
        REQUIRE(world.run(log->truncate_to(end / 2)).has_value());
      } else if (way == 1) {
        REQUIRE(world.run(log->truncate_fully_and_start_at(1000)).has_value());
      } else if (way == 2) {
        config::LogConfig config = log->config();
        config.cleanup_compact = false;
        log->set_config(config);
      } else if (way == 3) {
        log = world.reopen_clean(std::move(log));
      } else {
        REQUIRE(world.run(log->roll()).has_value());
        put(world, *log, "other", "v");
        REQUIRE(world.run(log->delete_old_segments()).has_value());
      }
      world.run(gate.close());
      REQUIRE(report.has_value());
      if (!*report) CHECK(report->error() == Errc::cancelled);
      if (way == 4) CHECK(report->has_value());
      if (way == 0) {
        CHECK(log->log_end_offset() <= end / 2);
        CHECK(log->first_dirty_offset().value_or(0) <= log->log_end_offset());
        for (const SeenRecord& record : see_all(world, *log)) CHECK(record.offset < end / 2);
      } else if (way == 1) {
        CHECK(map_of(world, *log).empty());
      } else if (way == 4) {
        CHECK(map_of(world, *log).size() == 10);
      } else {
        CHECK(map_of(world, *log) == before);
      }
      world.simulation.run_for(2s);
      CHECK(leftovers(world).empty());
      REQUIRE(world.run(log->close()).has_value());
    }
  }
}

TEST_CASE("damaged bytes end a cleaning before anything of them is written anew") {
  World world;
  auto log = world.open(world.options(compacted()));
  for (int i = 0; i < 60; ++i) put(world, *log, "key " + std::to_string(i % 9), std::string(60, 'v'), 1000 + i);
  const std::int64_t base = log->segments()[1].base_offset;
  log = world.reopen_clean(std::move(log));
  REQUIRE(world.node->disk().image().flip_bit(world.path(file_name(base, suffix::kLog)), 100));
  const Slice damaged = world.content(file_name(base, suffix::kLog));
  Result<CleaningReport> report = world.run(clean_log(*log, cleanable(world, *log), {}));
  REQUIRE(!report.has_value());
  CHECK(report.error() == Errc::corrupt);
  CHECK(world.content(file_name(base, suffix::kLog)) == damaged);
  CHECK(leftovers(world).empty());
  CHECK(!log->failed());
  CHECK(!log->first_dirty_offset().has_value());
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a full disk ends a cleaning, and the log goes on") {
  World world;
  auto log = world.open(world.options(compacted()));
  for (int i = 0; i < 60; ++i) put(world, *log, "key " + std::to_string(i % 9), std::string(60, 'v'), 1000 + i);
  const auto before = map_of(world, *log);
  world.node->disk().inject({.operation = io::sim::DiskOperation::write, .path = ".cleaned", .error_number = ENOSPC});
  Result<CleaningReport> report = world.run(clean_log(*log, cleanable(world, *log), {}));
  REQUIRE(!report.has_value());
  CHECK(code(report.error()) == ErrorCode::kafka_storage_error);
  CHECK(!log->failed());
  world.simulation.run_for(2s);
  CHECK(leftovers(world).empty());
  CHECK(map_of(world, *log) == before);
  world.node->disk().clear_faults();
  put(world, *log, "other", "v");
  clean(world, *log);
  CHECK(map_of(world, *log).size() == before.size() + 1);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a disk that fails under a cleaning takes the log out of service, and nothing from it") {
  for (const io::sim::DiskOperation operation : {io::sim::DiskOperation::create, io::sim::DiskOperation::write,
                                                 io::sim::DiskOperation::sync, io::sim::DiskOperation::rename}) {
    CAPTURE(std::string(io::sim::name_of(operation)));
    World world;
    std::vector<Error> failures;
    LogOptions options = world.options(compacted());
    options.on_storage_failure = [&](const Error& error) { failures.push_back(error); };
    auto log = world.open(std::move(options));
    for (int i = 0; i < 60; ++i) put(world, *log, "key " + std::to_string(i % 9), std::string(60, 'v'), 1000 + i);
    REQUIRE(world.run(log->flush()).has_value());
    const auto before = map_of(world, *log);
    const std::string path = operation == io::sim::DiskOperation::rename ? "" : ".cleaned";
    world.node->disk().inject({.operation = operation, .path = path, .error_number = EIO});
    Result<CleaningReport> report = world.run(clean_log(*log, cleanable(world, *log), {}));
    REQUIRE(!report.has_value());
    CHECK(code(report.error()) == ErrorCode::kafka_storage_error);
    CHECK(log->failed());
    CHECK(!failures.empty());
    world.node->disk().clear_faults();
    log = world.reopen_killed(std::move(log), 0);
    log->set_high_watermark(log->log_end_offset());
    CHECK(map_of(world, *log) == before);
    clean(world, *log);
    CHECK(map_of(world, *log) == before);
    world.simulation.run_for(2s);  // over file.delete.delay.ms
    CHECK(leftovers(world).empty());
    REQUIRE(world.run(log->close()).has_value());
  }
}
