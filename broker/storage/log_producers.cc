// Producer snapshots of a log, and the producers' state after a start or a truncation.
#include <algorithm>

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
  Result<std::shared_ptr<io::File>> file = co_await shard_.files().open(snapshot_path(offset), io::OpenMode::create);
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

// The state at `log_end`, from the newest good snapshot at or below it and the batches behind that.
io::Task<Result<void>> Log::rebuild_producers(std::int64_t log_end, bool clean_without_snapshot) {
  producers_.clear(log_start_offset_);
  std::int64_t from = segments_.empty() ? log_end : std::min(log_end, segments_.begin()->first);
  bool loaded = false;
  while (!loaded) {
    auto after = std::upper_bound(snapshots_.begin(), snapshots_.end(), log_end);
    if (after == snapshots_.begin()) break;
    const std::int64_t offset = *std::prev(after);
    Result<Slice> content = co_await io::read_file(shard_.files(), snapshot_path(offset));
    if (content) {
      Result<void> good = producers_.load_snapshot(content->bytes(), offset, shard_.wall_ms());
      if (good) {
        loaded = true;
        from = std::max(from, offset);
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
    Result<void> replayed = co_await replay_producers(from, log_end);
    KLAMM_CO_TRY(replayed);
  }
  producers_.set_end_offset(log_end);
  co_return Result<void>();
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
