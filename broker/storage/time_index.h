// `.timeindex`: from a timestamp to an offset. An entry (T, O) says that no record at or below O has a timestamp above
// T, so a record with a later one lies behind O.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "broker/storage/entry_file.h"

namespace klamm::storage {

struct TimeIndexEntry {
  static constexpr std::size_t kBytes = 12;
  TimestampMs timestamp = -1;
  std::int32_t relative_offset = 0;

  void encode(std::byte* to) const {
    store_big_endian(to, timestamp);
    store_big_endian(to + 8, relative_offset);
  }
  static TimeIndexEntry decode(const std::byte* from) {
    return {load_big_endian<std::int64_t>(from), load_big_endian<std::int32_t>(from + 8)};
  }
};

struct TimestampOffset {
  TimestampMs timestamp = -1;
  std::int64_t offset = -1;
};

// Owned by a Segment; changes come one at a time, lookups may run beside appends.
class TimeIndex {
 public:
  TimeIndex(io::FileSystem& files, std::string path, std::int64_t base_offset,
            std::shared_ptr<OpenFiles> open_files = nullptr)
      : entries_(files, std::move(path), std::move(open_files)), base_offset_(base_offset) {}

  EntryFile<TimeIndexEntry>& entries() noexcept { return entries_; }
  const EntryFile<TimeIndexEntry>& entries() const noexcept { return entries_; }
  // One place is kept for the entry that is added when the segment rolls.
  bool is_full(std::int64_t max_bytes) const {
    return static_cast<std::int64_t>((entries_.size() + 2) * TimeIndexEntry::kBytes) > max_bytes;
  }
  // After opening: learns the last entry, which maybe_append() compares with.
  io::Task<Result<void>> load_last();
  // The last entry, or {-1, base offset} without one.
  TimestampOffset last() const noexcept { return last_; }
  // Adds an entry if its timestamp is above the last one's.
  void maybe_append(TimestampMs timestamp, std::int64_t offset);
  // The largest entry with a timestamp <= the given one, or {-1, base offset}.
  io::Task<Result<TimestampOffset>> floor(TimestampMs timestamp);
  // Keeps the entries below `offset`.
  io::Task<Result<void>> truncate_to(std::int64_t offset);

 private:
  TimestampOffset expand(const TimeIndexEntry& entry) const {
    return {entry.timestamp, base_offset_ + entry.relative_offset};
  }
  EntryFile<TimeIndexEntry> entries_;
  std::int64_t base_offset_;
  TimestampOffset last_{-1, base_offset_};
};

}  // namespace klamm::storage
