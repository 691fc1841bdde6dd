// Fetches of consumers and followers.
#include <algorithm>

#include "broker/replica/partition.h"
#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::kafka_error;

io::Task<Result<void>> Partition::fetch(const FetchAsk& ask, FetchFound& found) {
  Result<void> allowed =
      ask.leader_only ? check_leader(ask.current_leader_epoch) : check_replica(ask.current_leader_epoch);
  KLAMM_CO_TRY(allowed);
  if (ask.is_follower()) {
    const ErrorCode follower = isr_.check_follower(ask.replica, ask.replica_epoch, ask.current_leader_epoch >= 0);
    if (follower != ErrorCode::none) co_return fail(kafka_error(follower));
  }
  storage::Log& log = *log_;
  const std::int64_t log_end = log.log_end_offset();
  found.high_watermark = log.high_watermark();
  found.last_stable_offset = log.last_stable_offset();
  found.log_start_offset = log.log_start_offset();
  if (ask.last_fetched_epoch >= 0) {
    const storage::EpochEnd end = log.end_offset_for_epoch(ask.last_fetched_epoch);
    // Of what begins before the log no history is known.
    if (end.epoch < 0 || ask.offset < found.log_start_offset) {
      co_return fail(kafka_error(ErrorCode::offset_out_of_range));
    }
    if (end.epoch < ask.last_fetched_epoch || end.end_offset < ask.offset) {
      found.diverging = end;
      co_return Result<void>();
    }
  }
  storage::ReadRequest request;
  request.offset = ask.offset;
  request.max_bytes = ask.max_bytes;
  request.isolation = ask.isolation;
  request.min_one_batch = ask.min_one_batch;
  Result<storage::FetchData> data = co_await log.read(request);
  KLAMM_CO_TRY(data);
  found.data = std::move(*data);
  if (!ask.is_follower() || !ask.first_look) co_return Result<void>();
  FetchAsk counted = ask;
  if (found.data.size_bytes == 0 && ask.offset < log_end) {
    const bool hole = co_await is_hole(ask.offset, log_end);
    if (hole) counted.offset = log_end;
  }
  // Leadership may have gone while the disk was read.
  allowed = check_leader(ask.current_leader_epoch);
  KLAMM_CO_TRY(allowed);
  follower_fetched(counted, log_end);
  found.high_watermark = log.high_watermark();
  co_return Result<void>();
}

// Compaction may have left nothing from there to the end: who has come so far has all there is.
io::Task<bool> Partition::is_hole(std::int64_t offset, std::int64_t log_end) {
  const std::vector<storage::SegmentInfo> all = log_->segments();
  if (all.empty() || all.back().size_bytes > 0) co_return false;
  const std::vector<std::shared_ptr<storage::Segment>> between = log_->segments_between(offset, log_end);
  for (const std::shared_ptr<storage::Segment>& segment : between) {
    Result<std::optional<storage::PlacedBatch>> found = co_await segment->find(offset);
    if (!found || found->has_value()) co_return false;
  }
  co_return log_->log_end_offset() == log_end;
}

// As Kafka's RackAwareReplicaSelector: among the in-sync replicas of the rack that have the offset, the leader, or else
// the one that has most, or was caught up last.
std::optional<std::int32_t> Partition::nearest_replica(std::string_view rack, std::int64_t offset,
                                                       const Racks& racks) const {
  if (rack.empty() || !is_leader() || isr_.followers().empty()) return std::nullopt;
  if (racks(context_.broker_id) == rack) return std::nullopt;
  const LeaderIsr::Follower* best = nullptr;
  for (const LeaderIsr::Follower& follower : isr_.followers()) {
    if (!isr_.in_isr(follower.id) || follower.log_end_offset < offset || follower.log_start_offset > offset) continue;
    if (racks(follower.id) != rack) continue;
    const auto rank = [](const LeaderIsr::Follower& each) {
      return std::make_tuple(each.log_end_offset, each.caught_up.value_or(Instant()), -each.id);
    };
    if (best == nullptr || rank(follower) > rank(*best)) best = &follower;
  }
  if (best == nullptr) return std::nullopt;
  return best->id;
}

}  // namespace klamm::replica
