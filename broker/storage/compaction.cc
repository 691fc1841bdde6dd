#include "broker/storage/compaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "broker/storage/batch_scanner.h"
#include "protocol/record/batch_builder.h"
#include "protocol/record/legacy.h"
#include "protocol/record/record.h"

namespace klamm::storage {

namespace {

constexpr std::size_t kPlainLimitBytes = std::size_t{1} << 30;

tl::unexpected<Error> corrupt(const BatchSummary& batch, std::string_view why) {
  return fail(Errc::corrupt, fmt::format("batch at offset {}: {}", batch.base_offset, why));
}
tl::unexpected<Error> corrupt(const BatchSummary& batch, const Error& error) { return corrupt(batch, error.message()); }

Result<BatchSummary> summarize(const Slice& entry) {
  Result<void> good = check_entry(entry);
  KLAMM_TRY(good);
  const std::optional<BatchSummary> batch = BatchSummary::parse(entry.bytes());
  if (!batch) return fail(Errc::corrupt, "not a batch");
  return *batch;
}

// The records of an entry of any magic: `Result<Records> records = Records::open(...)`, then next() until it is false,
// then status().
class Records {
 public:
  static Result<Records> open(const Slice& entry, const BatchSummary& batch, compress::Codecs& codecs) {
    Records records;
    if (batch.magic != record::kMagic) {
      Result<record::LegacyIterator> legacy = record::LegacyIterator::open(entry, codecs, kPlainLimitBytes);
      if (!legacy) return corrupt(batch, legacy.error());
      records.legacy_.emplace(*std::move(legacy));
      return records;
    }
    Result<record::BatchView> view = record::BatchView::parse(entry);
    if (!view) return corrupt(batch, view.error());
    if (batch.record_count == 0) return records;
    Result<Slice> plain = record::plain_records(*view, codecs, kPlainLimitBytes);
    if (!plain) return corrupt(batch, plain.error());
    records.plain_ = *std::move(plain);
    records.iterator_ = record::RecordIterator(*view, records.plain_.bytes());
    return records;
  }
  bool next(record::RecordView& record) { return legacy_ ? legacy_->next(record) : iterator_.next(record); }
  Result<void> status() const { return legacy_ ? legacy_->status() : iterator_.status(); }
  std::size_t plain_bytes() const { return legacy_ ? legacy_->memory().size() : plain_.size(); }

 private:
  std::optional<record::LegacyIterator> legacy_;
  Slice plain_;
  record::RecordIterator iterator_;
};

// Whether a control batch may go once its horizon has passed.
Result<bool> note_control(const Slice& entry, const BatchSummary& batch, CleanedTransactions& transactions) {
  Result<std::optional<EndTransaction>> marker = read_end_transaction(entry);
  if (!marker) return corrupt(batch, marker.error());
  const bool discardable = transactions.on_control(batch, *marker);
  // Of a kind that is not known here: it stays.
  return discardable && (*marker || batch.record_count == 0);
}

class BatchFilter {
 public:
  BatchFilter(const Slice& entry, const BatchSummary& batch, const CompactionRules& rules, CompactionState& state)
      : entry_(entry), batch_(batch), rules_(rules), state_(state) {}

  // Adds what is left of the batch.
  Result<void> run(FilteredChunk& result) {
    Result<void> decided = decide();
    KLAMM_TRY(decided);
    if (discard_records_ && !keep_empty_) return {};
    Result<void> chosen = choose_records();
    KLAMM_TRY(chosen);
    state_.counts.records_kept += kept_count_;
    if (kept_count_ == 0) {
      if (keep_empty_) add(result, empty_batch());
      return {};
    }
    const bool new_horizon = (has_tombstones_ || marker_without_data_) && !horizon_;
    if (kept_count_ == read_count_ && !new_horizon && batch_.magic == record::kMagic) {
      add(result, entry_);
      return {};
    }
    if (new_horizon) {
      const bool endless = rules_.delete_retention_ms > std::numeric_limits<std::int64_t>::max() - rules_.now_ms;
      horizon_ = endless ? std::numeric_limits<std::int64_t>::max() : rules_.now_ms + rules_.delete_retention_ms;
    }
    Result<Slice> rebuilt = rebuild();
    KLAMM_TRY(rebuilt);
    add(result, *std::move(rebuilt));
    return {};
  }

