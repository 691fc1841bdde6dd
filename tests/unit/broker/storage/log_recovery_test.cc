// Restarts, clean and not: what is on the disk decides.
#include <algorithm>

#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

record::ProducerStamp producer(std::int64_t id, std::int16_t epoch, std::int32_t sequence, bool transactional = false) {
  return {.id = id, .epoch = epoch, .base_sequence = sequence, .transactional = transactional};
}

// Nothing of the append may hold: tells the code.
ErrorCode refusal(World& world, Log& log, Slice records) {
  const std::int64_t end = log.log_end_offset();
  Result<AppendInfo> info = world.run(log.append_as_leader(leader_append(std::move(records))));
  CHECK(log.log_end_offset() == (info ? info->last_offset + 1 : end));
  return info ? ErrorCode::none : code(info.error());
}

AppendInfo end_transaction(World& world, Log& log, bool commit, std::int64_t id, std::int16_t epoch) {
  LeaderAppend marker = leader_append(record::build_transaction_marker(commit, id, epoch, 1, 1000));
  marker.origin = AppendOrigin::coordinator;
  Result<AppendInfo> info = world.run(log.append_as_leader(std::move(marker)));
  REQUIRE_MESSAGE(info.has_value(), why_of(info));
  log.set_high_watermark(log.log_end_offset());
  return *info;
}

}  // namespace

TEST_CASE("a log torn at any byte comes back with the whole batches before it") {
  World world;
  auto log = world.open(world.options());
  std::vector<std::int64_t> ends{0};
  std::vector<std::int64_t> positions{0};
  for (int i = 1; i <= 4; ++i) {
    AppendInfo info = append(world, *log, make_batch(i, 1000 + i, 5), i);
    ends.push_back(info.last_offset + 1);
    positions.push_back(positions.back() + info.size_bytes);
  }
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  REQUIRE(world.run(log->close()).has_value());
  const std::string name = "00000000000000000000.log";
  const Slice whole = world.content(name);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    for (const bool garbage : {false, true}) {
      std::vector<std::byte> torn(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      if (garbage) torn.resize(whole.size(), std::byte{0});  // a page that was never written
      world.overwrite(name, torn);
      std::size_t batches = 0;
      const auto same_until = std::mismatch(torn.begin(), torn.end(), whole.begin()).first - torn.begin();
      while (batches < 4 && positions[batches + 1] <= same_until) ++batches;
      log = world.open(world.options());
      CAPTURE(size);
      CHECK(log->log_end_offset() == ends[batches]);
      const auto kept = static_cast<std::ptrdiff_t>(ends[batches]);
      CHECK(read_all(world, *log, 0) == std::vector<ReadBack>(all.begin(), all.begin() + kept));
      CHECK(log->leader_epochs().latest().value_or(0) == static_cast<std::int32_t>(batches));
      CHECK(log->recovery_point() == 0);  // a start syncs no more than it must
      REQUIRE(world.run(log->flush()).has_value());
      CHECK(log->recovery_point() == log->log_end_offset());
      CHECK(world.content(name).size() == static_cast<std::size_t>(positions[batches]));
      world.simulation.run(world.shard(), log->abandon());
    }
  }
}

