#include "broker/metadata/persistent_map.h"

#include <doctest/doctest.h>

#include <string>

#include "base/random.h"

namespace klamm::metadata {
namespace {

using Map = PersistentMap<std::string, int>;

TEST_CASE("a persistent map does what a std::map does, through any changes, and old versions stay as they were") {
  Random random(5);
  std::map<std::string, int> model;
  Map map;
  std::vector<std::pair<Map, std::map<std::string, int>>> history;
  for (int round = 0; round < 300; ++round) {
    Map::Changes changes;
    const auto count = random.below(round % 10 == 0 ? 500 : 5);
    for (std::uint64_t index = 0; index < count; ++index) {
      const std::string key = std::to_string(random.below(2000));
      if (random.chance(round < 150 ? 0.3 : 0.7)) {
        changes[key] = std::nullopt;
        model.erase(key);
      } else {
        const int value = static_cast<int>(random.below(1000));
        changes[key] = value;
        model[key] = value;
      }
    }
    map = map.with(changes);
    REQUIRE(map.size() == model.size());
    REQUIRE(std::equal(map.begin(), map.end(), model.begin(), model.end(), [](const auto& left, const auto& right) {
      return left.first == right.first && left.second == right.second;
    }));
    if (round % 20 == 0) history.emplace_back(map, model);
    const std::string probe = std::to_string(random.below(2000));
    const auto expected = model.lower_bound(probe);
    const auto found = map.lower_bound(probe);
    REQUIRE((found == map.end()) == (expected == model.end()));
    if (expected != model.end()) CHECK(found->first == expected->first);
    CHECK((map.find(probe) != nullptr) == model.contains(probe));
  }
  for (const auto& [old_map, old_model] : history) {
    REQUIRE(old_map.size() == old_model.size());
    CHECK(std::equal(
        old_map.begin(), old_map.end(), old_model.begin(), old_model.end(),
        [](const auto& left, const auto& right) { return left.first == right.first && left.second == right.second; }));
  }
}

TEST_CASE("a change copies little: what it does not touch is the same memory") {
  Map::Changes changes;
  for (int index = 0; index < 10'000; ++index) changes[std::to_string(index)] = index;
  const Map before = Map().with(changes);
  const Map after = before.with("5000", -1);
  CHECK(*after.find("5000") == -1);
  CHECK(*before.find("5000") == 5000);
  int shared = 0;
  for (int index = 0; index < 10'000; ++index) {
    const std::string key = std::to_string(index);
    if (before.find(key) == after.find(key)) ++shared;
  }
  CHECK(shared >= 10'000 - 64);
  CHECK(before.with(Map::Changes()).shares_all_with(before));
}

TEST_CASE("a map from which all is removed is empty again") {
  Map::Changes changes;
  for (int index = 0; index < 200; ++index) changes[std::to_string(index)] = index;
  Map map = Map().with(changes);
  for (auto& [key, value] : changes) value = std::nullopt;
  map = map.with(changes);
  CHECK(map.empty());
  CHECK(map.begin() == map.end());
  CHECK(map == Map());
}

}  // namespace
}  // namespace klamm::metadata
