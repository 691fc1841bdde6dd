// The role, and what the leader does. Reading is in partition_read.cc, following in partition_follow.cc.
#include "broker/replica/partition.h"

#include <algorithm>

#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::kafka_error;

Partition::Partition(const PartitionContext& context, Uuid topic_id, std::shared_ptr<storage::Log> log)
    : context_(context),
      topic_id_(topic_id),
      log_(std::move(log)),
      isr_(context.broker_id, context.brokers, context.max_lag),
      appended_(context.shard),
      changing_(context.shard),
      high_watermark_moved_(context.shard),
      log_start_moved_(context.shard),
      unused_(context.shard) {}

Partition::~Partition() {
  KLAMM_CHECK(listeners_.empty() && end_listeners_.empty(), "partition destroyed while fetches listen");
}

// ---- The role

io::Task<Result<void>> Partition::apply(PartitionState state) {
  if (lost_) co_return fail(kafka_error(ErrorCode::kafka_storage_error));
  co_await changing_.lock();
  Result<void> applied;
  // The answer to a proposal may have told before what the metadata says now; the assignment it does not tell.
  if (state.partition_epoch >= state_.partition_epoch) applied = co_await apply_locked(std::move(state));
  changing_.unlock();
  co_return applied;
}

io::Task<Result<void>> Partition::apply_locked(PartitionState state) {
  const bool new_epoch = state.leader_epoch > state_.leader_epoch;
  const bool was_leader = is_leader();
  state_ = std::move(state);
  if (!was_leader) own_end_ = 0;
  Result<void> led;
  if (is_leader()) {
    isr_.lead({state_.replicas, state_.isr, state_.leader_epoch, state_.partition_epoch}, context_.shard.now(),
              log_->log_end_offset());
    if (!was_leader || new_epoch) led = co_await begin_leading(new_epoch);
    advance_high_watermark();
  } else if (was_leader) {
    isr_.resign();
    // Those that have begun belong to the epoch that has ended: what the new leader has comes behind them, or instead.
    while (appending_ > 0) co_await appended_.wait();
  }
  if (was_leader != is_leader() || new_epoch) role_changed();
  co_return led;
}

io::Task<Result<void>> Partition::begin_leading(bool new_epoch) {
  Result<void> noted;
  if (new_epoch) noted = co_await log_->begin_epoch(state_.leader_epoch);
  KLAMM_CO_TRY(noted);
  const std::vector<storage::EpochEntry>& epochs = log_->leader_epochs().entries();
  epoch_start_ = epochs.empty() ? log_->log_end_offset() : epochs.back().start_offset;
  isr_.begin_at(epoch_start_);
  const std::int64_t end = log_->log_end_offset();
  if (log_->config().flush_messages == 1) {
    Result<void> durable = co_await log_->flushed(end);
    if (!durable) co_return noted;  // the log has reported it; nothing counts as held
  }
  own_end_ = end;
  co_return noted;
}

io::Task<void> Partition::retire() {
  retired_ = true;
  role_changed();
  while (leases_ > 0) co_await unused_.wait();
}

void Partition::lose_log() {
  lost_ = true;
  role_changed();
}

Result<void> Partition::check_leader(std::int32_t current_leader_epoch) const {
  if (!lost_ && !is_leader()) return fail(kafka_error(ErrorCode::not_leader_or_follower));
  return check_replica(current_leader_epoch);
}

Result<void> Partition::check_replica(std::int32_t current_leader_epoch) const {
  if (lost_) return fail(kafka_error(ErrorCode::kafka_storage_error));
  if (retired_) return fail(kafka_error(ErrorCode::not_leader_or_follower));
  if (current_leader_epoch >= 0 && current_leader_epoch < state_.leader_epoch) {
    return fail(kafka_error(ErrorCode::fenced_leader_epoch));
  }
  if (current_leader_epoch > state_.leader_epoch) return fail(kafka_error(ErrorCode::unknown_leader_epoch));
  if (log_->failed()) return fail(kafka_error(ErrorCode::kafka_storage_error));
  return {};
}

// ---- Writing

std::size_t Partition::min_isr() const {
  return std::min<std::size_t>(static_cast<std::size_t>(log_->config().min_insync_replicas), state_.replicas.size());
}

io::Task<Result<storage::AppendInfo>> Partition::append(storage::LeaderAppend append, bool all_replicas) {
  Result<void> leader = check_leader(-1);
  KLAMM_CO_TRY(leader);
  if (all_replicas && state_.isr.size() < min_isr()) {
    co_return fail(kafka_error(ErrorCode::not_enough_replicas, "the ISR has " + std::to_string(state_.isr.size()) +
                                                                   " members, min.insync.replicas asks for " +
                                                                   std::to_string(min_isr())));
  }
  append.leader_epoch = state_.leader_epoch;
  ++appending_;
  Result<storage::AppendInfo> info = co_await log_->append_as_leader(std::move(append));
  if (--appending_ == 0 && appended_.has_waiters()) appended_.notify_all();
  if (!info || info->duplicate || lost_ || !is_leader()) co_return info;
  end_moved();
  // flush.messages: nobody may read what a power loss could take back.
  if (!info->wait_flushed) {
    own_end_ = std::max(own_end_, log_->log_end_offset());
    advance_high_watermark();
  }
  co_return info;
}

