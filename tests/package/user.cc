// A user's program: sees only what is installed, and uses both halves of it.
#include <klamm/admin.h>
#include <klamm/blocking.h>
#include <klamm/broker.h>
#include <klamm/consumer.h>
#include <klamm/producer.h>
#include <klamm/testing.h>

#include <chrono>
#include <cstdio>
#include <string>

int main() {
  using namespace std::chrono_literals;
  const klamm::Broker broker = klamm::Broker::in_memory();
  const klamm::Config servers{{"bootstrap.servers", broker.bootstrap_servers()}};
  klamm::Config compressed = servers;
  compressed.set("compression.type", "zstd");
  auto producer = klamm::blocking::Producer::create(compressed).value();
  const klamm::RecordMetadata sent = producer.send_and_wait({.topic = "log", .value = "a line"}).value();

  auto consumer = klamm::blocking::Consumer::create(servers).value();
  const klamm::TopicPartition partition{"log", sent.partition};
  if (!consumer.assign({partition}) || !consumer.seek(partition, sent.offset)) return 1;
  const klamm::Records records = consumer.poll(30s).value();
  std::string read;
  for (const klamm::RecordView& record : records) read += record.value.text();
  std::printf("%s\n", read.c_str());
  return read == "a line" ? 0 : 1;
}
