// A segment whose offsets reach further from its base than an index can say: old brokers made such ones (compaction put
// too much together). It is split at the start, into segments that hold the same batches.
#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/log_loader.h"
#include "broker/storage/names.h"

namespace klamm::storage {

namespace {

constexpr std::size_t kMostGathered = std::size_t{1} << 20;  // bytes copied at once

// Batches on their way into a part.
struct Gathered {
  std::vector<BatchSummary> batches;
  std::vector<Slice> slices;
  std::size_t bytes = 0;
};

io::Task<Result<void>> put(Segment& part, Gathered& gathered, std::int32_t index_interval_bytes) {
  if (gathered.batches.empty()) co_return Result<void>();
  std::vector<Bytes> parts;
  parts.reserve(gathered.slices.size());
  for (const Slice& slice : gathered.slices) parts.push_back(slice.bytes());
  Result<void> appended = co_await part.append(gathered.batches, parts, index_interval_bytes);
  gathered = Gathered();
  co_return appended;
}

}  // namespace

// Asks only where the offsets could be too far apart: `next_base` is where the next segment begins.
io::Task<Result<bool>> LogLoader::overflows(Log::SegmentRef segment, std::int64_t next_base) {
  if (Segment::fits(segment->base_offset(), next_base - 1)) co_return false;
  Result<std::int64_t> end = co_await segment->load_end(found_);
  if (!end && end.error() == Errc::corrupt) co_return false;
  KLAMM_CO_TRY(end);
  co_return !Segment::fits(segment->base_offset(), *end - 1);
}

// Copies the batches into new segments, each as far as its offsets reach.
io::Task<Result<void>> LogLoader::copy_parts(Log::SegmentRef old, std::vector<Log::SegmentRef>& parts) {
  Result<std::shared_ptr<io::File>> file = co_await old->file();
  KLAMM_CO_TRY(file);
  Result<std::uint64_t> size = co_await (*file)->size();
  KLAMM_CO_TRY(size);
  io::FileSystem& files = log_.shard_.files();
  const std::int32_t interval = log_.options_.config.index_interval_bytes;
  BatchScanner scanner(*file, 0, static_cast<std::int64_t>(*size), BatchScanner::kWhole);
  Gathered gathered;
  std::int64_t last_offset = old->base_offset() - 1;
  for (;;) {
    Result<bool> more = co_await scanner.next_whole();
    KLAMM_CO_TRY(more);
    const BatchSummary& batch = scanner.batch();
    if (!*more || batch.base_offset <= last_offset) break;
    last_offset = batch.last_offset;
    if (parts.empty() || !Segment::fits(parts.back()->base_offset(), batch.last_offset)) {
      const std::int64_t base = parts.empty() ? old->base_offset() : batch.base_offset;
      Result<void> step;
      if (!parts.empty()) step = co_await put(*parts.back(), gathered, interval);
      KLAMM_CO_TRY(step);
      parts.push_back(std::make_shared<Segment>(files, log_.options_.directory, base,
                                                std::string_view(suffix::kCleaned), log_.options_.open_files));
      step = co_await parts.back()->discard();
      KLAMM_CO_TRY(step);
      step = co_await parts.back()->create(0, log_.shard_.wall_ms());
      KLAMM_CO_TRY(step);
    }
    gathered.batches.push_back(batch);
    gathered.slices.push_back(scanner.bytes());
    gathered.bytes += static_cast<std::size_t>(batch.size);
    if (gathered.bytes < kMostGathered) continue;
    Result<void> written = co_await put(*parts.back(), gathered, interval);
    KLAMM_CO_TRY(written);
  }
  if (parts.size() < 2) co_return fail(Errc::corrupt, old->log_path() + ": offsets too far apart for a segment");
  Result<void> written = co_await put(*parts.back(), gathered, interval);
  co_return written;
}

// Aborted transactions belong to the segment that holds their marker.
io::Task<Result<void>> LogLoader::copy_transactions(const Segment& old, const std::vector<Log::SegmentRef>& parts) {
  const std::string name = file_name(old.base_offset(), suffix::kTxnIndex);
  const io::SurveyedFile* file = found_.find(name);
  if (file == nullptr) co_return Result<void>();
  TxnIndex transactions(log_.shard_.files(), path(name), log_.options_.open_files);
  transactions.entries().load(file, false);
  for (std::size_t i = 0; i < transactions.entries().size(); ++i) {
    Result<AbortedTransaction> aborted = co_await transactions.entries().at(i);
    KLAMM_CO_TRY(aborted);
    auto holder = parts.begin();
    while (holder + 1 != parts.end() && (*(holder + 1))->base_offset() <= aborted->last_offset) ++holder;
    (*holder)->txn_index().append(*aborted);
  }
  co_return Result<void>();
}

// A crash on the way leaves the old segment, or parts that finish_swaps() takes for whole replacements: the first one,
// whose place is the old one's, is called so when all others durably are.
io::Task<Result<void>> LogLoader::replace_by(Log::SegmentRef old, const std::vector<Log::SegmentRef>& parts) {
  io::FileSystem& files = log_.shard_.files();
  const std::string& directory = log_.options_.directory;
  Result<void> step = co_await files.sync_directory(directory);
  KLAMM_CO_TRY(step);
  for (std::size_t i = parts.size(); i-- > 0;) {
    Result<std::vector<std::string>> renamed = co_await parts[i]->rename_with(std::string(suffix::kSwap));
    KLAMM_CO_TRY(renamed);
    step = co_await files.sync_directory(directory);
    KLAMM_CO_TRY(step);
  }
  Result<std::vector<std::string>> renamed = co_await old->rename_with(std::string(suffix::kDeleted));
  KLAMM_CO_TRY(renamed);
  step = co_await files.sync_directory(directory);
  KLAMM_CO_TRY(step);
  // One after the other from the first: what is left of the work after a crash stands for all offsets behind it.
  for (const Log::SegmentRef& part : parts) {
    renamed = co_await part->rename_with({});
    KLAMM_CO_TRY(renamed);
    part->release();
    step = co_await files.sync_directory(directory);
    KLAMM_CO_TRY(step);
  }
  co_return Result<void>();
}

io::Task<Result<void>> LogLoader::split(Log::SegmentRef old) {
  std::vector<Log::SegmentRef> parts;
  Result<TimestampMs> modified = co_await old->modified_ms();
  KLAMM_CO_TRY(modified);
  Result<void> step = co_await copy_parts(old, parts);
  KLAMM_CO_TRY(step);
  step = co_await copy_transactions(*old, parts);
  KLAMM_CO_TRY(step);
  for (const Log::SegmentRef& part : parts) {
    step = co_await part->finish();
    KLAMM_CO_TRY(step);
    step = co_await part->set_modified(*modified);
    KLAMM_CO_TRY(step);
    step = co_await part->sync(true);
    KLAMM_CO_TRY(step);
  }
  step = co_await replace_by(old, parts);
  KLAMM_CO_TRY(step);
  log_.logger_.warning("{}: {} held offsets too far from its base; it is split into {} segments",
                       log_.options_.partition, old->log_path(), parts.size());
  co_return Result<void>();
}

}  // namespace klamm::storage
