// Sends some records and hears of each by a callback, without coroutines.
//   callback_producer localhost:9092 log 10
#include <asio/io_context.hpp>

#include <cstdlib>
#include <iostream>
#include <string>

#include "klamm/producer.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: callback_producer <bootstrap servers> <topic> <count>\n";
    return 2;
  }
  asio::io_context context(1);
  int status = 0;
  int waiting = std::atoi(argv[3]);
  klamm::Producer producer(context.get_executor(), {{"bootstrap.servers", argv[1]}, {"client.id", "callback-example"}});

  for (int number = 1; number <= waiting; ++number) {
    // What a record borrows must live until the callback: the key and value are kept in it.
    auto key = std::make_shared<std::string>("key " + std::to_string(number));
    producer.async_send({.topic = argv[2], .key = *key, .value = *key}, [&, key](std::exception_ptr error,
                                                                                 klamm::RecordMetadata record) {
      try {
        if (error) std::rethrow_exception(error);
        std::cout << *key << " is at partition " << record.partition << " offset " << record.offset << "\n";
      } catch (const klamm::Exception& exception) {
        std::cerr << *key << ": " << exception.what() << (exception.retriable() ? " (may work later)" : "") << "\n";
        status = 1;
      }
      if (--waiting == 0) producer.async_close(std::chrono::seconds(10), [](std::exception_ptr) {});
    });
  }
  context.run();
  return status;
}
