// Many logs and few descriptors, on the machine's own disk.
#include "broker/storage/open_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "broker/storage/log.h"
#include "io/machine.h"
#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

constexpr std::size_t kRecordBytes = 400;

struct ManyLogs {
  ManyLogs(std::size_t count, std::size_t most) : open_files(std::make_shared<OpenFiles>(most)) {
    root = (std::filesystem::temp_directory_path() / fmt::format("klamm-open-{}", getpid())).string();
    std::filesystem::remove_all(root);
    for (std::size_t i = 0; i < count; ++i) logs.push_back(open(i, {}));
  }
  ~ManyLogs() {
    for (std::unique_ptr<Log>& log : logs) {
      if (log) machine.run(0, log->abandon());
    }
    machine.run(0, clear());
    machine.stop();
    std::filesystem::remove_all(root);
  }
  // Segments belong to their shard, in their end too.
  Task<void> clear() {
    logs.clear();
    open_files.reset();
    co_return;
  }
  Task<void> drop(std::size_t index) {
    logs[index].reset();
    co_return;
  }
  std::unique_ptr<Log> open(std::size_t index, std::optional<std::int64_t> closed_at) {
    LogOptions options;
    options.partition = {"topic", protocol::PartitionIndex(static_cast<std::int32_t>(index))};
    options.directory = fmt::format("{}/topic-{}", root, index);
    options.config = small_segments(2000);
    options.config.index_interval_bytes = 100;
    options.codecs = &codecs;
    options.open_files = open_files;
    options.clean_shutdown = closed_at.has_value();
    options.recovery_point = closed_at.value_or(0);
    Result<std::unique_ptr<Log>> log = machine.run(0, Log::open(machine.at(0), std::move(options)));
    REQUIRE_MESSAGE(log.has_value(), why_of(log));
    return *std::move(log);
  }
  void append(Log& log, std::int32_t epoch = 0) {
    Result<AppendInfo> info =
        machine.run(0, log.append_as_leader(leader_append(make_batch(1, 1000, kRecordBytes), epoch)));
    REQUIRE_MESSAGE(info.has_value(), why_of(info));
    log.set_high_watermark(log.log_end_offset());
  }
  void flush(Log& log) {
    Result<void> flushed = machine.run(0, log.flush());
    REQUIRE_MESSAGE(flushed.has_value(), why_of(flushed));
  }
  FetchData read(Log& log, std::int64_t offset) {
    Result<FetchData> data = machine.run(0, log.read({.offset = offset, .max_bytes = 1}));
    REQUIRE_MESSAGE(data.has_value(), why_of(data));
    return *std::move(data);
  }
  // The offset of the batch that the data hold.
  std::int64_t offset_of(const FetchData& data) {
    REQUIRE(data.records.size() == 1);
    const auto& region = std::get<io::FileRegion>(data.records.front());
    std::vector<std::byte> bytes(static_cast<std::size_t>(region.size));
    Result<std::size_t> got = machine.run(0, machine.at(0).files().read_region(region, bytes));
    REQUIRE_MESSAGE(got.has_value(), why_of(got));
    const std::optional<BatchSummary> batch = BatchSummary::parse(Bytes(bytes));
    REQUIRE(batch.has_value());
    return batch->base_offset;
  }
  // The descriptors that the process has on the logs' files.
  std::size_t descriptors() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path(), gone).string().starts_with(root)) ++count;
    }
    return count;
  }

  std::string root;
  compress::Codecs codecs;
  std::shared_ptr<OpenFiles> open_files;
  io::Machine machine{{.shards = 1, .seed = 1}};
  std::vector<std::unique_ptr<Log>> logs;
};

// Every descriptor that is free under the limit, taken.
class Hoard {
 public:
  Hoard() {
    for (int taken = ::dup(0); taken >= 0; taken = ::dup(0)) taken_.push_back(taken);
  }
  ~Hoard() {
    for (const int taken : taken_) ::close(taken);
  }

 private:
  std::vector<int> taken_;
};

// Fewer descriptors for the process than it could have, for a while.
class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t most) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit lower{most, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &lower) == 0);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("two hundred logs are appended to, rolled, read, truncated and opened again with sixteen open files") {
  constexpr std::size_t kLogs = 200;
  constexpr std::size_t kMost = 16;
  constexpr int kRounds = 12;  // over several segments
  ManyLogs many(kLogs, kMost);
  CHECK(many.descriptors() <= kMost);
  for (int round = 0; round < kRounds; ++round) {
    for (std::unique_ptr<Log>& log : many.logs) many.append(*log);
    CHECK(many.open_files->count() <= kMost);
  }
  for (std::unique_ptr<Log>& log : many.logs) {
    many.flush(*log);
    CHECK(log->segment_count() > 2);
    CHECK(log->recovery_point() == kRounds);
  }
  CHECK(many.descriptors() <= kMost);

