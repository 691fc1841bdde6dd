// What a log must hold after a loss of power: a list of the batches that were appended to it, beside what was promised
// of them, and what a reader finds.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/storage/log.h"
#include "protocol/record/batch.h"
#include "tests/unit/broker/storage/compaction_test.h"

namespace klamm::storage::test {

struct ModelBatch {
  std::int64_t base = 0;
  std::int32_t epoch = 0;
  record::ProducerStamp producer;
  std::optional<bool> commit;  // a transaction's marker; it has no records
  compress::Compression codec = compress::Compression::none;
  TimestampMs timestamp = 0;  // of a marker
  std::vector<KeyedRecord> records;

  std::int64_t count() const { return commit ? 1 : static_cast<std::int64_t>(records.size()); }
  std::int64_t end() const { return base + count(); }
  Slice bytes() const {
    if (commit) return record::build_transaction_marker(*commit, producer.id, producer.epoch, 1, timestamp);
    return keyed_batch(records, producer, codec);
  }
};
using Timeline = std::vector<ModelBatch>;

// One record or marker as it stands in a log.
struct Entry {
  std::int64_t offset = 0;
  std::int32_t epoch = 0;
  std::int64_t producer = -1;
  bool transactional = false;
  std::optional<bool> commit;
  TimestampMs timestamp = 0;
  std::string key;
  std::optional<std::string> value;
  friend bool operator==(const Entry&, const Entry&) = default;
  std::string text() const {
    if (commit) return fmt::format("{}:{} of {} (epoch {})", offset, *commit ? "commit" : "abort", producer, epoch);
    return fmt::format("{}:{}={} of {} (epoch {})", offset, key, value ? value->substr(0, 12) : "null", producer,
                       epoch);
  }
};

inline std::vector<Entry> entries_of(const Timeline& timeline) {
  std::vector<Entry> entries;
  for (const ModelBatch& batch : timeline) {
    Entry entry{batch.base,   batch.epoch,     batch.producer.id, batch.producer.transactional,
                batch.commit, batch.timestamp, std::string(),     std::nullopt};
    if (batch.commit) {
      entry.transactional = true;
      entries.push_back(entry);
      continue;
    }
    for (const KeyedRecord& record : batch.records) {
      entry.timestamp = record.timestamp;
      entry.key = record.key;
      entry.value = record.value;
      entries.push_back(entry);
      ++entry.offset;
    }
  }
  return entries;
}

// What a reader of committed records sees of `entries` that end at `end`: nothing of aborted transactions, and nothing
// from the first open one on.
inline std::vector<Entry> committed(const std::vector<Entry>& entries, std::int64_t end) {
  std::map<std::int64_t, std::vector<std::int64_t>> open;  // producer -> offsets
  std::set<std::int64_t> hidden;
  for (const Entry& entry : entries) {
    if (entry.offset >= end) break;
    if (!entry.commit) {
      if (entry.transactional) open[entry.producer].push_back(entry.offset);
      continue;
    }
    const auto ended = open.find(entry.producer);
    if (ended == open.end()) continue;
    if (!*entry.commit) hidden.insert(ended->second.begin(), ended->second.end());
    open.erase(ended);
  }
  std::int64_t stable = end;
  for (const auto& [producer, offsets] : open) stable = std::min(stable, offsets.front());
  std::vector<Entry> seen;
  for (const Entry& entry : entries) {
    if (entry.offset < stable && !entry.commit && !hidden.contains(entry.offset)) seen.push_back(entry);
  }
  return seen;
}

inline std::map<std::string, std::string> table_of(const std::vector<Entry>& entries) {
  std::map<std::string, std::string> table;
  for (const Entry& entry : entries) {
    if (entry.value) {
      table[entry.key] = *entry.value;
    } else {
      table.erase(entry.key);
    }
  }
  return table;
}

struct LogModel {
  Uuid id;
  bool compacted = false;
  Timeline batches;
  std::optional<ModelBatch> pending;   // an append that was not answered
  std::vector<Timeline> alternatives;  // before truncations that no flush has followed
  std::int64_t begin = 0;              // of the first batch there may be
  std::int64_t start = 0;              // the log start; after a change that was not answered the new one
  std::int64_t kept = 0;               // no log start below it may come back: a checkpoint has it
  std::int64_t flushed = 0;            // everything below was reported to be on the disk
  bool removing = false;
  bool cutting = false;
  std::int64_t end() const { return batches.empty() ? begin : batches.back().end(); }
};

// What was promised of a node's storage at one moment.
struct StorageModel {
  std::map<protocol::TopicPartition, LogModel> logs;
  std::set<Uuid> removed;  // topics whose removal was answered
};

}  // namespace klamm::storage::test
