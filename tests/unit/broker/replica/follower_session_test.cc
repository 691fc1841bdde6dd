#include "broker/replica/follower_session.h"

#include <doctest/doctest.h>

namespace klamm::replica {
namespace {

using protocol::ErrorCode;
using Key = FollowerSession::Key;

const Key kFirst{Uuid{1, 1}, 0};
const Key kSecond{Uuid{1, 1}, 1};

std::size_t partitions_in(const protocol::FetchRequest& request) {
  std::size_t count = 0;
  for (const auto& topic : request.topics) count += topic.partitions.size();
  return count;
}

}  // namespace

TEST_CASE("a session names all partitions once, then those that have changed") {
  FollowerSession session;
  session.set(kFirst, {10, 2, 0, 3});
  session.set(kSecond, {20, 2, 0, 3});
  protocol::FetchRequest request = session.next(1000);
  CHECK(request.session_id == 0);
  CHECK(request.session_epoch == 0);
  REQUIRE(partitions_in(request) == 2);
  CHECK(request.topics.size() == 1);
  CHECK(session.answered(ErrorCode::none, 77));

  session.set(kSecond, {25, 2, 0, 3});
  session.set(kFirst, {10, 2, 0, 3});  // as before
  request = session.next(1000);
  CHECK(request.session_id == 77);
  CHECK(request.session_epoch == 1);
  REQUIRE(partitions_in(request) == 1);
  CHECK(request.topics[0].partitions[0].partition == 1);
  CHECK(request.topics[0].partitions[0].fetch_offset == 25);
  CHECK(session.sent(kSecond)->offset == 25);
  CHECK(session.answered(ErrorCode::none, 77));
  CHECK(session.next(1000).session_epoch == 2);
}

TEST_CASE("a partition that rests is forgotten, and named again when it goes on at the same place") {
  FollowerSession session;
  session.set(kFirst, {10, 2, 0, 3});
  session.set(kSecond, {20, 2, 0, 3});
  session.next(1000);
  CHECK(session.answered(ErrorCode::none, 77));
  session.remove(kFirst);
  CHECK_FALSE(session.sent(kFirst).has_value());  // an answer to what was asked before does not count any more
  protocol::FetchRequest request = session.next(1000);
  CHECK(partitions_in(request) == 0);
  REQUIRE(request.forgotten_topics_data.size() == 1);
  CHECK(request.forgotten_topics_data[0].partitions == std::vector<std::int32_t>{0});
  CHECK(session.answered(ErrorCode::none, 77));
  session.set(kFirst, {10, 2, 0, 3});
  CHECK(partitions_in(session.next(1000)) == 1);
}

TEST_CASE("a session that the leader has lost, and one that nobody answered for, begin anew with everything") {
  FollowerSession session;
  session.set(kFirst, {10, 2, 0, 3});
  session.next(1000);
  CHECK(session.answered(ErrorCode::none, 77));
  session.next(1000);
  std::int32_t ended = 0;
  SUBCASE("lost") { CHECK_FALSE(session.answered(ErrorCode::fetch_session_id_not_found, 0)); }
  SUBCASE("not answered") {
    session.broken();
    ended = 77;  // in case the leader has it still
  }
  const protocol::FetchRequest request = session.next(1000);
  CHECK(request.session_id == ended);
  CHECK(request.session_epoch == 0);
  CHECK(partitions_in(request) == 1);
}

TEST_CASE("a leader that keeps no session is asked for everything each time") {
  FollowerSession session;
  session.set(kFirst, {10, 2, 0, 3});
  session.next(1000);
  CHECK(session.answered(ErrorCode::none, 0));
  const protocol::FetchRequest request = session.next(1000);
  CHECK(request.session_id == 0);
  CHECK(request.session_epoch == 0);
  CHECK(partitions_in(request) == 1);
}

}  // namespace klamm::replica
