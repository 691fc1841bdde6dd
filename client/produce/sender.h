// The producer's sender: carries ready batches to the leaders of their partitions, keeps their order, retries, and
// tells each batch's outcome. One per producer, on its shard.
//
// Order and idempotence. A batch gets its sequence numbers when it is first sent and keeps them while it is retried. A
// partition's retried batches go out before new ones, and one at a time, the lowest sequence first. A hole in the
// sequences (a batch given up, a broker that lost its state) is mended once nothing of the partition is in flight: the
// producer epoch is raised and what waits is numbered from 0 again.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "client/core/cluster.h"
#include "client/produce/accumulator.h"
#include "io/sync.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"

namespace klamm::client {

struct SenderOptions {
  std::int16_t acks = -1;
  bool idempotent = true;
  std::uint32_t max_in_flight = 5;
  std::uint32_t retries = 0x7fffffff;
  Duration retry_backoff = 100ms;
  Duration retry_backoff_max = 1s;
  Duration request_timeout = 30s;
  Duration delivery_timeout = 120s;
};

// The fate of a batch, as the producer reports it.
struct BatchOutcome {
  detail::DeliveryRef delivery;
  std::uint32_t record_count = 0;
  std::uint64_t size_bytes = 0;
  Instant created_at;
  std::int64_t base_offset = -1;
  TimestampMs log_append_time = kNoTimestamp;
  std::optional<Error> error;
};

struct SenderCounts {
  std::uint64_t batches_retried = 0;
  std::uint64_t batches_split = 0;
  std::uint64_t epoch_bumps = 0;
};

class Sender {
 public:
  // `outcomes` is filled, and `wake` called, whenever batches have ended; the caller reports them when it is safe to,
  // and calls pump() and look_at_clock().
  Sender(io::Shard& shard, Cluster& cluster, Accumulator& accumulator, SenderOptions options, Logger log,
         std::function<void()> wake);

  // Sends what may be sent now. Called from the loop, once a turn with anything new.
  void pump();
  // The leaders of topics may have changed.
  void metadata_changed();
  // Ends batches that are older than delivery.timeout.ms, and looks at backoffs that are over. Returns when to look
  // again.
  Instant look_at_clock(Instant now);
  // Ends everything that has no outcome with this error.
  void abandon(const Error& reason);
  // Connections are being cut: nothing new is sent. Waits until no request is left.
  io::Task<void> close();

  std::vector<BatchOutcome>& outcomes() noexcept { return outcomes_; }
  // Set if the producer cannot work any more (its producer id was refused for good).
  const std::optional<Error>& fatal_error() const noexcept { return fatal_; }
  const SenderCounts& counts() const noexcept { return counts_; }
  // Asks for the producer id, if that is needed and not under way.
  void want_identity();

 private:
  struct Broker {
    BrokerNumber id;
    std::deque<Partition*> ring;  // partitions with something to send, in turn
    std::uint32_t in_flight = 0;
    bool connecting = false;
    std::weak_ptr<rpc::Connection> connection;  // the one that was used last
    std::uint64_t connection_number = 0;
    Instant throttled_until;
  };
  // What a request carries.
  struct Cargo {
    std::vector<std::unique_ptr<Batch>> batches;  // grouped as in `request`
    protocol::ProduceRequest request;
    std::int16_t version = 0;
  };
  enum class Readiness { now, later, never };

  Broker& broker_of(BrokerNumber id);
  std::uint64_t connection_to(BrokerNumber id) const;
  void route(Partition& partition);
  void pump(Broker& broker);
  Readiness readiness(const Partition& partition, Instant now) const;
  bool mend_sequences(Partition& partition);
  bool load(Broker& broker, rpc::Connection& connection, Cargo& cargo);
  std::unique_ptr<Batch> take_front(Partition& partition);
  void stow(Cargo& cargo, std::unique_ptr<Batch> batch, std::uint32_t& topic_mark);
  io::Task<void> connect(Broker& broker);
  io::Task<void> deliver(Broker& broker, ConnectionRef connection, Cargo cargo);
  io::Task<void> acquire_identity();

  struct PartitionAnswer {
    ErrorCode error = ErrorCode::none;
    std::int64_t base_offset = -1;
    TimestampMs log_append_time = kNoTimestamp;
    std::string message;
    bool leader_known = false;  // a newer leader came with the answer
  };
  void take_response(Broker& broker, Cargo& cargo, const protocol::ProduceResponse& response);
  void take_answer(std::unique_ptr<Batch> batch, const PartitionAnswer& answer);
  void succeed(std::unique_ptr<Batch> batch, std::int64_t base_offset, TimestampMs log_append_time);
  void retry(std::unique_ptr<Batch> batch, Error reason, bool at_once);
  void give_up(std::unique_ptr<Batch> batch, Error reason);
  bool split(std::unique_ptr<Batch>& batch);
  void landed(Batch& batch);
  void forget_sequence(Batch& batch);
  void requeue(std::unique_ptr<Batch> batch);
  void report(Batch& batch, std::int64_t base_offset, TimestampMs log_append_time, std::optional<Error> error);
  void delay(Partition& partition);

  io::Shard& shard_;
  Cluster& cluster_;
  Accumulator& accumulator_;
  SenderOptions options_;
  Logger log_;
  std::function<void()> wake_;
  std::map<BrokerNumber, std::unique_ptr<Broker>> brokers_;
  std::vector<Partition*> homeless_;  // ready, without a leader
  std::vector<Partition*> delayed_;   // waiting for a backoff
  std::vector<BatchOutcome> outcomes_;
  SenderCounts counts_;
  std::int64_t producer_id_ = record::kNoProducerId;
  std::int16_t producer_epoch_ = record::kNoProducerEpoch;
  std::uint64_t connections_ = 0;  // used so far
  bool acquiring_ = false;
  bool closed_ = false;
  std::optional<Error> fatal_;
  rpc::Backoff backoff_;
  io::Gate gate_;
  io::Signal closing_;
};

}  // namespace klamm::client
