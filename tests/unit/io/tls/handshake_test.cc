#include <doctest/doctest.h>

#include "tests/unit/io/tls/world.h"

using namespace klamm;
using namespace klamm::io;
using namespace klamm::test;
using tls::ClientAuth;
using tls::Settings;

namespace {

struct Failed {
  Error client;
  Error server;
};

// Shakes hands where at least one side must fail.
Failed refused(const Settings& of_client, const Settings& of_server, const std::string& host = "server",
               std::uint64_t seed = 1) {
  World world(seed, sim::Options::draw(seed));
  world.secure(of_client, of_server, host);
  World::Outcome outcome = world.shake();
  CHECK_FALSE(outcome.both());
  return {outcome.client ? Error(Errc::would_block) : outcome.client.error(),
          outcome.server ? Error(Errc::would_block) : outcome.server.error()};
}

bool accepted(const Settings& of_client, const Settings& of_server, const std::string& host = "server") {
  World world(1);
  world.secure(of_client, of_server, host);
  const World::Outcome outcome = world.shake();
  if (!outcome.client) MESSAGE(outcome.client.error().message());
  if (!outcome.server) MESSAGE(outcome.server.error().message());
  return outcome.both();
}

Settings of_server_named(const Wanted& wanted) {
  const Issued issued = cast().authority.issue(wanted);
  return pem_settings(&issued, cast().authority.pem());
}

}  // namespace

TEST_CASE("a server whose certificate another authority signed is refused by name") {
  const Failed failed = refused(pem_settings(nullptr, cast().other.pem()), cast().server_settings);
  CHECK(failed.client == Errc::authentication_failed);
  CHECK_FALSE(failed.client.retriable());
  CHECK(has(failed.client.message(), "TLS handshake with server:9093"));
  CHECK(has(failed.client.message(), "certificate verify failed"));
  CHECK(has(failed.client.message(), "the truststore does not hold who signed the certificate of DNS:server"));
  CHECK(failed.server == Errc::authentication_failed);
  CHECK(has(failed.server.message(), "alert unknown ca"));
}

TEST_CASE("the server's name must be in its certificate, unless nobody asks for it") {
  const Failed failed = refused(cast().client_settings, of_server_named({"elsewhere", "DNS:elsewhere,IP:10.9.9.9"}));
  CHECK(failed.client == Errc::authentication_failed);
  CHECK(has(failed.client.message(), "hostname mismatch"));
  CHECK(has(failed.client.message(), "the certificate is for DNS:elsewhere, IP:10.9.9.9, not for server"));
  Settings careless = cast().client_settings;
  careless.verify_host = false;
  CHECK(accepted(careless, of_server_named({"elsewhere", "DNS:elsewhere"})));
  CHECK(accepted(cast().client_settings, of_server_named({"any", "DNS:*.brokers.example"}), "one.brokers.example"));
  CHECK(accepted(cast().client_settings, of_server_named({"server"})));  // the common name, if there is no other
}

TEST_CASE("an address is looked for among the certificate's addresses") {
  CHECK(accepted(cast().client_settings, cast().server_settings, "10.0.0.1"));
  CHECK(accepted(cast().client_settings, of_server_named({"six", "IP:::1"}), "::1"));
  const Failed failed = refused(cast().client_settings, cast().server_settings, "10.0.0.2");
  CHECK(has(failed.client.message(), "IP address mismatch"));
  CHECK(has(refused(cast().client_settings, of_server_named({"dns", "DNS:10.0.0.2"}), "10.0.0.2").client.message(),
            "IP address mismatch"));
}

TEST_CASE("a certificate counts by the environment's clock") {
  const Failed past = refused(cast().client_settings, of_server_named({"server", "DNS:server", kNow - 9, kNow - 5}));
  CHECK(has(past.client.message(), "certificate has expired"));
  const Failed future =
      refused(cast().client_settings, of_server_named({"server", "DNS:server", kNow + kDay, kNow + 2 * kDay}));
  CHECK(has(future.client.message(), "certificate is not yet valid"));
}

TEST_CASE("a client's certificate is asked for, or demanded, and gives it a name") {
  const Settings with_certificate = pem_settings(&cast().client, cast().authority.pem());
  for (const ClientAuth auth : {ClientAuth::none, ClientAuth::requested, ClientAuth::required}) {
    for (const bool newest : {true, false}) {
      Settings of_server = cast().server_settings;
      of_server.client_auth = auth;
      of_server.tls_1_3 = newest;
      World world(1);
      world.secure(with_certificate, of_server);
      REQUIRE(world.shake().both());
      CHECK(world.far->peer_subject() == (auth == ClientAuth::none ? "" : "CN=käse,O=klamm"));
      CHECK(world.near->peer_subject() == "CN=server,O=klamm");
      CHECK(accepted(cast().client_settings, of_server) == (auth != ClientAuth::required));
    }
  }
}

TEST_CASE("a client without a certificate that is required learns it: at the handshake, or at the first read") {
  Settings of_server = cast().server_settings;
  of_server.client_auth = ClientAuth::required;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    World world(seed, sim::Options::draw(seed));
    world.secure(cast().client_settings, of_server);
    const World::Outcome outcome = world.shake();
    REQUIRE(outcome.client);
    REQUIRE_FALSE(outcome.server);
    CHECK(outcome.server.error() == Errc::authentication_failed);
    CHECK(has(outcome.server.error().message(), "peer did not return a certificate"));
    std::byte into[10];
    const Result<std::size_t> got = world.read_near(into);
    REQUIRE_FALSE(got);
    CHECK(got.error() == Errc::authentication_failed);
    CHECK(has(got.error().message(), "certificate required"));
  }
  of_server.tls_1_3 = false;
  const Failed failed = refused(cast().client_settings, of_server);
  CHECK(failed.client == Errc::authentication_failed);
  CHECK(has(failed.client.message(), "handshake failure"));
}

