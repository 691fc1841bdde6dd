// AlterReplicaLogDirs over the wire, on a node with two data directories.
#include <algorithm>

#include "protocol/error.h"
#include "protocol/messages/alter_replica_log_dirs_request.h"
#include "protocol/messages/alter_replica_log_dirs_response.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/describe_log_dirs_request.h"
#include "protocol/messages/describe_log_dirs_response.h"
#include "tests/unit/broker/server/node_fixture.h"

using namespace klamm;
using namespace klamm::server::testing;

namespace {

// The error codes, in order of topics and partitions.
std::vector<std::int16_t> alter(Client& client, const std::string& path, const std::string& topic,
                                std::vector<std::int32_t> partitions) {
  protocol::AlterReplicaLogDirsRequest request;
  auto& dir = request.dirs.emplace_back();
  dir.path = path;
  auto& asked = dir.topics.emplace_back();
  asked.name = topic;
  asked.partitions = std::move(partitions);
  std::vector<std::int16_t> codes;
  for (const auto& result : client.call<protocol::AlterReplicaLogDirsResponse>(request).results) {
    CHECK(result.topic_name == topic);
    for (const auto& partition : result.partitions) codes.push_back(partition.error_code);
  }
  return codes;
}

// How many partitions lie in the directory; -1 while any moves.
int settled_in(Client& client, const std::string& path) {
  protocol::DescribeLogDirsRequest request;
  request.topics.reset();
  int count = 0;
  for (const auto& result : client.call<protocol::DescribeLogDirsResponse>(request).results) {
    for (const auto& topic : result.topics) {
      for (const auto& partition : topic.partitions) {
        if (partition.is_future_key) return -1;
        count += result.log_dir == path ? 1 : 0;
      }
    }
  }
  return count;
}

std::int16_t on_wire(protocol::ErrorCode code) { return protocol::to_wire(code); }

}  // namespace

TEST_CASE("a client moves partitions between the directories of a node, and is told what cannot be moved") {
  Host host;
  RunningNode node(host, {{"log.dirs", "/data,/second"}});
  Client client(node);
  REQUIRE(client.call<protocol::CreateTopicsResponse>(creation_of("t", 4)).topics.at(0).error_code == 0);

  using protocol::ErrorCode;
  CHECK(alter(client, "/third", "t", {0}) == std::vector<std::int16_t>{on_wire(ErrorCode::log_dir_not_found)});
  CHECK(alter(client, "/second", "u", {3}) == std::vector<std::int16_t>{on_wire(ErrorCode::replica_not_available)});
  CHECK(alter(client, "/second", "t", {0, 1, 2, 3, 4}) ==
        std::vector<std::int16_t>{0, 0, 0, 0, on_wire(ErrorCode::replica_not_available)});
  int there = -1;
  while (there < 0) there = settled_in(client, "/second");
  CHECK(there == 4);
  CHECK(alter(client, "/data", "t", {0, 1, 2, 3}) == std::vector<std::int16_t>(4, 0));
  there = -1;
  while (there < 0) there = settled_in(client, "/data");
  CHECK(there == 4);
}
