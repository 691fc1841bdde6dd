// The array behind an index: entries of fixed size in a file, sorted, and behind them those that are not written yet.
// Nothing of the file is kept in memory: a lookup reads a handful of entries, so a log's indexes cost nothing while
// nobody searches them. What is in memory only is lost by a crash: the segment is rebuilt then (see log.h).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "broker/storage/open_files.h"
#include "io/file.h"
#include "io/survey.h"

namespace klamm::storage {

// `Entry` has: static constexpr std::size_t kBytes; void encode(std::byte*) const; static Entry decode(const
// std::byte*).
template <typename Entry>
class EntryFile {
 public:
  EntryFile(io::FileSystem& files, std::string path, std::shared_ptr<OpenFiles> open_files = nullptr)
      : files_(&files), path_(std::move(path)), file_(files, std::move(open_files)) {}

  const std::string& path() const noexcept { return path_; }
  std::size_t size() const noexcept { return filed_ + tail_.size(); }
  bool empty() const noexcept { return size() == 0; }
  std::size_t unwritten() const noexcept { return tail_.size(); }
  // The file is there, or would be made by save().
  bool has_file() const noexcept { return there_ || !tail_.empty(); }
  bool is_synced() const noexcept { return synced_ && !stale_ && tail_.empty(); }

  // Takes the file's whole length as its entries (a partial last one is left out). `found` is the file as it was just
  // seen, null if there is none. `synced`: its content is on the disk for sure.
  void load(const io::SurveyedFile* found, bool synced);
  void append(const Entry& entry) { tail_.push_back(entry); }
  // The entry at `index`, which must be below size().
  io::Task<Result<Entry>> at(std::size_t index);

  struct Border {
    std::size_t index = 0;  // of the first entry for which the predicate is false
    std::optional<Entry> before;
    std::optional<Entry> after;
  };
  // Where a predicate that is true for a prefix of the entries turns false. Appends may run meanwhile; after a
  // truncation meanwhile it may fail with Errc::corrupt.
  template <typename Predicate>
  io::Task<Result<Border>> find(Predicate predicate);

  // Writes what is in memory only; makes the file if it is absent.
  io::Task<Result<void>> save();
  // Makes what is written durable; nothing to do if it is.
  io::Task<Result<void>> sync();
  // Keeps the first `count` entries.
  io::Task<Result<void>> truncate(std::size_t count);
  // Forgets all; what the file holds goes with the next save(). A crash before that finds old entries there: only for
  // a segment that is checked after one.
  void clear() {
    tail_.clear();
    last_filed_.reset();
    filed_ = 0;
    stale_ = true;
  }
  void release() { file_.release(); }
  // The file has another name from now on (the owner renamed it).
  void renamed(std::string path) {
    release();
    path_ = std::move(path);
  }

 private:
  // A search stops halving here and reads the rest at once.
  static constexpr std::size_t kBlockEntries = 4096 / Entry::kBytes;

  io::Task<Result<void>> read(std::size_t index, std::size_t count, MutableBytes into);

