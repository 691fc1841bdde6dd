// A log on the machine's own disk. KLAMM_TEST_LOG_DIR names a directory to write to and keep, so that Kafka's tools can
// be pointed at it: kafka-dump-log.sh --deep-iteration --index-sanity-check --files <dir>/topic-0/*.log,...
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "broker/storage/log.h"
#include "io/machine.h"
#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

struct Disk {
  Disk() {
    const char* kept = std::getenv("KLAMM_TEST_LOG_DIR");
    keep = kept != nullptr;
    root = keep ? std::string(kept)
                : (std::filesystem::temp_directory_path() / fmt::format("klamm-log-{}", getpid())).string();
    std::filesystem::remove_all(root);
  }
  ~Disk() {
    machine.stop();
    if (!keep) std::filesystem::remove_all(root);
  }
  std::unique_ptr<Log> open(bool clean) {
    LogOptions options;
    options.partition = kPartition;
    options.directory = root + "/topic-0";
    options.topic_id = Uuid{11, 12};
    options.config = small_segments(20000);
    options.config.index_interval_bytes = 500;
    options.codecs = &codecs;
    options.clean_shutdown = clean;
    Result<std::unique_ptr<Log>> log = machine.run(0, Log::open(machine.at(0), std::move(options)));
    REQUIRE_MESSAGE(log.has_value(), why_of(log));
    return *std::move(log);
  }
  AppendInfo append(Log& log, LeaderAppend request) {
    Result<AppendInfo> info = machine.run(0, log.append_as_leader(std::move(request)));
    REQUIRE_MESSAGE(info.has_value(), why_of(info));
    log.set_high_watermark(log.log_end_offset());
    return *info;
  }

  std::string root;
  bool keep = false;
  compress::Codecs codecs;
  io::Machine machine{{.shards = 1, .seed = 1}};
};

Slice read_records(Disk& disk, Log& log, std::int64_t offset) {
  Result<FetchData> data = disk.machine.run(0, log.read({.offset = offset}));
  REQUIRE(data.has_value());
  if (data->size_bytes == 0) return {};
  const auto& region = std::get<io::FileRegion>(data->records.at(0));
  Buffer::Ref buffer = Buffer::allocate(region.size);
  Result<std::size_t> got =
      disk.machine.run(0, disk.machine.at(0).files().read_region(region, MutableBytes(buffer->data(), region.size)));
  REQUIRE(got.has_value());
  return Slice(std::move(buffer), *got);
}

std::int64_t count_batches(Disk& disk, Log& log) {
  std::int64_t count = 0;
  for (std::int64_t offset = log.log_start_offset(); offset < log.log_end_offset();) {
    record::BatchCursor cursor(read_records(disk, log, offset));
    while (cursor.next()) {
      Result<record::BatchView> batch = cursor.batch();
      REQUIRE(batch.has_value());
      REQUIRE(batch->check_crc().has_value());
      offset = batch->next_offset();
      ++count;
    }
  }
  return count;
}

}  // namespace

TEST_CASE("a log on the real disk with all codecs and transactions is read back after a clean stop and after none") {
  Disk disk;
  auto log = disk.open(false);
  const TimestampMs now = disk.machine.at(0).wall_ms();
  std::int32_t sequence = 0;
  std::int64_t batches = 0;
  const auto records = [&](int i) {
    std::vector<TestRecord> list;
    for (int j = 0; j < 20; ++j)
      list.push_back({fmt::format("value {} of batch {}", j, i), now + i, fmt::format("key {}", j)});
    return list;
  };
  for (int i = 0; i < 200; ++i) {
    const bool transactional = i % 10 < 5;
    const record::ProducerStamp producer{.id = transactional ? 1000 : 2000,
                                         .epoch = 0,
                                         .base_sequence = transactional ? sequence : i / 10 * 100 + (i % 10 - 5) * 20,
                                         .transactional = transactional};
    if (transactional) sequence += 20;
    disk.append(*log,
                leader_append(make_batch(records(i), producer, static_cast<compress::Compression>(i % 5)), i / 50));
    ++batches;
    if (i % 10 == 6) {
      LeaderAppend marker = leader_append(record::build_transaction_marker(i % 20 == 6, 1000, 0, 3, now + i), i / 50);
      marker.origin = AppendOrigin::coordinator;
      disk.append(*log, std::move(marker));
      ++batches;
    }
  }
  CHECK(log->segment_count() > 3);
  CHECK(count_batches(disk, *log) == batches);
  const std::int64_t end = log->log_end_offset();
  REQUIRE(disk.machine.run(0, log->close()).has_value());
  log = disk.open(true);
  CHECK(log->log_end_offset() == end);
  log->set_high_watermark(end);
  CHECK(log->last_stable_offset() == end);
  CHECK(count_batches(disk, *log) == batches);
  disk.machine.run(0, log->abandon());
  log = disk.open(false);
  CHECK(log->log_end_offset() == end);
  log->set_high_watermark(end);
  CHECK(count_batches(disk, *log) == batches);
  CHECK(log->end_offset_for_epoch(1).epoch == 1);
  REQUIRE(disk.machine.run(0, log->close()).has_value());
}
