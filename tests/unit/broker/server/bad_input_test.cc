// What odd clients get: for each a clear end, and everybody else goes on.
#include "broker/handler/dispatch.h"
#include "node_fixture.h"
#include "protocol/message/any_message.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/schema/catalog.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::server::testing;

namespace {

io::Pieces raw(std::string bytes) { return {Slice::copy(bytes)}; }

std::string number(std::int32_t value) {
  std::byte bytes[4];
  store_big_endian(bytes, value);
  return std::string(as_text(bytes));
}

// A frame with a header of version 1 and a body.
std::string frame(std::int16_t key, std::int16_t version, const std::string& body) {
  std::byte head[8];
  store_big_endian<std::int16_t>(head, key);
  store_big_endian<std::int16_t>(head + 2, version);
  store_big_endian<std::int32_t>(head + 4, 7);
  const std::string content = std::string(as_text(head)) + std::string("\x00\x01x", 3) + body;
  return number(static_cast<std::int32_t>(content.size())) + content;
}

bool serves(Client& client) {
  const auto versions = client.call<protocol::ApiVersionsResponse>(protocol::ApiVersionsRequest{{"test"}, {"1"}});
  return versions.error_code == 0;
}

}  // namespace

TEST_CASE("bytes that are no request close their connection and no other") {
  Host host;
  RunningNode node(host, {{"socket.request.max.bytes", "100000"}});
  Client bystander(node);
  REQUIRE(serves(bystander));
  const std::string cases[] = {
      number(-1),                                       // negative size
      number(100'001) + "x",                            // over the limit
      number(0x7fffffff),                               // far over
      number(0),                                        // no header
      number(3) + "abc",                                // a header cut short
      frame(9999, 0, ""),                               // an unknown API
      frame(-1, 0, ""),                                 //
      frame(3, 99, ""),                                 // a version nobody has
      frame(0, 2, ""),                                  // advertised for old clients, but refused
      frame(3, 1, std::string("\x7f\xff\xff\xff", 4)),  // an array longer than the frame
      frame(1, 4, "short"),                             // a body that does not decode
      std::string(5000, '\xee'),                        // noise
      "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",      // another protocol: its first word is a size over the limit
  };
  for (const std::string& bytes : cases) {
    Client odd(node);
    REQUIRE(odd.send(raw(bytes)));
    const Result<Slice> answer = odd.receive();
    CHECK_FALSE(answer.has_value());
    CHECK(serves(bystander));
  }
}

TEST_CASE("what the log says of a request that is not served names the API, its version and the client") {
  protocol::RequestHeader header;
  header.client_id = "billing";
  header.request_api_key = 11;
  header.request_api_version = 4;
  CHECK(handler::why_not_served(header) ==
        "JoinGroup (API key 11) version 4, asked for by client 'billing', is not served");
  header.request_api_key = 3;
  header.request_api_version = 99;
  CHECK(handler::why_not_served(header) ==
        "Metadata (API key 3) version 99, asked for by client 'billing', is not served: versions 0 to 13 are");
  header.request_api_key = 9999;
  header.client_id.reset();
  CHECK(handler::why_not_served(header) == "Unknown (API key 9999) version 99, asked for by client '', is not served");
}

TEST_CASE("what was asked before a bad frame is still answered") {
  Host host;
  RunningNode node(host);
  Client odd(node);
  io::Pieces burst = protocol::encode_request(protocol::ApiVersionsRequest{{"test"}, {"1"}}, 4, 1, "test");
  burst.push_back(Slice::copy(number(-5)));
  REQUIRE(odd.send(std::move(burst)));
  Result<Slice> answer = odd.receive();
  REQUIRE(answer.has_value());
  CHECK(protocol::decode_response<protocol::ApiVersionsResponse>(*answer, 4, 1).has_value());
  CHECK_FALSE(odd.receive().has_value());
}

TEST_CASE("an ApiVersions request of a version nobody has is answered in version 0 with the range") {
  Host host;
  RunningNode node(host);
  Client client(node);
  REQUIRE(client.send(raw(frame(18, 77, std::string("\x00", 1)))));
  Result<Slice> answer = client.receive();
  REQUIRE(answer.has_value());
  const auto response = protocol::decode_response<protocol::ApiVersionsResponse>(*answer, 0, 7);
  REQUIRE_MESSAGE(response.has_value(), why_of(response));
  CHECK(response->error_code == 35);
  CHECK(response->api_keys.size() == handler::served_apis().size());
}

TEST_CASE("bytes behind a request are ignored, as librdkafka 2.15 sends them behind Metadata for all topics") {
  Host host;
  RunningNode node(host);
  Client client(node);
  constexpr std::size_t kHeaderTagsAndRequest = 5;
  REQUIRE(client.send(raw(frame(3, 12, std::string(kHeaderTagsAndRequest + 3, '\0')))));
  Result<Slice> answer = client.receive();
  REQUIRE(answer.has_value());
  const auto response = protocol::decode_response<protocol::MetadataResponse>(*answer, 12, 7);
  REQUIRE_MESSAGE(response.has_value(), why_of(response));
  CHECK(response->brokers.size() == 1);
  CHECK(serves(client));
}

TEST_CASE("requests pipelined on one connection are answered in order") {
  Host host;
  RunningNode node(host);
  Client client(node);
  io::Pieces burst;
  for (std::int32_t id = 0; id < 300; ++id) {
    for (io::Piece& piece : protocol::encode_request(protocol::ApiVersionsRequest{{"test"}, {"1"}}, 4, id, "test"))
      burst.push_back(std::move(piece));
  }
  REQUIRE(client.send(std::move(burst)));
  for (std::int32_t id = 0; id < 300; ++id) {
    Result<Slice> answer = client.receive();
    REQUIRE(answer.has_value());
    CHECK(protocol::decode_response<protocol::ApiVersionsResponse>(*answer, 4, id).has_value());
  }
}

TEST_CASE("every served API answers an empty request in every version, and the answer decodes") {
  Host host;
  RunningNode node(host);
  int answered = 0;
  for (const handler::Served& served : handler::served_apis()) {
    const protocol::ApiInfo& api = protocol::api_info(served.key);
    for (std::int16_t version = api.min_version; version <= api.max_stable_version; ++version) {
      const std::unique_ptr<protocol::AnyMessage> request =
          protocol::find_message("clients", "request", static_cast<std::int16_t>(served.key))->make();
      Client client(node);
      protocol::RequestHeader header;
      header.request_api_key = static_cast<std::int16_t>(served.key);
      header.request_api_version = version;
      header.correlation_id = 5;
      const Slice head = wire::encode_message(header, api.request_header_version(version));
      const Slice body = request->encode(version);
      REQUIRE(client.send({Slice::copy(number(static_cast<std::int32_t>(head.size() + body.size()))), head, body}));
      if (served.key == protocol::ApiKey::produce) continue;  // the default acks=0 is not answered
      Result<Slice> answer = client.receive();
      REQUIRE_MESSAGE(answer.has_value(), api.name, " v", version, ": ", why_of(answer));
      wire::Reader reader(*answer);
      REQUIRE(protocol::read_response_header(reader, served.key, version).has_value());
      const auto response = protocol::decode_any_response(served.key, version, reader.read_rest());
      CHECK_MESSAGE(response.has_value(), api.name, " v", version, ": ", why_of(response));
      ++answered;
    }
  }
  CHECK(answered > 80);
}
