// Truncating, deleting and closing.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "broker/storage/log.h"
#include "broker/storage/names.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

tl::unexpected<Error> refuse(ErrorCode code, std::string why) {
  return klamm::fail(protocol::kafka_error(code, std::move(why)));
}

}  // namespace

// Entries that begin at the log's end do not count: a start would drop them.
bool Log::epochs_unsaved() const {
  if (!saved_epochs_) return true;
  const auto below_end = [&](const std::vector<EpochEntry>& entries) {
    return std::find_if(entries.begin(), entries.end(),
                        [&](const EpochEntry& entry) { return entry.start_offset >= log_end_offset_; });
  };
  const std::vector<EpochEntry>& entries = epochs_.entries();
  return !std::equal(entries.begin(), below_end(entries), saved_epochs_->begin(), below_end(*saved_epochs_));
}

// flushing_ is held.
io::Task<Result<void>> Log::save_epochs() {
  std::vector<EpochEntry> entries = epochs_.entries();
  saved_epochs_.reset();
  const bool was_dirty = std::exchange(directory_dirty_, false);  // the save syncs the directory
  const std::string path = io::join_path(options_.directory, kLeaderEpochFile);
  Result<void> saved = co_await with_descriptors(options_.open_files,
                                                 [&] { return save_epoch_checkpoint(shard_.files(), path, entries); });
  if (saved) saved_epochs_ = std::move(entries);
  if (!saved && was_dirty) directory_dirty_ = true;
  co_return saved;
}

// ---- Log start

io::Task<void> Log::move_log_start(std::int64_t offset) {
  log_start_offset_ = offset;
  high_watermark_ = std::max(high_watermark_, offset);
  epochs_.truncate_from_start(offset);
  co_return;
}

io::Task<Result<bool>> Log::increment_log_start(std::int64_t offset) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  co_await changing_.lock();
  Result<bool> moved = false;
  if (offset > high_watermark_) {
    moved = refuse(ErrorCode::offset_out_of_range,
                   fmt::format("log start {} is beyond the high watermark {}", offset, high_watermark_));
  } else if (offset > log_start_offset_) {
    co_await move_log_start(offset);
    moved = true;
  }
  changing_.unlock();
  co_return moved;
}

// ---- Deleting segments

// Renames the files so that nothing finds them, and removes them later: readers may be on them.
io::Task<Result<void>> Log::delete_segments(std::vector<SegmentRef> doomed) {
  ++cuts_;
  ++renaming_;
  std::vector<std::string> paths;
  Result<void> done;
  for (const SegmentRef& segment : doomed) {
    segments_.erase(segment->base_offset());
    std::erase(finished_, segment);
    Result<std::vector<std::string>> renamed = co_await segment->rename_with(std::string(suffix::kDeleted));
    if (!renamed) {
      done = fail(std::move(renamed).error());
      break;
    }
    std::move(renamed->begin(), renamed->end(), std::back_inserter(paths));
    if (std::binary_search(snapshots_.begin(), snapshots_.end(), segment->base_offset())) {
      const std::string snapshot = snapshot_path(segment->base_offset());
      std::erase(snapshots_, segment->base_offset());
      Result<void> moved = co_await shard_.files().rename(snapshot, snapshot + std::string(suffix::kDeleted));
      if (moved) paths.push_back(snapshot + std::string(suffix::kDeleted));
    }
  }
  directory_dirty_ = true;
  ++cuts_;
  --renaming_;
  renamed_.notify_all();
  if (!paths.empty()) background_.spawn(remove_later(std::move(paths)));
  co_return done;
}

// The segments below `first_kept` are about to go. Their names may go in any order at a loss of power, and the epochs
// tell the next start that a hole there is none in the log; and what the producers did in them is in the snapshot only.
io::Task<Result<void>> Log::before_deleting(std::int64_t first_kept) {
  co_await flushing_.lock();
  Result<void> done;
  if (std::binary_search(snapshots_.begin(), snapshots_.end(), first_kept)) {
    CachedFile snapshot(shard_.files(), options_.open_files);
    Result<std::shared_ptr<io::File>> file =
        co_await snapshot.open(snapshot_path(first_kept), io::OpenMode::read_write);
    if (file) {
      done = co_await (*file)->sync();
    } else {
      done = fail(std::move(file).error());
    }
  }
  if (done) {
    done = co_await save_epochs();  // and the names
    // A full disk: what is deleted makes room.
    if (!done && done.error() == std::error_code(ENOSPC, std::system_category())) {
      done = co_await sync_directory(options_.directory);
    }
  }
  flushing_.unlock();
  co_return done;
}

