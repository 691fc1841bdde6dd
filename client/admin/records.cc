// Records and offsets: delete records, list offsets, producers' states.
#include <utility>

#include "client/admin/admin_core.h"
#include "protocol/messages/delete_records_request.h"
#include "protocol/messages/delete_records_response.h"
#include "protocol/messages/describe_producers_request.h"
#include "protocol/messages/describe_producers_response.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"

namespace klamm::client {

namespace {

template <typename Value>
std::vector<TopicPartition> keys_of(const std::map<TopicPartition, Value>& map) {
  std::vector<TopicPartition> keys;
  keys.reserve(map.size());
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

// What could not be routed: into the outcome, and into `again` where waiting may help.
template <typename Outcome>
void take_failed(const std::map<TopicPartition, ErrorCode>& failed, Outcome& outcome,
                 std::vector<TopicPartition>& again) {
  for (const auto& [partition, code] : failed) {
    outcome.insert_or_assign(partition, fail(item_error(code, partition.text())));
    if (protocol::retriable(code) && code != ErrorCode::unknown_topic_or_partition) again.push_back(partition);
  }
}

}  // namespace

template <typename Request, typename Outcome, typename Add, typename ValueOf>
io::Task<Result<void>> AdminCore::ask_leaders(std::vector<TopicPartition> left, std::optional<BrokerNumber> broker,
                                              Request common, rpc::VersionBounds bounds, Patience& patience,
                                              Outcome& outcome, Add add, ValueOf value_of) {
  std::vector<TopicPartition> again;
  const auto take = [&](const typename Request::Response& response) {
    for (const auto& topic : response.topics) {
      for (const auto& answer : topic.partitions) {
        const TopicPartition partition{topic.name, answer.partition_index};
        const ErrorCode code = protocol::error_code_from(answer.error_code);
        if (code == ErrorCode::none) {
          outcome.insert_or_assign(partition, value_of(answer));
          continue;
        }
        std::optional<std::string> message;
        if constexpr (requires { answer.error_message; }) message = answer.error_message;
        outcome.insert_or_assign(partition, fail(item_error(code, partition.text(), message)));
        if (protocol::retriable(code)) again.push_back(partition);
      }
    }
  };
  const auto ask_one = [&](BrokerNumber id, std::vector<TopicPartition> partitions) -> io::Task<void> {
    Request request = common;
    if constexpr (requires { request.timeout_ms; }) request.timeout_ms = patience.left_ms();
    group_by_topic(
        request.topics, partitions, [](auto& topic) -> std::string& { return topic.name; }, add);
    Result<typename Request::Response> response =
        co_await ask_once(node(id), std::move(request), patience.deadline(), bounds);
    if (response) {
      take(*response);
      co_return;
    }
    // Another broker may lead by the next attempt.
    const bool may_help = response.error().retriable();
    const Error error = may_help ? patience.out(response.error()) : response.error();
    for (const TopicPartition& partition : partitions) {
      outcome.insert_or_assign(partition, fail(Error(error).in(partition.text())));
      if (may_help) again.push_back(partition);
    }
  };
  for (bool first = true; !left.empty(); first = false) {
    Leaders nodes;
    if (broker) {
      nodes[*broker] = left;
    } else {
      std::map<TopicPartition, ErrorCode> failed;
      Result<Leaders> leaders = co_await leaders_of(left, failed, patience);
      if (!leaders && !first) break;  // what is left has its error already
      KLAMM_CO_TRY(leaders);
      nodes = std::move(*leaders);
      take_failed(failed, outcome, again);
    }
    io::Gate asking(shard_);
    for (const auto& [id, partitions] : nodes) asking.spawn(ask_one(id, partitions));
    co_await asking.close();
    if (stopped_) co_return fail(Errc::cancelled, "the admin client was closed");
    left = std::exchange(again, {});
    if (left.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return Result<void>();
}

io::Task<Result<DeleteRecords::Outcome>> AdminCore::run(DeleteRecords operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DeleteRecords");
  DeleteRecords::Outcome outcome;
  const auto add = [&](auto& topic, const TopicPartition& partition) {
    auto& one = topic.partitions.emplace_back();
    one.partition_index = partition.partition;
    one.offset = operation.before.at(partition);
  };
  const auto value_of = [](const auto& answer) { return answer.low_watermark; };
  Result<void> asked = co_await ask_leaders(keys_of(operation.before), std::nullopt, protocol::DeleteRecordsRequest(),
                                            rpc::VersionBounds(), patience, outcome, add, value_of);
  KLAMM_CO_TRY(asked);
  co_return outcome;
}

io::Task<Result<ListOffsets::Outcome>> AdminCore::run(ListOffsets operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "ListOffsets");
  ListOffsets::Outcome outcome;
  // The younger special values need younger versions.
  rpc::VersionBounds bounds;
  for (const auto& [partition, spec] : operation.specs) {
    const std::int16_t needed = spec == kMaxTimestampOffset            ? 7
                                : spec == kEarliestLocalOffset         ? 8
                                : spec == kLatestTieredOffset          ? 9
                                : spec == kEarliestPendingUploadOffset ? 11
                                                                       : 0;
    bounds.lowest = std::max(bounds.lowest, needed);
  }
  if (operation.read_committed) bounds.lowest = std::max<std::int16_t>(bounds.lowest, 2);
  protocol::ListOffsetsRequest request;
  request.replica_id = -1;
  request.isolation_level = operation.read_committed ? 1 : 0;
  const auto add = [&](auto& topic, const TopicPartition& partition) {
    auto& one = topic.partitions.emplace_back();
    one.partition_index = partition.partition;
    one.timestamp = operation.specs.at(partition);
  };
  const auto value_of = [](const auto& answer) {
    return ListedOffset{answer.offset, answer.timestamp, answer.leader_epoch};
  };
  Result<void> asked = co_await ask_leaders(keys_of(operation.specs), std::nullopt, std::move(request), bounds,
                                            patience, outcome, add, value_of);
  KLAMM_CO_TRY(asked);
  co_return outcome;
}

io::Task<Result<DescribeProducers::Outcome>> AdminCore::run(DescribeProducers operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DescribeProducers");
  DescribeProducers::Outcome outcome;
  const auto add = [](auto& topic, const TopicPartition& partition) {
    topic.partition_indexes.push_back(partition.partition);
  };
  const auto value_of = [](const auto& answer) {
    std::vector<ProducerState> states;
    states.reserve(answer.active_producers.size());
    for (const auto& producer : answer.active_producers) {
      states.push_back({producer.producer_id, producer.producer_epoch, producer.last_sequence, producer.last_timestamp,
                        producer.coordinator_epoch, producer.current_txn_start_offset});
    }
    return states;
  };
  Result<void> asked =
      co_await ask_leaders(operation.partitions, operation.broker, protocol::DescribeProducersRequest(),
                           rpc::VersionBounds(), patience, outcome, add, value_of);
  KLAMM_CO_TRY(asked);
  co_return outcome;
}

}  // namespace klamm::client
