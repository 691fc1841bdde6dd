// Compaction's rarer cases: old messages, limits of segments, the end of a round, the real disk.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "broker/storage/cleaner.h"
#include "io/machine.h"
#include "protocol/record/crc32c.h"
#include "tests/unit/broker/storage/compaction_test.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

template <typename Int>
void put_number(std::string& to, Int value) {
  std::byte bytes[sizeof value];
  store_big_endian(bytes, value);
  to += as_text(bytes);
}

// One message of magic 1.
std::string old_message(std::int64_t offset, std::optional<std::string> key, std::optional<std::string> value,
                        int attributes = 0) {
  std::string body{1, static_cast<char>(attributes)};
  put_number(body, std::int64_t{1000} + offset);
  for (const auto& field : {key, value}) {
    put_number(body, field ? static_cast<std::int32_t>(field->size()) : std::int32_t{-1});
    if (field) body += *field;
  }
  std::string entry;
  put_number(entry, offset);
  put_number(entry, static_cast<std::int32_t>(body.size() + 4));
  put_number(entry, record::crc32_ieee(as_bytes(body)));
  return entry + body;
}

// A wrapper of the messages, whose offsets are from 0 on.
std::string old_wrapper(std::int64_t last_offset, const std::string& messages) {
  compress::Codecs codecs;
  const auto packed = codecs.compress(compress::Compression::gzip, -1, as_bytes(messages));
  REQUIRE(packed.has_value());
  return old_message(last_offset, std::nullopt, std::string(packed->text()), 1);
}

void replicate(World& world, Log& log, const std::string& bytes) {
  REQUIRE(world.run(log.append_as_follower(Slice::copy(bytes), 0)).has_value());
  log.set_high_watermark(log.log_end_offset());
}

std::shared_ptr<Segment> empty_segment(World& world, std::int64_t base_offset) {
  return std::make_shared<Segment>(world.files(), "/data", base_offset);
}

}  // namespace

