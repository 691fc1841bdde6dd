// Which snapshot. A plain value.
#pragma once

#include <compare>
#include <cstdint>

namespace klamm::raft {

// What a snapshot holds: all below the (exclusive) end offset. Epoch: of the last record below it.
struct SnapshotId {
  std::int64_t end_offset = 0;
  std::int32_t epoch = 0;
  friend auto operator<=>(const SnapshotId&, const SnapshotId&) = default;
};
// What `storage format` writes of the voters.
constexpr SnapshotId kBootstrapSnapshotId{0, 0};

}  // namespace klamm::raft
