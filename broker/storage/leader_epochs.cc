#include "broker/storage/leader_epochs.h"

#include <algorithm>

namespace klamm::storage {

LeaderEpochs::LeaderEpochs(std::vector<EpochEntry> entries) {
  for (const EpochEntry& entry : entries) assign(entry.epoch, entry.start_offset);
}

std::optional<std::int32_t> LeaderEpochs::latest() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.back().epoch;
}

std::optional<std::int32_t> LeaderEpochs::earliest() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.front().epoch;
}

bool LeaderEpochs::assign(std::int32_t epoch, std::int64_t start_offset) {
  if (epoch < 0 || start_offset < 0) return false;
  if (!entries_.empty() && entries_.back().epoch == epoch && entries_.back().start_offset <= start_offset) return false;
  while (!entries_.empty() && (entries_.back().epoch >= epoch || entries_.back().start_offset >= start_offset)) {
    entries_.pop_back();
  }
  entries_.push_back({epoch, start_offset});
  return true;
}

bool LeaderEpochs::truncate_from_end(std::int64_t end_offset) {
  const std::size_t before = entries_.size();
  while (!entries_.empty() && entries_.back().start_offset >= end_offset) entries_.pop_back();
  return entries_.size() != before;
}

bool LeaderEpochs::truncate_from_start(std::int64_t start_offset) {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), start_offset,
                       [](std::int64_t offset, const EpochEntry& entry) { return offset < entry.start_offset; });
  if (after == entries_.begin()) return false;
  const auto holder = after - 1;
  if (holder == entries_.begin() && holder->start_offset == start_offset) return false;
  holder->start_offset = start_offset;
  entries_.erase(entries_.begin(), holder);
  return true;
}

EpochEnd LeaderEpochs::end_of(std::int32_t epoch, std::int64_t log_end) const {
  if (epoch < 0 || entries_.empty() || epoch > entries_.back().epoch) return {};
  if (epoch == entries_.back().epoch) return {epoch, log_end};
  const auto higher =
      std::upper_bound(entries_.begin(), entries_.end(), epoch,
                       [](std::int32_t wanted, const EpochEntry& entry) { return wanted < entry.epoch; });
  // Asked for an epoch before the first known one: it ends where that one begins.
  if (higher == entries_.begin()) return {epoch, higher->start_offset};
  return {(higher - 1)->epoch, higher->start_offset};
}

std::optional<std::int32_t> LeaderEpochs::epoch_at(std::int64_t offset) const {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), offset,
                       [](std::int64_t wanted, const EpochEntry& entry) { return wanted < entry.start_offset; });
  if (after == entries_.begin()) return std::nullopt;
  return (after - 1)->epoch;
}

std::optional<std::int32_t> LeaderEpochs::previous(std::int32_t epoch) const {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), epoch,
                                   [](const EpochEntry& entry, std::int32_t wanted) { return entry.epoch < wanted; });
  if (at == entries_.begin()) return std::nullopt;
  return (at - 1)->epoch;
}

}  // namespace klamm::storage
