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
  Result<void> removed = co_await log_.shard_.files().remove(path(name));
  if (!removed && removed.error() == Errc::not_found) co_return Result<void>();
  co_return removed;
}

io::Task<Result<void>> LogLoader::list_files() {
  io::FileSystem& files = log_.shard_.files();
  Result<std::vector<std::string>> names = co_await files.list(log_.options_.directory);
  if (!names && names.error() == Errc::not_found) {
    Result<void> made = co_await files.make_directories(log_.options_.directory);
    KLAMM_CO_TRY(made);
    log_.parent_dirty_ = log_.directory_dirty_ = true;
    co_return Result<void>();
  }
  KLAMM_CO_TRY(names);
  names_ = *std::move(names);
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::check_topic_id() {
  LogOptions& options = log_.options_;
  Result<std::optional<Uuid>> known = co_await load_partition_metadata(log_.shard_.files(), options.directory);
  KLAMM_CO_TRY(known);
  if (known->has_value()) {
    if (!options.topic_id.is_zero() && options.topic_id != **known) {
      co_return fail(protocol::kafka_error(
          protocol::ErrorCode::inconsistent_topic_id,
          fmt::format("it belongs to topic id {}, not {}", (*known)->text(), options.topic_id.text())));
    }
    options.topic_id = **known;
    co_return Result<void>();
  }
  if (options.topic_id.is_zero()) co_return Result<void>();
  Result<void> saved = co_await save_partition_metadata(log_.shard_.files(), options.directory, options.topic_id);
  co_return saved;
}

namespace {

bool is_segment_file(std::string_view name) {
  for (std::string_view kind : {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTxnIndex}) {
    if (parse_file_name(name, kind)) return true;
  }
  return false;
}

std::string_view without(std::string_view name, std::string_view suffix) {
  return name.substr(0, name.size() - suffix.size());
}

}  // namespace

// What compaction left behind. `.cleaned`: not finished, goes; with it those `.swap` files that belong to the same
// unfinished split. Other `.swap` files are whole: they replace the segments whose offsets they cover.
io::Task<Result<void>> LogLoader::finish_swaps() {
  const std::vector<std::string> all = names_;
  std::int64_t least_cleaned = std::numeric_limits<std::int64_t>::max();
  for (const std::string& name : all) {
    const bool is_snapshot = name.find(".checkpoint") != std::string::npos;  // the metadata log's: raft's business
    if (name.ends_with(suffix::kDeleted) && !is_snapshot) {
      Result<void> removed = co_await remove_file(name);
      KLAMM_CO_TRY(removed);
    } else if (name.ends_with(suffix::kCleaned)) {
      if (const auto base = parse_file_name(without(name, suffix::kCleaned), suffix::kLog)) {
        least_cleaned = std::min(least_cleaned, *base);
      }
      Result<void> removed = co_await remove_file(name);
      KLAMM_CO_TRY(removed);
    }
  }
  std::vector<std::string> swaps;
  for (const std::string& name : all) {
    if (!name.ends_with(suffix::kSwap)) continue;
    const std::size_t dot = name.find('.');
    const auto base = parse_file_name(name.substr(0, dot), "");
    if (base && *base >= least_cleaned) {
      Result<void> removed = co_await remove_file(name);
      KLAMM_CO_TRY(removed);
    } else if (base) {
      swaps.push_back(name);
    }
  }
  std::int64_t least_swap = std::numeric_limits<std::int64_t>::max();
  std::int64_t swap_end = -1;
  for (const std::string& name : swaps) {
    const auto base = parse_file_name(without(name, suffix::kSwap), suffix::kLog);
    if (!base) continue;
    Result<std::shared_ptr<io::File>> file = co_await log_.shard_.files().open(path(name), io::OpenMode::read);
    KLAMM_CO_TRY(file);
    Result<std::uint64_t> size = co_await (*file)->size();
    KLAMM_CO_TRY(size);
    BatchScanner scanner(*file, 0, static_cast<std::int64_t>(*size), BatchScanner::kHeaders);
    std::int64_t end = *base;
    for (;;) {
      Result<bool> more = co_await scanner.next();
      KLAMM_CO_TRY(more);
      if (!*more) break;
      end = scanner.batch().last_offset + 1;
    }
    least_swap = std::min(least_swap, *base);
    swap_end = std::max(swap_end, end);
  }
  for (const std::string& name : all) {
    if (!is_segment_file(name)) continue;
    const auto base = parse_file_name(name.substr(0, name.find('.')), "");
    if (!base || *base < least_swap || *base >= swap_end) continue;
    log_.logger_.info("{}: {} is replaced by a compacted segment", log_.options_.partition, name);
    Result<void> removed = co_await remove_file(name);
    KLAMM_CO_TRY(removed);
  }
  for (const std::string& name : swaps) {
    const std::string final_name(without(name, suffix::kSwap));
    Result<void> renamed = co_await log_.shard_.files().rename(path(name), path(final_name));
    KLAMM_CO_TRY(renamed);
    std::erase(names_, name);
    names_.push_back(final_name);
    log_.directory_dirty_ = true;
  }
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::load() {
  const LogOptions& options = log_.options_;
  log_.log_start_offset_ = options.log_start_offset;
  Result<void> step = co_await list_files();
  KLAMM_CO_TRY(step);
  step = co_await check_topic_id();
  KLAMM_CO_TRY(step);
  step = co_await finish_swaps();
  KLAMM_CO_TRY(step);
  Result<std::vector<EpochEntry>> epochs = co_await load_epoch_checkpoint(log_.shard_.files(), path(kLeaderEpochFile));
  if (epochs) {
    log_.epochs_ = LeaderEpochs(*std::move(epochs));
  } else if (epochs.error() == Errc::malformed) {
    log_.logger_.warning("{}: {}; epochs are learned from the records", options.partition, epochs.error().message());
    log_.epochs_dirty_ = true;
  } else {
    co_return fail(std::move(epochs).error());
  }
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
  if (log_.epochs_dirty_) {
    step = co_await log_.save_epochs();
    KLAMM_CO_TRY(step);
  }
  if (recovered_) {
    // After a killed process the files are there, but maybe their names are not on the disk yet.
    step = co_await log_.shard_.files().sync_directory(options.directory);
    KLAMM_CO_TRY(step);
    log_.directory_dirty_ = false;
    log_.parent_dirty_ = true;
  }
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
  for (const std::int64_t base : bases) {
    auto segment = std::make_shared<Segment>(log_.shard_.files(), log_.options_.directory, base);
    Result<void> loaded = co_await segment->load();
    if (!loaded && !(loaded.error() == Errc::corrupt)) co_return loaded;
    log_.segments_.emplace(base, segment);
    const bool checked_later = first_unflushed != bases.end() && base >= *first_unflushed;
    if (!loaded && !checked_later) {
      log_.logger_.warning("{}: {}; rebuilding the indexes", log_.options_.partition, loaded.error().message());
      std::int64_t next_offset = base;
      bool cut = false;
      Result<void> recovered = co_await recover_segment(segment, next_offset, cut);
      KLAMM_CO_TRY(recovered);
    }
    segment->release();
  }
  co_return Result<void>();
}

// Checks every batch of a segment, rebuilds its indexes, takes in its epochs and producers.
io::Task<Result<void>> LogLoader::recover_segment(Log::SegmentRef segment, std::int64_t& next_offset, bool& cut) {
  recovered_ = true;
  if (log_.producers_.end_offset() != segment->base_offset() || segment == log_.segments_.begin()->second) {
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
    const std::optional<std::int32_t> latest = log_.epochs_.latest();
    if (batch.leader_epoch >= 0 && (!latest || batch.leader_epoch > *latest) &&
        log_.epochs_.assign(batch.leader_epoch, batch.base_offset)) {
      log_.epochs_dirty_ = true;
    }
    return {};
  };
  Result<Segment::Recovered> recovered = co_await segment->recover(log_.options_.config.index_interval_bytes, accept);
  KLAMM_CO_TRY(recovered);
  next_offset = recovered->next_offset;
  log_.producers_.set_end_offset(next_offset);
  cut = recovered->cut_bytes > 0;
  if (cut) {
    log_.logger_.warning("{}: {} cut off behind offset {} ({} bytes: {})", log_.options_.partition, segment->log_path(),
                         next_offset - 1, recovered->cut_bytes, recovered->why);
  }
  co_return Result<void>();
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

// A power loss may take the end of a segment and leave the next one. Only where batches may be missing by right
// (compaction, or a follower of a compacted log) is a step in the offsets no sign of that.
bool LogLoader::is_hole(std::int64_t end, std::int64_t next_base) const {
  if (next_base <= end) return false;
  return !log_.options_.config.cleanup_compact && next_base > log_.options_.first_dirty_offset;
}

// After a crash: everything from the segment that holds the recovery point on.
io::Task<Result<void>> LogLoader::recover_unflushed() {
  auto at = log_.segments_.upper_bound(log_.options_.recovery_point);
  if (at != log_.segments_.begin()) --at;
  std::vector<Log::SegmentRef> unflushed;
  for (; at != log_.segments_.end(); ++at) unflushed.push_back(at->second);
  for (std::size_t i = 0; i < unflushed.size(); ++i) {
    std::int64_t next_offset = 0;
    bool cut = false;
    Result<void> recovered = co_await recover_segment(unflushed[i], next_offset, cut);
    KLAMM_CO_TRY(recovered);
    unflushed[i]->release();
    if (i + 1 == unflushed.size()) break;
    if (!cut && is_hole(next_offset, unflushed[i + 1]->base_offset())) {
      log_.logger_.warning("{}: nothing is there between {} and {}: the end of a segment was lost",
                           log_.options_.partition, next_offset, unflushed[i + 1]->base_offset());
      cut = true;
    }
    if (cut) {
      Result<void> dropped = co_await drop_segments_from(unflushed[i + 1]->base_offset());
      KLAMM_CO_TRY(dropped);
      break;
    }
  }
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::start_empty(std::int64_t offset) {
  auto segment = std::make_shared<Segment>(log_.shard_.files(), log_.options_.directory, offset);
  const config::LogConfig& config = log_.options_.config;
  Result<void> created = co_await segment->create(config.preallocate ? config.segment_bytes : 0, log_.shard_.wall_ms());
  KLAMM_CO_TRY(created);
  log_.segments_.emplace(offset, segment);
  log_.directory_dirty_ = true;
  co_return Result<void>();
}

// The log's end, its offsets, epochs and producers.
io::Task<Result<void>> LogLoader::load_active() {
  if (log_.segments_.empty()) {
    Result<void> started = co_await start_empty(log_.log_start_offset_);
    KLAMM_CO_TRY(started);
  }
  log_.active_ = log_.segments_.rbegin()->second;
  Result<std::int64_t> end = co_await log_.active_->load_end();
  if (!end && end.error() == Errc::corrupt) {
    log_.logger_.warning("{}: {}; checking the segment", log_.options_.partition, end.error().message());
    std::int64_t next_offset = 0;
    bool cut = false;
    Result<void> recovered = co_await recover_segment(log_.active_, next_offset, cut);
    KLAMM_CO_TRY(recovered);
    end = next_offset;
  }
  KLAMM_CO_TRY(end);
  if (*end < log_.log_start_offset_) {
    log_.logger_.warning("{}: the log ends at {}, before its start {}: it is emptied", log_.options_.partition, *end,
                         log_.log_start_offset_);
    Result<void> dropped = co_await drop_segments_from(0);
    KLAMM_CO_TRY(dropped);
    Result<void> started = co_await start_empty(log_.log_start_offset_);
    KLAMM_CO_TRY(started);
    log_.active_ = log_.segments_.rbegin()->second;
    end = log_.log_start_offset_;
  }
  log_.log_end_offset_ = *end;
  log_.log_start_offset_ = std::max(log_.log_start_offset_, log_.segments_.begin()->first);
  // What recovery has read it has synced; after a clean stop all was synced.
  const bool all_flushed = log_.options_.clean_shutdown || recovered_;
  log_.flushed_offset_ = all_flushed ? *end : std::min(log_.options_.recovery_point, *end);
  log_.high_watermark_ = std::clamp(log_.options_.high_watermark, log_.log_start_offset_, *end);
  if (log_.epochs_.truncate_from_end(*end)) log_.epochs_dirty_ = true;
  if (log_.epochs_.truncate_from_start(log_.log_start_offset_)) log_.epochs_dirty_ = true;
  Result<void> tidied = co_await tidy_snapshots();
  KLAMM_CO_TRY(tidied);
  // Recovery that read up to the end knows each producer's last batches; a snapshot has only the very last, and a retry
  // of the ones before would not be recognized.
  const bool known = recovered_ && !log_.options_.clean_shutdown && log_.producers_.end_offset() == *end;
  if (!known) {
    const bool clean_without_snapshot = log_.options_.clean_shutdown && log_.snapshots_.empty();
    Result<void> rebuilt = co_await log_.rebuild_producers(*end, clean_without_snapshot);
    KLAMM_CO_TRY(rebuilt);
  }
  log_.producers_.high_watermark_moved(log_.high_watermark_);
  if (recovered_) {
    Result<void> snapshot = co_await log_.take_producer_snapshot(true);
    KLAMM_CO_TRY(snapshot);
  }
  co_return Result<void>();
}

// Keeps the snapshots at segment starts and the newest one above them; those beyond the log's end go.
io::Task<Result<void>> LogLoader::tidy_snapshots() {
  const std::vector<std::int64_t> all = log_.snapshots_;
  std::int64_t newest = -1;
  for (const std::int64_t offset : all) {
    if (offset <= log_.log_end_offset_) newest = offset;
  }
  for (const std::int64_t offset : all) {
    const bool at_segment = log_.segments_.contains(offset);
    const bool newest_above = offset == newest && offset > log_.segments_.rbegin()->first;
    if (offset <= log_.log_end_offset_ && (at_segment || newest_above)) continue;
    Result<void> removed = co_await log_.remove_snapshot(offset);
    KLAMM_CO_TRY(removed);
  }
  co_return Result<void>();
}

}  // namespace klamm::storage
