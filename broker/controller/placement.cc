#include "broker/controller/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "protocol/error.h"

namespace klamm::controller {
namespace {

using protocol::ErrorCode;
using protocol::kafka_error;

// Brokers in an order in which racks take turns: a ring to deal leaders along.
std::vector<PlacementBroker> interleaved(const std::vector<PlacementBroker>& brokers, Random& random) {
  std::map<std::optional<std::string>, std::vector<PlacementBroker>> by_rack;
  for (const PlacementBroker& broker : brokers) by_rack[broker.rack].push_back(broker);
  std::vector<std::vector<PlacementBroker>> racks;
  for (auto& [rack, members] : by_rack) {
    std::shuffle(members.begin(), members.end(), random);
    racks.push_back(std::move(members));
  }
  std::shuffle(racks.begin(), racks.end(), random);
  std::vector<PlacementBroker> ring;
  for (std::size_t round = 0; ring.size() < brokers.size(); ++round) {
    for (const auto& members : racks) {
      if (round < members.size()) ring.push_back(members[round]);
    }
  }
  return ring;
}

class Placer {
 public:
  Placer(const std::vector<PlacementBroker>& brokers, Random& random) {
    std::vector<PlacementBroker> usable;
    std::vector<PlacementBroker> fenced;
    for (const PlacementBroker& broker : brokers) (broker.fenced ? fenced : usable).push_back(broker);
    ring_ = interleaved(usable, random);
    leaders_ = ring_.size();
    for (PlacementBroker& broker : interleaved(fenced, random)) ring_.push_back(std::move(broker));
    load_.assign(ring_.size(), 0);
    next_leader_ = leaders_ == 0 ? 0 : random.below(leaders_);
  }

  std::vector<std::int32_t> next_partition(std::size_t replicas) {
    std::vector<bool> taken(ring_.size(), false);
    std::map<std::optional<std::string>, int> rack_use;
    std::vector<std::int32_t> placed;
    const std::size_t leader = next_leader_++ % leaders_;
    std::size_t chosen = leader;
    while (true) {
      taken[chosen] = true;
      ++rack_use[ring_[chosen].rack];
      ++load_[chosen];
      placed.push_back(ring_[chosen].id);
      if (placed.size() == replicas) return placed;
      chosen = next_replica(leader, taken, rack_use);
    }
  }

 private:
  // The best of those not taken: not fenced, in the least used rack, with the fewest replicas, soonest behind the
  // leader.
  std::size_t next_replica(std::size_t leader, const std::vector<bool>& taken,
                           const std::map<std::optional<std::string>, int>& rack_use) const {
    std::size_t best = ring_.size();
    std::tuple<bool, int, std::int64_t> best_rank;
    for (std::size_t step = 1; step <= ring_.size(); ++step) {
      const std::size_t candidate = (leader + step) % ring_.size();
      if (taken[candidate]) continue;
      const auto used = rack_use.find(ring_[candidate].rack);
      const std::tuple rank{ring_[candidate].fenced, used == rack_use.end() ? 0 : used->second, load_[candidate]};
      if (best == ring_.size() || rank < best_rank) {
        best = candidate;
        best_rank = rank;
      }
    }
    return best;
  }

  std::vector<PlacementBroker> ring_;  // those not fenced, then the fenced ones
  std::size_t leaders_ = 0;            // how many are not fenced
  std::vector<std::int64_t> load_;     // replicas placed so far, by position in the ring
  std::size_t next_leader_ = 0;
};

}  // namespace

Result<std::vector<std::vector<std::int32_t>>> place_replicas(const std::vector<PlacementBroker>& brokers,
                                                              std::int32_t partitions, std::int16_t replication_factor,
                                                              Random& random) {
  if (replication_factor <= 0) {
    return fail(kafka_error(
        ErrorCode::invalid_replication_factor,
        fmt::format("Invalid replication factor {}: the replication factor must be positive.", replication_factor)));
  }
  if (std::all_of(brokers.begin(), brokers.end(), [](const PlacementBroker& broker) { return broker.fenced; })) {
    return fail(kafka_error(ErrorCode::invalid_replication_factor, "All brokers are currently fenced."));
  }
  if (static_cast<std::size_t>(replication_factor) > brokers.size()) {
    return fail(kafka_error(
        ErrorCode::invalid_replication_factor,
        fmt::format("The target replication factor of {} cannot be reached because only {} broker(s) are registered or "
                    "some brokers have all their log directories cordoned.",
                    replication_factor, brokers.size())));
  }
  Placer placer(brokers, random);
  std::vector<std::vector<std::int32_t>> placements;
  placements.reserve(static_cast<std::size_t>(std::max(partitions, 0)));
  for (std::int32_t partition = 0; partition < partitions; ++partition) {
    placements.push_back(placer.next_partition(static_cast<std::size_t>(replication_factor)));
  }
  return placements;
}

}  // namespace klamm::controller
