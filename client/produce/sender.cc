#include "client/produce/sender.h"

#include <algorithm>

#include "io/timer.h"
#include "protocol/record/batch.h"

namespace klamm::client {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

namespace {
constexpr std::size_t kRequestOverhead = 128;  // header and framing of a request, roughly
constexpr std::int16_t kLastWithNames = 12;    // version of Produce that names topics, not their ids
}  // namespace

Sender::Sender(io::Shard& shard, Cluster& cluster, Accumulator& accumulator, SenderOptions options, Logger log,
               std::function<void()> wake)
    : shard_(shard),
      cluster_(cluster),
      accumulator_(accumulator),
      options_(options),
      log_(std::move(log)),
      wake_(std::move(wake)),
      fate_(shard, cluster, accumulator, options_, log_),
      identity_(cluster, options.retry_backoff, options.retry_backoff_max, log_, [this] { identity_changed(); }),
      gate_(shard) {}

// ---- who is ready ----

Sender::Broker& Sender::broker_of(BrokerNumber id) {
  std::unique_ptr<Broker>& broker = brokers_[id];
  if (!broker) {
    broker = std::make_unique<Broker>();
    broker->id = id;
  }
  return *broker;
}

// The number of the connection that is used for the broker; 0: none yet.
std::uint64_t Sender::connection_to(BrokerNumber id) const {
  const auto found = brokers_.find(id);
  return found == brokers_.end() ? 0 : found->second->connection_number;
}

void Sender::route(Partition& partition) {
  if (partition.leader < 0) {
    homeless_.push_back(&partition);
    cluster_.request_update();
    return;
  }
  broker_of(partition.leader).ring.push_back(&partition);
}

void Sender::pump() {
  if (closed_) return;
  for (Partition* partition : accumulator_.take_ready()) route(*partition);
  for (auto& [id, broker] : brokers_) {
    if (!broker->ring.empty()) {
      pump(*broker);
    } else if (broker->in_flight == 0) {
      accumulator_.note_moving(id);
    }
  }
  if (!outcomes().empty()) wake_();
}

void Sender::metadata_changed() {
  std::vector<Partition*> homeless = std::exchange(homeless_, {});
  for (Partition* partition : homeless) route(*partition);
  pump();
}

Sender::Readiness Sender::readiness(const Partition& partition, Instant now) const {
  if (partition.queue.empty()) return Readiness::never;
  const Batch& front = *partition.queue.front();
  if (&front == partition.open && !partition.send_open) return Readiness::never;
  if (partition.needs_reset && partition.in_flight > 0) return Readiness::never;  // its answers will bring it back
  if (partition.not_before > now) return Readiness::later;
  if (!options_.idempotent) {
    // With one request at a time order is promised: also while an old leader's answer is outstanding.
    if (options_.max_in_flight == 1 && partition.in_flight > 0) return Readiness::never;
    return Readiness::now;
  }
  if (front.has_sequence()) {
    return partition.sequenced.empty() || partition.sequenced.front() == &front ? Readiness::now : Readiness::never;
  }
  // A leader that does not know the producer takes any first sequence: the first batch goes alone, lest a later one is
  // taken in its place. After each new connection, too: the broker may have lost what it knew with its power.
  const bool established = partition.established_on != 0 && partition.established_on == connection_to(partition.leader);
  const std::size_t most = established ? options_.max_in_flight : 1;
  return partition.sequenced.size() < most ? Readiness::now : Readiness::never;
}

// Who this producer is for the partition's leader. False if the producer id must be asked for first.
bool Sender::mend_sequences(Partition& partition) {
  if (!options_.idempotent) return true;
  if (!identity_.known()) return false;
  if (partition.needs_reset) {
    const bool ours = partition.producer_id == identity_.id() && partition.producer_epoch == identity_.epoch();
    if (ours && (partition.needs_new_id || !identity_.can_raise_epoch())) {
      identity_.forget();
      identity_.want();
      return false;
    }
    if (ours) {
      identity_.raise_epoch();
      ++fate_.counts().epoch_bumps;
      log_.info("producer epoch raised to {} for {}-{}", identity_.epoch(), partition.topic->name, partition.index);
    }
    number_anew(partition);
  } else if (partition.producer_id < 0) {
    partition.producer_id = identity_.id();
    partition.producer_epoch = identity_.epoch();
    partition.next_sequence = 0;
  }
  return true;
}

// What was sent before and waits to be repeated gets the first sequences of the new identity.
void Sender::number_anew(Partition& partition) {
  partition.needs_reset = partition.needs_new_id = false;
  partition.producer_id = identity_.id();
  partition.producer_epoch = identity_.epoch();
  partition.established_on = 0;
  partition.sequenced.clear();
  std::int32_t next = 0;
  for (const auto& batch : partition.queue) {
    if (!batch->has_sequence()) break;
    batch->base_sequence = next;
    next = batch->next_sequence();
    partition.sequenced.push_back(batch.get());
  }
  partition.next_sequence = next;
}

// ---- sending ----

void Sender::pump(Broker& broker) {
  if (closed_ || identity_.refused()) return;
  if (send_some(broker)) {
    accumulator_.note_moving(broker.id);
  } else if (!broker.ring.empty() || broker.holds_back) {
    accumulator_.note_stalled(broker.id, shard_.now());
  }
}

// False if nothing could be sent to the broker now.
bool Sender::send_some(Broker& broker) {
  if (broker.throttled_until > shard_.now()) return false;  // look_at_clock() comes back
  ConnectionRef connection = cluster_.open_connection(broker.id);
  if (!connection) {
    if (!broker.connecting) {
      broker.connecting = true;
      gate_.spawn(connect(broker));
    }
    return false;
  }
  if (broker.connection.lock() != connection) {
    // Who closed the last one may lead no more: with acks=0 a broker has no other way to tell.
    if (broker.connection_number > 0) cluster_.request_update();
    broker.connection = connection;
    broker.connection_number = ++connections_;
  }
  if (options_.idempotent && !identity_.known()) {
    identity_.want();
    return false;
  }
  bool any = false;
  while (broker.in_flight < options_.max_in_flight && !broker.ring.empty()) {
    Cargo cargo;
    if (!load(broker, *connection, cargo)) break;
    any = true;
    ++broker.in_flight;
    gate_.spawn(deliver(broker, connection, std::move(cargo)));
    if (connection->closed()) break;
  }
  return any;
}

// The partition's next batch with its sequences and checksum; null if it could not be built, and has failed.
std::unique_ptr<Batch> Sender::take_front(Partition& partition) {
  if (partition.queue.front().get() == partition.open) {
    partition.queued_at_sender = true;  // it is: close_open() must not list it again
    accumulator_.close_open(partition);
  }
  std::unique_ptr<Batch> batch = std::move(partition.queue.front());
  partition.queue.pop_front();
  record::ProducerStamp stamp;
  if (options_.idempotent) {
    if (!batch->has_sequence()) {
      batch->base_sequence = partition.next_sequence;
      partition.next_sequence = batch->next_sequence();
      partition.sequenced.push_back(batch.get());
    }
    stamp = {partition.producer_id, partition.producer_epoch, batch->base_sequence, false};
  }
  Result<void> sealed = accumulator_.seal(*batch, stamp);
  if (sealed) return batch;
  fate_.give_up(std::move(batch), std::move(sealed).error());
  return nullptr;
}

// One batch of each ready partition, in the order of the ring, up to max.request.size. False if there is none.
bool Sender::load(Broker& broker, rpc::Connection& connection, Cargo& cargo) {
  const Instant now = shard_.now();
  std::size_t bytes = kRequestOverhead;
  bool topic_ids = true;
  std::vector<Partition*> again;
  broker.holds_back = false;
  for (std::size_t left = broker.ring.size(); left > 0; --left) {
    Partition& partition = *broker.ring.front();
    if (partition.leader != broker.id) {  // it has moved
      broker.ring.pop_front();
      route(partition);
      continue;
    }
    const Readiness ready = readiness(partition, now);
    if (ready != Readiness::now) {
      broker.ring.pop_front();
      partition.queued_at_sender = false;
      if (ready == Readiness::later) delay(partition);
      const bool holds = ready == Readiness::never && !partition.queue.empty() && partition.in_flight > 0;
      broker.holds_back = broker.holds_back || (holds && partition.queue.front().get() != partition.open);
      continue;
    }
    const Batch& front = *partition.queue.front();
    const std::size_t size = front.bytes.empty() ? front.builder.plain_bytes() : front.bytes.size();
    if (!cargo.batches.empty() && bytes + size > accumulator_.options().max_request_bytes) break;
    broker.ring.pop_front();
    if (!mend_sequences(partition)) {
      again.push_back(&partition);
      continue;
    }
    if (std::unique_ptr<Batch> batch = take_front(partition)) {
      bytes += batch->bytes.size();
      topic_ids = topic_ids && !partition.topic->id.is_zero();
      batch->in_flight = true;
      ++batch->attempts;
      batch->sent_over = broker.connection_number;
      ++partition.in_flight;
      cargo.batches.push_back(std::move(batch));
    }
    // More of this partition goes into another request.
    if (readiness(partition, now) == Readiness::now) {
      again.push_back(&partition);
    } else {
      partition.queued_at_sender = false;
    }
  }
  for (Partition* partition : again) broker.ring.push_back(partition);
  return !cargo.batches.empty() && write_request(connection, cargo, topic_ids);
}

// The request that carries the cargo's batches. False if the broker knows no version of it: the batches have failed.
bool Sender::write_request(const rpc::Connection& connection, Cargo& cargo, bool topic_ids) {
  Result<std::int16_t> version =
      connection.version_of<ProduceRequest>({0, topic_ids ? ProduceRequest::kMaxStableVersion : kLastWithNames});
  if (!version) {
    for (auto& batch : cargo.batches) {
      fate_.landed(*batch);
      fate_.give_up(std::move(batch), version.error());
    }
    wake_();
    return false;
  }
  cargo.version = *version;
  cargo.request.acks = options_.acks;
  cargo.request.timeout_ms = static_cast<std::int32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.request_timeout).count());
  // A topic's partitions must stand together.
  std::stable_sort(cargo.batches.begin(), cargo.batches.end(), [](const auto& left, const auto& right) {
    return left->partition->topic->name < right->partition->topic->name;
  });
  const Topic* topic = nullptr;
  for (const auto& batch : cargo.batches) {
    if (batch->partition->topic != topic) {
      topic = batch->partition->topic;
      auto& data = cargo.request.topic_data.emplace_back();
      if (cargo.version > kLastWithNames) {
        data.topic_id = topic->id;
      } else {
        data.name = topic->name;
      }
    }
    auto& data = cargo.request.topic_data.back().partition_data.emplace_back();
    data.index = batch->partition->index;
    data.records = wire::Records(batch->bytes);
  }
  return true;
}

