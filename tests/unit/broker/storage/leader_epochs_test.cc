#include "broker/storage/leader_epochs.h"

#include <doctest/doctest.h>

using namespace klamm;
using namespace klamm::storage;

TEST_CASE("an epoch that contradicts older entries replaces them") {
  LeaderEpochs epochs;
  CHECK(epochs.assign(1, 10));
  CHECK(!epochs.assign(1, 12));
  CHECK(epochs.assign(4, 20));
  CHECK(epochs.assign(5, 20));  // epoch 4 had no record
  CHECK(epochs.entries() == std::vector<EpochEntry>{{1, 10}, {5, 20}});
  CHECK(epochs.assign(3, 15));
  CHECK(epochs.entries() == std::vector<EpochEntry>{{1, 10}, {3, 15}});
  CHECK(!epochs.assign(-1, 5));
  CHECK(epochs.assign(0, 5));
  CHECK(epochs.entries() == std::vector<EpochEntry>{{0, 5}});
}

TEST_CASE("the end of an epoch is where the next known one begins") {
  LeaderEpochs epochs({{2, 10}, {4, 30}, {7, 50}});
  CHECK(epochs.end_of(7, 80) == EpochEnd{7, 80});
  CHECK(epochs.end_of(4, 80) == EpochEnd{4, 50});
  CHECK(epochs.end_of(5, 80) == EpochEnd{4, 50});
  CHECK(epochs.end_of(2, 80) == EpochEnd{2, 30});
  CHECK(epochs.end_of(1, 80) == EpochEnd{1, 10});
  CHECK(epochs.end_of(8, 80) == EpochEnd{-1, -1});
  CHECK(epochs.end_of(-1, 80) == EpochEnd{-1, -1});
  CHECK(LeaderEpochs().end_of(0, 80) == EpochEnd{-1, -1});
  CHECK(epochs.epoch_at(9) == std::nullopt);
  CHECK(epochs.epoch_at(10) == 2);
  CHECK(epochs.epoch_at(49) == 4);
  CHECK(epochs.epoch_at(1000) == 7);
  CHECK(epochs.previous(4) == 2);
  CHECK(epochs.previous(2) == std::nullopt);
}

TEST_CASE("truncation keeps the entries that still have records") {
  LeaderEpochs epochs({{2, 10}, {4, 30}, {7, 50}});
  CHECK(!epochs.truncate_from_end(51));
  CHECK(epochs.truncate_from_end(50));
  CHECK(epochs.latest() == 4);
  CHECK(epochs.truncate_from_start(35));
  CHECK(epochs.entries() == std::vector<EpochEntry>{{4, 35}});
  CHECK(!epochs.truncate_from_start(35));
  CHECK(!epochs.truncate_from_start(5));
}
