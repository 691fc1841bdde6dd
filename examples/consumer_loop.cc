// Prints the records of a topic from its beginning, and ends when it has seen them all. What it has done so far goes to
// standard error every second, and once at the end: as an application would hand it to its metrics.
//   consumer_loop localhost:9092 log
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/this_coro.hpp>

#include <iostream>
#include <string>
#include <vector>

#include "klamm/consumer.h"

using namespace std::chrono_literals;

void tell(const klamm::ConsumerStatistics& statistics) {
  std::int64_t lag = 0;
  for (const klamm::ConsumerPartitionStatistics& partition : statistics.partitions) {
    if (partition.lag > 0) lag += partition.lag;
  }
  std::cerr << statistics.records << " records read with " << statistics.fetches << " fetches, " << lag
            << " to come\n";  // all of it as JSON: statistics.to_json()
}

asio::awaitable<void> print(std::string bootstrap, std::string topic) {
  const auto executor = co_await asio::this_coro::executor;
  klamm::Config config{
      {"bootstrap.servers", bootstrap}, {"auto.offset.reset", "earliest"}, {"allow.auto.create.topics", "false"}};
  klamm::ConsumerHooks hooks;
  hooks.on_statistics = tell;
  hooks.statistics_interval = 1s;
  klamm::Consumer consumer(executor, config, hooks);

  std::vector<klamm::TopicPartition> partitions;
  const std::vector<klamm::PartitionInfo> infos = co_await consumer.async_partitions_for(topic);
  partitions.reserve(infos.size());
  for (const klamm::PartitionInfo& info : infos) {
    partitions.push_back({topic, info.partition});
  }
  const klamm::Consumer::Offsets ends = co_await consumer.async_end_offsets(partitions);
  consumer.assign(partitions);

  const auto finished = [&] {
    for (const auto& [partition, end] : ends) {
      if (consumer.position(partition).value_or(0) < end) return false;
    }
    return true;
  };
  while (!finished()) {
    const klamm::Records records = co_await consumer.async_poll(100ms);  // borrows from the fetched buffers, no copy
    for (const klamm::RecordView& record : records) {
      std::cout << record.partition << "@" << record.offset << " ";
      if (record.key) std::cout << record.key.text() << ": ";
      std::cout << record.value.text() << "\n";
    }
  }
  tell(consumer.statistics());
  co_await consumer.async_close();
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: consumer_loop <bootstrap servers> <topic>\n";
    return 2;
  }
  asio::io_context context(1);
  int status = 0;
  asio::co_spawn(context, print(argv[1], argv[2]), [&](std::exception_ptr error) {
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
