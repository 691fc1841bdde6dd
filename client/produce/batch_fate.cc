#include "client/produce/batch_fate.h"

#include <algorithm>

#include "protocol/record/batch.h"
#include "protocol/record/record.h"

namespace klamm::client {
namespace {

// Of retry.backoff.ms: the first wait for a broker that is about to know that it leads.
constexpr int kSoonDivisor = 10;

}  // namespace

BatchFate::BatchFate(io::Shard& shard, Cluster& cluster, Accumulator& accumulator, const SenderOptions& options,
                     const Logger& log)
    : shard_(shard),
      cluster_(cluster),
      accumulator_(accumulator),
      options_(options),
      log_(log),
      backoff_(options.retry_backoff, options.retry_backoff_max),
      soon_(options.retry_backoff / kSoonDivisor, options.retry_backoff) {}

void BatchFate::landed(Batch& batch) {
  batch.in_flight = false;
  --batch.partition->in_flight;
}

void BatchFate::answered(std::unique_ptr<Batch> batch, const PartitionAnswer& answer) {
  const Partition& partition = *batch->partition;
  if (answer.error == ErrorCode::none) return succeed(std::move(batch), answer.base_offset, answer.log_append_time);
  if (answer.error == ErrorCode::duplicate_sequence_number) return succeed(std::move(batch), -1, kNoTimestamp);
  Error error =
      protocol::kafka_error(answer.error, "batch for " + partition.topic->name + "-" + std::to_string(partition.index) +
                                              (answer.message.empty() ? "" : ": " + answer.message));
  if (answer.error == ErrorCode::message_too_large && !batch->ended && batch->record_count > 1 && split(batch)) return;
  if (options_.idempotent && is_lost_sequence(*batch, answer.error)) {
    return retry(std::move(batch), std::move(error), Wait::none);
  }
  if (!error.retriable()) return give_up(std::move(batch), std::move(error));
  if (protocol::needs_metadata(answer.error) && !answer.leader_known) cluster_.request_update();
  const Wait wait = answer.leader_known ? Wait::none : answer.too_soon ? Wait::little : Wait::backoff;
  retry(std::move(batch), std::move(error), wait);
}

// True if the leader knows other sequences of this producer than the batch has, or none. What must be mended is noted
// in the partition.
bool BatchFate::is_lost_sequence(Batch& batch, ErrorCode error) {
  Partition& partition = *batch.partition;
  switch (error) {
    case ErrorCode::out_of_order_sequence_number:
      // Behind an earlier batch that must be repeated first it is to be expected. Else the broker lost its state.
      if (!partition.sequenced.empty() && partition.sequenced.front() == &batch) partition.needs_reset = true;
      return true;
    case ErrorCode::invalid_producer_epoch:
    case ErrorCode::invalid_producer_id_mapping: partition.needs_new_id = true; [[fallthrough]];
    case ErrorCode::unknown_producer_id: partition.needs_reset = true; return true;
    default: return false;
  }
}

void BatchFate::report(Batch& batch, std::int64_t base_offset, TimestampMs log_append_time,
                       std::optional<Error> error) {
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

void BatchFate::forget_sequence(Batch& batch) {
  std::vector<Batch*>& sequenced = batch.partition->sequenced;
  const auto found = std::find(sequenced.begin(), sequenced.end(), &batch);
  if (found != sequenced.end()) sequenced.erase(found);
}

void BatchFate::succeed(std::unique_ptr<Batch> batch, std::int64_t base_offset, TimestampMs log_append_time) {
  Partition& partition = *batch->partition;
  partition.established_on = batch->sent_over;
  forget_sequence(*batch);
  if (!batch->ended) {
    report(*batch, base_offset, log_append_time, std::nullopt);
    accumulator_.end(*batch);
  }
  if (!partition.queue.empty()) accumulator_.make_ready(partition);
}

void BatchFate::give_up(std::unique_ptr<Batch> batch, Error reason) {
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

void BatchFate::end_anywhere(Batch& batch, Error reason) {
  if (&batch == batch.partition->open) accumulator_.close_open(*batch.partition);
  if (std::unique_ptr<Batch> queued = accumulator_.unqueue(batch)) return give_up(std::move(queued), std::move(reason));
  report(batch, -1, kNoTimestamp, std::move(reason));
  accumulator_.end(batch);
}

void BatchFate::retry(std::unique_ptr<Batch> batch, Error reason, Wait wait) {
  if (batch->ended || batch->attempts > options_.retries || closed_)
    return give_up(std::move(batch), std::move(reason));
  Partition& partition = *batch->partition;
  ++counts_.batches_retried;
  log_.debug("{}-{}: batch of {} records will be sent again: {}", partition.topic->name, partition.index,
             batch->record_count, reason.message());
  if (wait != Wait::none) {
    const rpc::Backoff& backoff = wait == Wait::little ? soon_ : backoff_;
    const Duration pause = backoff.after(batch->attempts - 1, shard_.random());
    partition.not_before = std::max(partition.not_before, shard_.now() + pause);
  }
  requeue(std::move(batch));
  accumulator_.make_ready(partition);
}

// Back in front of what was never sent, in the order of the numbers that batches were given.
void BatchFate::requeue(std::unique_ptr<Batch> batch) {
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
bool BatchFate::split(std::unique_ptr<Batch>& batch) {
  Parts parts = halves(*batch);
  if (parts.empty()) return false;
  Partition& partition = *batch->partition;
  partition.topic->ratio.reset();
  ++counts_.batches_split;
  log_.info("{}-{}: batch of {} records ({} bytes) is too large for the broker, split in two", partition.topic->name,
            partition.index, batch->record_count, batch->bytes.size());
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
  std::vector<Batch*>& sequenced = partition.sequenced;
  const auto place = std::find(sequenced.begin(), sequenced.end(), batch.get());
  if (place != sequenced.end()) {
    const auto at = sequenced.erase(place);
    sequenced.insert(at, replacing.begin(), replacing.end());
  }
  for (auto& part : parts) requeue(std::move(part));
  accumulator_.end(*batch);
  batch.reset();
  accumulator_.make_ready(partition);
  return true;
}

// Two batches with the records of this one, not in any queue; none if its records cannot be read.
BatchFate::Parts BatchFate::halves(Batch& batch) {
  Result<record::BatchView> view = record::BatchView::parse(batch.bytes);
  if (!view) return {};
  Result<Slice> plain = record::plain_records(*view, accumulator_.codecs(), INT32_MAX);
  if (!plain) return {};
  constexpr std::size_t kSpareBytes = 1024;
  const std::uint32_t half = (batch.record_count + 1) / 2;
  Parts parts;
  record::RecordIterator records(*view, plain->bytes());
  bool whole = true;
  std::uint32_t index = 0;
  for (record::RecordView record; whole && records.next(record); ++index) {
    if (index == 0 || index == half) parts.push_back(accumulator_.make_part(batch, plain->size() / 2 + kSpareBytes));
    whole = parts.back()->builder.append(record).has_value();
  }
  if (whole && records.status() && parts.size() == 2) return parts;
  for (auto& part : parts) accumulator_.end(*part);
  return {};
}

}  // namespace klamm::client