io::Task<void> Log::remove_later(std::vector<std::string> paths) {
  const Instant when = shard_.now() + milliseconds(options_.config.file_delete_delay_ms);
  while (!closed_ && shard_.now() < when) {
    co_await stopping_.wait_until(when);
  }
  if (closed_) co_return;  // the next start removes them
  for (const std::string& path : paths) {
    Result<void> removed = co_await shard_.files().remove(path);
    if (!removed && !(removed.error() == Errc::not_found)) {
      logger_.warning("{}: {}", options_.partition, removed.error().message());
    }
  }
}

io::Task<Result<int>> Log::delete_old_segments() {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  if (cleaning_ != nullptr) co_return 0;  // the next run will find them
  co_await pause_cleaning({});
  co_await changing_.lock();
  Result<int> deleted = co_await delete_old_locked();
  changing_.unlock();
  resume_cleaning();
  if (!deleted) co_return fail(storage_error(std::move(deleted).error(), "delete segments"));
  co_return deleted;
}

io::Task<Result<int>> Log::delete_old_locked() {
  const config::LogConfig& config = options_.config;
  const TimestampMs now_ms = shard_.wall_ms();
  std::int64_t excess =
      config.cleanup_delete && config.retention_bytes >= 0 ? size_bytes() - config.retention_bytes : -1;
  std::vector<SegmentRef> doomed;
  std::vector<SegmentRef> all;
  all.reserve(segments_.size());
  for (const auto& item : segments_) all.push_back(item.second);
  for (const SegmentRef& segment : all) {
    const SegmentRef next = segment_after(segment->base_offset());
    const std::int64_t end = next ? next->base_offset() : log_end_offset_;
    if (end > high_watermark_ || (!next && segment->size_bytes() == 0)) break;
    bool old = next && end <= log_start_offset_;
    if (!old && excess >= segment->size_bytes()) old = true;
    if (!old && config.cleanup_delete && config.retention_ms >= 0) {
      TimestampMs largest = segment->largest_timestamp().timestamp;
      if (largest < 0) {
        Result<TimestampMs> modified = co_await segment->modified_ms();
        KLAMM_CO_TRY(modified);
        largest = *modified;
      }
      old = now_ms - largest > config.retention_ms;
    }
    if (!old) break;
    excess -= segment->size_bytes();
    doomed.push_back(segment);
  }
  if (doomed.empty()) co_return 0;
  if (doomed.size() == segments_.size()) {
    Result<void> rolled = co_await roll_locked(log_end_offset_);
    if (!rolled && doomed.size() == 1) co_return fail(std::move(rolled).error());
    // A full disk: the others make room.
    if (!rolled) doomed.pop_back();
  }
  const auto count = static_cast<int>(doomed.size());
  const SegmentRef first_kept = segment_after(doomed.back()->base_offset());
  co_await move_log_start(std::max(log_start_offset_, first_kept->base_offset()));
  logger_.info("{}: deleting {} old segments, the log starts at {} now", options_.partition, count, log_start_offset_);
  Result<void> prepared = co_await before_deleting(first_kept->base_offset());
  KLAMM_CO_TRY(prepared);
  Result<void> deleted = co_await delete_segments(std::move(doomed));
  KLAMM_CO_TRY(deleted);
  co_return count;
}

io::Task<Result<void>> Log::delete_before(std::int64_t offset) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  co_await pause_cleaning("segments are deleted");
  co_await changing_.lock();
  if (offset > log_start_offset_) co_await move_log_start(std::min(offset, log_end_offset_));
  std::vector<SegmentRef> doomed;
  for (const auto& [base_offset, segment] : segments_) {
    const SegmentRef next = segment_after(base_offset);
    if (!next || next->base_offset() > log_start_offset_) break;
    doomed.push_back(segment);
  }
  Result<void> deleted;
  if (!doomed.empty()) deleted = co_await before_deleting(segment_after(doomed.back()->base_offset())->base_offset());
  if (deleted) deleted = co_await delete_segments(std::move(doomed));
  changing_.unlock();
  resume_cleaning();
  if (!deleted) co_return fail(storage_error(std::move(deleted).error(), "delete segments"));
  co_return Result<void>();
}

// ---- Truncating

