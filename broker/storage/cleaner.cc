#include "broker/storage/cleaner.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "broker/storage/names.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

using SegmentRef = std::shared_ptr<Segment>;

// What is written is synced now and then, so that it does not fill the room for what producers write.
constexpr std::int64_t kSyncEveryBytes = 16 << 20;

class Cleaning {
 public:
  Cleaning(Log& log, CleaningPermit& permit, Cleanable range, CleaningOptions options)
      : log_(log),
        permit_(permit),
        range_(range),
        options_(std::move(options)),
        map_(std::in_place, options_.map_bytes, options_.load_factor,
             static_cast<std::uint64_t>(range.end - range.first_dirty),
             HashKey{log.shard().random().next(), log.shard().random().next()}) {}

  io::Task<Result<CleaningReport>> run();
  // To give many MiB back to the system takes milliseconds: not on the shard.
  io::Task<void> release_map() {
    co_await log_.shard().files().run_aside([this] { map_.reset(); });
  }

 private:
  io::Task<Result<void>> index();
  io::Task<Result<bool>> index_segment(SegmentRef segment, std::int64_t end);
  io::Task<Result<void>> clean_groups(std::int64_t end_offset);
  io::Task<Result<void>> clean_group(std::vector<SegmentRef> group, std::int64_t next_base);
  io::Task<Result<void>> fill(Segment& cleaned, const std::vector<SegmentRef>& group, std::int64_t next_base);
  io::Task<Result<void>> clean_into(Segment& cleaned, SegmentRef segment);
  io::Task<Result<Slice>> read_chunk(SegmentRef segment, std::int64_t position);
  io::Task<Result<void>> throttle(std::int64_t bytes);
  Result<void> check() const {
    if (permit_.aborted) return fail(Errc::cancelled, permit_.why);
    return {};
  }
  void learn_producers();
  CompactionState state() { return {*map_, transactions_, codecs_, counts_}; }

  Log& log_;
  CleaningPermit& permit_;
  Cleanable range_;
  CleaningOptions options_;
  std::optional<OffsetMap> map_;
  CleanedTransactions transactions_;
  compress::Codecs codecs_;
  CompactionCounts counts_;
  CompactionRules rules_;
  TimestampMs legacy_horizon_ms_ = 0;
  std::int64_t unsynced_bytes_ = 0;
};

io::Task<Result<CleaningReport>> Cleaning::run() {
  io::Shard& shard = log_.shard();
  const Instant begin = shard.now();
  CleaningReport report;
  report.first_dirty = range_.first_dirty;
  rules_.now_ms = shard.wall_ms();
  rules_.delete_retention_ms = log_.config().delete_retention_ms;
  rules_.round_end = range_.end;
  // What is replaced must be durable, or the recovery point would have to look into the middle of the new segment.
  Result<void> step = co_await log_.flushed(range_.end);
  KLAMM_CO_TRY(step);
  const std::vector<SegmentRef> clean = log_.segments_between(0, range_.first_dirty);
  if (!clean.empty()) {
    Result<TimestampMs> modified = co_await clean.back()->modified_ms();
    KLAMM_CO_TRY(modified);
    legacy_horizon_ms_ = *modified - rules_.delete_retention_ms;
  }
  step = co_await index();
  KLAMM_CO_TRY(step);
  report.end = map_->latest_offset() + 1;
  report.indexing = shard.now() - begin;
  transactions_ = CleanedTransactions();
  step = co_await clean_groups(report.end);
  KLAMM_CO_TRY(step);
  report.counts = counts_;
  report.map_load = static_cast<double>(map_->size()) / static_cast<double>(map_->most_entries());
  report.total = shard.now() - begin;
  co_return report;
}

// ---- Reading

// Whole batches from the position on: as many as the buffer takes, at least one.
io::Task<Result<Slice>> Cleaning::read_chunk(SegmentRef segment, std::int64_t position) {
  Result<void> going_on = check();
  KLAMM_CO_TRY(going_on);
  Result<std::shared_ptr<io::File>> opened = co_await segment->file();
  KLAMM_CO_TRY(opened);
  const std::shared_ptr<io::File> file = *std::move(opened);
  const std::int64_t left = segment->size_bytes() - position;
  std::int64_t wanted = std::min(left, static_cast<std::int64_t>(options_.io_buffer_bytes));
  for (;;) {
    Buffer::Ref buffer = Buffer::allocate(static_cast<std::size_t>(wanted));
    const MutableBytes into(buffer->data(), static_cast<std::size_t>(wanted));
    Result<std::size_t> got = co_await file->read(static_cast<std::uint64_t>(position), into);
    KLAMM_CO_TRY(got);
    const Slice bytes(std::move(buffer), *got);
    std::size_t whole = 0;
    record::EntryHead head = record::peek_entry(bytes);
    while (head.status == record::EntryStatus::whole) {
      whole += head.size_bytes;
      head = record::peek_entry(bytes.bytes().subspan(whole));
    }
    if (whole > 0) co_return bytes.part(0, whole);
    // A batch larger than the buffer, or none.
    const auto size = std::max<std::int64_t>(static_cast<std::int64_t>(head.size_bytes),
                                             static_cast<std::int64_t>(record::kEntryHeadSize));
    if (head.status == record::EntryStatus::malformed || size <= wanted || size > left) {
      co_return fail(Errc::corrupt, fmt::format("{}: no batch at position {}", segment->log_path(), position));
    }
    wanted = size;
  }
}

