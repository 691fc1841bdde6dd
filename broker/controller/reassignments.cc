#include "broker/controller/reassignments.h"

#include <algorithm>
#include <set>

#include "broker/controller/partition_change.h"
#include "broker/controller/partitions.h"

namespace klamm::controller {
namespace {

Fault check_target(const Compute& compute, const std::vector<std::int32_t>& target) {
  constexpr ErrorCode kCode = ErrorCode::invalid_replica_assignment;
  if (target.empty()) return {kCode, "The manual partition assignment includes an empty replica list."};
  std::set<std::int32_t> seen;
  for (const std::int32_t replica : target) {
    if (compute.broker(replica) == nullptr) {
      return {kCode,
              fmt::format("The manual partition assignment includes broker {}, but no such broker is registered.",
                          replica)};
    }
    if (!seen.insert(replica).second) {
      return {kCode, fmt::format("The manual partition assignment includes the broker {} more than once.", replica)};
    }
  }
  return {};
}

// Back to the replicas from before the reassignment: those being added go, those being removed stay.
Fault cancel(const Compute& compute, const TopicImage& topic, std::int32_t index,
             const PartitionRegistration& partition, Records& records) {
  if (!partition.is_reassigning()) return {ErrorCode::no_reassignment_in_progress, ""};
  std::vector<std::int32_t> replicas = partition.replicas;
  std::vector<std::int32_t> isr = partition.isr;
  for (const std::int32_t adding : partition.adding_replicas) {
    std::erase(replicas, adding);
    std::erase(isr, adding);
  }
  if (isr.empty()) {
    return {ErrorCode::invalid_replica_assignment,
            fmt::format("The reassignment of {}-{} cannot be cancelled: none of the old replicas is in sync.",
                        topic.name, index)};
  }
  PartitionChangeBuilder change(partition, topic.id, index, compute.version(), compute.image.elr_enabled(),
                                min_insync_replicas(compute, topic.name),
                                [&](std::int32_t broker) { return can_lead(compute, partition, broker); });
  change.replicas(std::move(replicas)).isr(std::move(isr));
  if (std::optional<Record> record = change.build()) {
    auto& message = std::get<messages::PartitionChangeRecord>(record->message);
    message.adding_replicas = std::vector<std::int32_t>();
    message.removing_replicas = std::vector<std::int32_t>();
    records.push_back(std::move(*record));
  }
  return {};
}

Fault reassign(const Compute& compute, const TopicImage& topic, std::int32_t index,
               const std::optional<std::vector<std::int32_t>>& target, Records& records) {
  const PartitionRegistration* partition = topic.partition(index);
  if (partition == nullptr) {
    return {ErrorCode::unknown_topic_or_partition, fmt::format("Unable to find partition {}:{}.", topic.name, index)};
  }
  if (!target) return cancel(compute, topic, index, *partition, records);
  if (const Fault fault = check_target(compute, *target)) return fault;
  if (*target == partition->replicas && !partition->is_reassigning()) return {};
  if (!std::is_permutation(target->begin(), target->end(), partition->replicas.begin(), partition->replicas.end()) ||
      partition->is_reassigning()) {
    return {ErrorCode::invalid_replica_assignment,
            fmt::format("Moving replicas of {}-{} to other brokers is not served yet; only their order can be changed.",
                        topic.name, index)};
  }
  PartitionChangeBuilder change(*partition, topic.id, index, compute.version(), compute.image.elr_enabled(),
                                min_insync_replicas(compute, topic.name),
                                [&](std::int32_t broker) { return can_lead(compute, *partition, broker); });
  change.replicas(*target);
  if (std::optional<Record> record = change.build()) records.push_back(std::move(*record));
  return {};
}

using Ongoing = protocol::ListPartitionReassignmentsResponse::OngoingPartitionReassignment;

void list_one(const TopicImage& topic, std::int32_t index, std::vector<Ongoing>& found) {
  const PartitionRegistration* partition = topic.partition(index);
  if (partition == nullptr || !partition->is_reassigning()) return;
  Ongoing& ongoing = found.emplace_back();
  ongoing.partition_index = index;
  ongoing.replicas = partition->replicas;
  ongoing.adding_replicas = partition->adding_replicas;
  ongoing.removing_replicas = partition->removing_replicas;
}

void add_topic(const TopicImage& topic, std::vector<Ongoing> found,
               protocol::ListPartitionReassignmentsResponse& response) {
  if (found.empty()) return;
  auto& result = response.topics.emplace_back();
  result.name = topic.name;
  result.partitions = std::move(found);
}

}  // namespace

Decision<protocol::AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    const Compute& compute, const protocol::AlterPartitionReassignmentsRequest& request) {
  Decision<protocol::AlterPartitionReassignmentsResponse> decision;
  decision.atomic = false;
  decision.response.error_message = std::nullopt;
  decision.response.allow_replication_factor_change = request.allow_replication_factor_change;
  for (const auto& asked : request.topics) {
    auto& answer = decision.response.responses.emplace_back();
    answer.name = asked.name;
    const TopicImage* topic = compute.image.topics.find(asked.name);
    for (const auto& partition : asked.partitions) {
      auto& result = answer.partitions.emplace_back();
      result.partition_index = partition.partition_index;
      result.error_message = std::nullopt;
      Fault fault;
      if (topic == nullptr) {
        fault = {ErrorCode::unknown_topic_or_partition, fmt::format("Unable to find a topic named {}.", asked.name)};
      } else {
        fault = reassign(compute, *topic, partition.partition_index, partition.replicas, decision.records);
      }
      if (fault) set_fault(result, fault);
    }
  }
  return decision;
}

Decision<protocol::ListPartitionReassignmentsResponse> list_partition_reassignments(
    const Compute& compute, const protocol::ListPartitionReassignmentsRequest& request) {
  Decision<protocol::ListPartitionReassignmentsResponse> decision;
  decision.response.error_message = std::nullopt;
  if (!request.topics) {
    for (const auto& [name, topic] : compute.image.topics.by_name()) {
      std::vector<Ongoing> found;
      for (std::int32_t index = 0; index < topic->partition_count(); ++index) list_one(*topic, index, found);
      add_topic(*topic, std::move(found), decision.response);
    }
    return decision;
  }
  for (const auto& asked : *request.topics) {
    const TopicImage* topic = compute.image.topics.find(asked.name);
    if (topic == nullptr) continue;
    std::vector<Ongoing> found;
    for (const std::int32_t index : asked.partition_indexes) list_one(*topic, index, found);
    add_topic(*topic, std::move(found), decision.response);
  }
  return decision;
}

}  // namespace klamm::controller
