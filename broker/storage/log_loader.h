// Opens a partition's directory: what Kafka does at start, step by step. Used by Log::open only. Leftovers of
// compaction are in log_swaps.cc, splitting segments is in log_split.cc.
#pragma once

#include <string>
#include <vector>

#include "broker/storage/log.h"

namespace klamm::storage {

class LogLoader {
 public:
  explicit LogLoader(Log& log) : log_(log) {}
  // Fills the log, whose options say where it lies and what is known of it.
  io::Task<Result<void>> load();

 private:
  io::Task<Result<void>> load_once();
  void forget();
  io::Task<Result<void>> look_around();
  io::Task<Result<Slice>> content_of(std::string_view name);
  io::Task<Result<void>> check_topic_id();
  io::Task<Result<void>> load_epochs();
  io::Task<Result<void>> finish_swaps();
  io::Task<Result<void>> find_replaced(const std::vector<std::string>& swaps, std::vector<std::string>& replaced);
  io::Task<Result<void>> remove_files(std::vector<std::string> doomed);
  io::Task<Result<void>> remove_file(std::string name);
  io::Task<Result<void>> load_segments();
  io::Task<Result<void>> drop_snapshots_above(std::int64_t offset);
  bool is_deleted_front(std::int64_t end, std::int64_t next_base) const;
  io::Task<Result<void>> drop_segments_before(std::int64_t base_offset);
  bool is_hole(std::int64_t end, std::int64_t next_base) const;
  io::Task<Result<void>> recover_unflushed();
  io::Task<Result<void>> recover_segment(Log::SegmentRef segment, std::int64_t& next_offset, bool& cut);
  Result<void> needs_split(Log::SegmentRef segment);
  void take_epoch(const BatchSummary& batch);
  io::Task<Result<void>> make_durable(Log::SegmentRef segment);
  io::Task<Result<void>> drop_segments_from(std::int64_t base_offset);
  io::Task<Result<void>> start_empty(std::int64_t offset);
  io::Task<Result<void>> load_active();
  io::Task<Result<void>> tidy_snapshots();
  io::Task<Result<bool>> is_torn(std::int64_t snapshot) const;
  std::string path(std::string_view name) const;

  // log_split.cc
  io::Task<Result<bool>> overflows(Log::SegmentRef segment, std::int64_t next_base);
  io::Task<Result<void>> split(Log::SegmentRef old);
  io::Task<Result<void>> copy_parts(Log::SegmentRef old, std::vector<Log::SegmentRef>& parts);
  io::Task<Result<void>> copy_transactions(const Segment& old, const std::vector<Log::SegmentRef>& parts);
  io::Task<Result<void>> replace_by(Log::SegmentRef old, const std::vector<Log::SegmentRef>& parts);

  Log& log_;
  io::Survey found_;  // the directory as it was before anything was changed but for finish_swaps()
  std::vector<std::string> names_;
  Log::SegmentRef overflowed_;  // load_once() has failed because of it
  bool renamed_ = false;        // found_ is not true any more
  bool recovered_ = false;      // a segment was checked batch by batch
  bool to_the_end_ = false;     // all from there to the log's end are
  bool must_sync_ = false;      // names were made or taken away: that must hold before anything is appended
  bool must_save_id_ = false;   // there is no partition.metadata
};

}  // namespace klamm::storage
