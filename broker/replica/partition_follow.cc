// What a follower does with its log. Every step holds changing_, so that no role begins while one is under way.
#include <algorithm>

#include "broker/replica/partition.h"
#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::kafka_error;

Partition::Position Partition::position() const {
  return {log_->log_end_offset(), log_->leader_epochs().latest().value_or(-1), log_->log_start_offset()};
}

Result<void> Partition::check_following(std::int32_t leader_epoch) const {
  if (lost_) return fail(kafka_error(ErrorCode::kafka_storage_error));
  if (!follows(leader_epoch)) return fail(kafka_error(ErrorCode::fenced_leader_epoch));
  return {};
}

io::Task<Result<void>> Partition::begin_following(std::int32_t leader_epoch) {
  co_await changing_.lock();
  Result<void> begun = check_following(leader_epoch);
  if (begun && log_->leader_epochs().empty() && log_->log_end_offset() > log_->high_watermark()) {
    Result<bool> cut = co_await log_->truncate_to(log_->high_watermark());
    if (!cut) begun = fail(std::move(cut).error());
  }
  if (begun && log_->config().flush_messages == 1) begun = co_await log_->flush();
  changing_.unlock();
  co_return begun;
}

io::Task<Result<storage::AppendInfo>> Partition::append_fetched(Fetched fetched, std::int32_t leader_epoch) {
  co_await changing_.lock();
  Result<storage::AppendInfo> info;
  Result<void> following = check_following(leader_epoch);
  if (following) {
    info = co_await append_fetched_locked(std::move(fetched), leader_epoch);
  } else {
    info = fail(std::move(following).error());
  }
  changing_.unlock();
  co_return info;
}

io::Task<Result<storage::AppendInfo>> Partition::append_fetched_locked(Fetched fetched, std::int32_t leader_epoch) {
  storage::AppendInfo info;
  if (log_->log_end_offset() != fetched.offset) co_return info;
  if (!fetched.records.empty()) {
    const std::optional<storage::BatchSummary> first = storage::BatchSummary::parse(fetched.records.bytes());
    if (first && first->base_offset < fetched.offset && first->last_offset >= fetched.offset &&
        log_->log_start_offset() == fetched.offset) {
      // The leader's log starts inside a batch: the whole of it is kept, and the log starts where it did.
      Result<void> placed = co_await log_->truncate_fully_and_start_at(first->base_offset, fetched.offset);
      KLAMM_CO_TRY(placed);
    }
    Result<storage::AppendInfo> appended = co_await log_->append_as_follower(std::move(fetched.records), leader_epoch);
    KLAMM_CO_TRY(appended);
    info = *appended;
  }
  follow_high_watermark(fetched.high_watermark);
  const std::int64_t start = std::min(fetched.log_start_offset, log_->high_watermark());
  if (start > log_->log_start_offset()) {
    Result<bool> raised = co_await log_->increment_log_start(start);
    KLAMM_CO_TRY(raised);
    if (*raised) high_watermark_moved();
  }
  co_return info;
}

// It never goes back but by truncation: what one leader has called committed the next one has too.
void Partition::follow_high_watermark(std::int64_t leaders) {
  const std::int64_t before = log_->high_watermark();
  const std::int64_t mark = std::min(leaders, log_->log_end_offset());
  if (mark > before && log_->set_high_watermark(mark) != before) high_watermark_moved();
}

io::Task<Result<bool>> Partition::truncate_to(storage::EpochEnd diverging, std::int32_t leader_epoch) {
  co_await changing_.lock();
  Result<bool> cut;
  Result<void> following = check_following(leader_epoch);
  if (following) {
    cut = co_await truncate_locked(diverging);
  } else {
    cut = fail(std::move(following).error());
  }
  changing_.unlock();
  co_return cut;
}

io::Task<Result<bool>> Partition::truncate_locked(storage::EpochEnd diverging) {
  const std::int64_t log_end = log_->log_end_offset();
  const std::optional<std::int32_t> latest = log_->leader_epochs().latest();
  // The leader's epoch may be one that this log has never seen: then all above its own epoch below that is in doubt,
  // and the next fetch tells on.
  const storage::EpochEnd own = log_->end_offset_for_epoch(diverging.epoch);
  std::int64_t end = std::min(diverging.end_offset, log_end);
  if (own.epoch == diverging.epoch) {
    end = std::min(end, own.end_offset);
  } else if (own.epoch >= 0) {
    end = std::min(own.end_offset, log_end);
  }
  Result<bool> cut = co_await log_->truncate_to(end);
  KLAMM_CO_TRY(cut);
  co_return log_->log_end_offset() != log_end || log_->leader_epochs().latest() != latest;
}

io::Task<Result<void>> Partition::fit_into(std::int64_t leader_start, std::int64_t leader_end,
                                           std::int32_t leader_epoch) {
  co_await changing_.lock();
  Result<void> fitted = check_following(leader_epoch);
  if (fitted) fitted = co_await fit_into_locked(leader_start, leader_end);
  changing_.unlock();
  co_return fitted;
}

io::Task<Result<void>> Partition::fit_into_locked(std::int64_t leader_start, std::int64_t leader_end) {
  const std::int64_t log_end = log_->log_end_offset();
  if (leader_end < log_end) {
    Result<bool> cut = co_await log_->truncate_to(leader_end);
    KLAMM_CO_TRY(cut);
  }
  if (leader_start > log_->log_end_offset()) {
    Result<void> emptied = co_await log_->truncate_fully_and_start_at(leader_start);
    KLAMM_CO_TRY(emptied);
    high_watermark_moved();
  }
  co_return Result<void>();
}

}  // namespace klamm::replica
