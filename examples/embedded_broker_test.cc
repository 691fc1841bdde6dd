// A unit test with a broker inside: no files, a free port, gone at its end. Any Kafka client could connect to it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "klamm/blocking.h"
#include "klamm/broker.h"

namespace {

using namespace std::chrono_literals;

// What is tested: counts the words of a topic, up to its present end.
std::map<std::string, int> count_words(const std::string& bootstrap_servers, const std::string& topic) {
  std::map<std::string, int> counts;
  auto consumer = klamm::blocking::Consumer::create({{"bootstrap.servers", bootstrap_servers}}).value();
  const klamm::TopicPartition partition{topic, 0};
  const std::int64_t end = consumer.end_offsets({partition}).value().at(partition);
  REQUIRE(consumer.assign({partition}));
  REQUIRE(consumer.seek(partition, 0));
  while (consumer.position(partition).value() < end) {
    const klamm::Records records = consumer.poll(1s).value();
    for (const klamm::RecordView& record : records) ++counts[std::string(record.value.text())];
  }
  return counts;
}

TEST_CASE("each word is counted as often as it was sent") {
  const klamm::Broker broker = klamm::Broker::in_memory();
  auto producer = klamm::blocking::Producer::create({{"bootstrap.servers", broker.bootstrap_servers()}}).value();
  for (const char* word : {"to", "be", "or", "not", "to", "be"}) {
    REQUIRE(producer.send_and_wait({.topic = "words", .value = word}));  // makes the topic: auto.create.topics.enable
  }
  CHECK(count_words(broker.bootstrap_servers(), "words") ==
        std::map<std::string, int>{{"to", 2}, {"be", 2}, {"or", 1}, {"not", 1}});
}

}  // namespace
