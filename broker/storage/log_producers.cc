// Producer snapshots of a log, and the producers' state after a start or a truncation.
#include <algorithm>
#include <iterator>

#include "broker/storage/log.h"
#include "broker/storage/names.h"

namespace klamm::storage {

std::string Log::snapshot_path(std::int64_t offset) const {
  return io::join_path(options_.directory, file_name(offset, suffix::kProducerSnapshot));
}

// At the producers' end offset, unless there is one. Not durable without `sync`: a torn one is found by its CRC.
io::Task<Result<void>> Log::take_producer_snapshot(bool sync) {
  const std::int64_t offset = producers_.end_offset();
  if (offset <= (snapshots_.empty() ? 0 : snapshots_.back())) co_return Result<void>();
  const Slice content = producers_.encode_snapshot();
  CachedFile snapshot(shard_.files(), options_.open_files);
  Result<std::shared_ptr<io::File>> file = co_await snapshot.open(snapshot_path(offset), io::OpenMode::create);
  KLAMM_CO_TRY(file);
  Result<void> written = co_await (*file)->truncate(0);
  if (written) written = co_await (*file)->write(0, content.bytes());
  if (written && sync) written = co_await (*file)->sync();
  if (!written) {
    [[maybe_unused]] Result<void> ignored = co_await shard_.files().remove(snapshot_path(offset));
    co_return written;
  }
  snapshots_.push_back(offset);
  directory_dirty_ = true;
  co_return Result<void>();
}

io::Task<Result<void>> Log::remove_snapshot(std::int64_t offset) {
  std::erase(snapshots_, offset);
  Result<void> removed = co_await shard_.files().remove(snapshot_path(offset));
  if (!removed && removed.error() == Errc::not_found) co_return Result<void>();
  co_return removed;
}

io::Task<Result<Slice>> Log::read_snapshot(std::int64_t offset, const io::Survey* found) {
  const io::SurveyedFile* seen = found == nullptr ? nullptr : found->find(file_name(offset, suffix::kProducerSnapshot));
  if (seen != nullptr && seen->is_whole()) co_return seen->tail;
  Result<Slice> content = co_await io::read_file(shard_.files(), snapshot_path(offset));
  co_return content;
}

// The state at `log_end`, from the newest good snapshot at or below it and the batches behind that.
io::Task<Result<void>> Log::rebuild_producers(std::int64_t log_end, bool clean_without_snapshot,
                                              const io::Survey* found) {
  producers_.clear(log_start_offset_);
  relearn_end_ = -1;
  std::int64_t from = segments_.empty() ? log_end : std::min(log_end, segments_.begin()->first);
  bool loaded = false;
  while (!loaded) {
    auto after = std::upper_bound(snapshots_.begin(), snapshots_.end(), log_end);
    if (after == snapshots_.begin()) break;
    const std::int64_t offset = *std::prev(after);
    Result<Slice> content = co_await read_snapshot(offset, found);
    if (content) {
      Result<void> good = producers_.load_snapshot(content->bytes(), offset, shard_.wall_ms());
      if (good) {
        loaded = true;
        from = std::max(from, offset);
        if (!producers_.empty()) relearn_end_ = offset;
        break;
      }
      logger_.warning("{}: {}: {}; trying an older one", options_.partition, snapshot_path(offset),
                      good.error().message());
    } else if (!(content.error() == Errc::not_found)) {
      co_return fail(std::move(content).error());
    }
    Result<void> removed = co_await remove_snapshot(offset);
    KLAMM_CO_TRY(removed);
  }
  if (!loaded && clean_without_snapshot) from = log_end;
  if (from < log_end) {
    if (relearn_end_ >= 0) {
      Result<void> relearned = co_await relearn_batches(relearn_end_);
      KLAMM_CO_TRY(relearned);
    }
    Result<void> replayed = co_await replay_producers(from, log_end);
    KLAMM_CO_TRY(replayed);
  }
  producers_.set_end_offset(log_end);
  co_return Result<void>();
}

// Left until it matters: of many logs only some are written to soon after a start.
io::Task<Result<void>> Log::know_producers(const PendingAppend& pending) {
  if (relearn_end_ < 0) co_return Result<void>();
  const bool asked = std::any_of(pending.batches.begin(), pending.batches.end(),
                                 [](const BatchSummary& batch) { return batch.has_producer(); });
  if (!asked) co_return Result<void>();
  Result<void> relearned = co_await relearn_batches(relearn_end_);
  if (!relearned) co_return fail(storage_error(std::move(relearned).error(), "producers' last batches"));
  co_return Result<void>();
}

// A snapshot, taken at `end`, has only the last batch of each producer, and a retry of one of the batches before would
// not be recognized: they are read again, as far back as what producers have in flight reaches as a rule.
io::Task<Result<void>> Log::relearn_batches(std::int64_t end) {
  constexpr std::int64_t kMostBytes = 1 << 20;
  if (producers_.empty()) {
    relearn_end_ = -1;
    co_return Result<void>();
  }
  std::vector<SegmentRef> segments;  // the newest first
  std::int64_t bytes = 0;
  for (auto at = segments_.lower_bound(end); at != segments_.begin() && bytes < kMostBytes;) {
    --at;
    segments.push_back(at->second);
    bytes += at->second->size_bytes();
  }
  std::map<std::int64_t, ProducerEntry> learned;
  for (auto at = segments.rbegin(); at != segments.rend(); ++at) {
    // What the newer segments have of the bytes is theirs.
    std::int64_t most_bytes = kMostBytes;
    for (auto newer = std::next(at); newer != segments.rend(); ++newer) most_bytes -= (*newer)->size_bytes();
    Result<void> read = co_await relearn_batches_of(*at, most_bytes, end, learned);
    if (read) continue;
    if (!(read.error() == Errc::corrupt)) co_return read;
    // Damage below the recovery point: readers will meet it.
    logger_.error("{}: {}; producers of that part are not known", options_.partition, read.error().message());
  }
  producers_.relearn(learned);
  relearn_end_ = -1;
  co_return Result<void>();
}

// The batches of the segment's last `most_bytes` that lie below `end`.
io::Task<Result<void>> Log::relearn_batches_of(SegmentRef segment, std::int64_t most_bytes, std::int64_t end,
                                               std::map<std::int64_t, ProducerEntry>& learned) {
  std::int64_t from = segment->base_offset();
  if (segment->size_bytes() > most_bytes) {
    Result<std::optional<std::int64_t>> behind = co_await segment->offset_behind(segment->size_bytes() - most_bytes);
    KLAMM_CO_TRY(behind);
    if (!behind->has_value()) co_return Result<void>();
    from = **behind;
  }
  Result<std::optional<PlacedBatch>> start = co_await segment->find(from);
  KLAMM_CO_TRY(start);
  if (!start->has_value()) co_return Result<void>();
  Result<std::shared_ptr<io::File>> file = co_await segment->file();
  KLAMM_CO_TRY(file);
  BatchScanner scanner(*file, (*start)->position, segment->size_bytes(), BatchScanner::kHeaders);
  for (;;) {
    Result<bool> more = co_await scanner.next();
    KLAMM_CO_TRY(more);
    const BatchSummary& batch = scanner.batch();
    if (!*more || batch.base_offset >= end) co_return Result<void>();
    if (!batch.has_producer() || batch.is_control()) continue;
    learned[batch.producer_id].add_batch(
        batch.producer_epoch, {batch.last_sequence(), batch.offset_delta(), batch.last_offset, batch.max_timestamp});
  }
}

// Takes in the batches in [from, to), which were accepted before.
io::Task<Result<void>> Log::replay_producers(std::int64_t from, std::int64_t to) {
  for (SegmentRef segment = segment_of(from); segment != nullptr && segment->base_offset() < to;
       segment = segment_after(segment->base_offset())) {
    Result<std::optional<PlacedBatch>> start = co_await segment->find(from);
    if (!start && start.error() == Errc::corrupt) {
      // Damage below the recovery point: readers will meet it; it is no reason to refuse the whole log.
      logger_.error("{}: {}; producers of that part are not known", options_.partition, start.error().message());
      continue;
    }
    KLAMM_CO_TRY(start);
    if (!start->has_value()) continue;
    Result<std::shared_ptr<io::File>> file = co_await segment->file();
    KLAMM_CO_TRY(file);
    BatchScanner scanner(*file, (*start)->position, segment->size_bytes(), BatchScanner::kWhole);
    for (;;) {
      Result<bool> more = co_await scanner.next();
      KLAMM_CO_TRY(more);
      if (!*more || scanner.batch().base_offset >= to) break;
      const BatchSummary batch = scanner.batch();
      if (!batch.has_producer()) continue;
      std::optional<EndTransaction> marker;
      if (batch.is_control()) {
        Result<bool> whole = co_await scanner.load_bytes();
        KLAMM_CO_TRY(whole);
        if (!*whole) break;
        Result<std::optional<EndTransaction>> read = read_end_transaction(scanner.bytes());
        KLAMM_CO_TRY(read);
        marker = *read;
      }
      ProducerState::Update update;
      Result<void> added = producers_.add(update, batch, marker, AppendOrigin::replication);
      KLAMM_CO_TRY(added);
      // The index entries of aborted transactions are in the segment's index already.
      producers_.commit(std::move(update), batch.last_offset + 1);
    }
  }
  co_return Result<void>();
}

}  // namespace klamm::storage
