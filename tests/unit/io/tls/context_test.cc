#include "io/tls/context.h"

#include <doctest/doctest.h>

#include "io/file.h"
#include "tests/unit/io/tls/world.h"

using namespace klamm;
using namespace klamm::io;
using namespace klamm::test;
using tls::Role;
using tls::Settings;
using tls::StoreType;

namespace {

// One node with files, to load contexts on.
struct Machine {
  sim::Simulation simulation{1};
  sim::Node& node = simulation.add_node("node");

  void write(const std::string& path, const std::string& content) {
    CHECK(simulation.run(node.shard(), write_file_atomically(node.shard().files(), path, Slice::copy(content))));
  }
  Result<ContextRef> load(const Settings& settings, Role role = Role::server) {
    return simulation.run(node.shard(), tls::Context::load(node.shard(), settings, role));
  }
  std::string error_of(const Settings& settings, Role role = Role::server) {
    const Result<ContextRef> loaded = load(settings, role);
    REQUIRE_FALSE(loaded);
    CHECK_FALSE(loaded.error().retriable());
    return loaded.error().message();
  }
};

Settings keystore(StoreType type, const std::string& path, std::optional<std::string> password = {}) {
  Settings settings;
  settings.keystore = {type, path, std::move(password)};
  return settings;
}

// On one line, as a properties file without line ends has it.
std::string flat(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

}  // namespace

TEST_CASE("stores are read as PEM, in text or file, and as PKCS12, whatever Java calls it") {
  Machine machine;
  const Issued& server = cast().server;
  machine.write("/server.pem", "words before\n" + server.certificate_pem() + server.key_pem() + cast().authority.pem());
  machine.write("/server.p12", server.pkcs12("secret", cast().authority.certificate()));
  machine.write("/trust.pem", cast().authority.pem() + cast().other.pem() + cast().authority.pem());
  Settings pem = keystore(StoreType::pem, "/server.pem");
  pem.truststore = {StoreType::pem, "/trust.pem", {}};
  CHECK(machine.load(pem));
  CHECK(machine.load(keystore(StoreType::pkcs12, "/server.p12", "secret")));
  CHECK(machine.load(keystore(StoreType::jks, "/server.p12", "secret")));  // what keytool writes since Java 9
  Settings text;
  text.key = flat(server.key_pem("hush"));
  text.key_password = "hush";
  text.certificate_chain = flat(server.certificate_pem() + cast().authority.pem());
  CHECK(machine.load(text));
  Settings trust_in_pkcs12;
  trust_in_pkcs12.truststore = {StoreType::pkcs12, "/server.p12", "secret"};
  CHECK(machine.load(trust_in_pkcs12, Role::client));
  CHECK(machine.load(Settings(), Role::client));  // the system's authorities
}

TEST_CASE("a store that cannot be used says which one it is and why, and no password") {
  Machine machine;
  const Issued& server = cast().server;
  machine.write("/server.pem", server.certificate_pem() + server.key_pem("hush"));
  machine.write("/cert.pem", server.certificate_pem());
  machine.write("/server.p12", server.pkcs12("secret", nullptr));
  machine.write("/old.jks", std::string("\xfe\xed\xfe\xed\0\0\0\2", 8));
  machine.write("/noise", "nothing of any use");
  machine.write("/mixed.pem", server.certificate_pem() + cast().client.key_pem());

  std::string why = machine.error_of(keystore(StoreType::pem, "/missing.pem"));
  CHECK(has(why, "ssl.keystore.location /missing.pem"));
  why = machine.error_of(keystore(StoreType::pem, "/server.pem"));
  CHECK(has(why, "ssl.keystore.location /server.pem: the private key is encrypted and no ssl.key.password is set"));
  Settings wrong = keystore(StoreType::pem, "/server.pem");
  wrong.key_password = "wrong-one";
  why = machine.error_of(wrong);
  CHECK(has(why, "ssl.key.password may be wrong"));
  CHECK_FALSE(has(why, "wrong-one"));
  CHECK(has(machine.error_of(keystore(StoreType::pem, "/cert.pem")), "there is no private key"));
  CHECK(has(machine.error_of(keystore(StoreType::pem, "/server.p12")), "this is no PEM text"));
  CHECK(has(machine.error_of(keystore(StoreType::jks, "/cert.pem")), "set the type to PEM"));
  CHECK(has(machine.error_of(keystore(StoreType::pkcs12, "/noise")), "this is no PKCS12 store"));
  why = machine.error_of(keystore(StoreType::pkcs12, "/server.p12", "wrong-one"));
  CHECK(has(why, "the store's password is wrong"));
  CHECK_FALSE(has(why, "wrong-one"));
  CHECK(has(machine.error_of(keystore(StoreType::pkcs12, "/server.p12")), "has a password and none is set"));
  why = machine.error_of(keystore(StoreType::jks, "/old.jks", "secret"));
  CHECK(has(why, "/old.jks: klamm does not read Java's own store format (JKS)"));
  CHECK(has(why, "keytool -importkeystore"));
  // No client tries that again until its deadline: it is told at once.
  CHECK(machine.load(keystore(StoreType::jks, "/old.jks", "secret")).error() == Errc::invalid_argument);
  CHECK(has(machine.error_of(keystore(StoreType::pem, "/mixed.pem")), "CN=server,O=klamm"));
  Settings trust;
  trust.truststore = {StoreType::pem, "/noise", {}};
  CHECK(has(machine.error_of(trust, Role::client), "ssl.truststore.location /noise"));
  Settings listener;
  listener.prefix = "listener.name.outside.";
  CHECK(has(machine.error_of(listener), "listener.name.outside.ssl.keystore.location"));
}

TEST_CASE("a cipher that nobody knows, and versions that leave nothing, are told") {
  Machine machine;
  Settings settings = cast().server_settings;
  settings.cipher_suites = {"TLS_AES_128_GCM_SHA256", "TLS_ROT13_WITH_LUCK"};
  CHECK(has(machine.error_of(settings), "Invalid value TLS_ROT13_WITH_LUCK for configuration ssl.cipher.suites"));
  settings.cipher_suites = {"TLS_AES_128_GCM_SHA256"};
  settings.tls_1_3 = false;
  CHECK(has(machine.error_of(settings), "leave no TLS version to speak"));
  Settings client = cast().client_settings;
  client.tls_1_2 = false;
  client.client_tls_1_3 = false;
  CHECK(has(machine.error_of(client, Role::client), "leave no TLS version to speak"));
}
