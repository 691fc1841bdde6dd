#include "broker/storage/segment.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/names.h"

namespace klamm::storage {

namespace {

// Of the last log file: as a rule it holds what follows the last index entry.
constexpr std::uint32_t kSurveyedTail = 32 << 10;

}  // namespace

io::SurveyBytes Segment::survey_bytes(std::string_view name, bool is_last_log) {
  // Twice an entry: the last whole one may be followed by a part of one.
  if (name.ends_with(suffix::kOffsetIndex)) return {0, 2 * OffsetIndexEntry::kBytes};
  if (name.ends_with(suffix::kTimeIndex)) return {0, 2 * TimeIndexEntry::kBytes};
  if (is_last_log) return {record::kBatchHeaderSize, kSurveyedTail};
  return {};
}

Segment::Segment(io::FileSystem& files, std::string directory, std::int64_t base_offset, std::string_view suffix,
                 std::shared_ptr<OpenFiles> open_files)
    : files_(&files),
      directory_(std::move(directory)),
      base_offset_(base_offset),
      suffix_(suffix),
      log_path_(path_of(suffix::kLog)),
      file_(files, open_files),
      offset_index_(files, path_of(suffix::kOffsetIndex), base_offset, open_files),
      time_index_(files, path_of(suffix::kTimeIndex), base_offset, open_files),
      txn_index_(files, path_of(suffix::kTxnIndex), open_files),
      largest_{-1, base_offset} {}

std::string Segment::path_of(std::string_view suffix) const {
  return io::join_path(directory_, file_name(base_offset_, suffix) + suffix_);
}

void Segment::reset() {
  size_ = 0;
  bytes_since_entry_ = 0;
  largest_ = {-1, base_offset_};
  first_timestamp_ = -1;
  recent_.clear();
  recent_next_ = 0;
}

io::Task<Result<std::shared_ptr<io::File>>> Segment::file() {
  used_ = true;
  if (file_.is_open()) co_return file_.use();
  Result<std::shared_ptr<io::File>> opened = co_await file_.open(log_path_, io::OpenMode::read_write);
  co_return opened;
}

io::Task<Result<void>> Segment::create(std::int64_t preallocate_bytes, TimestampMs now_ms) {
  reset();
  log_synced_ = false;
  created_ms_ = now_ms;
  Result<std::shared_ptr<io::File>> opened = co_await file_.open(log_path_, io::OpenMode::create);
  KLAMM_CO_TRY(opened);
  const std::shared_ptr<io::File> file = *std::move(opened);
  Result<std::uint64_t> size = co_await file->size();
  KLAMM_CO_TRY(size);
  if (*size != 0) {
    file_.release();
    co_return fail(Errc::already_exists, log_path_);
  }
  Result<void> done;
  if (preallocate_bytes > 0) {
    done = co_await file->allocate(static_cast<std::uint64_t>(preallocate_bytes));
    file_size_ = done ? preallocate_bytes : 0;
  }
  offset_index_.entries().clear();
  time_index_.entries().clear();
  if (done) done = co_await offset_index_.entries().save();
  if (done) done = co_await time_index_.entries().save();
  if (!done) {
    co_await undo_create();
    co_return done;
  }
  offset_index_.entries().release();
  time_index_.entries().release();
  co_return Result<void>();
}

io::Task<void> Segment::undo_create() {
  file_.release();
  offset_index_.entries().release();
  time_index_.entries().release();
  for (std::string_view suffix : {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex}) {
    // What stays is an empty segment at the log's end, which the next start and the next roll take over.
    [[maybe_unused]] Result<void> ignored = co_await files_->remove(path_of(suffix));
  }
}

io::Task<Result<void>> Segment::load(const io::Survey& found, bool synced) {
  reset();
  const auto file_of = [&](std::string_view kind) { return found.find(file_name(base_offset_, kind) + suffix_); };
  const io::SurveyedFile* log = file_of(suffix::kLog);
  if (log == nullptr) co_return fail(Errc::not_found, log_path_);
  file_size_ = size_ = static_cast<std::int64_t>(log->info.size);
  created_ms_ = log->info.modified_ms;
  log_synced_ = synced;
  const io::SurveyedFile* offsets = file_of(suffix::kOffsetIndex);
  const io::SurveyedFile* transactions = file_of(suffix::kTxnIndex);
  offset_index_.entries().load(offsets, synced);
  time_index_.entries().load(file_of(suffix::kTimeIndex), synced);
  txn_index_.entries().load(transactions, synced);
  Result<void> last_time = co_await time_index_.load_last();
  KLAMM_CO_TRY(last_time);
  if (offsets == nullptr) co_return fail(Errc::corrupt, fmt::format("{} is missing", offset_index_.entries().path()));
  Result<std::int64_t> last_position = co_await offset_index_.last_position();
  KLAMM_CO_TRY(last_position);
  if (*last_position < 0 || *last_position > size_) {
    co_return fail(Errc::corrupt, fmt::format("{} points behind the log", offset_index_.entries().path()));
  }
  if (time_index_.last().offset < base_offset_) {
    co_return fail(Errc::corrupt, fmt::format("{} points before the segment", time_index_.entries().path()));
  }
  largest_ = time_index_.last();
  if (transactions != nullptr) {
    Result<void> checked = co_await txn_index_.check(base_offset_);
    KLAMM_CO_TRY(checked);
    txn_index_.entries().release();
  }
  co_return Result<void>();
}

io::Task<Result<std::int64_t>> Segment::load_end(const io::Survey& found) {
  Result<std::int64_t> next_offset = co_await take_in_tail(found.find(file_name(base_offset_, suffix::kLog) + suffix_));
  KLAMM_CO_TRY(next_offset);
  offset_index_.entries().release();
  time_index_.entries().release();
  co_return next_offset;
}

// Reads the headers from the last index entry to the end: timestamps behind the last time index entry, and where the
// segment ends. Sets first_timestamp_ too.
io::Task<Result<std::int64_t>> Segment::take_in_tail(const io::SurveyedFile* seen) {
  recent_.clear();
  recent_next_ = 0;
  largest_ = time_index_.last();
  first_timestamp_ = -1;
  bytes_since_entry_ = 0;
  if (size_ == 0) co_return base_offset_;
  Result<std::int64_t> from = co_await offset_index_.last_position();
  KLAMM_CO_TRY(from);
  std::shared_ptr<io::File> log;
  const bool was_seen = seen != nullptr && static_cast<std::int64_t>(seen->tail_offset()) <= *from;
  if (!was_seen) {
    Result<std::shared_ptr<io::File>> opened = co_await file();
    KLAMM_CO_TRY(opened);
    log = *std::move(opened);
  }
  BatchScanner scanner(std::move(log), *from, size_, BatchScanner::kHeaders);
  if (was_seen) scanner.preset(seen->tail, static_cast<std::int64_t>(seen->tail_offset()));
  std::int64_t next_offset = base_offset_;
  for (;;) {
    Result<bool> more = co_await scanner.next();
    KLAMM_CO_TRY(more);
    if (!*more) break;
    const BatchSummary& batch = scanner.batch();
    next_offset = batch.last_offset + 1;
    if (batch.has_records() && batch.max_timestamp > largest_.timestamp) {
      largest_ = {batch.max_timestamp, batch.last_offset};
    }
    if (scanner.position() == 0) first_timestamp_ = batch.max_timestamp;
  }
  if (scanner.position_after() != size_ || next_offset <= base_offset_) {
    co_return fail(Errc::corrupt, fmt::format("{}: no batch at position {}", log_path_, scanner.position_after()));
  }
  bytes_since_entry_ = size_ - *from;
  if (*from != 0) {
    Result<void> first = co_await learn_first_timestamp(seen);
    KLAMM_CO_TRY(first);
  }
  co_return next_offset;
}

io::Task<Result<void>> Segment::learn_first_timestamp(const io::SurveyedFile* seen) {
  if (seen != nullptr) {
    const std::optional<BatchSummary> first = BatchSummary::parse(seen->head.bytes());
    if (first) first_timestamp_ = first->max_timestamp;
    if (first) co_return Result<void>();
  }
  Result<std::shared_ptr<io::File>> log = co_await file();
  KLAMM_CO_TRY(log);
  BatchScanner scanner(*log, 0, size_, record::kBatchHeaderSize);
  Result<bool> more = co_await scanner.next();
  KLAMM_CO_TRY(more);
  if (*more) first_timestamp_ = scanner.batch().max_timestamp;
  co_return Result<void>();
}

io::Task<Result<Segment::Recovered>> Segment::recover(const io::Survey& found, std::int32_t index_interval_bytes,
                                                      Accept accept) {
  reset();
  offset_index_.entries().clear();
  time_index_.entries().clear();
  if (txn_index_.entries().has_file()) txn_index_.entries().clear();
  Result<void> time_reset = co_await time_index_.load_last();
  KLAMM_CO_TRY(time_reset);

  Recovered recovered;
  recovered.next_offset = base_offset_;
  if (file_size_ == 0) co_return recovered;
  const io::SurveyedFile* seen = found.find(file_name(base_offset_, suffix::kLog) + suffix_);
  const bool was_seen = seen != nullptr && seen->is_whole();
  std::shared_ptr<io::File> log;
  if (!was_seen) {
    Result<std::shared_ptr<io::File>> opened = co_await file();
    KLAMM_CO_TRY(opened);
    log = *std::move(opened);
  }
  BatchScanner scanner(std::move(log), 0, file_size_, BatchScanner::kWhole);
  if (was_seen) scanner.preset(seen->tail, 0);
  for (;;) {
    Result<bool> more = co_await scanner.next_whole();
    KLAMM_CO_TRY(more);
    if (!*more) {
      recovered.why = "no whole batch follows";
      break;
    }
    const BatchSummary& batch = scanner.batch();
    Result<void> good = check_entry(scanner.bytes());
    if (good && batch.base_offset < recovered.next_offset) {
      good = fail(Errc::corrupt, fmt::format("offset {} after {}", batch.base_offset, recovered.next_offset - 1));
    }
    if (good && !fits(base_offset_, batch.last_offset)) {
      recovered.overflow = true;
      co_return recovered;
    }
    if (good) good = accept(batch, scanner.bytes());
    if (!good) {
      recovered.why = good.error().message();
      break;
    }
    note_batch(batch, scanner.position(), index_interval_bytes);
    size_ = scanner.position_after();
    recovered.next_offset = batch.last_offset + 1;
  }
  recovered.cut_bytes = file_size_ - size_;
  time_index_.maybe_append(largest_.timestamp, largest_.offset);
  if (offset_index_.entries().unwritten() >= kMostUnwritten) {
    Result<void> saved = co_await save_indexes();
    KLAMM_CO_TRY(saved);
  }
  co_return recovered;
}

void Segment::note_batch(const BatchSummary& batch, std::int64_t position, std::int32_t index_interval_bytes) {
  if (position == 0) first_timestamp_ = batch.max_timestamp;
  if (batch.has_records() && batch.max_timestamp > largest_.timestamp)
    largest_ = {batch.max_timestamp, batch.last_offset};
  if (bytes_since_entry_ > index_interval_bytes) {
    offset_index_.append(batch.last_offset, position);
    time_index_.maybe_append(largest_.timestamp, largest_.offset);
    bytes_since_entry_ = 0;
  }
  bytes_since_entry_ += batch.size;
  const PlacedBatch placed{batch.base_offset, batch.last_offset, position, batch.size};
  if (recent_.size() < kRecent) {
    recent_.push_back(placed);
    recent_next_ = recent_.size() % kRecent;
  } else {
    recent_[recent_next_] = placed;
    recent_next_ = (recent_next_ + 1) % kRecent;
  }
}

io::Task<Result<void>> Segment::append(std::span<const BatchSummary> batches, std::span<const Bytes> parts,
                                       std::int32_t index_interval_bytes) {
  Result<std::shared_ptr<io::File>> log = co_await file();
  KLAMM_CO_TRY(log);
  Result<void> written = co_await (*log)->write(static_cast<std::uint64_t>(size_), parts);
  log_synced_ = false;  // a sync that was under way may not have seen it
  if (!written) {
    Result<void> cut = co_await (*log)->truncate(static_cast<std::uint64_t>(size_));
    damaged_ = !cut;
    file_size_ = size_;
    co_return written;
  }
  std::int64_t position = size_;
  for (const BatchSummary& batch : batches) {
    note_batch(batch, position, index_interval_bytes);
    position += batch.size;
  }
  size_ = position;
  file_size_ = std::max(file_size_, size_);
  if (offset_index_.entries().unwritten() >= kMostUnwritten) {
    // Only to bound memory: if it fails the entries stay in memory and are written when the segment is finished.
    [[maybe_unused]] Result<void> ignored = co_await save_indexes();
  }
  co_return Result<void>();
}

io::Task<Result<void>> Segment::save_indexes() {
  Result<void> saved = co_await offset_index_.entries().save();
  KLAMM_CO_TRY(saved);
  saved = co_await time_index_.entries().save();
  KLAMM_CO_TRY(saved);
  if (txn_index_.entries().has_file()) {
    saved = co_await txn_index_.entries().save();
    KLAMM_CO_TRY(saved);
  }
  co_return Result<void>();
}

std::pair<bool, std::optional<PlacedBatch>> Segment::find_recent(std::int64_t offset) const {
  if (recent_.empty()) return {false, std::nullopt};
  const std::size_t count = recent_.size();
  const std::size_t oldest = count < kRecent ? 0 : recent_next_;
  if (offset < recent_[oldest].base_offset) return {false, std::nullopt};
  const auto at = [&](std::size_t index) -> const PlacedBatch& { return recent_[(oldest + index) % count]; };
  std::size_t low = 0;
  std::size_t high = count;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (at(middle).last_offset < offset)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == count) return {true, std::nullopt};
  return {true, at(low)};
}

