// The clients of a simulated run: writers and readers made of the SDK's cores, telling the ledger what they see.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "client/admin/admin_core.h"
#include "client/consume/consumer_core.h"
#include "client/produce/producer_core.h"
#include "io/shard.h"
#include "io/sim/disk.h"
#include "io/sync.h"
#include "klamm/config.h"
#include "ledger.h"
#include "scenario.h"

namespace klamm::simtest {

struct WriterOptions {
  ProducerPlan plan;  // the number is the producer's, in record names
  LogSink log_sink;
  std::vector<TopicPartition> partitions;
  std::uint32_t last_records = 0;  // after the faults
  std::size_t largest_value = 0;
  io::sim::DelayRange pause;  // between bursts
  std::uint64_t largest_burst = 1;
  std::uint64_t seed = 0;
};

// One producer and what it sends. All on the shard. One that restarts ends without a word, as a program that is killed,
// and goes on as another producer, of another number.
class Writer {
 public:
  Writer(io::Shard& shard, WriterOptions options, Ledger& ledger);

  // Sends its records; their outcomes come later.
  io::Task<void> send_records();
  // And some more, once they are sent.
  io::Task<void> send_more(std::uint32_t count);
  // Sends the last records, waits for all outcomes and closes the producer.
  io::Task<void> finish();

  static constexpr std::uint32_t kNumbersApart = 1000;  // of one writer's producers

  bool sent() const noexcept { return sent_; }
  bool finished() const noexcept { return finished_; }
  // Why last records failed.
  const std::vector<std::string>& complaints() const noexcept { return complaints_; }

 private:
  void start();
  io::Task<void> restart();
  io::Task<void> send_some(std::uint32_t count, bool must_succeed);
  bool send_one(bool must_succeed);
  void watch(const client::ProducerCore::Accepted& accepted, RecordId id, bool must_succeed);

  io::Shard& shard_;
  WriterOptions options_;
  Ledger& ledger_;
  Random random_;
  std::shared_ptr<client::ProducerCore> producer_;
  std::uint32_t number_;
  std::uint32_t next_ = 0;
  std::uint32_t left_ = 0;               // of the records to send
  std::optional<TopicPartition> drawn_;  // of the record to send next, until it is taken
  std::size_t drawn_size_ = 0;
  bool sent_ = false;
  bool finished_ = false;
  std::vector<std::string> complaints_;
};

struct ReaderOptions {
  ConsumerPlan plan;
  LogSink log_sink;
  std::vector<TopicPartition> partitions;
  bool from_start = false;  // a restarted reader begins anew, instead of where it was
  std::uint64_t seed = 0;
};

// One consumer that reads its partitions from their beginning, as long as it is let.
class Reader {
 public:
  Reader(io::Shard& shard, ReaderOptions options);

  // Until stop(); then closes the consumer.
  io::Task<void> follow();
  // No more restarts and moves.
  void settle() { settled_ = true; }
  void stop() { stopping_ = true; }
  // The partitions' ends now, then all records up to them; then closes the consumer.
  io::Task<void> read_all();

  const std::vector<TopicPartition>& partitions() const noexcept { return options_.partitions; }
  bool finished() const noexcept { return finished_; }
  const Readings& readings() const noexcept { return readings_; }
  const std::map<TopicPartition, Ends>& ends() const noexcept { return ends_; }
  const std::vector<std::string>& complaints() const noexcept { return complaints_; }
  std::size_t restarts() const noexcept { return restarts_; }

 private:
  void start();
  void go_on_from_here();
  void wander();
  void move(const TopicPartition& partition, std::int64_t offset);
  io::Task<bool> poll_once();
  io::Task<void> end_consumer(bool in_order);
  io::Task<Result<void>> find_ends();
  bool at_end() const;

  io::Shard& shard_;
  ReaderOptions options_;
  Random random_;
  std::shared_ptr<client::ConsumerCore> consumer_;
  struct Position {
    std::int64_t offset = 0;
    std::int32_t leader_epoch = -1;
  };
  std::map<TopicPartition, Position> positions_;  // of the consumer, while it restarts
  std::map<TopicPartition, bool> jumped_;         // and nothing was read since
  std::vector<TopicPartition> paused_;
  bool settled_ = false;
  bool stopping_ = false;
  bool finished_ = false;
  std::size_t restarts_ = 0;
  Readings readings_;
  std::map<TopicPartition, Ends> ends_;
  std::vector<std::string> complaints_;
};

// Makes a topic, again and again until the cluster has it.
io::Task<void> create_topic(io::Shard& shard, Config config, LogSink log_sink, NewTopic topic, bool& created);

}  // namespace klamm::simtest
