// Connections in virtual time: who is closed for being idle or slow, and what one client can make the broker hold.
#include "broker/server/session_host.h"

#include <doctest/doctest.h>

#include <string>

#include "broker/server/acceptor.h"
#include "io/sim/simulation.h"

using namespace klamm;
using namespace klamm::server;

namespace {

constexpr std::size_t kReplyBytes = 100'000;

// A server with one shard whose requests are: first byte of the frame says what is to happen.
//   'p'  a reply of kReplyBytes           'w'  waits until the connection ends
//   0    (as Produce) is enqueued at once, done at finish_all()
class World {
 public:
  explicit World(SessionHostOptions options = {}, ConnectionLimits limits = {}, bool is_started = true)
      : simulation_(1),
        server_(simulation_.add_node("server")),
        client_(simulation_.add_node("client")),
        finish_(server_.shard()),
        host_(server_.shard(), options, dispatch(), Logger()),
        acceptor_(server_.shards(), server_.shard(), {&host_}, std::move(limits), Logger()) {
    REQUIRE(acceptor_.listen("PLAINTEXT", {"", 9092}, 100));
    if (is_started) acceptor_.start();
  }
  Acceptor& acceptor() { return acceptor_; }
  ~World() {
    finish_all();
    simulation_.run(server_.shard(), acceptor_.close());
    simulation_.run(server_.shard(), host_.close());
  }

  std::unique_ptr<io::Stream> connect() {
    auto stream = simulation_.run(client_.shard(), client_.shard().connect({"server", 9092}, 10s));
    REQUIRE(stream);
    return std::move(*stream);
  }
  // Sends as much as the connection takes now.
  std::size_t send(io::Stream& stream, const std::string& bytes) {
    std::size_t sent = 0;
    for (;;) {
      if (sent == bytes.size()) return sent;
      const io::Piece piece = Slice::copy(std::string_view(bytes).substr(sent));
      const Result<std::size_t> taken = stream.try_write(std::span(&piece, 1));
      if (!taken) return sent;
      sent += *taken;
      simulation_.run_for(5ms);
    }
  }
  // Reads what is there.
  std::size_t read(io::Stream& stream, std::size_t most) {
    std::string into(most, 0);
    const Result<std::size_t> got = stream.try_read(MutableBytes(reinterpret_cast<std::byte*>(into.data()), most));
    return got ? *got : 0;
  }
  // Reads all that is there; true if the connection is closed.
  bool ended(io::Stream& stream) {
    std::byte bytes[4096];
    for (;;) {
      const Result<std::size_t> got = stream.try_read(bytes);
      if (!got) return !(got.error() == Errc::would_block);
    }
  }
  void pass(Duration duration) { simulation_.run_for(duration); }
  void finish_all() {
    finished_ = true;
    finish_.notify_all();
  }
  std::size_t count() const { return host_.count(); }
  int started() const { return started_; }
  int told() const { return told_; }

 private:
  Dispatch dispatch() {
    return [this](Slice frame, const security::RequestContext&, std::function<void()> enqueued,
                  handler::Hangup& hangup) { return serve(std::move(frame), std::move(enqueued), hangup); };
  }
  io::Task<handler::Reply> serve(Slice frame, std::function<void()> enqueued, handler::Hangup& hangup) {
    ++started_;
    const char kind = static_cast<char>(frame.data()[0]);
    if (kind == 'w') {
      io::Signal gone(server_.shard());
      const handler::Hangup::Watch watch(hangup, [&gone] { gone.notify_all(); });
      while (!hangup.gone()) co_await gone.wait();
      ++told_;
    }
    if (kind == 0) {
      enqueued();
      while (!finished_) co_await finish_.wait();
    }
    if (kind != 'p') co_return handler::Reply::silent();
    co_return handler::Reply::respond({Slice::copy(std::string(kReplyBytes, 'r'))});
  }

