#include "client/produce/accumulator.h"

#include <algorithm>

#include "protocol/record/record.h"

namespace klamm::client {

namespace {
constexpr std::size_t kPooledBytes = 16 << 20;  // free buffers kept in all
}  // namespace

Accumulator::Accumulator(AccumulatorOptions options, std::shared_ptr<const void> delivery_executor)
    : options_(options), delivery_executor_(std::move(delivery_executor)) {}

Accumulator::~Accumulator() {
  while (Batch* batch = by_age_.front()) by_age_.remove(*batch);
  while (Batch* batch = by_linger_.front()) by_linger_.remove(*batch);
}

Topic* Accumulator::find(std::string_view name) noexcept {
  const auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : found->second.get();
}

Topic& Accumulator::add(std::string_view name) {
  auto topic = std::make_unique<Topic>();
  topic->name = name;
  topic->origin =
      std::make_shared<const detail::DeliveryOrigin>(detail::DeliveryOrigin{std::string(name), delivery_executor_});
  Topic& added = *topic;
  topics_.emplace(std::string(name), std::move(topic));
  return added;
}

void Accumulator::update(Topic& topic, const TopicMetadata& metadata) {
  topic.metadata_version = metadata.version;
  topic.error = metadata.error;
  if (metadata.partitions.empty()) return;
  topic.id = metadata.id;
  while (topic.partitions.size() < metadata.partitions.size()) {
    auto partition = std::make_unique<Partition>();
    partition->topic = &topic;
    partition->index = static_cast<std::int32_t>(topic.partitions.size());
    topic.partitions.push_back(std::move(partition));
  }
  topic.available.clear();
  for (std::size_t index = 0; index < metadata.partitions.size(); ++index) {
    Partition& partition = *topic.partitions[index];
    partition.leader = metadata.partitions[index].leader;
    if (partition.leader >= 0) {
      topic.available.push_back(partition.index);
    } else {
      topic.sticky.give_up(partition.index);
    }
  }
}

// ---- filling ----

record::BatchOptions Accumulator::batch_options(const Topic& topic) const {
  record::BatchOptions options;
  options.compression = options_.compression;
  options.level = options_.compression_level;
  options.size_limit_bytes = std::max(options_.batch_bytes, record::kBatchHeaderSize + 1);
  // A little more than was needed lately: a batch that grows is copied, one that does not fill its buffer wastes it.
  options.initial_bytes = std::min(topic.typical_bytes + topic.typical_bytes / 8, options.size_limit_bytes);
  options.compression_ratio = options_.compression == compress::Compression::none ? 1.0f : topic.ratio.estimate();
  return options;
}

Buffer::Ref Accumulator::take_buffer(std::size_t wanted_bytes) {
  while (!pool_.empty()) {
    Buffer::Ref buffer = std::move(pool_.back());
    pool_.pop_back();
    pool_bytes_ -= buffer->capacity();
    if (buffer->capacity() >= wanted_bytes) return buffer;
  }
  return {};
}

void Accumulator::give_back(Slice&& bytes) {
  Buffer::Ref buffer = bytes.buffer();
  bytes = Slice();
  if (!buffer || !buffer->unique()) return;
  const std::size_t capacity = buffer->capacity();
  if (capacity > options_.batch_bytes || pool_bytes_ + capacity > kPooledBytes) return;
  pool_bytes_ += capacity;
  pool_.push_back(std::move(buffer));
}

void Accumulator::charge(Batch& batch, std::size_t bytes) noexcept {
  used_bytes_ += bytes;
  used_bytes_ -= batch.charged_bytes;
  if (bytes < batch.charged_bytes) ++freed_;
  batch.charged_bytes = bytes;
}

void Accumulator::recharge_open(Batch& batch) {
  if (batch.builder.capacity_bytes() > batch.charged_bytes) charge(batch, batch.builder.capacity_bytes());
}

Result<Accumulator::Place> Accumulator::append_to_new(Partition& partition, const Record& record, TimestampMs timestamp,
                                                      Instant now) {
  if (partition.open != nullptr) close_open(partition);
  const RecordHeaders headers(record.headers);
  const record::NullableBytes key = to_record(record.key);
  const record::NullableBytes value = to_record(record.value);
  const std::size_t bound = record::batch_size_upper_bound(key, value, headers.view());
  if (bound > options_.max_request_bytes) {
    return fail(protocol::kafka_error(ErrorCode::message_too_large, "record of up to " + std::to_string(bound) +
                                                                        " bytes for topic " + partition.topic->name +
                                                                        ", max.request.size is " +
                                                                        std::to_string(options_.max_request_bytes)));
  }
  const std::size_t needed = std::max(options_.batch_bytes, bound);
  if (needed > options_.buffer_bytes && bound > options_.buffer_bytes) {
    return fail(protocol::kafka_error(ErrorCode::message_too_large, "record of up to " + std::to_string(bound) +
                                                                        " bytes for topic " + partition.topic->name +
                                                                        ", buffer.memory is " +
                                                                        std::to_string(options_.buffer_bytes)));
  }
  if (used_bytes_ != 0 && used_bytes_ + needed > options_.buffer_bytes) return fail(Errc::buffer_full);

  detail::DeliveryRef delivery(new detail::DeliveryBatch(partition.topic->origin, partition.index));
  const record::BatchOptions batch_settings = batch_options(*partition.topic);
  auto batch = std::make_unique<Batch>(partition, batch_settings, take_buffer(batch_settings.initial_bytes),
                                       std::move(delivery), now);
  const std::optional<std::int32_t> index = batch->builder.append(timestamp, key, value, headers.view());
  if (!index)
    return fail(protocol::kafka_error(ErrorCode::message_too_large, "record for topic " + partition.topic->name));
  batch->number = next_number_;
  next_number_ += Batch::kNumberStep;
  charge(*batch, std::max(needed, batch->builder.capacity_bytes()));
  partition.open = batch.get();
  by_linger_.push_back(*batch);
  by_age_.push_back(*batch);
  partition.queue.push_back(std::move(batch));
  if (partition.open->builder.is_full()) {
    Batch* full = partition.open;
    close_open(partition);
    return Place{full, 0};
  }
  return Place{partition.open, 0};
}

void Accumulator::close_open(Partition& partition) {
  Batch& batch = *partition.open;
  partition.open = nullptr;
  partition.send_open = false;
  by_linger_.remove(batch);
  batch.record_count = static_cast<std::uint32_t>(batch.builder.record_count());
  std::size_t& typical = partition.topic->typical_bytes;
  typical = std::max(batch.builder.plain_bytes(), typical - typical / 8);
  // Records with keys in the same batch count as well: the choice is about load, not about accounts.
  partition.topic->sticky.batch_closed(partition.index, batch.builder.plain_bytes(), options_.sticky);
  if (options_.compression != compress::Compression::none) {
    Result<Slice> built = batch.builder.build(codecs_);
    if (built) {
      batch.bytes = std::move(*built);
      partition.topic->ratio.observe(batch.builder.compression_ratio());
      charge(batch, batch.bytes.size());
    }
  }
  make_ready(partition);
}

Result<void> Accumulator::seal(Batch& batch, const record::ProducerStamp& stamp) {
  if (batch.bytes.empty()) {
    if (options_.compression != compress::Compression::none)
      return fail(Errc::too_large, "a batch that could not be compressed");
    Result<Slice> built = batch.builder.build(codecs_, stamp);
    KLAMM_TRY(built);
    batch.bytes = std::move(*built);
  } else if (stamp.id != batch.stamp.id || stamp.epoch != batch.stamp.epoch ||
             stamp.base_sequence != batch.stamp.base_sequence) {
    record::patch_producer({batch.bytes.mutable_data(), batch.bytes.size()}, stamp);
  }
  batch.stamp = stamp;
  return {};
}

void Accumulator::note_stalled(BrokerNumber broker, Instant now) {
  if (options_.availability_timeout > 0ns && options_.sticky.adaptive) stalled_since_.try_emplace(broker, now);
}

bool Accumulator::is_left_out(BrokerNumber broker, Instant now) const {
  const auto stalled = stalled_since_.find(broker);
  return stalled != stalled_since_.end() && now - stalled->second > options_.availability_timeout;
}

std::int32_t Accumulator::choose_sticky(Topic& topic, Random& random, Instant now) {
  if (topic.sticky.current() >= 0) return topic.sticky.current();
  loads_.clear();
  for (const std::int32_t index : topic.available) {
    const Partition& partition = *topic.partitions[static_cast<std::size_t>(index)];
    if (is_left_out(partition.leader, now)) continue;
    loads_.push_back({index, static_cast<std::uint32_t>(partition.queue.size())});
  }
  if (loads_.empty()) {  // nobody takes anything: each is as good as the others
    for (const std::int32_t index : topic.available) loads_.push_back({index, 0});
  }
  if (loads_.empty()) {
    for (const auto& partition : topic.partitions) loads_.push_back({partition->index, 0});
  }
  return loads_.empty() ? -1 : topic.sticky.choose(loads_, options_.sticky, random);
}

void Accumulator::make_ready(Partition& partition) {
  if (partition.queued_at_sender) return;
  partition.queued_at_sender = true;
  ready_.push_back(&partition);
}

void Accumulator::flush_open() {
  for (Batch* batch = by_linger_.front(); batch != nullptr; batch = by_linger_.next(*batch)) {
    batch->partition->send_open = true;
    make_ready(*batch->partition);
  }
}

Instant Accumulator::linger_due(Instant now) {
  while (Batch* batch = by_linger_.front()) {
    const Instant due = batch->created_at + options_.linger;
    if (due > now) return due;
    by_linger_.remove(*batch);
    batch->partition->send_open = true;
    make_ready(*batch->partition);
  }
  return Instant::never();
}

// ---- ending ----

void Accumulator::end(Batch& batch) {
  batch.ended = true;
  by_age_.remove(batch);
  by_linger_.remove(batch);
  charge(batch, 0);
  if (!batch.in_flight) give_back(std::move(batch.bytes));
}

std::unique_ptr<Batch> Accumulator::unqueue(Batch& batch) {
  Partition& partition = *batch.partition;
  const auto found = std::find_if(partition.queue.begin(), partition.queue.end(),
                                  [&](const std::unique_ptr<Batch>& queued) { return queued.get() == &batch; });
  if (found == partition.queue.end()) return nullptr;
  if (partition.open == &batch) partition.open = nullptr;
  std::unique_ptr<Batch> taken = std::move(*found);
  partition.queue.erase(found);
  return taken;
}

std::unique_ptr<Batch> Accumulator::make_part(Batch& whole, std::size_t initial_bytes) {
  record::BatchOptions options = batch_options(*whole.partition->topic);
  options.size_limit_bytes = INT32_MAX;
  options.initial_bytes = initial_bytes;
  options.compression_ratio = 1.0f;
  detail::DeliveryRef delivery(new detail::DeliveryBatch(whole.partition->topic->origin, whole.partition->index));
  auto part = std::make_unique<Batch>(*whole.partition, options, Buffer::Ref(), std::move(delivery), whole.created_at);
  part->number = whole.number;
  charge(*part, initial_bytes);
  by_age_.insert_before(IntrusiveList<Batch, &Batch::by_age>::listed(whole) ? &whole : by_age_.front(), *part);
  return part;
}

}  // namespace klamm::client
