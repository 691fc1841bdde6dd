#include "broker/replica/partition.h"

#include <algorithm>

#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::kafka_error;

Partition::Partition(io::Shard& shard, std::int32_t broker_id, Uuid topic_id, std::shared_ptr<storage::Log> log)
    : broker_id_(broker_id), topic_id_(topic_id), log_(std::move(log)), high_watermark_moved_(shard), unused_(shard) {}

Partition::~Partition() { KLAMM_CHECK(listeners_.empty(), "partition destroyed while fetches listen"); }

io::Task<Result<void>> Partition::apply(PartitionState state) {
  if (lost_) co_return fail(kafka_error(ErrorCode::kafka_storage_error));
  const bool new_epoch = state.leader_epoch > state_.leader_epoch;
  const bool was_leader = is_leader();
  state_ = std::move(state);
  Result<void> noted;
  if (is_leader() && new_epoch) noted = co_await log_->begin_epoch(state_.leader_epoch);
  // Though the note could not be written (a full disk): it is with the next flush, and records tell their epoch too.
  advance_high_watermark(log_->log_end_offset());
  if (was_leader != is_leader() || new_epoch) moved();
  co_return noted;
}

io::Task<void> Partition::retire() {
  retired_ = true;
  moved();
  while (leases_ > 0) co_await unused_.wait();
}

void Partition::lose_log() {
  lost_ = true;
  moved();
}

Result<void> Partition::check_leader(std::int32_t current_leader_epoch) const {
  if (lost_) return fail(kafka_error(ErrorCode::kafka_storage_error));
  if (retired_ || !is_leader()) return fail(kafka_error(ErrorCode::not_leader_or_follower));
  if (current_leader_epoch >= 0 && current_leader_epoch < state_.leader_epoch) {
    return fail(kafka_error(ErrorCode::fenced_leader_epoch));
  }
  if (current_leader_epoch > state_.leader_epoch) return fail(kafka_error(ErrorCode::unknown_leader_epoch));
  if (log_->failed()) return fail(kafka_error(ErrorCode::kafka_storage_error));
  return {};
}

io::Task<Result<storage::AppendInfo>> Partition::append(storage::LeaderAppend append, bool all_replicas) {
  Result<void> leader = check_leader(-1);
  KLAMM_CO_TRY(leader);
  const auto min_isr =
      std::min<std::size_t>(static_cast<std::size_t>(log_->config().min_insync_replicas), state_.replicas.size());
  if (all_replicas && state_.isr.size() < min_isr) {
    co_return fail(kafka_error(ErrorCode::not_enough_replicas, "the ISR has " + std::to_string(state_.isr.size()) +
                                                                   " members, min.insync.replicas asks for " +
                                                                   std::to_string(min_isr)));
  }
  append.leader_epoch = state_.leader_epoch;
  Result<storage::AppendInfo> info = co_await log_->append_as_leader(std::move(append));
  if (info && info->wait_flushed) {
    // flush.messages: nobody may read, and no acknowledgement may go out for, what a power loss could take back.
    Result<void> durable = co_await log_->flushed(info->last_offset + 1);
    KLAMM_CO_TRY(durable);
  }
  if (info && !info->duplicate && !lost_)
    advance_high_watermark(info->wait_flushed ? info->last_offset + 1 : log_->log_end_offset());
  co_return info;
}

io::Task<Result<void>> Partition::committed(std::int64_t offset, Instant deadline) {
  const std::int32_t epoch = state_.leader_epoch;
  while (!lost_ && log_->high_watermark() < offset) {
    if (retired_ || state_.leader_epoch != epoch) co_return fail(kafka_error(ErrorCode::not_leader_or_follower));
    const bool in_time = co_await high_watermark_moved_.wait_until(deadline);
    if (!in_time) co_return fail(kafka_error(ErrorCode::request_timed_out));
  }
  if (lost_) co_return fail(kafka_error(ErrorCode::kafka_storage_error));
  if (retired_) co_return fail(kafka_error(ErrorCode::not_leader_or_follower));
  co_return Result<void>();
}

io::Task<Result<std::int64_t>> Partition::delete_records_before(std::int64_t offset) {
  Result<void> leader = check_leader(-1);
  KLAMM_CO_TRY(leader);
  if (!log_->config().cleanup_delete) {
    co_return fail(
        kafka_error(ErrorCode::policy_violation, "records of a topic without cleanup.policy=delete cannot be deleted"));
  }
  const std::int64_t target = offset == -1 ? log_->high_watermark() : offset;
  if (target < 0) co_return fail(kafka_error(ErrorCode::offset_out_of_range));
  Result<bool> raised = co_await log_->increment_log_start(target);
  KLAMM_CO_TRY(raised);
  if (*raised) moved();
  co_return log_->log_start_offset();
}

void Partition::unlisten(MoveListener& listener) { std::erase(listeners_, &listener); }

// With this broker as the only in-sync replica everything up to `end` is committed.
void Partition::advance_high_watermark(std::int64_t end) {
  if (!is_leader() || state_.isr.size() != 1) return;
  const std::int64_t before = log_->high_watermark();
  if (end > before && log_->set_high_watermark(end) != before) moved();
}

void Partition::moved() {
  ++moves_;
  high_watermark_moved_.notify_all();
  const std::vector<MoveListener*> told = listeners_;  // a listener may leave while it is told
  for (MoveListener* listener : told) {
    if (std::find(listeners_.begin(), listeners_.end(), listener) != listeners_.end()) listener->partition_moved();
  }
}

}  // namespace klamm::replica
