#include "broker/storage/offset_index.h"
#include "broker/storage/time_index.h"
#include "broker/storage/txn_index.h"
#include "tests/unit/broker/storage/storage_test.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;

TEST_CASE("an offset index finds the entry at or before an offset, in the file and in memory alike") {
  World world;
  REQUIRE(world.run(world.files().make_directories("/i")).has_value());
  for (const int count : {0, 1, 2, 511, 512, 513, 2000}) {
    for (const int saved : {0, count / 2, count}) {
      OffsetIndex index(world.files(), fmt::format("/i/{}-{}.index", count, saved), 1000);
      for (int i = 0; i < count; ++i) {
        index.append(1000 + 10 * i + 5, 100 * i);
        if (i + 1 == saved) REQUIRE(world.run(index.entries().save()).has_value());
      }
      CHECK(index.entries().unwritten() == static_cast<std::size_t>(count - saved));
      for (const int i : {0, 1, count / 3, count / 2, count - 2, count - 1}) {
        if (i < 0 || i >= count) continue;
        CAPTURE(count);
        CAPTURE(saved);
        CAPTURE(i);
        CHECK(world.run(index.position_before(1000 + 10 * i + 5)).value() == 100 * i);
        CHECK(world.run(index.position_before(1000 + 10 * i + 14)).value() == 100 * i);
        CHECK(world.run(index.position_before(1000 + 10 * i + 4)).value() == std::max(0, 100 * (i - 1)));
        CHECK(world.run(index.offset_behind(100 * i)).value() == 1000 + 10 * i + 5);
      }
      CHECK(!world.run(index.offset_behind(100 * count)).value().has_value());
      CHECK(world.run(index.last_position()).value() == std::max(0, 100 * (count - 1)));
      if (count > 2) {
        const int keep = count / 3;
        REQUIRE(world.run(index.truncate_to(1000 + 10 * keep + 5)).has_value());
        CHECK(index.entries().size() == static_cast<std::size_t>(keep));
        index.append(1000 + 10 * keep + 7, 77 * keep);
        CHECK(world.run(index.position_before(1 << 30)).value() == 77 * keep);
      }
    }
  }
}

TEST_CASE("a time index keeps rising timestamps only and gives the last one before a time") {
  World world;
  REQUIRE(world.run(world.files().make_directories("/i")).has_value());
  TimeIndex index(world.files(), "/i/a.timeindex", 50);
  CHECK(index.last().timestamp == -1);
  index.maybe_append(-1, 50);
  CHECK(index.entries().empty());
  index.maybe_append(100, 55);
  index.maybe_append(100, 60);
  index.maybe_append(90, 65);
  index.maybe_append(200, 70);
  CHECK(index.entries().size() == 2);
  REQUIRE(world.run(index.entries().save()).has_value());
  TimeIndex again(world.files(), "/i/a.timeindex", 50);
  const io::Survey found = world.run(io::survey(world.files(), "/i", nullptr)).value();
  again.entries().load(found.find("a.timeindex"), false);
  REQUIRE(world.run(again.load_last()).has_value());
  CHECK(again.last().timestamp == 200);
  CHECK(again.last().offset == 70);
  CHECK(world.run(again.floor(99)).value().offset == 50);
  CHECK(world.run(again.floor(100)).value().offset == 55);
  CHECK(world.run(again.floor(1000)).value().offset == 70);
  REQUIRE(world.run(again.truncate_to(70)).has_value());
  CHECK(again.last().timestamp == 100);
  CHECK(again.is_full(24));
  CHECK(!again.is_full(36));
}

TEST_CASE("aborted transactions are found by the range that is read") {
  World world;
  REQUIRE(world.run(world.files().make_directories("/i")).has_value());
  TxnIndex index(world.files(), "/i/a.txnindex");
  const AbortedTransaction first{1, 0, 10, 11};
  const AbortedTransaction second{2, 5, 20, 15};
  const AbortedTransaction third{3, 15, 30, 31};
  for (const AbortedTransaction& transaction : {first, second, third}) index.append(transaction);
  REQUIRE(world.run(index.entries().save()).has_value());
  CHECK(world.run(io::read_file(world.files(), "/i/a.txnindex")).value().size() == 3 * 34);
  REQUIRE(world.run(index.check(0)).has_value());
  CHECK(!world.run(index.check(11)).has_value());
  const auto collect = [&](std::int64_t from, std::int64_t upper) {
    std::vector<AbortedTransaction> found;
    REQUIRE(world.run(index.collect(from, upper, found)).has_value());
    return found;
  };
  CHECK(collect(0, 31) == std::vector<AbortedTransaction>{first, second, third});
  CHECK(collect(0, 5) == std::vector<AbortedTransaction>{first});
  CHECK(collect(11, 31) == std::vector<AbortedTransaction>{second, third});
  CHECK(collect(21, 31) == std::vector<AbortedTransaction>{third});
  CHECK(collect(31, 40).empty());
  REQUIRE(world.run(index.truncate_to(20)).has_value());
  CHECK(collect(0, 100) == std::vector<AbortedTransaction>{first});
}
