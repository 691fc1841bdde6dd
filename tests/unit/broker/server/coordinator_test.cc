// FindCoordinator on a node that is alone: nobody else could coordinate, and it says so.
#include <string>

#include "node_fixture.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/find_coordinator_request.h"
#include "protocol/messages/find_coordinator_response.h"

using namespace klamm;
using namespace klamm::server::testing;
using protocol::ErrorCode;

namespace {

protocol::FindCoordinatorResponse::Coordinator find(Client& client, std::int8_t type, const std::string& key) {
  protocol::FindCoordinatorRequest request;
  request.key_type = type;
  request.coordinator_keys = {key};
  const auto response = client.call<protocol::FindCoordinatorResponse>(request);
  REQUIRE(response.coordinators.size() == 1);
  CHECK(response.coordinators[0].key == key);
  CHECK(response.coordinators[0].node_id == -1);
  CHECK(response.coordinators[0].port == -1);
  return response.coordinators[0];
}

void check(const protocol::FindCoordinatorResponse::Coordinator& answer, ErrorCode error, const std::string& message) {
  CHECK(answer.error_code == static_cast<std::int16_t>(error));
  CHECK(answer.error_message == message);
}

}  // namespace

TEST_CASE("a broker without coordinators says so for good, so that clients do not ask for ever") {
  Host host;
  RunningNode node(host);
  Client client(node);
  check(find(client, 0, "g"), ErrorCode::unsupported_version,
        "there is no topic __consumer_offsets, and klamm makes none before it has a group coordinator");
  check(find(client, 1, "t"), ErrorCode::unsupported_version,
        "there is no topic __transaction_state, and klamm makes none before it has a transaction coordinator");
  check(find(client, 3, "x"), ErrorCode::invalid_request, "no coordinator has key type 3");
  check(find(client, 2, "no share partition"), ErrorCode::invalid_request, "");

  const protocol::CreateTopicsRequest create = creation_of("__consumer_offsets", 50);
  REQUIRE(client.call<protocol::CreateTopicsResponse>(create).topics.at(0).error_code == 0);
  check(
      find(client, 0, "g-classic"), ErrorCode::unsupported_version,
      "broker 1 leads __consumer_offsets-18 and is klamm, which has no group coordinator yet: a broker of Apache Kafka "
      "must lead it");
}
