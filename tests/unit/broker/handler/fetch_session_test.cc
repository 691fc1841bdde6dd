#include "broker/handler/fetch_session.h"

#include <doctest/doctest.h>

#include "protocol/error.h"

using namespace klamm;
using namespace klamm::handler;
using protocol::ErrorCode;

namespace {

FetchPartition partition(std::int32_t number) {
  FetchPartition made;
  made.topic.name = "t";
  made.partition = number;
  return made;
}

ErrorCode code(const Result<std::shared_ptr<FetchSession>>& found) {
  return found ? ErrorCode::none : protocol::code_of(found.error());
}

TEST_CASE("a follower's session takes the place of a client's, and never the other way round") {
  Random random(1);
  FetchSessionCache cache(1, random);
  const std::int32_t clients = cache.create({partition(0)}, true, false, Instant{0s})->id;
  const std::shared_ptr<FetchSession> followers = cache.create({partition(0)}, true, true, Instant{1s});
  REQUIRE(followers != nullptr);
  CHECK_FALSE(cache.contains(clients));
  CHECK(cache.create({partition(0)}, true, false, Instant{1000s}) == nullptr);
  CHECK(cache.create({partition(0)}, true, true, Instant{2s}) == nullptr);
  CHECK(cache.create({partition(0)}, true, true, Instant{1000s}) != nullptr);
}

}  // namespace

TEST_CASE("a fetch session goes on with the next epoch, by the same way of naming topics") {
  Random random(1);
  FetchSessionCache cache(10, random);
  const std::int32_t id = cache.create({partition(0), partition(1)}, false, false, Instant{})->id;
  CHECK(code(cache.find(id + 1, 1, false, Instant{})) == ErrorCode::fetch_session_id_not_found);
  CHECK(code(cache.find(id, 2, false, Instant{})) == ErrorCode::invalid_fetch_session_epoch);
  CHECK(code(cache.find(id, 1, true, Instant{})) == ErrorCode::fetch_session_topic_id_error);
  CHECK(code(cache.find(id, 1, false, Instant{})) == ErrorCode::none);
  CHECK(code(cache.find(id, 1, false, Instant{})) == ErrorCode::invalid_fetch_session_epoch);
  CHECK(code(cache.find(id, 2, false, Instant{})) == ErrorCode::none);
}

TEST_CASE("a session that serves one request is not given to another, nor to another shard") {
  Random random(1);
  FetchSessionCache cache(10, random);
  FetchSessionCache other(10, random);
  const std::int32_t id = cache.create({partition(0)}, false, false, Instant{})->id;
  Result<std::shared_ptr<FetchSession>> serving = cache.find(id, 1, false, Instant{});
  REQUIRE(serving);
  CHECK(code(cache.find(id, 2, false, Instant{})) == ErrorCode::invalid_fetch_session_epoch);
  CHECK(cache.give_away(id) == nullptr);
  *serving = nullptr;
  std::shared_ptr<FetchSession> moving = cache.give_away(id);
  REQUIRE(moving);
  CHECK_FALSE(cache.contains(id));
  other.adopt(std::move(moving), Instant{});
  CHECK(code(other.find(id, 2, false, Instant{})) == ErrorCode::none);  // its epoch came with it
}

TEST_CASE("a full cache drops the session that has not been used for longest, if that is long") {
  Random random(1);
  FetchSessionCache cache(2, random);
  const std::int32_t first = cache.create({partition(0)}, false, false, Instant{0s})->id;
  const std::int32_t second = cache.create({partition(0)}, false, false, Instant{1s})->id;
  CHECK(cache.create({partition(0)}, false, false, Instant{100s}) == nullptr);
  CHECK(cache.create({partition(0)}, false, false, Instant{125s}) != nullptr);
  CHECK_FALSE(cache.contains(first));
  CHECK(cache.contains(second));
}
