#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include "io/sim/faults.h"
#include "io/sim/simulation.h"
#include "io/sync.h"

using namespace klamm;
using namespace klamm::io;
using sim::PeersSee;

namespace {

using StreamResult = Result<std::unique_ptr<Stream>>;

std::error_code system_code(int number) { return {number, std::system_category()}; }

struct Pair {
  explicit Pair(std::uint64_t seed, sim::Options options = {})
      : simulation(seed, std::move(options)),
        server(simulation.add_node("server")),
        client(simulation.add_node("client")) {
    Result<std::unique_ptr<Listener>> made = server.shard().listen({"", 9092}, 10);
    REQUIRE(made);
    listener = std::move(*made);
    StreamResult connected = connect();
    REQUIRE(connected);
    near = std::move(*connected);
    StreamResult accepted = simulation.run(server.shard(), listener->accept(server.shard()));
    REQUIRE(accepted);
    far = std::move(*accepted);
  }
  StreamResult connect(Duration timeout = 10s) {
    return simulation.run(client.shard(), client.shard().connect({"server", 9092}, timeout));
  }
  Result<std::size_t> read_far(MutableBytes into) { return simulation.run(server.shard(), read_some(*far, into)); }
  Result<std::size_t> read_near(MutableBytes into) { return simulation.run(client.shard(), read_some(*near, into)); }
  Result<void> send(std::string text) {
    Pieces pieces;
    pieces.emplace_back(Slice::copy(text));
    return simulation.run(client.shard(), write_all(*near, std::move(pieces)));
  }

  sim::Simulation simulation;
  sim::Node& server;
  sim::Node& client;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Stream> near;
  std::unique_ptr<Stream> far;
};

}  // namespace

