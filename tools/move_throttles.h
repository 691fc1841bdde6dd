// The throttles of moves (KIP-73, KIP-455): rates of brokers, and which replicas of a topic they hold back. They are
// settings of the cluster: set when moves begin, taken away when they are done.
#pragma once

#include <cstdint>
#include <optional>

#include "klamm/blocking.h"
#include "tools/reassignment.h"

namespace klamm::tools {

// Bytes a second of each broker; nothing or below 0: left as it is.
struct MoveRates {
  std::optional<std::int64_t> replication;
  std::optional<std::int64_t> directories;  // between a broker's own directories
};

// Sets the rates and prints them.
Result<void> set_throttles(blocking::Admin& admin, const MoveRates& rates, const Moves& moves,
                           const ReassignmentPlan& plan);
// Takes away the rates of all brokers, and the lists of the plan's topics.
Result<void> clear_throttles(blocking::Admin& admin, const ReassignmentPlan& plan);

}  // namespace klamm::tools
