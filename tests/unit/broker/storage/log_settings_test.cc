// Settings that change while logs are in use, and what they do by and by; what a failing disk does to the log lines.
#include <algorithm>
#include <cerrno>
#include <set>

#include "broker/storage/log_manager.h"
#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

namespace {

constexpr Uuid kTopicId{7, 7};

// One shard of a node over one directory.
struct Storage {
  Storage() : node(simulation.add_node("node")) {
    REQUIRE(run(files().make_directories("/d")).has_value());
    REQUIRE(run(save_meta_properties(files(), "/d", {"cluster", 1, Uuid{1, 2}}, 0)).has_value());
    LogDirsOptions dirs_options;
    dirs_options.directories = {"/d"};
    dirs_options.node_id = 1;
    Result<std::unique_ptr<LogDirs>> opened = run(LogDirs::open(shard(), dirs_options));
    REQUIRE(opened.has_value());
    dirs = *std::move(opened);
    Result<std::vector<FoundLog>> found = run(dirs->list_logs());
    REQUIRE(found.has_value());
    LogManagerOptions options;
    options.retention_check_interval_ms = 1000;
    options.flush_check_interval_ms = 100;
    options.initial_task_delay_ms = 0;
    const LogSink sink = [this](LogLevel level, std::string_view, std::string_view message) {
      if (level == LogLevel::error) lines.emplace_back(message);
    };
    options.logger = Logger(sink, LogLevel::debug);
    manager = std::make_unique<LogManager>(shard(), *dirs, options);
    REQUIRE(run(manager->load(*std::move(found))).has_value());
    simulation.run(shard(), [&]() -> Task<void> {
      manager->start();
      dirs->start({manager.get()});
      co_return;
    });
  }
  ~Storage() {
    simulation.run(shard(), manager->close());
    static_cast<void>(run(dirs->close(1)));
  }

  io::Shard& shard() { return node.shard(); }
  io::FileSystem& files() { return shard().files(); }
  template <typename T>
  T run(Task<T> task) {
    return simulation.run(shard(), std::move(task));
  }
  std::shared_ptr<Log> create(const std::string& topic, config::LogConfig config) {
    auto log = run(manager->create({topic, protocol::PartitionIndex(0)}, kTopicId, std::move(config)));
    REQUIRE_MESSAGE(log.has_value(), why_of(log));
    return *log;
  }
  AppendInfo append(Log& log, Slice records) {
    Result<AppendInfo> info = run(log.append_as_leader(leader_append(std::move(records))));
    REQUIRE_MESSAGE(info.has_value(), why_of(info));
    log.set_high_watermark(log.log_end_offset());
    return *info;
  }

  std::vector<std::string> lines;
  io::sim::Simulation simulation{5};
  io::sim::Node& node;
  std::unique_ptr<LogDirs> dirs;
  std::unique_ptr<LogManager> manager;
};

}  // namespace

TEST_CASE("segments roll earlier than segment.ms by a chance of up to segment.jitter.ms") {
  std::set<std::int64_t> ages;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    World world(seed);
    config::LogConfig config = small_segments(100000);
    config.segment_ms = 1000;
    config.segment_jitter_ms = 400;
    auto log = world.open(world.options(config));
    append(world, *log, make_batch(1, 5000));
    std::int64_t age = 0;
    while (log->segment_count() == 1) append(world, *log, make_batch(1, 5000 + ++age * 10));
    CHECK(age * 10 > 1000 - 400);
    CHECK(age * 10 <= 1010);
    ages.insert(age);
    REQUIRE(world.run(log->close()).has_value());
  }
  CHECK(ages.size() > 4);
}