TEST_CASE("a stream carries all bytes in order, memory and files, however it is cut up") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Pair pair(seed, sim::Options::draw(seed));
    Shard& shard = pair.client.shard();
    Random random(seed);
    std::string expected;
    Pieces pieces;
    Result<std::shared_ptr<File>> file = pair.simulation.run(shard, shard.files().open("/segment", OpenMode::create));
    REQUIRE(file);
    std::string content(100'000, 0);
    for (char& c : content) c = static_cast<char>(random.below(256));
    CHECK(pair.simulation.run(shard, (*file)->write(0, as_bytes(content))));
    for (int count = 0; count < 10; ++count) {
      const std::uint64_t offset = random.below(50'000);
      const std::uint64_t size = random.below(50'000);
      if (random.chance(0.5)) {
        pieces.emplace_back(FileRegion{*file, offset, size});
      } else {
        pieces.emplace_back(Slice::copy(std::string_view(content).substr(offset, size)));
      }
      expected += content.substr(offset, size);
    }
    bool sent = false;
    auto send = [&]() -> Task<void> {
      Result<void> written = co_await write_all(*pair.near, std::move(pieces));
      CHECK(written);
      pair.near->shutdown_write();
      sent = true;
    };
    shard.post([](void* function) { spawn_detached((*static_cast<decltype(send)*>(function))()); }, &send);
    std::string got;
    for (;;) {
      std::byte into[3000];
      const Result<std::size_t> some = pair.read_far(into);
      if (!some) {
        CHECK(some.error() == Errc::end_of_stream);
        break;
      }
      got += as_text(Bytes(into, *some));
    }
    CHECK(sent);
    CHECK(got == expected);
    CHECK(pair.far->peer() == pair.near->local());
    CHECK(pair.near->peer().port == 9092);
  }
}

TEST_CASE("a region that reaches past the end of its file is an error, not silence") {
  Pair pair(1);
  Shard& shard = pair.client.shard();
  Result<std::shared_ptr<File>> file = pair.simulation.run(shard, shard.files().open("/short", OpenMode::create));
  REQUIRE(file);
  CHECK(pair.simulation.run(shard, (*file)->write(0, as_bytes("abc"))));
  Pieces pieces;
  pieces.emplace_back(FileRegion{*file, 0, 10});
  const Result<void> written = pair.simulation.run(shard, write_all(*pair.near, std::move(pieces)));
  REQUIRE_FALSE(written);
  CHECK(written.error() == Errc::corrupt);
}

TEST_CASE("a writer stops when the peer does not read, and goes on when it does") {
  sim::Options options;
  options.network.socket_buffer_bytes = 1000;
  Pair pair(1, options);
  std::size_t taken = 0;
  const Piece piece[] = {Slice::copy(std::string(5000, 'x'))};
  for (;;) {
    const Result<std::size_t> put = pair.near->try_write(piece);
    if (!put) {
      CHECK(put.error() == Errc::would_block);
      break;
    }
    taken += *put;
  }
  CHECK(taken == 1000);
  bool writable = false;
  auto wait = [&]() -> Task<void> {
    co_await pair.near->ready(Direction::write);
    writable = true;
  };
  pair.simulation.run(pair.client.shard(), [&]() -> Task<void> {
    spawn_detached(wait());
    co_return;
  });
  pair.simulation.run_for(1min);
  CHECK_FALSE(writable);
  std::byte into[10];
  CHECK(pair.read_far(into));
  CHECK(pair.simulation.run_until([&] { return writable; }, 1s));
}

TEST_CASE("connections are refused, time out, are unknown or find the address taken") {
  Pair pair(1);
  Shard& shard = pair.client.shard();
  auto connect = [&](Endpoint to) { return pair.simulation.run(shard, shard.connect(std::move(to), 5s)); };
  const StreamResult refused = connect({"server", 1});
  REQUIRE_FALSE(refused);
  CHECK(refused.error() == system_code(ECONNREFUSED));
  const StreamResult unknown = connect({"nowhere", 9092});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error() == Errc::unavailable);
  pair.simulation.network().partition(pair.client, pair.server);
  const Instant before = pair.simulation.now();
  const StreamResult late = connect({"server", 9092});
  REQUIRE_FALSE(late);
  CHECK(late.error() == Errc::timed_out);
  CHECK(pair.simulation.now() - before >= 5s);
  const Result<std::unique_ptr<Listener>> taken = pair.server.shard().listen({"server", 9092}, 10);
  REQUIRE_FALSE(taken);
  CHECK(taken.error() == system_code(EADDRINUSE));
  const Result<std::unique_ptr<Listener>> ephemeral = pair.server.shard().listen({"localhost", 0}, 10);
  REQUIRE(ephemeral);
  CHECK((*ephemeral)->local().port >= 32768);
  pair.simulation.network().heal_all();
  CHECK_FALSE(connect({"server", (*ephemeral)->local().port}));  // bound to the loopback
  CHECK(pair.simulation.run(pair.server.shard(), pair.server.shard().connect((*ephemeral)->local(), 5s)));
}

TEST_CASE("a full backlog makes connections wait until one is accepted") {
  sim::Simulation simulation(1);
  sim::Node& server = simulation.add_node("server");
  sim::Node& client = simulation.add_node("client");
  Result<std::unique_ptr<Listener>> listener = server.shard().listen({"", 9092}, 1);
  REQUIRE(listener);
  auto connect = [&] { return simulation.run(client.shard(), client.shard().connect({"server", 9092}, 5s)); };
  const StreamResult first = connect();
  CHECK(first);
  const StreamResult second = connect();
  CHECK_FALSE(second);
  const StreamResult accepted = simulation.run(server.shard(), (*listener)->accept(server.shard()));
  CHECK(accepted);
  const StreamResult third = connect();
  CHECK(third);
}

TEST_CASE("closing a listener cancels accept and resets what was not accepted") {
  Pair pair(1);
  StreamResult waiting = pair.connect();
  REQUIRE(waiting);
  pair.listener->close();
  std::byte into[1];
  const Result<std::size_t> got = pair.simulation.run(pair.client.shard(), read_some(**waiting, into));
  REQUIRE_FALSE(got);
  CHECK(got.error() == system_code(ECONNRESET));
  const StreamResult accepted = pair.simulation.run(pair.server.shard(), pair.listener->accept(pair.server.shard()));
  REQUIRE_FALSE(accepted);
  CHECK(accepted.error() == Errc::cancelled);
}

