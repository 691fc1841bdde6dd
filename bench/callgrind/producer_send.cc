// Driver for `valgrind --tool=callgrind`: user instructions of the producer for one record of 100 bytes (or of the
// second argument's), from send() to the batch's report: encoding, CRC, request, answer. Run it with two counts of
// records; the difference of instructions divided by the difference of counts is the cost of one. Third argument:
// batch.size.
//   valgrind --tool=callgrind --callgrind-out-file=/dev/null callgrind_producer_send 1000000
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/callgrind/stub_broker.h"
#include "klamm/producer.h"

namespace {

asio::awaitable<void> ship(std::string bootstrap, long count, std::string value, std::string batch_size) {
  const auto executor = co_await asio::this_coro::executor;
  std::uint64_t delivered = 0;
  klamm::ProducerHooks hooks;
  hooks.on_batch = [&](const klamm::BatchReport& report) { delivered += report.error ? 0 : report.record_count; };
  klamm::Config config{{"bootstrap.servers", bootstrap}, {"batch.size", batch_size}, {"linger.ms", "5"}};
  klamm::Producer producer(executor, config, std::move(hooks));
  for (long index = 0; index < count; ++index) {
    klamm::Delivery delivery = producer.send({.topic = "bench", .value = value});
    while (!delivery) {
      co_await producer.async_ready();
      delivery = producer.send({.topic = "bench", .value = value});
    }
  }
  co_await producer.async_flush();
  std::printf("%llu records delivered\n", static_cast<unsigned long long>(delivered));
  co_await producer.async_close(klamm::milliseconds(1000));
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 100'000;
  const std::size_t value_bytes = argc > 2 ? static_cast<std::size_t>(std::atol(argv[2])) : 100;
  const klamm::bench::StubBroker broker(value_bytes);
  asio::io_context context(1);
  asio::co_spawn(context,
                 ship(broker.bootstrap(), count, std::string(value_bytes, 'v'), argc > 3 ? argv[3] : "1000000"),
                 [](std::exception_ptr error) {
                   if (error) std::rethrow_exception(error);
                 });
  context.run();
}
