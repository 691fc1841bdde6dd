// End-to-end latency of klamm's producer and consumer, both in this program on one event loop:
//   klamm_latency <bootstrap> <topic> <records a second> <seconds> [key=value of the producer...]
// Records are sent at a fixed rate, each with the time at which it was due; the reader takes the difference. A record
// for which the producer has no room waits for it, and stays due when it was: at a rate that nobody can hold, the
// seconds that are printed tell which rate was held.
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <chrono>
#include <cstring>
#include <string>

#include "bench/load/meter.h"
#include "klamm/consumer.h"
#include "klamm/producer.h"

namespace {

using namespace std::chrono_literals;
using klamm::bench::now_ns;

struct Plan {
  klamm::Config sending;
  std::string bootstrap;
  std::string topic;
  long rate = 0;
  long warm = 0;   // records that do not count: the first second
  long count = 0;  // all
};

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

asio::awaitable<void> send_at_rate(klamm::Producer& producer, Plan plan) {
  asio::steady_timer timer(producer.executor());
  std::string value(100, 'v');
  const std::int64_t start_ns = now_ns();  // steady_clock is CLOCK_MONOTONIC
  for (long index = 0; index < plan.count; ++index) {
    const std::int64_t due_ns = start_ns + index * (1'000'000'000 / plan.rate);
    if (due_ns > now_ns()) {
      timer.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(due_ns)));
      co_await timer.async_wait(asio::use_awaitable);
    }
    std::memcpy(value.data(), &due_ns, sizeof due_ns);
    while (!producer.send({.topic = plan.topic, .value = value})) {
      co_await producer.async_ready();
    }
  }
  co_await producer.async_flush();
}

asio::awaitable<void> measure(Plan plan) {
  const auto executor = co_await asio::this_coro::executor;
  klamm::Config reading{{"bootstrap.servers", plan.bootstrap}, {"auto.offset.reset", "earliest"}};
  klamm::Producer producer(executor, plan.sending);
  klamm::Consumer consumer(executor, reading);
  const std::string empty(100, '\0');
  const klamm::Record before{.topic = plan.topic, .value = empty};
  (void)co_await producer.async_send(before);
  consumer.assign({{plan.topic, 0}});
  (void)co_await consumer.async_poll(10s);
  std::puts("ready");
  std::fflush(stdout);
  (void)std::getchar();

  asio::co_spawn(executor, send_at_rate(producer, plan), rethrow);
  klamm::bench::Latencies latencies;
  const std::int64_t start_ns = now_ns();
  for (long got = 0; got < plan.count;) {
    const klamm::Records records = co_await consumer.async_poll(1s);
    const std::int64_t seen_ns = now_ns();
    for (const klamm::RecordView& record : records) {
      std::int64_t due_ns = 0;
      std::memcpy(&due_ns, record.value.data(), sizeof due_ns);
      if (++got > plan.warm) latencies.add(seen_ns - due_ns);
    }
  }
  latencies.print(static_cast<double>(now_ns() - start_ns) / 1e9);
  co_await producer.async_close(5s);
  co_await consumer.async_close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fputs("usage: klamm_latency <bootstrap> <topic> <records a second> <seconds> [key=value...]\n", stderr);
    return 2;
  }
  const long rate = klamm::bench::number(argv[3]);
  klamm::Config sending{{"bootstrap.servers", argv[1]}, {"linger.ms", "0"}};
  klamm::bench::add_settings(sending, argc, argv, 5);
  const Plan plan{sending, argv[1], argv[2], rate, rate, rate + rate * klamm::bench::number(argv[4])};
  asio::io_context context(1);
  asio::co_spawn(context, measure(plan), rethrow);
  context.run();
}
