#include "broker/raft/quorum_state.h"

#include <doctest/doctest.h>

namespace klamm::raft {
namespace {

TEST_CASE("a quorum-state line of version 1 is Kafka's, byte for byte") {
  QuorumState state;
  state.data_version = 1;
  state.leader_id = 1;
  state.leader_epoch = 1;
  const std::string line =
      R"({"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1})";
  CHECK(format_quorum_state(state) == line);
  CHECK(parse_quorum_state(line).value() == state);
}

TEST_CASE("a quorum-state line of version 0 is Kafka's, byte for byte") {
  QuorumState state;
  state.leader_id = 1;
  state.leader_epoch = 7;
  state.static_voters = {1, 2};
  const std::string line = R"({"clusterId":"","leaderId":1,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,)"
                           R"("currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0})";
  CHECK(format_quorum_state(state) == line);
  CHECK(parse_quorum_state(line).value() == state);
}

TEST_CASE("a vote survives being written and read, with its directory") {
  QuorumState state;
  state.data_version = 1;
  state.leader_epoch = 9;
  state.voted = ReplicaKey{3, Uuid{5, 6}};
  CHECK(parse_quorum_state(format_quorum_state(state)).value() == state);
}

TEST_CASE("quorum-state text that cannot be is refused") {
  for (const char* text :
       {"", "null", "{}", R"({"data_version":1})", R"({"leaderId":"1","leaderEpoch":1,"votedId":-1,"data_version":0})",
        R"({"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"?","data_version":1})",
        R"({"leaderId":1,"leaderEpoch":99999999999,"votedId":-1,"data_version":0})"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_quorum_state(text).has_value());
  }
  CHECK(parse_quorum_state(R"({"leaderId":1,"leaderEpoch":1,"votedId":-1,"data_version":2})").error() ==
        Errc::unsupported);
}

}  // namespace
}  // namespace klamm::raft