io::Task<Result<std::optional<PlacedBatch>>> Segment::find(std::int64_t offset) {
  const auto [known, recent] = find_recent(offset);
  if (known) co_return recent;
  const std::int64_t end = size_;
  if (end == 0) co_return std::optional<PlacedBatch>();
  Result<std::int64_t> from = co_await offset_index_.position_before(offset);
  KLAMM_CO_TRY(from);
  Result<std::shared_ptr<io::File>> log = co_await file();
  KLAMM_CO_TRY(log);
  BatchScanner scanner(*log, *from, end, BatchScanner::kHeaders);
  for (;;) {
    Result<bool> more = co_await scanner.next();
    KLAMM_CO_TRY(more);
    if (!*more) break;
    const BatchSummary& batch = scanner.batch();
    if (batch.last_offset >= offset) {
      co_return std::optional(PlacedBatch{batch.base_offset, batch.last_offset, scanner.position(), batch.size});
    }
  }
  if (scanner.position_after() != end) {
    co_return fail(Errc::corrupt, fmt::format("{}: no batch at position {}", log_path_, scanner.position_after()));
  }
  co_return std::optional<PlacedBatch>();
}

io::Task<Result<TimestampMs>> Segment::modified_ms() {
  Result<io::FileInfo> info = co_await files_->stat(log_path_);
  KLAMM_CO_TRY(info);
  co_return info->modified_ms;
}