 private:
  // What can be said without the records.
  Result<void> decide() {
    if (batch_.magic == record::kMagic) {
      Result<record::BatchView> view = record::BatchView::parse(entry_);
      if (!view) return corrupt(batch_, view.error());
      header_ = view->header();
      if (view->has_delete_horizon()) horizon_ = view->base_timestamp();
    }
    if (batch_.is_control()) {
      Result<bool> discardable = note_control(entry_, batch_, state_.transactions);
      KLAMM_TRY(discardable);
      marker_without_data_ = *discardable;
      discard_records_ = *discardable && horizon_ && *horizon_ <= rules_.now_ms;
    } else {
      discard_records_ = state_.transactions.on_data(batch_);
    }
    keep_empty_ = is_last_of_producer() || batch_.last_offset + 1 == rules_.round_end;
    return {};
  }

  bool is_last_of_producer() const {
    if (!batch_.has_producer()) return false;
    const auto known = rules_.producers.find(batch_.producer_id);
    if (known == rules_.producers.end()) return false;
    if (known->second.data_offset) return batch_.last_offset == *known->second.data_offset;
    return batch_.is_control() && batch_.producer_epoch == known->second.epoch;
  }

  Result<void> choose_records() {
    Result<Records> records = Records::open(entry_, batch_, state_.codecs);
    KLAMM_TRY(records);
    plain_bytes_ = records->plain_bytes();
    std::int64_t last_offset = std::numeric_limits<std::int64_t>::min();
    for (record::RecordView record; records->next(record);) {
      if (read_count_ == 0) first_offset_ = batch_.magic == record::kMagic ? batch_.base_offset : record.offset;
      if (record.offset <= last_offset || record.offset < first_offset_ || record.offset > batch_.last_offset ||
          record.offset - first_offset_ > std::numeric_limits<std::int32_t>::max()) {
        return corrupt(batch_, fmt::format("record with offset {}", record.offset));
      }
      last_offset = record.offset;
      const bool kept = keeps(record);
      kept_.push_back(kept);
      ++read_count_;
      if (!kept) continue;
      if (kept_count_ == 0) first_kept_offset_ = record.offset;
      ++kept_count_;
      if (record.value.is_null()) has_tombstones_ = true;
    }
    state_.counts.records_read += read_count_;
    Result<void> status = records->status();
    if (!status) return corrupt(batch_, status.error());
    return {};
  }

  bool keeps(const record::RecordView& record) {
    if (discard_records_) return false;
    if (batch_.is_control() || record.offset > state_.map.latest_offset()) return true;
    if (record.key.is_null()) {
      ++state_.counts.records_without_key;
      return false;
    }
    if (record.offset < state_.map.find(record.key.bytes())) return false;
    if (!record.value.is_null()) return true;
    if (batch_.magic != record::kMagic) return rules_.keep_legacy_tombstones;
    return !horizon_ || rules_.now_ms < *horizon_;
  }

  // Only the header: what it tells of offsets and producer stays.
  Slice empty_batch() const {
    record::BatchHeader header = header_;
    if (batch_.magic != record::kMagic) {
      header.base_offset = first_offset_;
      header.last_offset_delta = static_cast<std::int32_t>(batch_.last_offset - first_offset_);
      header.max_timestamp = batch_.max_timestamp;
    }
    header.attributes =
        static_cast<std::int16_t>(header.attributes & ~(record::kCompressionMask | record::kDeleteHorizonBit));
    header.base_timestamp = record::kNoTimestamp;
    header.record_count = 0;
    Slice bytes(Buffer::allocate(record::kBatchHeaderSize), record::kBatchHeaderSize);
    record::write_batch_header({bytes.mutable_data(), bytes.size()}, header);
    return bytes;
  }

