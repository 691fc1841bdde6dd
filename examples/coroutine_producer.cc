// Sends every line of standard input to a topic: a coroutine that is suspended while the buffer is full.
//   coroutine_producer localhost:9092 log < /var/log/syslog
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <iostream>
#include <string>

#include "klamm/producer.h"

using namespace std::chrono_literals;

asio::awaitable<void> ship(std::istream& lines, std::string bootstrap, std::string topic) {
  const auto executor = co_await asio::this_coro::executor;
  klamm::ProducerHooks hooks;
  hooks.on_batch = [](const klamm::BatchReport& report) {  // one call stands for all the records of a batch
    if (report.error) std::cerr << report.record_count << " records lost: " << report.error->message() << "\n";
  };
  klamm::Config config{{"bootstrap.servers", bootstrap}, {"compression.type", "zstd"}, {"linger.ms", "20"}};
  klamm::Producer producer(executor, config, hooks);

  klamm::Delivery delivery;
  for (std::string line; std::getline(lines, line);) {
    delivery = producer.send({.topic = topic, .value = line});  // copies into the open batch, returns at once
    while (!delivery) {                                         // no room: suspend, never spin or drop
      co_await producer.async_ready();
      delivery = producer.send({.topic = topic, .value = line});
    }
  }
  if (delivery) {
    const klamm::RecordMetadata last = co_await delivery.async_wait();
    std::cout << "the last line is at " << last.topic << "-" << last.partition << " offset " << last.offset << "\n";
  }
  co_await producer.async_close(30s);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: coroutine_producer <bootstrap servers> <topic>\n";
    return 2;
  }
  asio::io_context context(1);
  int status = 0;
  asio::co_spawn(context, ship(std::cin, argv[1], argv[2]), [&](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      std::cerr << exception.what() << "\n";
      status = 1;
    }
  });
  context.run();
  return status;
}
