// Where a new partition's replicas go. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"

namespace klamm::controller {

// A broker that may get replicas.
struct PlacementBroker {
  std::int32_t id = 0;
  std::optional<std::string> rack;
  bool fenced = false;
};

// Replicas for `partitions` partitions, leader first. Leaders go round over the brokers that are not fenced, racks
// taking turns; the other replicas go to as many racks as there are, and among equals to the broker with the fewest.
// Fenced brokers get replicas only where the others are too few. Errors: INVALID_REPLICATION_FACTOR.
Result<std::vector<std::vector<std::int32_t>>> place_replicas(const std::vector<PlacementBroker>& brokers,
                                                              std::int32_t partitions, std::int16_t replication_factor,
                                                              Random& random);

}  // namespace klamm::controller
