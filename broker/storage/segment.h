// One segment of a log: the records of a range of offsets in a file, with its indexes. Owned by a Log (readers may hold
// it a little longer); all calls on the log's shard. Changes come one at a time, reads may run beside appends.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "broker/config/log_config.h"
#include "broker/storage/batch_scanner.h"
#include "broker/storage/batch_summary.h"
#include "broker/storage/offset_index.h"
#include "broker/storage/open_files.h"
#include "broker/storage/time_index.h"
#include "broker/storage/txn_index.h"
#include "io/file.h"
#include "io/survey.h"

namespace klamm::storage {

// A batch and where it lies in the segment's file.
struct PlacedBatch {
  std::int64_t base_offset = 0;
  std::int64_t last_offset = 0;
  std::int64_t position = 0;
  std::int64_t size = 0;
};

class Segment {
 public:
  // For a segment whose files are there or will be made by create().
  // `suffix` follows all their names (".cleaned"). `open_files` bounds how many of them are open; null: no bound.
  Segment(io::FileSystem& files, std::string directory, std::int64_t base_offset, std::string_view suffix = {},
          std::shared_ptr<OpenFiles> open_files = nullptr);

  // True if a segment's indexes can say where `offset` lies: relative offsets are of 32 bits.
  static bool fits(std::int64_t base_offset, std::int64_t offset) noexcept {
    return offset - base_offset <= std::numeric_limits<std::int32_t>::max();
  }

  std::int64_t base_offset() const noexcept { return base_offset_; }
  // Bytes of whole batches (a preallocated file is longer).
  std::int64_t size_bytes() const noexcept { return size_; }
  const std::string& log_path() const noexcept { return log_path_; }
  OffsetIndex& offset_index() noexcept { return offset_index_; }
  TimeIndex& time_index() noexcept { return time_index_; }
  TxnIndex& txn_index() noexcept { return txn_index_; }

  // Makes the files; an existing one of zero size is taken over, Errc::already_exists for one with content.
  // `preallocate_bytes` > 0 reserves that much.
  io::Task<Result<void>> create(std::int64_t preallocate_bytes, TimestampMs now_ms);
  // What load() and those after it want to know of the files in a log's directory.
  static io::SurveyBytes survey_bytes(std::string_view name, bool is_last_log);
  // Learns of existing files by what was just seen in the directory. `synced`: they are on the disk for sure.
  // Errc::corrupt if the offset index is missing or an index cannot be right: the segment must be recovered then.
  io::Task<Result<void>> load(const io::Survey& found, bool synced);
  // Takes up appending after load(): reads from the last index entry to the end. Returns the offset after the last
  // record (the base offset for an empty segment).
  io::Task<Result<std::int64_t>> load_end(const io::Survey& found);
  // After load(), whatever it returned: reads and checks everything, rebuilding the indexes in memory: finish() writes
  // them. `accept` sees each good batch with its bytes and may refuse it (then it counts as corrupt). What follows the
  // last good batch is cut off. Returns the offset after the last record.
  struct Recovered {
    std::int64_t next_offset = 0;
    std::int64_t cut_bytes = 0;  // behind the last good batch: finish() cuts them off
    std::string why;
    // A good batch whose offset does not fit into the segment: nothing was cut, the segment must be split.
    bool overflow = false;
  };
  using Accept = std::function<Result<void>(const BatchSummary& batch, const Slice& bytes)>;
  io::Task<Result<Recovered>> recover(const io::Survey& found, std::int32_t index_interval_bytes, Accept accept);

  // Appends whole batches, described by `batches`, in one write. `parts` are their bytes, one after the other. On
  // failure the file is cut back to where it was; if that fails too `damaged()` is true.
  io::Task<Result<void>> append(std::span<const BatchSummary> batches, std::span<const Bytes> parts,
                                std::int32_t index_interval_bytes);
  bool damaged() const noexcept { return damaged_; }

