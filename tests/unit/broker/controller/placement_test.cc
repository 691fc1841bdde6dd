#include "broker/controller/placement.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

#include "protocol/error.h"

namespace klamm::controller {
namespace {

std::vector<PlacementBroker> brokers_in_racks(int racks, int per_rack) {
  std::vector<PlacementBroker> brokers;
  for (int rack = 0; rack < racks; ++rack) {
    for (int index = 0; index < per_rack; ++index) {
      brokers.push_back({rack * per_rack + index, "r" + std::to_string(rack), false});
    }
  }
  return brokers;
}

std::vector<std::vector<std::int32_t>> placed_of(Result<std::vector<std::vector<std::int32_t>>> placed) {
  REQUIRE(placed.has_value());
  return std::move(*placed);
}

std::pair<int, int> spread(const std::map<std::int32_t, int>& counts, std::size_t brokers) {
  int least = counts.size() < brokers ? 0 : counts.begin()->second;
  int most = 0;
  for (const auto& [id, count] : counts) {
    least = std::min(least, count);
    most = std::max(most, count);
  }
  return {least, most};
}

TEST_CASE("leaders and replicas are spread evenly over brokers without racks") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    std::vector<PlacementBroker> brokers;
    for (int id = 0; id < 5; ++id) brokers.push_back({id, std::nullopt, false});
    const auto placed = place_replicas(brokers, 23, 3, random).value();
    REQUIRE(placed.size() == 23);
    std::map<std::int32_t, int> leaders;
    std::map<std::int32_t, int> replicas;
    for (const auto& partition : placed) {
      CHECK(std::set<std::int32_t>(partition.begin(), partition.end()).size() == 3);
      ++leaders[partition.front()];
      for (const std::int32_t replica : partition) ++replicas[replica];
    }
    const auto [least_led, most_led] = spread(leaders, brokers.size());
    CHECK(most_led - least_led <= 1);
    const auto [least, most] = spread(replicas, brokers.size());
    CHECK(most - least <= 2);
  }
}

TEST_CASE("three brokers get one leader each of three partitions") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const std::vector<PlacementBroker> brokers{
        {1, std::nullopt, false}, {2, std::nullopt, false}, {3, std::nullopt, false}};
    std::set<std::int32_t> leaders;
    const auto placed = place_replicas(brokers, 3, 3, random).value();
    for (const auto& partition : placed) leaders.insert(partition.front());
    CHECK(leaders.size() == 3);
  }
}

TEST_CASE("replicas go to as many racks as there are, and all brokers take their share") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random(seed);
    const auto brokers = brokers_in_racks(3, 2);
    std::map<std::int32_t, int> leaders;
    std::map<std::int32_t, int> replicas;
    const auto placed = place_replicas(brokers, 60, 3, random).value();
    for (const auto& partition : placed) {
      std::set<int> racks;
      for (const std::int32_t replica : partition) {
        racks.insert(replica / 2);
        ++replicas[replica];
      }
      CHECK(racks.size() == 3);
      ++leaders[partition.front()];
    }
    const auto [least_led, most_led] = spread(leaders, 6);
    CHECK(most_led == least_led);
    const auto [least, most] = spread(replicas, 6);
    CHECK(most - least <= 3);
  }
}

TEST_CASE("with fewer racks than replicas each rack gets its share") {
  Random random(9);
  for (const auto& partition : placed_of(place_replicas(brokers_in_racks(2, 2), 12, 4, random))) {
    CHECK(std::set<std::int32_t>(partition.begin(), partition.end()).size() == 4);
  }
  for (const auto& partition : placed_of(place_replicas(brokers_in_racks(2, 3), 12, 2, random))) {
    CHECK(partition[0] / 3 != partition[1] / 3);
  }
}

TEST_CASE("fenced brokers never lead and get replicas only where there are no others") {
  Random random(3);
  const std::vector<PlacementBroker> brokers{
      {1, std::nullopt, true}, {2, std::nullopt, false}, {3, std::nullopt, false}};
  for (const auto& partition : placed_of(place_replicas(brokers, 10, 2, random))) {
    CHECK(std::find(partition.begin(), partition.end(), 1) == partition.end());
  }
  for (const auto& partition : placed_of(place_replicas(brokers, 10, 3, random))) CHECK(partition.back() == 1);
}

TEST_CASE("what cannot be placed is refused") {
  Random random(1);
  const std::vector<PlacementBroker> one{{1, std::nullopt, false}};
  const std::vector<PlacementBroker> fenced{{1, std::nullopt, true}};
  CHECK(place_replicas(one, 1, 2, random).error() == make_error_code(protocol::ErrorCode::invalid_replication_factor));
  CHECK(place_replicas(one, 1, 0, random).error() == make_error_code(protocol::ErrorCode::invalid_replication_factor));
  CHECK(place_replicas(fenced, 1, 1, random).error().context() == "All brokers are currently fenced.");
  CHECK_FALSE(place_replicas({}, 1, 1, random).has_value());
}

}  // namespace
}  // namespace klamm::controller
