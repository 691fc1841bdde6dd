// What an unfinished compaction or split has left in a log's directory.
#include <algorithm>
#include <limits>

#include "broker/storage/log_loader.h"
#include "broker/storage/names.h"

namespace klamm::storage {

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

// The offset in a segment file's name, whatever suffixes it has.
std::optional<std::int64_t> base_of(std::string_view name) {
  return parse_file_name(name.substr(0, name.find('.')), "");
}

}  // namespace

// What compaction left behind. `.cleaned`: not finished, goes; before it those `.swap` files that belong to the same
// unfinished work. Other `.swap` files are whole: they replace the segments whose offsets they cover. Each step is made
// durable before the next, so that a crash in here does not turn an unfinished replacement into a whole one, or leave a
// replaced segment beside its replacement.
io::Task<Result<void>> LogLoader::finish_swaps() {
  std::int64_t least_cleaned = std::numeric_limits<std::int64_t>::max();
  std::vector<std::string> deleted;
  std::vector<std::string> cleaned;
  for (const std::string& name : names_) {
    const bool is_snapshot = name.find(".checkpoint") != std::string::npos;  // the metadata log's: raft's business
    if (name.ends_with(suffix::kDeleted) && !is_snapshot) deleted.push_back(name);
    if (!name.ends_with(suffix::kCleaned)) continue;
    cleaned.push_back(name);
    if (const auto base = base_of(name)) least_cleaned = std::min(least_cleaned, *base);
  }
  std::vector<std::string> unfinished;
  std::vector<std::string> swaps;
  for (const std::string& name : names_) {
    if (!name.ends_with(suffix::kSwap)) continue;
    const auto base = base_of(name);
    if (base) (*base >= least_cleaned ? unfinished : swaps).push_back(name);
  }
  Result<void> step = co_await remove_files(unfinished);
  KLAMM_CO_TRY(step);
  step = co_await remove_files(cleaned);
  KLAMM_CO_TRY(step);
  step = co_await remove_files(deleted);
  KLAMM_CO_TRY(step);
  if (swaps.empty()) co_return Result<void>();
  std::vector<std::string> replaced;
  step = co_await find_replaced(swaps, replaced);
  KLAMM_CO_TRY(step);
  step = co_await remove_files(replaced);
  KLAMM_CO_TRY(step);
  std::optional<std::int64_t> base = base_of(swaps.front());
  for (const std::string& name : swaps) {  // in the order of their offsets, see replace_by()
    if (base_of(name) != base) {
      step = co_await log_.shard_.files().sync_directory(log_.options_.directory);
      KLAMM_CO_TRY(step);
      base = base_of(name);
    }
    const std::string final_name(without(name, suffix::kSwap));
    Result<void> renamed = co_await log_.shard_.files().rename(path(name), path(final_name));
    KLAMM_CO_TRY(renamed);
    renamed_ = true;
  }
  step = co_await log_.shard_.files().sync_directory(log_.options_.directory);
  co_return step;
}

io::Task<Result<void>> LogLoader::remove_files(std::vector<std::string> doomed) {
  if (doomed.empty()) co_return Result<void>();
  for (const std::string& name : doomed) {
    Result<void> removed = co_await remove_file(name);
    KLAMM_CO_TRY(removed);
  }
  Result<void> synced = co_await log_.shard_.files().sync_directory(log_.options_.directory);
  co_return synced;
}

// The segment files that the `.swap` files stand for.
io::Task<Result<void>> LogLoader::find_replaced(const std::vector<std::string>& swaps,
                                                std::vector<std::string>& replaced) {
  std::vector<std::int64_t> bases;
  std::int64_t swap_end = -1;
  for (const std::string& name : swaps) {
    const auto base = parse_file_name(without(name, suffix::kSwap), suffix::kLog);
    if (!base) continue;  // its log has its name already
    Result<std::shared_ptr<io::File>> file = co_await log_.shard_.files().open(path(name), io::OpenMode::read);
    KLAMM_CO_TRY(file);
    Result<std::uint64_t> size = co_await (*file)->size();
    KLAMM_CO_TRY(size);
    BatchScanner scanner(*file, 0, static_cast<std::int64_t>(*size), BatchScanner::kHeaders);
    std::int64_t end = *base + 1;
    for (;;) {
      Result<bool> more = co_await scanner.next();
      KLAMM_CO_TRY(more);
      if (!*more) break;
      end = scanner.batch().last_offset + 1;
    }
    bases.push_back(*base);
    swap_end = std::max(swap_end, end);
  }
  if (bases.empty()) co_return Result<void>();
  const std::int64_t least = *std::min_element(bases.begin(), bases.end());
  for (const std::string& name : names_) {
    if (!is_segment_file(name)) continue;
    const auto base = base_of(name);
    if (!base || *base < least || *base >= swap_end) continue;
    log_.logger_.info("{}: {} is replaced by a compacted segment", log_.options_.partition, name);
    replaced.push_back(name);
  }
  co_return Result<void>();
}

}  // namespace klamm::storage
