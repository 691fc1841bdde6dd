// How long acknowledgements stay away:
//   klamm_gap <bootstrap> <topic> <partitions> <records a second> <seconds> [key=value...]
// klamm's producer sends at a fixed rate to each partition in turn; what is printed is the longest time between two
// acknowledgements of one partition, of which partition, and the median over the partitions of their longest. In its
// midst a leader is killed, or stopped, by whoever started it.
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "bench/load/meter.h"
#include "klamm/producer.h"

namespace {

using namespace std::chrono_literals;
using klamm::bench::now_ns;

struct Plan {
  klamm::Config config;
  std::string topic;
  std::int32_t partitions = 1;
  long rate = 0;
  long seconds = 0;
};

// Of one partition.
struct Acknowledged {
  std::int64_t last_ns = 0;
  std::int64_t longest_ns = 0;
};

class Gaps {
 public:
  explicit Gaps(std::int32_t partitions) : all_(static_cast<std::size_t>(partitions)) {}
  void begin() {
    for (Acknowledged& one : all_) one = {now_ns(), 0};
  }
  void add(std::int32_t partition) {
    Acknowledged& one = all_[static_cast<std::size_t>(partition)];
    const std::int64_t now = now_ns();
    one.longest_ns = std::max(one.longest_ns, now - one.last_ns);
    one.last_ns = now;
  }
  void print(std::int64_t records, std::int64_t lost) const {
    std::vector<std::int64_t> longest;
    std::size_t worst = 0;
    for (std::size_t index = 0; index < all_.size(); ++index) {
      longest.push_back(all_[index].longest_ns);
      if (all_[index].longest_ns > all_[worst].longest_ns) worst = index;
    }
    std::sort(longest.begin(), longest.end());
    std::printf(R"({"records":%lld,"lost":%lld,"longest_ms":%.1f,"partition":%zu,"median_ms":%.1f})"
                "\n",
                static_cast<long long>(records), static_cast<long long>(lost),
                static_cast<double>(longest.back()) / 1e6, worst,
                static_cast<double>(longest[longest.size() / 2]) / 1e6);
    std::fflush(stdout);
  }

 private:
  std::vector<Acknowledged> all_;
};

asio::awaitable<void> send_at_rate(klamm::Producer& producer, const Plan& plan, long count) {
  asio::steady_timer timer(producer.executor());
  const std::string value(100, 'v');
  const std::int64_t start_ns = now_ns();
  for (long index = 0; index < count; ++index) {
    const std::int64_t due_ns = start_ns + index * (1'000'000'000 / plan.rate);
    if (due_ns > now_ns()) {
      timer.expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(due_ns)));
      co_await timer.async_wait(asio::use_awaitable);
    }
    const auto partition = static_cast<std::int32_t>(index % plan.partitions);
    const klamm::Delivery delivery = producer.send({.topic = plan.topic, .value = value, .partition = partition});
    if (!delivery) std::fputs("no room for a record\n", stderr);
  }
  co_await producer.async_flush();
}

asio::awaitable<void> measure(Plan plan) {
  const auto executor = co_await asio::this_coro::executor;
  Gaps gaps(plan.partitions);
  std::int64_t delivered = 0;
  std::int64_t lost = 0;
  klamm::ProducerHooks hooks;
  hooks.on_batch = [&](const klamm::BatchReport& report) {
    if (report.error) {
      std::fprintf(stderr, "%u records lost: %s\n", report.record_count, report.error->message().c_str());
      lost += report.record_count;
      return;
    }
    delivered += report.record_count;
    gaps.add(report.partition);
  };
  klamm::Producer producer(executor, plan.config, std::move(hooks));
  co_await send_at_rate(producer, plan, plan.rate);  // the first second: connections, metadata
  delivered = 0;
  std::puts("ready");
  std::fflush(stdout);
  (void)std::getchar();
  gaps.begin();
  co_await send_at_rate(producer, plan, plan.rate * plan.seconds);
  gaps.print(delivered, lost);
  co_await producer.async_close(5s);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fputs("usage: klamm_gap <bootstrap> <topic> <partitions> <records a second> <seconds> [key=value...]\n",
               stderr);
    return 2;
  }
  Plan plan{{{"bootstrap.servers", argv[1]}, {"linger.ms", "0"}},
            argv[2],
            static_cast<std::int32_t>(klamm::bench::number(argv[3])),
            klamm::bench::number(argv[4]),
            klamm::bench::number(argv[5])};
  klamm::bench::add_settings(plan.config, argc, argv, 6);
  asio::io_context context(1);
  asio::co_spawn(context, measure(std::move(plan)), [](std::exception_ptr error) {
    if (error) std::rethrow_exception(error);
  });
  context.run();
}