io::Task<Result<void>> Cleaning::throttle(std::int64_t bytes) {
  if (!options_.throttle) co_return Result<void>();
  constexpr Duration kAskAgain = 1s;  // the rate may be another by then
  io::Shard& shard = log_.shard();
  Instant when = co_await options_.throttle(bytes);
  while (!permit_.aborted && shard.now() < when) {
    co_await permit_.changed.wait_until(std::min(when, shard.now() + kAskAgain));
    if (shard.now() < when) when = co_await options_.throttle(0);
  }
  co_return check();
}

// ---- The map

io::Task<Result<void>> Cleaning::index() {
  const std::vector<SegmentRef> dirty = log_.segments_between(range_.first_dirty, range_.end);
  Result<std::vector<AbortedTransaction>> aborted = co_await log_.aborted_between(range_.first_dirty, range_.end);
  KLAMM_CO_TRY(aborted);
  transactions_.add_aborted(*aborted);
  for (std::size_t i = 0; i < dirty.size(); ++i) {
    const std::int64_t end = i + 1 < dirty.size() ? dirty[i + 1]->base_offset() : range_.end;
    Result<bool> full = co_await index_segment(dirty[i], end);
    KLAMM_CO_TRY(full);
    if (*full) break;
  }
  co_return Result<void>();
}

// True if the map is full.
io::Task<Result<bool>> Cleaning::index_segment(SegmentRef segment, std::int64_t end) {
  Result<std::int64_t> from = co_await segment->offset_index().position_before(range_.first_dirty);
  KLAMM_CO_TRY(from);
  std::int64_t position = *from;
  while (position < segment->size_bytes()) {
    Result<Slice> chunk = co_await read_chunk(segment, position);
    KLAMM_CO_TRY(chunk);
    Result<bool> full = false;
    co_await log_.shard().files().run_aside(
        [this, &chunk, &full] { full = index_chunk(*chunk, range_.first_dirty, state()); });
    KLAMM_CO_TRY(full);
    if (*full) co_return true;
    position += static_cast<std::int64_t>(chunk->size());
    Result<void> throttled = co_await throttle(static_cast<std::int64_t>(chunk->size()));
    KLAMM_CO_TRY(throttled);
  }
  map_->set_latest_offset(end - 1);  // there may be a gap before the next segment
  co_return false;
}

// ---- Cleaning

io::Task<Result<void>> Cleaning::clean_groups(std::int64_t end_offset) {
  const config::LogConfig& config = log_.config();
  const std::vector<std::vector<SegmentRef>> groups = group_segments(
      log_.segments_between(0, end_offset), config.segment_bytes, config.segment_index_bytes, range_.end);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::int64_t next_base = i + 1 < groups.size() ? groups[i + 1].front()->base_offset() : range_.end;
    Result<void> cleaned = co_await clean_group(groups[i], next_base);
    KLAMM_CO_TRY(cleaned);
  }
  co_return Result<void>();
}

void Cleaning::learn_producers() {
  rules_.producers.clear();
  for (const auto& [producer_id, entry] : log_.producers().entries()) {
    LastOfProducer last;
    last.epoch = entry.epoch;
    if (entry.last_offset() >= 0) last.data_offset = entry.last_offset();
    rules_.producers.emplace(producer_id, last);
  }
}

io::Task<Result<void>> Cleaning::clean_group(std::vector<SegmentRef> group, std::int64_t next_base) {
  io::Shard& shard = log_.shard();
  const SegmentRef cleaned = std::make_shared<Segment>(shard.files(), log_.directory(), group.front()->base_offset(),
                                                       std::string_view(suffix::kCleaned), log_.open_files());
  Result<void> step = co_await cleaned->discard();  // of a cleaning that failed
  if (step) step = co_await cleaned->create(0, shard.wall_ms());
  if (step) step = co_await fill(*cleaned, group, next_base);
  if (step) step = co_await log_.replace_segments(permit_, cleaned, group);
  if (step) co_return step;
  // If it is not in the log, nobody knows it.
  if (log_.failed()) co_return step;
  [[maybe_unused]] Result<void> ignored = co_await cleaned->discard();
  co_return step;
}

