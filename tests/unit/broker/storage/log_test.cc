#include "broker/storage/log.h"

#include "tests/unit/broker/storage/storage_test.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

TEST_CASE("an empty log has nothing to read and refuses offsets beyond its end") {
  World world;
  auto log = world.open(world.options());
  CHECK(log->log_start_offset() == 0);
  CHECK(log->log_end_offset() == 0);
  Result<FetchData> data = world.run(log->read({.offset = 0, .isolation = FetchIsolation::log_end}));
  REQUIRE(data.has_value());
  CHECK(data->size_bytes == 0);
  Result<FetchData> beyond = world.run(log->read({.offset = 1, .isolation = FetchIsolation::log_end}));
  REQUIRE(!beyond.has_value());
  CHECK(code(beyond.error()) == ErrorCode::offset_out_of_range);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("appended records get offsets and the leader's epoch, and are read back as sent") {
  World world;
  auto log = world.open(world.options());
  AppendInfo first = append(world, *log, make_batch({{"one", 1000}, {"two", 1001}}), 5);
  CHECK(first.first_offset == 0);
  CHECK(first.last_offset == 1);
  CHECK(first.record_count == 2);
  CHECK(first.log_append_time_ms == -1);
  AppendInfo second = append(world, *log, make_batch({{"three", 1002}}), 6);
  CHECK(second.first_offset == 2);
  const std::vector<ReadBack> expected{{0, 1000, "one", 5}, {1, 1001, "two", 5}, {2, 1002, "three", 6}};
  CHECK(read_all(world, *log, 0) == expected);
  CHECK(read_all(world, *log, 1) == std::vector<ReadBack>(expected.begin() + 1, expected.end()));
  CHECK(log->end_offset_for_epoch(5) == EpochEnd{5, 2});
  CHECK(log->end_offset_for_epoch(6) == EpochEnd{6, 3});
  log = world.reopen_clean(std::move(log));
  CHECK(read_all(world, *log, 0) == expected);
  CHECK(log->end_offset_for_epoch(5) == EpochEnd{5, 2});
  CHECK(append(world, *log, make_batch(1), 6).first_offset == 3);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a full segment is rolled, and every offset can be read with any size limit") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 50; ++i) append(world, *log, make_batch(3, 1000 + i));
  CHECK(log->segment_count() > 3);
  for (const SegmentInfo& segment : log->segments()) CHECK(segment.size_bytes <= 1000);
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  REQUIRE(all.size() == 150);
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i].offset == static_cast<std::int64_t>(i));
  for (const std::int64_t offset : {0, 1, 7, 40, 77, 148, 149}) {
    for (const std::int64_t max_bytes : {1, 100, 250, 100000}) {
      const std::vector<ReadBack> some = read_all(world, *log, offset, FetchIsolation::log_end, max_bytes);
      REQUIRE(some.size() == static_cast<std::size_t>(150 - offset));
      CHECK(some.front().offset == offset);
    }
  }
  log = world.reopen_clean(std::move(log));
  CHECK(read_all(world, *log, 0) == all);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("readers see nothing at or above the high watermark") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 40; ++i) {
    REQUIRE(world.run(log->append_as_leader(leader_append(make_batch(2)))).has_value());
  }
  for (const std::int64_t high_watermark : {0, 2, 20, 64, 66, 80}) {
    CHECK(log->set_high_watermark(high_watermark) == high_watermark);
    const std::vector<ReadBack> seen = read_all(world, *log, 0, FetchIsolation::high_watermark);
    CHECK(seen.size() == static_cast<std::size_t>(high_watermark));
  }
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a reader gets its first batch whole, or nothing where even that is too much") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 3; ++i) {
    REQUIRE(world.run(log->append_as_leader(leader_append(make_batch(2)))).has_value());
  }
  const auto bytes_of = [&](std::int64_t max_bytes, bool min_one_batch) {
    Result<FetchData> data = world.run(log->read(
        {.offset = 0, .max_bytes = max_bytes, .isolation = FetchIsolation::log_end, .min_one_batch = min_one_batch}));
    REQUIRE(data.has_value());
    return data->size_bytes;
  };
  const std::int64_t batch = bytes_of(0, true);
  CHECK(batch > 0);
  CHECK(bytes_of(batch - 1, true) == batch);
  CHECK(bytes_of(batch - 1, false) == 0);
  CHECK(bytes_of(batch, false) == batch);
  CHECK(bytes_of(batch + 1, false) == batch + 1);  // later batches may be cut
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("segments roll by time, by a full index and by flag") {
  World world;
  config::LogConfig config = small_segments(100000);
  config.segment_ms = 1000;
  auto log = world.open(world.options(config));
  append(world, *log, make_batch(1, 5000));
  append(world, *log, make_batch(1, 6000));
  CHECK(log->segment_count() == 1);
  append(world, *log, make_batch(1, 6001));
  CHECK(log->segment_count() == 2);

  config.segment_ms = 1'000'000;
  config.segment_index_bytes = 24;  // three offsets; one time besides the one kept for the roll
  log->set_config(config);
  for (int i = 0; i < 10; ++i) append(world, *log, make_batch(10, 6002 + i));
  CHECK(log->segment_count() > 3);
  const std::size_t before = log->segment_count();
  REQUIRE(world.run(log->roll()).has_value());
  CHECK(log->segment_count() == before + 1);
  REQUIRE(world.run(log->roll()).has_value());
  CHECK(log->segment_count() == before + 1);
  CHECK(read_all(world, *log, 0).size() == 103);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a log with LogAppendTime stamps records with the broker's time") {
  World world;
  config::LogConfig config;
  config.timestamp_type = config::TimestampType::log_append_time;
  auto log = world.open(world.options(config));
  AppendInfo info = append(world, *log, make_batch({{"a", 1}, {"b", 2}}));
  CHECK(info.log_append_time_ms >= 1'750'000'000'000);
  for (const ReadBack& record : read_all(world, *log, 0)) CHECK(record.timestamp == info.log_append_time_ms);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("concurrent appends get offsets in the order of their calls") {
  World world;
  auto log = world.open(world.options(small_segments()));
  std::vector<std::int64_t> offsets(30, -1);
  const auto all = [&]() -> Task<int> {
    io::Gate gate(world.shard());
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      gate.spawn([](Log* to, std::int64_t* result) -> Task<void> {
        Result<AppendInfo> info = co_await to->append_as_leader(leader_append(make_batch(2)));
        *result = info ? info->first_offset : -2;
      }(log.get(), &offsets[i]));
    }
    co_await gate.close();
    co_return 0;
  };
  world.run(all());
  for (std::size_t i = 0; i < offsets.size(); ++i) CHECK(offsets[i] == static_cast<std::int64_t>(2 * i));
  CHECK(read_all(world, *log, 0).size() == 60);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a follower keeps offsets and epochs and leaves out a cut batch and newer epochs") {
  World world;
  auto leader = world.open(world.options());
  append(world, *leader, make_batch(2), 1);
  append(world, *leader, make_batch(3), 1);
  append(world, *leader, make_batch(1), 4);
  Result<FetchData> data = world.run(leader->read({.offset = 0, .isolation = FetchIsolation::log_end}));
  REQUIRE(data.has_value());
  const Slice bytes = bytes_of(world, data->records);
  LogOptions options = world.options();
  options.directory = "/data/copy-0";
  auto follower = world.open(options);
  Result<AppendInfo> cut =
      world.run(follower->append_as_follower(Slice::copy(bytes.part(0, bytes.size() - 80).bytes()), 9));
  REQUIRE(cut.has_value());
  CHECK(cut->first_offset == 0);
  const std::int64_t end = follower->log_end_offset();
  CHECK((end == 2 || end == 5));
  Result<AppendInfo> again = world.run(follower->append_as_follower(bytes, 9));
  REQUIRE(!again.has_value());
  CHECK(code(again.error()) == ErrorCode::offset_out_of_range);
  REQUIRE(world.run(follower->truncate_to(0)).value());
  Result<AppendInfo> old_epoch = world.run(follower->append_as_follower(Slice::copy(bytes.bytes()), 1));
  REQUIRE(old_epoch.has_value());
  CHECK(old_epoch->last_offset == 4);
  REQUIRE(world.run(follower->truncate_to(0)).value());
  REQUIRE(world.run(follower->append_as_follower(Slice::copy(bytes.bytes()), 4)).has_value());
  CHECK(read_all(world, *follower, 0) == read_all(world, *leader, 0));
  CHECK(follower->end_offset_for_epoch(1) == EpochEnd{1, 5});
  Slice corrupt = Slice::copy(bytes.bytes());
  corrupt.mutable_data()[70] ^= std::byte{1};
  Result<AppendInfo> refused = world.run(follower->append_as_follower(corrupt, 4));
  REQUIRE(!refused.has_value());
  CHECK(code(refused.error()) == ErrorCode::corrupt_message);
  REQUIRE(world.run(follower->close()).has_value());
  REQUIRE(world.run(leader->close()).has_value());
}

