// Where each leader epoch begins in a log: the cache behind leader-epoch-checkpoint. Pure; the log saves it when told
// that it changed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "broker/storage/checkpoint.h"

namespace klamm::storage {

// The answer to OffsetForLeaderEpoch; {-1, -1} if nothing is known.
struct EpochEnd {
  std::int32_t epoch = -1;
  std::int64_t end_offset = -1;
  friend bool operator==(const EpochEnd&, const EpochEnd&) = default;
};

class LeaderEpochs {
 public:
  LeaderEpochs() = default;
  explicit LeaderEpochs(std::vector<EpochEntry> entries);  // entries out of order lose to later ones, as in assign()

  const std::vector<EpochEntry>& entries() const noexcept { return entries_; }
  bool empty() const noexcept { return entries_.empty(); }
  std::optional<std::int32_t> latest() const;
  std::optional<std::int32_t> earliest() const;

  // Epoch `epoch` begins at `start_offset`. Entries that contradict it (an epoch not below it, or one that begins at or
  // beyond that offset) go. True if anything changed; false for an epoch that is the latest already.
  bool assign(std::int32_t epoch, std::int64_t start_offset);
  // Entries that begin at or beyond `end_offset` go. True if anything changed.
  bool truncate_from_end(std::int64_t end_offset);
  // Entries that end at or before `start_offset` go; the one that holds it begins there now. True if changed.
  bool truncate_from_start(std::int64_t start_offset);
  void clear() { entries_.clear(); }

  // The largest known epoch <= `epoch` and the offset where it ends (the start of the next one, or `log_end`).
  EpochEnd end_of(std::int32_t epoch, std::int64_t log_end) const;
  // The epoch that the record at `offset` was written in.
  std::optional<std::int32_t> epoch_at(std::int64_t offset) const;
  // The largest known epoch below `epoch` (for truncation against a leader).
  std::optional<std::int32_t> previous(std::int32_t epoch) const;

 private:
  std::vector<EpochEntry> entries_;  // epochs and offsets both ascending
};

}  // namespace klamm::storage
