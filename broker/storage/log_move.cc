// The log's side of a move to another data directory: how a copy takes the place of the files it was made from.
//
//   d1/t-0  d2/t-0.<id>-future              both hold the same records, those of the copy are on the disk
//   d1/t-0  d2/t-0.<id>-future/move-complete
//   d1/t-0  d2/t-0/move-complete            from here on the copy counts: LogDirs::list_logs puts the other away
//   d1/t-0.<id>-delete  d2/t-0
#include <fmt/format.h>

#include "broker/storage/log.h"
#include "broker/storage/names.h"
#include "protocol/error.h"

namespace klamm::storage {

io::Task<Result<std::string>> Log::take_over(Log& copy, CatchUp catch_up) {
  co_await changing_.lock();
  Result<void> ready = check_usable();
  if (ready) ready = co_await catch_up();
  if (ready) ready = check_usable();
  if (ready && (copy.log_end_offset_ != log_end_offset_ || copy.recovery_point() < log_end_offset_)) {
    ready = klamm::fail(Errc::corrupt,
                        fmt::format("the copy in {} ends at {}, flushed to {}; the log at {}", copy.directory(),
                                    copy.log_end_offset_, copy.recovery_point(), log_end_offset_));
  }
  Result<std::string> old;
  if (ready) {
    co_await flushing_.lock();
    co_await copy.flushing_.lock();
    old = co_await take_over_locked(copy);
    copy.flushing_.unlock();
    flushing_.unlock();
  } else {
    old = klamm::fail(std::move(ready).error());
  }
  changing_.unlock();
  co_return old;
}

// changing_ is held, and flushing_ of both.
io::Task<Result<std::string>> Log::take_over_locked(Log& copy) {
  // Where the copy begins, the log began once: a loss of power may have brought back what was deleted since the last
  // checkpoint of log starts.
  if (copy.log_start_offset_ > log_start_offset_) co_await move_log_start(copy.log_start_offset_);
  // The copy has learned the epochs of its records; one that has begun without any is known here only.
  copy.epochs_ = epochs_;
  Result<void> step = co_await copy.save_epochs();
  const std::string target =
      io::join_path(io::parent_path(copy.options_.directory), directory_name(options_.partition));
  if (step) step = co_await give_plain_name(copy, target);
  if (!step) co_return klamm::fail(copy.storage_error(std::move(step).error(), "move"));
  const std::string source = options_.directory;
  const auto source_failed = options_.on_storage_failure;
  std::vector<SegmentRef> old = adopt(copy, target);
  ++renaming_;
  Result<std::string> away = co_await put_away(source, std::move(old));
  ++cuts_;
  --renaming_;
  renamed_.notify_all();
  if (!away) {
    // The log is well where it is now. The marker stays, so that a start knows too.
    logger_.error("{}: {} cannot be put away: {}", options_.partition, source, away.error().message());
    if (source_failed) source_failed(away.error());
    co_return std::string();
  }
  step = co_await shard_.files().remove(io::join_path(target, kMoveMarkerFile));
  if (step) step = co_await shard_.files().sync_directory(target);
  if (!step) {
    [[maybe_unused]] const Error error = storage_error(std::move(step).error(), "move");
  }
  co_return away;
}

// The point of no return: when this has succeeded, the copy is what a start will find.
io::Task<Result<void>> Log::give_plain_name(Log& copy, std::string target) {
  io::FileSystem& files = shard_.files();
  Result<void> step = co_await io::write_file_atomically(files, io::join_path(copy.options_.directory, kMoveMarkerFile),
                                                         Slice::copy("version: 0\n"));
  if (step) step = co_await files.rename(copy.options_.directory, target);
  if (step) step = co_await files.sync_directory(io::parent_path(target));
  if (!step) co_await undo_plain_name(copy, target);
  co_return step;
}

// The log goes on where it was: what will be appended there must not lose against the copy at the next start.
io::Task<void> Log::undo_plain_name(Log& copy, std::string target) {
  io::FileSystem& files = shard_.files();
  const auto stuck = [](const Result<void>& step) { return !step && !(step.error() == Errc::not_found); };
  Result<void> step = co_await files.rename(target, copy.options_.directory);
  if (!stuck(step)) step = co_await files.remove(io::join_path(copy.options_.directory, kMoveMarkerFile));
  if (!stuck(step)) step = co_await files.sync_directory(copy.options_.directory);
  if (step) step = co_await files.sync_directory(io::parent_path(target));
  if (step) co_return;
  failed_ = true;
  logger_.error("{}: neither moved to {} nor kept from it: {}; no appends until the next start", options_.partition,
                target, step.error().message());
}

// Nothing is awaited: readers find the one or the other. Returns the segments that were.
std::vector<Log::SegmentRef> Log::adopt(Log& copy, std::string target) {
  std::vector<SegmentRef> old;
  old.reserve(segments_.size());
  for (const auto& item : segments_) old.push_back(item.second);
  ++cuts_;
  segments_ = std::exchange(copy.segments_, {});
  for (const auto& item : segments_) item.second->directory_renamed(target);
  active_ = std::move(copy.active_);
  finished_ = std::exchange(copy.finished_, {});
  snapshots_ = std::exchange(copy.snapshots_, {});
  flushed_offset_ = copy.flushed_offset_;
  directory_dirty_ = copy.directory_dirty_;
  parent_dirty_ = false;
  saved_epochs_ = copy.saved_epochs_;
  last_flush_ = shard_.now();
  options_.directory = std::move(target);
  options_.on_storage_failure = copy.options_.on_storage_failure;
  options_.before_cut = copy.options_.before_cut;
  copy.closed_ = copy.taken_over_ = true;
  copy.stopping_.notify_all();
  return old;
}

io::Task<Result<std::string>> Log::put_away(std::string directory, std::vector<SegmentRef> segments) {
  const std::string parent = io::parent_path(directory);
  const std::string renamed =
      io::join_path(parent, directory_name(options_.partition, DirectoryKind::deleted, Uuid::random(shard_.random())));
  Result<void> step = co_await shard_.files().rename(directory, renamed);
  KLAMM_CO_TRY(step);
  for (const SegmentRef& segment : segments) segment->directory_renamed(renamed);
  step = co_await shard_.files().sync_directory(parent);
  KLAMM_CO_TRY(step);
  co_return renamed;
}

io::Task<Result<void>> Log::skip_to(std::int64_t offset) {
  co_await changing_.lock();
  Result<void> rolled = check_usable();
  if (rolled && offset > log_end_offset_) {
    rolled = co_await roll_locked(offset);
    if (rolled) {
      log_end_offset_ = offset;
      producers_.set_end_offset(offset);
    } else {
      rolled = klamm::fail(storage_error(std::move(rolled).error(), "roll"));
    }
  }
  changing_.unlock();
  co_return rolled;
}

}  // namespace klamm::storage
