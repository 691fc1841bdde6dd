// A unit test with a cluster of three brokers inside: what a program sees when the leader of its partition is killed.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "klamm/blocking.h"
#include "klamm/testing.h"

namespace {

using namespace std::chrono_literals;

const klamm::TopicPartition kOrders{"orders", 0};

// The broker that leads the partition.
int leader_of(klamm::blocking::Admin& admin) {
  const auto topics = admin.describe_topics({.names = {kOrders.topic}}).value();
  return topics.at(kOrders.topic).value().partitions.front().leader;
}

std::vector<std::string> read_all(const klamm::Config& config) {
  auto consumer = klamm::blocking::Consumer::create(config).value();
  const std::int64_t end = consumer.end_offsets({kOrders}).value().at(kOrders);
  REQUIRE(consumer.assign({kOrders}));
  REQUIRE(consumer.seek(kOrders, 0));
  std::vector<std::string> values;
  while (consumer.position(kOrders).value() < end) {
    const klamm::Records records = consumer.poll(1s).value();
    for (const klamm::RecordView& record : records) values.emplace_back(record.value.text());
  }
  return values;
}

TEST_CASE("orders survive the death of the broker that took them") {
  klamm::testing::Cluster cluster = klamm::testing::Cluster::in_memory(3);
  const klamm::Config config{{"bootstrap.servers", cluster.bootstrap_servers()}};
  auto admin = klamm::blocking::Admin::create(config).value();
  REQUIRE(admin.create_topics({.topics = {{.name = kOrders.topic, .partitions = 1}}}));
  auto producer = klamm::blocking::Producer::create(config).value();
  REQUIRE(producer.send_and_wait({.topic = kOrders.topic, .value = "tea"}));

  const int leader = leader_of(admin);
  REQUIRE(cluster.kill_node(leader));                                          // as kill -9
  REQUIRE(producer.send_and_wait({.topic = kOrders.topic, .value = "cake"}));  // waits for the next leader
  CHECK(leader_of(admin) != leader);
  REQUIRE(cluster.start_node(leader));
  CHECK(read_all(config) == std::vector<std::string>{"tea", "cake"});
}

}  // namespace
