// What a node's controller listener serves, asked over a real connection.
#include <string>

#include "broker/handler/dispatch.h"
#include "broker/handler/envelope.h"
#include "node_fixture.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/describe_cluster_request.h"
#include "protocol/messages/describe_cluster_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"

using namespace klamm;
using namespace klamm::server::testing;
using protocol::ErrorCode;

namespace {

template <typename Request>
Slice bytes_of(const Request& request, std::int16_t version, std::int32_t correlation_id) {
  protocol::RequestHeader header;
  header.request_api_key = static_cast<std::int16_t>(Request::kApiKey);
  header.request_api_version = version;
  header.correlation_id = correlation_id;
  header.client_id = "somebody";
  return handler::Forwarder::join(header, wire::encode_message(request, version));
}

protocol::EnvelopeRequest envelope_of(Slice request) {
  security::RequestContext sender;
  sender.principal.name = "alice";
  sender.client_address = "10.1.2.3";
  return handler::make_envelope(std::move(request), sender);
}

ErrorCode code(std::int16_t number) { return protocol::error_code_from(number); }

}  // namespace

TEST_CASE("a controller listener advertises the controller's table, and only that is served there") {
  Host host;
  RunningNode node(host);
  Client client(node, node.controller_address());
  const auto versions = client.call<protocol::ApiVersionsResponse>(protocol::ApiVersionsRequest{{"test"}, {"1"}});
  REQUIRE(versions.error_code == 0);
  REQUIRE(versions.api_keys.size() == handler::controller_apis().size());
  for (std::size_t index = 0; index < versions.api_keys.size(); ++index) {
    const auto& range = versions.api_keys[index];
    CHECK(range.api_key == static_cast<std::int16_t>(handler::controller_apis()[index].key));
    CHECK(protocol::find_api(range.api_key)->on_controller);
  }
  CHECK(versions.finalized_features.size() > 0);
  CHECK(versions.supported_features.size() == 7);
  REQUIRE(client.send(protocol::encode_request(protocol::MetadataRequest(), 12, 1, "test")));
  CHECK_FALSE(client.receive().has_value());
  // And the other way round.
  Client other(node);
  REQUIRE(other.send(protocol::encode_request(protocol::BrokerHeartbeatRequest(), 1, 1, "test")));
  CHECK_FALSE(other.receive().has_value());
}

TEST_CASE("a controller listener describes controllers, a broker's brokers") {
  Host host;
  RunningNode node(host);
  Client controller(node, node.controller_address());
  protocol::DescribeClusterRequest request;
  request.endpoint_type = 2;
  auto response = controller.call<protocol::DescribeClusterResponse>(request);
  REQUIRE(response.error_code == 0);
  CHECK(response.endpoint_type == 2);
  CHECK(response.controller_id == 1);
  REQUIRE(response.brokers.size() == 1);
  CHECK(response.brokers[0].port == node.controller_address().port);
  Client broker(node);
  CHECK(code(broker.call<protocol::DescribeClusterResponse>(request).error_code) ==
        ErrorCode::mismatched_endpoint_type);
  request.endpoint_type = 1;
  CHECK(broker.call<protocol::DescribeClusterResponse>(request).error_code == 0);
  CHECK(code(controller.call<protocol::DescribeClusterResponse>(request).error_code) ==
        ErrorCode::mismatched_endpoint_type);
}

TEST_CASE("an envelope's request is served as its sender's, and the answer comes back with its own correlation id") {
  Host host;
  RunningNode node(host);
  Client client(node, node.controller_address());
  const std::int16_t version = protocol::CreateTopicsRequest::kMaxStableVersion;
  auto response = client.call<protocol::EnvelopeResponse>(envelope_of(bytes_of(creation_of("t"), version, 4711)));
  REQUIRE(code(response.error_code) == ErrorCode::none);
  REQUIRE(response.response_data.has_value());
  const auto created =
      protocol::decode_response<protocol::CreateTopicsResponse>(*response.response_data, version, 4711);
  REQUIRE_MESSAGE(created.has_value(), why_of(created));
  REQUIRE(created->topics.size() == 1);
  CHECK(created->topics[0].error_code == 0);
}

