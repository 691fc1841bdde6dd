// Reading: fetches and the look-ups behind ListOffsets.
#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/log.h"
#include "protocol/error.h"
#include "protocol/record/legacy.h"
#include "protocol/record/record.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

constexpr std::size_t kPlainLimitBytes = std::size_t{1} << 30;

tl::unexpected<Error> refuse(ErrorCode code, std::string why) {
  return klamm::fail(protocol::kafka_error(code, std::move(why)));
}

// The first record of an entry at or behind `from_offset` with a timestamp at or above the given one.
template <typename Iterator>
std::optional<TimestampAndOffset> first_record(Iterator& records, TimestampMs timestamp, std::int64_t from_offset) {
  for (record::RecordView record; records.next(record);) {
    if (record.timestamp >= timestamp && record.offset >= from_offset) {
      return TimestampAndOffset{record.timestamp, record.offset, -1};
    }
  }
  return std::nullopt;
}

Result<std::optional<TimestampAndOffset>> search_entry(const Slice& entry, const BatchSummary& batch,
                                                       compress::Codecs& codecs, TimestampMs timestamp,
                                                       std::int64_t from_offset) {
  std::optional<TimestampAndOffset> found;
  Result<void> status;
  if (batch.magic == record::kMagic) {
    Result<record::BatchView> view = record::BatchView::parse(entry);
    KLAMM_TRY(view);
    Result<Slice> plain = record::plain_records(*view, codecs, kPlainLimitBytes);
    KLAMM_TRY(plain);
    record::RecordIterator records(*view, plain->bytes());
    found = first_record(records, timestamp, from_offset);
    status = found ? Result<void>() : records.status();
  } else {
    Result<record::LegacyIterator> records = record::LegacyIterator::open(entry, codecs, kPlainLimitBytes);
    KLAMM_TRY(records);
    found = first_record(*records, timestamp, from_offset);
    status = found ? Result<void>() : records->status();
  }
  KLAMM_TRY(status);
  if (found) found->leader_epoch = batch.leader_epoch;
  return found;
}

}  // namespace

std::int64_t Log::upper_bound(FetchIsolation isolation) const noexcept {
  switch (isolation) {
    case FetchIsolation::log_end: return log_end_offset_;
    case FetchIsolation::high_watermark: return high_watermark_;
    case FetchIsolation::committed: return last_stable_offset();
  }
  return log_end_offset_;
}

Log::SegmentRef Log::segment_of(std::int64_t offset) const {
  auto after = segments_.upper_bound(offset);
  if (after == segments_.begin()) return nullptr;
  return std::prev(after)->second;
}

Log::SegmentRef Log::segment_after(std::int64_t base_offset) const {
  const auto after = segments_.upper_bound(base_offset);
  return after == segments_.end() ? nullptr : after->second;
}

// After a look at the log failed: true if what it saw was being truncated, deleted or replaced meanwhile. Waits until
// the files have their names again.
io::Task<bool> Log::changed_since(std::uint64_t cuts) {
  while (renaming_ > 0) co_await renamed_.wait();
  co_return cuts != cuts_;
}

io::Task<Result<FetchData>> Log::read(ReadRequest request) {
  for (;;) {
    Result<void> usable = check_usable();
    KLAMM_CO_TRY(usable);
    if (request.offset < log_start_offset_ || request.offset > log_end_offset_) {
      co_return refuse(ErrorCode::offset_out_of_range,
                       fmt::format("offset {} is not in [{}, {}] of {}", request.offset, log_start_offset_,
                                   log_end_offset_, options_.partition));
    }
    const std::int64_t bound = upper_bound(request.isolation);
    if (request.offset >= bound) co_return FetchData();
    const std::uint64_t cuts = cuts_;
    Result<FetchData> data = co_await read_once(request, bound);
    if (data) co_return data;
    const bool changed = co_await changed_since(cuts);
    if (changed) continue;
    // What readers were given before has all the descriptors until it is sent; the next read finds some.
    if (options_.open_files && is_descriptor_shortage(data.error())) co_return FetchData();
    co_return fail(storage_error(std::move(data).error(), "read"));
  }
}

io::Task<Result<FetchData>> Log::read_once(ReadRequest request, std::int64_t bound) {
  FetchData data;
  SegmentRef segment = segment_of(request.offset);
  std::optional<PlacedBatch> first;
  while (segment != nullptr) {
    Result<std::optional<PlacedBatch>> found = co_await segment->find(request.offset);
    KLAMM_CO_TRY(found);
    first = *found;
    if (first) break;
    segment = segment_after(segment->base_offset());
  }
  // Compaction may have left nothing between the offset and the bound.
  if (segment == nullptr || !first || first->base_offset >= bound) co_return data;

  std::int64_t end = segment->size_bytes();
  const SegmentRef next = segment_after(segment->base_offset());
  if (next == nullptr || next->base_offset() > bound) {
    Result<std::optional<PlacedBatch>> beyond = co_await segment->find(bound);
    KLAMM_CO_TRY(beyond);
    if (beyond->has_value()) end = (*beyond)->position;
  }
  std::int64_t size = std::min(end - first->position, std::max<std::int64_t>(request.max_bytes, 0));
  const std::int64_t whole = std::min(first->size, end - first->position);
  // Of a part of its first batch a reader can make nothing: Kafka's clients fail on it.
  if (size < whole) size = request.min_one_batch ? whole : 0;
  if (size <= 0) co_return data;

  Result<std::shared_ptr<io::File>> file = co_await segment->file();
  KLAMM_CO_TRY(file);
  io::FileRegion region;
  region.file = *std::move(file);
  region.offset = static_cast<std::uint64_t>(first->position);
  region.size = static_cast<std::uint64_t>(size);
  data.records.emplace_back(std::move(region));
  data.size_bytes = size;
  data.first_batch_offset = first->base_offset;
  data.segment_base_offset = segment->base_offset();
  if (request.isolation == FetchIsolation::committed) {
    Result<void> collected = co_await collect_aborted(segment, first->position + size, request.offset, data);
    KLAMM_CO_TRY(collected);
  }
  co_return data;
}