  io::sim::Simulation simulation_;
  io::sim::Node& server_;
  io::sim::Node& client_;
  io::Signal finish_;
  SessionHost host_;
  Acceptor acceptor_;
  bool finished_ = false;
  int started_ = 0;
  int told_ = 0;
};

std::string frame(const std::string& content) {
  std::byte size[4];
  store_big_endian(size, static_cast<std::int32_t>(content.size()));
  return std::string(as_text(size)) + content;
}

std::string announced(std::int32_t bytes) {
  std::byte size[4];
  store_big_endian(size, bytes);
  return std::string(as_text(size));
}

}  // namespace

TEST_CASE("a connection that says nothing is closed after the idle time, one that speaks is not") {
  World world({.max_idle = 60s});
  auto silent = world.connect();
  auto lively = world.connect();
  for (int i = 0; i < 3; ++i) {
    world.pass(19s);
    world.send(*lively, frame("x"));
  }
  CHECK(world.count() == 2);
  world.pass(4s);
  CHECK(world.count() == 1);
  CHECK(world.ended(*silent));
  CHECK_FALSE(world.ended(*lively));
}

TEST_CASE("an answered connection is closed when the idle time after its reply is over, not later") {
  World world({.max_idle = 2s});
  auto asked = world.connect();
  world.pass(500ms);
  world.send(*asked, frame("p"));
  std::size_t got = 0;
  for (int tries = 0; got < kReplyBytes && tries < 100; ++tries) {
    got += world.read(*asked, kReplyBytes);
    world.pass(1ms);
  }
  CHECK(got == kReplyBytes);
  world.pass(1900ms);
  CHECK(world.count() == 1);
  world.pass(200ms);
  CHECK(world.count() == 0);
}

TEST_CASE("a client that stops to take its reply is closed an eighth of the idle time late at most") {
  World world({.max_idle = 80s});
  auto deaf = world.connect();
  world.pass(5s);
  std::string burst;
  for (int i = 0; i < 100; ++i) burst += frame("p");
  world.send(*deaf, burst);
  world.pass(75s);
  CHECK(world.count() == 1);
  world.pass(16s);
  CHECK(world.count() == 0);
}

TEST_CASE("while the broker starts, connections wait for a while, and are closed when that takes long") {
  World world({}, {}, false);
  world.acceptor().turn_away_after(5s);
  auto early = world.connect();
  world.send(*early, frame("p"));
  world.pass(4s);
  CHECK_FALSE(world.ended(*early));
  world.pass(2s);
  CHECK(world.ended(*early));
  auto late = world.connect();
  world.pass(100ms);
  CHECK(world.ended(*late));
  CHECK(world.started() == 0);
  world.acceptor().start();
  auto client = world.connect();
  world.send(*client, frame("p"));
  world.pass(1s);
  CHECK(world.read(*client, kReplyBytes) > 0);
  CHECK(world.started() == 1);
}

TEST_CASE("a connection that came before the broker was ready is served when it is") {
  World world({}, {}, false);
  world.acceptor().turn_away_after(5s);
  auto early = world.connect();
  world.send(*early, frame("p"));
  world.pass(4s);
  world.acceptor().start();
  world.pass(10s);
  CHECK(world.read(*early, kReplyBytes) > 0);
}

TEST_CASE("half a frame does not keep a connection") {
  World world({.max_idle = 60s});
  auto half = world.connect();
  world.send(*half, frame(std::string(5000, 'x')).substr(0, 3000));
  world.pass(59s);
  CHECK(world.count() == 1);
  world.pass(2s);
  CHECK(world.count() == 0);
}

TEST_CASE("a client that never reads gets few of its replies made, and is closed when it is idle") {
  World world({.max_idle = 60s});
  auto deaf = world.connect();
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += frame("p");
  world.send(*deaf, requests);
  world.pass(30s);
  // One mebibyte of replies, what fits into the sockets, and the one in work.
  CHECK(world.started() <= 15);
  auto other = world.connect();
  world.send(*other, frame("p"));
  world.pass(1s);
  CHECK(world.read(*other, kReplyBytes) > 0);
  world.send(*other, frame("x"));
  world.pass(59s);  // what went to it is noticed at the first look, so it may last for twice the idle time
  world.send(*other, frame("x"));
  world.pass(35s);
  CHECK(world.ended(*deaf));
  CHECK(world.count() == 1);
}

