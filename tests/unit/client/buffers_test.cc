// send.buffer.bytes and receive.buffer.bytes, from the setting to the kernel's socket. On the machine's own network.
#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>

#include "client/core/config_settings.h"
#include "client/core/settings.h"
#include "io/machine.h"
#include "io/sync.h"
#include "protocol/rpc/connection.h"

using namespace klamm;

namespace {

io::SocketBuffers buffers_of(const client::CommonSettings& common) { return client::cluster_options(common).buffers; }

// What the kernel says of this process's socket that is connected to the port; it counts twice what was asked for.
std::optional<io::SocketBuffers> buffers_of_socket_to(std::uint16_t port) {
  constexpr int kMostDescriptors = 1024;
  for (int fd = 0; fd < kMostDescriptors; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != port) continue;
    io::SocketBuffers buffers;
    socklen_t length = sizeof buffers.send_bytes;
    ::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffers.send_bytes, &length);
    ::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffers.receive_bytes, &length);
    return buffers;
  }
  return std::nullopt;
}

struct Found {
  std::optional<io::SocketBuffers> buffers;
  std::optional<Error> error;
  Duration giving_up_took{0};
};

// Opens a connection to a peer that takes it and stays silent, looks at the socket, and gives up.
io::Task<Found> open_and_look(io::Shard& shard, io::SocketBuffers buffers) {
  Found found;
  Result<std::unique_ptr<io::Listener>> listener = shard.listen({"127.0.0.1", 0}, 4);
  if (!listener) {
    found.error = listener.error();
    co_return found;
  }
  const io::Endpoint peer = (*listener)->local();
  rpc::ConnectionOptions options;
  options.buffers = buffers;
  const auto attempt = std::make_shared<rpc::Attempt>();
  io::Gate gate(shard);
  auto open = [&]() -> io::Task<void> {
    Result<std::shared_ptr<rpc::Connection>> opened = co_await rpc::Connection::open(shard, peer, options, attempt);
    if (!opened) found.error = opened.error();
  };
  gate.spawn(open());
  Result<std::unique_ptr<io::Stream>> taken = co_await (*listener)->accept(shard);
  if (taken) {
    // The request for versions has come: the client's socket is there, and waits for an answer.
    std::byte first{};
    Result<std::size_t> read = co_await io::read_some(**taken, MutableBytes(&first, 1));
    CHECK(read);
  }
  found.buffers = buffers_of_socket_to(peer.port);
  const Instant begin = shard.now();
  attempt->give_up();
  co_await gate.close();
  found.giving_up_took = shard.now() - begin;
  (*listener)->close();
  co_return found;
}

}  // namespace

TEST_CASE(
    "the system sizes the buffers that carry records; others have Kafka's defaults, and all follow their settings") {
  const Config config{{"bootstrap.servers", "localhost:9092"}};
  const auto producer = client::parse_producer(config);
  REQUIRE(producer);
  CHECK(buffers_of(producer->common).send_bytes == -1);
  CHECK(buffers_of(producer->common).receive_bytes == 32'768);
  const auto consumer = client::parse_consumer(config);
  REQUIRE(consumer);
  CHECK(buffers_of(consumer->common).send_bytes == -1);
  CHECK(buffers_of(consumer->common).receive_bytes == -1);
  const auto other = client::parse_consumer(Config{
      {"bootstrap.servers", "localhost:9092"}, {"send.buffer.bytes", "2000000"}, {"receive.buffer.bytes", "1000000"}});
  REQUIRE(other);
  CHECK(buffers_of(other->common).send_bytes == 2'000'000);
  CHECK(buffers_of(other->common).receive_bytes == 1'000'000);
}

TEST_CASE("socket buffers reach the kernel, and an attempt to connect is given up at once") {
  io::Machine machine({.shards = 1, .disk_threads = 0});
  const auto look = [&machine](io::SocketBuffers buffers) {
    return machine.run(0, open_and_look(machine.at(0), buffers));
  };
  const Found asked = look({20'000, 40'000});
  REQUIRE(asked.buffers);
  CHECK(asked.buffers->send_bytes == 40'000);
  CHECK(asked.buffers->receive_bytes == 80'000);
  REQUIRE(asked.error);
  CHECK(*asked.error == Errc::cancelled);
  CHECK(asked.giving_up_took < 5s);  // it would wait for ten
  const Found free = look({});
  REQUIRE(free.buffers);
  CHECK(free.buffers->receive_bytes != 80'000);
}