io::Task<void> Sender::connect(Broker& broker) {
  while (!closed_ && !broker.ring.empty()) {
    Result<ConnectionRef> connection = co_await cluster_.connect(broker.id);
    if (connection || closed_) break;
    // The partitions may have other leaders by now.
    cluster_.request_update();
    const bool moved = co_await cluster_.changed().wait_until(shard_.now() + options_.retry_backoff);
    std::deque<Partition*> ring = std::exchange(broker.ring, {});
    for (Partition* partition : ring) route(*partition);
    if (moved) pump();
  }
  broker.connecting = false;
  if (!closed_ && !broker.ring.empty()) pump(broker);
}

io::Task<void> Sender::deliver(Broker& broker, ConnectionRef connection, Cargo cargo) {
  if (options_.acks == 0) {
    co_await deliver_unanswered(broker, std::move(connection), std::move(cargo));
  } else {
    Result<ProduceResponse> response =
        co_await connection->call_version(std::exchange(cargo.request, {}), cargo.version, options_.request_timeout);
    --broker.in_flight;
    if (response) {
      if (response->throttle_time_ms > 0) {
        broker.throttled_until = shard_.now() + milliseconds(response->throttle_time_ms);
      }
      accumulator_.note_moving(broker.id);
      take_response(broker, cargo, *response);
    } else {
      retry_all(cargo, response.error());
    }
  }
  wake_();
  pump();
}

