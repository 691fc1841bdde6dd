// A client's node beside a fake cluster, for the SDK's tests.
#pragma once

#include <string>
#include <utility>

#include "client/admin/admin_core.h"
#include "client/consume/consumer_core.h"
#include "client/produce/producer_core.h"
#include "fake_broker.h"
#include "io/sim/simulation.h"

namespace klamm::test {

struct ClientWorld {
  explicit ClientWorld(std::uint64_t seed = 1, int brokers = 1, io::sim::Options options = {})
      : simulation(seed, std::move(options)),
        cluster(simulation, brokers),
        node(simulation.add_node("client")),
        shard(node.shard()) {}
  // What was given up while it connected ends by itself, within socket.connection.setup.timeout.max.ms.
  ~ClientWorld() { simulation.run_for(35s); }

  std::shared_ptr<client::ProducerCore> producer(Config config = {}, ProducerHooks hooks = {}) {
    if (!config.contains("bootstrap.servers")) config.set("bootstrap.servers", cluster.bootstrap());
    Result<client::ProducerSettings> settings = client::parse_producer(config);
    KLAMM_CHECK(settings, settings ? std::string() : settings.error().message());
    return client::ProducerCore::start(shard, std::move(*settings), std::move(hooks));
  }
  std::shared_ptr<client::ConsumerCore> consumer(Config config = {}, ConsumerHooks hooks = {}) {
    if (!config.contains("bootstrap.servers")) config.set("bootstrap.servers", cluster.bootstrap());
    if (!config.contains("auto.offset.reset")) config.set("auto.offset.reset", "earliest");
    Result<client::ConsumerSettings> settings = client::parse_consumer(config);
    KLAMM_CHECK(settings, settings ? std::string() : settings.error().message());
    return client::ConsumerCore::start(shard, std::move(*settings), std::move(hooks));
  }
  std::shared_ptr<client::AdminCore> admin(Config config = {}, AdminHooks hooks = {}) {
    if (!config.contains("bootstrap.servers")) config.set("bootstrap.servers", cluster.bootstrap());
    Result<client::AdminSettings> settings = client::parse_admin(config);
    KLAMM_CHECK(settings, settings ? std::string() : settings.error().message());
    return client::AdminCore::start(shard, std::move(*settings), std::move(hooks));
  }

  // Runs a task on the client's node.
  template <typename T>
  T run(io::Task<T> task) {
    return simulation.run(shard, std::move(task));
  }
  void end(const std::shared_ptr<client::ProducerCore>& producer) {
    producer->abandon();
    simulation.run(shard, producer->wait_finished());
  }
  void end(const std::shared_ptr<client::ConsumerCore>& consumer) {
    consumer->abandon();
    simulation.run(shard, consumer->wait_finished());
  }
  void end(const std::shared_ptr<client::AdminCore>& admin) {
    admin->stop();
    simulation.run(shard, admin->wait_finished());
  }

  io::sim::Simulation simulation;
  FakeCluster cluster;
  io::sim::Node& node;
  io::Shard& shard;
};

// Sends the value, waiting for room; the record's delivery.
inline io::Task<client::ProducerCore::Accepted> send(client::ProducerCore& producer, std::string topic,
                                                     std::string value, std::int32_t partition = kAnyPartition) {
  Record record;
  record.topic = topic;
  record.value = value;
  record.partition = partition;
  for (;;) {
    client::ProducerCore::Accepted accepted = producer.send(record);
    if (accepted.batch) co_return accepted;
    Result<void> room = co_await producer.ready();
    (void)room;
  }
}

}  // namespace klamm::test