  // What was read stays readable though its file has been closed for the segment since.
  std::vector<FetchData> held;
  constexpr std::size_t kHeld = 40;
  for (std::size_t i = 0; i < kHeld; ++i) held.push_back(many.read(*many.logs[i], 1));
  for (std::size_t i = 0; i < kLogs; ++i) CHECK(many.offset_of(many.read(*many.logs[i], kRounds - 1)) == kRounds - 1);
  CHECK(many.descriptors() <= kMost + kHeld);
  CHECK(many.descriptors() > kMost);
  for (const FetchData& data : held) CHECK(many.offset_of(data) == 1);
  held.clear();
  CHECK(many.descriptors() <= kMost);

  for (std::unique_ptr<Log>& log : many.logs) {
    Result<bool> truncated = many.machine.run(0, log->truncate_to(5));
    REQUIRE_MESSAGE(truncated.has_value(), why_of(truncated));
  }
  for (std::unique_ptr<Log>& log : many.logs) many.append(*log);
  CHECK(many.descriptors() <= kMost);
  for (std::size_t i = 0; i < kLogs; ++i) {
    Result<void> closed = many.machine.run(0, many.logs[i]->close());
    REQUIRE_MESSAGE(closed.has_value(), why_of(closed));
    const std::int64_t end = many.logs[i]->log_end_offset();
    many.machine.run(0, many.drop(i));
    many.logs[i] = many.open(i, end);
    CHECK(many.logs[i]->log_end_offset() == 6);
    many.logs[i]->set_high_watermark(6);
    CHECK(many.offset_of(many.read(*many.logs[i], 5)) == 5);
  }
  CHECK(many.descriptors() <= kMost);
}

TEST_CASE("without a descriptor left the files used longest ago are closed, and the log goes on") {
  constexpr std::size_t kLogs = 40;
  ManyLogs many(kLogs, OpenFiles::kUnlimited);
  for (std::unique_ptr<Log>& log : many.logs) many.append(*log);
  const std::size_t before = many.descriptors();
  CHECK(before >= kLogs);
  rlim_t used = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++used;
  --used;                      // the listing had one too
  std::size_t free_below = 0;  // the limit is one of numbers: those below it may still be taken
  for (rlim_t number = 0; number < used; ++number) {
    if (::fcntl(static_cast<int>(number), F_GETFD) < 0) ++free_below;
  }
  {
    const DescriptorLimit limit(used);
    for (int round = 0; round < 10; ++round) {
      for (std::unique_ptr<Log>& log : many.logs) many.append(*log);
    }
    std::vector<std::unique_ptr<Hoard>> hoards;  // what the first flushes find taken, down to the last
    for (std::size_t i = 0; i < kLogs; ++i) {
      many.append(*many.logs[i], 1);  // an epoch to be saved too
      if (i < 5) hoards.push_back(std::make_unique<Hoard>());
      many.flush(*many.logs[i]);
    }
  }
  CHECK(many.descriptors() <= before + free_below);
  for (std::unique_ptr<Log>& log : many.logs) {
    CHECK_FALSE(log->failed());
    CHECK(log->segment_count() > 2);
    CHECK(many.offset_of(many.read(*log, 10)) == 10);
  }
}

TEST_CASE("the file used last is the last to be closed") {
  World world;
  const auto open_files = std::make_shared<OpenFiles>(2);
  CachedFile first(world.files(), open_files);
  CachedFile second(world.files(), open_files);
  CachedFile third(world.files(), open_files);
  const auto open = [&](CachedFile& file, const std::string& name) {
    Result<std::shared_ptr<io::File>> opened = world.run(file.open("/data/" + name, io::OpenMode::create));
    REQUIRE_MESSAGE(opened.has_value(), why_of(opened));
  };
  open(first, "1");
  open(second, "2");
  first.use();
  open(third, "3");
  CHECK(first.is_open());
  CHECK_FALSE(second.is_open());
  CHECK(third.is_open());
  open(second, "2");
  CHECK_FALSE(first.is_open());
  CHECK(open_files->count() == 2);
  second.release();
  second.release();
  CHECK(open_files->count() == 1);
}

TEST_CASE("a segment may be deleted while it waits for its flush, its file being closed") {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    World world(seed);
    LogOptions options = world.options(small_segments(600));
    options.config.retention_bytes = 700;
    options.open_files = std::make_shared<OpenFiles>(1);
    std::unique_ptr<Log> log = world.open(std::move(options));
    for (int i = 0; i < 12; ++i) append(world, *log, make_batch(1, 1000, 300));
    io::Gate deletions(world.shard());
    deletions.spawn([](Log* self) -> Task<void> {
      Result<int> deleted = co_await self->delete_old_segments();
      CHECK_MESSAGE(deleted.has_value(), why_of(deleted));
      CHECK(*deleted > 0);
    }(log.get()));
    Result<void> flushed = world.run(log->flush());
    CHECK_MESSAGE(flushed.has_value(), why_of(flushed));
    world.simulation.run(world.shard(), deletions.close());
    CHECK_FALSE(log->failed());
    CHECK(log->segment_count() < 5);
    world.simulation.run(world.shard(), log->abandon());
  }
}