TEST_CASE("recovery deletes the segments behind a corrupt batch and keeps those before the recovery point unread") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 60; ++i) append(world, *log, make_batch(3));
  const std::vector<SegmentInfo> segments = log->segments();
  REQUIRE(segments.size() > 4);
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  REQUIRE(world.run(log->close()).has_value());
  const auto damage = [&](const SegmentInfo& segment, std::size_t position) {
    const std::string name = file_name(segment.base_offset, suffix::kLog);
    const Slice content = world.content(name);
    const Slice copy = Slice::copy(content.bytes());
    copy.mutable_data()[position] ^= std::byte{1};
    world.overwrite(name, copy.bytes());
  };
  damage(segments[3], 70);  // in its first batch
  damage(segments[1], 70);  // below the recovery point: nobody looks
  LogOptions options = world.options(small_segments());
  options.recovery_point = segments[2].base_offset + 1;
  log = world.open(options);
  CHECK(log->log_end_offset() == segments[3].base_offset);
  CHECK(log->segment_count() == 4);
  CHECK(!world.exists(file_name(segments[4].base_offset, suffix::kLog)));
  damage(segments[1], 70);
  const auto kept = static_cast<std::ptrdiff_t>(segments[3].base_offset);
  CHECK(read_all(world, *log, 0) == std::vector<ReadBack>(all.begin(), all.begin() + kept));
  CHECK(append(world, *log, make_batch(1)).first_offset == segments[3].base_offset);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("missing and impossible indexes are rebuilt at the start, to the same bytes") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 40; ++i) append(world, *log, make_batch(3, 1000 + i));
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  log = world.reopen_clean(std::move(log));
  const std::int64_t base = log->segments()[1].base_offset;
  const std::string index = file_name(base, suffix::kOffsetIndex);
  const std::string times = file_name(base, suffix::kTimeIndex);
  const Slice good_index = world.content(index);
  const Slice good_times = world.content(times);
  CHECK(good_index.size() > 0);
  CHECK(good_index.size() % 8 == 0);
  CHECK(good_times.size() % 12 == 0);
  REQUIRE(world.run(world.files().remove(world.path(index))).has_value());
  log = world.reopen_clean(std::move(log));
  CHECK(world.content(index) == good_index);
  CHECK(world.content(times) == good_times);
  CHECK(read_all(world, *log, 0) == all);
  std::vector<std::byte> nonsense(16, std::byte{0x7f});
  world.overwrite(index, nonsense);
  log = world.reopen_clean(std::move(log));
  CHECK(world.content(index) == good_index);
  CHECK(read_all(world, *log, 0) == all);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("leftovers of deletions and of compaction are dealt with at the start") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 40; ++i) append(world, *log, make_batch(3));
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  const std::int64_t base = log->segments()[1].base_offset;
  REQUIRE(world.run(log->close()).has_value());
  const std::string second = file_name(base, suffix::kLog);
  // A compacted replacement that had been made whole, an unfinished one behind it, and files of deleted segments.
  const Slice content = world.content(second);
  world.overwrite(second + ".swap", content.bytes());
  world.overwrite(file_name(base + 1000, suffix::kLog) + ".cleaned", content.bytes());
  world.overwrite(file_name(5, suffix::kLog) + ".deleted", content.bytes());
  world.overwrite(file_name(7, suffix::kTimeIndex), {});
  LogOptions options = world.options(small_segments());
  options.clean_shutdown = true;
  log = world.open(options);
  for (const std::string& name : world.names()) {
    CAPTURE(name);
    CHECK(!name.ends_with(".swap"));
    CHECK(!name.ends_with(".cleaned"));
    CHECK(!name.ends_with(".deleted"));
  }
  CHECK(!world.exists(file_name(7, suffix::kTimeIndex)));
  CHECK(read_all(world, *log, 0) == all);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a log that ends before its start begins anew there") {
  World world;
  auto log = world.open(world.options());
  append(world, *log, make_batch(5));
  REQUIRE(world.run(log->close()).has_value());
  LogOptions options = world.options();
  options.clean_shutdown = true;
  options.log_start_offset = 100;
  log = world.open(options);
  CHECK(log->log_start_offset() == 100);
  CHECK(log->log_end_offset() == 100);
  CHECK(append(world, *log, make_batch(1)).first_offset == 100);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a retried batch is answered with its first offset, also after restarts") {
  World world;
  const TimestampMs now = world.shard().wall_ms();
  const auto batch_of = [&](std::int32_t sequence) { return make_batch(3, now, 10, producer(7, 0, sequence)); };
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 20; ++i) append(world, *log, batch_of(3 * i));
  const auto retry = [&](int batch) { return world.run(log->append_as_leader(leader_append(batch_of(3 * batch)))); };
  for (int i = 15; i < 20; ++i) {
    Result<AppendInfo> info = retry(i);
    REQUIRE(info.has_value());
    CHECK(info->duplicate);
    CHECK(info->first_offset == 3 * i);
    CHECK(info->last_offset == 3 * i + 2);
  }
  CHECK(code(retry(14).error()) == ErrorCode::out_of_order_sequence_number);
  CHECK(log->log_end_offset() == 60);

  // A snapshot tells of each producer's last batch only: the ones before are found in the log, also across segments.
  log = world.reopen_clean(std::move(log));
  REQUIRE(log->segment_count() > 2);
  for (int i = 15; i < 20; ++i) {
    Result<AppendInfo> info = retry(i);
    REQUIRE(info.has_value());
    CHECK(info->duplicate);
    CHECK(info->first_offset == 3 * i);
  }
  log = world.reopen_killed(std::move(log), 60);
  for (int i = 15; i < 20; ++i) {
    Result<AppendInfo> info = retry(i);
    REQUIRE(info.has_value());
    CHECK(info->duplicate);
  }
  CHECK(refusal(world, *log, batch_of(63)) == ErrorCode::out_of_order_sequence_number);
  append(world, *log, batch_of(60));

  log = world.reopen_killed(std::move(log), 0);
  CHECK(retry(20)->duplicate);
  append(world, *log, batch_of(63));
  // Without any snapshot the batches tell the same.
  for (const std::string& name : world.names()) {
    if (name.ends_with(".snapshot")) REQUIRE(world.run(world.files().remove(world.path(name))).has_value());
  }
  log = world.reopen_killed(std::move(log), 66);
  CHECK(retry(21)->duplicate);
  CHECK(refusal(world, *log, make_batch(1, 1000, 10, producer(7, 0, 66))) == ErrorCode::none);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a damaged snapshot is passed over for an older one") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 20; ++i) append(world, *log, make_batch(3, 1000, 10, producer(7, 0, 3 * i)));
  REQUIRE(world.run(log->close()).has_value());
  const std::string newest = file_name(60, suffix::kProducerSnapshot);
  CHECK(world.content(newest).size() == 56);
  world.overwrite(newest, as_bytes("no snapshot"));
  LogOptions options = world.options(small_segments());
  options.clean_shutdown = true;
  log = world.open(options);
  CHECK(!world.exists(newest));
  CHECK(log->producers().find(7)->last_sequence() == 59);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("after an unclean stop every snapshot that was torn is removed, wherever it is") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 40; ++i) append(world, *log, make_batch(3, 1000, 10, producer(7, 0, 3 * i)));
  std::vector<std::string> snapshots;
  for (const std::string& name : world.names()) {
    if (name.ends_with(".snapshot")) snapshots.push_back(name);
  }
  REQUIRE(snapshots.size() >= 3);
  world.overwrite(snapshots[0], {});
  world.overwrite(snapshots[1], as_bytes("no snapshot"));
  log = world.reopen_killed(std::move(log), 120);
  CHECK(!world.exists(snapshots[0]));
  CHECK(!world.exists(snapshots[1]));
  for (std::size_t i = 2; i < snapshots.size(); ++i) CHECK(world.exists(snapshots[i]));
  CHECK(log->producers().find(7)->last_sequence() == 119);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("committed readers stop at the oldest open transaction and learn of aborted ones, also after restarts") {
  World world;
  auto log = world.open(world.options(small_segments()));
  append(world, *log, make_batch(3));                                     // 0..2
  append(world, *log, make_batch(2, 1000, 10, producer(1, 0, 0, true)));  // 3, 4
  append(world, *log, make_batch(2, 1000, 10, producer(2, 0, 0, true)));  // 5, 6
  CHECK(log->last_stable_offset() == 3);
  CHECK(read_all(world, *log, 0, FetchIsolation::committed).size() == 3);
  CHECK(refusal(world, *log, make_batch(1, 1000, 10, producer(1, 0, 2))) == ErrorCode::invalid_txn_state);
  end_transaction(world, *log, false, 1, 0);  // 7
  CHECK(log->last_stable_offset() == 5);
  for (int i = 0; i < 20; ++i) append(world, *log, make_batch(3));        // 8..67
  end_transaction(world, *log, true, 2, 0);                               // 68
  append(world, *log, make_batch(2, 1000, 10, producer(3, 0, 0, true)));  // 69, 70
  end_transaction(world, *log, false, 3, 0);                              // 71
  append(world, *log, make_batch(2, 1000, 10, producer(2, 0, 2, true)));  // 72, 73
  const auto check = [&] {
    CHECK(log->last_stable_offset() == 72);
    Result<FetchData> first =
        world.run(log->read({.offset = 0, .max_bytes = 1, .isolation = FetchIsolation::committed}));
    REQUIRE(first.has_value());
    Result<FetchData> from_3 = world.run(log->read({.offset = 3, .isolation = FetchIsolation::committed}));
    REQUIRE(from_3.has_value());
    REQUIRE(from_3->aborted.size() >= 1);
    CHECK(from_3->aborted[0] == AbortedTransaction{1, 3, 7, 5});
    Result<FetchData> later = world.run(log->read({.offset = 69, .isolation = FetchIsolation::committed}));
    REQUIRE(later.has_value());
    REQUIRE(later->aborted.size() == 1);
    CHECK(later->aborted[0] == AbortedTransaction{3, 69, 71, 72});
    CHECK(read_all(world, *log, 0, FetchIsolation::committed).size() == 69);
  };
  check();
  log = world.reopen_clean(std::move(log));
  check();
  log = world.reopen_killed(std::move(log), 0);
  check();
  log = world.reopen_killed(std::move(log), 30);
  check();
  end_transaction(world, *log, true, 2, 0);
  CHECK(log->last_stable_offset() == 75);
  // Truncating the marker opens the transaction again.
  REQUIRE(world.run(log->truncate_to(71)).value());
  log->set_high_watermark(71);
  CHECK(log->last_stable_offset() == 69);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a partition's directory of another topic is refused") {
  World world;
  LogOptions options = world.options();
  options.topic_id = Uuid{1, 2};
  auto log = world.open(options);
  REQUIRE(world.run(log->close()).has_value());
  CHECK(world.content("partition.metadata").size() == 43);
  options.topic_id = Uuid{3, 4};
  Result<std::unique_ptr<Log>> other = world.run(Log::open(world.shard(), options));
  REQUIRE(!other.has_value());
  CHECK(code(other.error()) == ErrorCode::inconsistent_topic_id);
  options.topic_id = Uuid{};
  log = world.open(options);
  CHECK(log->topic_id() == Uuid{1, 2});
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("what was flushed survives a power loss, and what comes back is a prefix") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    World world(seed);
    auto log = world.open(world.options(small_segments()));
    Random random(seed);
    std::int64_t flushed = 0;
    std::vector<std::string> values;
    const int steps = static_cast<int>(random.between(5, 60));
    for (int i = 0; i < steps; ++i) {
      const int count = static_cast<int>(random.between(1, 5));
      std::vector<TestRecord> records;
      for (int j = 0; j < count; ++j) {
        values.push_back(fmt::format("{}-{}", seed, values.size()));
        records.push_back({values.back(), 1000 + i});
      }
      append(world, *log, make_batch(records), i / 7);
      if (random.chance(0.2)) {
        REQUIRE(world.run(log->flush()).has_value());
        flushed = log->log_end_offset();
      }
    }
    const std::int64_t recovery_point = log->recovery_point();
    const std::int64_t start = log->log_start_offset();
    world.node->crash();
    world.simulation.run(world.shard(), log->abandon());
    log.reset();
    world.node->restart();
    LogOptions options = world.options(small_segments());
    options.recovery_point = recovery_point;
    options.log_start_offset = start;
    log = world.open(options);
    CAPTURE(seed);
    CHECK(log->log_end_offset() >= flushed);
    const std::vector<ReadBack> all = read_all(world, *log, 0);
    REQUIRE(all.size() == static_cast<std::size_t>(log->log_end_offset()));
    for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i].value == values[i]);
    append(world, *log, make_batch(1), log->leader_epochs().latest().value_or(0));
    REQUIRE(world.run(log->close()).has_value());
  }
}