io::Task<Result<void>> Log::collect_aborted(SegmentRef segment, std::int64_t position_after, std::int64_t from,
                                            FetchData& data) {
  Result<std::optional<std::int64_t>> behind = co_await segment->offset_behind(position_after);
  KLAMM_CO_TRY(behind);
  std::int64_t upper = log_end_offset_;
  if (behind->has_value()) {
    upper = **behind;
  } else if (const SegmentRef next = segment_after(segment->base_offset())) {
    upper = next->base_offset();
  }
  while (segment != nullptr) {
    Result<bool> complete = co_await segment->txn_index().collect(from, upper, data.aborted);
    KLAMM_CO_TRY(complete);
    if (*complete) break;
    segment = segment_after(segment->base_offset());
  }
  co_return Result<void>();
}

io::Task<Result<std::optional<TimestampAndOffset>>> Log::find_timestamp(SegmentRef segment, TimestampMs timestamp,
                                                                        std::int64_t from_offset) {
  Result<TimestampOffset> before = co_await segment->time_index().floor(timestamp - 1);
  KLAMM_CO_TRY(before);
  // The entry's offset is the last one whose record is surely earlier, or the segment's base without an entry.
  const std::int64_t start_offset = std::max(before->offset, from_offset);
  Result<std::optional<PlacedBatch>> start = co_await segment->find(start_offset);
  KLAMM_CO_TRY(start);
  if (!start->has_value()) co_return std::optional<TimestampAndOffset>();
  Result<std::shared_ptr<io::File>> file = co_await segment->file();
  KLAMM_CO_TRY(file);
  BatchScanner scanner(*file, (*start)->position, segment->size_bytes(), BatchScanner::kHeaders);
  for (;;) {
    Result<bool> more = co_await scanner.next();
    KLAMM_CO_TRY(more);
    if (!*more) co_return std::optional<TimestampAndOffset>();
    if (scanner.batch().max_timestamp < timestamp) continue;
    Result<bool> loaded = co_await scanner.load_bytes();
    KLAMM_CO_TRY(loaded);
    if (!*loaded) co_return std::optional<TimestampAndOffset>();
    Result<std::optional<TimestampAndOffset>> found =
        search_entry(scanner.bytes(), scanner.batch(), *options_.codecs, timestamp, from_offset);
    KLAMM_CO_TRY(found);
    if (found->has_value()) co_return found;
  }
}

io::Task<Result<std::optional<TimestampAndOffset>>> Log::offset_for_timestamp(TimestampMs timestamp) {
  for (;;) {
    Result<void> usable = check_usable();
    KLAMM_CO_TRY(usable);
    const std::uint64_t cuts = cuts_;
    Result<std::optional<TimestampAndOffset>> found = std::optional<TimestampAndOffset>();
    SegmentRef segment = segment_after(-1);  // none while the log is being emptied
    while (found && !found->has_value() && segment != nullptr) {
      if (segment->largest_timestamp().timestamp >= timestamp) {
        found = co_await find_timestamp(segment, timestamp, log_start_offset_);
      }
      segment = segment_after(segment->base_offset());
    }
    if (found) co_return found;
    const bool changed = co_await changed_since(cuts);
    if (!changed) co_return fail(storage_error(std::move(found).error(), "look up a timestamp"));
  }
}

io::Task<Result<std::optional<TimestampAndOffset>>> Log::offset_of_max_timestamp() {
  for (;;) {
    Result<void> usable = check_usable();
    KLAMM_CO_TRY(usable);
    const std::uint64_t cuts = cuts_;
    SegmentRef latest;
    for (const auto& item : segments_) {
      if (item.second->largest_timestamp().timestamp < 0) continue;
      if (!latest || item.second->largest_timestamp().timestamp > latest->largest_timestamp().timestamp)
        latest = item.second;
    }
    if (!latest) co_return std::optional<TimestampAndOffset>();
    const TimestampMs largest = latest->largest_timestamp().timestamp;
    Result<std::optional<TimestampAndOffset>> found = co_await find_timestamp(latest, largest, log_start_offset_);
    if (found) co_return found;
    const bool changed = co_await changed_since(cuts);
    if (!changed) co_return fail(storage_error(std::move(found).error(), "look up the largest timestamp"));
  }
}

}  // namespace klamm::storage
