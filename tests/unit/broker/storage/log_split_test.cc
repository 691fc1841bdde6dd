// Segments whose offsets are too far apart for their indexes.
#include <cerrno>
#include <limits>

#include "broker/storage/names.h"
#include "protocol/record/batch.h"
#include "tests/unit/broker/storage/storage_test.h"

namespace klamm::storage::test {

namespace {

constexpr std::int64_t kFar = std::int64_t{1} << 31;
const std::string kFirst = file_name(0, suffix::kLog);

// Batches of `count` records each at the given offsets, as they lie in a file.
std::vector<std::byte> batches_at(const std::vector<std::int64_t>& offsets, int count = 2) {
  std::vector<std::byte> content;
  for (const std::int64_t offset : offsets) {
    const Slice batch = make_batch(count, 1000 + static_cast<TimestampMs>(content.size()));
    record::patch_base_offset(MutableBytes(batch.mutable_data(), batch.size()), offset);
    record::patch_leader_epoch(MutableBytes(batch.mutable_data(), batch.size()), 3);
    content.insert(content.end(), batch.begin(), batch.end());
  }
  return content;
}

std::vector<std::int64_t> offsets_of(const std::vector<ReadBack>& records) {
  std::vector<std::int64_t> offsets;
  for (const ReadBack& record : records) offsets.push_back(record.offset);
  return offsets;
}

std::vector<std::int64_t> bases_of(const Log& log) {
  std::vector<std::int64_t> bases;
  for (const SegmentInfo& segment : log.segments()) bases.push_back(segment.base_offset);
  return bases;
}

// A log directory with one segment of these batches; its indexes are those of an empty one, or none.
void lay_down(World& world, const std::vector<std::int64_t>& offsets, bool with_indexes) {
  auto log = world.open(world.options());
  REQUIRE(world.run(log->close()).has_value());
  world.overwrite(kFirst, batches_at(offsets));
  if (!with_indexes)
    REQUIRE(world.run(world.files().remove(world.path(file_name(0, suffix::kOffsetIndex)))).has_value());
  REQUIRE(world.run(world.files().sync_directory(kDirectory)).has_value());
}

LogOptions options_after(World& world, bool clean, std::int64_t end) {
  config::LogConfig config;
  config.cleanup_compact = true;
  LogOptions options = world.options(config);
  options.clean_shutdown = clean;
  options.recovery_point = clean ? end : 0;
  options.high_watermark = end;
  return options;
}

}  // namespace

TEST_CASE("a segment whose offsets reach too far is split at the start, after a clean stop and after a crash") {
  const std::vector<std::int64_t> batches = {0, 2, 100, kFar - 2, kFar, kFar + 10, 3 * kFar, 3 * kFar + 2};
  std::vector<std::int64_t> offsets;
  for (const std::int64_t base : batches) offsets.insert(offsets.end(), {base, base + 1});
  for (const bool clean : {true, false}) {
    for (const bool with_indexes : {true, false}) {
      CAPTURE(clean);
      CAPTURE(with_indexes);
      World world(clean ? 3 : 4);
      lay_down(world, batches, with_indexes);
      auto log = world.open(options_after(world, clean, 3 * kFar + 4));
      CHECK(bases_of(*log) == std::vector<std::int64_t>{0, kFar, 3 * kFar});
      CHECK(log->log_end_offset() == 3 * kFar + 4);
      CHECK(offsets_of(read_all(world, *log, 0)) == offsets);
      CHECK(offsets_of(read_all(world, *log, kFar + 1)) == std::vector<std::int64_t>{kFar + 1, kFar + 10, kFar + 11,
                                                                                     3 * kFar, 3 * kFar + 1,
                                                                                     3 * kFar + 2, 3 * kFar + 3});
      for (const std::string& name : world.names()) {
        CHECK(!name.ends_with(suffix::kCleaned));
        CHECK(!name.ends_with(suffix::kSwap));
        CHECK(!name.ends_with(suffix::kDeleted));
      }
      CHECK(append(world, *log, make_batch(1), 3).first_offset == 3 * kFar + 4);
      log = world.reopen_clean(std::move(log));
      CHECK(bases_of(*log) == std::vector<std::int64_t>{0, kFar, 3 * kFar});
      CHECK(read_all(world, *log, 0).size() == offsets.size() + 1);
      REQUIRE(world.run(log->close()).has_value());
    }
  }
}

TEST_CASE("the last offset that fits into a segment's indexes does not split it") {
  const std::int64_t most = std::numeric_limits<std::int32_t>::max();
  World world;
  lay_down(world, {0, most - 1}, false);
  auto log = world.open(options_after(world, false, most + 1));
  CHECK(log->segment_count() == 1);
  CHECK(log->log_end_offset() == most + 1);
  // The next one does not fit: the log rolls.
  append(world, *log, make_batch(1), 3);
  CHECK(bases_of(*log) == std::vector<std::int64_t>{0, most + 1});
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a segment in the middle of the log is split, and what follows stays") {
  World world;
  lay_down(world, {0, kFar}, true);
  const std::string later = file_name(kFar + 5, suffix::kLog);
  world.overwrite(later, batches_at({kFar + 5}));
  world.overwrite(file_name(kFar + 5, suffix::kOffsetIndex), {});
  auto log = world.open(options_after(world, true, kFar + 7));
  CHECK(bases_of(*log) == std::vector<std::int64_t>{0, kFar, kFar + 5});
  CHECK(offsets_of(read_all(world, *log, 0)) == std::vector<std::int64_t>{0, 1, kFar, kFar + 1, kFar + 5, kFar + 6});
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("aborted transactions go with the segment of their marker") {
  World world;
  lay_down(world, {0, 10, kFar + 20}, true);
  const AbortedTransaction near{7, 0, 11, 12};
  const AbortedTransaction far{8, 10, kFar + 21, kFar + 22};
  std::vector<std::byte> entries(2 * AbortedTransaction::kBytes);
  near.encode(entries.data());
  far.encode(entries.data() + AbortedTransaction::kBytes);
  world.overwrite(file_name(0, suffix::kTxnIndex), entries);
  auto log = world.open(options_after(world, true, kFar + 22));
  REQUIRE(log->segment_count() == 2);
  CHECK(world.run(log->aborted_between(0, kFar)).value() == std::vector<AbortedTransaction>{near, far});
  CHECK(world.content(file_name(0, suffix::kTxnIndex)).size() == AbortedTransaction::kBytes);
  CHECK(world.content(file_name(kFar + 20, suffix::kTxnIndex)).size() == AbortedTransaction::kBytes);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("a power loss at any point of a split loses nothing and doubles nothing") {
  const std::vector<std::int64_t> batches = {0, 2, kFar, kFar + 2, 2 * kFar + 8};
  const std::vector<std::int64_t> offsets = {0,           1, 2, 3, kFar, kFar + 1, kFar + 2, kFar + 3, 2 * kFar + 8,
                                             2 * kFar + 9};
  int crashes = 0;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    for (std::uint64_t point = 1;; ++point) {
      CAPTURE(seed);
      CAPTURE(point);
      World world(seed * 1000 + point);
      lay_down(world, batches, seed != 2);
      bool crashed = false;
      world.node->disk().crash_after(point, [&] {
        crashed = true;
        world.node->crash();
      });
      Result<std::unique_ptr<Log>> opened =
          world.run(Log::open(world.shard(), options_after(world, true, 2 * kFar + 10)));
      if (crashed) {
        ++crashes;
        if (opened) world.simulation.run(world.shard(), (*opened)->abandon());
        if (opened) opened->reset();
        world.node->restart();
        opened = world.run(Log::open(world.shard(), options_after(world, true, 2 * kFar + 10)));
      }
      world.node->disk().crash_after(1'000'000, [] {});
      REQUIRE_MESSAGE(opened.has_value(), why_of(opened));
      Log& log = **opened;
      CHECK(bases_of(log) == std::vector<std::int64_t>{0, kFar, 2 * kFar + 8});
      CHECK(offsets_of(read_all(world, log, 0)) == offsets);
      REQUIRE(world.run(log.close()).has_value());
      if (!crashed) break;
    }
  }
  CHECK(crashes > 60);
}

TEST_CASE("a split on a full or failing disk leaves the log as it was, and is made when there is room") {
  const std::vector<std::int64_t> batches = {0, 2, kFar, kFar + 2, 2 * kFar + 8};
  for (const int error_number : {ENOSPC, EIO}) {
    for (const io::sim::DiskOperation operation : {io::sim::DiskOperation::create, io::sim::DiskOperation::write,
                                                   io::sim::DiskOperation::sync, io::sim::DiskOperation::rename}) {
      for (std::uint64_t skip = 0; skip < 4; ++skip) {
        CAPTURE(error_number);
        CAPTURE(std::string(io::sim::name_of(operation)));
        CAPTURE(skip);
        World world;
        lay_down(world, batches, true);
        world.node->disk().inject(
            {.operation = operation, .path = "topic-0/", .error_number = error_number, .skip = skip});
        Result<std::unique_ptr<Log>> opened =
            world.run(Log::open(world.shard(), options_after(world, true, 2 * kFar + 10)));
        if (opened) {
          world.simulation.run(world.shard(), (*opened)->abandon());
          opened->reset();
        } else {
          CHECK(opened.error() == std::error_code(error_number, std::system_category()));
        }
        CHECK((!opened || skip > 0));
        world.node->disk().clear_faults();
        auto log = world.open(options_after(world, true, 2 * kFar + 10));
        CHECK(bases_of(*log) == std::vector<std::int64_t>{0, kFar, 2 * kFar + 8});
        CHECK(read_all(world, *log, 0).size() == 2 * batches.size());
        REQUIRE(world.run(log->close()).has_value());
      }
    }
  }
}

TEST_CASE("a follower takes of a fetch what fits into one segment, and the rest with the next") {
  World world;
  config::LogConfig config;
  config.cleanup_compact = true;
  auto log = world.open(world.options(config));
  const auto fetched = [](const std::vector<std::int64_t>& offsets) {
    const std::vector<std::byte> bytes = batches_at(offsets);
    return Slice::copy(Bytes(bytes));
  };
  Result<AppendInfo> info = world.run(log->append_as_follower(fetched({0, 5, kFar + 1, kFar + 3}), 3));
  REQUIRE(info.has_value());
  CHECK(info->last_offset == 6);
  info = world.run(log->append_as_follower(fetched({kFar + 1, kFar + 3}), 3));
  REQUIRE(info.has_value());
  CHECK(info->last_offset == kFar + 4);
  CHECK(bases_of(*log).size() == 2);
  CHECK(offsets_of(read_all(world, *log, 0)) ==
        std::vector<std::int64_t>{0, 1, 5, 6, kFar + 1, kFar + 2, kFar + 3, kFar + 4});
  log = world.reopen_killed(std::move(log), 0);
  CHECK(log->log_end_offset() == kFar + 5);
  REQUIRE(world.run(log->close()).has_value());
}

}  // namespace klamm::storage::test