TEST_CASE("what was flushed while others were appending survives a power loss") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    World world(seed);
    config::LogConfig config = small_segments(3000);
    config.flush_messages = 1;
    std::unique_ptr<Log> log = world.open(world.options(config));
    std::int64_t flushed = 0;
    auto work = [&]() -> io::Task<int> {
      io::Gate producers(world.shard());
      auto produce = [&](int number) -> io::Task<void> {
        Random random(seed * 100 + static_cast<std::uint64_t>(number));
        for (int i = 0; i < 12; ++i) {
          co_await world.shard().sleep(Duration(random.between(0, 3'000'000)));
          Result<AppendInfo> info = co_await log->append_as_leader(leader_append(make_batch(1, 1000, 150)));
          REQUIRE(info.has_value());
          Result<void> durable = co_await log->flushed(info->last_offset + 1);
          REQUIRE(durable.has_value());
          flushed = std::max(flushed, info->last_offset + 1);
        }
      };
      for (int number = 0; number < 4; ++number) producers.spawn(produce(number));
      co_await producers.close();
      co_return 0;
    };
    world.simulation.run(world.shard(), work);
    CHECK(flushed == 48);
    const std::int64_t recovery_point = log->recovery_point();
    world.node->crash();
    world.simulation.run(world.shard(), log->abandon());
    log.reset();
    world.node->restart();
    LogOptions options = world.options(config);
    options.recovery_point = recovery_point;
    log = world.open(options);
    CHECK(log->log_end_offset() == 48);
    CHECK(read_all(world, *log, 0).size() == 48);
    REQUIRE(world.run(log->close()).has_value());
  }
}
