// The batches of a log's file, one after the other, one in memory at a time: for tools that read files which no broker
// serves. Blocking; of the main thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/record/batch.h"

namespace klamm::tools {

class BatchReader {
 public:
  // Reads at most `limit_bytes` of the file. The error is the system's, with the path.
  static Result<BatchReader> open(const std::string& path, std::uint64_t limit_bytes = UINT64_MAX);

  // False at the end, or at bytes that are no whole entry.
  bool next();
  // next() goes on here.
  void seek(std::uint64_t position) { next_ = position; }
  const Slice& entry() const noexcept { return entry_; }
  std::int8_t magic() const noexcept { return head_.magic; }
  std::uint64_t position() const noexcept { return position_; }
  // Where the last whole entry ends.
  std::uint64_t valid_end() const noexcept { return next_; }
  // Of the whole file.
  std::uint64_t file_bytes() const noexcept { return file_bytes_; }

 private:
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  explicit BatchReader(File file) : file_(std::move(file)) {}

  File file_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t next_ = 0;
  Slice entry_;
  record::EntryHead head_;
};

}  // namespace klamm::tools
