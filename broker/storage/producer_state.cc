#include "broker/storage/producer_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "protocol/error.h"
#include "protocol/record/control.h"
#include "protocol/record/crc32c.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

constexpr std::int16_t kSnapshotVersion = 1;
constexpr std::size_t kSnapshotCrcEnd = 6;
constexpr std::size_t kSnapshotHead = 10;
constexpr std::size_t kSnapshotEntry = 46;
constexpr std::int32_t kMostSequence = std::numeric_limits<std::int32_t>::max();
constexpr std::int16_t kMostEpoch = std::numeric_limits<std::int16_t>::max();

tl::unexpected<Error> refuse(ErrorCode code, std::string why) {
  return klamm::fail(protocol::kafka_error(code, std::move(why)));
}

bool follows(std::int32_t last, std::int32_t next) {
  return std::int64_t{next} == std::int64_t{last} + 1 || (next == 0 && last == kMostSequence);
}

// What an idempotent client must keep to: the next sequence, or 0 in a new epoch. A producer that nobody knows here may
// begin anywhere (its state may have expired).
Result<void> check_sequence(const ProducerEntry& entry, const BatchSummary& batch) {
  if (entry.epoch == record::kNoProducerEpoch) return {};
  if (batch.producer_epoch != entry.epoch) {
    if (batch.base_sequence == 0) return {};
    return refuse(ErrorCode::out_of_order_sequence_number,
                  fmt::format("producer {} begins epoch {} with sequence {}, not 0 (epoch so far {})",
                              batch.producer_id, batch.producer_epoch, batch.base_sequence, entry.epoch));
  }
  if (follows(entry.last_sequence(), batch.base_sequence)) return {};
  return refuse(ErrorCode::out_of_order_sequence_number,
                fmt::format("producer {}: sequence {} does not follow {}", batch.producer_id, batch.base_sequence,
                            entry.last_sequence()));
}

}  // namespace

std::int32_t ProducedBatch::first_sequence() const noexcept {
  if (last_sequence < offset_delta)
    return static_cast<std::int32_t>(kMostSequence - (offset_delta - last_sequence) + 1);
  return last_sequence - offset_delta;
}

void ProducerEntry::set_epoch(std::int16_t new_epoch) {
  if (epoch == new_epoch) return;
  epoch = new_epoch;
  batches_.fill({});
  batch_count_ = 0;
}

void ProducerEntry::add_batch(std::int16_t batch_epoch, const ProducedBatch& batch) {
  set_epoch(batch_epoch);
  if (batch_count_ == kMostBatches) {
    std::move(batches_.begin() + 1, batches_.end(), batches_.begin());
    --batch_count_;
  }
  batches_[batch_count_++] = batch;
  last_timestamp = batch.timestamp;
}

void ProducerEntry::add_older_batches(const ProducerEntry& other) {
  if (other.epoch != epoch || batch_count_ == 0) return;
  std::array<ProducedBatch, 2 * kMostBatches> all;
  const std::int64_t first_offset = batches_.front().first_offset();
  const std::span<const ProducedBatch> known = batches();
  const std::span<const ProducedBatch> others = other.batches();
  auto end = std::copy_if(others.begin(), others.end(), all.begin(),
                          [&](const ProducedBatch& batch) { return batch.last_offset < first_offset; });
  end = std::copy(known.begin(), known.end(), end);
  batch_count_ = std::min(kMostBatches, static_cast<std::size_t>(end - all.begin()));
  std::copy(end - static_cast<std::ptrdiff_t>(batch_count_), end, batches_.begin());
}