TEST_CASE("a closed stream is cancelled here and ends there after its bytes") {
  Pair pair(2);
  CHECK(pair.send("goodbye"));
  pair.near->close();
  std::byte into[100];
  const Result<std::size_t> here = pair.near->try_read(into);
  REQUIRE_FALSE(here);
  CHECK(here.error() == Errc::cancelled);
  std::string got;
  Result<std::size_t> some = pair.read_far(into);
  for (; some; some = pair.read_far(into)) got += as_text(Bytes(into, *some));
  CHECK(got == "goodbye");
  CHECK(some.error() == Errc::end_of_stream);
}

TEST_CASE("bytes stall in a partition and arrive when it heals") {
  Pair pair(3);
  pair.simulation.network().partition(pair.client, pair.server);
  CHECK(pair.send("through"));
  pair.simulation.run_for(20s);
  std::byte into[100];
  const Result<std::size_t> nothing = pair.far->try_read(into);
  REQUIRE_FALSE(nothing);
  CHECK(nothing.error() == Errc::would_block);
  pair.simulation.network().heal(pair.client, pair.server);
  std::byte whole[7];
  CHECK(pair.simulation.run(pair.server.shard(), read_exactly(*pair.far, whole), 1s));
  CHECK(as_text(whole) == "through");
}

TEST_CASE("a partition that lasts breaks the connection of who has something to say") {
  Pair pair(3);
  pair.simulation.network().block(pair.client, pair.server);
  CHECK(pair.send("lost"));
  std::byte into[100];
  const Result<std::size_t> got = pair.read_near(into);
  REQUIRE_FALSE(got);
  CHECK(got.error() == system_code(ETIMEDOUT));
}

TEST_CASE("a cut connection is reset at both ends, a dropped one is silent") {
  Pair pair(4);
  CHECK(pair.simulation.network().cut(pair.client, pair.server) == 1);
  std::byte into[100];
  CHECK(pair.read_near(into).error() == system_code(ECONNRESET));
  CHECK(pair.read_far(into).error() == system_code(ECONNRESET));
  CHECK(pair.simulation.network().connections() == 0);

  Pair silent(4);
  CHECK(silent.simulation.network().drop(silent.client, silent.server) == 1);
  silent.simulation.run_for(10min);
  CHECK(silent.near->try_read(into).error() == Errc::would_block);
  CHECK(silent.far->try_read(into).error() == Errc::would_block);
}

TEST_CASE("a killed server resets its peers, a lost machine is silent and answers with resets when it is back") {
  Pair pair(5);
  pair.server.kill();
  std::byte into[100];
  CHECK(pair.read_near(into).error() == system_code(ECONNRESET));
  CHECK(pair.far->try_read(into).error() == Errc::cancelled);
  CHECK(pair.connect().error() == system_code(ECONNREFUSED));

  Pair lost(5);
  lost.server.crash({.peers = PeersSee::silence});
  lost.simulation.run_for(10s);
  CHECK(lost.near->try_read(into).error() == Errc::would_block);
  CHECK(lost.send("anybody there?"));
  CHECK(lost.connect().error() == Errc::timed_out);
  lost.server.restart();
  CHECK(lost.read_near(into).error() == system_code(ECONNRESET));
  CHECK(lost.connect().error() == system_code(ECONNREFUSED));
}

TEST_CASE("a bandwidth bound makes bytes take their time") {
  sim::Options options;
  options.network.bytes_per_second = 1000;
  Pair pair(1, options);
  const Instant before = pair.simulation.now();
  CHECK(pair.send(std::string(5000, 'x')));
  std::string into(5000, 0);
  CHECK(pair.simulation.run(pair.server.shard(),
                            read_exactly(*pair.far, std::as_writable_bytes(std::span(into.data(), into.size())))));
  CHECK(pair.simulation.now() - before >= 5s);
  CHECK(pair.simulation.now() - before < 6s);
}