io::Task<Result<void>> Partition::settled(storage::AppendInfo info, bool all_replicas, Instant deadline) {
  if (info.wait_flushed) {
    Result<void> durable = co_await log_->flushed(info.last_offset + 1);
    KLAMM_CO_TRY(durable);
    if (is_leader() && is_still_there(info)) {
      own_end_ = std::max(own_end_, info.last_offset + 1);
      advance_high_watermark();
    }
  }
  if (!all_replicas) co_return Result<void>();
  Result<void> done = co_await committed(info, deadline);
  co_return done;
}

io::Task<Result<void>> Partition::committed(storage::AppendInfo info, Instant deadline) {
  while (!lost_ && !retired_ && is_leader() && log_->high_watermark() <= info.last_offset) {
    const bool in_time = co_await high_watermark_moved_.wait_until(deadline);
    if (!in_time) co_return fail(kafka_error(ErrorCode::request_timed_out));
  }
  if (lost_) co_return fail(kafka_error(ErrorCode::kafka_storage_error));
  if (retired_ || !is_leader() || !is_still_there(info)) {
    co_return fail(kafka_error(ErrorCode::not_leader_or_follower));
  }
  if (isr_.maximal_isr_size() < min_isr()) co_return fail(kafka_error(ErrorCode::not_enough_replicas_after_append));
  co_return Result<void>();
}

// Leadership may have gone and come back meanwhile: what another leader has put in the place has a later epoch.
bool Partition::is_still_there(const storage::AppendInfo& info) const {
  return log_->log_end_offset() > info.last_offset &&
         log_->leader_epochs().epoch_at(info.last_offset).value_or(-1) <= info.leader_epoch;
}

io::Task<Result<std::int64_t>> Partition::delete_records_before(std::int64_t offset, Instant deadline) {
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
  if (*raised) {
    end_moved();  // followers learn it from what they are answered
    high_watermark_moved();
  }
  while (lowest_log_start() < target) {
    const bool in_time = co_await log_start_moved_.wait_until(deadline);
    leader = check_leader(-1);
    KLAMM_CO_TRY(leader);
    if (!in_time && lowest_log_start() < target) co_return fail(kafka_error(ErrorCode::request_timed_out));
  }
  co_return lowest_log_start();
}

// Replicas whose broker is not there are left out: they learn it when they come back.
std::int64_t Partition::lowest_log_start() const {
  std::int64_t lowest = log_->log_start_offset();
  for (const LeaderIsr::Follower& follower : isr_.followers()) {
    const auto life = context_.brokers.find(follower.id);
    if (life == context_.brokers.end() || life->second.fenced) continue;
    lowest = std::min(lowest, follower.log_start_offset);
  }
  return lowest;
}

// ---- ISR and high watermark

void Partition::follower_fetched(const FetchAsk& ask, std::int64_t log_end) {
  const bool moved =
      isr_.fetched(ask.replica, ask.offset, ask.log_start_offset, ask.replica_epoch, log_end, context_.shard.now());
  if (log_start_moved_.has_waiters()) log_start_moved_.notify_all();
  if (context_.propose) {
    const std::optional<IsrProposal> growth = isr_.propose_growth(ask.replica, log_->high_watermark());
    if (growth) context_.propose(*this, *growth);
  }
  if (moved) advance_high_watermark();
}

void Partition::review_followers() {
  if (!is_leader() || retired_ || lost_ || isr_.followers().empty()) return;
  if (context_.propose) {
    const std::optional<IsrProposal> shrunk = isr_.propose_shrink(log_->log_end_offset(), context_.shard.now());
    if (shrunk) context_.propose(*this, *shrunk);
  }
  advance_high_watermark();
  if (log_start_moved_.has_waiters()) log_start_moved_.notify_all();
}

bool Partition::isr_answered(std::uint64_t number, const IsrAnswer& answer) {
  if (retired_ || lost_ || !is_leader()) return true;
  switch (isr_.answered(number, answer)) {
    case LeaderIsr::After::nothing:
    case LeaderIsr::After::wait: return true;
    case LeaderIsr::After::retry: return false;
    case LeaderIsr::After::changed: break;
  }
  state_.isr = isr_.isr();
  state_.partition_epoch = isr_.partition_epoch();
  advance_high_watermark();
  return true;
}

// Monotonic, and not while too few replicas would hold what is committed (KIP-966).
void Partition::advance_high_watermark() {
  if (!is_leader() || lost_) return;
  std::int64_t end = own_end_;
  if (!isr_.followers().empty()) {
    if (state_.isr.size() < min_isr()) return;
    end = isr_.committed_end(own_end_, log_->log_end_offset(), context_.shard.now());
  }
  const std::int64_t before = log_->high_watermark();
  if (end > before && log_->set_high_watermark(end) != before) high_watermark_moved();
}

// ---- Waiters

void Partition::tell(Move move) {
  if (listeners(move).empty()) return;
  const std::vector<MoveListener*> told = listeners(move);  // a listener may leave while it is told
  for (MoveListener* listener : told) {
    const std::vector<MoveListener*>& still = listeners(move);
    if (std::find(still.begin(), still.end(), listener) != still.end()) listener->partition_moved();
  }
}

void Partition::unlisten(MoveListener& listener, Move move) { std::erase(listeners(move), &listener); }

void Partition::end_moved() {
  ++end_moves_;
  tell(Move::log_end);
}

void Partition::high_watermark_moved() {
  ++moves_;
  high_watermark_moved_.notify_all();
  tell(Move::high_watermark);
}

void Partition::role_changed() {
  log_start_moved_.notify_all();
  end_moved();
  high_watermark_moved();
}

}  // namespace klamm::replica