TEST_CASE("a client's certificate from another authority is refused even if it was only asked for") {
  Settings of_server = cast().server_settings;
  of_server.client_auth = ClientAuth::requested;
  of_server.tls_1_3 = false;
  const Failed failed = refused(pem_settings(&cast().stranger, cast().authority.pem()), of_server);
  CHECK(failed.server == Errc::authentication_failed);
  CHECK(has(failed.server.message(), "the truststore does not hold who signed the certificate of DNS:server"));
  CHECK(failed.client == Errc::authentication_failed);
}

TEST_CASE("versions and ciphers must meet") {
  Settings old = cast().client_settings;
  old.tls_1_3 = false;
  Settings newest = cast().server_settings;
  newest.tls_1_2 = false;
  const Failed versions = refused(old, newest);
  CHECK(versions.server == Errc::authentication_failed);
  CHECK(has(versions.server.message(), "unsupported protocol"));
  CHECK(has(versions.client.message(), "alert protocol version"));

  Settings one = old, other = cast().server_settings;
  one.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"};
  other.cipher_suites = {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"};
  const Failed ciphers = refused(one, other);
  CHECK(has(ciphers.server.message(), "no shared cipher"));

  Settings exact = cast().client_settings;
  exact.cipher_suites = {"TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"};
  World world(1);
  world.secure(exact, cast().server_settings);
  REQUIRE(world.shake().both());
  CHECK(world.near->cipher() == "TLS_CHACHA20_POLY1305_SHA256");
  exact.client_tls_1_3 = false;  // ssl.protocol=TLSv1.2
  World second(1);
  second.secure(exact, cast().server_settings);
  REQUIRE(second.shake().both());
  CHECK(second.near->version() == "TLSv1.2");
  CHECK(second.near->cipher() == "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
}

TEST_CASE("a peer that speaks no TLS is told apart") {
  const auto send_raw = [](Shard& shard, sim::Simulation& simulation, Stream& to, std::string text) {
    Pieces pieces;
    pieces.emplace_back(Slice::copy(text));
    CHECK(simulation.run(shard, write_all(to, std::move(pieces))));
  };
  World world(1);
  StreamRef plain = std::move(world.below_near);
  world.below_near = nullptr;
  Result<ContextRef> context = world.load(cast().server_settings, tls::Role::server);
  REQUIRE(context);
  world.far = tls::TlsStream::server(world.server.shard(), std::move(world.below_far), *context);
  send_raw(world.client.shard(), world.simulation, *plain, std::string("\0\0\0\x20\0\x12\0\4\0\0\0\0\0\5kcat1", 19));
  const Result<void> shaken = world.simulation.run(world.server.shard(), world.far->handshake(Instant::never()));
  REQUIRE_FALSE(shaken);
  CHECK(shaken.error() == Errc::authentication_failed);
  CHECK(has(shaken.error().message(), "the peer does not speak TLS"));
}

TEST_CASE("a handshake ends at its deadline, and when the peer goes away") {
  World world(1);
  Result<ContextRef> context = world.load(cast().client_settings, tls::Role::client);
  REQUIRE(context);
  world.near = tls::TlsStream::client(world.client.shard(), std::move(world.below_near), *context, {"server", 9093});
  const Instant begin = world.simulation.now();
  const Result<void> late = world.simulation.run(world.client.shard(), world.near->handshake(begin + 5s));
  REQUIRE_FALSE(late);
  CHECK(late.error() == Errc::timed_out);
  CHECK(has(late.error().message(), "TLS handshake with server:9093"));
  CHECK(world.simulation.now() < begin + 6s);

  World second(1);
  second.secure(cast().client_settings, cast().server_settings);
  second.far.reset();
  const Result<void> gone = second.simulation.run(second.client.shard(), second.near->handshake(Instant::never()));
  REQUIRE_FALSE(gone);
  CHECK(gone.error().retriable());
  CHECK(has(gone.error().message(), "TLS handshake with server:9093"));

  World third(1);
  third.secure(cast().client_settings, cast().server_settings);
  third.simulation.after(2s, [&] { third.near->close(); });
  const Result<void> closed = third.simulation.run(third.client.shard(), third.near->handshake(Instant::never()));
  REQUIRE_FALSE(closed);
  CHECK(closed.error() == Errc::cancelled);
}

TEST_CASE("handshakes under delays, cuts and blocked ways end, well or with an error") {
  int good = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    World world(seed, sim::Options::draw(seed));
    world.secure(cast().client_settings, cast().server_settings);
    sim::Network& network = world.simulation.network();
    if (seed % 4 == 1) world.simulation.after(seed * 100us, [&] { network.cut(world.client, world.server); });
    if (seed % 4 == 2) network.set_extra_delay(world.client, world.server, 3s);
    if (seed % 4 == 3) {
      network.block(world.client, world.server);
      world.simulation.after(2s, [&] { network.allow(world.client, world.server); });
    }
    const World::Outcome outcome = world.shake(20s);
    good += outcome.both() ? 1 : 0;
    if (seed % 4 != 1) CHECK(outcome.both());
  }
  CHECK(good >= 30);
}
