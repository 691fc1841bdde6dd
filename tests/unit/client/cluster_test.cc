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
