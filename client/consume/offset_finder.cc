#include "client/consume/offset_finder.h"

#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"

namespace klamm::client {

using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

namespace {

ListOffsetsRequest request_for(const OffsetTimes& times, const Cluster& cluster, const OffsetFinder::Options& options) {
  ListOffsetsRequest request;
  request.replica_id = -1;
  request.isolation_level = static_cast<std::int8_t>(options.isolation);
  request.timeout_ms = options.request_timeout_ms;
  for (const auto& [partition, time] : times) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.emplace_back().name = partition.topic;
    auto& asked = request.topics.back().partitions.emplace_back();
    asked.partition_index = partition.partition;
    asked.timestamp = time;
    const PartitionMetadata* metadata = cluster.find(partition.topic, partition.partition);
    asked.current_leader_epoch = metadata != nullptr ? metadata->leader_epoch : -1;
  }
  return request;
}

// What the leader found goes to `found`, what must be asked for again to `left`.
// What is asked and not answered is left.
Result<void> take(const ListOffsetsResponse& response, const OffsetTimes& asked, FoundOffsets& found,
                  OffsetTimes& left) {
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      const TopicPartition key{topic.name, partition.partition_index};
      const auto known = asked.find(key);
      if (known == asked.end()) continue;
      const ErrorCode code = protocol::error_code_from(partition.error_code);
      if (code == ErrorCode::none) {
        found[key] = {partition.offset, partition.timestamp, partition.leader_epoch};
      } else if (protocol::retriable(code)) {
        left[key] = known->second;
      } else {
        return fail(protocol::kafka_error(code, "offsets of " + key.text()));
      }
    }
  }
  for (const auto& [partition, time] : asked) {
    if (!found.contains(partition)) left[partition] = time;
  }
  return {};
}

}  // namespace

io::Task<Result<FoundOffsets>> OffsetFinder::find(OffsetTimes times) {
  io::Shard& shard = cluster_.shard();
  const Instant deadline = shard.now() + options_.timeout;
  FoundOffsets found;
  for (const auto& [partition, time] : times) {
    Result<const TopicMetadata*> topic = co_await cluster_.await_topic(partition.topic, deadline);
    KLAMM_CO_TRY(topic);
  }
  while (!times.empty()) {
    if (cluster_.closed()) co_return fail(Errc::cancelled, "the consumer was closed");
    OffsetTimes left;
    Result<FoundOffsets> some = co_await ask_leaders(std::exchange(times, {}), left, deadline);
    KLAMM_CO_TRY(some);
    found.merge(*some);
    times = std::move(left);
    if (times.empty()) break;
    const Instant again = shard.now() + options_.backoff.next(shard.random());
    if (again >= deadline) {
      co_return fail(not_known_in_time("offsets of " + times.begin()->first.text(), options_.timeout,
                                       last_ ? last_ : cluster_.update_error()));
    }
    cluster_.request_update();
    while (!cluster_.closed() && shard.now() < again) co_await cluster_.changed().wait_until(again);
  }
  co_return found;
}

Error not_known_in_time(std::string what, Duration timeout, const std::optional<Error>& reason) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  what += " not known in " + std::to_string(ms) + " ms (default.api.timeout.ms)";
  if (reason) what += ": " + reason->message();
  return {Errc::timed_out, std::move(what), true};
}

// One request to each leader.
io::Task<Result<FoundOffsets>> OffsetFinder::ask_leaders(OffsetTimes times, OffsetTimes& left, Instant deadline) {
  FoundOffsets found;
  std::map<BrokerNumber, OffsetTimes> groups;
  for (const auto& [partition, time] : times) {
    const PartitionMetadata* metadata = cluster_.find(partition.topic, partition.partition);
    if (metadata == nullptr || metadata->leader < 0) {
      left[partition] = time;
    } else {
      groups[metadata->leader][partition] = time;
    }
  }
  for (auto& [broker, asked] : groups) {
    Result<ListOffsetsResponse> response =
        co_await cluster_.call(broker, request_for(asked, cluster_, options_), deadline);
    if (!response) {
      if (!response.error().retriable()) co_return fail(std::move(response).error());
      left.insert(asked.begin(), asked.end());
      last_ = std::move(response).error();
      continue;
    }
    Result<void> taken = take(*response, asked, found, left);
    KLAMM_CO_TRY(taken);
  }
  co_return found;
}

}  // namespace klamm::client