  io::FileSystem* files_;
  std::string path_;
  CachedFile file_;
  std::size_t filed_ = 0;
  std::optional<Entry> last_filed_;  // where it is known
  std::vector<Entry> tail_;
  bool there_ = false;   // the file has been made
  bool stale_ = true;    // the file may hold something behind the entries filed
  bool synced_ = false;  // nothing was written since the last sync
};

template <typename Entry>
void EntryFile<Entry>::load(const io::SurveyedFile* found, bool synced) {
  tail_.clear();
  last_filed_.reset();
  filed_ = 0;
  there_ = found != nullptr;
  stale_ = false;
  synced_ = synced;
  if (found == nullptr) return;
  filed_ = static_cast<std::size_t>(found->info.size) / Entry::kBytes;
  const std::uint64_t last = (filed_ - 1) * Entry::kBytes;
  if (filed_ == 0 || last < found->tail_offset()) return;
  last_filed_ = Entry::decode(found->tail.data() + (last - found->tail_offset()));
}

template <typename Entry>
io::Task<Result<void>> EntryFile<Entry>::read(std::size_t index, std::size_t count, MutableBytes into) {
  Result<std::shared_ptr<io::File>> file = co_await file_.open(path_, io::OpenMode::read_write);
  KLAMM_CO_TRY(file);
  const MutableBytes part = into.first(count * Entry::kBytes);
  Result<std::size_t> got = co_await (*file)->read(index * Entry::kBytes, part);
  KLAMM_CO_TRY(got);
  if (*got != part.size()) co_return fail(Errc::corrupt, path_ + ": shorter than it was");
  co_return Result<void>();
}

template <typename Entry>
io::Task<Result<Entry>> EntryFile<Entry>::at(std::size_t index) {
  KLAMM_CHECK(index < size());
  if (index >= filed_) co_return tail_[index - filed_];
  if (index + 1 == filed_ && last_filed_) co_return *last_filed_;
  std::array<std::byte, Entry::kBytes> bytes;
  Result<void> got = co_await read(index, 1, bytes);
  KLAMM_CO_TRY(got);
  co_return Entry::decode(bytes.data());
}

template <typename Entry>
template <typename Predicate>
io::Task<Result<typename EntryFile<Entry>::Border>> EntryFile<Entry>::find(Predicate predicate) {
  Border border;
  if (!tail_.empty() && predicate(tail_.front())) {
    const auto turn = std::partition_point(tail_.begin(), tail_.end(), predicate);
    border.index = filed_ + static_cast<std::size_t>(turn - tail_.begin());
    border.before = *(turn - 1);
    if (turn != tail_.end()) border.after = *turn;
    co_return border;
  }
  if (!tail_.empty()) border.after = tail_.front();
  std::size_t low = 0;
  std::size_t high = filed_;
  std::vector<std::byte> bytes(std::min(high, kBlockEntries) * Entry::kBytes);
  // The turn is in [low, high].
  while (high - low > kBlockEntries) {
    const std::size_t middle = low + (high - low) / 2;
    Result<void> got = co_await read(middle, 1, bytes);
    KLAMM_CO_TRY(got);
    const Entry entry = Entry::decode(bytes.data());
    if (predicate(entry)) {
      low = middle + 1;
      border.before = entry;
    } else {
      high = middle;
      border.after = entry;
    }
  }
  if (high > low) {
    const std::size_t count = high - low;
    Result<void> got = co_await read(low, count, bytes);
    KLAMM_CO_TRY(got);
    std::size_t place = 0;
    for (; place < count; ++place) {
      const Entry entry = Entry::decode(bytes.data() + place * Entry::kBytes);
      if (!predicate(entry)) {
        border.after = entry;
        break;
      }
      border.before = entry;
    }
    low += place;
  }
  border.index = low;
  co_return border;
}

template <typename Entry>
io::Task<Result<void>> EntryFile<Entry>::save() {
  if (there_ && !stale_ && tail_.empty()) co_return Result<void>();
  Result<std::shared_ptr<io::File>> file = co_await file_.open(path_, io::OpenMode::create);
  KLAMM_CO_TRY(file);
  there_ = true;
  synced_ = false;
  if (stale_) {
    Result<std::uint64_t> size = co_await (*file)->size();
    KLAMM_CO_TRY(size);
    Result<void> emptied;
    if (*size > filed_ * Entry::kBytes) emptied = co_await (*file)->truncate(filed_ * Entry::kBytes);
    KLAMM_CO_TRY(emptied);
    stale_ = false;
  }
  if (tail_.empty()) co_return Result<void>();
  const std::size_t count = tail_.size();
  std::vector<std::byte> bytes(count * Entry::kBytes);
  for (std::size_t i = 0; i < count; ++i) tail_[i].encode(bytes.data() + i * Entry::kBytes);
  const Bytes content = bytes;
  Result<void> written = co_await (*file)->write(filed_ * Entry::kBytes, content);
  KLAMM_CO_TRY(written);
  synced_ = false;
  last_filed_ = tail_[count - 1];
  tail_.erase(tail_.begin(), tail_.begin() + static_cast<std::ptrdiff_t>(count));
  filed_ += count;
  co_return Result<void>();
}

template <typename Entry>
io::Task<Result<void>> EntryFile<Entry>::sync() {
  if (synced_) co_return Result<void>();
  Result<std::shared_ptr<io::File>> file = co_await file_.open(path_, io::OpenMode::create);
  KLAMM_CO_TRY(file);
  there_ = true;
  synced_ = true;  // unless something is written meanwhile
  Result<void> synced = co_await (*file)->sync();
  if (!synced) synced_ = false;
  co_return synced;
}

template <typename Entry>
io::Task<Result<void>> EntryFile<Entry>::truncate(std::size_t count) {
  KLAMM_CHECK(count <= size() || count == 0);
  if (count >= filed_) {
    tail_.resize(std::min(tail_.size(), count - filed_));
    co_return Result<void>();
  }
  tail_.clear();
  last_filed_.reset();
  filed_ = count;
  synced_ = false;
  Result<std::shared_ptr<io::File>> file = co_await file_.open(path_, io::OpenMode::create);
  KLAMM_CO_TRY(file);
  there_ = true;
  Result<void> truncated = co_await (*file)->truncate(count * Entry::kBytes);
  synced_ = false;  // a sync that was under way may not have seen it
  if (truncated) stale_ = false;
  co_return truncated;
}

}  // namespace klamm::storage
