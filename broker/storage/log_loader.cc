#include "broker/storage/log_loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/names.h"
#include "protocol/error.h"

namespace klamm::storage {

io::Task<Result<std::unique_ptr<Log>>> Log::open(io::Shard& shard, LogOptions options) {
  std::unique_ptr<Log> log(new Log(shard, std::move(options)));
  LogLoader loader(*log);
  Result<void> loaded = co_await loader.load();
  if (!loaded) {
    co_await log->abandon();
    co_return fail(std::move(loaded).error().in(log->options_.directory));
  }
  co_return log;
}

std::string LogLoader::path(std::string_view name) const { return io::join_path(log_.options_.directory, name); }

io::Task<Result<void>> LogLoader::remove_file(std::string name) {
  std::erase(names_, name);
  renamed_ = true;
  Result<void> removed = co_await log_.shard_.files().remove(path(name));
  if (!removed && removed.error() == Errc::not_found) co_return Result<void>();
  co_return removed;
}

namespace {

// What is read of a directory's files at once: small ones whole, of the others what segments want.
std::vector<io::SurveyBytes> wish(const std::vector<std::string>& names) {
  constexpr std::uint32_t kWhole = 1 << 20;
  std::vector<io::SurveyBytes> wanted(names.size());
  bool is_last_log = true;
  bool is_last_snapshot = true;
  for (std::size_t i = names.size(); i-- > 0;) {
    const std::string& name = names[i];
    if (name == kLeaderEpochFile || name == kPartitionMetadataFile) {
      wanted[i].tail = kWhole;
    } else if (name.ends_with(suffix::kProducerSnapshot)) {
      if (std::exchange(is_last_snapshot, false)) wanted[i].tail = kWhole;
    } else if (name.ends_with(suffix::kLog)) {
      wanted[i] = Segment::survey_bytes(name, std::exchange(is_last_log, false));
    } else {
      wanted[i] = Segment::survey_bytes(name, false);
    }
  }
  return wanted;
}

}  // namespace

io::Task<Result<void>> LogLoader::look_around() {
  io::FileSystem& files = log_.shard_.files();
  names_.clear();
  Result<io::Survey> found = co_await io::survey(files, log_.options_.directory, &wish);
  if (!found && found.error() == Errc::not_found) {
    Result<void> made = co_await files.make_directories(log_.options_.directory);
    KLAMM_CO_TRY(made);
    log_.parent_dirty_ = log_.directory_dirty_ = true;
    co_return Result<void>();
  }
  KLAMM_CO_TRY(found);
  found_ = *std::move(found);
  for (const io::SurveyedFile& file : found_.files()) names_.push_back(file.name);
  if (std::find(names_.begin(), names_.end(), kMoveMarkerFile) == names_.end()) co_return Result<void>();
  // LogDirs has seen to it, or the move was not completed.
  const std::vector<std::string> marker{std::string(kMoveMarkerFile)};
  Result<void> removed = co_await remove_files(marker);
  co_return removed;
}

// Errc::not_found if there is no such file.
io::Task<Result<Slice>> LogLoader::content_of(std::string_view name) {
  const io::SurveyedFile* seen = found_.find(name);
  if (seen == nullptr) co_return fail(Errc::not_found, path(name));
  if (seen->is_whole()) co_return seen->tail;
  Result<Slice> content = co_await io::read_file(log_.shard_.files(), path(name));
  co_return content;
}

io::Task<Result<void>> LogLoader::check_topic_id() {
  LogOptions& options = log_.options_;
  Result<Slice> content = co_await content_of(kPartitionMetadataFile);
  if (content) {
    const Result<Uuid> known = parse_partition_metadata(content->text());
    if (!known) co_return fail(Error(known.error()).in(path(kPartitionMetadataFile)));
    if (!options.topic_id.is_zero() && options.topic_id != *known) {
      co_return fail(protocol::kafka_error(
          protocol::ErrorCode::inconsistent_topic_id,
          fmt::format("it belongs to topic id {}, not {}", known->text(), options.topic_id.text())));
    }
    options.topic_id = *known;
    co_return Result<void>();
  }
  if (!(content.error() == Errc::not_found)) co_return fail(std::move(content).error());
  must_save_id_ = !options.topic_id.is_zero();
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::load_epochs() {
  Result<Slice> content = co_await content_of(kLeaderEpochFile);
  if (!content && content.error() == Errc::not_found) {
    log_.saved_epochs_.emplace();
    co_return Result<void>();
  }
  KLAMM_CO_TRY(content);
  Result<std::vector<EpochEntry>> entries = parse_epoch_checkpoint(content->text());
  if (!entries) {
    log_.logger_.warning("{}: {}: {}; epochs are learned from the records", log_.options_.partition,
                         path(kLeaderEpochFile), entries.error().message());
    co_return Result<void>();
  }
  log_.epochs_ = LeaderEpochs(*entries);
  log_.saved_epochs_ = *std::move(entries);
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::load() {
  for (;;) {
    Result<void> loaded = co_await load_once();
    if (overflowed_ == nullptr) co_return loaded;
    const Log::SegmentRef old = std::exchange(overflowed_, nullptr);
    forget();
    loaded = co_await split(old);
    old->release();
    KLAMM_CO_TRY(loaded);
  }
}

// Back to where load_once() begins.
void LogLoader::forget() {
  log_.segments_.clear();
  log_.finished_.clear();
  log_.snapshots_.clear();
  log_.active_.reset();
  log_.epochs_.clear();
  log_.saved_epochs_.reset();
  log_.producers_.clear(0);
  renamed_ = to_the_end_ = false;
}

io::Task<Result<void>> LogLoader::load_once() {
  const LogOptions& options = log_.options_;
  log_.log_start_offset_ = options.log_start_offset;
  Result<void> step = co_await look_around();
  KLAMM_CO_TRY(step);
  step = co_await check_topic_id();
  KLAMM_CO_TRY(step);
  step = co_await finish_swaps();
  KLAMM_CO_TRY(step);
  if (std::exchange(renamed_, false)) {
    step = co_await look_around();
    KLAMM_CO_TRY(step);
  }
  step = co_await load_epochs();
  KLAMM_CO_TRY(step);
  for (const std::string& name : names_) {
    if (const auto offset = parse_file_name(name, suffix::kProducerSnapshot)) log_.snapshots_.push_back(*offset);
  }
  std::sort(log_.snapshots_.begin(), log_.snapshots_.end());

  step = co_await load_segments();
  KLAMM_CO_TRY(step);
  if (!options.clean_shutdown) {
    step = co_await recover_unflushed();
    KLAMM_CO_TRY(step);
  }
  step = co_await load_active();
  KLAMM_CO_TRY(step);
  log_.roll_jitter_ms_ = log_.draw_jitter();
  // After a killed process the files are there, but maybe their names are not on the disk yet.
  if (recovered_) log_.directory_dirty_ = true;
  if (recovered_ && !options.name_is_durable) log_.parent_dirty_ = true;
  if (must_save_id_) {
    step = co_await save_partition_metadata(log_.shard_.files(), options.directory, options.topic_id);  // and the names
  } else if (must_sync_) {
    step = co_await log_.shard_.files().sync_directory(options.directory);
  }
  KLAMM_CO_TRY(step);
  if (must_save_id_ || must_sync_) log_.directory_dirty_ = false;
  if (!log_.finished_.empty()) log_.background_.spawn(log_.flush_in_background(log_.active_->base_offset()));
  co_return Result<void>();
}

// Opens the segments that are there; one whose indexes cannot be right is rebuilt on the spot.
io::Task<Result<void>> LogLoader::load_segments() {
  const std::vector<std::string> all = names_;
  std::vector<std::int64_t> bases;
  for (const std::string& name : all) {
    if (const auto base = parse_file_name(name, suffix::kLog)) bases.push_back(*base);
  }
  std::sort(bases.begin(), bases.end());
  for (const std::string& name : all) {
    for (std::string_view kind : {suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTxnIndex}) {
      const auto base = parse_file_name(name, kind);
      if (!base || std::binary_search(bases.begin(), bases.end(), *base)) continue;
      log_.logger_.warning("{}: {} has no log, it is deleted", log_.options_.partition, name);
      Result<void> removed = co_await remove_file(name);
      KLAMM_CO_TRY(removed);
    }
  }
  // After a crash those from the recovery point on are checked from the first to the last, see recover_unflushed().
  auto first_unflushed = bases.end();
  if (!log_.options_.clean_shutdown) {
    first_unflushed = std::upper_bound(bases.begin(), bases.end(), log_.options_.recovery_point);
    if (first_unflushed != bases.begin()) --first_unflushed;
  }
  for (std::size_t i = 0; i < bases.size(); ++i) {
    const std::int64_t base = bases[i];
    auto segment = log_.make_segment(base);
    const bool checked_later = first_unflushed != bases.end() && base >= *first_unflushed;
    Result<void> loaded = co_await segment->load(found_, !checked_later);
    if (!loaded && !(loaded.error() == Errc::corrupt)) co_return loaded;
    log_.segments_.emplace(base, segment);
    if (!loaded && !checked_later) {
      log_.logger_.warning("{}: {}; rebuilding the indexes", log_.options_.partition, loaded.error().message());
      std::int64_t next_offset = base;
      bool cut = false;
      Result<void> recovered = co_await recover_segment(segment, next_offset, cut);
      KLAMM_CO_TRY(recovered);
      recovered = co_await make_durable(segment);
      KLAMM_CO_TRY(recovered);
    } else if (!checked_later && i + 1 < bases.size()) {
      Result<bool> too_far = co_await overflows(segment, bases[i + 1]);
      KLAMM_CO_TRY(too_far);
      if (*too_far) co_return needs_split(segment);
    }
    segment->release();
  }
  co_return Result<void>();
}

// Checks every batch of a segment, rebuilds its indexes, takes in its epochs and producers.
io::Task<Result<void>> LogLoader::recover_segment(Log::SegmentRef segment, std::int64_t& next_offset, bool& cut) {
  recovered_ = true;
  const bool goes_on = to_the_end_ && log_.producers_.end_offset() == segment->base_offset();
  if (!goes_on || segment == log_.segments_.begin()->second) {
    Result<void> rebuilt = co_await log_.rebuild_producers(segment->base_offset(), false);
    KLAMM_CO_TRY(rebuilt);
  }
  const Segment::Accept accept = [&](const BatchSummary& batch, const Slice& bytes) -> Result<void> {
    if (batch.has_producer()) {
      std::optional<EndTransaction> marker;
      if (batch.is_control()) {
        Result<std::optional<EndTransaction>> read = read_end_transaction(bytes);
        KLAMM_TRY(read);
        marker = *read;
      }
      ProducerState::Update update;
      Result<void> added = log_.producers_.add(update, batch, marker, AppendOrigin::replication);
      KLAMM_TRY(added);
      for (const AbortedTransaction& aborted : log_.producers_.commit(std::move(update), batch.last_offset + 1)) {
        segment->txn_index().append(aborted);
      }
    }
    take_epoch(batch);
    return {};
  };
  Result<Segment::Recovered> recovered =
      co_await segment->recover(found_, log_.options_.config.index_interval_bytes, accept);
  KLAMM_CO_TRY(recovered);
  if (recovered->overflow) co_return needs_split(segment);
  next_offset = recovered->next_offset;
  log_.producers_.set_end_offset(next_offset);
  cut = recovered->cut_bytes > 0;
  if (cut) {
    must_sync_ = true;
    log_.logger_.warning("{}: {} cut off behind offset {} ({} bytes: {})", log_.options_.partition, segment->log_path(),
                         next_offset - 1, recovered->cut_bytes, recovered->why);
  }
  co_return Result<void>();
}

// Ends this load_once(): load() splits the segment and begins again.
Result<void> LogLoader::needs_split(Log::SegmentRef segment) {
  overflowed_ = std::move(segment);
  return fail(Errc::too_large, overflowed_->log_path());
}

void LogLoader::take_epoch(const BatchSummary& batch) {
  if (batch.leader_epoch < 0) return;
  const std::optional<std::int32_t> latest = log_.epochs_.latest();
  const bool is_new = !latest || batch.leader_epoch > *latest;
  // The file may hold an epoch that began here, without records, before others took the place: the records know better.
  const bool is_old = to_the_end_ && log_.epochs_.epoch_at(batch.base_offset).value_or(-1) > batch.leader_epoch;
  if (is_new || is_old) log_.epochs_.assign(batch.leader_epoch, batch.base_offset);
}

// A recovered segment, with its indexes.
io::Task<Result<void>> LogLoader::make_durable(Log::SegmentRef segment) {
  Result<void> step = co_await segment->finish();
  KLAMM_CO_TRY(step);
  step = co_await segment->sync(true);
  co_return step;
}

io::Task<Result<void>> LogLoader::drop_segments_from(std::int64_t base_offset) {
  std::vector<Log::SegmentRef> doomed;
  for (auto at = log_.segments_.lower_bound(base_offset); at != log_.segments_.end(); ++at)
    doomed.push_back(at->second);
  // The newest first: a crash on the way leaves no hole.
  std::reverse(doomed.begin(), doomed.end());
  for (const Log::SegmentRef& segment : doomed) {
    log_.logger_.warning("{}: {} lies behind the cut, it is deleted", log_.options_.partition, segment->log_path());
    log_.segments_.erase(segment->base_offset());
    Result<void> removed = co_await segment->remove();
    KLAMM_CO_TRY(removed);
    Result<void> snapshot = co_await log_.remove_snapshot(segment->base_offset());
    KLAMM_CO_TRY(snapshot);
  }
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::drop_snapshots_above(std::int64_t offset) {
  const std::vector<std::int64_t> all = log_.snapshots_;
  for (const std::int64_t snapshot : all) {
    if (snapshot <= offset) continue;
    must_sync_ = true;
    Result<void> removed = co_await log_.remove_snapshot(snapshot);
    KLAMM_CO_TRY(removed);
  }
  co_return Result<void>();
}

// A power loss may take the end of a segment and leave the next one. Only where batches may be missing by right
// (compaction, or a follower of a compacted log) is a step in the offsets no sign of that.
bool LogLoader::is_hole(std::int64_t end, std::int64_t next_base) const {
  if (next_base <= end) return false;
  return !log_.options_.config.cleanup_compact && next_base > log_.options_.first_dirty_offset.value_or(0);
}

// Segments that were deleted from the front, of which some are back with their names: the epochs, which are saved
// before a deletion, begin behind the hole that the others have left.
bool LogLoader::is_deleted_front(std::int64_t end, std::int64_t next_base) const {
  return next_base > end && !log_.epochs_.empty() && next_base <= log_.epochs_.entries().front().start_offset;
}

// They must not come into the producers' state: how a transaction in them ended may be in one that is not back.
io::Task<Result<void>> LogLoader::drop_segments_before(std::int64_t base_offset) {
  while (log_.segments_.begin()->first < base_offset) {
    const Log::SegmentRef segment = log_.segments_.begin()->second;
    log_.logger_.info("{}: {} was deleted, it goes again", log_.options_.partition, segment->log_path());
    log_.segments_.erase(log_.segments_.begin());
    std::erase(log_.finished_, segment);
    Result<void> removed = co_await segment->remove();
    KLAMM_CO_TRY(removed);
    removed = co_await log_.remove_snapshot(segment->base_offset());
    KLAMM_CO_TRY(removed);
  }
  must_sync_ = true;
  co_return Result<void>();
}

// After a crash: everything from the segment that holds the recovery point on. Nothing is synced as long as nothing was
// cut off: the recovery point stays where it is, and moves with the next flush.
io::Task<Result<void>> LogLoader::recover_unflushed() {
  auto at = log_.segments_.upper_bound(log_.options_.recovery_point);
  if (at != log_.segments_.begin()) --at;
  std::vector<Log::SegmentRef> unflushed;
  for (; at != log_.segments_.end(); ++at) unflushed.push_back(at->second);
  to_the_end_ = true;
  for (std::size_t i = 0; i < unflushed.size(); ++i) {
    std::int64_t next_offset = 0;
    bool cut = false;
    Result<void> recovered = co_await recover_segment(unflushed[i], next_offset, cut);
    KLAMM_CO_TRY(recovered);
    const bool is_last = i + 1 == unflushed.size();
    // Compaction may have left nothing in a segment, which tells of no transaction then.
    const bool empty_by_right = log_.options_.config.cleanup_compact && next_offset == unflushed[i]->base_offset();
    if (!cut && !is_last && !empty_by_right && is_deleted_front(next_offset, unflushed[i + 1]->base_offset())) {
      recovered = co_await drop_segments_before(unflushed[i + 1]->base_offset());
      KLAMM_CO_TRY(recovered);
      continue;
    }
    const bool hole = !cut && !is_last && is_hole(next_offset, unflushed[i + 1]->base_offset());
    if (hole) {
      log_.logger_.warning("{}: nothing is there between {} and {}: the end of a segment was lost",
                           log_.options_.partition, next_offset, unflushed[i + 1]->base_offset());
    }
    if ((cut || hole) && !is_last) {
      // Durably before this one is cut: without its torn end it may look like a whole one, of which others follow.
      recovered = co_await drop_segments_from(unflushed[i + 1]->base_offset());
      if (recovered) recovered = co_await log_.shard_.files().sync_directory(log_.options_.directory);
      KLAMM_CO_TRY(recovered);
    }
    if (cut) {
      recovered = co_await make_durable(unflushed[i]);
    } else if (!is_last && !hole) {
      recovered = co_await unflushed[i]->finish();
    }
    KLAMM_CO_TRY(recovered);
    unflushed[i]->release();
    if (cut || hole || is_last) break;
    if (next_offset < unflushed[i + 1]->base_offset()) {
      // Perhaps compaction's doing, perhaps something was lost: what the producers did there is not told by snapshots.
      recovered = co_await drop_snapshots_above(next_offset);
      KLAMM_CO_TRY(recovered);
      log_.producers_.set_end_offset(unflushed[i + 1]->base_offset());
    }
    log_.finished_.push_back(unflushed[i]);
  }
  to_the_end_ = false;
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::start_empty(std::int64_t offset) {
  auto segment = log_.make_segment(offset);
  const config::LogConfig& config = log_.options_.config;
  Result<void> created = co_await segment->create(config.preallocate ? config.segment_bytes : 0, log_.shard_.wall_ms());
  KLAMM_CO_TRY(created);
  log_.segments_.emplace(offset, segment);
  // Before anything is appended: if this segment's name were lost and a later one's were not, the log would seem to
  // begin there.
  must_sync_ = true;
  if (!log_.options_.name_is_durable) log_.parent_dirty_ = true;
  co_return Result<void>();
}

// The log's end, its offsets, epochs and producers.
io::Task<Result<void>> LogLoader::load_active() {
  if (log_.segments_.empty()) {
    Result<void> started = co_await start_empty(log_.log_start_offset_);
    KLAMM_CO_TRY(started);
  }
  log_.active_ = log_.segments_.rbegin()->second;
  Result<std::int64_t> end = co_await log_.active_->load_end(found_);
  if (!end && end.error() == Errc::corrupt) {
    log_.logger_.warning("{}: {}; checking the segment", log_.options_.partition, end.error().message());
    std::int64_t next_offset = 0;
    bool cut = false;
    Result<void> recovered = co_await recover_segment(log_.active_, next_offset, cut);
    KLAMM_CO_TRY(recovered);
    recovered = co_await make_durable(log_.active_);
    KLAMM_CO_TRY(recovered);
    end = next_offset;
  }
  KLAMM_CO_TRY(end);
  if (!Segment::fits(log_.active_->base_offset(), *end - 1)) co_return needs_split(log_.active_);
  if (*end < log_.log_start_offset_) {
    log_.logger_.warning("{}: the log ends at {}, before its start {}: it is emptied", log_.options_.partition, *end,
                         log_.log_start_offset_);
    Result<void> dropped = co_await drop_segments_from(0);
    KLAMM_CO_TRY(dropped);
    // What producers did before has been deleted with it.
    dropped = co_await drop_snapshots_above(-1);
    KLAMM_CO_TRY(dropped);
    Result<void> started = co_await start_empty(log_.log_start_offset_);
    KLAMM_CO_TRY(started);
    log_.active_ = log_.segments_.rbegin()->second;
    end = log_.log_start_offset_;
  }
  log_.log_end_offset_ = *end;
  log_.log_start_offset_ = std::max(log_.log_start_offset_, log_.segments_.begin()->first);
  // After a clean stop all was synced.
  log_.flushed_offset_ = log_.options_.clean_shutdown ? *end : std::min(log_.options_.recovery_point, *end);
  log_.high_watermark_ = std::clamp(log_.options_.high_watermark, log_.log_start_offset_, *end);
  log_.epochs_.truncate_from_end(*end);
  log_.epochs_.truncate_from_start(log_.log_start_offset_);
  Result<void> tidied = co_await tidy_snapshots();
  KLAMM_CO_TRY(tidied);
  // Recovery that read up to the end knows each producer's last batches; a snapshot has only the very last, and a retry
  // of the ones before would not be recognized.
  const bool known = recovered_ && !log_.options_.clean_shutdown && log_.producers_.end_offset() == *end;
  if (!known) {
    const bool clean_without_snapshot = log_.options_.clean_shutdown && log_.snapshots_.empty();
    Result<void> rebuilt = co_await log_.rebuild_producers(*end, clean_without_snapshot, &found_);
    KLAMM_CO_TRY(rebuilt);
  }
  log_.producers_.high_watermark_moved(log_.high_watermark_);
  co_return Result<void>();
}

// Keeps the snapshots at segment starts and the newest one above them; those beyond the log's end go, and those that a
// loss of power tore: nobody syncs them.
io::Task<Result<void>> LogLoader::tidy_snapshots() {
  const std::vector<std::int64_t> all = log_.snapshots_;
  std::int64_t newest = -1;
  for (const std::int64_t offset : all) {
    if (offset <= log_.log_end_offset_) newest = offset;
  }
  for (const std::int64_t offset : all) {
    const bool at_segment = log_.segments_.contains(offset);
    const bool newest_above = offset == newest && offset > log_.segments_.rbegin()->first;
    if (offset <= log_.log_end_offset_ && (at_segment || newest_above)) {
      Result<bool> torn = co_await is_torn(offset);
      KLAMM_CO_TRY(torn);
      if (!*torn) continue;
      log_.logger_.info("{}: removing {}, which is torn", log_.options_.partition, log_.snapshot_path(offset));
    }
    Result<void> removed = co_await log_.remove_snapshot(offset);
    KLAMM_CO_TRY(removed);
  }
  co_return Result<void>();
}

// After a clean stop only what the survey has read is looked at, empty files among that: the power failed after it.
io::Task<Result<bool>> LogLoader::is_torn(std::int64_t snapshot) const {
  const io::SurveyedFile* seen = found_.find(file_name(snapshot, suffix::kProducerSnapshot));
  if (log_.options_.clean_shutdown && (seen == nullptr || !seen->is_whole())) co_return false;
  Result<Slice> content = co_await log_.read_snapshot(snapshot, &found_);
  KLAMM_CO_TRY(content);
  co_return !ProducerState::snapshot_entries(content->bytes()).has_value();
}

}  // namespace klamm::storage
