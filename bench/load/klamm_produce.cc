// Load by klamm's own producer:
//   klamm_produce <bootstrap> <topic> <records> <bytes a value> [key=value...]
// See meter.h.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <string>

#include "bench/load/meter.h"
#include "klamm/producer.h"

namespace {

using klamm::bench::kBatchBytes;
using klamm::bench::kLingerMs;

asio::awaitable<void> send_all(klamm::Producer& producer, std::string topic, std::string value, long count) {
  for (long index = 0; index < count; ++index) {
    klamm::Delivery delivery = producer.send({.topic = topic, .value = value});
    while (!delivery) {
      co_await producer.async_ready();
      delivery = producer.send({.topic = topic, .value = value});
    }
  }
  co_await producer.async_flush();
}

asio::awaitable<void> ship(klamm::Config config, std::string topic, long count, std::string value) {
  const auto executor = co_await asio::this_coro::executor;
  std::int64_t delivered = 0;
  klamm::ProducerHooks hooks;
  hooks.on_batch = [&](const klamm::BatchReport& report) {
    if (report.error) {
      std::fprintf(stderr, "%u records lost: %s\n", report.record_count, report.error->message().c_str());
    } else {
      delivered += report.record_count;
    }
  };
  klamm::Producer producer(executor, config, std::move(hooks));
  co_await send_all(producer, topic, value, 1);
  delivered = 0;

  klamm::bench::Meter meter;
  meter.start();
  co_await send_all(producer, topic, value, count);
  meter.stop(delivered, delivered * static_cast<std::int64_t>(value.size()));
  co_await producer.async_close(klamm::milliseconds(10'000));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fputs("usage: klamm_produce <bootstrap> <topic> <records> <bytes a value> [key=value...]\n", stderr);
    return 2;
  }
  klamm::Config config{{"bootstrap.servers", argv[1]}, {"batch.size", kBatchBytes}, {"linger.ms", kLingerMs}};
  klamm::bench::add_settings(config, argc, argv, 5);
  asio::io_context context(1);
  const auto value_bytes = static_cast<std::size_t>(klamm::bench::number(argv[4]));
  asio::co_spawn(context, ship(config, argv[2], klamm::bench::number(argv[3]), std::string(value_bytes, 'v')),
                 [](std::exception_ptr error) {
                   if (error) std::rethrow_exception(error);
                 });
  context.run();
}