TEST_CASE("a client that reads slowly is not idle") {
  World world({.max_idle = 60s});
  auto slow = world.connect();
  world.send(*slow, frame("p") + frame("p") + frame("p"));
  std::size_t got = 0;
  for (int i = 0; i < 400 && got < 3 * kReplyBytes; ++i) {
    world.pass(20s);
    got += world.read(*slow, 5000);
  }
  CHECK(got == 3 * kReplyBytes);
}

TEST_CASE("a handler that waits is told when its connection ends") {
  World world({.max_idle = 60s});
  auto vanishing = world.connect();
  world.send(*vanishing, frame("w"));
  world.pass(59s);
  CHECK(world.told() == 0);
  world.pass(2s);
  CHECK(world.told() == 1);
  CHECK(world.count() == 0);
}

TEST_CASE("requests that pile up behind a slow handler are bounded in bytes, and others are served") {
  World world({.request_memory_bytes = 400'000});
  auto pushing = world.connect();
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += frame(std::string(1, '\0') + std::string(9'999, '\0'));
  world.send(*pushing, requests);
  world.pass(10s);
  CHECK(world.started() == 10);  // the quarter of the memory that is for small requests
  auto other = world.connect();
  world.send(*other, frame("p"));
  world.pass(1s);
  CHECK(world.read(*other, kReplyBytes) > 0);
  const int before = world.started();
  world.finish_all();
  world.send(*pushing, requests);
  world.pass(10s);
  CHECK(world.started() > before);
}

TEST_CASE("a frame that hardly comes does not hold the memory that others wait for") {
  World world({.request_memory_bytes = 8 << 20, .max_idle = 600s});
  auto holding = world.connect();
  world.send(*holding, announced(6 << 20) + std::string(50'000, 'x'));
  world.pass(30s);
  CHECK(world.count() == 1);  // nobody waits: it may take its time
  auto waiting = world.connect();
  const std::string large = frame(std::string(2 << 20, 'x'));
  std::size_t sent = world.send(*waiting, large);
  CHECK(sent < large.size());
  world.pass(3s);
  CHECK(world.ended(*holding));
  sent += world.send(*waiting, large.substr(sent));
  CHECK(sent == large.size());
  world.pass(1s);
  CHECK(world.started() == 1);
}

TEST_CASE("announcing large frames takes no memory from others") {
  World world({.request_memory_bytes = 8 << 20, .max_idle = 600s});
  std::vector<std::unique_ptr<io::Stream>> announcing;
  for (int i = 0; i < 20; ++i) {
    announcing.push_back(world.connect());
    world.send(*announcing.back(), announced(6 << 20) + "x");
  }
  auto other = world.connect();
  const std::string large = frame(std::string(2 << 20, 'x'));
  CHECK(world.send(*other, large) == large.size());
  CHECK(world.started() == 1);
  CHECK(world.count() == 21);
}

TEST_CASE("a frame that comes fast enough keeps its memory while others wait") {
  World world({.request_memory_bytes = 8 << 20, .max_idle = 600s});
  auto sending = world.connect();
  const std::string six = frame(std::string(6 << 20, 'x'));
  const std::size_t third = six.size() / 3;
  world.send(*sending, six.substr(0, third));
  auto waiting = world.connect();
  world.send(*waiting, frame(std::string(2 << 20, 'x')));
  world.pass(7s);
  world.send(*sending, six.substr(third, third));
  world.pass(7s);
  world.send(*sending, six.substr(2 * third));
  world.pass(1s);
  CHECK(world.started() == 1);
  CHECK(world.count() == 2);
}

TEST_CASE("beyond max.connections clients wait, and are served when others go") {
  World world({}, {.max_connections = 2});
  auto first = world.connect();
  auto second = world.connect();
  auto third = world.connect();
  world.send(*third, frame("p"));
  world.pass(10s);
  CHECK(world.count() == 2);
  CHECK(world.read(*third, 10) == 0);
  first.reset();
  world.pass(1s);
  CHECK(world.read(*third, 10) == 10);
}

TEST_CASE("connection limits may change: who waits is served, who is there stays") {
  World world({}, {.max_connections = 2});
  auto first = world.connect();
  auto second = world.connect();
  auto third = world.connect();
  world.send(*third, frame("p"));
  world.pass(10s);
  CHECK(world.read(*third, 10) == 0);
  world.acceptor().set_limits({.max_connections = 3, .max_connections_per_ip = 3});
  world.pass(1s);
  CHECK(world.read(*third, 10) == 10);
  world.acceptor().set_limits({.max_connections_per_ip = 1});
  auto fourth = world.connect();
  world.pass(1s);
  CHECK(world.ended(*fourth));
  CHECK(world.count() == 3);
}

TEST_CASE("a listener may have limits of its own, which may change as well") {
  World world({}, {.by_listener = {{"PLAINTEXT", {.max_connections = 2}}, {"OTHER", {.max_connections = 0}}}});
  auto first = world.connect();
  auto second = world.connect();
  auto third = world.connect();
  world.send(*third, frame("p"));
  world.pass(10s);
  CHECK(world.count() == 2);
  CHECK_FALSE(world.ended(*third));
  first.reset();
  world.pass(1s);
  CHECK(world.read(*third, 10) == 10);
  auto fourth = world.connect();
  world.pass(1s);
  CHECK(world.count() == 2);
  world.acceptor().set_limits({.by_listener = {{"PLAINTEXT", {.max_creation_rate = 2}}}});
  world.pass(1s);
  CHECK(world.count() == 3);
  std::vector<std::unique_ptr<io::Stream>> streams;
  for (int i = 0; i < 30; ++i) streams.push_back(world.connect());
  world.pass(1s);
  CHECK(world.count() < 28);
  world.pass(20s);
  CHECK(world.count() == 33);
}

TEST_CASE("beyond max.connections.per.ip clients are closed") {
  World world({}, {.max_connections_per_ip = 2});
  auto first = world.connect();
  auto second = world.connect();
  auto third = world.connect();
  world.pass(1s);
  CHECK(world.ended(*third));
  CHECK_FALSE(world.ended(*second));
  CHECK(world.count() == 2);
  first.reset();
  world.pass(1s);
  auto fourth = world.connect();
  world.pass(1s);
  CHECK(world.count() == 2);
  CHECK_FALSE(world.ended(*fourth));
}

TEST_CASE("beyond the creation rate connections wait for their turn") {
  World world({}, {.max_creation_rate = 2});
  std::vector<std::unique_ptr<io::Stream>> streams;
  for (int i = 0; i < 30; ++i) streams.push_back(world.connect());
  world.pass(100ms);
  CHECK(world.count() == 20);  // what the window of ten seconds allows
  world.pass(2s);
  CHECK(world.count() < 26);
  world.pass(10s);
  CHECK(world.count() == 30);
}

TEST_CASE("the creation rate is that of the last samples") {
  CreationRate rate(10, 1s, 11);
  Instant now{100s};
  for (int i = 0; i < 100; ++i) CHECK(rate.record(now) == Duration(0));
  CHECK(rate.record(now) == 100ms);
  CHECK(rate.record(now) == 200ms);
  for (int i = 0; i < 100; ++i) rate.record(now);
  CHECK(rate.record(now) == 1s);  // never longer than a sample
  now = Instant{100s} + 11s;
  CHECK(rate.record(now) == Duration(0));
  CHECK(CreationRate(0).record(now) == 1s);
  CHECK(CreationRate(CreationRate::kNoLimit).record(now) == Duration(0));
}
