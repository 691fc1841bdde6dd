// What compaction knows of the keys in the part of a log that it cleans: for each the last offset. Keys are kept as
// 128-bit hashes, 24 bytes an entry with the offset, in one block of memory. The hash (SipHash-2-4) is keyed by random
// bits of its own for each map: nobody can make up two keys that fall together, and by chance none do.
//
// Owned by one cleaning, used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/bytes.h"

namespace klamm::storage {

struct HashKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};
struct KeyHash {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  friend bool operator==(const KeyHash&, const KeyHash&) = default;
};
KeyHash siphash_128(const HashKey& key, Bytes bytes) noexcept;

class OffsetMap {
 public:
  static constexpr std::size_t kEntryBytes = 24;

  // At most `memory_bytes`, filled to `load_factor` of its slots; takes less where no more than `most_entries` will
  // come. Memory that no entry touches costs nothing; where there is none to be had, the map is smaller.
  OffsetMap(std::size_t memory_bytes, double load_factor, std::uint64_t most_entries, HashKey key);

  // False if the key is new and the map is full: nothing is changed then.
  bool put(Bytes key, std::int64_t offset);
  // The key's last offset, or -1.
  std::int64_t find(Bytes key) const noexcept;

  std::uint64_t size() const noexcept { return entries_; }
  std::uint64_t most_entries() const noexcept { return most_entries_; }
  std::size_t memory_bytes() const noexcept { return slots_ * kEntryBytes; }
  // The last offset that the map speaks for: about records beyond it nothing is known. -1: none.
  std::int64_t latest_offset() const noexcept { return latest_offset_; }
  void set_latest_offset(std::int64_t offset) noexcept { latest_offset_ = offset; }

 private:
  struct Entry {
    KeyHash hash;
    std::int64_t offset_and_one;  // 0: free
  };
  static_assert(sizeof(Entry) == kEntryBytes);
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  // The key's entry, or the free one where it belongs.
  Entry* place_of(const KeyHash& hash) const noexcept;

  HashKey key_;
  std::uint64_t slots_;
  std::uint64_t most_entries_;
  std::uint64_t entries_ = 0;
  std::int64_t latest_offset_ = -1;
  std::unique_ptr<Entry[], Free> table_;
};

}  // namespace klamm::storage
