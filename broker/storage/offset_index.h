// `.index`: from an offset to a place in the segment's file, one entry about every index.interval.bytes.
#pragma once

#include <cstdint>
#include <string>

#include "broker/storage/entry_file.h"

namespace klamm::storage {

struct OffsetIndexEntry {
  static constexpr std::size_t kBytes = 8;
  std::int32_t relative_offset = 0;  // to the segment's base: the last offset of a batch
  std::int32_t position = 0;         // where that batch begins

  void encode(std::byte* to) const {
    store_big_endian(to, relative_offset);
    store_big_endian(to + 4, position);
  }
  static OffsetIndexEntry decode(const std::byte* from) {
    return {load_big_endian<std::int32_t>(from), load_big_endian<std::int32_t>(from + 4)};
  }
};

// Owned by a Segment; changes come one at a time, lookups may run beside appends.
class OffsetIndex {
 public:
  OffsetIndex(io::FileSystem& files, std::string path, std::int64_t base_offset,
              std::shared_ptr<OpenFiles> open_files = nullptr)
      : entries_(files, std::move(path), std::move(open_files)), base_offset_(base_offset) {}

  EntryFile<OffsetIndexEntry>& entries() noexcept { return entries_; }
  const EntryFile<OffsetIndexEntry>& entries() const noexcept { return entries_; }
  bool is_full(std::int64_t max_bytes) const {
    return static_cast<std::int64_t>((entries_.size() + 1) * OffsetIndexEntry::kBytes) > max_bytes;
  }
  // `last_offset` and `position` must be above those of the last entry.
  void append(std::int64_t last_offset, std::int64_t position);
  // A place at or before the first batch that ends at or behind `offset`, to scan from: the batch of the largest entry
  // with an offset <= the given one, or 0.
  io::Task<Result<std::int64_t>> position_before(std::int64_t offset);
  // The offset of the first entry at or behind a position; empty if there is none.
  io::Task<Result<std::optional<std::int64_t>>> offset_behind(std::int64_t position);
  // The last entry's position (0 without entries): where a scan for the end begins.
  io::Task<Result<std::int64_t>> last_position();
  // Keeps the entries below `offset`.
  io::Task<Result<void>> truncate_to(std::int64_t offset);

 private:
  EntryFile<OffsetIndexEntry> entries_;
  std::int64_t base_offset_;
};

}  // namespace klamm::storage