  // The first batch that ends at or behind `offset`; empty if the segment has none.
  io::Task<Result<std::optional<PlacedBatch>>> find(std::int64_t offset);
  // An offset that a read of [.., position) surely stays below; empty if only the segment's end tells.
  io::Task<Result<std::optional<std::int64_t>>> offset_behind(std::int64_t position) {
    return offset_index_.offset_behind(position);
  }
  // Opens the log file if it is not open.
  io::Task<Result<std::shared_ptr<io::File>>> file();

  // The largest timestamp and the last offset of its batch; {-1, base} for a segment without timestamps.
  TimestampOffset largest_timestamp() const noexcept { return largest_; }
  // What segment.ms counts from: the first batch's max timestamp, -1 if there is none.
  // Not known of a loaded segment until load_end() or load_first_timestamp().
  TimestampMs first_batch_timestamp() const noexcept { return first_timestamp_; }
  // Reads it where it is not known.
  io::Task<Result<TimestampMs>> load_first_timestamp();
  TimestampMs created_ms() const noexcept { return created_ms_; }
  // When the log file was last written, for retention without timestamps.
  io::Task<Result<TimestampMs>> modified_ms();
  io::Task<Result<void>> set_modified(TimestampMs modified_ms);

  // Cuts everything at or behind `offset`; returns the offset after the last record kept.
  io::Task<Result<std::int64_t>> truncate_to(std::int64_t offset);
  // No more appends: last time index entry, indexes into their files, preallocated space off.
  io::Task<Result<void>> finish();
  // Log file and what is written of the indexes, on the disk. An active segment's indexes may be left out: after a
  // crash they are rebuilt.
  io::Task<Result<void>> sync(bool with_indexes);
  // True if nothing has changed since a sync with indexes (or load() was told so).
  bool is_synced() const noexcept;
  // Closes files that were not used since the last call; only for segments that nothing is appended to.
  void release_unused();
  // Closes all files at once; they are opened again when needed.
  void release();

  // Gives all files the names with `suffix` behind them (empty: the plain ones) instead of the one they have; returns
  // the new names. Open files stay readable.
  io::Task<Result<std::vector<std::string>>> rename_with(std::string suffix);
  // Deletes the files at once.
  io::Task<Result<void>> remove();
  // Deletes what there is of a segment with this base offset that compaction has begun (.cleaned, .swap).
  io::Task<Result<void>> discard();
  // The directory has another name.
  void directory_renamed(const std::string& directory);

 private:
  std::string path_of(std::string_view suffix) const;
  void note_batch(const BatchSummary& batch, std::int64_t position, std::int32_t index_interval_bytes);
  void take_names();
  void reset();
  io::Task<Result<std::int64_t>> take_in_tail(const io::SurveyedFile* seen = nullptr);
  io::Task<Result<void>> learn_first_timestamp(const io::SurveyedFile* seen);
  io::Task<void> undo_create();
  io::Task<Result<void>> save_indexes();
  // The answer of find(), if the remembered batches hold it: {known, batch}.
  std::pair<bool, std::optional<PlacedBatch>> find_recent(std::int64_t offset) const;

  // The newest batches are remembered, so that readers at the end and the high watermark need no look into the file.
  static constexpr std::size_t kRecent = 32;
  // Index entries are written out when so many have gathered in memory.
  static constexpr std::size_t kMostUnwritten = 4096;

  io::FileSystem* files_;
  std::string directory_;
  std::int64_t base_offset_;
  std::string suffix_;
  std::string log_path_;
  CachedFile file_;
  std::int64_t size_ = 0;
  std::int64_t file_size_ = 0;  // with preallocated space
  OffsetIndex offset_index_;
  TimeIndex time_index_;
  TxnIndex txn_index_;
  std::int64_t bytes_since_entry_ = 0;
  TimestampOffset largest_;
  TimestampMs first_timestamp_ = -1;
  TimestampMs created_ms_ = 0;
  std::vector<PlacedBatch> recent_;  // a ring once it is full
  std::size_t recent_next_ = 0;
  bool log_synced_ = false;  // nothing was written to the log file since its last sync
  bool damaged_ = false;
  bool used_ = false;
};

}  // namespace klamm::storage
