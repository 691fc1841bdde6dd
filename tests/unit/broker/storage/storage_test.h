// What the storage tests share: a simulated node with a disk, and batches to put into logs.
#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/storage/log.h"
#include "io/sim/simulation.h"
#include "protocol/error.h"
#include "protocol/record/batch_builder.h"
#include "protocol/record/control.h"
#include "tests/unit/why.h"

namespace klamm::storage::test {

using io::Task;
using protocol::ErrorCode;

inline const protocol::TopicPartition kPartition{"topic", protocol::PartitionIndex(0)};
inline const std::string kDirectory = "/data/topic-0";

struct World {
  explicit World(std::uint64_t seed = 1, io::sim::DiskOptions disk = {})
      : simulation(seed),
        node(&simulation.add_node("node", {.disk = disk})),
        open_files(std::make_shared<OpenFiles>(seed % 2 == 1 ? 2 : OpenFiles::kUnlimited)) {
    // The data directory is there to stay: its own entry must not be what a crash takes.
    REQUIRE(run(files().make_directories("/data")).has_value());
    REQUIRE(run(files().sync_directory("/")).has_value());
  }

  io::Shard& shard() { return node->shard(); }
  io::FileSystem& files() { return shard().files(); }
  template <typename T>
  T run(Task<T> task) {
    return simulation.run(shard(), std::move(task));
  }

  LogOptions options(config::LogConfig config = {}) {
    LogOptions options;
    options.partition = kPartition;
    options.directory = kDirectory;
    options.config = std::move(config);
    options.codecs = &codecs;
    options.open_files = open_files;
    return options;
  }
  std::unique_ptr<Log> open(LogOptions options) {
    Result<std::unique_ptr<Log>> log = run(Log::open(shard(), std::move(options)));
    REQUIRE_MESSAGE(log.has_value(), why_of(log));
    return *std::move(log);
  }
  // The same log again, with what the checkpoints would say.
  std::unique_ptr<Log> reopen_clean(std::unique_ptr<Log> log) {
    LogOptions next = options(log->config());
    Result<void> closed = run(log->close());
    REQUIRE_MESSAGE(closed.has_value(), why_of(closed));
    next.clean_shutdown = true;
    next.recovery_point = log->recovery_point();
    next.log_start_offset = log->log_start_offset();
    next.high_watermark = log->high_watermark();
    return open(std::move(next));
  }
  // The process was killed: the files are as they were, checkpoints may be old.
  std::unique_ptr<Log> reopen_killed(std::unique_ptr<Log> log, std::int64_t recovery_point) {
    LogOptions next = options(log->config());
    next.recovery_point = recovery_point;
    next.log_start_offset = log->log_start_offset();
    next.high_watermark = log->high_watermark();
    simulation.run(shard(), log->abandon());
    log.reset();
    return open(std::move(next));
  }
  std::vector<std::string> names() {
    Result<std::vector<std::string>> names = run(files().list(kDirectory));
    REQUIRE(names.has_value());
    return *names;
  }
  bool exists(const std::string& name) {
    for (const std::string& there : names()) {
      if (there == name) return true;
    }
    return false;
  }
  std::string path(const std::string& name) { return kDirectory + "/" + name; }
  Slice content(const std::string& name) {
    Result<Slice> bytes = run(io::read_file(files(), path(name)));
    REQUIRE_MESSAGE(bytes.has_value(), why_of(bytes));
    return *bytes;
  }
  void overwrite(const std::string& name, Bytes content) {
    Result<std::shared_ptr<io::File>> file = run(files().open(path(name), io::OpenMode::create));
    REQUIRE(file.has_value());
    REQUIRE(run((*file)->truncate(0)).has_value());
    REQUIRE(run((*file)->write(0, content)).has_value());
    REQUIRE(run((*file)->sync()).has_value());
  }