namespace {

// A server that sends every line back, restarted after each crash; a client that asks until it has all answers.
class EchoServer {
 public:
  explicit EchoServer(Shard& shard) : shard_(shard), gate_(shard) {
    Result<std::unique_ptr<Listener>> listener = shard_.listen({"", 7}, 10);
    KLAMM_CHECK(listener.has_value());
    listener_ = std::move(*listener);
    gate_.spawn(accept_all());
  }
  Task<void> close() {
    listener_->close();
    for (Stream* stream : open_) stream->close();
    co_await gate_.close();
  }

 private:
  Task<void> accept_all() {
    for (;;) {
      StreamResult stream = co_await listener_->accept(shard_);
      if (!stream) co_return;
      gate_.spawn(serve(std::move(*stream)));
    }
  }
  Task<void> serve(std::unique_ptr<Stream> stream) {
    open_.push_back(stream.get());
    for (;;) {
      std::byte buffer[64];
      Result<std::size_t> got = co_await read_some(*stream, buffer);
      if (!got) break;
      Pieces pieces;
      pieces.emplace_back(Slice::copy(Bytes(buffer, *got)));
      Result<void> put = co_await write_all(*stream, std::move(pieces));
      if (!put) break;
    }
    std::erase(open_, stream.get());
  }

  Shard& shard_;
  std::unique_ptr<Listener> listener_;
  std::vector<Stream*> open_;
  Gate gate_;
};

Task<bool> ask(Shard& shard, std::string question) {
  const Endpoint server{"server", 7};  // a braced list in the co_await's expression is destroyed twice by GCC 12
  StreamResult stream = co_await shard.connect(server, 1s);
  if (!stream) co_return false;
  bool timed_out = false;
  Timer patience(shard, [&] {
    timed_out = true;
    (*stream)->close();
  });
  patience.arm_in(2s);
  Pieces pieces;
  pieces.emplace_back(Slice::copy(question));
  Result<void> put = co_await write_all(**stream, std::move(pieces));
  if (!put) co_return false;
  std::string answer(question.size(), 0);
  Result<void> got = co_await read_exactly(**stream, std::as_writable_bytes(std::span(answer.data(), answer.size())));
  CHECK((!got || answer == question));
  co_return got.has_value();
}

struct EchoRun {
  std::uint64_t hash = 0;
  int failures = 0;
  std::size_t faults = 0;
};

EchoRun run_echo(std::uint64_t seed) {
  sim::Simulation simulation(seed, sim::Options::draw(seed));
  sim::Node& server = simulation.add_node("server");
  sim::Node& client = simulation.add_node("client");
  std::vector<std::unique_ptr<EchoServer>> servers;
  servers.push_back(std::make_unique<EchoServer>(server.shard()));
  const sim::FaultPlan plan =
      sim::FaultPlan::draw(seed, {.duration = 60s, .victims = {"server"}, .bystanders = {"client"}});
  std::size_t closing = 0;
  auto bury = [](EchoServer* dead, std::size_t* open) -> Task<void> {
    co_await dead->close();
    --*open;
  };
  plan.install(simulation,
               {.crashed =
                    [&](sim::Node&) {
                      ++closing;
                      spawn_detached(bury(servers.back().get(), &closing));
                    },
                .restarted = [&](sim::Node& node) { servers.push_back(std::make_unique<EchoServer>(node.shard())); }});
  EchoRun outcome;
  outcome.faults = plan.faults().size();
  simulation.run(client.shard(), [&]() -> Task<void> {
    for (int answered = 0; answered < 50;) {
      bool done = co_await ask(client.shard(), "question " + std::to_string(answered));
      ++(done ? answered : outcome.failures);
      co_await client.shard().sleep(1s);
    }
  });
  simulation.run_for(plan.end());
  CHECK(simulation.run_until([&] { return closing == 0; }));
  simulation.run(server.shard(), servers.back()->close());
  outcome.hash = simulation.trace_hash();
  return outcome;
}

}  // namespace

TEST_CASE("an echo server and its client get through faults, the same way twice") {
  int failures = 0;
  std::size_t faults = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const EchoRun first = run_echo(seed);
    const EchoRun second = run_echo(seed);
    CHECK(first.hash == second.hash);
    failures += first.failures;
    faults += first.faults;
  }
  CHECK(faults > 100);
  CHECK(failures > 20);
}