io::Task<Result<void>> Segment::set_modified(TimestampMs modified_ms) {
  Result<void> done = co_await files_->set_modified(log_path_, modified_ms);
  co_return done;
}

io::Task<Result<TimestampMs>> Segment::load_first_timestamp() {
  if (first_timestamp_ >= 0 || size_ == 0) co_return first_timestamp_;
  Result<std::shared_ptr<io::File>> log = co_await file();
  KLAMM_CO_TRY(log);
  BatchScanner scanner(*log, 0, size_, record::kBatchHeaderSize);
  Result<bool> more = co_await scanner.next();
  KLAMM_CO_TRY(more);
  if (*more) first_timestamp_ = scanner.batch().max_timestamp;
  co_return first_timestamp_;
}

io::Task<Result<std::int64_t>> Segment::truncate_to(std::int64_t offset) {
  Result<std::optional<PlacedBatch>> first_cut = co_await find(offset);
  KLAMM_CO_TRY(first_cut);
  if (!first_cut->has_value()) co_return offset;
  const std::int64_t end_offset = std::min(offset, (*first_cut)->base_offset);
  Result<std::shared_ptr<io::File>> log = co_await file();
  KLAMM_CO_TRY(log);
  // Indexes first: they may be short of the log, never ahead of it.
  Result<void> cut = co_await offset_index_.truncate_to(end_offset);
  KLAMM_CO_TRY(cut);
  cut = co_await time_index_.truncate_to(end_offset);
  KLAMM_CO_TRY(cut);
  cut = co_await txn_index_.truncate_to(end_offset);
  KLAMM_CO_TRY(cut);
  cut = co_await (*log)->truncate(static_cast<std::uint64_t>((*first_cut)->position));
  log_synced_ = false;
  KLAMM_CO_TRY(cut);
  file_size_ = size_ = (*first_cut)->position;
  if (size_ == 0) {
    reset();
    co_return end_offset;
  }
  Result<std::int64_t> next_offset = co_await take_in_tail();
  KLAMM_CO_TRY(next_offset);
  co_return end_offset;
}

