#include "protocol/error.h"

#include <doctest/doctest.h>
#include <fmt/core.h>

#include <ostream>
#include <set>
#include <string>
#include <unordered_set>

#include "protocol/ids.h"

namespace klamm::protocol {

TEST_CASE("error codes have Kafka's names and numbers") {
  CHECK(name(ErrorCode::unknown_server_error) == "UNKNOWN_SERVER_ERROR");
  CHECK(name(ErrorCode::none) == "NONE");
  CHECK(to_wire(ErrorCode::offset_out_of_range) == 1);
  CHECK(name(static_cast<ErrorCode>(56)) == "KAFKA_STORAGE_ERROR");
  CHECK(to_wire(ErrorCode::share_session_limit_reached) == 133);
  std::set<std::string_view> names;
  for (std::int16_t code = -1; code <= 133; ++code) {
    names.insert(name(static_cast<ErrorCode>(code)));
    CHECK(!default_message(static_cast<ErrorCode>(code)).empty());
  }
  CHECK(names.size() == 135);
}

TEST_CASE("numbers that are no error code become UNKNOWN_SERVER_ERROR") {
  CHECK(error_code_from(134) == ErrorCode::unknown_server_error);
  CHECK(error_code_from(-2) == ErrorCode::unknown_server_error);
  CHECK(error_code_from(3) == ErrorCode::unknown_topic_or_partition);
}

TEST_CASE("retriable codes and what to refresh before the next try") {
  CHECK(retriable(ErrorCode::not_leader_or_follower));
  CHECK(needs_metadata(ErrorCode::not_leader_or_follower));
  CHECK(retriable(ErrorCode::not_coordinator));
  CHECK(needs_refresh(ErrorCode::not_coordinator));
  CHECK(!needs_metadata(ErrorCode::not_coordinator));
  CHECK(retriable(ErrorCode::corrupt_message));
  CHECK(!needs_refresh(ErrorCode::corrupt_message));
  CHECK(!retriable(ErrorCode::producer_fenced));
}

TEST_CASE("an Error carries its Kafka code through std::error_code") {
  const Error error = kafka_error(ErrorCode::not_leader_or_follower, "a-0");
  CHECK(error.retriable());
  CHECK(error == std::error_code(ErrorCode::not_leader_or_follower));
  CHECK(code_of(error) == ErrorCode::not_leader_or_follower);
  CHECK(error.message().starts_with("a-0: "));
  CHECK(error.message().ends_with("(NOT_LEADER_OR_FOLLOWER)"));
  // A broker's own word is often the code's sentence: it is not said twice.
  const Error echoed =
      kafka_error(ErrorCode::topic_already_exists, std::string(default_message(ErrorCode::topic_already_exists)));
  CHECK(echoed.message() == std::string(default_message(ErrorCode::topic_already_exists)) + " (TOPIC_ALREADY_EXISTS)");
  CHECK(!std::error_code(ErrorCode::none));
}

TEST_CASE("klamm's own faults map to a Kafka code only where both mean the same") {
  CHECK(code_of(Error(Errc::timed_out)) == ErrorCode::request_timed_out);
  CHECK(code_of(Error(Errc::malformed)) == ErrorCode::invalid_request);
  CHECK(code_of(Error(Errc::checksum_mismatch)) == ErrorCode::corrupt_message);
  CHECK(code_of(Error(Errc::not_found)) == ErrorCode::unknown_server_error);
  CHECK(code_of(system_error(28, "write")) == ErrorCode::unknown_server_error);
}

TEST_CASE("ids compare, hash, print and step with their own kind only") {
  static_assert(!std::is_convertible_v<std::int64_t, Offset>);
  static_assert(!std::is_constructible_v<Offset, BrokerId>);
  CHECK(Offset(5) + 2 == Offset(7));
  CHECK(Offset(7) - Offset(5) == 2);
  CHECK(Offset(1) < Offset(2));
  CHECK(kNoBroker.value() == -1);
  CHECK(fmt::format("{} {}", BrokerId(4), Offset(7)) == "4 7");
  const TopicPartition partition{"topic-a", PartitionIndex(3)};
  CHECK(fmt::format("{}", partition) == "topic-a-3");
  CHECK(partition < TopicPartition{"topic-a", PartitionIndex(4)});
  const std::unordered_set<TopicPartition> set = {partition, partition, {"b", PartitionIndex(3)}};
  CHECK(set.size() == 2);
  CHECK(set.count(partition) == 1);
}

}  // namespace klamm::protocol
