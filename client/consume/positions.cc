// The part of ConsumerCore that finds positions and checks that logs were not cut off below them.
#include <algorithm>

#include "client/consume/consumer_core.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"
#include "protocol/messages/offset_for_leader_epoch_request.h"
#include "protocol/messages/offset_for_leader_epoch_response.h"

namespace klamm::client {

using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::OffsetForLeaderEpochRequest;
using protocol::OffsetForLeaderEpochResponse;

namespace {

// A partition about which a broker was asked, and what it was asked for.
struct Asked {
  AssignedRef partition;
  std::uint64_t generation;
  bool current() const { return !partition->revoked && partition->generation == generation; }
};
using AskedMap = std::map<TopicPartition, Asked>;

AskedMap remember(const std::vector<AssignedRef>& partitions) {
  AskedMap asked;
  for (const AssignedRef& partition : partitions) asked[partition->partition] = {partition, partition->generation};
  return asked;
}

}  // namespace

// By auto.offset.reset.
void ConsumerCore::need_offset(Assigned& partition) {
  switch (settings_.auto_offset_reset.kind) {
    case OffsetReset::Kind::earliest: return partition.need_lookup(kEarliest);
    case OffsetReset::Kind::latest: return partition.need_lookup(kLatest);
    case OffsetReset::Kind::by_duration:
      return partition.need_lookup(
          std::max<std::int64_t>(0, shard_.wall_ms() - settings_.auto_offset_reset.duration_ms));
    case OffsetReset::Kind::none: break;
  }
  partition.need_lookup(kLatest);
  fail_partition(partition, Error(Errc::not_found, "no offset to begin at, and auto.offset.reset is none"));
}

io::Task<Result<std::int64_t>> ConsumerCore::await_position(TopicPartition partition) {
  const std::shared_ptr<ConsumerCore> alive = shared_from_this();
  const Duration timeout = milliseconds(settings_.default_api_timeout_ms);
  const Instant deadline = shard_.now() + timeout;
  for (;;) {
    if (stopped_) co_return fail(Errc::cancelled, "the consumer was closed");
    Result<Assigned*> found = must_find(partition);
    KLAMM_CO_TRY(found);
    if ((*found)->error) co_return fail(*(*found)->error);
    if ((*found)->has_position) co_return (*found)->position.offset;
    if (const Error* fatal = cluster_.fatal_error()) co_return fail(*fatal);
    const bool in_time = co_await positions_.wait_until(deadline);
    if (!in_time) {
      co_return fail(not_known_in_time("position of " + partition.text(), timeout,
                                       lookup_error_ ? lookup_error_ : cluster_.update_error()));
    }
  }
}

io::Task<void> ConsumerCore::look_up(BrokerNumber broker, std::vector<AssignedRef> partitions) {
  const AskedMap asked = remember(partitions);
  ListOffsetsRequest request;
  request.replica_id = -1;
  request.isolation_level = static_cast<std::int8_t>(settings_.isolation_level);
  request.timeout_ms = settings_.common.request_timeout_ms;
  for (const auto& [key, entry] : asked) {
    entry.partition->lookup_running = true;
    if (request.topics.empty() || request.topics.back().name != key.topic)
      request.topics.emplace_back().name = key.topic;
    auto& one = request.topics.back().partitions.emplace_back();
    one.partition_index = key.partition;
    one.current_leader_epoch = entry.partition->leader_epoch;
    one.timestamp = entry.partition->lookup;
  }
  Result<ListOffsetsResponse> response = co_await cluster_.call(broker, std::move(request));
  if (stopped_) co_return;
  for (const auto& [key, entry] : asked) {
    if (entry.current()) entry.partition->lookup_running = false;
  }
  lookup_error_ = response ? std::nullopt : std::optional(response.error());
  if (!response) {
    cluster_.request_update();
    for (const auto& [key, entry] : asked) {
      if (!entry.current()) continue;
      if (response.error().retriable()) {
        back_off(*entry.partition);
      } else {
        fail_partition(*entry.partition, response.error());
      }
    }
    co_return;
  }
  for (const auto& topic : response->topics) {
    for (const auto& one : topic.partitions) {
      const auto entry = asked.find({topic.name, one.partition_index});
      if (entry == asked.end() || !entry->second.current()) continue;
      take_looked_up(*entry->second.partition, protocol::error_code_from(one.error_code),
                     {one.offset, one.timestamp, one.leader_epoch});
    }
  }
  wake();
}

void ConsumerCore::take_looked_up(Assigned& partition, ErrorCode code, const FoundOffset& found) {
  if (code != ErrorCode::none) {
    if (!protocol::retriable(code)) return fail_partition(partition, protocol::kafka_error(code, "offset lookup"));
    cluster_.request_update();
    return back_off(partition);
  }
  if (found.offset < 0) {  // no record is that young
    if (partition.lookup >= 0) return partition.need_lookup(kLatest);
    return back_off(partition);
  }
  log_.debug("{} begins at offset {}", partition.partition.text(), found.offset);
  partition.set_position(found.offset, found.leader_epoch);
  // The leader has just told us: nothing to check.
  partition.validated_epoch = partition.leader_epoch;
  positions_.notify_all();
}

io::Task<void> ConsumerCore::validate(BrokerNumber broker, std::vector<AssignedRef> partitions) {
  const AskedMap asked = remember(partitions);
  struct Question {
    std::int32_t leader_epoch;
    std::int32_t fetch_epoch;
    std::int64_t fetch_offset;
  };
  std::map<TopicPartition, Question> questions;
  OffsetForLeaderEpochRequest request;
  request.replica_id = -1;
  for (const auto& [key, entry] : asked) {
    entry.partition->validating = true;
    questions[key] = {entry.partition->leader_epoch, entry.partition->fetch_epoch, entry.partition->fetch_offset};
    if (request.topics.empty() || request.topics.back().topic != key.topic)
      request.topics.emplace_back().topic = key.topic;
    auto& one = request.topics.back().partitions.emplace_back();
    one.partition = key.partition;
    one.current_leader_epoch = entry.partition->leader_epoch;
    one.leader_epoch = entry.partition->fetch_epoch;
  }
  Result<OffsetForLeaderEpochResponse> response = co_await cluster_.call(broker, std::move(request));
  if (stopped_) co_return;
  for (const auto& [key, entry] : asked) {
    if (entry.current()) entry.partition->validating = false;
  }
  if (!response) {
    // Brokers that do not serve it cannot tell: go on as if all was well.
    const bool not_served = protocol::code_of(response.error()) == ErrorCode::unsupported_version;
    if (!not_served) cluster_.request_update();
    for (const auto& [key, entry] : asked) {
      if (!entry.current()) continue;
      if (not_served) {
        entry.partition->validated_epoch = questions.at(key).leader_epoch;
      } else {
        back_off(*entry.partition);
      }
    }
    wake();
    co_return;
  }
  for (const auto& topic : response->topics) {
    for (const auto& one : topic.partitions) {
      const auto entry = asked.find({topic.topic, one.partition});
      if (entry == asked.end() || !entry->second.current()) continue;
      Assigned& partition = *entry->second.partition;
      const ErrorCode code = protocol::error_code_from(one.error_code);
      if (code == ErrorCode::none) {
        // What a fetch brought meanwhile is of other epochs than the one that was asked about: that is asked anew.
        const Question& question = questions.at(entry->first);
        if (partition.fetch_offset != question.fetch_offset || partition.fetch_epoch != question.fetch_epoch) continue;
        partition.validated_epoch = question.leader_epoch;
      }
      take_validated(partition, code, one.end_offset);
    }
  }
  wake();
}

void ConsumerCore::take_validated(Assigned& partition, ErrorCode code, std::int64_t end_offset) {
  if (code != ErrorCode::none) {
    if (!protocol::retriable(code)) return fail_partition(partition, protocol::kafka_error(code, "leader epoch check"));
    cluster_.request_update();
    return back_off(partition);
  }
  if (end_offset >= 0 && end_offset < partition.fetch_offset) truncated(partition, end_offset);
}

// The new leader's log ends below what was read: an unclean election lost records.
void ConsumerCore::truncated(Assigned& partition, std::int64_t end_offset) {
  const std::string what = "the log was cut off at offset " + std::to_string(end_offset) + ", before position " +
                           std::to_string(partition.fetch_offset);
  if (settings_.auto_offset_reset.kind == OffsetReset::Kind::none) {
    return fail_partition(partition, Error(Errc::corrupt, what));
  }
  log_.warning("{}: {}: going on from there", partition.partition.text(), what);
  buffered_bytes_ -= partition.buffered_bytes;
  partition.buffered_bytes = 0;
  partition.buffered.clear();
  const std::int64_t resume = std::min(end_offset, partition.position.offset);
  partition.set_position(resume, -1);
  positions_.notify_all();
}

}  // namespace klamm::client
