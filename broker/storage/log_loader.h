// Opens a partition's directory: what Kafka does at start, step by step. Used by Log::open only.
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
  io::Task<Result<void>> list_files();
  io::Task<Result<void>> check_topic_id();
  io::Task<Result<void>> finish_swaps();
  io::Task<Result<void>> remove_file(std::string name);
  io::Task<Result<void>> load_segments();
  bool is_hole(std::int64_t end, std::int64_t next_base) const;
  io::Task<Result<void>> recover_unflushed();
  io::Task<Result<void>> recover_segment(Log::SegmentRef segment, std::int64_t& next_offset, bool& cut);
  io::Task<Result<void>> drop_segments_from(std::int64_t base_offset);
  io::Task<Result<void>> start_empty(std::int64_t offset);
  io::Task<Result<void>> load_active();
  io::Task<Result<void>> tidy_snapshots();
  std::string path(std::string_view name) const;

  Log& log_;
  std::vector<std::string> names_;
  bool recovered_ = false;
};

}  // namespace klamm::storage
