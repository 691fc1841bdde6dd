// The judge of the simulated runs is judged: every rule has a log that breaks it and nothing else.
#include "ledger.h"

#include <doctest/doctest.h>

using namespace klamm;
using namespace klamm::simtest;

namespace {

const TopicPartition kFirst{"t", 0};
const TopicPartition kSecond{"t", 1};

// Two producers, one partition with records of both, one with the first's alone; one record failed but is there, one
// failed and is not.
struct Run {
  Ledger ledger;
  Readings log;
  std::map<TopicPartition, Ends> ends{{kFirst, {0, 6}}, {kSecond, {0, 2}}};

  Run() {
    std::uint32_t numbers[2] = {};
    for (const std::uint32_t producer : {0U, 1U, 0U, 0U, 1U, 1U}) add(kFirst, {producer, numbers[producer]++});
    add(kSecond, {0, numbers[0]++});
    add(kSecond, {0, numbers[0]++}, false);
    ledger.sent({0, numbers[0]}, kSecond);
    ledger.failed({0, numbers[0]});
  }
  void add(const TopicPartition& partition, RecordId id, bool acknowledged = true) {
    const auto offset = static_cast<std::int64_t>(log[partition].size());
    ledger.sent(id, partition);
    if (acknowledged) {
      ledger.acknowledged(id, offset);
    } else {
      ledger.failed(id);
    }
    log[partition].push_back({offset, id});
  }
  std::string verdict() const {
    std::string text;
    for (const std::string& line : ledger.check(log, ends)) text += line + "\n";
    return text;
  }
};

}  // namespace

TEST_CASE("a value tells its record, and a changed byte is noticed") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{20}, std::size_t{3000}}) {
    const std::string value = make_value({3, 1417}, size);
    CHECK(value.size() >= size);
    CHECK(parse_value(value) == RecordId{3, 1417});
    for (std::size_t at = 0; at < value.size(); at += 7) {
      std::string changed = value;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      CHECK(parse_value(changed) != RecordId{3, 1417});
      CHECK_FALSE(parse_value(std::string_view(value).substr(0, at)));
    }
    CHECK_FALSE(parse_value(value + " "));
  }
  CHECK_FALSE(parse_value("something else"));
  CHECK_FALSE(parse_value("record 1"));
  CHECK_FALSE(parse_value("record x.1 "));
}

TEST_CASE("a log as it should be breaks no rule") {
  const Run run;
  CHECK(run.verdict().empty());
  CHECK(run.ledger.sent_count() == 9);
  CHECK(run.ledger.acknowledged_count() == 7);
  CHECK(run.ledger.failed_count() == 2);
  CHECK(run.ledger.open_count() == 0);
}

TEST_CASE("every lie about a log is noticed, wherever it is told") {
  for (const std::string_view name : {"lost", "hole", "twice", "swapped", "stranger", "changed"}) {
    CAPTURE(name);
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Run run;
      Random random(seed);
      REQUIRE(tell(*lie_named(name), run.ledger, run.log, run.ends, random));
      CHECK_FALSE(run.verdict().empty());
    }
  }
  CHECK_FALSE(lie_named("truth"));
}

TEST_CASE("an acknowledged record that is gone is lost even if the log closed over it") {
  Run run;
  run.log[kSecond].erase(run.log[kSecond].begin());
  run.log[kSecond][0].offset = 0;
  run.ends[kSecond].end = 1;
  CHECK(run.verdict() == "record 0.3, acknowledged in t-1 at offset 0, is lost\n");
}

TEST_CASE("an unacknowledged record may be missing, but not be there twice") {
  Run run;
  run.log[kSecond].pop_back();
  run.ends[kSecond].end = 1;
  CHECK(run.verdict().empty());
  run = Run();
  run.log[kSecond].push_back({2, run.log[kSecond][1].id});
  run.ends[kSecond].end = 3;
  CHECK(run.verdict() == "record 0.4 is in t-1 twice: at offset 1 and at 2\n");
}

TEST_CASE("an acknowledgement without an offset asks for the record, not for its place") {
  Run run;
  run.ledger.sent({1, 9}, kSecond);
  run.ledger.acknowledged({1, 9}, -1);
  CHECK(run.verdict() == "record 1.9, acknowledged in t-1 at offset -1, is lost\n");
  run.log[kSecond].push_back({2, RecordId{1, 9}});
  run.ends[kSecond].end = 3;
  CHECK(run.verdict().empty());
}

TEST_CASE("a record in another partition than it was sent to is noticed") {
  Run run;
  run.ledger.sent({1, 9}, kFirst);
  run.ledger.failed({1, 9});
  run.log[kSecond].push_back({2, RecordId{1, 9}});
  run.ends[kSecond].end = 3;
  CHECK(run.verdict() == "record 1.9 was sent to t-0, and is in t-1 at offset 2\n");
}

TEST_CASE("the log's ends must be those of what was read") {
  Run run;
  run.ends[kSecond].end = 5;
  CHECK(run.verdict() == "t-1 ends at offset 5, but has 2 records\n");
  run.ends[kSecond] = {1, 2};
  CHECK(run.verdict() == "t-1 starts at offset 1, not 0\n");
}

TEST_CASE("a live reader must have seen what the log says, without gaps") {
  const Run run;
  Readings live{{kFirst, {run.log.at(kFirst)[0], run.log.at(kFirst)[1]}}};
  CHECK(Ledger::compare(live, run.log).empty());
  live[kFirst].push_back(run.log.at(kFirst)[3]);  // leaves one out
  CHECK(Ledger::compare(live, run.log).size() == 1);
  live[kFirst].pop_back();
  live[kFirst].push_back({2, RecordId{1, 0}});  // saw what is not there
  CHECK(Ledger::compare(live, run.log).size() == 1);
  live[kFirst].pop_back();
  live[kSecond] = {run.log.at(kSecond)[0], run.log.at(kSecond)[1], {2, RecordId{0, 5}}};  // saw what was lost later
  CHECK(Ledger::compare(live, run.log).size() == 1);
}
