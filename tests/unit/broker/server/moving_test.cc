// Connections that move to the shard that does their work.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/server/acceptor.h"
#include "io/sim/simulation.h"

using namespace klamm;
using namespace klamm::server;

namespace {

constexpr std::size_t kShards = 2;

// A server whose requests are eight bytes: the shard that does their work ('0', '1', or '-' for none), then what the
// reply repeats after the index of the shard that read the request.
class World {
 public:
  World() : simulation_(7), server_(simulation_.add_node("server", {.shards = kShards})), client_(add_client()) {
    std::vector<SessionHost*> hosts;
    for (std::size_t index = 0; index < kShards; ++index) {
      Dispatch serve = [index](Slice frame, const security::RequestContext& context, std::function<void()>,
                               handler::Hangup&) -> io::Task<handler::Reply> {
        CHECK(context.listener == "PLAINTEXT");
        CHECK_FALSE(context.client_address.empty());
        const std::string request(as_text(Bytes(frame.data(), frame.size())));
        handler::Reply reply =
            handler::Reply::respond({Slice::copy(static_cast<char>('0' + index) + request.substr(1))});
        if (request[0] != '-') reply.worked_on = static_cast<std::size_t>(request[0] - '0');
        co_return reply;
      };
      hosts_.push_back(std::make_unique<SessionHost>(server_.shard(index), SessionHostOptions{}, serve, Logger()));
      hosts.push_back(hosts_.back().get());
    }
    acceptor_ = std::make_unique<Acceptor>(server_.shards(), server_.shard(), hosts, ConnectionLimits{}, Logger());
    REQUIRE(acceptor_->listen("PLAINTEXT", {"", 9092}, 100));
    acceptor_->start();
  }
  ~World() {
    simulation_.run(server_.shard(), acceptor_->close());
    for (std::size_t index = 0; index < kShards; ++index) {
      simulation_.run(server_.shard(index), hosts_[index]->close());
    }
  }

  std::unique_ptr<io::Stream> connect() {
    auto stream = simulation_.run(client_.shard(), client_.shard().connect({"server", 9092}, 10s));
    REQUIRE(stream);
    return std::move(*stream);
  }
  void send(io::Stream& stream, const std::string& requests) {
    const Result<void> sent =
        simulation_.run(client_.shard(), io::write_all(stream, io::Pieces{Slice::copy(requests)}));
    CHECK(sent);
  }
  // The shards that read `count` requests, one digit each; their replies must come in order.
  std::string readers(io::Stream& stream, int first, int count) {
    std::string shards;
    for (int number = first; number < first + count; ++number) {
      std::string reply(8, 0);
      const Result<void> got =
          simulation_.run(client_.shard(), io::read_exactly(stream, std::as_writable_bytes(std::span(reply))));
      CHECK(got);
      CHECK(reply.substr(1) == request('?', number).substr(5));
      shards += reply[0];
    }
    return shards;
  }
  static std::string request(char worker, int number) {
    std::string text = std::to_string(number);
    return std::string("\0\0\0\10", 4) + worker + std::string(7 - text.size(), '0') + text;
  }
  std::size_t count(std::size_t shard) const { return hosts_[shard]->count(); }
  void pass(Duration duration) { simulation_.run_for(duration); }

 private:
  io::sim::Node& add_client() { return simulation_.add_node("client"); }

  io::sim::Simulation simulation_;
  io::sim::Node& server_;
  io::sim::Node& client_;
  std::vector<std::unique_ptr<SessionHost>> hosts_;
  std::unique_ptr<Acceptor> acceptor_;
};

std::string requests(char worker, int first, int count) {
  std::string all;
  for (int number = first; number < first + count; ++number) all += World::request(worker, number);
  return all;
}

}  // namespace

TEST_CASE("a connection whose requests are all for another shard is served there, no reply lost or out of order") {
  World world;
  auto stream = world.connect();
  world.pass(10ms);
  const char home = world.count(0) == 1 ? '0' : '1';
  const char other = home == '0' ? '1' : '0';
  // More than one burst, cut anywhere: what was read on the old shard and not served moves along.
  world.send(*stream, requests(other, 0, 500));
  const std::string readers = world.readers(*stream, 0, 500);
  const std::size_t moved = readers.find(other);
  CHECK(readers.front() == home);
  REQUIRE(moved != std::string::npos);
  CHECK(moved <= 64);
  CHECK(readers.find(home, moved) == std::string::npos);
  CHECK(world.count(static_cast<std::size_t>(other - '0')) == 1);
  CHECK(world.count(static_cast<std::size_t>(home - '0')) == 0);
  // And back again.
  world.send(*stream, requests(home, 500, 500));
  CHECK(world.readers(*stream, 500, 500).back() == home);
}

TEST_CASE("a connection whose work is spread, or done here, or of no shard stays where it is") {
  for (const std::string workers : {"01", "0", "1", "-"}) {
    World world;
    auto stream = world.connect();
    world.pass(10ms);
    const char home = world.count(0) == 1 ? '0' : '1';
    if (workers.size() == 1 && workers[0] != home && workers[0] != '-') continue;
    std::string all;
    for (int number = 0; number < 300; ++number) {
      all += World::request(workers[static_cast<std::size_t>(number) % workers.size()], number);
    }
    world.send(*stream, all);
    CHECK(world.readers(*stream, 0, 300) == std::string(300, home));
  }
}

TEST_CASE("a shard takes no more guests than a multiple of its share") {
  World world;
  std::vector<std::unique_ptr<io::Stream>> streams;
  constexpr int kClients = 40;
  for (int client = 0; client < kClients; ++client) streams.push_back(world.connect());
  world.pass(10ms);
  CHECK(world.count(0) == kClients / 2);
  for (auto& stream : streams) world.send(*stream, requests('1', 0, 1000));
  for (auto& stream : streams) world.readers(*stream, 0, 1000);
  CHECK(world.count(0) + world.count(1) == kClients);
  CHECK(world.count(1) == kClients);  // up to 4 + 2 * 20
  for (int client = 0; client < 20; ++client) streams.push_back(world.connect());
  world.pass(10ms);
  for (std::size_t client = kClients; client < streams.size(); ++client) {
    world.send(*streams[client], requests('0', 0, 100));
    world.readers(*streams[client], 0, 100);
  }
  CHECK(world.count(0) == 20);
  // A connection that ends gives its seat back wherever it sat.
  streams.clear();
  world.pass(1s);
  CHECK(world.count(0) + world.count(1) == 0);
}

TEST_CASE("a client that goes while its connection moves leaves nothing behind") {
  for (int after = 30; after < 70; ++after) {
    World world;
    auto stream = world.connect();
    world.pass(10ms);
    const char other = world.count(0) == 1 ? '1' : '0';
    world.send(*stream, requests(other, 0, after));
    stream.reset();
    world.pass(1s);
    CHECK(world.count(0) + world.count(1) == 0);
  }
}