TEST_CASE("deleted records are gone for readers at once, their segments at the next retention run") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 50; ++i) append(world, *log, make_batch(3));
  const std::size_t segments = log->segment_count();
  REQUIRE(world.run(log->increment_log_start(70)).value());
  CHECK(!world.run(log->increment_log_start(60)).value());
  Result<bool> beyond = world.run(log->increment_log_start(151));
  REQUIRE(!beyond.has_value());
  CHECK(code(beyond.error()) == ErrorCode::offset_out_of_range);
  Result<FetchData> below = world.run(log->read({.offset = 69}));
  REQUIRE(!below.has_value());
  CHECK(code(below.error()) == ErrorCode::offset_out_of_range);
  CHECK(read_all(world, *log, 70).size() == 80);
  CHECK(log->segment_count() == segments);
  config::LogConfig config = log->config();
  config.retention_ms = -1;
  log->set_config(config);
  CHECK(world.run(log->delete_old_segments()).value() > 0);
  CHECK(log->segment_count() < segments);
  CHECK(log->log_start_offset() == 70);
  CHECK(log->first_segment_offset() <= 70);
  log = world.reopen_clean(std::move(log));
  CHECK(log->log_start_offset() == 70);
  CHECK(read_all(world, *log, 70).size() == 80);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("retention by size and by time deletes the oldest segments, never beyond the high watermark") {
  World world;
  config::LogConfig config = small_segments();
  config.retention_ms = -1;
  config.retention_bytes = 2500;
  const TimestampMs now = world.shard().wall_ms();
  auto log = world.open(world.options(config));
  for (int i = 0; i < 50; ++i) {
    REQUIRE(world.run(log->append_as_leader(leader_append(make_batch(3, now + i)))).has_value());
  }
  CHECK(world.run(log->delete_old_segments()).value() == 0);  // the high watermark is still 0
  log->set_high_watermark(log->log_end_offset());
  CHECK(world.run(log->delete_old_segments()).value() > 0);
  CHECK(log->size_bytes() >= 2500);
  CHECK(log->size_bytes() < 3500);
  CHECK(log->log_start_offset() == log->first_segment_offset());
  const std::int64_t start = log->log_start_offset();
  CHECK(read_all(world, *log, start).size() == static_cast<std::size_t>(150 - start));

  config.retention_bytes = -1;
  config.retention_ms = 1000;
  log->set_config(config);
  CHECK(world.run(log->delete_old_segments()).value() == 0);
  world.simulation.run_for(10s);
  CHECK(world.run(log->delete_old_segments()).value() > 0);
  CHECK(log->log_start_offset() == 150);  // all, the active one too
  CHECK(log->log_end_offset() == 150);
  CHECK(log->segment_count() == 1);
  CHECK(append(world, *log, make_batch(1)).first_offset == 150);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("files of deleted segments go after the delay, and readers that hold them end well") {
  World world;
  config::LogConfig config = small_segments();
  config.file_delete_delay_ms = 5000;
  auto log = world.open(world.options(config));
  for (int i = 0; i < 20; ++i) append(world, *log, make_batch(5));
  Result<FetchData> held = world.run(log->read({.offset = 0}));
  REQUIRE(held.has_value());
  REQUIRE(world.run(log->increment_log_start(90)).value());
  REQUIRE(world.run(log->delete_old_segments()).value() > 0);
  CHECK(world.exists("00000000000000000000.log.deleted"));
  CHECK(!world.exists("00000000000000000000.log"));
  CHECK(bytes_of(world, held->records).size() == static_cast<std::size_t>(held->size_bytes));
  world.simulation.run_for(6s);
  CHECK(!world.exists("00000000000000000000.log.deleted"));
  CHECK(bytes_of(world, held->records).size() == static_cast<std::size_t>(held->size_bytes));
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("truncation cuts records, epochs and later segments, and appends go on there") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 50; ++i) append(world, *log, make_batch(3, 1000 + i), i / 10);
  const std::vector<ReadBack> before = read_all(world, *log, 0);
  CHECK(!world.run(log->truncate_to(150)).value());
  REQUIRE(world.run(log->truncate_to(63)).value());
  CHECK(log->log_end_offset() == 63);
  CHECK(log->high_watermark() == 63);
  CHECK(log->leader_epochs().latest() == 2);
  CHECK(read_all(world, *log, 0) == std::vector<ReadBack>(before.begin(), before.begin() + 63));
  append(world, *log, make_batch(3, 5000), 7);
  CHECK(log->end_offset_for_epoch(2) == EpochEnd{2, 63});
  CHECK(log->end_offset_for_epoch(7) == EpochEnd{7, 66});
  log = world.reopen_clean(std::move(log));
  CHECK(log->log_end_offset() == 66);
  CHECK(log->end_offset_for_epoch(2) == EpochEnd{2, 63});
  const auto largest = world.run(log->offset_of_max_timestamp());
  REQUIRE(largest.has_value());
  CHECK((*largest)->offset == 63);
  // In the midst of a batch: the whole batch goes.
  REQUIRE(world.run(log->truncate_to(31)).value());
  CHECK(log->log_end_offset() == 30);
  REQUIRE(world.run(log->truncate_fully_and_start_at(1000)).has_value());
  CHECK(log->log_start_offset() == 1000);
  CHECK(log->log_end_offset() == 1000);
  CHECK(log->leader_epochs().empty());
  CHECK(append(world, *log, make_batch(2), 8).first_offset == 1000);
  log = world.reopen_clean(std::move(log));
  CHECK(read_all(world, *log, 1000).size() == 2);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("timestamps are found across segments and inside of batches") {
  World world;
  auto log = world.open(world.options(small_segments()));
  // Times that are not in order: 1000, 1030, 1010, 1040, ...
  std::vector<TimestampMs> times;
  for (int i = 0; i < 40; ++i) {
    std::vector<TestRecord> records;
    for (int j = 0; j < 3; ++j) {
      times.push_back(1000 + i * 10 + (j == 1 ? 20 : 0) + (i == 17 && j == 2 ? 5000 : 0));
      records.push_back({"v", times.back()});
    }
    append(world, *log, make_batch(records, {}, i % 2 ? compress::Compression::zstd : compress::Compression::none), i);
  }
  const auto check = [&] {
    for (const TimestampMs wanted : {0, 1000, 1001, 1020, 1155, 1390, 1410, 3000, 6170, 6171}) {
      std::int64_t expected = -1;
      for (std::size_t i = 0; i < times.size() && expected < 0; ++i) {
        if (times[i] >= wanted && static_cast<std::int64_t>(i) >= log->log_start_offset())
          expected = static_cast<std::int64_t>(i);
      }
      const auto found = world.run(log->offset_for_timestamp(wanted));
      REQUIRE(found.has_value());
      CAPTURE(wanted);
      CHECK((found->has_value() ? (*found)->offset : -1) == expected);
      if (expected >= 0) {
        CHECK((*found)->timestamp == times[static_cast<std::size_t>(expected)]);
        CHECK((*found)->leader_epoch == expected / 3);
      }
    }
    const auto largest = world.run(log->offset_of_max_timestamp());
    REQUIRE(largest.has_value());
    REQUIRE(largest->has_value());
    CHECK((*largest)->offset == 17 * 3 + 2);
    CHECK((*largest)->timestamp == 6170);
  };
  check();
  log = world.reopen_clean(std::move(log));
  check();
  log = world.reopen_killed(std::move(log), 0);
  check();
  REQUIRE(world.run(log->increment_log_start(20)).value());
  check();
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a failed write leaves nothing of the append, and the log goes on when there is room again") {
  World world;
  std::vector<Error> failures;
  LogOptions options = world.options();
  options.on_storage_failure = [&](const Error& error) { failures.push_back(error); };
  auto log = world.open(std::move(options));
  append(world, *log, make_batch(2));
  world.node->disk().inject({.operation = io::sim::DiskOperation::write, .path = ".log", .error_number = ENOSPC});
  Result<AppendInfo> full = world.run(log->append_as_leader(leader_append(make_batch(3))));
  REQUIRE(!full.has_value());
  CHECK(code(full.error()) == ErrorCode::kafka_storage_error);
  CHECK(failures.empty());
  CHECK(log->log_end_offset() == 2);
  CHECK(read_all(world, *log, 0).size() == 2);
  world.node->disk().clear_faults();
  CHECK(append(world, *log, make_batch(1)).first_offset == 2);
  CHECK(read_all(world, *log, 0).size() == 3);

  world.node->disk().inject({.operation = io::sim::DiskOperation::write, .path = ".log", .error_number = EIO});
  REQUIRE(!world.run(log->append_as_leader(leader_append(make_batch(3)))).has_value());
  CHECK(failures.size() == 1);
  CHECK(log->failed());
  world.node->disk().clear_faults();
  Result<AppendInfo> offline = world.run(log->append_as_leader(leader_append(make_batch(3))));
  REQUIRE(!offline.has_value());
  CHECK(code(offline.error()) == ErrorCode::kafka_storage_error);
  CHECK(!world.run(log->close()).has_value());
}

TEST_CASE(
    "when a sync has failed nobody who waits is told that his records are on the disk, though the next would succeed") {
  World world;
  auto log = world.open(world.options());
  append(world, *log, make_batch(2));
  world.node->disk().inject(
      {.operation = io::sim::DiskOperation::sync, .path = ".log", .error_number = EIO, .times = 1});
  const auto flush_beside = [&]() -> Task<int> {
    int refused = 0;
    io::Gate gate(world.shard());
    for (int waiter = 0; waiter < 3; ++waiter) {
      gate.spawn([](Log* which, int* count) -> Task<void> {
        Result<void> flushed = co_await which->flushed(2);
        if (!flushed) ++*count;
      }(log.get(), &refused));
    }
    co_await gate.close();
    co_return refused;
  };
  CHECK(world.simulation.run(world.shard(), flush_beside) == 3);
  CHECK(log->failed());
  CHECK(log->recovery_point() == 0);
  CHECK(!world.run(log->close()).has_value());
}

TEST_CASE("a disk that fills up stops appends and rolls without harm, also by real capacity") {
  io::sim::DiskOptions disk;
  disk.capacity_bytes = 100000;
  World world(3, disk);
  auto log = world.open(world.options(small_segments(2000)));
  std::size_t acknowledged = 0;
  for (int i = 0; i < 200; ++i) {
    Result<AppendInfo> info = world.run(log->append_as_leader(leader_append(make_batch(2, 1000 + i, 40))));
    if (info)
      acknowledged += 2;
    else
      CHECK(code(info.error()) == ErrorCode::kafka_storage_error);
  }
  CHECK(acknowledged > 20);
  CHECK(acknowledged < 400);
  log->set_high_watermark(log->log_end_offset());
  CHECK(log->log_end_offset() == static_cast<std::int64_t>(acknowledged));
  CHECK(read_all(world, *log, 0).size() == acknowledged);
  config::LogConfig config = log->config();
  config.retention_ms = -1;
  config.retention_bytes = 2000;
  config.file_delete_delay_ms = 0;
  log->set_config(config);
  CHECK(world.run(log->delete_old_segments()).value() > 0);
  world.simulation.run_for(1s);
  CHECK(append(world, *log, make_batch(2)).first_offset == static_cast<std::int64_t>(acknowledged));
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("flushed waits for the disk, and one flush serves all who wait") {
  World world;
  auto log = world.open(world.options());
  for (int i = 0; i < 10; ++i) append(world, *log, make_batch(1));
  CHECK(log->recovery_point() == 0);
  int syncs = 0;
  world.node->disk().set_observer([&](io::sim::DiskOperation operation, const std::string& path) {
    if (operation == io::sim::DiskOperation::sync && path.ends_with(".log")) ++syncs;
  });
  int done = 0;
  const auto all = [&]() -> Task<int> {
    io::Gate gate(world.shard());
    for (int i = 1; i <= 10; ++i) {
      gate.spawn([](Log* to, std::int64_t offset, int* count) -> Task<void> {
        Result<void> flushed = co_await to->flushed(offset);
        if (flushed && to->recovery_point() >= offset) ++*count;
      }(log.get(), i, &done));
    }
    co_await gate.close();
    co_return 0;
  };
  world.run(all());
  CHECK(done == 10);
  CHECK(syncs == 1);
  CHECK(log->recovery_point() == 10);
  config::LogConfig config;
  config.flush_messages = 1;
  log->set_config(config);
  AppendInfo info = append(world, *log, make_batch(1));
  CHECK(info.wait_flushed);
  REQUIRE(world.run(log->flushed(info.last_offset + 1)).has_value());
  CHECK(log->recovery_point() == 11);
  config.flush_messages = config::LogConfig::kUnlimited;
  config.flush_ms = 500;
  log->set_config(config);
  append(world, *log, make_batch(1));
  CHECK(!log->flush_due(world.shard().now()));
  world.simulation.run_for(1s);
  CHECK(log->flush_due(world.shard().now()));
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a preallocated segment is trimmed when it is rolled and when the log closes") {
  World world;
  config::LogConfig config = small_segments();
  config.preallocate = true;
  auto log = world.open(world.options(config));
  append(world, *log, make_batch(3));
  CHECK(world.content("00000000000000000000.log").size() == 1000);
  append(world, *log, make_batch(3));
  log = world.reopen_killed(std::move(log), 0);
  CHECK(read_all(world, *log, 0).size() == 6);
  for (int i = 0; i < 20; ++i) append(world, *log, make_batch(3));
  std::int64_t total = 0;
  for (const SegmentInfo& segment : log->segments()) total += segment.size_bytes;
  REQUIRE(world.run(log->close()).has_value());
  std::int64_t on_disk = 0;
  for (const std::string& name : world.names()) {
    if (name.ends_with(".log")) on_disk += static_cast<std::int64_t>(world.content(name).size());
  }
  CHECK(on_disk == total);
}

TEST_CASE("a deleted log's directory gets the name for deletion") {
  World world;
  auto log = world.open(world.options());
  append(world, *log, make_batch(3));
  Result<FetchData> held = world.run(log->read({.offset = 0}));
  REQUIRE(held.has_value());
  Result<std::string> renamed = world.run(log->retire(DirectoryKind::deleted));
  REQUIRE(renamed.has_value());
  const auto parsed = parse_directory_name(renamed->substr(renamed->rfind('/') + 1));
  REQUIRE(parsed.has_value());
  CHECK(*parsed == PartitionDirectory{kPartition, DirectoryKind::deleted});
  CHECK(!world.run(world.files().stat(kDirectory)).has_value());
  CHECK(bytes_of(world, held->records).size() == static_cast<std::size_t>(held->size_bytes));
  CHECK(!world.run(log->append_as_leader(leader_append(make_batch(1)))).has_value());
}
