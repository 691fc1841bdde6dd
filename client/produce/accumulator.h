// The producer's accumulator: open and waiting batches of every partition, under the bound of buffer.memory. Pure: it
// is told the time, and hands what is ready to the sender. Belongs to one producer, on its shard.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "base/uuid.h"
#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "client/core/list.h"
#include "client/core/strings.h"
#include "client/produce/partitioner.h"
#include "klamm/detail/delivery.h"
#include "klamm/record.h"
#include "protocol/compress/codec.h"
#include "protocol/record/batch_builder.h"

namespace klamm::client {

struct Partition;
struct Topic;

// A batch from its first record to its outcome. Owned by its partition's queue, or by the request that carries it.
struct Batch {
  // Between the numbers of two batches there is room for the parts of the first one.
  static constexpr std::uint64_t kNumberStep = 1ULL << 32;

  Batch(Partition& of, const record::BatchOptions& options, Buffer::Ref buffer, detail::DeliveryRef outcome,
        Instant now)
      : builder(options, std::move(buffer)), delivery(std::move(outcome)), partition(&of), created_at(now) {}

  bool has_sequence() const noexcept { return base_sequence != record::kNoSequence; }
  std::int32_t next_sequence() const noexcept {
    return record::advance_sequence(base_sequence, static_cast<std::int32_t>(record_count));
  }

  record::BatchBuilder builder;  // while open; after closing without a codec, until the header is written
  detail::DeliveryRef delivery;
  Partition* partition;
  Instant created_at;
  std::uint64_t number = 0;  // rises with the batches of the producer
  std::uint64_t number_room = kNumberStep;
  Slice bytes;                     // as it will be sent; empty until sealed
  std::uint32_t record_count = 0;  // once closed
  std::size_t charged_bytes = 0;   // of buffer.memory
  std::int32_t base_sequence = record::kNoSequence;
  record::ProducerStamp stamp;  // in `bytes`
  std::uint32_t attempts = 0;   // requests that carried it
  std::uint64_t sent_over = 0;  // the number of the last one's connection
  bool in_flight = false;
  bool ended = false;         // has its outcome (it may still be in flight, if it expired there)
  ListHook<Batch> by_linger;  // while open
  ListHook<Batch> by_age;     // until ended
};

struct Partition {
  Topic* topic;
  std::int32_t index;
  BrokerNumber leader = -1;
  Batch* open = nullptr;                     // the last of the queue, if it takes records
  std::deque<std::unique_ptr<Batch>> queue;  // not in flight, in the order of their records
  std::uint32_t in_flight = 0;
  bool queued_at_sender = false;  // in the accumulator's ready list or in a broker's ring
  bool send_open = false;         // linger is over, or flush: the open batch goes as it is
  Instant not_before;             // retry backoff
  // Idempotence: who we are for this partition's leader, and what has no outcome yet, by sequence.
  std::int64_t producer_id = record::kNoProducerId;
  std::int16_t producer_epoch = record::kNoProducerEpoch;
  std::int32_t next_sequence = 0;
  // The connection over which the leader has last taken a batch under this id and epoch; 0: none.
  std::uint64_t established_on = 0;
  bool needs_reset = false;   // sequences have a hole: a new epoch once nothing is in flight
  bool needs_new_id = false;  // and a new producer id
  std::vector<Batch*> sequenced;
};

struct Topic {
  std::string name;
  Uuid id;
  std::shared_ptr<const detail::DeliveryOrigin> origin;
  std::vector<std::unique_ptr<Partition>> partitions;  // empty: not known yet
  std::vector<std::int32_t> available;                 // with a leader, ascending
  StickyPartitioner sticky;
  record::CompressionRatio ratio;
  std::uint64_t metadata_version = 0;
  ErrorCode error = ErrorCode::none;
  Instant asked_at = Instant::never();  // since when records wait for its partitions
  Instant refuse_until{-1h};            // they were not found in time: all who waited are refused
  std::uint32_t round_robin = 0;
  std::size_t typical_bytes = 1024;  // what its batches filled lately, not compressed
};

struct AccumulatorOptions {
  std::size_t batch_bytes = 16384;
  std::uint64_t buffer_bytes = 32 << 20;
  std::size_t max_request_bytes = 1 << 20;
  compress::Compression compression = compress::Compression::none;
  int compression_level = 0;
  Duration linger = 5ms;
  Duration delivery_timeout = 120s;
  Duration availability_timeout{0};  // partitioner.availability.timeout.ms; zero: no broker is left out
  StickyOptions sticky;
};

class Accumulator {
 public:
  explicit Accumulator(AccumulatorOptions options, std::shared_ptr<const void> delivery_executor);
  ~Accumulator();

  const AccumulatorOptions& options() const noexcept { return options_; }
  const std::shared_ptr<const void>& executor() const noexcept { return delivery_executor_; }
  Topic* find(std::string_view name) noexcept;
  Topic& add(std::string_view name);
  std::unordered_map<std::string, std::unique_ptr<Topic>, StringHash, std::equal_to<>>& topics() noexcept {
    return topics_;
  }

