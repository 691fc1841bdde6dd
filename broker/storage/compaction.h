// What compaction does with the bytes of a log, without any I/O: which keys a stretch of it has, and what is left of a
// stretch. A stretch ("chunk") is a read buffer of whole batches. The functions run on a disk thread (cleaner.h): all
// that they get belongs to one cleaning.
//
// The rules are Kafka's:
// - a record goes if its key has a later one in the cleaned part, or if it has no key;
// - a tombstone (null value) stays at first, and its batch gets a delete horizon: the time from which on it may go;
// - records of aborted transactions go at once; a marker goes when no data of its transaction is left and the horizon,
//   set when that was found, has passed;
// - a batch without records goes, unless it tells a producer's last sequence or epoch, or is the last one of the round;
// - a batch that lost records is written anew in its codec, with the same first and last offset, producer and epoch;
// - entries of magic 0 and 1 come out as batches of magic 2.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "broker/storage/batch_summary.h"
#include "broker/storage/cleaned_transactions.h"
#include "broker/storage/offset_map.h"
#include "protocol/compress/codec.h"

namespace klamm::storage {

// Of a producer that is known to the log: the batch that must stay for its sake.
struct LastOfProducer {
  std::optional<std::int64_t> data_offset;  // last offset of its last data batch; empty: it has only markers
  std::int16_t epoch = -1;
};

struct CompactionRules {
  TimestampMs now_ms = 0;
  std::int64_t delete_retention_ms = 0;
  std::int64_t round_end = 0;  // the first offset that the round does not clean
  bool keep_legacy_tombstones = true;
  std::map<std::int64_t, LastOfProducer> producers;
};

struct CompactionCounts {
  std::int64_t bytes_indexed = 0;
  std::int64_t bytes_read = 0;
  std::int64_t bytes_written = 0;
  std::int64_t records_read = 0;
  std::int64_t records_kept = 0;
  std::int64_t records_without_key = 0;
};

struct FilteredChunk {
  std::vector<BatchSummary> batches;
  std::vector<Slice> parts;  // their bytes, one after the other: parts of the chunk itself, and batches written anew
};

// Memory and state of one cleaning.
struct CompactionState {
  OffsetMap& map;
  CleanedTransactions& transactions;
  compress::Codecs& codecs;
  CompactionCounts& counts;
};

// Puts the keys of the records from `start_offset` on into the map. True if it is full: the records behind
// map.latest_offset() are not in it. Errc::corrupt for damaged bytes.
Result<bool> index_chunk(const Slice& chunk, std::int64_t start_offset, CompactionState state);

// What is left of the chunk. Errc::corrupt for damaged bytes.
Result<FilteredChunk> filter_chunk(const Slice& chunk, const CompactionRules& rules, CompactionState state);

}  // namespace klamm::storage
