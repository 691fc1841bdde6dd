#include "broker/controller/cluster.h"

namespace klamm::controller {
namespace {

constexpr std::int8_t kBrokers = 1;
constexpr std::int8_t kControllers = 2;

std::string_view name_of_type(std::int8_t type) { return type == kBrokers ? "BROKER" : "CONTROLLER"; }

void add_brokers(const MetadataImage& image, bool with_fenced, std::string_view listener,
                 protocol::DescribeClusterResponse& response) {
  for (const auto& [id, broker] : image.cluster.brokers) {
    if (broker->fenced && !with_fenced) continue;
    const metadata::ListenerEndpoint* endpoint = broker->listener(listener);
    if (endpoint == nullptr) continue;
    auto& described = response.brokers.emplace_back();
    described.broker_id = id;
    described.host = endpoint->host;
    described.port = endpoint->port;
    described.rack = broker->rack;
    described.is_fenced = broker->fenced;
  }
}

void add_controllers(const MetadataImage& image, std::string_view listener,
                     protocol::DescribeClusterResponse& response) {
  for (const auto& [id, controller] : image.cluster.controllers) {
    for (const metadata::ListenerEndpoint& endpoint : controller->listeners) {
      if (endpoint.name != listener) continue;
      auto& described = response.brokers.emplace_back();
      described.broker_id = id;
      described.host = endpoint.host;
      described.port = endpoint.port;
      described.rack = std::nullopt;
    }
  }
}

std::int32_t any_alive_broker(const MetadataImage& image, std::uint64_t random) {
  std::vector<std::int32_t> alive;
  for (const auto& [id, broker] : image.cluster.brokers) {
    if (!broker->fenced) alive.push_back(id);
  }
  return alive.empty() ? -1 : alive[random % alive.size()];
}

}  // namespace

protocol::DescribeClusterResponse describe_cluster(const MetadataImage& image,
                                                   const protocol::DescribeClusterRequest& request,
                                                   const DescribeClusterContext& context, std::int16_t api_version) {
  protocol::DescribeClusterResponse response;
  response.error_message = std::nullopt;
  const std::int8_t asked = api_version >= 1 ? request.endpoint_type : kBrokers;
  if (asked != kBrokers && asked != kControllers) {
    set_fault(response, {ErrorCode::unsupported_endpoint_type, fmt::format("Unsupported endpoint type {}", asked)});
    return response;
  }
  const std::int8_t here = context.on_controller_listener ? kControllers : kBrokers;
  if (asked != here) {
    // Version 0 knows of one type only, and not of the code.
    const ErrorCode code = api_version >= 1 ? ErrorCode::mismatched_endpoint_type : ErrorCode::invalid_request;
    set_fault(response,
              {code, fmt::format("The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
                                 name_of_type(here), name_of_type(asked))});
    return response;
  }
  response.endpoint_type = asked;
  response.cluster_id = context.cluster_id;
  if (asked == kControllers) {
    add_controllers(image, context.listener, response);
    response.controller_id = context.leader;
  } else {
    add_brokers(image, api_version >= 2 && request.include_fenced_brokers, context.listener, response);
    response.controller_id = any_alive_broker(image, context.random);
  }
  return response;
}

protocol::DescribeQuorumResponse describe_quorum(const raft::QuorumInfo& quorum,
                                                 const protocol::DescribeQuorumRequest& request, bool leads,
                                                 std::int16_t api_version) {
  protocol::DescribeQuorumResponse response;
  response.error_message = "";                      // as Kafka says it, which here is not null
  const bool shows_directories = api_version >= 2;  // and the voters' addresses (KIP-853)
  bool described = false;
  const auto replica_of = [shows_directories](const raft::QuorumInfo::Replica& replica) {
    protocol::DescribeQuorumResponse::ReplicaState state;
    state.replica_id = replica.key.id;
    if (shows_directories) state.replica_directory_id = replica.key.directory_id;
    state.log_end_offset = replica.log_end_offset;
    state.last_fetch_timestamp = replica.last_fetch_ms;
    state.last_caught_up_timestamp = replica.last_caught_up_ms;
    return state;
  };
  for (const auto& topic : request.topics) {
    auto& topic_answer = response.topics.emplace_back();
    topic_answer.topic_name = topic.topic_name;
    for (const auto& partition : topic.partitions) {
      auto& answer = topic_answer.partitions.emplace_back();
      answer.partition_index = partition.partition_index;
      answer.error_message = std::nullopt;
      if (topic.topic_name != metadata::kMetadataTopicName || partition.partition_index != 0) {
        set_fault(answer, {ErrorCode::unknown_topic_or_partition, ""});
        continue;
      }
      if (!leads) {
        set_fault(answer, {ErrorCode::not_leader_or_follower, ""});
        continue;
      }
      described = true;
      answer.error_message = "";
      answer.leader_id = quorum.leader.leader_id;
      answer.leader_epoch = quorum.leader.epoch;
      answer.high_watermark = quorum.high_watermark;
      for (const auto& voter : quorum.voters) answer.current_voters.push_back(replica_of(voter));
      for (const auto& observer : quorum.observers) answer.observers.push_back(replica_of(observer));
    }
  }
  if (!described || !shows_directories) return response;
  for (const auto& [id, voter] : quorum.voter_set.by_id()) {
    auto& node = response.nodes.emplace_back();
    node.node_id = id;
    for (const raft::Endpoint& endpoint : voter.endpoints) {
      auto& listener = node.listeners.emplace_back();
      listener.name = endpoint.name;
      listener.host = endpoint.host;
      listener.port = endpoint.port;
    }
  }
  return response;
}

}  // namespace klamm::controller