// changing_ and flushing_ are held. A start after a crash looks at nothing below the recovery point: it goes back
// before anything is cut there and written anew.
io::Task<Result<void>> Log::lower_recovery_point(std::int64_t offset) {
  if (recovery_point() <= offset) co_return Result<void>();
  flushed_offset_ = offset;
  if (!options_.before_cut) co_return Result<void>();
  Result<void> lowered = co_await options_.before_cut(offset);
  co_return lowered;
}

io::Task<Result<bool>> Log::truncate_to(std::int64_t offset) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  co_await pause_cleaning("the log is truncated");
  co_await changing_.lock();
  co_await flushing_.lock();
  const SegmentRef holder = segment_of(offset);
  Result<void> lowered =
      co_await lower_recovery_point(holder ? holder->base_offset() : std::max<std::int64_t>(offset, 0));
  Result<bool> truncated = false;
  if (lowered) truncated = co_await truncate_locked(offset);
  flushing_.unlock();
  changing_.unlock();
  resume_cleaning();
  if (!lowered) co_return fail(storage_error(std::move(lowered).error(), "truncate"));
  // Segments and state may contradict each other now: only a new start puts that right.
  if (!truncated) {
    failed_ = true;
    co_return fail(storage_error(std::move(truncated).error(), "truncate"));
  }
  co_return truncated;
}

io::Task<Result<bool>> Log::truncate_locked(std::int64_t offset) {
  if (offset < 0) co_return refuse(ErrorCode::offset_out_of_range, fmt::format("truncation to {}", offset));
  if (offset >= log_end_offset_) {
    if (epochs_.truncate_from_end(offset)) {
      Result<void> saved = co_await save_epochs();
      KLAMM_CO_TRY(saved);
    }
    co_return false;
  }
  logger_.info("{}: truncating from {} to {}", options_.partition, log_end_offset_, offset);
  if (segments_.begin()->first > offset) {
    Result<void> emptied = co_await truncate_fully_locked(offset, std::min(offset, log_start_offset_));
    KLAMM_CO_TRY(emptied);
    co_return true;
  }
  std::vector<SegmentRef> doomed;
  for (auto at = segments_.upper_bound(offset); at != segments_.end(); ++at) doomed.push_back(at->second);
  const SegmentRef last = segment_of(offset);
  // The newest first: a crash on the way leaves a log without holes.
  std::reverse(doomed.begin(), doomed.end());
  const bool any_deleted = !doomed.empty();
  Result<void> deleted = co_await delete_segments(std::move(doomed));
  // Before the last one is cut: one that came back behind it would leave a hole, which a compacted log may have.
  if (deleted && any_deleted) deleted = co_await sync_directory(options_.directory);
  KLAMM_CO_TRY(deleted);
  active_ = last;
  std::erase(finished_, last);
  Result<std::int64_t> end = co_await last->truncate_to(offset);
  KLAMM_CO_TRY(end);
  // Before anything is appended: what was cut must not come back behind it, or as a part of a later epoch.
  Result<void> synced = co_await last->sync(false);
  KLAMM_CO_TRY(synced);
  ++cuts_;
  log_end_offset_ = *end;
  lower_first_dirty(log_end_offset_);
  log_start_offset_ = std::min(log_start_offset_, log_end_offset_);
  flushed_offset_ = std::min(flushed_offset_, log_end_offset_);
  set_high_watermark(std::min(high_watermark_, log_end_offset_));
  const std::vector<std::int64_t> snapshots = snapshots_;
  for (const std::int64_t snapshot : snapshots) {
    if (snapshot <= log_end_offset_) continue;
    Result<void> removed = co_await remove_snapshot(snapshot);
    KLAMM_CO_TRY(removed);
  }
  // Makes the names durable, too: a snapshot that came back would tell of producers that never wrote here.
  epochs_.truncate_from_end(log_end_offset_);
  Result<void> saved = co_await save_epochs();
  KLAMM_CO_TRY(saved);
  Result<void> rebuilt = co_await rebuild_producers(log_end_offset_, false);
  KLAMM_CO_TRY(rebuilt);
  producers_.high_watermark_moved(high_watermark_);
  co_return true;
}

