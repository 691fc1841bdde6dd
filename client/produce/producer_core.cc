#include "client/produce/producer_core.h"

#include <algorithm>
#include <cstring>

#include "client/core/settings.h"
#include "client/produce/murmur2.h"
#include "client/produce/producer_options.h"

namespace klamm::client {

ProducerCore::ProducerCore(io::Shard& shard, ProducerSettings settings, ProducerHooks hooks,
                           std::shared_ptr<const void> delivery_executor)
    : shard_(shard),
      settings_(std::move(settings)),
      hooks_(std::move(hooks)),
      log_(client_logger(hooks_.log_sink, hooks_.log_level, "producer", settings_.common.client_id)),
      cluster_(shard, producer_cluster(settings_), log_),
      accumulator_(accumulator_options(settings_), std::move(delivery_executor)),
      sender_(shard, cluster_, accumulator_, sender_options(settings_), log_, [this] { wake(); }),
      default_choice_(!hooks_.partitioner && !settings_.partitioner_round_robin && !settings_.partitioner_ignore_keys),
      compressed_(settings_.compression_type != Compression::none),
      wake_(shard),
      room_(shard),
      progress_(shard),
      finished_(shard),
      timer_(shard, [this] { look_at_clock(); }),
      statistics_timer_(shard, [this] {
        hooks_.on_statistics(statistics());
        if (!stopped_) statistics_timer_.arm_in(hooks_.statistics_interval);
      }) {}

ProducerCore::~ProducerCore() = default;

std::shared_ptr<ProducerCore> ProducerCore::start(io::Shard& shard, ProducerSettings settings, ProducerHooks hooks,
                                                  std::shared_ptr<const void> delivery_executor) {
  std::shared_ptr<ProducerCore> core(
      new ProducerCore(shard, std::move(settings), std::move(hooks), std::move(delivery_executor)));
  for (const std::string& warning : core->settings_.warnings) core->log_.warning("{}", warning);
  return core;
}

// ---- send ----

// The way of nearly all records: the topic of the record before, a partition with an open batch, room in it.
ProducerCore::Placed ProducerCore::place(const Record& record) {
  Topic* const topic = last_topic_;
  if (topic == nullptr || !accepting_ || !record.headers.empty() || !same_text(topic->name, record.topic)) [[unlikely]]
    return place_slowly(record);
  std::int32_t index = record.partition;
  if (index < 0 && default_choice_) {
    index = record.key.is_null()
                ? topic->sticky.current()
                : partition_of_key(record.key.bytes(), static_cast<std::int32_t>(topic->partitions.size()));
  }
  if (static_cast<std::uint32_t>(index) >= topic->partitions.size()) [[unlikely]]
    return place_slowly(record);
  Batch* const open = topic->partitions[static_cast<std::size_t>(index)]->open;
  if (open == nullptr) [[unlikely]]
    return place_slowly(record);
  const TimestampMs timestamp = record.timestamp < 0 ? current_ms() : record.timestamp;
  const std::optional<std::int32_t> place =
      open->builder.append(timestamp, to_record(record.key), to_record(record.value));
  if (!place) [[unlikely]]
    return place_slowly(record);
  if (compressed_) accumulator_.recharge_open(*open);
  ++records_sent_;
  return {open->delivery.operator->(), static_cast<std::uint32_t>(*place)};
}

ProducerCore::Placed ProducerCore::place_slowly(const Record& record) {
  Topic* topic = last_topic_;
  if (topic == nullptr || topic->name != record.topic) {
    topic = topic_of(record.topic);
    last_topic_ = topic->partitions.empty() ? nullptr : topic;  // place() counts on partitions
  }
  if (topic->partitions.empty() || !accepting_) return wait_for_partitions(record, *topic);
  bool sticky = false;
  std::int32_t index = record.partition;
  if (index < 0) index = choose_partition(record, *topic, sticky);
  if (static_cast<std::uint32_t>(index) >= topic->partitions.size()) return wait_for_partitions(record, *topic);

  const TimestampMs timestamp = record.timestamp < 0 ? current_ms() : record.timestamp;
  if (Batch* open = topic->partitions[static_cast<std::size_t>(index)]->open) {
    const RecordHeaders headers(record.headers);
    const std::optional<std::int32_t> place =
        open->builder.append(timestamp, to_record(record.key), to_record(record.value), headers.view());
    if (place) {
      if (compressed_) accumulator_.recharge_open(*open);
      ++records_sent_;
      return {open->delivery.operator->(), static_cast<std::uint32_t>(*place)};
    }
  }
  return place_in_new(record, *topic, index, sticky, timestamp);
}

std::int32_t ProducerCore::choose_partition(const Record& record, Topic& topic, bool& sticky) {
  const auto count = static_cast<std::int32_t>(topic.partitions.size());
  if (hooks_.partitioner) [[unlikely]] {
    const std::int32_t chosen = hooks_.partitioner({record, count, topic.available});
    return chosen < 0 ? count : chosen;
  }
  if (settings_.partitioner_round_robin) {
    const auto& among = topic.available;
    const std::uint32_t turn = topic.round_robin++;
    return among.empty() ? static_cast<std::int32_t>(turn % topic.partitions.size()) : among[turn % among.size()];
  }
  if (!record.key.is_null() && !settings_.partitioner_ignore_keys) return partition_of_key(record.key.bytes(), count);
  sticky = true;
  const std::int32_t current = topic.sticky.current();
  return current >= 0 ? current : accumulator_.choose_sticky(topic, shard_.random(), shard_.now());
}

ProducerCore::Placed ProducerCore::place_in_new(const Record& record, Topic& topic, std::int32_t index, bool sticky,
                                                TimestampMs timestamp) {
  Partition* partition = topic.partitions[static_cast<std::size_t>(index)].get();
  if (partition->open != nullptr) {
    accumulator_.close_open(*partition);
    wake();
    // A batch is full: time to go to another partition, which may have an open batch.
    if (sticky && topic.sticky.current() < 0) {
      accumulator_.choose_sticky(topic, shard_.random(), shard_.now());
      return place_slowly(record);
    }
  }
  if (record.timestamp < 0) {
    read_clock();
    timestamp = clock_ms_;
  }
  const Instant now = shard_.now();
  cluster_.track(topic.name);
  Result<Accumulator::Place> place = accumulator_.append_to_new(*partition, record, timestamp, now);
  if (!place) {
    if (!(place.error() == Errc::buffer_full)) return refuse(record, std::move(place).error());
    ++buffer_full_;
    if (!blocked_) accumulator_.flush_open();  // nothing may wait for linger while others wait for memory
    return not_now(false);
  }
  ++records_sent_;
  if (settings_.linger_ms == 0 && partition->open != nullptr) {
    partition->send_open = true;
    accumulator_.make_ready(*partition);
    wake();
  } else {
    const Instant due = now + accumulator_.options().linger;
    if (!timer_.armed() || due < timer_.when()) timer_.arm_at(due);
  }
  return {place->batch->delivery.operator->(), place->index};
}

Topic* ProducerCore::topic_of(std::string_view name) {
  if (Topic* known = accumulator_.find(name)) return known;
  Topic& topic = accumulator_.add(name);
  if (!accepting_) return &topic;
  if (!std::exchange(started_, true)) {  // first use: the background tasks begin
    io::spawn_detached(turns(shared_from_this()));
    io::spawn_detached(follow_metadata(shared_from_this()));
    if (hooks_.on_statistics && hooks_.statistics_interval > 0ns) statistics_timer_.arm_in(hooks_.statistics_interval);
  }
  cluster_.track(name);
  if (const TopicMetadata* metadata = cluster_.find(name)) accumulator_.update(topic, *metadata);
  return &topic;
}

ProducerCore::Placed ProducerCore::refuse(const Record& record, Error error) {
  auto origin = std::make_shared<const detail::DeliveryOrigin>(
      detail::DeliveryOrigin{std::string(record.topic), accumulator_.executor()});
  detail::DeliveryRef delivery(new detail::DeliveryBatch(std::move(origin), record.partition));
  ++records_sent_;
  if (stopped_ || !started_) {
    reports_.count_refused();
    delivery->fail(std::move(error));
  } else {
    // Its report comes from the loop, as all reports do; the delivery itself has failed at once.
    BatchOutcome outcome;
    outcome.delivery = delivery;
    outcome.record_count = 1;
    outcome.created_at = shard_.now();
    outcome.error = error;
    delivery->fail(std::move(error));
    sender_.outcomes().push_back(std::move(outcome));
    wake();
  }
  return {delivery.hand_over(), 0};
}

ProducerCore::Placed ProducerCore::not_now(bool for_metadata) {
  blocked_ = true;
  for_metadata_ = for_metadata;
  wake();
  return {};
}

// The topic's partitions, or the one wanted, are not known (yet), or nothing is accepted any more.
ProducerCore::Placed ProducerCore::wait_for_partitions(const Record& record, Topic& topic) {
  if (sender_.fatal_error()) return refuse(record, *sender_.fatal_error());
  if (!accepting_) return refuse(record, Error(Errc::shutting_down, "the producer is closed"));
  const std::string name = "topic " + topic.name;
  if (!topic.partitions.empty() && record.partition < 0) {
    return refuse(record,
                  Error(Errc::invalid_argument, "the partitioner chose a partition that " + name + " does not have"));
  }
  if (topic.error != ErrorCode::none && !protocol::retriable(topic.error)) {
    topic.asked_at = Instant::never();
    const ErrorCode error = std::exchange(topic.error, ErrorCode::none);
    cluster_.untrack(topic.name);  // the next send asks again
    topic.metadata_version = 0;
    return refuse(record, protocol::kafka_error(error, name));
  }
  const Instant now = shard_.now();
  cluster_.track(topic.name);
  if (const Error* fatal = cluster_.fatal_error()) return refuse(record, *fatal);
  if (topic.asked_at == Instant::never()) {
    topic.asked_at = now;
    if (!topic.partitions.empty()) cluster_.request_update();
  } else if (topic.asked_at + milliseconds(settings_.max_block_ms) <= now) {
    topic.asked_at = Instant::never();
    topic.refuse_until = now + milliseconds(settings_.common.retry_backoff_max_ms);
  }
  if (now < topic.refuse_until) {
    topic.asked_at = Instant::never();
    if (!topic.partitions.empty()) {
      return refuse(record,
                    Error(Errc::invalid_argument, name + " has no partition " + std::to_string(record.partition) +
                                                      ", only " + std::to_string(topic.partitions.size())));
    }
    if (topic.error != ErrorCode::none) return refuse(record, protocol::kafka_error(topic.error, name));
    std::string why = name + " not known in " + std::to_string(settings_.max_block_ms) + " ms (max.block.ms)";
    if (cluster_.update_error()) why += " (" + cluster_.update_error()->message() + ")";
    return refuse(record, Error(Errc::timed_out, std::move(why), true));
  }
  sender_.want_identity();
  return not_now(true);
}

// ---- the loop ----

void ProducerCore::read_clock() {
  clock_ms_ = shard_.wall_ms();
  clock_is_fresh_ = true;
  wake();  // the next turn makes it stale
}

void ProducerCore::wake() {
  if (awake_) return;
  awake_ = true;
  wake_.notify_all();
}

io::Task<void> ProducerCore::turns(std::shared_ptr<ProducerCore> self) {
  const std::shared_ptr<ProducerCore> alive = std::move(self);
  while (!stopped_) {
    if (!awake_) {
      co_await wake_.wait();
      continue;
    }
    awake_ = false;
    turn();
  }
}

void ProducerCore::turn() {
  clock_is_fresh_ = false;
  report_outcomes();
  if (stopped_) return;
  if (sender_.fatal_error() && std::exchange(accepting_, false)) room_.notify_all();
  sender_.pump();
  look_at_clock();
  if (blocked_ && freed_seen_ != accumulator_.freed()) {
    freed_seen_ = accumulator_.freed();
    blocked_ = false;
    room_.notify_all();
  }
}

void ProducerCore::look_at_clock() {
  if (stopped_) return;
  const Instant now = shard_.now();
  const Instant next = std::min(accumulator_.linger_due(now), sender_.look_at_clock(now));
  if (next == Instant::never()) {
    timer_.cancel();
  } else if (!timer_.armed() || timer_.when() != next) {
    timer_.arm_at(next);
  }
  if (accumulator_.has_ready()) wake();
}

void ProducerCore::report_outcomes() {
  if (sender_.outcomes().empty()) return;
  std::vector<BatchOutcome> outcomes = std::exchange(sender_.outcomes(), {});
  for (BatchOutcome& outcome : outcomes) reports_.report(outcome, hooks_.on_batch, shard_.now());
  progress_.notify_all();
}

io::Task<void> ProducerCore::follow_metadata(std::shared_ptr<ProducerCore> self) {
  const std::shared_ptr<ProducerCore> alive = std::move(self);
  while (!stopped_) {
    if (metadata_seen_ == cluster_.version()) {
      co_await cluster_.changed().wait();
      if (cluster_.fatal_error() != nullptr && std::exchange(blocked_, false)) room_.notify_all();
      continue;
    }
    metadata_seen_ = cluster_.version();
    for (auto& [name, topic] : accumulator_.topics()) {
      const TopicMetadata* metadata = cluster_.find(name);
      if (metadata == nullptr || metadata->version == topic->metadata_version) continue;
      const bool first = topic->partitions.empty();
      accumulator_.update(*topic, *metadata);
      if (first && !topic->partitions.empty()) topic->asked_at = Instant::never();
    }
    sender_.metadata_changed();
    sender_.want_identity();
    if (blocked_) {
      blocked_ = false;
      room_.notify_all();
    }
  }
}

// ---- waiting ----

namespace {
// A request to cancel wakes those who wait for `signal`.
void wake_on_cancel(const ProducerCore::CancellationRef& cancellation, io::Signal& signal) {
  if (cancellation) cancellation->wake = [&signal] { signal.notify_all(); };
}
bool is_cancelled(const ProducerCore::CancellationRef& cancellation) { return cancellation && cancellation->requested; }
}  // namespace

Error ProducerCore::not_taken(std::string_view topic) const {
  const std::string within = " within " + std::to_string(settings_.max_block_ms) + " ms (max.block.ms)";
  if (for_metadata_)
    return {Errc::timed_out, "partitions of topic " + std::string(topic) + " not known" + within, true};
  return {Errc::timed_out, "no room in buffer.memory (" + std::to_string(settings_.buffer_memory) + " bytes)" + within,
          true};
}

io::Task<Result<void>> ProducerCore::ready(CancellationRef cancellation, Instant deadline) {
  const std::shared_ptr<ProducerCore> alive = shared_from_this();
  deadline = std::min(deadline, shard_.now() + milliseconds(settings_.max_block_ms));
  bool in_time = true;
  while (blocked_ && accepting_ && !is_cancelled(cancellation)) {
    if (!in_time) {
      // A topic that could not be found by now fails in the next send(): that is progress too.
      if (for_metadata_) break;
      co_return fail(not_taken({}));
    }
    wake_on_cancel(cancellation, room_);
    in_time = co_await room_.wait_until(deadline);
  }
  if (cancellation) cancellation->wake = nullptr;
  if (is_cancelled(cancellation)) co_return fail(Errc::cancelled, "wait for room to send");
  blocked_ = false;
  co_return Result<void>();
}

io::Task<Result<void>> ProducerCore::flush(CancellationRef cancellation, Instant deadline) {
  const std::shared_ptr<ProducerCore> alive = shared_from_this();
  const std::uint64_t end = accumulator_.batch_numbers();
  accumulator_.flush_open();
  if (accumulator_.has_ready()) wake();
  for (;;) {
    const Batch* oldest = accumulator_.oldest();
    if (sender_.outcomes().empty() && (oldest == nullptr || oldest->number >= end)) break;
    if (stopped_) co_return fail(Errc::cancelled, "producer closed during a flush");
    if (is_cancelled(cancellation)) co_return fail(Errc::cancelled, "flush");
    wake_on_cancel(cancellation, progress_);
    const bool in_time = co_await progress_.wait_until(deadline);
    if (cancellation) cancellation->wake = nullptr;
    if (!in_time) co_return fail(Error(Errc::timed_out, "flush not done in time: batches have no outcome yet", true));
  }
  co_return Result<void>();
}

io::Task<Result<RecordMetadata>> ProducerCore::send_and_wait(Record record, CancellationRef cancellation) {
  const std::shared_ptr<ProducerCore> alive = shared_from_this();
  // For both, the topic's partitions and room; others may take what room there is, again and again.
  const Instant deadline = shard_.now() + milliseconds(settings_.max_block_ms);
  Accepted accepted = send(record);
  for (bool late = false; !accepted.batch; accepted = send(record)) {
    if (late) {
      const Placed refused = refuse(record, not_taken(record.topic));
      accepted = {detail::DeliveryRef(refused.batch), refused.index};
      break;
    }
    Result<void> room = co_await ready(cancellation, deadline);
    if (!room && room.error() == Errc::cancelled) co_return fail(std::move(room).error());
    late = !room || shard_.now() >= deadline;
  }
  while (!accepted.batch->done()) {
    if (is_cancelled(cancellation)) co_return fail(Errc::cancelled, "wait for a delivery");
    wake_on_cancel(cancellation, progress_);
    co_await progress_.wait();
    if (cancellation) cancellation->wake = nullptr;
  }
  if (const Error* error = accepted.batch->error(accepted.index)) {
    // Hooks hear of it before the caller does, as with all others.
    while (!stopped_ && !sender_.outcomes().empty()) co_await progress_.wait();
    co_return fail(*error);
  }
  RecordMetadata metadata;
  metadata.topic = accepted.batch->topic();
  metadata.partition = accepted.batch->partition();
  metadata.offset = accepted.batch->offset(accepted.index);
  metadata.timestamp = accepted.batch->timestamp(accepted.index);
  co_return metadata;
}

io::Task<Result<std::vector<PartitionInfo>>> ProducerCore::partitions_for(std::string topic) {
  const std::shared_ptr<ProducerCore> alive = shared_from_this();
  if (!accepting_) co_return fail(Errc::shutting_down, "the producer is closed");
  topic_of(topic);
  Result<const TopicMetadata*> known =
      co_await cluster_.await_topic(topic, shard_.now() + milliseconds(settings_.max_block_ms));
  KLAMM_CO_TRY(known);
  co_return (*known)->partition_infos();
}

// ---- the end ----

io::Task<Result<void>> ProducerCore::close(Duration deadline) {
  const std::shared_ptr<ProducerCore> alive = shared_from_this();
  accepting_ = false;
  room_.notify_all();
  Result<void> flushed;
  if (!stopped_) {
    flushed = co_await flush(nullptr, shard_.now() + deadline);
    if (!flushed && !stopped_) {
      const std::uint64_t left = records_undelivered();
      log_.warning("closed with {} records undelivered", left);
      flushed =
          fail(Error(Errc::timed_out,
                     "close: " + std::to_string(left) + " records were not delivered in time and are given up", true));
      sender_.abandon(Error(Errc::cancelled, "the producer was closed before the record was delivered"));
      report_outcomes();
    }
    stop();
  }
  co_await wait_finished();
  co_return flushed;
}

void ProducerCore::abandon() {
  accepting_ = false;
  if (stopped_) return;
  hooks_ = {};
  if (accumulator_.oldest() != nullptr || !sender_.outcomes().empty()) {
    log_.warning("destroyed with {} records undelivered: they are lost", records_undelivered());
    sender_.abandon(Error(Errc::cancelled, "the producer was destroyed before the record was delivered"));
    report_outcomes();
  }
  stop();
}

void ProducerCore::stop() {
  stopped_ = true;
  timer_.cancel();
  statistics_timer_.cancel();
  cluster_.stop();
  wake_.notify_all();
  room_.notify_all();
  progress_.notify_all();
  io::spawn_detached(finish(shared_from_this()));
}

io::Task<void> ProducerCore::finish(std::shared_ptr<ProducerCore> self) {
  const std::shared_ptr<ProducerCore> alive = std::move(self);
  co_await sender_.close();
  co_await cluster_.close();
  sender_.outcomes().clear();
  is_finished_ = true;
  finished_.notify_all();
}

io::Task<void> ProducerCore::wait_finished() {
  const std::shared_ptr<ProducerCore> alive = shared_from_this();
  while (!is_finished_) co_await finished_.wait();
}

ProducerStatistics ProducerCore::statistics() const {
  ProducerStatistics statistics;
  statistics.client_id = settings_.common.client_id;
  statistics.time_ms = shard_.wall_ms();
  statistics.records_sent = records_sent_;
  statistics.records_delivered = reports_.records_delivered();
  statistics.records_failed = reports_.records_failed();
  statistics.records_queued = records_undelivered();
  statistics.batches_delivered = reports_.batches_delivered();
  statistics.bytes_delivered = reports_.bytes_delivered();
  statistics.batches_retried = sender_.counts().batches_retried;
  statistics.batches_split = sender_.counts().batches_split;
  statistics.epoch_bumps = sender_.counts().epoch_bumps;
  statistics.buffer_bytes = accumulator_.used_bytes();
  statistics.buffer_limit_bytes = accumulator_.options().buffer_bytes;
  statistics.buffer_full = buffer_full_;
  statistics.brokers = cluster_.statistics();
  return statistics;
}

}  // namespace klamm::client