io::Task<Result<void>> Segment::finish() {
  time_index_.maybe_append(largest_.timestamp, largest_.offset);
  Result<void> saved = co_await save_indexes();
  KLAMM_CO_TRY(saved);
  if (file_size_ > size_) {
    Result<std::shared_ptr<io::File>> log = co_await file();
    KLAMM_CO_TRY(log);
    Result<void> cut = co_await (*log)->truncate(static_cast<std::uint64_t>(size_));
    log_synced_ = false;
    KLAMM_CO_TRY(cut);
    file_size_ = size_;
  }
  co_return Result<void>();
}

bool Segment::is_synced() const noexcept {
  return log_synced_ && offset_index_.entries().is_synced() && time_index_.entries().is_synced() &&
         (!txn_index_.entries().has_file() || txn_index_.entries().is_synced());
}

io::Task<Result<void>> Segment::sync(bool with_indexes) {
  if (!log_synced_) {
    Result<std::shared_ptr<io::File>> log = co_await file();
    KLAMM_CO_TRY(log);
    log_synced_ = true;  // unless something is written meanwhile
    Result<void> synced = co_await (*log)->sync();
    if (!synced) log_synced_ = false;
    KLAMM_CO_TRY(synced);
  }
  if (!with_indexes) co_return Result<void>();
  Result<void> synced = co_await offset_index_.entries().sync();
  KLAMM_CO_TRY(synced);
  synced = co_await time_index_.entries().sync();
  KLAMM_CO_TRY(synced);
  if (txn_index_.entries().has_file()) {
    synced = co_await txn_index_.entries().sync();
    KLAMM_CO_TRY(synced);
  }
  co_return Result<void>();
}

