#include "client/produce/sender.h"

#include <algorithm>

#include "io/timer.h"
#include "protocol/messages/init_producer_id_request.h"
#include "protocol/messages/init_producer_id_response.h"
#include "protocol/record/batch.h"
#include "protocol/record/record.h"

namespace klamm::client {

using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

namespace {
constexpr std::int16_t kLastEpoch = 32766;
constexpr std::size_t kRequestOverhead = 128;  // header and framing of a request, roughly
}  // namespace

Sender::Sender(io::Shard& shard, Cluster& cluster, Accumulator& accumulator, SenderOptions options, Logger log,
               std::function<void()> wake)
    : shard_(shard),
      cluster_(cluster),
      accumulator_(accumulator),
      options_(options),
      log_(std::move(log)),
      wake_(std::move(wake)),
      backoff_(options.retry_backoff, options.retry_backoff_max),
      gate_(shard),
      closing_(shard) {}

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
    if (!broker->ring.empty()) pump(*broker);
  }
  if (!outcomes_.empty()) wake_();
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
  if (producer_id_ < 0) return false;
  if (partition.needs_reset) {
    const bool ours = partition.producer_id == producer_id_ && partition.producer_epoch == producer_epoch_;
    if (ours && (partition.needs_new_id || producer_epoch_ >= kLastEpoch)) {
      producer_id_ = record::kNoProducerId;
      want_identity();
      return false;
    }
    if (ours) {
      ++producer_epoch_;
      ++counts_.epoch_bumps;
      log_.info("producer epoch raised to {} for {}-{}", producer_epoch_, partition.topic->name, partition.index);
    }
    partition.needs_reset = partition.needs_new_id = false;
    partition.producer_id = record::kNoProducerId;
    partition.sequenced.clear();
    std::int32_t next = 0;
    for (const auto& batch : partition.queue) {
      if (!batch->has_sequence()) break;
      batch->base_sequence = next;
      next = batch->next_sequence();
      partition.sequenced.push_back(batch.get());
    }
    partition.producer_id = producer_id_;
    partition.producer_epoch = producer_epoch_;
    partition.next_sequence = next;
    partition.established_on = 0;
  } else if (partition.producer_id < 0) {
    partition.producer_id = producer_id_;
    partition.producer_epoch = producer_epoch_;
    partition.next_sequence = 0;
  }
  return true;
}

// ---- sending ----

void Sender::pump(Broker& broker) {
  if (closed_ || fatal_) return;
  const Instant now = shard_.now();
  if (broker.throttled_until > now) return;  // look_at_clock() comes back
  ConnectionRef connection = cluster_.open_connection(broker.id);
  if (!connection) {
    if (!broker.connecting) {
      broker.connecting = true;
      gate_.spawn(connect(broker));
    }
    return;
  }
  if (broker.connection.lock() != connection) {
    broker.connection = connection;
    broker.connection_number = ++connections_;
  }
  if (options_.idempotent && producer_id_ < 0) {
    want_identity();
    return;
  }
  while (broker.in_flight < options_.max_in_flight && !broker.ring.empty()) {
    Cargo cargo;
    if (!load(broker, *connection, cargo)) break;
    ++broker.in_flight;
    gate_.spawn(deliver(broker, connection, std::move(cargo)));
    if (connection->closed()) break;
  }
}

std::unique_ptr<Batch> Sender::take_front(Partition& partition) {
  if (partition.queue.front().get() == partition.open) {
    partition.queued_at_sender = true;  // it is: close_open() must not list it again
    accumulator_.close_open(partition);
  }
  std::unique_ptr<Batch> batch = std::move(partition.queue.front());
  partition.queue.pop_front();
  return batch;
}

