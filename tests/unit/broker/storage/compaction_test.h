// What the compaction tests share: histories with keys and transactions, and what a reader makes of a log.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "broker/storage/cleaner.h"
#include "tests/unit/broker/storage/storage_test.h"
#include "tests/unit/why.h"

namespace klamm::storage::test {

inline config::LogConfig compacted(std::int32_t segment_bytes = 1000) {
  config::LogConfig config = small_segments(segment_bytes);
  config.cleanup_compact = true;
  config.cleanup_delete = false;
  config.file_delete_delay_ms = 1000;
  return config;
}

// A record as a reader of committed data sees it; a null value is a tombstone.
struct SeenRecord {
  std::int64_t offset = 0;
  TimestampMs timestamp = 0;
  std::string key;
  std::optional<std::string> value;
  friend bool operator==(const SeenRecord&, const SeenRecord&) = default;
};

// Reads chunk by chunk, as a client does that leaves aborted transactions out; checks that offsets ascend.
class Reader {
 public:
  Reader(World& world, Log& log) : world_(world), log_(log), offset_(log.log_start_offset()) {}

  // One fetch; false at the end.
  bool step(std::int64_t max_bytes = 700) {
    Result<FetchData> data =
        world_.run(log_.read({.offset = offset_, .max_bytes = max_bytes, .isolation = FetchIsolation::committed}));
    REQUIRE_MESSAGE(data.has_value(), why_of(data));
    take(*data);
    return data->size_bytes > 0;
  }
  void take(const FetchData& data) {
    if (data.size_bytes == 0) return;
    std::vector<AbortedTransaction> aborted = data.aborted;
    std::sort(aborted.begin(), aborted.end(),
              [](const auto& left, const auto& right) { return left.first_offset < right.first_offset; });
    std::set<std::int64_t> aborting;
    std::size_t next_aborted = 0;
    record::BatchCursor cursor(bytes_of(world_, data.records));
    bool any = false;
    while (cursor.next()) {
      Result<record::BatchView> batch = cursor.batch();
      REQUIRE(batch.has_value());
      REQUIRE(batch->check_crc().has_value());
      REQUIRE(batch->last_offset() >= offset_);
      any = true;
      while (next_aborted < aborted.size() && aborted[next_aborted].first_offset <= batch->last_offset()) {
        aborting.insert(aborted[next_aborted++].producer_id);
      }
      if (batch->is_control()) {
        Result<std::optional<EndTransaction>> end = read_end_transaction(cursor.entry());
        REQUIRE(end.has_value());
        if (*end && !(*end)->commit) aborting.erase(batch->producer_id());
      } else if (!batch->is_transactional() || !aborting.contains(batch->producer_id())) {
        take_records(*batch);
      }
      offset_ = batch->next_offset();
    }
    REQUIRE(any);
  }

  std::int64_t offset() const { return offset_; }
  const std::vector<SeenRecord>& seen() const { return seen_; }
  std::map<std::string, std::string> map() const {
    std::map<std::string, std::string> map;
    for (const SeenRecord& record : seen_) {
      if (record.value)
        map[record.key] = *record.value;
      else
        map.erase(record.key);
    }
    return map;
  }

 private:
  void take_records(const record::BatchView& batch) {
    Result<Slice> plain = record::plain_records(batch, world_.codecs, std::size_t{1} << 30);
    REQUIRE(plain.has_value());
    record::RecordIterator records(batch, plain->bytes());
    for (record::RecordView record; records.next(record);) {
      if (record.offset < offset_) continue;
      REQUIRE((seen_.empty() || record.offset > seen_.back().offset));
      SeenRecord one{record.offset, record.timestamp, std::string(record.key.text()), std::nullopt};
      if (!record.value.is_null()) one.value = std::string(record.value.text());
      seen_.push_back(std::move(one));
    }
    REQUIRE(records.status().has_value());
  }

  World& world_;
  Log& log_;
  std::int64_t offset_;
  std::vector<SeenRecord> seen_;
};

inline std::vector<SeenRecord> see_all(World& world, Log& log) {
  Reader reader(world, log);
  while (reader.step(1 << 20)) {
  }
  return reader.seen();
}
inline std::map<std::string, std::string> map_of(World& world, Log& log) {
  Reader reader(world, log);
  while (reader.step(1 << 20)) {
  }
  return reader.map();
}

struct KeyedRecord {
  std::string key;
  std::optional<std::string> value;
  TimestampMs timestamp = 1000;
};

inline Slice keyed_batch(const std::vector<KeyedRecord>& records, record::ProducerStamp producer = {},
                         compress::Compression compression = compress::Compression::none) {
  compress::Codecs codecs;
  record::BatchOptions options;
  options.compression = compression;
  options.level = compress::standard_level(compression);
  options.size_limit_bytes = std::size_t{1} << 30;
  record::BatchBuilder builder(options);
  for (const KeyedRecord& r : records) {
    const record::NullableBytes value = r.value ? record::NullableBytes(std::string_view(*r.value)) : nullptr;
    REQUIRE(builder.append(r.timestamp, std::string_view(r.key), value).has_value());
  }
  Result<Slice> batch = builder.build(codecs, producer);
  REQUIRE(batch.has_value());
  return *batch;
}

inline AppendInfo put(World& world, Log& log, const std::string& key, std::optional<std::string> value,
                      TimestampMs timestamp = 1000) {
  return append(world, log, keyed_batch({{key, std::move(value), timestamp}}));
}

inline AppendInfo end_transaction(World& world, Log& log, bool commit, std::int64_t id, std::int16_t epoch,
                                  TimestampMs timestamp = 1000) {
  LeaderAppend marker = leader_append(record::build_transaction_marker(commit, id, epoch, 1, timestamp));
  marker.origin = AppendOrigin::coordinator;
  Result<AppendInfo> info = world.run(log.append_as_leader(std::move(marker)));
  REQUIRE_MESSAGE(info.has_value(), why_of(info));
  log.set_high_watermark(log.log_end_offset());
  return *info;
}

inline Cleanable cleanable(World& world, Log& log) {
  Result<Cleanable> found = world.run(log.cleanable());
  REQUIRE_MESSAGE(found.has_value(), why_of(found));
  return *found;
}

// Cleans all that can be cleaned.
inline CleaningReport clean(World& world, Log& log, CleaningOptions options = {}) {
  Result<CleaningReport> report = world.run(clean_log(log, cleanable(world, log), std::move(options)));
  REQUIRE_MESSAGE(report.has_value(), why_of(report));
  return *report;
}

// The names in the log's directory that compaction leaves only until it has ended.
inline std::vector<std::string> leftovers(World& world) {
  std::vector<std::string> found;
  for (const std::string& name : world.names()) {
    if (name.ends_with(suffix::kCleaned) || name.ends_with(suffix::kSwap) || name.ends_with(suffix::kDeleted)) {
      found.push_back(name);
    }
  }
  return found;
}

}  // namespace klamm::storage::test