void Segment::release_unused() {
  if (!used_) release();
  used_ = false;
}

void Segment::release() {
  file_.release();
  offset_index_.entries().release();
  time_index_.entries().release();
  txn_index_.entries().release();
}

io::Task<Result<std::vector<std::string>>> Segment::rename_with(std::string suffix) {
  std::vector<std::string> renamed;
  // The log file goes first: an index without it is deleted at the next start.
  for (std::string_view kind : {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTxnIndex}) {
    const std::string from = path_of(kind);
    std::string to = io::join_path(directory_, file_name(base_offset_, kind) + suffix);
    Result<void> moved = co_await files_->rename(from, to);
    if (!moved && moved.error() == Errc::not_found) continue;
    KLAMM_CO_TRY(moved);
    renamed.push_back(std::move(to));
  }
  suffix_ = std::move(suffix);
  take_names();
  co_return renamed;
}

io::Task<Result<void>> Segment::remove() {
  Result<std::vector<std::string>> renamed = co_await rename_with(std::string(suffix::kDeleted));
  KLAMM_CO_TRY(renamed);
  for (const std::string& path : *renamed) {
    Result<void> removed = co_await files_->remove(path);
    if (!removed && removed.error() == Errc::not_found) continue;
    KLAMM_CO_TRY(removed);
  }
  file_.release();
  co_return Result<void>();
}

io::Task<Result<void>> Segment::discard() {
  release();
  for (std::string_view work : {suffix::kSwap, suffix::kCleaned}) {
    for (std::string_view kind : {suffix::kLog, suffix::kOffsetIndex, suffix::kTimeIndex, suffix::kTxnIndex}) {
      Result<void> removed =
          co_await files_->remove(io::join_path(directory_, file_name(base_offset_, kind) + std::string(work)));
      if (!removed && removed.error() == Errc::not_found) continue;
      KLAMM_CO_TRY(removed);
    }
  }
  co_return Result<void>();
}

void Segment::take_names() {
  log_path_ = path_of(suffix::kLog);
  offset_index_.entries().renamed(path_of(suffix::kOffsetIndex));
  time_index_.entries().renamed(path_of(suffix::kTimeIndex));
  txn_index_.entries().renamed(path_of(suffix::kTxnIndex));
}

void Segment::directory_renamed(const std::string& directory) {
  directory_ = directory;
  take_names();
}

}  // namespace klamm::storage
