// The client's view of the cluster: connections that are shared by many.
#include "client/core/cluster.h"

#include <doctest/doctest.h>

#include "client_world.h"

using namespace klamm;
using namespace klamm::test;

namespace {

// Gives the connection up as soon as it is there.
io::Task<void> connect_and_close(client::Cluster& cluster) {
  Result<client::ConnectionRef> connection = co_await cluster.connect(1);
  CHECK(connection.has_value());
  if (connection) (*connection)->close();
}

io::Task<void> connect_and_look(client::Cluster& cluster, bool& open) {
  Result<client::ConnectionRef> connection = co_await cluster.connect(1);
  CHECK(connection.has_value());
  open = connection && !(*connection)->closed();
}

}  // namespace

TEST_CASE("who waited for a connection that is gone again when he wakes gets another one") {
  ClientWorld world;
  client::Cluster cluster(world.shard, client::ClusterOptions(), Logger());
  cluster.learn_broker({1, {world.cluster.node(1).name(), 9092}, std::nullopt});
  bool open = false;
  auto work = [&]() -> io::Task<void> {
    io::Gate gate(world.shard);
    gate.spawn(connect_and_close(cluster));
    gate.spawn(connect_and_look(cluster, open));
    co_await gate.close();
    cluster.stop();
    co_await cluster.close();
  };
  world.simulation.run(world.shard, work);
  CHECK(open);
  CHECK(world.cluster.connections == 2);
}

TEST_CASE("a broker that has moved is looked for at its new place, however long the old one would not answer") {
  ClientWorld world(1, 2);
  io::sim::Node& old_place = world.cluster.node(1);
  io::sim::Node& new_place = world.cluster.node(2);
  world.simulation.network().partition(world.node, old_place);
  client::Cluster cluster(world.shard, client::ClusterOptions(), Logger());
  cluster.learn_broker({1, {old_place.name(), 9092}, std::nullopt});
  world.simulation.after(1s, [&] { cluster.learn_broker({1, {new_place.name(), 9092}, std::nullopt}); });
  const Instant begun = world.shard.now();
  auto work = [&]() -> io::Task<void> {
    Result<client::ConnectionRef> connection = co_await cluster.connect(1);
    CHECK_FALSE(connection.has_value());
    CHECK(connection.error().retriable());
    connection = co_await cluster.connect(1);
    CHECK(connection.has_value());
    CHECK(world.shard.now() - begun < 2s);
    connection = fail(Errc::cancelled);
    cluster.stop();
    co_await cluster.close();
  };
  world.simulation.run(world.shard, work);
}
