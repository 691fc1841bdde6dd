// Records and offsets: delete records, list offsets, producers' states.
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

io::Task<Result<DeleteRecords::Outcome>> AdminCore::run(DeleteRecords operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options);
  DeleteRecords::Outcome outcome;
  std::vector<TopicPartition> left = keys_of(operation.before);
  while (!left.empty()) {
    std::map<TopicPartition, ErrorCode> failed;
    std::vector<TopicPartition> again;
    Result<Leaders> leaders = co_await leaders_of(left, failed, patience);
    KLAMM_CO_TRY(leaders);
    take_failed(failed, outcome, again);
    for (const auto& [broker, partitions] : *leaders) {
      protocol::DeleteRecordsRequest request;
      request.timeout_ms = patience.left_ms();
      group_by_topic(
          request.topics, partitions, [](auto& topic) -> std::string& { return topic.name; },
          [&](auto& topic, const TopicPartition& partition) {
            auto& one = topic.partitions.emplace_back();
            one.partition_index = partition.partition;
            one.offset = operation.before.at(partition);
          });
      Result<protocol::DeleteRecordsResponse> response = co_await ask(node(broker), std::move(request), patience);
      KLAMM_CO_TRY(response);
      for (const auto& topic : response->topics) {
        for (const auto& one : topic.partitions) {
          const TopicPartition partition{topic.name, one.partition_index};
          const ErrorCode code = protocol::error_code_from(one.error_code);
          if (code == ErrorCode::none) {
            outcome.insert_or_assign(partition, one.low_watermark);
            continue;
          }
          outcome.insert_or_assign(partition, fail(item_error(code, partition.text())));
          if (protocol::retriable(code)) again.push_back(partition);
        }
      }
    }
    left = std::move(again);
    if (left.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return outcome;
}

io::Task<Result<ListOffsets::Outcome>> AdminCore::run(ListOffsets operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options);
  ListOffsets::Outcome outcome;
  std::vector<TopicPartition> left = keys_of(operation.specs);
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
  while (!left.empty()) {
    std::map<TopicPartition, ErrorCode> failed;
    std::vector<TopicPartition> again;
    Result<Leaders> leaders = co_await leaders_of(left, failed, patience);
    KLAMM_CO_TRY(leaders);
    take_failed(failed, outcome, again);
    for (const auto& [broker, partitions] : *leaders) {
      protocol::ListOffsetsRequest request;
      request.replica_id = -1;
      request.isolation_level = operation.read_committed ? 1 : 0;
      request.timeout_ms = patience.left_ms();
      group_by_topic(
          request.topics, partitions, [](auto& topic) -> std::string& { return topic.name; },
          [&](auto& topic, const TopicPartition& partition) {
            auto& one = topic.partitions.emplace_back();
            one.partition_index = partition.partition;
            one.timestamp = operation.specs.at(partition);
          });
      Result<protocol::ListOffsetsResponse> response = co_await ask(node(broker), std::move(request), patience, bounds);
      KLAMM_CO_TRY(response);
      for (const auto& topic : response->topics) {
        for (const auto& one : topic.partitions) {
          const TopicPartition partition{topic.name, one.partition_index};
          const ErrorCode code = protocol::error_code_from(one.error_code);
          if (code == ErrorCode::none) {
            outcome.insert_or_assign(partition, ListedOffset{one.offset, one.timestamp, one.leader_epoch});
            continue;
          }
          outcome.insert_or_assign(partition, fail(item_error(code, partition.text())));
          if (protocol::retriable(code)) again.push_back(partition);
        }
      }
    }
    left = std::move(again);
    if (left.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return outcome;
}

io::Task<Result<DescribeProducers::Outcome>> AdminCore::run(DescribeProducers operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options);
  DescribeProducers::Outcome outcome;
  std::vector<TopicPartition> left = operation.partitions;
  while (!left.empty()) {
    std::map<TopicPartition, ErrorCode> failed;
    std::vector<TopicPartition> again;
    Leaders nodes;
    if (operation.broker) {
      nodes[*operation.broker] = left;
    } else {
      Result<Leaders> leaders = co_await leaders_of(left, failed, patience);
      KLAMM_CO_TRY(leaders);
      nodes = std::move(*leaders);
      take_failed(failed, outcome, again);
    }
    for (const auto& [broker, partitions] : nodes) {
      protocol::DescribeProducersRequest request;
      group_by_topic(
          request.topics, partitions, [](auto& topic) -> std::string& { return topic.name; },
          [](auto& topic, const TopicPartition& partition) { topic.partition_indexes.push_back(partition.partition); });
      Result<protocol::DescribeProducersResponse> response = co_await ask(node(broker), std::move(request), patience);
      KLAMM_CO_TRY(response);
      for (const auto& topic : response->topics) {
        for (const auto& one : topic.partitions) {
          const TopicPartition partition{topic.name, one.partition_index};
          const ErrorCode code = protocol::error_code_from(one.error_code);
          if (code != ErrorCode::none) {
            outcome.insert_or_assign(partition, fail(item_error(code, partition.text(), one.error_message)));
            if (protocol::retriable(code)) again.push_back(partition);
            continue;
          }
          std::vector<ProducerState> states;
          for (const auto& producer : one.active_producers) {
            states.push_back({producer.producer_id, producer.producer_epoch, producer.last_sequence,
                              producer.last_timestamp, producer.coordinator_epoch, producer.current_txn_start_offset});
          }
          outcome.insert_or_assign(partition, std::move(states));
        }
      }
    }
    left = std::move(again);
    if (left.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return outcome;
}

}  // namespace klamm::client
