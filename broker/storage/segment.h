// One segment of a log: the records of a range of offsets in a file, with its indexes. Owned by a Log (readers may hold
// it a little longer); all calls on the log's shard. Changes come one at a time, reads may run beside appends.
#pragma once

#include <cstdint>
#include <functional>
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
#include "broker/storage/time_index.h"
#include "broker/storage/txn_index.h"
#include "io/file.h"

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
  Segment(io::FileSystem& files, std::string directory, std::int64_t base_offset);

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
  // Learns the sizes of existing files. Errc::corrupt if the offset index is missing or an index cannot be right: the
  // segment must be recovered then.
  io::Task<Result<void>> load();
  // Takes up appending after load(): reads from the last index entry to the end. Returns the offset after the last
  // record (the base offset for an empty segment).
  io::Task<Result<std::int64_t>> load_end();
  // Reads and checks everything, rebuilding the indexes. `accept` sees each good batch with its bytes and may refuse it
  // (then it counts as corrupt). What follows the last good batch is cut off. Returns the offset after the last record.
  struct Recovered {
    std::int64_t next_offset = 0;
    std::int64_t cut_bytes = 0;
    std::string why;  // of the cut
  };
  using Accept = std::function<Result<void>(const BatchSummary& batch, const Slice& bytes)>;
  io::Task<Result<Recovered>> recover(std::int32_t index_interval_bytes, Accept accept);

  // Appends whole batches, described by `batches`, in one write. On failure the file is cut back to where it was; if
  // that fails too `damaged()` is true.
  io::Task<Result<void>> append(std::span<const BatchSummary> batches, Bytes records,
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
  TimestampMs first_batch_timestamp() const noexcept { return first_timestamp_; }
  TimestampMs created_ms() const noexcept { return created_ms_; }
  // When the log file was last written, for retention without timestamps.
  io::Task<Result<TimestampMs>> modified_ms();

  // Cuts everything at or behind `offset`; returns the offset after the last record kept.
  io::Task<Result<std::int64_t>> truncate_to(std::int64_t offset);
  // No more appends: last time index entry, indexes into their files, preallocated space off.
  io::Task<Result<void>> finish();
  // Log file and what is written of the indexes, on the disk. An active segment's indexes may be left out: after a
  // crash they are rebuilt.
  io::Task<Result<void>> sync(bool with_indexes);
  // Closes files that were not used since the last call; only for segments that nothing is appended to.
  void release_unused();
  // Closes all files at once; they are opened again when needed.
  void release();

  // Appends `suffix` to the names of all files; returns the new names. Open files stay readable.
  io::Task<Result<std::vector<std::string>>> rename_with(std::string suffix);
  // Deletes the files at once.
  io::Task<Result<void>> remove();
  // The directory has another name.
  void directory_renamed(const std::string& directory);

 private:
  std::string path_of(std::string_view suffix) const;
  void note_batch(const BatchSummary& batch, std::int64_t position, std::int32_t index_interval_bytes);
  void reset();
  io::Task<Result<std::int64_t>> take_in_tail();
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
  std::string log_path_;
  std::shared_ptr<io::File> file_;
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
  bool damaged_ = false;
  bool used_ = false;
};

}  // namespace klamm::storage
