#include "broker/storage/time_index.h"

namespace klamm::storage {

io::Task<Result<void>> TimeIndex::load_last() {
  last_ = {-1, base_offset_};
  if (entries_.empty()) co_return Result<void>();
  Result<TimeIndexEntry> entry = co_await entries_.at(entries_.size() - 1);
  KLAMM_CO_TRY(entry);
  last_ = expand(*entry);
  co_return Result<void>();
}

void TimeIndex::maybe_append(TimestampMs timestamp, std::int64_t offset) {
  if (timestamp <= last_.timestamp) return;
  entries_.append({timestamp, static_cast<std::int32_t>(offset - base_offset_)});
  last_ = {timestamp, offset};
}

io::Task<Result<TimestampOffset>> TimeIndex::floor(TimestampMs timestamp) {
  auto border = co_await entries_.find([timestamp](const TimeIndexEntry& e) { return e.timestamp <= timestamp; });
  KLAMM_CO_TRY(border);
  co_return border->before ? expand(*border->before) : TimestampOffset{-1, base_offset_};
}

io::Task<Result<void>> TimeIndex::truncate_to(std::int64_t offset) {
  const std::int64_t relative = offset - base_offset_;
  auto border = co_await entries_.find([relative](const TimeIndexEntry& e) { return e.relative_offset < relative; });
  KLAMM_CO_TRY(border);
  Result<void> truncated = co_await entries_.truncate(border->index);
  KLAMM_CO_TRY(truncated);
  Result<void> loaded = co_await load_last();
  co_return loaded;
}

}  // namespace klamm::storage
