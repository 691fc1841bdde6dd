// `.txnindex`: the aborted transactions of a segment, in the order of their abort markers. The file exists only where
// there are any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/storage/entry_file.h"

namespace klamm::storage {

struct AbortedTransaction {
  static constexpr std::size_t kBytes = 34;
  static constexpr std::int16_t kVersion = 0;
  std::int64_t producer_id = -1;
  std::int64_t first_offset = -1;
  std::int64_t last_offset = -1;         // of the abort marker
  std::int64_t last_stable_offset = -1;  // when the marker had been written
  std::int16_t version = kVersion;

  void encode(std::byte* to) const;
  static AbortedTransaction decode(const std::byte* from);
  friend bool operator==(const AbortedTransaction&, const AbortedTransaction&) = default;
};

// Owned by a Segment; changes come one at a time, lookups may run beside appends.
class TxnIndex {
 public:
  TxnIndex(io::FileSystem& files, std::string path, std::shared_ptr<OpenFiles> open_files = nullptr)
      : entries_(files, std::move(path), std::move(open_files)) {}

  EntryFile<AbortedTransaction>& entries() noexcept { return entries_; }
  const EntryFile<AbortedTransaction>& entries() const noexcept { return entries_; }
  bool empty() const noexcept { return entries_.empty(); }
  void append(const AbortedTransaction& transaction) { entries_.append(transaction); }
  // Adds those that touch [from, upper) to `found`. True if no later segment can hold more: an entry's last stable
  // offset is at or behind `upper`.
  io::Task<Result<bool>> collect(std::int64_t from, std::int64_t upper, std::vector<AbortedTransaction>& found);
  // Keeps the entries whose marker lies below `offset`.
  io::Task<Result<void>> truncate_to(std::int64_t offset);
  // Errc::corrupt if an entry has another version or offsets below the base or out of order.
  io::Task<Result<void>> check(std::int64_t base_offset);

 private:
  EntryFile<AbortedTransaction> entries_;
};

}  // namespace klamm::storage
