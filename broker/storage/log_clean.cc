// The log's side of compaction: what may be cleaned, and how cleaned segments take the place of others.
#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/log.h"
#include "broker/storage/names.h"

namespace klamm::storage {

void Log::set_config(config::LogConfig config) {
  options_.config = std::move(config);
  if (options_.config.cleanup_compact || cleaning_ == nullptr) return;
  cleaning_->aborted = true;
  cleaning_->why = "the topic is not compacted any more";
  cleaning_->changed.notify_all();
}

// ---- Permits

std::shared_ptr<CleaningPermit> Log::begin_cleaning() {
  if (cleaning_ != nullptr || cleaning_pauses_ > 0 || closed_ || failed_) return nullptr;
  cleaning_ = std::make_shared<CleaningPermit>(shard_);
  return cleaning_;
}

void Log::end_cleaning() {
  cleaning_.reset();
  cleaning_ended_.notify_all();
}

io::Task<void> Log::pause_cleaning(std::string why) {
  ++cleaning_pauses_;
  if (cleaning_ == nullptr) co_return;
  cleaning_->aborted = true;
  cleaning_->why = std::move(why);
  cleaning_->changed.notify_all();
  while (cleaning_ != nullptr) co_await cleaning_ended_.wait();
}

void Log::lower_first_dirty(std::int64_t offset) {
  if (!options_.first_dirty_offset || *options_.first_dirty_offset <= offset) return;
  options_.first_dirty_offset = offset;
  if (options_.on_first_dirty_lowered) options_.on_first_dirty_lowered();
}

// ---- What there is to clean

io::Task<Result<Cleanable>> Log::cleanable() {
  const config::LogConfig& config = options_.config;
  const TimestampMs now_ms = shard_.wall_ms();
  Cleanable found;
  const std::int64_t checkpoint = options_.first_dirty_offset.value_or(log_start_offset_);
  found.first_dirty = checkpoint;
  if (checkpoint < log_start_offset_ || checkpoint > log_end_offset_) {
    if (!config.cleanup_delete || checkpoint > log_end_offset_) {
      logger_.warning("{}: the cleaner's offset {} is not in [{}, {}]; compaction begins at the start", partition(),
                      checkpoint, log_start_offset_, log_end_offset_);
    }
    found.first_dirty = log_start_offset_;
    lower_first_dirty(log_start_offset_);
    if (options_.first_dirty_offset) options_.first_dirty_offset = log_start_offset_;
  }
  std::int64_t end = std::min(last_stable_offset(), active_->base_offset());
  const std::vector<SegmentRef> dirty = segments_between(found.first_dirty, active_->base_offset());
  if (config.min_compaction_lag_ms > 0) {
    for (const SegmentRef& segment : dirty) {
      TimestampMs largest = segment->largest_timestamp().timestamp;
      if (largest < 0) {
        Result<TimestampMs> modified = co_await segment->modified_ms();
        KLAMM_CO_TRY(modified);
        largest = *modified;
      }
      if (largest <= now_ms - config.min_compaction_lag_ms) continue;
      end = std::min(end, segment->base_offset());
      break;
    }
  }
  end = std::max(end, found.first_dirty);
  // Down to the start of the segment that holds the end.
  const SegmentRef first_kept = segment_of(end);
  found.end = first_kept == nullptr ? end : first_kept->base_offset();
  for (const auto& [base_offset, segment] : segments_) {
    if (base_offset < found.first_dirty) found.clean_bytes += segment->size_bytes();
  }
  for (const SegmentRef& segment : segments_between(found.first_dirty, found.end)) {
    found.dirty_bytes += segment->size_bytes();
  }
  if (config.max_compaction_lag_ms == config::LogConfig::kUnlimited) co_return found;
  for (const SegmentRef& segment : dirty) {
    Result<TimestampMs> first = co_await segment->load_first_timestamp();
    KLAMM_CO_TRY(first);
    if (*first > 0 && *first < now_ms - config.max_compaction_lag_ms) found.overdue = true;
  }
  co_return found;
}

std::vector<Log::SegmentRef> Log::segments_between(std::int64_t from, std::int64_t to) const {
  std::vector<SegmentRef> found;
  auto at = segments_.upper_bound(from);
  if (at != segments_.begin()) --at;
  for (; at != segments_.end() && at->first < to && at->second != active_; ++at) found.push_back(at->second);
  return found;
}

io::Task<Result<std::vector<AbortedTransaction>>> Log::aborted_between(std::int64_t from, std::int64_t to) {
  std::vector<AbortedTransaction> aborted;
  SegmentRef segment = segment_of(from);
  if (segment == nullptr) segment = segment_after(-1);
  while (segment != nullptr) {
    Result<bool> complete = co_await segment->txn_index().collect(from, to, aborted);
    KLAMM_CO_TRY(complete);
    if (*complete) break;
    segment = segment_after(segment->base_offset());
  }
  co_return aborted;
}

// ---- Replacing

io::Task<Result<void>> Log::replace_segments(const CleaningPermit& permit, SegmentRef cleaned,
                                             std::vector<SegmentRef> old) {
  co_await changing_.lock();
  co_await flushing_.lock();
  Result<void> replaced = check_usable();
  if (permit.aborted) {
    replaced = fail(Errc::cancelled, permit.why);
  } else if (replaced) {
    replaced = co_await replace_locked(std::move(cleaned), std::move(old));
  }
  flushing_.unlock();
  changing_.unlock();
  co_return replaced;
}

// changing_ and flushing_ are held.
io::Task<Result<void>> Log::replace_locked(SegmentRef cleaned, std::vector<SegmentRef> old) {
  KLAMM_CHECK(!old.empty() && old.front()->base_offset() == cleaned->base_offset(), "replacement begins elsewhere");
  for (const SegmentRef& segment : old) {
    const auto at = segments_.find(segment->base_offset());
    KLAMM_CHECK(at != segments_.end() && at->second == segment && segment != active_, "a segment that is not there");
  }
  io::FileSystem& files = shard_.files();
  // All names are durable before the first is changed: at a start any .cleaned file says that the work was not done.
  Result<void> step = co_await files.sync_directory(options_.directory);
  KLAMM_CO_TRY(step);
  Result<std::vector<std::string>> renamed = co_await cleaned->rename_with(std::string(suffix::kSwap));
  KLAMM_CO_TRY(renamed);
  step = co_await files.sync_directory(options_.directory);
  KLAMM_CO_TRY(step);
  // From here on it holds. For readers too, at once: none may find a place without records.
  ++cuts_;
  for (const SegmentRef& segment : old) {
    segments_.erase(segment->base_offset());
    std::erase(finished_, segment);
  }
  segments_.emplace(cleaned->base_offset(), cleaned);
  ++renaming_;
  step = co_await swap_files(std::move(cleaned), std::move(old));
  ++cuts_;
  --renaming_;
  renamed_.notify_all();
  if (!step) failed_ = true;  // what is on the disk is for the next start to put right
  co_return step;
}

io::Task<Result<void>> Log::swap_files(SegmentRef cleaned, std::vector<SegmentRef> old) {
  io::FileSystem& files = shard_.files();
  std::vector<std::string> paths;
  for (const SegmentRef& segment : old) {
    Result<std::vector<std::string>> renamed = co_await segment->rename_with(std::string(suffix::kDeleted));
    KLAMM_CO_TRY(renamed);
    std::move(renamed->begin(), renamed->end(), std::back_inserter(paths));
  }
  // Before the new one has its name, the old ones must not come back under theirs.
  Result<void> step = co_await files.sync_directory(options_.directory);
  KLAMM_CO_TRY(step);
  Result<std::vector<std::string>> renamed = co_await cleaned->rename_with({});
  KLAMM_CO_TRY(renamed);
  step = co_await files.sync_directory(options_.directory);
  KLAMM_CO_TRY(step);
  for (std::size_t i = 1; i < old.size(); ++i) {
    const std::int64_t base_offset = old[i]->base_offset();
    if (!std::binary_search(snapshots_.begin(), snapshots_.end(), base_offset)) continue;
    std::erase(snapshots_, base_offset);
    const std::string snapshot = snapshot_path(base_offset);
    Result<void> moved = co_await files.rename(snapshot, snapshot + std::string(suffix::kDeleted));
    if (moved) paths.push_back(snapshot + std::string(suffix::kDeleted));
  }
  background_.spawn(remove_later(std::move(paths)));
  co_return Result<void>();
}

}  // namespace klamm::storage