  Result<Slice> rebuild() {
    const bool legacy = batch_.magic != record::kMagic;
    const std::optional<compress::Compression> codec =
        compress::compression_of(batch_.attributes & record::kCompressionMask);
    if (!codec) return corrupt(batch_, "unknown codec");
    record::BatchOptions options;
    options.compression = *codec;
    options.level = compress::standard_level(*codec);
    options.size_limit_bytes = std::numeric_limits<std::int32_t>::max();
    options.initial_bytes = record::kBatchHeaderSize + plain_bytes_ + 64;
    options.base_offset = legacy ? first_kept_offset_ : batch_.base_offset;
    options.leader_epoch = batch_.leader_epoch;
    options.control = batch_.is_control();
    if (batch_.has_log_append_time()) options.log_append_time = batch_.max_timestamp;
    options.delete_horizon = horizon_;
    record::BatchBuilder builder(options);
    Result<Records> records = Records::open(entry_, batch_, state_.codecs);
    KLAMM_TRY(records);
    std::size_t index = 0;
    for (record::RecordView record; records->next(record);) {
      if (!kept_[index++]) continue;
      const auto delta = static_cast<std::int32_t>(record.offset - options.base_offset);
      if (!builder.append_at(delta, record)) return corrupt(batch_, "too large when written anew");
    }
    const std::int32_t last_delta = legacy ? builder.last_offset_delta() : header_.last_offset_delta;
    record::ProducerStamp producer;
    if (!legacy) {
      producer = {.id = header_.producer_id,
                  .epoch = header_.producer_epoch,
                  .base_sequence = header_.base_sequence,
                  .transactional = batch_.is_transactional()};
    }
    return builder.build(state_.codecs, producer, last_delta);
  }

  void add(FilteredChunk& result, Slice bytes) {
    const std::optional<BatchSummary> summary = BatchSummary::parse(bytes.bytes());
    KLAMM_CHECK(summary.has_value(), "a batch that cannot be read again");
    state_.counts.bytes_written += summary->size;
    result.batches.push_back(*summary);
    if (!result.parts.empty()) {
      Slice& last = result.parts.back();
      if (last.end() == bytes.begin() && last.buffer() &&
          last.buffer().operator->() == bytes.buffer().operator->()) {  // neighbours in the chunk
        last = Slice(last.buffer(), last.data(), last.size() + bytes.size());
        return;
      }
    }
    result.parts.push_back(std::move(bytes));
  }

  const Slice& entry_;
  const BatchSummary& batch_;
  const CompactionRules& rules_;
  CompactionState& state_;
  record::BatchHeader header_;
  std::optional<TimestampMs> horizon_;
  bool discard_records_ = false;
  bool keep_empty_ = false;
  bool marker_without_data_ = false;
  bool has_tombstones_ = false;
  std::vector<bool> kept_;
  std::int64_t read_count_ = 0;
  std::int64_t kept_count_ = 0;
  std::int64_t first_offset_ = 0;  // of the batch; of its first record, in magic 0 and 1
  std::int64_t first_kept_offset_ = 0;
  std::size_t plain_bytes_ = 0;
};

}  // namespace

Result<bool> index_chunk(const Slice& chunk, std::int64_t start_offset, CompactionState state) {
  record::BatchCursor cursor(chunk);
  while (cursor.next()) {
    Result<BatchSummary> batch = summarize(cursor.entry());
    KLAMM_TRY(batch);
    state.counts.bytes_indexed += batch->size;
    bool has_keys = false;
    if (batch->is_control()) {
      Result<bool> noted = note_control(cursor.entry(), *batch, state.transactions);
      KLAMM_TRY(noted);
    } else {
      has_keys = !state.transactions.on_data(*batch);
    }
    if (batch->last_offset < start_offset) continue;
    if (has_keys) {
      Result<Records> records = Records::open(cursor.entry(), *batch, state.codecs);
      KLAMM_TRY(records);
      for (record::RecordView record; records->next(record);) {
        if (record.key.is_null() || record.offset < start_offset) continue;
        if (!state.map.put(record.key.bytes(), record.offset)) return true;
      }
      Result<void> status = records->status();
      if (!status) return corrupt(*batch, status.error());
    }
    state.map.set_latest_offset(batch->last_offset);
  }
  if (cursor.tail() != record::EntryStatus::whole) return fail(Errc::corrupt, "not whole batches");
  return false;
}

Result<FilteredChunk> filter_chunk(const Slice& chunk, const CompactionRules& rules, CompactionState state) {
  FilteredChunk result;
  record::BatchCursor cursor(chunk);
  while (cursor.next()) {
    const Slice& entry = cursor.entry();
    Result<BatchSummary> batch = summarize(entry);
    KLAMM_TRY(batch);
    state.counts.bytes_read += batch->size;
    BatchFilter filter(entry, *batch, rules, state);
    Result<void> filtered = filter.run(result);
    KLAMM_TRY(filtered);
  }
  if (cursor.tail() != record::EntryStatus::whole) return fail(Errc::corrupt, "not whole batches");
  return result;
}

}  // namespace klamm::storage