  // Takes in what the cluster says of a topic. Partitions keep their batches.
  void update(Topic& topic, const TopicMetadata& metadata);

  // Opens a batch in the partition, whose last one is full or gone, and appends the record; closes the open one first.
  // Errc::buffer_full if there is no memory now; any other error is for good.
  struct Place {
    Batch* batch;
    std::uint32_t index;
  };
  Result<Place> append_to_new(Partition& partition, const Record& record, TimestampMs timestamp, Instant now);
  // The partition takes no more records into its open batch; it becomes ready.
  void close_open(Partition& partition);
  // The next partition for records without a key; -1 if the topic has none. Those of brokers to which nothing has gone
  // for longer than the availability timeout are left out, if there are others (KIP-794).
  std::int32_t choose_sticky(Topic& topic, Random& random, Instant now);
  // Batches wait for this broker, and none of them can go to it.
  void note_stalled(BrokerNumber broker, Instant now);
  // Batches go to it, or none wait.
  void note_moving(BrokerNumber broker) noexcept { stalled_since_.erase(broker); }

  // Marks the partition as having something to send; the sender finds it in take_ready().
  void make_ready(Partition& partition);
  std::vector<Partition*> take_ready() noexcept { return std::exchange(ready_, {}); }
  bool has_ready() const noexcept { return !ready_.empty(); }
  // All open batches become ready, without waiting for linger.
  void flush_open();

  // Makes the front batch of the queue ready to send: closed, compressed, with the stamp in its header and its CRC.
  Result<void> seal(Batch& batch, const record::ProducerStamp& stamp);

  // Batches that linger is over for become ready; returns when to look again.
  Instant linger_due(Instant now);
  // The oldest batch without outcome; null if there is none.
  Batch* oldest() const noexcept { return by_age_.front(); }
  Batch* younger(const Batch& batch) const noexcept { return by_age_.next(batch); }
  // The batch has its outcome: its memory is free.
  void end(Batch& batch);
  // Takes the batch out of its partition's queue; null if it is in flight.
  std::unique_ptr<Batch> unqueue(Batch& batch);
  // Adds a part of a batch that was split, in place of the whole: as old as that, not in any queue yet.
  std::unique_ptr<Batch> make_part(Batch& whole, std::size_t initial_bytes);

  std::uint64_t used_bytes() const noexcept { return used_bytes_; }
  std::uint64_t batch_numbers() const noexcept { return next_number_; }
  compress::Codecs& codecs() noexcept { return codecs_; }
  // The open batch may have grown beyond its charge (compressed ones do).
  void recharge_open(Batch& batch);
  // Rises each time that memory is freed.
  std::uint64_t freed() const noexcept { return freed_; }

 private:
  Buffer::Ref take_buffer(std::size_t wanted_bytes);
  void give_back(Slice&& bytes);
  void charge(Batch& batch, std::size_t bytes) noexcept;
  record::BatchOptions batch_options(const Topic& topic) const;
  bool is_left_out(BrokerNumber broker, Instant now) const;

  AccumulatorOptions options_;
  std::shared_ptr<const void> delivery_executor_;
  std::unordered_map<std::string, std::unique_ptr<Topic>, StringHash, std::equal_to<>> topics_;
  std::vector<Partition*> ready_;
  IntrusiveList<Batch, &Batch::by_linger> by_linger_;
  IntrusiveList<Batch, &Batch::by_age> by_age_;
  std::vector<Buffer::Ref> pool_;
  std::size_t pool_bytes_ = 0;
  std::vector<PartitionLoad> loads_;               // scratch
  std::map<BrokerNumber, Instant> stalled_since_;  // empty without an availability timeout
  compress::Codecs codecs_;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t freed_ = 0;
  std::uint64_t next_number_ = 0;
};

// The SDK's bytes as the record layer's.
inline record::NullableBytes to_record(const NullableBytes& bytes) noexcept {
  return bytes.is_null() ? record::NullableBytes() : record::NullableBytes(bytes.bytes());
}

// Headers in the record layer's form; on the stack for a few.
class RecordHeaders {
 public:
  explicit RecordHeaders(std::span<const Header> headers) {
    if (headers.size() > kFew) many_.resize(headers.size());
    record::Header* to = headers.size() > kFew ? many_.data() : few_;
    for (std::size_t index = 0; index < headers.size(); ++index)
      to[index] = {headers[index].key, to_record(headers[index].value)};
    view_ = {to, headers.size()};
  }
  RecordHeaders(const RecordHeaders&) = delete;
  RecordHeaders& operator=(const RecordHeaders&) = delete;
  std::span<const record::Header> view() const noexcept { return view_; }

 private:
  static constexpr std::size_t kFew = 8;
  record::Header few_[kFew];
  std::vector<record::Header> many_;
  std::span<const record::Header> view_;
};

}  // namespace klamm::client