// acks=0: a batch is delivered once its bytes have left.
io::Task<void> Sender::deliver_unanswered(Broker& broker, ConnectionRef connection, Cargo cargo) {
  const rpc::RequestForm form = rpc::Connection::form_of<ProduceRequest>(cargo.version);
  // No answer tells that the peer has fallen silent, only bytes that do not leave.
  io::Timer limit(shard_, [&connection] {
    connection->close(Error(Errc::timed_out, "a Produce request without an answer could not be sent", true));
  });
  limit.arm_in(options_.request_timeout);
  Result<void> sent = co_await connection->send(form, wire::encode_pieces(cargo.request, cargo.version));
  cargo.request = {};
  --broker.in_flight;
  if (!sent) {
    retry_all(cargo, sent.error());
    co_return;
  }
  for (auto& batch : cargo.batches) {
    fate_.landed(*batch);
    fate_.succeed(std::move(batch), -1, kNoTimestamp);
  }
}

// ---- answers ----

// What the request carried and no answer was for, if anything.
void Sender::retry_all(Cargo& cargo, const Error& reason) {
  bool any = false;
  for (auto& batch : cargo.batches) {
    if (!batch) continue;
    any = true;
    fate_.landed(*batch);
    fate_.retry(std::move(batch), reason, BatchFate::Wait::backoff);
  }
  if (any) cluster_.request_update();
}

