#include "broker/raft/log_shape.h"

#include <algorithm>

namespace klamm::raft {

std::int32_t LogShape::last_epoch() const {
  if (const std::optional<std::int32_t> latest = epochs.latest()) return *latest;
  const std::optional<SnapshotId> snapshot = latest_snapshot();
  return snapshot ? snapshot->epoch : 0;
}

std::optional<SnapshotId> LogShape::latest_snapshot() const {
  if (snapshots.empty() || *snapshots.rbegin() == kBootstrapSnapshotId) return std::nullopt;
  return *snapshots.rbegin();
}

std::optional<SnapshotId> LogShape::oldest_snapshot() const {
  if (snapshots.empty()) return std::nullopt;
  return *snapshots.begin();
}

OffsetAndEpoch LogShape::end_of(std::int32_t epoch) const {
  const std::vector<storage::EpochEntry>& entries = epochs.entries();
  const auto above = std::find_if(entries.begin(), entries.end(),
                                  [epoch](const storage::EpochEntry& entry) { return entry.epoch > epoch; });
  if (above == entries.end()) {
    // The latest epoch, one that is above all of them, or a log without records.
    return {end, last_epoch()};
  }
  const std::int64_t offset = above->start_offset;
  const std::optional<SnapshotId> oldest = oldest_snapshot();
  if (above == entries.begin()) {
    // Below the first epoch of the log there is only what the oldest snapshot tells.
    if (oldest && oldest->end_offset == offset) return {offset, oldest->epoch};
    return {offset, epoch};
  }
  return {offset, std::prev(above)->epoch};
}

LogShape::Verdict LogShape::check(std::int64_t offset, std::int32_t last_epoch) const {
  if (start == 0 && offset == 0) return Agrees{};
  const std::optional<SnapshotId> oldest = oldest_snapshot();
  if (oldest && (offset < start || (offset == start && last_epoch != oldest->epoch) || last_epoch < oldest->epoch)) {
    return *snapshots.rbegin();
  }
  const OffsetAndEpoch ours = end_of(last_epoch);
  if (ours.epoch != last_epoch || ours.offset < offset) return ours;
  return Agrees{};
}

std::int64_t LogShape::truncation_point(const OffsetAndEpoch& diverging) const {
  if (diverging.epoch == 0) return std::min(diverging.offset, end);
  const OffsetAndEpoch ours = end_of(diverging.epoch);
  return ours.epoch == diverging.epoch ? std::min(ours.offset, diverging.offset) : ours.offset;
}

void LogShape::append(std::int32_t epoch, std::int64_t base_offset, std::int64_t last_offset) {
  epochs.assign(epoch, base_offset);
  end = last_offset + 1;
}

void LogShape::truncate(std::int64_t to) {
  epochs.truncate_from_end(to);
  end = to;
}

void LogShape::restart_at(const SnapshotId& id) {
  epochs.clear();
  start = end = id.end_offset;
  snapshots = {id};
}

}  // namespace klamm::raft
