// What a start and a stop read and write, and what a start trusts.
#include <map>

#include "broker/storage/names.h"
#include "io/survey.h"
#include "tests/unit/broker/storage/storage_test.h"

namespace klamm::storage::test {

namespace {

using io::sim::DiskOperation;

// Counts the operations that change the disk or make a change durable.
class Changes {
 public:
  explicit Changes(World& world) : world_(world) {
    world.node->disk().set_observer([this](DiskOperation operation, const std::string& path) {
      if (is_crash_point(operation)) ++count_[std::string(name_of(operation)) + " " + path];
    });
  }
  ~Changes() { world_.node->disk().set_observer({}); }
  std::string text() const {
    std::string all;
    for (const auto& [what, times] : count_) all += fmt::format("{} ({}) ", what, times);
    return all;
  }

 private:
  World& world_;
  std::map<std::string, int> count_;
};

}  // namespace

TEST_CASE("a log that nobody wrote to is started, led and stopped without a write or a sync") {
  World world;
  auto log = world.open(world.options(small_segments()));
  for (int i = 0; i < 30; ++i) append(world, *log, make_batch(3, 1000 + i, 10, {7, 0, 3 * i}), 1);
  log = world.reopen_clean(std::move(log));
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  for (std::int32_t epoch = 2; epoch < 6; ++epoch) {
    CAPTURE(epoch);
    const Changes changes(world);
    REQUIRE(world.run(log->begin_epoch(epoch)).has_value());
    CHECK(log->leader_epochs().latest() == epoch);
    log = world.reopen_clean(std::move(log));
    CHECK(changes.text() == "");
    CHECK(log->leader_epochs().latest() == 1);  // the others had no records
    CHECK(log->recovery_point() == log->log_end_offset());
  }
  CHECK(read_all(world, *log, 0) == all);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("after a killed process a log is checked without a write or a sync, and its recovery point stays") {
  World world;
  auto log = world.open(world.options());
  for (int i = 0; i < 30; ++i) append(world, *log, make_batch(3, 1000 + i, 10, {7, 0, 3 * i}), 1 + i / 10);
  const std::vector<ReadBack> all = read_all(world, *log, 0);
  const std::vector<EpochEntry> epochs = log->leader_epochs().entries();
  for (int start = 0; start < 3; ++start) {
    const Changes changes(world);
    log = world.reopen_killed(std::move(log), 0);
    CHECK(changes.text() == "");
    CHECK(log->recovery_point() == 0);
    CHECK(log->leader_epochs().entries() == epochs);
    CHECK(read_all(world, *log, 0) == all);
    CHECK(log->producers().find(7)->batches().size() == ProducerEntry::kMostBatches);
  }
  REQUIRE(world.run(log->flush()).has_value());
  CHECK(log->recovery_point() == log->log_end_offset());
  log = world.reopen_clean(std::move(log));
  CHECK(log->leader_epochs().entries() == epochs);
  CHECK(read_all(world, *log, 0) == all);
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("an epoch is on the disk when its records are flushed, whatever was known of it before") {
  World world;
  auto log = world.open(world.options());
  append(world, *log, make_batch(2), 1);
  REQUIRE(world.run(log->begin_epoch(4)).has_value());
  append(world, *log, make_batch(2), 4);
  CHECK(!world.exists(std::string(kLeaderEpochFile)));
  REQUIRE(world.run(log->flush()).has_value());
  CHECK(world.content(std::string(kLeaderEpochFile)).text() == "0\n2\n1 0\n4 2\n");
  REQUIRE(world.run(log->begin_epoch(6)).has_value());
  REQUIRE(world.run(log->flush()).has_value());
  CHECK(world.content(std::string(kLeaderEpochFile)).text() == "0\n2\n1 0\n4 2\n");
  append(world, *log, make_batch(2), 6);
  REQUIRE(world.run(log->roll()).has_value());
  log = world.reopen_clean(std::move(log));
  CHECK(world.content(std::string(kLeaderEpochFile)).text() == "0\n3\n1 0\n4 2\n6 4\n");
  REQUIRE(world.run(log->close()).has_value());
}

TEST_CASE("an epoch without records in the file gives way to the records that took its place") {
  for (const bool clean : {true, false}) {
    CAPTURE(clean);
    World world;
    auto log = world.open(world.options());
    append(world, *log, make_batch(2), 1);
    REQUIRE(world.run(log->close()).has_value());
    // This replica led in epoch 5, wrote nothing, and another one leads with records that epoch 3 wrote.
    const std::string file = "0\n2\n1 0\n5 2\n";
    world.overwrite(std::string(kLeaderEpochFile), as_bytes(file));
    LogOptions options = world.options();
    options.clean_shutdown = true;
    options.recovery_point = options.high_watermark = 2;
    log = world.open(options);
    CHECK(log->leader_epochs().entries() == std::vector<EpochEntry>{{1, 0}});
    append(world, *log, make_batch(2), 3);
    log = clean ? world.reopen_clean(std::move(log)) : world.reopen_killed(std::move(log), 2);
    CHECK(log->leader_epochs().entries() == std::vector<EpochEntry>{{1, 0}, {3, 2}});
    REQUIRE(world.run(log->close()).has_value());
  }
}

TEST_CASE("a retry of any of a producer's last batches is known after a clean stop too") {
  for (int again = 0; again < 5; ++again) {
    CAPTURE(again);
    World world;
    auto log = world.open(world.options(small_segments()));
    const TimestampMs now = world.shard().wall_ms();
    for (int i = 0; i < 12; ++i) append(world, *log, make_batch(3, now, 10, {7, 0, 3 * i}));
    log = world.reopen_clean(std::move(log));
    const std::int64_t end = log->log_end_offset();
    const int batch = 11 - again;
    const AppendInfo info = append(world, *log, make_batch(3, now, 10, {7, 0, 3 * batch}));
    CHECK(info.duplicate);
    CHECK(info.first_offset == 3 * batch);
    CHECK(log->log_end_offset() == end);
    REQUIRE(world.run(log->close()).has_value());
  }
}

TEST_CASE("a retry of any of a producer's last batches is known after a killed process, wherever recovery began") {
  // Segments are recovered from the recovery point's on, and a snapshot tells of the batches before.
  for (std::int64_t recovery_point = 0; recovery_point <= 36; recovery_point += 3) {
    for (int again = 0; again < 5; ++again) {
      CAPTURE(recovery_point);
      CAPTURE(again);
      World world;
      auto log = world.open(world.options(small_segments(300)));
      const TimestampMs now = world.shard().wall_ms();
      for (int i = 0; i < 12; ++i) append(world, *log, make_batch(3, now, 10, {7, 0, 3 * i}));
      log = world.reopen_killed(std::move(log), recovery_point);
      const int batch = 11 - again;
      const AppendInfo info = append(world, *log, make_batch(3, now, 10, {7, 0, 3 * batch}));
      CHECK(info.duplicate);
      CHECK(info.first_offset == 3 * batch);
      CHECK(log->log_end_offset() == 36);
      REQUIRE(world.run(log->close()).has_value());
    }
  }
}

TEST_CASE("a survey tells names, sizes and the bytes that were asked for") {
  World world;
  auto log = world.open(world.options());
  append(world, *log, make_batch(10));
  REQUIRE(world.run(log->close()).has_value());
  const auto wish = [](const std::vector<std::string>& names) {
    return std::vector<io::SurveyBytes>(names.size(), {5, 7});
  };
  const Result<io::Survey> found = world.run(io::survey(world.files(), kDirectory, wish));
  REQUIRE(found.has_value());
  CHECK(found->files().size() == world.names().size());
  CHECK(found->find("nobody") == nullptr);
  for (const io::SurveyedFile& file : found->files()) {
    const Slice content = world.content(file.name);
    CHECK(file.info.size == content.size());
    CHECK(file.head.text() == content.text().substr(0, 5));
    CHECK(file.tail.text() == content.text().substr(content.size() - std::min<std::size_t>(7, content.size())));
    CHECK(file.is_whole() == (content.size() <= 7));
  }
  CHECK(world.run(io::survey(world.files(), "/nowhere", wish)).error() == Errc::not_found);
}

}  // namespace klamm::storage::test
