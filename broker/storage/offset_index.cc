#include "broker/storage/offset_index.h"

namespace klamm::storage {

void OffsetIndex::append(std::int64_t last_offset, std::int64_t position) {
  entries_.append({static_cast<std::int32_t>(last_offset - base_offset_), static_cast<std::int32_t>(position)});
}

io::Task<Result<std::int64_t>> OffsetIndex::position_before(std::int64_t offset) {
  if (entries_.empty()) co_return std::int64_t{0};
  const std::int64_t relative = offset - base_offset_;
  auto border = co_await entries_.find([relative](const OffsetIndexEntry& e) { return e.relative_offset <= relative; });
  KLAMM_CO_TRY(border);
  co_return border->before ? std::int64_t{border->before->position} : std::int64_t{0};
}

io::Task<Result<std::optional<std::int64_t>>> OffsetIndex::offset_behind(std::int64_t position) {
  auto border = co_await entries_.find([position](const OffsetIndexEntry& e) { return e.position < position; });
  KLAMM_CO_TRY(border);
  if (!border->after) co_return std::optional<std::int64_t>();
  co_return std::optional<std::int64_t>(base_offset_ + border->after->relative_offset);
}

io::Task<Result<std::int64_t>> OffsetIndex::last_position() {
  if (entries_.empty()) co_return std::int64_t{0};
  Result<OffsetIndexEntry> last = co_await entries_.at(entries_.size() - 1);
  KLAMM_CO_TRY(last);
  co_return std::int64_t{last->position};
}

io::Task<Result<void>> OffsetIndex::truncate_to(std::int64_t offset) {
  const std::int64_t relative = offset - base_offset_;
  auto border = co_await entries_.find([relative](const OffsetIndexEntry& e) { return e.relative_offset < relative; });
  KLAMM_CO_TRY(border);
  Result<void> truncated = co_await entries_.truncate(border->index);
  co_return truncated;
}

}  // namespace klamm::storage
