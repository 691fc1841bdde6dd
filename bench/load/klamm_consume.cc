// Load by klamm's own consumer: klamm_consume <bootstrap> <topic> <records>, from the first offset. See meter.h.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <chrono>
#include <string>

#include "bench/load/meter.h"
#include "klamm/consumer.h"

namespace {

using namespace std::chrono_literals;

struct Seen {
  std::int64_t records = 0;
  std::int64_t bytes = 0;
  std::int64_t offsets = 0;  // so that the decoding of offsets cannot be left out
};

asio::awaitable<Seen> read(klamm::Consumer& consumer, long count) {
  Seen seen;
  while (seen.records < count) {
    const klamm::Records records = co_await consumer.async_poll(10s);
    if (records.empty()) break;
    for (const klamm::RecordView& record : records) {
      seen.bytes += static_cast<std::int64_t>(record.value.size());
      seen.offsets += record.offset;
    }
    seen.records += static_cast<std::int64_t>(records.size());
  }
  co_return seen;
}

asio::awaitable<void> count_records(std::string bootstrap, std::string topic, long count) {
  const auto executor = co_await asio::this_coro::executor;
  klamm::Config config{{"bootstrap.servers", bootstrap}, {"auto.offset.reset", "earliest"}};
  klamm::Consumer consumer(executor, config);
  const klamm::TopicPartition partition{topic, 0};
  {
    klamm::Consumer warm(executor, config);  // metadata and the broker's first fetch of this topic
    warm.assign({partition});
    co_await read(warm, 1);
    co_await warm.async_close();
  }
  (void)co_await consumer.async_partitions_for(topic);

  klamm::bench::Meter meter;
  meter.start();
  consumer.assign({partition});
  const Seen seen = co_await read(consumer, count);
  meter.stop(seen.records, seen.bytes);
  if (seen.offsets < 0) std::fputs("offsets are negative\n", stderr);
  co_await consumer.async_close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: klamm_consume <bootstrap> <topic> <records>\n", stderr);
    return 2;
  }
  asio::io_context context(1);
  asio::co_spawn(context, count_records(argv[1], argv[2], klamm::bench::number(argv[3])), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}
