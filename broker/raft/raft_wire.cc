#include "broker/raft/raft_wire.h"

#include <algorithm>

namespace klamm::raft {
namespace {

using protocol::to_wire;

tl::unexpected<Error> other_partition() {
  return fail(protocol::kafka_error(ErrorCode::invalid_request, "not about the metadata partition alone"));
}

template <typename Topic>
const std::string& name_in(const Topic& topic) {
  if constexpr (requires { topic.topic_name; }) {
    return topic.topic_name;
  } else {
    return topic.name;
  }
}
template <typename Partition>
std::int32_t index_in(const Partition& partition) {
  if constexpr (requires { partition.partition_index; }) {
    return partition.partition_index;
  } else if constexpr (requires { partition.partition; }) {
    return partition.partition;
  } else {
    return partition.index;
  }
}

// The one partition that a message is about; null if it is about anything else.
template <typename Message>
auto partition_in(const Message& message) -> decltype(&message.topics.front().partitions.front()) {
  if (message.topics.size() != 1 || name_in(message.topics.front()) != kMetadataTopic) return nullptr;
  const auto& partitions = message.topics.front().partitions;
  if (partitions.size() != 1 || index_in(partitions.front()) != 0) return nullptr;
  return &partitions.front();
}

// Adds it to a message that has none yet.
template <typename Message>
auto& add_partition(Message& message) {
  auto& topic = message.topics.emplace_back();
  if constexpr (requires { topic.topic_name; }) {
    topic.topic_name = kMetadataTopic;
  } else {
    topic.name = kMetadataTopic;
  }
  return topic.partitions.emplace_back();
}

template <typename Listeners>
void write_endpoints(const std::vector<Endpoint>& endpoints, Listeners& listeners) {
  for (const Endpoint& endpoint : endpoints) {
    auto& listener = listeners.emplace_back();
    listener.name = endpoint.name;
    listener.host = endpoint.host;
    listener.port = endpoint.port;
  }
}
template <typename Listeners>
std::vector<Endpoint> read_endpoints(const Listeners& listeners) {
  std::vector<Endpoint> endpoints;
  endpoints.reserve(listeners.size());
  for (const auto& listener : listeners) endpoints.push_back({listener.name, listener.host, listener.port});
  return endpoints;
}

template <typename Response>
void write_leader_address(const Answer& answer, Response& response) {
  if (answer.leader.leader_id < 0 || !answer.leader_address) return;
  auto& node = response.node_endpoints.emplace_back();
  node.node_id = answer.leader.leader_id;
  node.host = answer.leader_address->host;
  node.port = answer.leader_address->port;
}
template <typename Response>
void read_leader_address(const Response& response, Answer& answer) {
  for (const auto& node : response.node_endpoints) {
    if (node.node_id != answer.leader.leader_id || node.host.empty()) continue;
    answer.leader_address = Endpoint{"", node.host, static_cast<std::uint16_t>(node.port)};
  }
}

// Vote and the two of epochs are alike in where they say what.
template <typename Response>
Response write_answer(const Answer& answer) {
  Response response;
  auto& partition = add_partition(response);
  partition.error_code = to_wire(answer.error);
  partition.leader_id = answer.leader.leader_id;
  partition.leader_epoch = answer.leader.epoch;
  write_leader_address(answer, response);
  return response;
}
template <typename Response>
auto read_answer(const Response& response, Answer& answer) -> decltype(partition_in(response)) {
  const auto* partition = response.error_code == 0 ? partition_in(response) : nullptr;
  if (partition == nullptr) {
    answer.error =
        response.error_code == 0 ? ErrorCode::unknown_server_error : protocol::error_code_from(response.error_code);
    return nullptr;
  }
  answer.error = protocol::error_code_from(partition->error_code);
  return partition;
}
template <typename Response>
auto read_epoch_answer(const Response& response, Answer& answer) -> decltype(partition_in(response)) {
  const auto* partition = read_answer(response, answer);
  if (partition == nullptr) return nullptr;
  answer.leader = {partition->leader_id, partition->leader_epoch};
  read_leader_address(response, answer);
  return partition;
}

}  // namespace

ErrorCode check_cluster(const std::optional<std::string>& named, const std::string& own) {
  return named && *named != own ? ErrorCode::inconsistent_cluster_id : ErrorCode::none;
}

protocol::VoteRequest to_message(const VoteAsk& ask, const std::string& cluster_id) {
  protocol::VoteRequest request;
  request.cluster_id = cluster_id;
  request.voter_id = ask.voter.id;
  auto& partition = add_partition(request);
  partition.replica_epoch = ask.epoch;
  partition.replica_id = ask.candidate.id;
  partition.replica_directory_id = ask.candidate.directory_id;
  partition.voter_directory_id = ask.voter.directory_id;
  partition.last_offset_epoch = ask.last_epoch;
  partition.last_offset = ask.end_offset;
  partition.pre_vote = ask.pre_vote;
  return request;
}

Result<VoteAsk> to_ask(const protocol::VoteRequest& request) {
  const auto* partition = partition_in(request);
  if (partition == nullptr) return other_partition();
  VoteAsk ask;
  ask.epoch = partition->replica_epoch;
  ask.candidate = {partition->replica_id, partition->replica_directory_id};
  ask.voter = {request.voter_id, partition->voter_directory_id};
  ask.last_epoch = partition->last_offset_epoch;
  ask.end_offset = partition->last_offset;
  ask.pre_vote = partition->pre_vote;
  return ask;
}

protocol::BeginQuorumEpochRequest to_message(const BeginEpochAsk& ask, const std::string& cluster_id) {
  protocol::BeginQuorumEpochRequest request;
  request.cluster_id = cluster_id;
  request.voter_id = ask.voter.id;
  auto& partition = add_partition(request);
  partition.voter_directory_id = ask.voter.directory_id;
  partition.leader_id = ask.leader.leader_id;
  partition.leader_epoch = ask.leader.epoch;
  write_endpoints(ask.leader_endpoints, request.leader_endpoints);
  return request;
}

Result<BeginEpochAsk> to_ask(const protocol::BeginQuorumEpochRequest& request) {
  const auto* partition = partition_in(request);
  if (partition == nullptr) return other_partition();
  return BeginEpochAsk{{request.voter_id, partition->voter_directory_id},
                       {partition->leader_id, partition->leader_epoch},
                       read_endpoints(request.leader_endpoints)};
}

protocol::EndQuorumEpochRequest to_message(const EndEpochAsk& ask, const std::string& cluster_id) {
  protocol::EndQuorumEpochRequest request;
  request.cluster_id = cluster_id;
  auto& partition = add_partition(request);
  partition.leader_id = ask.leader.leader_id;
  partition.leader_epoch = ask.leader.epoch;
  for (const ReplicaKey& candidate : ask.candidates) {
    auto& entry = partition.preferred_candidates.emplace_back();
    entry.candidate_id = candidate.id;
    entry.candidate_directory_id = candidate.directory_id;
  }
  write_endpoints(ask.leader_endpoints, request.leader_endpoints);
  return request;
}

Result<EndEpochAsk> to_ask(const protocol::EndQuorumEpochRequest& request) {
  const auto* partition = partition_in(request);
  if (partition == nullptr) return other_partition();
  EndEpochAsk ask;
  ask.leader = {partition->leader_id, partition->leader_epoch};
  for (const auto& entry : partition->preferred_candidates)
    ask.candidates.push_back({entry.candidate_id, entry.candidate_directory_id});
  for (const std::int32_t id : partition->preferred_successors) ask.candidates.push_back({id, {}});
  ask.leader_endpoints = read_endpoints(request.leader_endpoints);
  return ask;
}

protocol::FetchRequest to_message(const FetchAsk& ask, const std::string& cluster_id) {
  protocol::FetchRequest request;
  request.cluster_id = cluster_id;
  request.replica_state.replica_id = ask.replica.id;
  request.max_wait_ms = static_cast<std::int32_t>(ask.max_wait_ms);
  request.min_bytes = 0;
  request.max_bytes = static_cast<std::int32_t>(ask.max_bytes);
  auto& topic = request.topics.emplace_back();
  topic.topic = kMetadataTopic;
  topic.topic_id = kMetadataTopicId;
  auto& partition = topic.partitions.emplace_back();
  partition.current_leader_epoch = ask.epoch;
  partition.fetch_offset = ask.offset;
  partition.last_fetched_epoch = ask.last_epoch;
  partition.replica_directory_id = ask.replica.directory_id;
  partition.high_watermark = ask.high_watermark;
  return request;
}

Result<FetchAsk> to_ask(const protocol::FetchRequest& request) {
  const bool one = request.topics.size() == 1 && request.topics.front().partitions.size() == 1;
  if (!one) return other_partition();
  const auto& topic = request.topics.front();
  const bool metadata = topic.topic == kMetadataTopic || topic.topic_id == kMetadataTopicId;
  const auto& partition = topic.partitions.front();
  if (!metadata || partition.partition != 0) return other_partition();
  FetchAsk ask;
  const std::int32_t replica =
      request.replica_state.replica_id >= 0 ? request.replica_state.replica_id : request.replica_id;
  ask.replica = {replica, partition.replica_directory_id};
  ask.epoch = partition.current_leader_epoch;
  ask.offset = partition.fetch_offset;
  ask.last_epoch = partition.last_fetched_epoch;
  ask.high_watermark = partition.high_watermark;
  ask.max_wait_ms = request.max_wait_ms;
  ask.max_bytes = request.max_bytes;
  return ask;
}

protocol::FetchSnapshotRequest to_message(const FetchSnapshotAsk& ask, const std::string& cluster_id) {
  protocol::FetchSnapshotRequest request;
  request.cluster_id = cluster_id;
  request.replica_id = ask.replica.id;
  request.max_bytes = static_cast<std::int32_t>(ask.max_bytes);
  auto& partition = add_partition(request);
  partition.current_leader_epoch = ask.epoch;
  partition.snapshot_id.end_offset = ask.id.end_offset;
  partition.snapshot_id.epoch = ask.id.epoch;
  partition.position = ask.position;
  partition.replica_directory_id = ask.replica.directory_id;
  return request;
}

Result<FetchSnapshotAsk> to_ask(const protocol::FetchSnapshotRequest& request) {
  const auto* partition = partition_in(request);
  if (partition == nullptr) return other_partition();
  FetchSnapshotAsk ask;
  ask.replica = {request.replica_id, partition->replica_directory_id};
  ask.epoch = partition->current_leader_epoch;
  ask.id = {partition->snapshot_id.end_offset, partition->snapshot_id.epoch};
  ask.position = partition->position;
  ask.max_bytes = request.max_bytes;
  return ask;
}

protocol::UpdateRaftVoterRequest to_message(const UpdateVoterAsk& ask, const std::string& cluster_id) {
  protocol::UpdateRaftVoterRequest request;
  request.cluster_id = cluster_id;
  request.current_leader_epoch = ask.epoch;
  request.voter_id = ask.voter.key.id;
  request.voter_directory_id = ask.voter.key.directory_id;
  write_endpoints(ask.voter.endpoints, request.listeners);
  request.kraft_version_feature.min_supported_version = ask.voter.kraft_version_min;
  request.kraft_version_feature.max_supported_version = ask.voter.kraft_version_max;
  return request;
}

UpdateVoterAsk to_ask(const protocol::UpdateRaftVoterRequest& request) {
  UpdateVoterAsk ask;
  ask.epoch = request.current_leader_epoch;
  ask.voter.key = {request.voter_id, request.voter_directory_id};
  ask.voter.endpoints = read_endpoints(request.listeners);
  ask.voter.kraft_version_min = request.kraft_version_feature.min_supported_version;
  ask.voter.kraft_version_max = request.kraft_version_feature.max_supported_version;
  return ask;
}

protocol::VoteResponse to_message(const VoteAnswer& answer) {
  auto response = write_answer<protocol::VoteResponse>(answer);
  response.topics.front().partitions.front().vote_granted = answer.granted;
  return response;
}
protocol::BeginQuorumEpochResponse to_begin_message(const Answer& answer) {
  return write_answer<protocol::BeginQuorumEpochResponse>(answer);
}
protocol::EndQuorumEpochResponse to_end_message(const Answer& answer) {
  return write_answer<protocol::EndQuorumEpochResponse>(answer);
}

protocol::FetchResponse to_message(const FetchAnswer& answer) {
  protocol::FetchResponse response;
  auto& topic = response.responses.emplace_back();
  topic.topic = kMetadataTopic;
  topic.topic_id = kMetadataTopicId;
  auto& partition = topic.partitions.emplace_back();
  partition.error_code = to_wire(answer.error);
  partition.high_watermark = answer.high_watermark;
  partition.log_start_offset = answer.log_start;
  partition.current_leader.leader_id = answer.leader.leader_id;
  partition.current_leader.leader_epoch = answer.leader.epoch;
  if (answer.diverging) {
    partition.diverging_epoch.epoch = answer.diverging->epoch;
    partition.diverging_epoch.end_offset = answer.diverging->offset;
  }
  if (answer.snapshot) {
    partition.snapshot_id.end_offset = answer.snapshot->end_offset;
    partition.snapshot_id.epoch = answer.snapshot->epoch;
  }
  partition.records = answer.records;
  write_leader_address(answer, response);
  return response;
}

protocol::FetchSnapshotResponse to_message(const FetchSnapshotAnswer& answer) {
  protocol::FetchSnapshotResponse response;
  auto& partition = add_partition(response);
  partition.error_code = to_wire(answer.error);
  partition.snapshot_id.end_offset = answer.id.end_offset;
  partition.snapshot_id.epoch = answer.id.epoch;
  partition.current_leader.leader_id = answer.leader.leader_id;
  partition.current_leader.leader_epoch = answer.leader.epoch;
  partition.size = answer.size;
  partition.position = answer.position;
  partition.unaligned_records = answer.bytes;
  write_leader_address(answer, response);
  return response;
}

protocol::UpdateRaftVoterResponse to_update_message(const Answer& answer) {
  protocol::UpdateRaftVoterResponse response;
  response.error_code = to_wire(answer.error);
  response.current_leader.leader_id = answer.leader.leader_id;
  response.current_leader.leader_epoch = answer.leader.epoch;
  if (answer.leader.leader_id >= 0 && answer.leader_address) {
    response.current_leader.host = answer.leader_address->host;
    response.current_leader.port = answer.leader_address->port;
  }
  return response;
}

VoteAnswer to_answer(const protocol::VoteResponse& response) {
  VoteAnswer answer;
  const auto* partition = read_epoch_answer(response, answer);
  if (partition != nullptr) answer.granted = partition->vote_granted;
  return answer;
}
Answer to_answer(const protocol::BeginQuorumEpochResponse& response) {
  Answer answer;
  read_epoch_answer(response, answer);
  return answer;
}
Answer to_answer(const protocol::EndQuorumEpochResponse& response) {
  Answer answer;
  read_epoch_answer(response, answer);
  return answer;
}

FetchAnswer to_answer(const protocol::FetchResponse& response) {
  FetchAnswer answer;
  const bool one = response.responses.size() == 1 && response.responses.front().partitions.size() == 1;
  if (response.error_code != 0 || !one) {
    answer.error =
        response.error_code == 0 ? ErrorCode::unknown_server_error : protocol::error_code_from(response.error_code);
    return answer;
  }
  const auto& partition = response.responses.front().partitions.front();
  answer.error = protocol::error_code_from(partition.error_code);
  answer.leader = {partition.current_leader.leader_id, partition.current_leader.leader_epoch};
  read_leader_address(response, answer);
  answer.high_watermark = partition.high_watermark;
  answer.log_start = partition.log_start_offset;
  if (partition.diverging_epoch.end_offset >= 0)
    answer.diverging = OffsetAndEpoch{partition.diverging_epoch.end_offset, partition.diverging_epoch.epoch};
  if (partition.snapshot_id.end_offset >= 0 && partition.snapshot_id.epoch >= 0)
    answer.snapshot = SnapshotId{partition.snapshot_id.end_offset, partition.snapshot_id.epoch};
  answer.records = partition.records.slice();
  return answer;
}

FetchSnapshotAnswer to_answer(const protocol::FetchSnapshotResponse& response) {
  FetchSnapshotAnswer answer;
  const auto* partition = read_answer(response, answer);
  if (partition == nullptr) return answer;
  answer.leader = {partition->current_leader.leader_id, partition->current_leader.leader_epoch};
  read_leader_address(response, answer);
  answer.id = {partition->snapshot_id.end_offset, partition->snapshot_id.epoch};
  answer.size = partition->size;
  answer.position = partition->position;
  answer.bytes = partition->unaligned_records.slice();
  return answer;
}

Answer to_answer(const protocol::UpdateRaftVoterResponse& response) {
  Answer answer;
  answer.error = protocol::error_code_from(response.error_code);
  answer.leader = {response.current_leader.leader_id, response.current_leader.leader_epoch};
  if (!response.current_leader.host.empty())
    answer.leader_address =
        Endpoint{"", response.current_leader.host, static_cast<std::uint16_t>(response.current_leader.port)};
  return answer;
}

}  // namespace klamm::raft