TEST_CASE("what is appended is flushed by itself when flush.ms has passed, and not before") {
  Storage storage;
  config::LogConfig config = small_segments(100000);
  config.retention_ms = -1;
  config.flush_ms = 3000;
  const std::shared_ptr<Log> log = storage.create("t", config);
  const std::shared_ptr<Log> other = storage.create("never", small_segments(100000));
  storage.simulation.run_for(4s);
  storage.append(*log, make_batch(3, storage.shard().wall_ms()));
  storage.append(*other, make_batch(3, storage.shard().wall_ms()));
  CHECK(storage.simulation.run_until([&] { return log->recovery_point() == 3; }, 1s));  // the last flush is long ago
  storage.append(*log, make_batch(3, storage.shard().wall_ms()));
  storage.simulation.run_for(2s);
  CHECK(log->recovery_point() == 3);
  CHECK(storage.simulation.run_until([&] { return log->recovery_point() == 6; }, 2s));
  CHECK(other->recovery_point() == 0);
}

TEST_CASE("a topic's settings take effect while its logs are written, and on no other topic") {
  Storage storage;
  config::LogConfig config = small_segments(1 << 20);
  config.retention_ms = -1;
  const std::shared_ptr<Log> log = storage.create("t", config);
  const std::shared_ptr<Log> other = storage.create("t2", config);
  const auto append_both = [&](int batches) {
    for (int i = 0; i < batches; ++i) {
      for (const auto& each : {log, other}) storage.append(*each, make_batch(3, 1000 + i));
    }
  };
  append_both(20);
  CHECK(log->segment_count() == 1);

  config.segment_bytes = 500;  // at the next append
  storage.manager->set_config("t", config);
  append_both(20);
  CHECK(log->segment_count() > 4);
  CHECK(other->segment_count() == 1);

  config.flush_messages = 1;
  storage.manager->set_config("t", config);
  CHECK(storage.append(*log, make_batch(1)).wait_flushed);
  CHECK(!storage.append(*other, make_batch(1)).wait_flushed);
  CHECK(storage.simulation.run_until([&] { return log->recovery_point() == log->log_end_offset(); }, 10s));
  CHECK(other->recovery_point() == 0);

  config.max_message_bytes = 100;
  storage.manager->set_config("t", config);
  Result<AppendInfo> refused = storage.run(log->append_as_leader(leader_append(make_batch(10))));
  REQUIRE(!refused.has_value());
  CHECK(code(refused.error()) == ErrorCode::message_too_large);
  storage.append(*other, make_batch(10));

  config.timestamp_type = config::TimestampType::log_append_time;
  config.max_message_bytes = 10000;
  storage.manager->set_config("t", config);
  CHECK(storage.append(*log, make_batch(1)).log_append_time_ms >= 0);
  CHECK(storage.append(*other, make_batch(1)).log_append_time_ms == -1);

  storage.simulation.run_for(3s);
  CHECK(log->log_start_offset() == 0);
  config.retention_bytes = 1000;  // at the next check
  storage.manager->set_config("t", config);
  CHECK(storage.simulation.run_until([&] { return log->log_start_offset() > 0; }, 3s));
  CHECK(other->log_start_offset() == 0);
}

TEST_CASE("a full disk fills the broker's log with a few lines only, and with how many were left out") {
  Storage storage;
  const std::shared_ptr<Log> log = storage.create("t", small_segments());
  storage.node.disk().inject({.operation = io::sim::DiskOperation::write, .path = ".log", .error_number = ENOSPC});
  for (int i = 0; i < 500; ++i) CHECK(!storage.run(log->append_as_leader(leader_append(make_batch(1)))).has_value());
  CHECK(!storage.lines.empty());
  CHECK(storage.lines.size() < 100);
  CHECK(storage.lines.front().find("append failed") != std::string::npos);
  const std::size_t before = storage.lines.size();
  storage.simulation.run_for(20s);
  CHECK(!storage.run(log->append_as_leader(leader_append(make_batch(1)))).has_value());
  REQUIRE(storage.lines.size() == before + 1);
  CHECK(storage.lines.back().find("left out") != std::string::npos);
  storage.node.disk().clear_faults();
  storage.append(*log, make_batch(1));
  CHECK(storage.lines.size() == before + 1);
}