TEST_CASE("an envelope that cannot be opened has the code that says why") {
  Host host;
  RunningNode node(host);
  Client client(node, node.controller_address());
  const Slice good = bytes_of(creation_of("t"), 7, 1);
  const auto code_of = [&](protocol::EnvelopeRequest envelope) {
    const auto response = client.call<protocol::EnvelopeResponse>(envelope);
    CHECK_FALSE(response.response_data.has_value());
    return code(response.error_code);
  };
  auto envelope = envelope_of(good);
  envelope.request_principal = std::nullopt;
  CHECK(code_of(envelope) == ErrorCode::principal_deserialization_failure);
  envelope.request_principal = Slice::copy(std::string_view("\0\1", 2));
  CHECK(code_of(envelope) == ErrorCode::principal_deserialization_failure);
  envelope = envelope_of(good);
  envelope.client_host_address = Slice::copy(std::string_view("\1\2\3", 3));
  CHECK(code_of(envelope) == ErrorCode::invalid_request);
  CHECK(code_of(envelope_of({})) == ErrorCode::unsupported_version);
  CHECK(code_of(envelope_of(good.part(0, good.size() - 3))) == ErrorCode::unsupported_version);
  CHECK(code_of(envelope_of(bytes_of(protocol::BrokerHeartbeatRequest(), 1, 1))) == ErrorCode::invalid_request);
  Slice newer = Slice::copy(good);
  newer.mutable_data()[3] = std::byte{99};
  CHECK(code_of(envelope_of(newer)) == ErrorCode::unsupported_version);
}

TEST_CASE("a broker elsewhere forwards over the network, and learns how far to wait") {
  Host host;
  RunningNode node(host);
  io::Machine& machine = host.machine();
  const io::Endpoint address = node.controller_address();
  controller::ControllerChannelOptions options;
  options.node_id = 2;
  controller::ControllerChannel channel(
      machine.at(0), options,
      [&] {
        return controller::LeaderAddress{1, address};
      },
      nullptr, Logger());
  handler::Forwarder forwarder(channel, nullptr);
  security::RequestContext sender;
  sender.client_address = "127.0.0.1";
  const std::int16_t version = protocol::CreateTopicsRequest::kMaxStableVersion;
  Result<handler::Forwarder::Answer> answer = machine.run(
      0, forwarder.forward(bytes_of(creation_of("t"), version, 12), sender, machine.at(0).now() + 10s, true));
  REQUIRE_MESSAGE(answer.has_value(), why_of(answer));
  CHECK(answer->committed > 0);
  const auto created = protocol::decode_response<protocol::CreateTopicsResponse>(answer->response, version, 12);
  REQUIRE_MESSAGE(created.has_value(), why_of(created));
  CHECK(created->topics.at(0).error_code == 0);
  // The same once more is refused by the controller, not by the way to it.
  answer = machine.run(
      0, forwarder.forward(bytes_of(creation_of("t"), version, 13), sender, machine.at(0).now() + 10s, true));
  REQUIRE(answer.has_value());
  const auto again = protocol::decode_response<protocol::CreateTopicsResponse>(answer->response, version, 13);
  REQUIRE(again.has_value());
  CHECK(code(again->topics.at(0).error_code) == ErrorCode::topic_already_exists);
  machine.run(0, channel.close());
}

TEST_CASE("what a broker forwards is there when the answer is") {
  Host host(4);
  RunningNode node(host);
  Client client(node);
  for (int round = 0; round < 20; ++round) {
    const std::string name = "t" + std::to_string(round);
    REQUIRE(client.call<protocol::CreateTopicsResponse>(creation_of(name)).topics.at(0).error_code == 0);
    protocol::MetadataRequest request;
    request.topics.emplace().emplace_back().name = name;
    CHECK(client.call<protocol::MetadataResponse>(request).topics.at(0).error_code == 0);
  }
}

TEST_CASE("a node that is a controller alone starts, serves its listener, and stops") {
  Host host;
  RunningNode node(host, {{"process.roles", "controller"}, {"listeners", "CONTROLLER://127.0.0.1:0"}});
  Client client(node, node.controller_address());
  protocol::DescribeClusterRequest request;
  request.endpoint_type = 2;
  // It is up before its own registration is committed.
  protocol::DescribeClusterResponse response;
  for (int tries = 0; tries < 10'000 && response.brokers.empty(); ++tries) {
    response = client.call<protocol::DescribeClusterResponse>(request);
    REQUIRE(response.error_code == 0);
  }
  REQUIRE(response.brokers.size() == 1);
  CHECK(response.brokers[0].port == node.controller_address().port);
}
