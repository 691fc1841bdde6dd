// A broker inside the program, as a test wants it: no files, a free port, gone at the end. Any Kafka client could use
// it.
//   embedded_broker
#include <iostream>
#include <string>

#include "klamm/blocking.h"
#include "klamm/broker.h"

using namespace std::chrono_literals;

namespace {

int failed(const klamm::Error& error) {
  std::cerr << error.message() << "\n";
  return 1;
}

int run(const klamm::Broker& broker) {
  const klamm::Config config{{"bootstrap.servers", broker.bootstrap_servers()}, {"auto.offset.reset", "earliest"}};
  klamm::Result<klamm::blocking::Producer> producer = klamm::blocking::Producer::create(config);
  if (!producer) return failed(producer.error());
  for (const char* greeting : {"hello", "world"}) {
    const klamm::Result<klamm::RecordMetadata> sent =
        producer->send_and_wait({.topic = "greetings", .value = greeting});
    if (!sent) return failed(sent.error());  // the topic was made on the way: auto.create.topics.enable
  }

  klamm::Result<klamm::blocking::Consumer> consumer = klamm::blocking::Consumer::create(config);
  if (!consumer) return failed(consumer.error());
  if (auto assigned = consumer->assign({{"greetings", 0}}); !assigned) return failed(assigned.error());
  for (std::size_t seen = 0; seen < 2;) {
    const klamm::Result<klamm::Records> records = consumer->poll(1s);
    if (!records) return failed(records.error());
    for (const klamm::RecordView& record : *records) std::cout << record.offset << " " << record.value.text() << "\n";
    seen += records->size();
  }
  return 0;
}

}  // namespace

int main() {
  klamm::Result<klamm::Broker> broker = klamm::Broker::start();  // BrokerOptions{.directory = "data"} would keep it
  return broker ? run(*broker) : failed(broker.error());
}