io::Task<Result<void>> Log::truncate_fully_and_start_at(std::int64_t offset, std::optional<std::int64_t> log_start) {
  Result<void> usable = check_usable();
  KLAMM_CO_TRY(usable);
  co_await pause_cleaning("the log is emptied");
  co_await changing_.lock();
  co_await flushing_.lock();
  logger_.info("{}: emptying the log, it goes on at {}", options_.partition, offset);
  Result<void> lowered = co_await lower_recovery_point(std::min(offset, first_segment_offset()));
  Result<void> truncated;
  if (lowered) truncated = co_await truncate_fully_locked(offset, log_start.value_or(offset));
  flushing_.unlock();
  changing_.unlock();
  resume_cleaning();
  if (!lowered) co_return fail(storage_error(std::move(lowered).error(), "truncate"));
  if (!truncated) {
    failed_ = true;
    co_return fail(storage_error(std::move(truncated).error(), "truncate"));
  }
  co_return Result<void>();
}

io::Task<Result<void>> Log::truncate_fully_locked(std::int64_t offset, std::int64_t log_start) {
  std::vector<SegmentRef> doomed;
  doomed.reserve(segments_.size());
  for (const auto& item : segments_) doomed.push_back(item.second);
  std::reverse(doomed.begin(), doomed.end());
  Result<void> deleted = co_await delete_segments(std::move(doomed));
  KLAMM_CO_TRY(deleted);
  auto fresh = make_segment(offset);
  const std::int64_t preallocate = options_.config.preallocate ? options_.config.segment_bytes : 0;
  Result<void> created = co_await fresh->create(preallocate, shard_.wall_ms());
  KLAMM_CO_TRY(created);
  directory_dirty_ = true;
  segments_.emplace(offset, fresh);
  active_ = std::move(fresh);
  ++cuts_;
  log_end_offset_ = offset;
  lower_first_dirty(log_start);
  log_start_offset_ = log_start;
  high_watermark_ = std::clamp(high_watermark_, log_start, offset);
  flushed_offset_ = std::min(flushed_offset_, offset);
  producers_.clear(offset);
  const std::vector<std::int64_t> snapshots = snapshots_;
  for (const std::int64_t snapshot : snapshots) {
    Result<void> removed = co_await remove_snapshot(snapshot);
    KLAMM_CO_TRY(removed);
  }
  epochs_.clear();
  Result<void> saved = co_await save_epochs();  // and the names
  KLAMM_CO_TRY(saved);
  co_return Result<void>();
}

// ---- The end

io::Task<Result<void>> Log::close() {
  KLAMM_CHECK(!closed_, "log closed twice");
  closed_ = true;
  co_await pause_cleaning("the log is closed");
  stopping_.notify_all();
  co_await background_.close();
  // Changes that were waiting for their turn come first, and are refused.
  co_await changing_.lock();
  Result<void> closed;
  if (!failed_) closed = co_await close_locked();
  changing_.unlock();
  for (const auto& item : segments_) item.second->release();
  if (!closed) {
    failed_ = true;
    co_return fail(storage_error(std::move(closed).error(), "close"));
  }
  if (failed_) co_return refuse(ErrorCode::kafka_storage_error, fmt::format("log {} is offline", options_.partition));
  co_return Result<void>();
}

io::Task<Result<void>> Log::close_locked() {
  Result<void> finished = co_await active_->finish();
  KLAMM_CO_TRY(finished);
  if (!active_->is_synced()) finished_.push_back(active_);
  producers_.set_end_offset(log_end_offset_);
  Result<void> snapshot = co_await take_producer_snapshot(true);
  KLAMM_CO_TRY(snapshot);
  co_await flushing_.lock();
  Result<void> flushed = co_await flush_locked(log_end_offset_);
  flushing_.unlock();
  co_return flushed;
}

io::Task<void> Log::abandon() {
  closed_ = true;
  co_await pause_cleaning("the log is given up");
  stopping_.notify_all();
  co_await background_.close();
  co_await changing_.lock();
  changing_.unlock();
}

io::Task<Result<std::string>> Log::retire(DirectoryKind kind) {
  co_await abandon();
  const std::string parent = io::parent_path(options_.directory);
  const std::string renamed =
      io::join_path(parent, directory_name(options_.partition, kind, Uuid::random(shard_.random())));
  Result<void> moved = co_await shard_.files().rename(options_.directory, renamed);
  if (!moved) co_return fail(storage_error(std::move(moved).error(), "rename the directory"));
  options_.directory = renamed;
  for (const auto& item : segments_) item.second->directory_renamed(renamed);
  Result<void> synced = co_await shard_.files().sync_directory(parent);
  if (!synced) co_return fail(storage_error(std::move(synced).error(), "rename the directory"));
  co_return renamed;
}

}  // namespace klamm::storage