Result<std::optional<EndTransaction>> read_end_transaction(Slice batch) {
  Result<record::BatchView> view = record::BatchView::parse(std::move(batch));
  KLAMM_TRY(view);
  if (view->is_compressed()) return klamm::fail(Errc::malformed, "control batch is compressed");
  record::RecordIterator records(*view, view->records_bytes());
  record::RecordView record;
  if (!records.next(record)) {
    Result<void> status = records.status();
    KLAMM_TRY(status);
    return std::optional<EndTransaction>();  // emptied by compaction
  }
  Result<record::ControlKey> key = record::parse_control_key(record.key);
  KLAMM_TRY(key);
  const auto type = key->type();
  if (type != record::ControlType::abort && type != record::ControlType::commit) return std::optional<EndTransaction>();
  Result<record::TransactionMarker> marker = record::parse_transaction_marker(record.value);
  KLAMM_TRY(marker);
  return std::optional(EndTransaction{type == record::ControlType::commit, marker->coordinator_epoch});
}

const ProducerEntry* ProducerState::find(std::int64_t producer_id) const {
  const auto found = entries_.find(producer_id);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<ProducedBatch> ProducerState::find_duplicate(const BatchSummary& batch) const {
  const ProducerEntry* entry = find(batch.producer_id);
  if (entry == nullptr || entry->epoch != batch.producer_epoch) return std::nullopt;
  for (const ProducedBatch& known : entry->batches()) {
    if (known.first_sequence() == batch.base_sequence && known.last_sequence == batch.last_sequence()) return known;
  }
  return std::nullopt;
}

Result<void> ProducerState::add(Update& update, const BatchSummary& batch, const std::optional<EndTransaction>& marker,
                                AppendOrigin origin, std::int16_t transaction_version) const {
  auto in_update = std::find_if(update.entries_.begin(), update.entries_.end(),
                                [&](const ProducerEntry& entry) { return entry.producer_id == batch.producer_id; });
  if (in_update == update.entries_.end()) {
    const ProducerEntry* known = find(batch.producer_id);
    ProducerEntry fresh;
    fresh.producer_id = batch.producer_id;
    update.entries_.push_back(known != nullptr ? *known : fresh);
    in_update = update.entries_.end() - 1;
  }
  ProducerEntry& entry = *in_update;
  if (marker) {
    Result<void> added = add_marker(entry, update, batch, *marker, origin, transaction_version);
    return added;
  }
  if (batch.is_control()) return {};

  if (origin != AppendOrigin::replication) {
    if (batch.producer_epoch < entry.epoch) {
      return refuse(ErrorCode::invalid_producer_epoch,
                    fmt::format("producer {} has epoch {}, the batch has {}", batch.producer_id, entry.epoch,
                                batch.producer_epoch));
    }
    if (origin == AppendOrigin::client) {
      Result<void> in_sequence = check_sequence(entry, batch);
      KLAMM_TRY(in_sequence);
    }
    if (entry.transaction_first_offset >= 0 && !batch.is_transactional()) {
      return refuse(
          ErrorCode::invalid_txn_state,
          fmt::format("producer {} has an open transaction, the batch is not part of one", batch.producer_id));
    }
  }
  entry.add_batch(batch.producer_epoch,
                  {batch.last_sequence(), batch.offset_delta(), batch.last_offset, batch.max_timestamp});
  if (batch.is_transactional() && entry.transaction_first_offset < 0)
    entry.transaction_first_offset = batch.base_offset;
  return {};
}

Result<void> ProducerState::add_marker(ProducerEntry& entry, Update& update, const BatchSummary& batch,
                                       const EndTransaction& marker, AppendOrigin origin,
                                       std::int16_t transaction_version) const {
  const bool open = entry.transaction_first_offset >= 0;
  if (origin != AppendOrigin::replication) {
    // Transactions of version 2 raise the epoch with each marker; the same one again is a retry.
    const bool retry = batch.producer_epoch == entry.epoch && (!open || batch.producer_epoch == kMostEpoch);
    const bool fenced =
        transaction_version >= 2 ? batch.producer_epoch <= entry.epoch && !retry : batch.producer_epoch < entry.epoch;
    if (fenced) {
      return refuse(ErrorCode::invalid_producer_epoch,
                    fmt::format("marker of producer {} has epoch {}, known is {}", batch.producer_id,
                                batch.producer_epoch, entry.epoch));
    }
    if (marker.coordinator_epoch < entry.coordinator_epoch) {
      return refuse(ErrorCode::transaction_coordinator_fenced,
                    fmt::format("marker of producer {} has coordinator epoch {}, known is {}", batch.producer_id,
                                marker.coordinator_epoch, entry.coordinator_epoch));
    }
  }
  if (open) {
    update.completed_.push_back({batch.producer_id, entry.transaction_first_offset, batch.base_offset, !marker.commit});
  }
  entry.set_epoch(batch.producer_epoch);
  entry.transaction_first_offset = -1;
  entry.coordinator_epoch = marker.coordinator_epoch;
  entry.last_timestamp = batch.max_timestamp;
  return {};
}

std::vector<AbortedTransaction> ProducerState::commit(Update update, std::int64_t log_end) {
  std::vector<AbortedTransaction> aborted;
  for (ProducerEntry& entry : update.entries_) {
    const ProducerEntry* before = find(entry.producer_id);
    if (before != nullptr && before->transaction_first_offset >= 0 &&
        before->transaction_first_offset != entry.transaction_first_offset &&
        std::none_of(update.completed_.begin(), update.completed_.end(), [&](const CompletedTransaction& completed) {
          return completed.first_offset == before->transaction_first_offset;
        })) {
      open_.erase(before->transaction_first_offset);
    }
    if (entry.transaction_first_offset >= 0) open_.emplace(entry.transaction_first_offset, entry.producer_id);
    entries_[entry.producer_id] = entry;
  }
  for (auto at = update.completed_.begin(); at != update.completed_.end(); ++at) {
    const CompletedTransaction& completed = *at;
    open_.erase(completed.first_offset);
    unreplicated_[completed.first_offset] = completed.last_offset;
    if (!completed.aborted) continue;
    // When its marker had been written: what comes behind it in this update was not open yet, or was still.
    std::int64_t last_stable = completed.last_offset + 1;
    if (!open_.empty()) last_stable = std::min(last_stable, open_.begin()->first);
    for (auto later = std::next(at); later != update.completed_.end(); ++later) {
      last_stable = std::min(last_stable, later->first_offset);
    }
    aborted.push_back({completed.producer_id, completed.first_offset, completed.last_offset, last_stable});
  }
  end_offset_ = log_end;
  return aborted;
}

std::optional<std::int64_t> ProducerState::first_unstable_offset() const {
  std::optional<std::int64_t> first;
  if (!open_.empty()) first = open_.begin()->first;
  if (!unreplicated_.empty() && (!first || unreplicated_.begin()->first < *first)) first = unreplicated_.begin()->first;
  return first;
}

std::optional<std::int64_t> ProducerState::oldest_open_transaction() const {
  if (open_.empty()) return std::nullopt;
  return open_.begin()->first;
}

void ProducerState::high_watermark_moved(std::int64_t high_watermark) {
  std::erase_if(unreplicated_, [&](const auto& transaction) { return transaction.second < high_watermark; });
}

bool ProducerState::expired(const ProducerEntry& entry, TimestampMs now_ms) const {
  if (options_.expiration_ms == std::numeric_limits<std::int64_t>::max()) return false;
  return entry.transaction_first_offset < 0 && now_ms - entry.last_timestamp >= options_.expiration_ms;
}

void ProducerState::relearn(const std::map<std::int64_t, ProducerEntry>& learned) {
  for (const auto& [producer_id, entry] : learned) {
    const auto known = entries_.find(producer_id);
    if (known != entries_.end()) known->second.add_older_batches(entry);
  }
}

void ProducerState::expire(TimestampMs now_ms) {
  std::erase_if(entries_, [&](const auto& item) { return expired(item.second, now_ms); });
}

void ProducerState::clear(std::int64_t end_offset) {
  entries_.clear();
  open_.clear();
  unreplicated_.clear();
  end_offset_ = end_offset;
}

Slice ProducerState::encode_snapshot() const {
  std::vector<const ProducerEntry*> sorted;
  sorted.reserve(entries_.size());
  for (const auto& item : entries_) sorted.push_back(&item.second);
  std::sort(sorted.begin(), sorted.end(), [](const ProducerEntry* left, const ProducerEntry* right) {
    return left->producer_id < right->producer_id;
  });

  const std::size_t size = kSnapshotHead + sorted.size() * kSnapshotEntry;
  Buffer::Ref buffer = Buffer::allocate(size);
  std::byte* to = buffer->data();
  store_big_endian(to, kSnapshotVersion);
  store_big_endian(to + kSnapshotCrcEnd, static_cast<std::int32_t>(sorted.size()));
  std::byte* at = to + kSnapshotHead;
  for (const ProducerEntry* entry : sorted) {
    const ProducedBatch last = entry->last_batch() != nullptr ? *entry->last_batch() : ProducedBatch();
    store_big_endian(at, entry->producer_id);
    store_big_endian(at + 8, entry->epoch);
    store_big_endian(at + 10, last.last_sequence);
    store_big_endian(at + 14, last.last_offset);
    store_big_endian(at + 22, last.offset_delta);
    store_big_endian(at + 26, entry->last_timestamp);
    store_big_endian(at + 34, entry->coordinator_epoch);
    store_big_endian(at + 38, entry->transaction_first_offset);
    at += kSnapshotEntry;
  }
  const Bytes covered(to + kSnapshotCrcEnd, size - kSnapshotCrcEnd);
  store_big_endian(to + 2, record::crc32c(covered));
  return Slice(std::move(buffer), size);
}

Result<std::size_t> ProducerState::snapshot_entries(Bytes bytes) {
  if (bytes.size() < kSnapshotHead) return klamm::fail(Errc::corrupt, "producer snapshot is too short");
  if (load_big_endian<std::int16_t>(bytes.data()) != kSnapshotVersion) {
    return klamm::fail(Errc::corrupt, "producer snapshot has an unknown version");
  }
  if (load_big_endian<std::uint32_t>(bytes.data() + 2) != record::crc32c(bytes.subspan(kSnapshotCrcEnd))) {
    return klamm::fail(Errc::corrupt, "producer snapshot: CRC does not fit");
  }
  const auto count = load_big_endian<std::int32_t>(bytes.data() + kSnapshotCrcEnd);
  if (count < 0 || static_cast<std::size_t>(count) * kSnapshotEntry != bytes.size() - kSnapshotHead) {
    return klamm::fail(Errc::corrupt, "producer snapshot: size does not fit the number of entries");
  }
  return static_cast<std::size_t>(count);
}

Result<void> ProducerState::load_snapshot(Bytes bytes, std::int64_t offset, TimestampMs now_ms) {
  Result<std::size_t> count = snapshot_entries(bytes);
  KLAMM_TRY(count);
  clear(offset);
  for (std::size_t i = 0; i < *count; ++i) {
    const std::byte* at = bytes.data() + kSnapshotHead + i * kSnapshotEntry;
    ProducerEntry entry;
    entry.producer_id = load_big_endian<std::int64_t>(at);
    const auto epoch = load_big_endian<std::int16_t>(at + 8);
    ProducedBatch last;
    last.last_sequence = load_big_endian<std::int32_t>(at + 10);
    last.last_offset = load_big_endian<std::int64_t>(at + 14);
    last.offset_delta = load_big_endian<std::int32_t>(at + 22);
    last.timestamp = load_big_endian<std::int64_t>(at + 26);
    entry.epoch = epoch;
    if (last.last_offset >= 0) entry.add_batch(epoch, last);
    entry.last_timestamp = last.timestamp;
    entry.coordinator_epoch = load_big_endian<std::int32_t>(at + 34);
    entry.transaction_first_offset = load_big_endian<std::int64_t>(at + 38);
    if (expired(entry, now_ms)) continue;
    if (entry.transaction_first_offset >= 0) open_.emplace(entry.transaction_first_offset, entry.producer_id);
    entries_[entry.producer_id] = entry;
  }
  return {};
}

}  // namespace klamm::storage
