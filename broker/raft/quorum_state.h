// The quorum-state file: what a voter must not forget. One line of JSON in the metadata log's directory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "broker/raft/voters.h"
#include "io/file.h"

namespace klamm::raft {

constexpr std::string_view kQuorumStateFile = "quorum-state";

struct QuorumState {
  std::int32_t leader_id = -1;  // -1: not known
  std::int32_t leader_epoch = 0;
  std::optional<ReplicaKey> voted;          // whom this node gave its vote in the epoch
  std::vector<std::int32_t> static_voters;  // version 0 only
  std::int16_t data_version = 0;            // 1 once kraft.version 1 is known
  friend bool operator==(const QuorumState&, const QuorumState&) = default;
};

// The line as Kafka writes it, without a newline.
std::string format_quorum_state(const QuorumState& state);
// Errc::malformed if it is not such a line, Errc::unsupported for another version than 0 and 1.
Result<QuorumState> parse_quorum_state(std::string_view text);

// An absent or empty file is the state of a node that never took part: epoch 0, no leader, no vote (nullopt here).
io::Task<Result<std::optional<QuorumState>>> load_quorum_state(io::FileSystem& files, std::string directory);
// Durable when it returns; a crash leaves the old or the new file.
io::Task<Result<void>> save_quorum_state(io::FileSystem& files, std::string directory, QuorumState state);

}  // namespace klamm::raft
