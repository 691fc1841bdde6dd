// Replicas: leader elections and reassignments.
#include "client/admin/admin_core.h"
#include "protocol/messages/alter_partition_reassignments_request.h"
#include "protocol/messages/alter_partition_reassignments_response.h"
#include "protocol/messages/elect_leaders_request.h"
#include "protocol/messages/elect_leaders_response.h"
#include "protocol/messages/list_partition_reassignments_request.h"
#include "protocol/messages/list_partition_reassignments_response.h"

namespace klamm::client {

io::Task<Result<ElectLeaders::Outcome>> AdminCore::run(ElectLeaders operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "ElectLeaders");
  protocol::ElectLeadersRequest request;
  request.election_type = static_cast<std::int8_t>(operation.type);
  request.timeout_ms = patience.left_ms();
  request.topic_partitions.reset();
  if (operation.partitions) {
    request.topic_partitions.emplace();
    group_by_topic(
        *request.topic_partitions, *operation.partitions, [](auto& topic) -> std::string& { return topic.topic; },
        [](auto& topic, const TopicPartition& partition) { topic.partitions.push_back(partition.partition); });
  }
  rpc::VersionBounds bounds;
  bounds.lowest = operation.type == ElectionType::unclean ? 1 : 0;
  Result<protocol::ElectLeadersResponse> response =
      co_await have_controller_do(std::move(request), patience, "leader election", bounds);
  KLAMM_CO_TRY(response);
  ElectLeaders::Outcome outcome;
  for (const auto& topic : response->replica_election_results) {
    for (const auto& one : topic.partition_result) {
      const TopicPartition partition{topic.topic, one.partition_id};
      const ErrorCode code = protocol::error_code_from(one.error_code);
      Result<void> ended;
      if (code != ErrorCode::none) ended = fail(item_error(code, partition.text(), one.error_message));
      outcome.insert_or_assign(partition, std::move(ended));
    }
  }
  co_return outcome;
}

io::Task<Result<ListReassignments::Outcome>> AdminCore::run(ListReassignments operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "ListReassignments");
  protocol::ListPartitionReassignmentsRequest request;
  request.timeout_ms = patience.left_ms();
  request.topics.reset();
  if (operation.partitions) {
    request.topics.emplace();
    group_by_topic(
        *request.topics, *operation.partitions, [](auto& topic) -> std::string& { return topic.name; },
        [](auto& topic, const TopicPartition& partition) { topic.partition_indexes.push_back(partition.partition); });
  }
  Result<protocol::ListPartitionReassignmentsResponse> response =
      co_await have_controller_do(std::move(request), patience, "reassignments");
  KLAMM_CO_TRY(response);
  ListReassignments::Outcome outcome;
  for (const auto& topic : response->topics) {
    for (const auto& one : topic.partitions) {
      outcome[{topic.name, one.partition_index}] = {one.replicas, one.adding_replicas, one.removing_replicas};
    }
  }
  co_return outcome;
}

io::Task<Result<AlterReassignments::Outcome>> AdminCore::run(AlterReassignments operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "AlterReassignments");
  protocol::AlterPartitionReassignmentsRequest request;
  request.timeout_ms = patience.left_ms();
  request.allow_replication_factor_change = operation.allow_replication_factor_change;
  for (const auto& [partition, target] : operation.targets) {
    if (request.topics.empty() || request.topics.back().name != partition.topic)
      request.topics.emplace_back().name = partition.topic;
    auto& one = request.topics.back().partitions.emplace_back();
    one.partition_index = partition.partition;
    one.replicas = target;
  }
  rpc::VersionBounds bounds;
  bounds.lowest = operation.allow_replication_factor_change ? 0 : 1;
  Result<protocol::AlterPartitionReassignmentsResponse> response =
      co_await have_controller_do(std::move(request), patience, "reassignment", bounds);
  KLAMM_CO_TRY(response);
  AlterReassignments::Outcome outcome;
  for (const auto& topic : response->responses) {
    for (const auto& one : topic.partitions) {
      const TopicPartition partition{topic.name, one.partition_index};
      const ErrorCode code = protocol::error_code_from(one.error_code);
      Result<void> ended;
      if (code != ErrorCode::none) ended = fail(item_error(code, partition.text(), one.error_message));
      outcome.insert_or_assign(partition, std::move(ended));
    }
  }
  co_return outcome;
}

}  // namespace klamm::client
