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

TEST_CASE("only what a producer's settings promise is asked for") {
  Run run;
  run.ledger.promised(1, {.stored = false, .once = false, .ordered = false, .acknowledged_rises = false});
  std::swap(run.log[kFirst][1].id, run.log[kFirst][4].id);  // 1.1 before 1.0
  run.log[kFirst].back().id = RecordId{1, 1};               // twice, and 1.2 is gone
  CHECK(run.verdict().empty());
  run.ledger.promised(1, {.stored = true, .once = false, .ordered = false, .acknowledged_rises = false});
  CHECK(run.verdict() ==
        "record 1.0, acknowledged in t-0 at offset 1, is lost\nrecord 1.1, acknowledged in t-0 at offset 4, is "
        "lost\nrecord 1.2, acknowledged in t-0 at offset 5, is lost\n");
  run.ledger.promised(1, {.stored = false, .once = true, .ordered = false, .acknowledged_rises = false});
  CHECK(run.verdict() == "record 1.1 is in t-0 twice: at offset 1 and at 5\n");
  run.ledger.promised(1, {.stored = false, .once = false, .ordered = true, .acknowledged_rises = false});
  CHECK(run.verdict() == "record 1.0 comes after 1.1 in t-0, and was sent before it\n");
}

TEST_CASE("with one request in flight acknowledgements rise, though copies may lie in any order") {
  const auto verdict = [](std::int64_t first, std::int64_t second) {
    Run run;
    run.ledger.promised(2, {.stored = true, .once = false, .ordered = false, .acknowledged_rises = true});
    run.log[kSecond].push_back({2, RecordId{2, 1}});
    run.log[kSecond].push_back({3, RecordId{2, 0}});
    run.log[kSecond].push_back({4, RecordId{2, 1}});
    run.ends[kSecond].end = 5;
    run.ledger.sent({2, 0}, kSecond);
    run.ledger.sent({2, 1}, kSecond);
    run.ledger.acknowledged({2, 0}, first);
    run.ledger.acknowledged({2, 1}, second);
    return run.verdict();
  };
  CHECK(verdict(3, 4).empty());
  CHECK(verdict(3, 2) == "record 2.0 was acknowledged in t-1 at offset 3, and 2.1, sent after it, at offset 2\n");
}

namespace {

// Six records, acknowledged at their seconds; the power is cut after four of them.
struct CutRun {
  Ledger ledger;
  Readings log;

  CutRun() {
    ledger.set_lag(1s);
    for (std::uint32_t number = 0; number < 6; ++number) {
      const std::int64_t offset = number < 4 ? number : number - 2;  // the last two stored are lost
      ledger.sent({0, number}, kFirst);
      ledger.acknowledged({0, number}, offset, Instant{(number < 4 ? 10 + number : 100 + number) * 1s});
    }
    ledger.power_cut(Instant{20s});
    for (std::uint32_t number : {0U, 1U, 4U, 5U}) {
      log[kFirst].push_back({static_cast<std::int64_t>(log[kFirst].size()), RecordId{0, number}});
    }
  }
  std::string verdict() const {
    std::string text;
    for (const std::string& line : ledger.check(log, {})) text += line + "\n";
    return text;
  }
};

}  // namespace

TEST_CASE("a power cut may take the tail of a log that nobody flushed") {
  CutRun run;
  CHECK(run.verdict().empty());
  CHECK(run.ledger.lost_by_right(run.log) == 2);
  CHECK(run.ledger.is_certain({0, 4}));
  CHECK_FALSE(run.ledger.is_certain({0, 1}));
}

TEST_CASE("a power cut takes nothing from the middle of a log") {
  CutRun run;
  run.log[kFirst] = {{0, RecordId{0, 0}}, {1, RecordId{0, 3}}};  // 3 was behind 1 and 2
  CHECK(run.verdict().find("record 0.3, acknowledged in t-0 at offset 3, is at offset 1") != std::string::npos);
  run = CutRun();
  run.ledger.promised(0, {.stored = true, .once = false, .ordered = false, .acknowledged_rises = false});
  run.log[kFirst] = {{0, RecordId{0, 4}}, {1, RecordId{0, 1}}, {2, RecordId{0, 4}}, {3, RecordId{0, 5}}};
  CHECK(run.verdict() == "record 0.0, acknowledged in t-0 at offset 0, is lost, but not 0.1 behind it at offset 1\n");
}

TEST_CASE("what was acknowledged after the last power cut must be there") {
  CutRun run;
  run.log[kFirst].pop_back();
  CHECK(run.verdict() == "record 0.5, acknowledged in t-0 at offset 3, is lost\n");
}

TEST_CASE("a reader covers a log when it has seen every record where the log has it") {
  const Run run;
  Readings live = run.log;
  CHECK(Ledger::covers(live, run.log));
  std::swap(live[kFirst][1].id, live[kFirst][2].id);
  CHECK_FALSE(Ledger::covers(live, run.log));
  live[kFirst].push_back(run.log.at(kFirst)[1]);
  live[kFirst].push_back(run.log.at(kFirst)[2]);
  CHECK(Ledger::covers(live, run.log));
  live.erase(kSecond);
  CHECK_FALSE(Ledger::covers(live, run.log));
}

TEST_CASE("a reader that moved its position may leave records out there, and nowhere else") {
  const Run run;
  const std::vector<Reading>& log = run.log.at(kFirst);
  Readings live{{kFirst, {log[0], log[1], {0, log[0].id, true}, log[1], {4, log[4].id, true}, log[5]}}};
  CHECK(Ledger::compare(live, run.log).empty());
  live[kFirst][4].jumped = false;
  CHECK(Ledger::compare(live, run.log).size() == 1);
}

TEST_CASE("even what a power cut took later must have been sent there") {
  const Run run;
  Readings live{{kSecond, {{7, RecordId{0, 3}}}}};
  CHECK(run.ledger.check_sightings(live).empty());
  live[kSecond].push_back({8, RecordId{0, 0}});
  live[kSecond].push_back({9, std::nullopt});
  CHECK(run.ledger.check_sightings(live).size() == 2);
}
