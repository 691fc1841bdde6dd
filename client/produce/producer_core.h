// The producer without its completion tokens: what klamm::Producer and klamm::blocking::Producer are made of. Lives on
// one shard, which alone may call it; kept alive by its own background tasks until close() or abandon() has run its
// course.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "client/produce/accumulator.h"
#include "client/produce/delivery_reports.h"
#include "client/produce/sender.h"
#include "io/sync.h"
#include "klamm/detail/completion.h"
#include "klamm/hooks.h"
#include "klamm/record.h"

namespace klamm::client {

class ProducerCore : public std::enable_shared_from_this<ProducerCore> {
 public:
  // `delivery_executor`: kept for the deliveries' completion tokens; may be null.
  static std::shared_ptr<ProducerCore> start(io::Shard& shard, ProducerSettings settings, ProducerHooks hooks,
                                             std::shared_ptr<const void> delivery_executor = nullptr);
  ~ProducerCore();

  // See Producer::send. Null: not now. The batch is not counted for the caller yet: a DeliveryRef must be made at once.
  struct Placed {
    detail::DeliveryBatch* batch = nullptr;
    std::uint32_t index = 0;
  };
  Placed place(const Record& record);
  struct Accepted {
    detail::DeliveryRef batch;
    std::uint32_t index = 0;
  };
  Accepted send(const Record& record) {
    const Placed placed = place(record);
    return {detail::DeliveryRef(placed.batch), placed.index};
  }

  using CancellationRef = std::shared_ptr<detail::Cancellation>;
  // Until `deadline`, or for max.block.ms if that ends before.
  io::Task<Result<void>> ready(CancellationRef cancellation = nullptr, Instant deadline = Instant::never());
  io::Task<Result<void>> flush(CancellationRef cancellation = nullptr, Instant deadline = Instant::never());
  // What the record borrows must live until the end.
  io::Task<Result<RecordMetadata>> send_and_wait(Record record, CancellationRef cancellation = nullptr);
  io::Task<Result<std::vector<PartitionInfo>>> partitions_for(std::string topic);
  io::Task<Result<void>> close(Duration deadline);
  // Ends everything at once. Hooks are not called any more.
  void abandon();
  // After close() or abandon(): until the background tasks are gone.
  io::Task<void> wait_finished();

  ProducerStatistics statistics() const;
  io::Shard& shard() noexcept { return shard_; }

 private:
  ProducerCore(io::Shard& shard, ProducerSettings settings, ProducerHooks hooks,
               std::shared_ptr<const void> delivery_executor);
  Topic* topic_of(std::string_view name);
  Placed place_slowly(const Record& record);
  Placed refuse(const Record& record, Error error);
  Placed not_now(bool for_metadata);
  Error not_taken(std::string_view topic) const;
  Placed wait_for_partitions(const Record& record, Topic& topic);
  std::int32_t choose_partition(const Record& record, Topic& topic, bool& sticky);
  Placed place_in_new(const Record& record, Topic& topic, std::int32_t partition, bool sticky, TimestampMs timestamp);
  TimestampMs current_ms() {
    if (!clock_is_fresh_) [[unlikely]]
      read_clock();
    return clock_ms_;
  }
  void read_clock();
  void wake();
  void turn();
  void report_outcomes();
  std::uint64_t records_undelivered() const noexcept { return records_sent_ - reports_.records_ended(); }
  void look_at_clock();
  io::Task<void> turns(std::shared_ptr<ProducerCore> self);
  io::Task<void> follow_metadata(std::shared_ptr<ProducerCore> self);
  io::Task<void> finish(std::shared_ptr<ProducerCore> self);
  void stop();

  io::Shard& shard_;
  ProducerSettings settings_;
  ProducerHooks hooks_;
  Logger log_;
  Cluster cluster_;
  Accumulator accumulator_;
  Sender sender_;
  // What place() looks at for every record.
  Topic* last_topic_ = nullptr;
  bool accepting_ = true;
  const bool default_choice_;  // of partitions: no hook, no other partitioner, keys count
  const bool compressed_;
  bool stopped_ = false;
  bool awake_ = false;
  bool blocked_ = false;         // a send() has returned empty since the last progress
  bool for_metadata_ = false;    // the last one of these: for the topic's partitions, not for room
  bool clock_is_fresh_ = false;  // clock_ms_ was read in this turn of the loop
  bool started_ = false;
  TimestampMs clock_ms_ = 0;
  std::uint64_t freed_seen_ = 0;
  std::uint64_t metadata_seen_ = 0;
  io::Signal wake_;
  io::Signal room_;      // a blocked send() is worth repeating
  io::Signal progress_;  // batches have ended
  io::Signal finished_;
  bool is_finished_ = false;
  io::Timer timer_;
  io::Timer statistics_timer_;
  std::uint64_t records_sent_ = 0;
  DeliveryReports reports_;
  std::uint64_t buffer_full_ = 0;
};

}  // namespace klamm::client
