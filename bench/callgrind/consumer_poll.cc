// Driver for `valgrind --tool=callgrind`: user instructions of the consumer for one record of 100 bytes (or of the
// second argument's): fetch, CRC, decoding, poll, and touching key, value and offset. See producer_send.cc. The third
// argument is max.poll.records.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/callgrind/stub_broker.h"
#include "klamm/consumer.h"

namespace {

asio::awaitable<void> count_records(std::string bootstrap, long count, std::string most) {
  const auto executor = co_await asio::this_coro::executor;
  klamm::Config config{{"bootstrap.servers", bootstrap}, {"auto.offset.reset", "earliest"}, {"max.poll.records", most}};
  klamm::Consumer consumer(executor, config);
  consumer.assign({{"bench", 0}});
  long got = 0;
  std::uint64_t sum = 0;
  while (got < count) {
    const klamm::Records records = co_await consumer.async_poll(std::chrono::seconds(10));
    for (const klamm::RecordView& record : records) {
      sum += record.value.size() + static_cast<std::uint64_t>(record.offset) + record.key.size();
    }
    got += static_cast<long>(records.size());
  }
  std::printf("%ld records, sum %llu\n", got, static_cast<unsigned long long>(sum));
  co_await consumer.async_close();
}

}  // namespace

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 100'000;
  const klamm::bench::StubBroker broker(argc > 2 ? static_cast<std::size_t>(std::atol(argv[2])) : 100);
  asio::io_context context(1);
  asio::co_spawn(context, count_records(broker.bootstrap(), count, argc > 3 ? argv[3] : "500"),
                 [](std::exception_ptr error) {
                   if (error) std::rethrow_exception(error);
                 });
  context.run();
}