io::Task<Result<void>> Cleaning::fill(Segment& cleaned, const std::vector<SegmentRef>& group, std::int64_t next_base) {
  learn_producers();
  TimestampMs modified_ms = 0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const std::int64_t end = i + 1 < group.size() ? group[i + 1]->base_offset() : next_base;
    Result<std::vector<AbortedTransaction>> aborted = co_await log_.aborted_between(group[i]->base_offset(), end);
    KLAMM_CO_TRY(aborted);
    transactions_.add_aborted(*aborted);
    Result<TimestampMs> modified = co_await group[i]->modified_ms();
    KLAMM_CO_TRY(modified);
    modified_ms = *modified;
    rules_.keep_legacy_tombstones = modified_ms > legacy_horizon_ms_;
    Result<void> done = co_await clean_into(cleaned, group[i]);
    KLAMM_CO_TRY(done);
  }
  Result<void> step = co_await cleaned.finish();
  KLAMM_CO_TRY(step);
  // Retention of a segment without timestamps goes by the time of its last change.
  step = co_await cleaned.set_modified(modified_ms);
  KLAMM_CO_TRY(step);
  step = co_await cleaned.sync(true);
  co_return step;
}

io::Task<Result<void>> Cleaning::clean_into(Segment& cleaned, SegmentRef segment) {
  const std::int32_t interval = log_.config().index_interval_bytes;
  std::int64_t position = 0;
  while (position < segment->size_bytes()) {
    Result<Slice> chunk = co_await read_chunk(segment, position);
    KLAMM_CO_TRY(chunk);
    position += static_cast<std::int64_t>(chunk->size());
    Result<FilteredChunk> left = FilteredChunk();
    co_await log_.shard().files().run_aside([this, &chunk, &left] { left = filter_chunk(*chunk, rules_, state()); });
    KLAMM_CO_TRY(left);
    for (const AbortedTransaction& aborted : transactions_.take_index_entries()) cleaned.txn_index().append(aborted);
    std::vector<Bytes> parts;
    std::int64_t bytes = 0;
    for (const Slice& part : left->parts) {
      parts.push_back(part.bytes());
      bytes += static_cast<std::int64_t>(part.size());
    }
    if (bytes > 0) {
      Result<void> going_on = check();
      KLAMM_CO_TRY(going_on);
      Result<void> appended = co_await cleaned.append(left->batches, parts, interval);
      KLAMM_CO_TRY(appended);
      unsynced_bytes_ += bytes;
    }
    if (unsynced_bytes_ >= kSyncEveryBytes) {
      unsynced_bytes_ = 0;
      Result<void> synced = co_await cleaned.sync(false);
      KLAMM_CO_TRY(synced);
    }
    Result<void> throttled = co_await throttle(static_cast<std::int64_t>(chunk->size()) + bytes);
    KLAMM_CO_TRY(throttled);
  }
  co_return Result<void>();
}

}  // namespace

std::vector<std::vector<SegmentRef>> group_segments(const std::vector<SegmentRef>& segments, std::int64_t most_bytes,
                                                    std::int64_t most_index_bytes, std::int64_t end) {
  const auto index_bytes = [](const SegmentRef& segment) {
    return static_cast<std::int64_t>(segment->offset_index().entries().size() * OffsetIndexEntry::kBytes);
  };
  const auto time_index_bytes = [](const SegmentRef& segment) {
    return static_cast<std::int64_t>(segment->time_index().entries().size() * TimeIndexEntry::kBytes);
  };
  std::vector<std::vector<SegmentRef>> groups;
  std::int64_t bytes = 0;
  std::int64_t offsets = 0;
  std::int64_t times = 0;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const SegmentRef& segment = segments[i];
    // The last offset that it may hold, without reading it.
    const std::int64_t last_offset = (i + 1 < segments.size() ? segments[i + 1]->base_offset() : end) - 1;
    const bool fits = !groups.empty() && bytes + segment->size_bytes() <= most_bytes &&
                      offsets + index_bytes(segment) <= most_index_bytes &&
                      times + time_index_bytes(segment) <= most_index_bytes &&
                      (segment->size_bytes() == 0 ||
                       last_offset - groups.back().front()->base_offset() <= std::numeric_limits<std::int32_t>::max());
    if (!fits) {
      groups.emplace_back();
      bytes = offsets = times = 0;
    }
    groups.back().push_back(segment);
    bytes += segment->size_bytes();
    offsets += index_bytes(segment);
    times += time_index_bytes(segment);
  }
  return groups;
}

io::Task<Result<CleaningReport>> clean_log(Log& log, Cleanable range, CleaningOptions options) {
  if (range.end <= range.first_dirty) co_return fail(Errc::invalid_argument, "nothing to clean");
  const std::shared_ptr<CleaningPermit> permit = log.begin_cleaning();
  if (permit == nullptr) co_return fail(Errc::unavailable, "the log is being changed or cleaned");
  Cleaning cleaning(log, *permit, range, std::move(options));
  Result<CleaningReport> report = co_await cleaning.run();
  co_await cleaning.release_map();
  if (report) log.set_first_dirty_offset(report->end);
  if (!report && !(report.error() == Errc::cancelled) && !(report.error() == Errc::corrupt)) {
    report = fail(log.cleaning_failed(std::move(report).error()));
  }
  log.end_cleaning();
  co_return report;
}

}  // namespace klamm::storage
