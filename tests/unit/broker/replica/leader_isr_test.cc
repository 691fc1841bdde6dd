// The rules of the in-sync replicas, alone: leader 1, followers 2 and 3.
#include "broker/replica/leader_isr.h"

#include <doctest/doctest.h>

namespace klamm::replica {
namespace {

using protocol::ErrorCode;

constexpr Duration kLag = 30s;

struct Lab {
  BrokerLives brokers{{1, {101, false, true}}, {2, {102, false, true}}, {3, {103, false, true}}};
  LeaderIsr isr{1, brokers, kLag};
  Instant now{100s};
  std::int64_t end = 0;

  explicit Lab(std::vector<std::int32_t> members = {1, 2, 3}, std::int64_t log_end = 0) : end(log_end) {
    lead(std::move(members), 5, 7);
  }
  void lead(std::vector<std::int32_t> members, std::int32_t leader_epoch, std::int32_t partition_epoch) {
    isr.lead({{1, 2, 3}, std::move(members), leader_epoch, partition_epoch}, now, end);
    isr.begin_at(end);
  }
  bool fetched(std::int32_t id, std::int64_t offset) { return isr.fetched(id, offset, 0, 100 + id, end, now); }
  std::int64_t committed() const { return isr.committed_end(end, end, now); }
  std::vector<std::int32_t> members(const std::optional<IsrProposal>& proposal) const {
    std::vector<std::int32_t> ids;
    if (proposal) {
      ids.reserve(proposal->isr.size());
      for (const IsrProposal::Member& member : proposal->isr) ids.push_back(member.broker);
    }
    return ids;
  }
};

using Ids = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("a record is committed when all in-sync replicas have asked for what comes behind it") {
  Lab lab;
  lab.end = 10;
  CHECK(lab.committed() == -1);  // nobody has shown yet what it has
  lab.fetched(2, 10);
  CHECK(lab.committed() == -1);
  lab.fetched(3, 4);
  CHECK(lab.committed() == 4);
  lab.fetched(3, 10);
  CHECK(lab.committed() == 10);
}

TEST_CASE("a replica outside of the ISR holds nothing up, unless it has caught up and may join") {
  Lab lab({1, 2});
  lab.end = 10;
  lab.fetched(2, 10);
  lab.isr.fetched(3, 3, 0, 103, 10, lab.now);
  CHECK(lab.committed() == 10);
  lab.fetched(3, 10);
  lab.end = 20;
  lab.fetched(2, 20);
  CHECK(lab.committed() == 10);  // else 3 would run after the mark for ever
  lab.brokers[3] = {103, true, false};
  CHECK(lab.committed() == 20);
}

TEST_CASE("a proposed member counts at once, and a member proposed to leave counts until it is confirmed") {
  Lab lab({1, 2}, 10);
  lab.fetched(2, 10);
  lab.fetched(3, 10);
  const auto growth = lab.isr.propose_growth(3, 10);
  CHECK(lab.members(growth) == Ids{1, 2, 3});
  lab.now = lab.now + kLag * 2;
  lab.end = 20;
  lab.fetched(2, 20);
  CHECK(lab.committed() == 10);  // 3 lags, but the controller may have let it in
  IsrAnswer answer{ErrorCode::none, 5, 8, {1, 2, 3}};
  CHECK(lab.isr.answered(growth->number, answer) == LeaderIsr::After::changed);
  const auto shrunk = lab.isr.propose_shrink(lab.end, lab.now);
  CHECK(lab.members(shrunk) == Ids{1, 2});
  CHECK(lab.committed() == 10);
  answer = {ErrorCode::none, 5, 9, {1, 2}};
  CHECK(lab.isr.answered(shrunk->number, answer) == LeaderIsr::After::changed);
  CHECK(lab.committed() == 20);
}

TEST_CASE("a replica joins when it has reached the high watermark and the epoch's begin") {
  Lab lab({1, 2}, 10);
  lab.fetched(3, 9);
  CHECK_FALSE(lab.isr.propose_growth(3, 5).has_value());  // in the epoch before it may hold something else
  lab.fetched(3, 10);
  CHECK_FALSE(lab.isr.propose_growth(3, 11).has_value());
  CHECK(lab.isr.propose_growth(3, 10).has_value());
  CHECK_FALSE(lab.isr.propose_growth(3, 10).has_value());  // one proposal at a time
}

TEST_CASE("a fenced, leaving or unknown broker, or an earlier process of it, does not join") {
  Lab lab({1, 2}, 10);
  lab.fetched(3, 10);
  lab.brokers[3] = {103, true, false};
  CHECK_FALSE(lab.isr.propose_growth(3, 10).has_value());
  lab.brokers[3] = {104, false, true};
  CHECK_FALSE(lab.isr.propose_growth(3, 10).has_value());  // it has fetched with epoch 103
  lab.brokers.erase(3);
  CHECK_FALSE(lab.isr.propose_growth(3, 10).has_value());
  lab.brokers[3] = {103, false, true};
  const auto proposal = lab.isr.propose_growth(3, 10);
  REQUIRE(proposal.has_value());
  CHECK(proposal->isr == std::vector<IsrProposal::Member>{{1, 101}, {2, -1}, {3, 103}});
}

TEST_CASE("who fetches is in the assignment, and the process that the metadata knows") {
  Lab lab;
  CHECK(lab.isr.check_follower(2, 102, true) == ErrorCode::none);
  CHECK(lab.isr.check_follower(2, -1, true) == ErrorCode::none);   // before KIP-903
  CHECK(lab.isr.check_follower(2, 103, true) == ErrorCode::none);  // we know less than it
  CHECK(lab.isr.check_follower(2, 101, true) == ErrorCode::not_leader_or_follower);
  CHECK(lab.isr.check_follower(9, 109, true) == ErrorCode::unknown_leader_epoch);
  CHECK(lab.isr.check_follower(9, 109, false) == ErrorCode::not_leader_or_follower);
}

TEST_CASE("a member leaves when it has not been caught up for too long, but not one that has all there is") {
  Lab lab;
  lab.end = 10;
  lab.fetched(2, 10);
  lab.fetched(3, 4);
  lab.now = lab.now + kLag;
  CHECK_FALSE(lab.isr.propose_shrink(lab.end, lab.now).has_value());
  lab.now = lab.now + 1ms;
  CHECK(lab.members(lab.isr.propose_shrink(lab.end, lab.now)) == Ids{1, 2});
}

TEST_CASE("a member that reads as fast as the leader writes is caught up though it never has all") {
  Lab lab;
  for (int step = 0; step < 100; ++step) {
    lab.fetched(2, lab.end);
    lab.fetched(3, lab.end - 10);  // what the leader had the time before
    lab.end += 10;
    lab.now = lab.now + 1s;
  }
  CHECK_FALSE(lab.isr.propose_shrink(lab.end, lab.now).has_value());
}

TEST_CASE("the controller's refusals") {
  Lab lab({1, 2}, 10);
  lab.fetched(3, 10);
  auto proposal = lab.isr.propose_growth(3, 10);
  REQUIRE(proposal.has_value());

  SUBCASE("an ineligible replica: the ISR is as it was, another may be proposed") {
    CHECK(lab.isr.answered(proposal->number, {ErrorCode::ineligible_replica}) == LeaderIsr::After::changed);
    CHECK(lab.isr.isr() == Ids{1, 2});
    CHECK(lab.isr.maximal_isr_size() == 2);
    CHECK(lab.isr.propose_growth(3, 10).has_value());
  }
  SUBCASE("a stale epoch: the metadata will tell, and until then both count") {
    CHECK(lab.isr.answered(proposal->number, {ErrorCode::invalid_update_version}) == LeaderIsr::After::wait);
    CHECK(lab.isr.maximal_isr_size() == 3);
    CHECK_FALSE(lab.isr.propose_growth(3, 10).has_value());
    lab.lead({1, 2}, 5, 8);
    CHECK(lab.isr.maximal_isr_size() == 2);
    CHECK(lab.isr.propose_growth(3, 10).has_value());
  }
  SUBCASE("another controller: the same once more") {
    CHECK(lab.isr.answered(proposal->number, {ErrorCode::not_controller}) == LeaderIsr::After::retry);
    CHECK(lab.isr.pending()->number == proposal->number);
  }
  SUBCASE("an answer that the metadata has overtaken changes nothing") {
    lab.lead({1}, 5, 9);
    CHECK(lab.isr.answered(proposal->number, {ErrorCode::none, 5, 8, {1, 2, 3}}) == LeaderIsr::After::nothing);
    CHECK(lab.isr.isr() == Ids{1});
  }
  SUBCASE("what the metadata repeats leaves a later proposal out") {
    CHECK(lab.isr.answered(proposal->number, {ErrorCode::none, 5, 8, {1, 2, 3}}) == LeaderIsr::After::changed);
    lab.now = lab.now + kLag * 2;
    lab.end = 20;
    lab.fetched(3, 20);
    const auto shrunk = lab.isr.propose_shrink(lab.end, lab.now);
    REQUIRE(lab.members(shrunk) == Ids{1, 3});
    lab.lead({1, 2, 3}, 5, 8);
    CHECK(lab.isr.is_pending());
    CHECK(lab.isr.answered(shrunk->number, {ErrorCode::none, 5, 9, {1, 3}}) == LeaderIsr::After::changed);
  }
}

TEST_CASE("a new leader knows nothing of its followers, one that is elected again remembers them") {
  Lab lab;
  lab.end = 10;
  lab.fetched(2, 10);
  lab.fetched(3, 10);
  lab.lead({1, 2, 3}, 6, 8);
  CHECK(lab.committed() == 10);
  lab.isr.resign();
  CHECK(lab.isr.followers().empty());
  lab.lead({1, 2, 3}, 8, 10);
  CHECK(lab.committed() == -1);
  CHECK_FALSE(lab.isr.propose_shrink(lab.end, lab.now).has_value());
  lab.now = lab.now + kLag + 1ms;
  CHECK(lab.members(lab.isr.propose_shrink(lab.end, lab.now)) == Ids{1});
}

}  // namespace klamm::replica
