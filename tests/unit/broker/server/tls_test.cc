// A node whose listener speaks TLS, on the machine's own network.
#include "io/tls/stream.h"

#include "node_fixture.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/incremental_alter_configs_request.h"
#include "protocol/messages/incremental_alter_configs_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/rpc/connection.h"
#include "tests/unit/io/tls/certificates.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::server::testing;
using klamm::test::Authority;
using klamm::test::Issued;

namespace {

constexpr std::int64_t kLong = test::kNow + 36'500 * test::kDay;  // the machine's clock counts here

struct Cast {
  Authority authority{"authority"};
  Issued server = authority.issue({"localhost", "DNS:localhost,IP:127.0.0.1", test::kNow, kLong});
  Issued client = authority.issue({"client", "", test::kNow, kLong});
};
const Cast& cast() {
  static const Cast made;
  return made;
}

using Settings = std::map<std::string, std::string>;

Settings tls_node(Settings more = {}) {
  Settings settings{{"listeners", "INSIDE://127.0.0.1:0,CONTROLLER://127.0.0.1:9093"},
                    {"listener.security.protocol.map", "INSIDE:SSL,CONTROLLER:PLAINTEXT"},
                    {"inter.broker.listener.name", "INSIDE"},
                    {"listener.name.inside.ssl.keystore.type", "PEM"},
                    {"listener.name.inside.ssl.keystore.key", cast().server.key_pem()},
                    {"listener.name.inside.ssl.keystore.certificate.chain", cast().server.certificate_pem()},
                    {"ssl.truststore.type", "PEM"},
                    {"ssl.truststore.certificates", cast().authority.pem()}};
  for (auto& [key, value] : more) settings.insert_or_assign(key, value);
  return settings;
}

using ConnectionRef = std::shared_ptr<rpc::Connection>;

Result<ConnectionRef> connect(RunningNode& node, const Issued* identity,
                              const std::string& trusted = cast().authority.pem()) {
  io::Machine& machine = node.host().machine();
  const io::tls::Settings settings = test::pem_settings(identity, trusted);
  Result<std::shared_ptr<const io::tls::Context>> context =
      machine.run(0, io::tls::Context::load(machine.at(0), settings, io::tls::Role::client));
  REQUIRE(context);
  rpc::ConnectionOptions options;
  options.client_id = "test";
  options.tls = *context;
  return machine.run(0, rpc::Connection::open(machine.at(0), node.address(), options));
}

void end(RunningNode& node, const ConnectionRef& connection) {
  node.host().machine().run(0, [](ConnectionRef ending) -> io::Task<void> {
    ending->close();
    co_await ending->wait_ended();
  }(connection));
}

// Sets the certificate of the listener; the error code.
std::int16_t set_certificate(RunningNode& node, const ConnectionRef& connection, const Issued& issued) {
  protocol::IncrementalAlterConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = 4;
  resource.resource_name = "1";
  auto set = [&resource](const std::string& key, const std::string& value) {
    auto& config = resource.configs.emplace_back();
    config.name = "listener.name.inside.ssl.keystore." + key;
    config.value = value;
  };
  set("key", issued.key_pem());
  set("certificate.chain", issued.certificate_pem());
  const auto answer = node.host().machine().run(0, connection->call(request));
  REQUIRE(answer);
  return answer->responses.at(0).error_code;
}

}  // namespace

TEST_CASE("a certificate that is set at run time is what the next client sees, unless it is somebody else's") {
  Host host;
  RunningNode node(host, tls_node());
  const Authority other("other");
  const auto issue = [&other](const std::string& name, const std::string& names) {
    return other.issue({name, names, test::kNow, kLong});
  };
  Result<ConnectionRef> connection = connect(node, nullptr);
  REQUIRE_MESSAGE(connection, why_of(connection));
  constexpr std::int16_t kInvalidRequest = 42;
  CHECK(set_certificate(node, *connection, issue("stranger", "DNS:localhost,IP:127.0.0.1")) == kInvalidRequest);
  CHECK(set_certificate(node, *connection, issue("localhost", "DNS:localhost")) == kInvalidRequest);
  CHECK_FALSE(connect(node, nullptr, other.pem()));
  CHECK(set_certificate(node, *connection, issue("localhost", "DNS:localhost,IP:127.0.0.1")) == 0);
  Result<ConnectionRef> next = connect(node, nullptr, other.pem());
  for (int tries = 0; !next && tries < 200; ++tries) next = connect(node, nullptr, other.pem());
  REQUIRE_MESSAGE(next, why_of(next));
  CHECK(host.machine().run(0, (*connection)->call(protocol::MetadataRequest{})));  // who is there stays
  end(node, *next);
  end(node, *connection);
}

TEST_CASE("a listener of protocol SSL serves requests, with the settings of its own name") {
  Host host;
  RunningNode node(host, tls_node());
  Result<ConnectionRef> connection = connect(node, nullptr);
  REQUIRE_MESSAGE(connection, why_of(connection));
  const auto created = host.machine().run(0, (*connection)->call(creation_of("log")));
  REQUIRE(created);
  CHECK(created->topics.at(0).error_code == 0);
  const auto metadata = host.machine().run(0, (*connection)->call(protocol::MetadataRequest{}));
  REQUIRE(metadata);
  CHECK(metadata->brokers.at(0).port == node.address().port);
  end(node, *connection);
}

TEST_CASE("a client that must show a certificate and does not is refused, with reason") {
  Host host;
  RunningNode node(host, tls_node({{"listener.name.inside.ssl.client.auth", "required"}}));
  const Result<ConnectionRef> refused = connect(node, nullptr);
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == Errc::authentication_failed);
  CHECK(refused.error().message().find("certificate required") != std::string::npos);
  Result<ConnectionRef> accepted = connect(node, &cast().client);
  REQUIRE_MESSAGE(accepted, why_of(accepted));
  end(node, *accepted);
}

TEST_CASE("a client that speaks no TLS is turned away and disturbs nobody") {
  Host host;
  RunningNode node(host, tls_node());
  Result<ConnectionRef> other = connect(node, nullptr);
  REQUIRE(other);
  Client plain(node);
  io::Pieces frame;
  frame.emplace_back(Slice::copy(std::string("\0\0\0\x0c\0\x12\0\0\0\0\0\1\0\2hi", 16)));
  CHECK(plain.send(std::move(frame)));
  CHECK_FALSE(plain.receive());
  CHECK(host.machine().run(0, (*other)->call(protocol::MetadataRequest{})));
  end(node, *other);
}
