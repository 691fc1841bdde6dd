// What a partition knows of its idempotent and transactional producers: enough to recognize a retry, to refuse a gap or
// a fenced producer, and to know where open transactions begin. Pure: no clock, no file. The log asks it before an
// append, tells it after, and keeps its snapshots (`.snapshot` files) beside the segments.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "broker/storage/append_origin.h"
#include "broker/storage/batch_summary.h"
#include "broker/storage/txn_index.h"

namespace klamm::storage {

struct ProducerStateOptions {
  // producer.id.expiration.ms; the largest value: never (the metadata log).
  std::int64_t expiration_ms = 86'400'000;
};

// One of a producer's last batches.
struct ProducedBatch {
  std::int32_t last_sequence = -1;
  std::int32_t offset_delta = 0;
  std::int64_t last_offset = -1;
  TimestampMs timestamp = -1;
  std::int64_t first_offset() const noexcept { return last_offset - offset_delta; }
  std::int32_t first_sequence() const noexcept;
  friend bool operator==(const ProducedBatch&, const ProducedBatch&) = default;
};

struct ProducerEntry {
  static constexpr std::size_t kMostBatches = 5;  // as many as a client may have in flight

  std::int64_t producer_id = -1;
  std::int16_t epoch = -1;
  std::int32_t coordinator_epoch = -1;
  TimestampMs last_timestamp = -1;
  std::int64_t transaction_first_offset = -1;  // of the open transaction; -1: none

  std::span<const ProducedBatch> batches() const noexcept { return {batches_.data(), batch_count_}; }
  const ProducedBatch* last_batch() const noexcept { return batch_count_ == 0 ? nullptr : &batches_[batch_count_ - 1]; }
  std::int32_t last_sequence() const noexcept { return batch_count_ == 0 ? -1 : last_batch()->last_sequence; }
  std::int64_t last_offset() const noexcept { return batch_count_ == 0 ? -1 : last_batch()->last_offset; }
  void add_batch(std::int16_t batch_epoch, const ProducedBatch& batch);
  // Puts the batches of `other` in front that are of the same epoch and lie before those known here.
  void add_older_batches(const ProducerEntry& other);
  // A new epoch begins without batches.
  void set_epoch(std::int16_t new_epoch);
  friend bool operator==(const ProducerEntry&, const ProducerEntry&) = default;

 private:
  std::array<ProducedBatch, kMostBatches> batches_;
  std::size_t batch_count_ = 0;
};

// The marker that ends a transaction, as it stands in a control batch.
struct EndTransaction {
  bool commit = false;
  std::int32_t coordinator_epoch = -1;
};
// Empty for control batches of other kinds. Errc::malformed if the batch does not decode.
Result<std::optional<EndTransaction>> read_end_transaction(Slice batch);

struct CompletedTransaction {
  std::int64_t producer_id = -1;
  std::int64_t first_offset = -1;
  std::int64_t last_offset = -1;  // of the marker
  bool aborted = false;
};

class ProducerState {
 public:
  // What an append would change; nothing of it holds until commit().
  class Update {
   public:
    const std::vector<CompletedTransaction>& completed() const noexcept { return completed_; }

   private:
    friend class ProducerState;
    std::vector<ProducerEntry> entries_;
    std::vector<CompletedTransaction> completed_;
  };

  explicit ProducerState(ProducerStateOptions options = {}) : options_(options) {}

  // The batch among the producer's last ones with the same epoch and sequences: a retry.
  std::optional<ProducedBatch> find_duplicate(const BatchSummary& batch) const;

  // Checks a batch with a producer id (offsets assigned) and adds it to `update`. `marker` is given for a transaction
  // marker. Errors: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE,
  // TRANSACTION_COORDINATOR_FENCED; replication is never refused.
  Result<void> add(Update& update, const BatchSummary& batch, const std::optional<EndTransaction>& marker,
                   AppendOrigin origin, std::int16_t transaction_version = 0) const;
  // The append has been written, the log ends at `log_end` now. Returns the index entries of its aborted transactions.
  std::vector<AbortedTransaction> commit(Update update, std::int64_t log_end);

  // First offset that is not decided: of the oldest open transaction, or of one that ended at or above the high
  // watermark. Empty if there is none.
  std::optional<std::int64_t> first_unstable_offset() const;
  void high_watermark_moved(std::int64_t high_watermark);

  // Offset up to which batches were taken in.
  std::int64_t end_offset() const noexcept { return end_offset_; }
  void set_end_offset(std::int64_t offset) noexcept { end_offset_ = offset; }
  // What was read again of the log: a snapshot has told of the last batch only. Batches behind it may have been added
  // meanwhile.
  void relearn(const std::map<std::int64_t, ProducerEntry>& learned);
  void expire(TimestampMs now_ms);
  void clear(std::int64_t end_offset);

  const std::unordered_map<std::int64_t, ProducerEntry>& entries() const noexcept { return entries_; }
  const ProducerEntry* find(std::int64_t producer_id) const;
  bool empty() const noexcept { return entries_.empty(); }
  // Start of the oldest open transaction and the time of its producer's last sign, for the check for hanging ones.
  std::optional<std::int64_t> oldest_open_transaction() const;

  // The content of a `.snapshot` file. Only the last batch of each producer survives.
  Slice encode_snapshot() const;
  // How many producers a snapshot has. Errc::corrupt if the bytes are not one or its CRC does not fit.
  static Result<std::size_t> snapshot_entries(Bytes bytes);
  // Replaces the state by a snapshot's, taken at `offset`; producers that have expired at `now_ms` are left out.
  // Errc::corrupt as above.
  Result<void> load_snapshot(Bytes bytes, std::int64_t offset, TimestampMs now_ms);

 private:
  Result<void> add_marker(ProducerEntry& entry, Update& update, const BatchSummary& batch, const EndTransaction& marker,
                          AppendOrigin origin, std::int16_t transaction_version) const;
  bool expired(const ProducerEntry& entry, TimestampMs now_ms) const;

  ProducerStateOptions options_;
  std::unordered_map<std::int64_t, ProducerEntry> entries_;
  std::map<std::int64_t, std::int64_t> open_;          // transactions by first offset -> producer id
  std::map<std::int64_t, std::int64_t> unreplicated_;  // ended ones by first offset -> offset of the marker
  std::int64_t end_offset_ = 0;
};

}  // namespace klamm::storage
