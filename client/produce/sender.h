// The producer's sender: carries ready batches to the leaders of their partitions and keeps their order. What their
// answers mean is for batch_fate.h. One per producer, on its shard.
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
#include "client/produce/batch_fate.h"
#include "client/produce/producer_identity.h"
#include "io/sync.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"

namespace klamm::client {

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

  std::vector<BatchOutcome>& outcomes() noexcept { return fate_.outcomes(); }
  // Set if the producer cannot work any more (its producer id was refused for good).
  const std::optional<Error>& fatal_error() const noexcept { return identity_.refused(); }
  const SenderCounts& counts() const noexcept { return fate_.counts(); }
  // Asks for the producer id, if that is needed and not under way.
  void want_identity() {
    if (options_.idempotent) identity_.want();
  }

 private:
  struct Broker {
    BrokerNumber id;
    std::deque<Partition*> ring;  // partitions with something to send, in turn
    std::uint32_t in_flight = 0;
    bool connecting = false;
    std::weak_ptr<rpc::Connection> connection;  // the one that was used last
    std::uint64_t connection_number = 0;
    Instant throttled_until;
    bool holds_back = false;  // batches of partitions that are not in the ring wait for its answers
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
  bool send_some(Broker& broker);
  Readiness readiness(const Partition& partition, Instant now) const;
  bool mend_sequences(Partition& partition);
  void number_anew(Partition& partition);
  bool load(Broker& broker, rpc::Connection& connection, Cargo& cargo);
  bool write_request(const rpc::Connection& connection, Cargo& cargo, bool topic_ids);
  std::unique_ptr<Batch> take_front(Partition& partition);
  io::Task<void> connect(Broker& broker);
  io::Task<void> deliver(Broker& broker, ConnectionRef connection, Cargo cargo);
  io::Task<void> deliver_unanswered(Broker& broker, ConnectionRef connection, Cargo cargo);
  void take_response(const Broker& broker, Cargo& cargo, const protocol::ProduceResponse& response);
  void take_leader(const Broker& broker, const Partition& partition, BrokerNumber leader, std::int32_t leader_epoch,
                   PartitionAnswer& answer);
  void retry_all(Cargo& cargo, const Error& reason);
  void identity_changed();
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
  BatchFate fate_;
  ProducerIdentity identity_;
  std::uint64_t connections_ = 0;  // used so far
  bool closed_ = false;
  io::Gate gate_;
};

}  // namespace klamm::client
