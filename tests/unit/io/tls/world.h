// Two simulated nodes, "client" and "server", with a connection between them to put TLS on.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>

#include "io/sim/simulation.h"
#include "io/tls/stream.h"
#include "tests/unit/io/tls/certificates.h"
#include "tests/unit/why.h"

namespace klamm::test {

using ContextRef = std::shared_ptr<const io::tls::Context>;
using StreamRef = std::unique_ptr<io::Stream>;
using TlsRef = std::unique_ptr<io::tls::TlsStream>;

struct World {
  explicit World(std::uint64_t seed, io::sim::Options options = {})
      : simulation(seed, std::move(options)),
        server(simulation.add_node("server")),
        client(simulation.add_node("client")) {
    Result<std::unique_ptr<io::Listener>> made = server.shard().listen({"", 9093}, 10);
    REQUIRE(made);
    listener = std::move(*made);
    Result<StreamRef> connected = simulation.run(client.shard(), client.shard().connect({"server", 9093}, 10s));
    REQUIRE(connected);
    raw_near = connected->get();
    below_near = std::move(*connected);
    Result<StreamRef> accepted = simulation.run(server.shard(), listener->accept(server.shard()));
    REQUIRE(accepted);
    raw_far = accepted->get();
    below_far = std::move(*accepted);
  }

  Result<ContextRef> load(const io::tls::Settings& settings, io::tls::Role role) {
    io::Shard& shard = role == io::tls::Role::server ? server.shard() : client.shard();
    return simulation.run(shard, io::tls::Context::load(shard, settings, role));
  }

  // Makes both sides' streams, without shaking hands.
  void secure(const io::tls::Settings& of_client, const io::tls::Settings& of_server, std::string host = "server") {
    Result<ContextRef> near_context = load(of_client, io::tls::Role::client);
    REQUIRE_MESSAGE(near_context, why_of(near_context));
    Result<ContextRef> far_context = load(of_server, io::tls::Role::server);
    REQUIRE_MESSAGE(far_context, why_of(far_context));
    near = io::tls::TlsStream::client(client.shard(), std::move(below_near), *near_context, {std::move(host), 9093});
    far = io::tls::TlsStream::server(server.shard(), std::move(below_far), *far_context);
  }

  struct Outcome {
    Result<void> client = fail(Errc::would_block);
    Result<void> server = fail(Errc::would_block);
    bool both() const { return client && server; }
  };
  // Both sides at once.
  Outcome shake(Duration patience = 10s) {
    Outcome outcome;
    int done = 0;
    auto one = [&](io::Shard& shard, io::tls::TlsStream& stream, Result<void>& into) -> io::Task<void> {
      Result<void> shaken = co_await stream.handshake(shard.now() + patience);
      into = std::move(shaken);
      ++done;
    };
    auto near_side = [&] { io::spawn_detached(one(client.shard(), *near, outcome.client)); };
    auto far_side = [&] { io::spawn_detached(one(server.shard(), *far, outcome.server)); };
    client.shard().post([](void* run) { (*static_cast<decltype(near_side)*>(run))(); }, &near_side);
    server.shard().post([](void* run) { (*static_cast<decltype(far_side)*>(run))(); }, &far_side);
    CHECK(simulation.run_until([&] { return done == 2; }, 10min));
    return outcome;
  }

  Result<std::size_t> read_near(MutableBytes into) {
    return simulation.run(client.shard(), io::read_some(*near, into));
  }
  Result<std::size_t> read_far(MutableBytes into) { return simulation.run(server.shard(), io::read_some(*far, into)); }
  Result<void> send_near(std::string_view text) {
    io::Pieces pieces;
    pieces.emplace_back(Slice::copy(text));
    return simulation.run(client.shard(), io::write_all(*near, std::move(pieces)));
  }
  Result<void> send_far(std::string_view text) {
    io::Pieces pieces;
    pieces.emplace_back(Slice::copy(text));
    return simulation.run(server.shard(), io::write_all(*far, std::move(pieces)));
  }

  io::sim::Simulation simulation;
  io::sim::Node& server;
  io::sim::Node& client;
  std::unique_ptr<io::Listener> listener;
  StreamRef below_near, below_far;
  io::Stream* raw_near = nullptr;  // the streams below, wherever they are owned
  io::Stream* raw_far = nullptr;
  TlsRef near, far;
};

// One authority, a certificate for "server" and one for a client; made once, they take a moment.
struct Cast {
  Authority authority{"authority"};
  Authority other{"another authority"};
  Issued server = authority.issue({"server", "DNS:server,IP:10.0.0.1"});
  Issued client = authority.issue({"käse", ""});
  Issued stranger = other.issue({"stranger", "DNS:server"});
  io::tls::Settings client_settings = pem_settings(nullptr, authority.pem());
  io::tls::Settings server_settings = pem_settings(&server, authority.pem());
};
inline const Cast& cast() {
  static const Cast made;
  return made;
}

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace klamm::test