TEST_CASE("messages of magic 1 are cleaned too, and come out as batches of magic 2") {
  World world;
  auto log = world.open(world.options(compacted()));
  replicate(world, *log, old_message(0, "a", "1"));
  replicate(world, *log,
            old_wrapper(3, old_message(0, "b", "1") + old_message(1, "a", "2") + old_message(2, "c", "1")));
  replicate(world, *log, old_message(4, "c", std::nullopt));
  replicate(world, *log, old_message(5, "b", "2"));
  REQUIRE(world.run(log->roll()).has_value());
  put(world, *log, "d", "1");
  clean(world, *log);
  const std::vector<SeenRecord> expected{
      {2, 1001, "a", "2"}, {4, 1004, "c", std::nullopt}, {5, 1005, "b", "2"}, {6, 1000, "d", "1"}};
  CHECK(see_all(world, *log) == expected);
  Result<FetchData> data = world.run(log->read({.offset = 0}));
  REQUIRE(data.has_value());
  record::BatchCursor cursor(bytes_of(world, data->records));
  REQUIRE(cursor.next());
  const record::BatchView batch = cursor.batch().value();
  CHECK(batch.base_offset() == 2);
  CHECK(batch.last_offset() == 2);
  CHECK(batch.compression() == compress::Compression::gzip);
  CHECK(batch.leader_epoch() == record::kNoLeaderEpoch);
  CHECK(!batch.has_producer_id());
  log = world.reopen_killed(std::move(log), 0);
  CHECK(see_all(world, *log) == expected);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("segments are put together by size, size of the indexes and range of offsets") {
  World world;
  const auto bases = [](const std::vector<std::vector<std::shared_ptr<Segment>>>& groups) {
    std::vector<std::vector<std::int64_t>> all;
    for (const auto& group : groups) {
      all.emplace_back();
      for (const auto& segment : group) all.back().push_back(segment->base_offset());
    }
    return all;
  };
  using Bases = std::vector<std::vector<std::int64_t>>;
  std::vector<std::shared_ptr<Segment>> segments;
  for (int i = 0; i < 5; ++i) segments.push_back(empty_segment(world, i * 1'500'000'000LL));
  // Without records the range of offsets does not count.
  CHECK(bases(group_segments(segments, 1000, 1000, 7'500'000'000LL)).size() == 1);
  const Slice batch = make_batch(1);
  const auto fill = [&](Segment& segment) {
    REQUIRE(world.run(segment.create(0, 0)).has_value());
    BatchSummary summary = BatchSummary::parse(batch.bytes()).value();
    summary.base_offset = summary.last_offset = segment.base_offset();
    const Bytes parts[] = {batch.bytes()};
    REQUIRE(world.run(segment.append(std::span(&summary, 1), parts, 0)).has_value());
    segment.offset_index().append(segment.base_offset(), 0);
  };
  for (const auto& segment : segments) fill(*segment);
  const auto size = static_cast<std::int64_t>(batch.size());
  CHECK(bases(group_segments(segments, 100 * size, 1000, 7'500'000'000LL)) ==
        Bases{{0}, {1'500'000'000}, {3'000'000'000}, {4'500'000'000}, {6'000'000'000}});
  std::vector<std::shared_ptr<Segment>> near;
  for (int i = 0; i < 5; ++i) {
    near.push_back(empty_segment(world, 8'000'000'000LL + i));
    fill(*near.back());
  }
  CHECK(bases(group_segments(near, 100 * size, 1000, 8'000'000'005LL)).size() == 1);
  CHECK(bases(group_segments(near, 2 * size, 1000, 8'000'000'005LL)).size() == 3);
  CHECK(bases(group_segments(near, size - 1, 1000, 8'000'000'005LL)).size() == 5);
  CHECK(bases(group_segments(near, 100 * size, 3 * 8, 8'000'000'005LL)).size() == 2);
  CHECK(bases(group_segments(near, 100 * size, 1000, 8'000'000'000LL + (1LL << 31) + 1)).size() == 2);
}

TEST_CASE("the last batch of a round stays as a header, so that the log does not seem to end before it") {
  World world;
  auto log = world.open(world.options(compacted()));
  const TimestampMs now = world.shard().wall_ms();
  put(world, *log, "a", "1", now);
  append(world, *log,
         keyed_batch({{"b", "bad", now}, {"c", "bad", now}},
                     {.id = 1, .epoch = 0, .base_sequence = 0, .transactional = true}));
  REQUIRE(world.run(log->roll()).has_value());
  end_transaction(world, *log, false, 1, 0, now);
  append(world, *log, keyed_batch({{"d", "1", now}}, {.id = 1, .epoch = 0, .base_sequence = 2, .transactional = true}));
  end_transaction(world, *log, true, 1, 0, now);
  clean(world, *log);
  Result<FetchData> data = world.run(log->read({.offset = 1, .max_bytes = 1}));
  REQUIRE(data.has_value());
  record::BatchCursor cursor(bytes_of(world, data->records));
  REQUIRE(cursor.next());
  const record::BatchView batch = cursor.batch().value();
  CHECK(batch.base_offset() == 1);
  CHECK(batch.last_offset() == 2);
  CHECK(batch.record_count() == 0);
  CHECK(map_of(world, *log) == std::map<std::string, std::string>{{"a", "1"}, {"d", "1"}});
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("the active segment of a compacted topic rolls when max.compaction.lag.ms has passed") {
  World world;
  config::LogConfig config = compacted(1 << 20);
  config.max_compaction_lag_ms = 60'000;
  auto log = world.open(world.options(config));
  const TimestampMs now = world.shard().wall_ms();
  put(world, *log, "a", "1", now);
  put(world, *log, "a", "2", now + 59'000);
  CHECK(log->segment_count() == 1);
  put(world, *log, "a", "3", now + 61'000);
  CHECK(log->segment_count() == 2);
  REQUIRE(world.run(log->close()).has_value());
}

// KLAMM_TEST_LOG_DIR names a directory to write to and keep, as in log_disk_test.cc.
TEST_CASE("a log on the real disk with all codecs, tombstones and transactions says the same after compaction") {
  const char* kept = std::getenv("KLAMM_TEST_LOG_DIR");
  const std::string root = (kept != nullptr ? std::filesystem::path(kept) : std::filesystem::temp_directory_path()) /
                           (kept != nullptr ? "compacted-0" : fmt::format("klamm-compacted-{}", getpid()));
  std::filesystem::remove_all(root);
  io::Machine machine{{.shards = 1, .seed = 1}};
  compress::Codecs codecs;
  const auto open = [&](bool clean) {
    LogOptions options;
    options.partition = kPartition;
    options.directory = root;
    options.config = compacted(20'000);
    options.config.index_interval_bytes = 500;
    options.codecs = &codecs;
    options.clean_shutdown = clean;
    Result<std::unique_ptr<Log>> log = machine.run(0, Log::open(machine.at(0), std::move(options)));
    REQUIRE_MESSAGE(log.has_value(), why_of(log));
    (*log)->set_high_watermark((*log)->log_end_offset());
    return *std::move(log);
  };
  auto log = open(false);
  Random random(7);
  const TimestampMs now = machine.at(0).wall_ms();
  std::int32_t sequence = 0;
  const auto add = [&](LeaderAppend request) {
    Result<AppendInfo> info = machine.run(0, log->append_as_leader(std::move(request)));
    REQUIRE_MESSAGE(info.has_value(), why_of(info));
    log->set_high_watermark(log->log_end_offset());
  };
  for (int i = 0; i < 400; ++i) {
    std::vector<KeyedRecord> list;
    for (int j = 0; j < 20; ++j) {
      list.push_back({fmt::format("key {}", random.below(300)), fmt::format("value {} of batch {}", j, i), now + i});
      if (random.chance(0.05)) list.back().value.reset();
    }
    const bool transactional = i % 10 < 5;
    const record::ProducerStamp producer =
        transactional ? record::ProducerStamp{.id = 1000, .epoch = 0, .base_sequence = sequence, .transactional = true}
                      : record::ProducerStamp{};
    if (transactional) sequence += 20;
    add(leader_append(keyed_batch(list, producer, static_cast<compress::Compression>(i % 5)), i / 100));
    if (i % 10 != 6) continue;
    LeaderAppend marker = leader_append(record::build_transaction_marker(i % 20 == 6, 1000, 0, 3, now + i), i / 100);
    marker.origin = AppendOrigin::coordinator;
    add(std::move(marker));
  }
  REQUIRE(log->segment_count() > 5);
  // What a reader of committed records makes of the log.
  const auto read = [&] {
    std::map<std::string, std::string> map;
    for (std::int64_t offset = 0; offset < log->log_end_offset();) {
      Result<FetchData> data =
          machine.run(0, log->read({.offset = offset, .max_bytes = 1, .isolation = FetchIsolation::committed}));
      REQUIRE_MESSAGE(data.has_value(), why_of(data));
      if (data->size_bytes == 0) break;
      const auto& region = std::get<io::FileRegion>(data->records.at(0));
      Buffer::Ref buffer = Buffer::allocate(region.size);
      REQUIRE(machine.run(0, machine.at(0).files().read_region(region, MutableBytes(buffer->data(), region.size))));
      record::BatchCursor cursor(Slice(std::move(buffer), region.size));
      REQUIRE(cursor.next());
      const record::BatchView batch = cursor.batch().value();
      REQUIRE(batch.check_crc().has_value());
      offset = batch.next_offset();
      const bool aborted = std::any_of(data->aborted.begin(), data->aborted.end(), [&](const AbortedTransaction& t) {
        return t.producer_id == batch.producer_id() && t.first_offset <= batch.base_offset() &&
               batch.base_offset() < t.last_offset;
      });
      if (batch.is_control() || aborted) continue;
      Result<Slice> plain = record::plain_records(batch, codecs, 1 << 20);
      REQUIRE(plain.has_value());
      record::RecordIterator iterator(batch, plain->bytes());
      for (record::RecordView record; iterator.next(record);) {
        if (record.value.is_null())
          map.erase(std::string(record.key.text()));
        else
          map[std::string(record.key.text())] = std::string(record.value.text());
      }
    }
    return map;
  };
  const auto before = read();
  const std::int64_t bytes = log->size_bytes();
  Result<Cleanable> range = machine.run(0, log->cleanable());
  REQUIRE(range.has_value());
  CleaningOptions options;
  options.io_buffer_bytes = 10'000;
  Result<CleaningReport> report = machine.run(0, clean_log(*log, *range, options));
  REQUIRE_MESSAGE(report.has_value(), why_of(report));
  CHECK(log->size_bytes() < bytes / 4);
  CHECK(read() == before);
  REQUIRE(machine.run(0, log->close()).has_value());
  log = open(true);
  CHECK(read() == before);
  machine.run(0, log->abandon());
  log = open(false);
  CHECK(read() == before);
  REQUIRE(machine.run(0, log->close()).has_value());
  log.reset();
  machine.stop();
  if (kept == nullptr) std::filesystem::remove_all(root);
}