  compress::Codecs codecs;
  io::sim::Simulation simulation;
  io::sim::Node* node;
  std::shared_ptr<OpenFiles> open_files;
};

struct TestRecord {
  std::string value;
  TimestampMs timestamp = 1000;
  std::optional<std::string> key = "key";
};

// A batch as a producer sends it.
inline Slice make_batch(const std::vector<TestRecord>& records, record::ProducerStamp producer = {},
                        compress::Compression compression = compress::Compression::none) {
  compress::Codecs codecs;
  record::BatchOptions options;
  options.compression = compression;
  options.level = compress::standard_level(compression);
  options.size_limit_bytes = std::size_t{1} << 30;
  record::BatchBuilder builder(options);
  for (const TestRecord& r : records) {
    const record::NullableBytes key = r.key ? record::NullableBytes(std::string_view(*r.key)) : record::NullableBytes();
    REQUIRE(builder.append(r.timestamp, key, std::string_view(r.value)).has_value());
  }
  Result<Slice> batch = builder.build(codecs, producer);
  REQUIRE(batch.has_value());
  return *batch;
}
inline Slice make_batch(int count, TimestampMs timestamp = 1000, std::size_t value_bytes = 10,
                        record::ProducerStamp producer = {}) {
  std::vector<TestRecord> records;
  for (int i = 0; i < count; ++i)
    records.push_back({std::string(value_bytes, static_cast<char>('a' + i % 26)), timestamp});
  return make_batch(records, producer);
}

inline LeaderAppend leader_append(Slice records, std::int32_t epoch = 0) {
  LeaderAppend append;
  append.records = std::move(records);
  append.leader_epoch = epoch;
  return append;
}

// Appends as a client's and counts it committed.
inline AppendInfo append(World& world, Log& log, Slice records, std::int32_t epoch = 0) {
  Result<AppendInfo> info = world.run(log.append_as_leader(leader_append(std::move(records), epoch)));
  REQUIRE_MESSAGE(info.has_value(), why_of(info));
  log.set_high_watermark(log.log_end_offset());
  return *info;
}

struct ReadBack {
  std::int64_t offset;
  TimestampMs timestamp;
  std::string value;
  std::int32_t leader_epoch;
  friend bool operator==(const ReadBack&, const ReadBack&) = default;
};

inline Slice bytes_of(World& world, const io::Pieces& pieces) {
  Buffer::Ref buffer = Buffer::allocate(io::size_of(pieces) + 1);
  std::size_t at = 0;
  for (const io::Piece& piece : pieces) {
    const auto& region = std::get<io::FileRegion>(piece);
    Result<std::size_t> got = world.run(
        world.files().read_region(region, MutableBytes(buffer->data() + at, static_cast<std::size_t>(region.size))));
    REQUIRE(got.has_value());
    REQUIRE(*got == region.size);
    at += *got;
  }
  return Slice(std::move(buffer), at);
}

// All records from `offset` on, through the reader's eyes: fetch after fetch.
inline std::vector<ReadBack> read_all(World& world, Log& log, std::int64_t offset,
                                      FetchIsolation isolation = FetchIsolation::log_end,
                                      std::int64_t max_bytes = 1 << 20) {
  std::vector<ReadBack> all;
  for (;;) {
    Result<FetchData> data = world.run(log.read({.offset = offset, .max_bytes = max_bytes, .isolation = isolation}));
    REQUIRE_MESSAGE(data.has_value(), why_of(data));
    if (data->size_bytes == 0) return all;
    record::BatchCursor cursor(bytes_of(world, data->records));
    bool any = false;
    while (cursor.next()) {
      Result<record::BatchView> batch = cursor.batch();
      REQUIRE(batch.has_value());
      REQUIRE(batch->check_crc().has_value());
      any = true;
      if (batch->is_control()) {
        offset = batch->next_offset();
        continue;
      }
      Result<Slice> plain = record::plain_records(*batch, world.codecs, std::size_t{1} << 30);
      REQUIRE(plain.has_value());
      record::RecordIterator records(*batch, plain->bytes());
      for (record::RecordView record; records.next(record);) {
        if (record.offset < offset) continue;
        all.push_back({record.offset, record.timestamp, std::string(record.value.text()), batch->leader_epoch()});
      }
      REQUIRE(records.status().has_value());
      offset = batch->next_offset();
    }
    REQUIRE(any);
  }
}

inline ErrorCode code(const Error& error) { return protocol::code_of(error); }

// Small segments and dense indexes, so that a few records exercise much.
inline config::LogConfig small_segments(std::int32_t segment_bytes = 1000) {
  config::LogConfig config;
  config.segment_bytes = segment_bytes;
  config.index_interval_bytes = 100;
  config.timestamp_after_max_ms = config::LogConfig::kUnlimited;
  return config;
}

}  // namespace klamm::storage::test