// One batch of each ready partition, in the order of the ring, up to max.request.size.
bool Sender::load(Broker& broker, rpc::Connection& connection, Cargo& cargo) {
  const Instant now = shard_.now();
  std::size_t bytes = kRequestOverhead;
  bool topic_ids = true;
  std::vector<Partition*> again;
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
    std::unique_ptr<Batch> batch = take_front(partition);
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
    if (!sealed) {
      give_up(std::move(batch), std::move(sealed).error());
    } else {
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
  if (cargo.batches.empty()) return false;
  constexpr std::int16_t kLastWithNames = 12;
  Result<std::int16_t> version =
      connection.version_of<ProduceRequest>({0, topic_ids ? ProduceRequest::kMaxStableVersion : kLastWithNames});
  if (!version) {
    for (auto& batch : cargo.batches) {
      landed(*batch);
      give_up(std::move(batch), version.error());
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
    const rpc::RequestForm form = rpc::Connection::form_of<ProduceRequest>(cargo.version);
    // No answer tells that the peer has fallen silent, only bytes that do not leave.
    io::Timer limit(shard_, [&connection] {
      connection->close(Error(Errc::timed_out, "a Produce request without an answer could not be sent", true));
    });
    limit.arm_in(options_.request_timeout);
    Result<void> sent = co_await connection->send(form, wire::encode_pieces(cargo.request, cargo.version));
    cargo.request = {};
    --broker.in_flight;
    for (auto& batch : cargo.batches) {
      landed(*batch);
      if (sent) {
        succeed(std::move(batch), -1, kNoTimestamp);
      } else {
        retry(std::move(batch), sent.error(), false);
      }
    }
  } else {
    Result<ProduceResponse> response =
        co_await connection->call_version(std::exchange(cargo.request, {}), cargo.version, options_.request_timeout);
    --broker.in_flight;
    if (response) {
      if (response->throttle_time_ms > 0) {
        broker.throttled_until = shard_.now() + milliseconds(response->throttle_time_ms);
      }
      take_response(broker, cargo, *response);
    } else {
      cluster_.request_update();
      for (auto& batch : cargo.batches) {
        landed(*batch);
        retry(std::move(batch), response.error(), false);
      }
    }
  }
  wake_();
  pump();
}

// ---- answers ----

void Sender::take_response(Broker&, Cargo& cargo, const ProduceResponse& response) {
  for (const auto& node : response.node_endpoints) {
    cluster_.learn_broker({node.node_id, {node.host, static_cast<std::uint16_t>(node.port)}, node.rack});
  }
  // The answer names the partitions in the order of the request, as a rule.
  std::size_t guess = 0;
  for (const auto& topic : response.responses) {
    for (const auto& partition : topic.partition_responses) {
      const auto fits = [&](const std::unique_ptr<Batch>& batch) {
        if (!batch || batch->partition->index != partition.index) return false;
        return cargo.version > 12 ? batch->partition->topic->id == topic.topic_id
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
      if (partition.error_message) answer.message = *partition.error_message;
      for (const auto& error : partition.record_errors) {
        if (error.batch_index_error_message) {
          answer.message += (answer.message.empty() ? "" : "; ") +
                            ("record " + std::to_string(error.batch_index) + ": " + *error.batch_index_error_message);
          break;
        }
      }
      answer.leader_known =
          cluster_.learn_leader(batch->partition->topic->name, partition.index, partition.current_leader.leader_id,
                                partition.current_leader.leader_epoch);
      landed(*batch);
      take_answer(std::move(batch), answer);
    }
  }
  for (auto& batch : cargo.batches) {
    if (!batch) continue;
    landed(*batch);
    retry(std::move(batch), Error(Errc::malformed, "a Produce response without the partition", true), false);
  }
}

void Sender::landed(Batch& batch) {
  batch.in_flight = false;
  --batch.partition->in_flight;
}

void Sender::take_answer(std::unique_ptr<Batch> batch, const PartitionAnswer& answer) {
  Partition& partition = *batch->partition;
  if (answer.error == ErrorCode::none) return succeed(std::move(batch), answer.base_offset, answer.log_append_time);
  if (answer.error == ErrorCode::duplicate_sequence_number) return succeed(std::move(batch), -1, kNoTimestamp);
  Error error =
      protocol::kafka_error(answer.error, "batch for " + partition.topic->name + "-" + std::to_string(partition.index) +
                                              (answer.message.empty() ? "" : ": " + answer.message));
  if (answer.error == ErrorCode::message_too_large && !batch->ended && batch->record_count > 1 && split(batch)) return;
  if (options_.idempotent) {
    switch (answer.error) {
      case ErrorCode::out_of_order_sequence_number:
        // Behind an earlier batch that must be repeated first it is to be expected. Else the broker lost its state.
        if (!partition.needs_reset && !partition.sequenced.empty() && partition.sequenced.front() == batch.get()) {
          partition.needs_reset = true;
        }
        return retry(std::move(batch), std::move(error), true);
      case ErrorCode::invalid_producer_epoch:
      case ErrorCode::invalid_producer_id_mapping: partition.needs_new_id = true; [[fallthrough]];
      case ErrorCode::unknown_producer_id:
        partition.needs_reset = true;
        return retry(std::move(batch), std::move(error), true);
      default: break;
    }
  }
  if (!error.retriable()) return give_up(std::move(batch), std::move(error));
  if (protocol::needs_metadata(answer.error) && !answer.leader_known) cluster_.request_update();
  retry(std::move(batch), std::move(error), answer.leader_known);
}

void Sender::report(Batch& batch, std::int64_t base_offset, TimestampMs log_append_time, std::optional<Error> error) {
  BatchOutcome outcome;
  outcome.delivery = batch.delivery;
  outcome.record_count = batch.record_count;
  outcome.size_bytes = batch.bytes.size();
  outcome.created_at = batch.created_at;
  outcome.base_offset = base_offset;
  outcome.log_append_time = log_append_time;
  outcome.error = std::move(error);
  outcomes_.push_back(std::move(outcome));
}

void Sender::forget_sequence(Batch& batch) {
  std::vector<Batch*>& sequenced = batch.partition->sequenced;
  const auto found = std::find(sequenced.begin(), sequenced.end(), &batch);
  if (found != sequenced.end()) sequenced.erase(found);
}

void Sender::succeed(std::unique_ptr<Batch> batch, std::int64_t base_offset, TimestampMs log_append_time) {
  Partition& partition = *batch->partition;
  partition.established_on = batch->sent_over;
  forget_sequence(*batch);
  if (!batch->ended) {
    report(*batch, base_offset, log_append_time, std::nullopt);
    accumulator_.end(*batch);
  }
  if (!partition.queue.empty()) accumulator_.make_ready(partition);
}

void Sender::give_up(std::unique_ptr<Batch> batch, Error reason) {
  Partition& partition = *batch->partition;
  if (batch->has_sequence()) {
    forget_sequence(*batch);
    // What follows has higher sequences than the broker may expect. But some of it may be in the log, its answer lost:
    // it keeps its sequences, so that it is recognized; if the broker misses this batch it says so.
    if (partition.sequenced.empty()) partition.needs_reset = true;
  }
  if (!batch->ended) {
    report(*batch, -1, kNoTimestamp, std::move(reason));
    accumulator_.end(*batch);
  }
  if (!partition.queue.empty()) accumulator_.make_ready(partition);
}

void Sender::retry(std::unique_ptr<Batch> batch, Error reason, bool at_once) {
  if (batch->ended || batch->attempts > options_.retries || closed_)
    return give_up(std::move(batch), std::move(reason));
  Partition& partition = *batch->partition;
  ++counts_.batches_retried;
  log_.debug("{}-{}: batch of {} records will be sent again: {}", partition.topic->name, partition.index,
             batch->record_count, reason.message());
  if (!at_once) {
    const Duration wait = backoff_.after(batch->attempts - 1, shard_.random());
    partition.not_before = std::max(partition.not_before, shard_.now() + wait);
  }
  requeue(std::move(batch));
  accumulator_.make_ready(partition);
}

// Back in front of what was never sent, in the order of the numbers that batches were given.
void Sender::requeue(std::unique_ptr<Batch> batch) {
  std::deque<std::unique_ptr<Batch>>& queue = batch->partition->queue;
  auto at = queue.begin();
  if (batch->has_sequence()) {
    // Sequences wrap around; the order in which they were given does not.
    const std::vector<Batch*>& order = batch->partition->sequenced;
    const auto own = std::find(order.begin(), order.end(), batch.get());
    while (at != queue.end() && (*at)->has_sequence() && std::find(order.begin(), own, at->get()) != own) ++at;
  } else {
    while (at != queue.end() && (*at)->number < batch->number) ++at;
  }
  queue.insert(at, std::move(batch));
}

// The broker's limit is below the batch: two halves take its place, with the same sequence numbers. False if its
// records cannot be read.
bool Sender::split(std::unique_ptr<Batch>& batch) {
  Result<record::BatchView> view = record::BatchView::parse(batch->bytes);
  if (!view) return false;
  Result<Slice> plain = record::plain_records(*view, accumulator_.codecs(), INT32_MAX);
  if (!plain) return false;
  batch->partition->topic->ratio.reset();
  const std::uint32_t half = (batch->record_count + 1) / 2;
  std::vector<std::unique_ptr<Batch>> parts;
  record::RecordIterator records(*view, plain->bytes());
  std::uint32_t index = 0;
  for (record::RecordView record; records.next(record); ++index) {
    if (index == 0 || index == half) parts.push_back(accumulator_.make_part(*batch, plain->size() / 2 + 1024));
    if (!parts.back()->builder.append(record)) return false;
  }
  if (!records.status() || parts.size() != 2) return false;
  ++counts_.batches_split;
  log_.info("{}-{}: batch of {} records ({} bytes) is too large for the broker, split in two",
            batch->partition->topic->name, batch->partition->index, batch->record_count, batch->bytes.size());
  std::vector<Batch*>& sequenced = batch->partition->sequenced;
  const auto place = std::find(sequenced.begin(), sequenced.end(), batch.get());
  std::vector<Batch*> replacing;
  std::uint32_t first = 0;
  for (auto& part : parts) {
    part->record_count = static_cast<std::uint32_t>(part->builder.record_count());
    part->attempts = batch->attempts;
    part->number_room = batch->number_room / 2;
    if (first > 0) part->number += part->number_room;
    if (batch->has_sequence()) {
      part->base_sequence = record::advance_sequence(batch->base_sequence, static_cast<std::int32_t>(first));
    }
    Result<Slice> built = part->builder.build(accumulator_.codecs());
    if (built) part->bytes = std::move(*built);
    batch->delivery->add_part(first, part->delivery);
    first += part->record_count;
    replacing.push_back(part.get());
  }
  if (place != sequenced.end()) {
    const auto at = sequenced.erase(place);
    sequenced.insert(at, replacing.begin(), replacing.end());
  }
  Partition& partition = *batch->partition;
  for (auto& part : parts) requeue(std::move(part));
  accumulator_.end(*batch);
  batch.reset();
  accumulator_.make_ready(partition);
  return true;
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
    Partition& partition = *batch->partition;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now - batch->created_at).count();
    std::string why = "batch for " + partition.topic->name + "-" + std::to_string(partition.index) +
                      " not delivered in " + std::to_string(ms) + " ms (delivery.timeout.ms)";
    if (cluster_.update_error()) why += "; " + cluster_.update_error()->message();
    Error error(Errc::timed_out, std::move(why), true);
    if (batch == partition.open) accumulator_.close_open(partition);
    if (std::unique_ptr<Batch> queued = accumulator_.unqueue(*batch)) {
      give_up(std::move(queued), std::move(error));
    } else {  // in flight: its answer decides over the sequences
      report(*batch, -1, kNoTimestamp, std::move(error));
      accumulator_.end(*batch);
    }
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
  if (!outcomes_.empty()) wake_();
  return next;
}

void Sender::abandon(const Error& reason) {
  while (Batch* batch = accumulator_.oldest()) {
    if (batch == batch->partition->open) accumulator_.close_open(*batch->partition);
    if (std::unique_ptr<Batch> queued = accumulator_.unqueue(*batch)) {
      give_up(std::move(queued), reason);
    } else {
      report(*batch, -1, kNoTimestamp, reason);
      accumulator_.end(*batch);
    }
  }
  if (!outcomes_.empty()) wake_();
}

io::Task<void> Sender::close() {
  closed_ = true;
  closing_.notify_all();
  co_await gate_.close();
}

// ---- identity ----

void Sender::want_identity() {
  if (!options_.idempotent || acquiring_ || producer_id_ >= 0 || fatal_ || closed_) return;
  acquiring_ = true;
  gate_.spawn(acquire_identity());
}

io::Task<void> Sender::acquire_identity() {
  rpc::Backoff backoff(options_.retry_backoff, options_.retry_backoff_max);
  while (!closed_) {
    Result<ConnectionRef> connection = co_await cluster_.connect_any();
    Result<InitProducerIdResponse> response = fail(Errc::unavailable);
    if (connection) {
      InitProducerIdRequest request;
      request.transactional_id.reset();
      request.transaction_timeout_ms = 0x7fffffff;
      response = co_await (*connection)->call(std::move(request));
    } else {
      response = fail(connection.error());
    }
    if (closed_) break;
    std::optional<Error> error;
    if (!response) {
      error = response.error();
    } else if (const ErrorCode code = protocol::error_code_from(response->error_code); code != ErrorCode::none) {
      error = protocol::kafka_error(code, "producer id for an idempotent producer");
    }
    if (!error) {
      producer_id_ = response->producer_id;
      producer_epoch_ = response->producer_epoch;
      log_.debug("producer id {} epoch {}", producer_id_, producer_epoch_);
      break;
    }
    if (!error->retriable()) {
      log_.error("no producer id: {}", error->message());
      fatal_ = std::move(error);
      abandon(*fatal_);
      break;
    }
    log_.debug("no producer id yet: {}", error->message());
    co_await closing_.wait_until(shard_.now() + backoff.next(shard_.random()));
  }
  acquiring_ = false;
  if (!closed_) pump();
}

}  // namespace klamm::client
