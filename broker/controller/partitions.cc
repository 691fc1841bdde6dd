#include "broker/controller/partitions.h"

#include <algorithm>
#include <set>

#include "broker/controller/partition_change.h"

namespace klamm::controller {
namespace {

using metadata::LeaderRecoveryState;

// A topic's settings that elections look at, worked out when first needed.
class TopicElection {
 public:
  TopicElection(const Compute& compute, const std::string& topic) : compute_(compute), topic_(topic) {}
  std::int32_t min_isr() {
    if (!min_isr_) min_isr_ = min_insync_replicas(compute_, topic_);
    return *min_isr_;
  }
  bool unclean() {
    if (!unclean_) unclean_ = unclean_election_enabled(compute_, topic_);
    return *unclean_;
  }

 private:
  const Compute& compute_;
  const std::string& topic_;
  std::optional<std::int32_t> min_isr_;
  std::optional<bool> unclean_;
};

std::function<bool(std::int32_t)> acceptable(const Compute& compute, const PartitionRegistration& partition) {
  return [&compute, &partition](std::int32_t broker) { return can_lead(compute, partition, broker); };
}

PartitionChangeBuilder builder_for(const Compute& compute, const TopicImage& topic, std::int32_t index,
                                   const PartitionRegistration& partition, std::int32_t min_isr,
                                   std::function<bool(std::int32_t)> may_lead) {
  return {partition, topic.id, index, compute.version(), compute.image.elr_enabled(), min_isr, std::move(may_lead)};
}

template <typename Visit>
void each_partition(const MetadataImage& image, Visit visit) {
  for (const auto& [id, topic] : image.topics.by_id()) {
    for (std::int32_t index = 0; index < topic->partition_count(); ++index) {
      const PartitionRegistration* partition = topic->partition(index);
      if (partition != nullptr) visit(*topic, index, *partition);
    }
  }
}

bool contains(const std::vector<std::int32_t>& values, std::int32_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

// Whether the leaving broker stopped without leaving the partition's replica as it was.
bool stopped_uncleanly(const BrokerShift& shift, const PartitionRegistration& partition) {
  if (shift.unclean_stop || !shift.leaving || !shift.directories) return shift.unclean_stop;
  const Uuid directory = partition.directory_of(*shift.leaving);
  if (directory == metadata::kMigratingDirectory || directory == metadata::kUnassignedDirectory) return false;
  return std::find(shift.directories->begin(), shift.directories->end(), directory) == shift.directories->end();
}

// ---- AlterPartition

using AlterTopic = protocol::AlterPartitionRequest::TopicData;
using AlterRequest = protocol::AlterPartitionRequest::PartitionData;
using AlterResult = protocol::AlterPartitionResponse::PartitionData;

std::vector<std::int32_t> wanted_isr(const AlterRequest& request, std::int16_t api_version) {
  if (api_version < 3) return request.new_isr;
  std::vector<std::int32_t> isr;
  isr.reserve(request.new_isr_with_epochs.size());
  for (const auto& member : request.new_isr_with_epochs) isr.push_back(member.broker_id);
  return isr;
}

ErrorCode check_isr_members(const Compute& compute, const AlterRequest& request, const std::vector<std::int32_t>& isr,
                            std::int16_t api_version) {
  for (std::size_t index = 0; index < isr.size(); ++index) {
    const BrokerRegistration* broker = compute.broker(isr[index]);
    if (broker == nullptr || !broker->active()) return ErrorCode::ineligible_replica;
    const std::int64_t epoch = api_version >= 3 ? request.new_isr_with_epochs[index].broker_epoch : -1;
    if (epoch != -1 && epoch != broker->epoch) return ErrorCode::ineligible_replica;
  }
  return ErrorCode::none;
}

ErrorCode check_alter(const Compute& compute, std::int32_t broker_id, const AlterRequest& request,
                      const PartitionRegistration& partition, const std::vector<std::int32_t>& isr,
                      std::int16_t api_version) {
  if (request.leader_epoch > partition.leader_epoch || request.partition_epoch > partition.partition_epoch) {
    return ErrorCode::not_controller;
  }
  if (request.leader_epoch < partition.leader_epoch) return ErrorCode::fenced_leader_epoch;
  if (broker_id != partition.leader) return ErrorCode::invalid_request;
  if (request.partition_epoch < partition.partition_epoch) return ErrorCode::invalid_update_version;
  const std::set<std::int32_t> distinct(isr.begin(), isr.end());
  const bool all_replicas =
      std::all_of(isr.begin(), isr.end(), [&](std::int32_t member) { return partition.has_replica(member); });
  if (isr.empty() || distinct.size() != isr.size() || !all_replicas || !distinct.contains(partition.leader)) {
    return ErrorCode::invalid_request;
  }
  if (request.leader_recovery_state != 0 && request.leader_recovery_state != 1) return ErrorCode::invalid_request;
  const auto recovery = static_cast<LeaderRecoveryState>(request.leader_recovery_state);
  if (recovery == LeaderRecoveryState::recovering && isr.size() > 1) return ErrorCode::invalid_request;
  if (recovery == LeaderRecoveryState::recovering && partition.recovery_state == LeaderRecoveryState::recovered) {
    return ErrorCode::invalid_request;
  }
  return check_isr_members(compute, request, isr, api_version);
}

// One partition's answer; the record, if there is one, is appended.
AlterResult alter_one(const Compute& compute, std::int32_t broker_id, const TopicImage& topic,
                      const AlterRequest& request, std::int16_t api_version, Records& records) {
  AlterResult result;
  result.partition_index = request.partition_index;
  const PartitionRegistration* partition = topic.partition(request.partition_index);
  if (partition == nullptr) {
    result.error_code = protocol::to_wire(ErrorCode::unknown_topic_or_partition);
    return result;
  }
  const std::vector<std::int32_t> isr = wanted_isr(request, api_version);
  const ErrorCode error = check_alter(compute, broker_id, request, *partition, isr, api_version);
  if (error != ErrorCode::none) {
    result.error_code = protocol::to_wire(error);
    return result;
  }
  PartitionChangeBuilder change =
      builder_for(compute, topic, request.partition_index, *partition, min_insync_replicas(compute, topic.name),
                  acceptable(compute, *partition));
  change.isr(isr).recovery_state(static_cast<LeaderRecoveryState>(request.leader_recovery_state));
  std::optional<Record> record = change.build();
  result.leader_id = partition->leader;
  result.leader_epoch = partition->leader_epoch;
  result.isr = isr;
  result.leader_recovery_state = request.leader_recovery_state;
  result.partition_epoch = partition->partition_epoch;
  if (!record) return result;
  const auto& message = std::get<messages::PartitionChangeRecord>(record->message);
  constexpr std::int32_t kNoLeaderChange = -2;
  ++result.partition_epoch;
  if (message.leader != kNoLeaderChange) {
    ++result.leader_epoch;
    result.leader_id = message.leader;
    if (message.leader != partition->leader) result.error_code = protocol::to_wire(ErrorCode::new_leader_elected);
  }
  records.push_back(std::move(*record));
  return result;
}

// ---- ElectLeaders

using ElectionResult = protocol::ElectLeadersResponse::PartitionResult;

Fault elect_one(const Compute& compute, const TopicImage& topic, std::int32_t index, Election mode, Records& records) {
  const PartitionRegistration* partition = topic.partition(index);
  if (partition == nullptr) {
    return {ErrorCode::unknown_topic_or_partition, fmt::format("No such partition as {}-{}", topic.name, index)};
  }
  if (mode == Election::preferred && partition->leader == partition->preferred_replica())
    return {ErrorCode::election_not_needed, ""};
  if (mode == Election::unclean && partition->has_leader()) return {ErrorCode::election_not_needed, ""};
  PartitionChangeBuilder change = builder_for(
      compute, topic, index, *partition, min_insync_replicas(compute, topic.name), acceptable(compute, *partition));
  change.election(mode);
  std::optional<Record> record = change.build();
  constexpr std::int32_t kNoLeaderChange = -2;
  const std::int32_t leader =
      record ? std::get<messages::PartitionChangeRecord>(record->message).leader : kNoLeaderChange;
  if (leader == kNoLeaderChange || leader == metadata::kNoLeader) {
    if (mode == Election::preferred) return {ErrorCode::preferred_leader_not_available, ""};
    return {ErrorCode::eligible_leaders_not_available, ""};
  }
  if (mode == Election::preferred && leader != partition->preferred_replica()) {
    return {ErrorCode::preferred_leader_not_available, ""};
  }
  records.push_back(std::move(*record));
  return {};
}

ElectionResult election_result(std::int32_t index, const Fault& fault) {
  ElectionResult result;
  result.partition_id = index;
  result.error_code = protocol::to_wire(fault.code);
  if (fault)
    result.error_message = fault.message.empty() ? std::string(protocol::default_message(fault.code)) : fault.message;
  return result;
}

void elect_all(const Compute& compute, Election mode, Decision<protocol::ElectLeadersResponse>& decision) {
  for (const auto& [name, topic] : compute.image.topics.by_name()) {
    protocol::ElectLeadersResponse::ReplicaElectionResult results;
    results.topic = name;
    for (std::int32_t index = 0; index < topic->partition_count(); ++index) {
      const Fault fault = elect_one(compute, *topic, index, mode, decision.records);
      if (fault.code == ErrorCode::election_not_needed) continue;
      results.partition_result.push_back(election_result(index, fault));
    }
    if (!results.partition_result.empty()) decision.response.replica_election_results.push_back(std::move(results));
  }
}

}  // namespace

bool can_lead(const Compute& compute, const PartitionRegistration& partition, std::int32_t broker) {
  const BrokerRegistration* registration = compute.broker(broker);
  return registration != nullptr && registration->active() &&
         registration->has_online_directory(partition.directory_of(broker));
}

bool has_leaderships(const MetadataImage& image, std::int32_t broker) {
  for (const auto& [id, topic] : image.topics.by_id()) {
    for (const auto& partition : topic->partitions) {
      if (partition && partition->leader == broker) return true;
    }
  }
  return false;
}

Decision<protocol::AlterPartitionResponse> alter_partition(const Compute& compute,
                                                           const protocol::AlterPartitionRequest& request,
                                                           std::int16_t api_version) {
  Decision<protocol::AlterPartitionResponse> decision;
  decision.atomic = false;
  if (const Fault fault = check_broker_epoch(compute, request.broker_id, request.broker_epoch)) {
    decision.response.error_code = protocol::to_wire(fault.code);
    return decision;
  }
  for (const AlterTopic& asked : request.topics) {
    auto& answer = decision.response.topics.emplace_back();
    answer.topic_id = asked.topic_id;
    const TopicImage* topic = compute.image.topics.find(asked.topic_id);
    for (const AlterRequest& partition : asked.partitions) {
      if (topic == nullptr) {
        auto& result = answer.partitions.emplace_back();
        result.partition_index = partition.partition_index;
        result.error_code = protocol::to_wire(ErrorCode::unknown_topic_id);
        continue;
      }
      answer.partitions.push_back(
          alter_one(compute, request.broker_id, *topic, partition, api_version, decision.records));
    }
  }
  return decision;
}

Decision<protocol::ElectLeadersResponse> elect_leaders(const Compute& compute,
                                                       const protocol::ElectLeadersRequest& request,
                                                       std::int16_t api_version) {
  Decision<protocol::ElectLeadersResponse> decision;
  decision.atomic = false;
  const std::int8_t type = api_version >= 1 ? request.election_type : std::int8_t{0};
  if (type != 0 && type != 1) {
    decision.response.error_code = protocol::to_wire(ErrorCode::invalid_request);
    if (!request.topic_partitions) return decision;
    for (const auto& asked : *request.topic_partitions) {  // Kafka says it of each as well
      auto& results = decision.response.replica_election_results.emplace_back();
      results.topic = asked.topic;
      for (const std::int32_t index : asked.partitions) {
        results.partition_result.push_back(
            election_result(index, {ErrorCode::invalid_request, fmt::format("Unknown election type {}.", type)}));
      }
    }
    return decision;
  }
  const Election mode = type == 0 ? Election::preferred : Election::unclean;
  if (!request.topic_partitions) {
    elect_all(compute, mode, decision);
    return decision;
  }
  std::set<std::pair<std::string, std::int32_t>> seen;
  for (const auto& asked : *request.topic_partitions) {
    auto& results = decision.response.replica_election_results.emplace_back();
    results.topic = asked.topic;
    const TopicImage* topic = compute.image.topics.find(asked.topic);
    for (const std::int32_t index : asked.partitions) {
      if (!seen.emplace(asked.topic, index).second) continue;
      Fault fault;
      if (topic == nullptr) {
        fault = {ErrorCode::unknown_topic_or_partition, "No such topic as " + asked.topic};
      } else {
        fault = elect_one(compute, *topic, index, mode, decision.records);
      }
      results.partition_result.push_back(election_result(index, fault));
    }
  }
  return decision;
}

void update_leaders(const Compute& compute, const BrokerShift& shift, Records& records) {
  each_partition(
      compute.image, [&](const TopicImage& topic, std::int32_t index, const PartitionRegistration& partition) {
        std::optional<std::int32_t> leaving = shift.leaving;
        if (shift.leaving_directories_of && partition.has_replica(*shift.leaving_directories_of)) {
          const Uuid directory = partition.directory_of(*shift.leaving_directories_of);
          const bool offline = std::find(shift.offline_directories.begin(), shift.offline_directories.end(),
                                         directory) != shift.offline_directories.end();
          if (offline) leaving = shift.leaving_directories_of;
        }
        const bool unclean = stopped_uncleanly(shift, partition);
        const bool loses = leaving && (partition.in_isr(*leaving) || partition.leader == *leaving ||
                                       (unclean && contains(partition.elr, *leaving)));
        const bool gains = shift.arriving && !partition.has_leader() && partition.has_replica(*shift.arriving);
        if (!loses && !gains) return;
        TopicElection settings(compute, topic.name);
        const auto may_lead = [&](std::int32_t broker) {
          if (leaving == broker) return false;
          if (shift.arriving == broker) {
            const BrokerRegistration* registration = compute.broker(broker);
            return registration != nullptr && registration->has_online_directory(partition.directory_of(broker));
          }
          return can_lead(compute, partition, broker);
        };
        PartitionChangeBuilder change = builder_for(compute, topic, index, partition, settings.min_isr(), may_lead);
        if (settings.unclean()) change.election(Election::unclean);
        if (loses) {
          std::vector<std::int32_t> isr = partition.isr;
          std::erase(isr, *leaving);
          change.isr(std::move(isr));
          if (unclean) change.unclean_shutdown({*leaving});
        }
        if (std::optional<Record> record = change.build()) records.push_back(std::move(*record));
      });
}

void balance_leaders(const Compute& compute, std::size_t most, Records& records) {
  std::size_t moved = 0;
  each_partition(compute.image,
                 [&](const TopicImage& topic, std::int32_t index, const PartitionRegistration& partition) {
                   if (moved >= most || partition.leader == partition.preferred_replica()) return;
                   if (!elect_one(compute, topic, index, Election::preferred, records)) ++moved;
                 });
}

void sweep_unclean_elections(const Compute& compute, std::size_t most, Records& records) {
  std::size_t elected = 0;
  each_partition(compute.image,
                 [&](const TopicImage& topic, std::int32_t index, const PartitionRegistration& partition) {
                   if (elected >= most || partition.has_leader()) return;
                   if (!unclean_election_enabled(compute, topic.name)) return;
                   if (!elect_one(compute, topic, index, Election::unclean, records)) ++elected;
                 });
}

Decision<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const Compute& compute, const protocol::AssignReplicasToDirsRequest& request) {
  Decision<protocol::AssignReplicasToDirsResponse> decision;
  decision.atomic = false;
  if (const Fault fault = check_broker_epoch(compute, request.broker_id, request.broker_epoch)) {
    decision.response.error_code = protocol::to_wire(fault.code);
    return decision;
  }
  const BrokerRegistration& broker = *compute.broker(request.broker_id);
  for (const auto& asked : request.directories) {
    auto& answer = decision.response.directories.emplace_back();
    answer.id = asked.id;
    for (const auto& asked_topic : asked.topics) {
      auto& topic_answer = answer.topics.emplace_back();
      topic_answer.topic_id = asked_topic.topic_id;
      const TopicImage* topic = compute.image.topics.find(asked_topic.topic_id);
      for (const auto& asked_partition : asked_topic.partitions) {
        auto& result = topic_answer.partitions.emplace_back();
        result.partition_index = asked_partition.partition_index;
        const PartitionRegistration* partition =
            topic == nullptr ? nullptr : topic->partition(asked_partition.partition_index);
        ErrorCode error = ErrorCode::none;
        if (topic == nullptr) {
          error = ErrorCode::unknown_topic_id;
        } else if (partition == nullptr) {
          error = ErrorCode::unknown_topic_or_partition;
        } else if (!partition->has_replica(request.broker_id)) {
          error = ErrorCode::not_leader_or_follower;
        }
        result.error_code = protocol::to_wire(error);
        if (error != ErrorCode::none || partition->directory_of(request.broker_id) == asked.id) continue;
        std::vector<Uuid> directories = partition->directories;
        directories.resize(partition->replicas.size(), metadata::kMigratingDirectory);
        for (std::size_t index = 0; index < directories.size(); ++index) {
          if (partition->replicas[index] == request.broker_id) directories[index] = asked.id;
        }
        const bool online = broker.has_online_directory(asked.id);
        // The disk of the old one was replaced, and the replica has begun anew. From ISR and ELR the registration has
        // taken it: there again it has what it takes.
        const bool replaced = online && !broker.has_online_directory(partition->directory_of(request.broker_id));
        const auto may_lead = [&](std::int32_t candidate) {
          return candidate == request.broker_id ? online && broker.active() : can_lead(compute, *partition, candidate);
        };
        PartitionChangeBuilder change = builder_for(compute, *topic, asked_partition.partition_index, *partition,
                                                    min_insync_replicas(compute, topic->name), may_lead);
        change.directories(std::move(directories));
        if (replaced) change.lost({request.broker_id});
        if (!online) {
          std::vector<std::int32_t> isr = partition->isr;
          std::erase(isr, request.broker_id);
          change.isr(std::move(isr));
        }
        if (std::optional<Record> record = change.build()) decision.records.push_back(std::move(*record));
      }
    }
  }
  return decision;
}

}  // namespace klamm::controller
