// Walks the batches of a segment's file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "broker/storage/batch_summary.h"
#include "io/file.h"

namespace klamm::storage {

// One walk, owned by the coroutine that makes it:
//
//   BatchScanner scanner(file, from, to, kBytesAtOnce);
//   for (;;) { Result<bool> more = co_await scanner.next(); … scanner.batch() … scanner.position() … }
//
// It stops at `to`, or where no whole batch begins (a torn write, preallocated zeros): position_after() tells where.
class BatchScanner {
 public:
  // Chunk sizes: for a look at some headers, and for reading all.
  static constexpr std::size_t kHeaders = 4096;
  static constexpr std::size_t kWhole = std::size_t{256} << 10;

  BatchScanner(std::shared_ptr<io::File> file, std::int64_t from, std::int64_t to, std::size_t chunk_bytes)
      : file_(std::move(file)), next_(from), to_(to), chunk_bytes_(chunk_bytes) {}

  // Bytes of the file, from `position` on, that were read before. The walk may need no file then.
  void preset(Slice bytes, std::int64_t position) {
    window_ = std::move(bytes);
    window_begin_ = position;
  }

  // Goes to the next batch, reading no more than its header needs. False where there is none; errors are the file's.
  io::Task<Result<bool>> next();
  // The same, and all bytes of the batch are in bytes().
  io::Task<Result<bool>> next_whole();
  // After next(): gets the batch's bytes too. False if the file ends inside it; the walk is over then.
  io::Task<Result<bool>> load_bytes();

  const BatchSummary& batch() const noexcept { return batch_; }
  std::int64_t position() const noexcept { return position_; }
  std::int64_t position_after() const noexcept { return next_; }
  // After next_whole() or load_bytes(). A slice of a read buffer that nobody writes again.
  const Slice& bytes() const noexcept { return bytes_; }

 private:
  // Makes [at, at + size) part of the window; false if the file ends before.
  io::Task<Result<bool>> need(std::int64_t at, std::int64_t size);
  Bytes window_at(std::int64_t at, std::int64_t most) const;

  std::shared_ptr<io::File> file_;
  std::int64_t next_;
  std::int64_t to_;
  std::size_t chunk_bytes_;
  std::int64_t position_ = 0;
  BatchSummary batch_;
  Slice bytes_;
  Slice window_;
  std::int64_t window_begin_ = 0;
};

// Checks length, CRC and structure of a stored entry of any magic. Errc::corrupt with the reason.
Result<void> check_entry(const Slice& entry);

}  // namespace klamm::storage