// What the answer says of the leader (KIP-951), and whether this client knows more: of several batches that one broker
// refuses only the first answer is news; and the broker that it names may not know yet that it leads.
void Sender::take_leader(const Broker& broker, const Partition& partition, BrokerNumber leader,
                         std::int32_t leader_epoch, PartitionAnswer& answer) {
  if (leader < 0) return;
  cluster_.learn_leader(partition.topic->name, partition.index, leader, leader_epoch);
  const PartitionMetadata* known = cluster_.find(partition.topic->name, partition.index);
  if (known == nullptr || known->leader < 0) return;
  answer.leader_known = known->leader != broker.id;
  answer.too_soon = known->leader == broker.id && known->leader_epoch > leader_epoch;
}

void Sender::take_response(const Broker& broker, Cargo& cargo, const ProduceResponse& response) {
  for (const auto& node : response.node_endpoints) {
    cluster_.learn_broker({node.node_id, {node.host, static_cast<std::uint16_t>(node.port)}, node.rack});
  }
  // The answer names the partitions in the order of the request, as a rule.
  std::size_t guess = 0;
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partition_responses) {
      const auto fits = [&](const std::unique_ptr<Batch>& batch) {
        if (!batch || batch->partition->index != partition.index) return false;
        return cargo.version > kLastWithNames ? batch->partition->topic->id == topic.topic_id
                                              : batch->partition->topic->name == topic.name;
      };
      if (guess >= cargo.batches.size() || !fits(cargo.batches[guess])) {
        guess = static_cast<std::size_t>(std::find_if(cargo.batches.begin(), cargo.batches.end(), fits) -
                                         cargo.batches.begin());
        if (guess == cargo.batches.size()) continue;
      }
      std::unique_ptr<Batch> batch = std::move(cargo.batches[guess++]);
      PartitionAnswer answer;
      answer.error = protocol::error_code_from(partition.error_code);
      answer.base_offset = partition.base_offset;
      answer.log_append_time = partition.log_append_time_ms;
      answer.message = partition.error_message.value_or("");
      for (const auto& error : partition.record_errors) {
        if (error.batch_index_error_message) {
          answer.message += (answer.message.empty() ? "" : "; ") +
                            ("record " + std::to_string(error.batch_index) + ": " + *error.batch_index_error_message);
          break;
        }
      }
      take_leader(broker, *batch->partition, partition.current_leader.leader_id, partition.current_leader.leader_epoch,
                  answer);
      fate_.landed(*batch);
      fate_.answered(std::move(batch), answer);
    }
  }
  retry_all(cargo, Error(Errc::malformed, "a Produce response without the partition", true));
}

// ---- time ----

void Sender::delay(Partition& partition) {
  if (std::find(delayed_.begin(), delayed_.end(), &partition) == delayed_.end()) delayed_.push_back(&partition);
  wake_();  // the clock must be looked at
}

Instant Sender::look_at_clock(Instant now) {
  // Batches out of time. The list is in the order of their age.
  while (Batch* batch = accumulator_.oldest()) {
    if (batch->created_at + options_.delivery_timeout > now) break;
    const Partition& partition = *batch->partition;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - batch->created_at).count();
    std::string why = "batch for " + partition.topic->name + "-" + std::to_string(partition.index) +
                      " not delivered in " + std::to_string(ms) + " ms (delivery.timeout.ms)";
    if (cluster_.update_error()) why += " (" + cluster_.update_error()->message() + ")";
    fate_.end_anywhere(*batch, Error(Errc::timed_out, std::move(why), true));
  }
  Instant next = Instant::never();
  if (const Batch* oldest = accumulator_.oldest()) next = oldest->created_at + options_.delivery_timeout;
  std::vector<Partition*> delayed = std::exchange(delayed_, {});
  for (Partition* partition : delayed) {
    if (partition->not_before <= now) {
      accumulator_.make_ready(*partition);
    } else {
      delayed_.push_back(partition);
      next = std::min(next, partition->not_before);
    }
  }
  for (const auto& [id, broker] : brokers_) {
    if (broker->throttled_until > now && !broker->ring.empty()) next = std::min(next, broker->throttled_until);
  }
  if (!outcomes().empty()) wake_();
  return next;
}

void Sender::abandon(const Error& reason) {
  while (Batch* batch = accumulator_.oldest()) fate_.end_anywhere(*batch, reason);
  if (!outcomes().empty()) wake_();
}

// The producer id is known now, or will never be.
void Sender::identity_changed() {
  if (identity_.refused()) abandon(*identity_.refused());
  pump();
}

io::Task<void> Sender::close() {
  closed_ = true;
  fate_.close();
  identity_.stop();
  co_await gate_.close();
  co_await identity_.close();
}

}  // namespace klamm::client
