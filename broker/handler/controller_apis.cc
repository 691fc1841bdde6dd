// What the controller's listeners serve: brokers, other controllers, and clients that talk to controllers directly
// (KIP-919). Only the active controller answers; the others name it in their refusal.
#include <algorithm>

#include "broker/controller/cluster.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "protocol/messages/allocate_producer_ids_request.h"
#include "protocol/messages/allocate_producer_ids_response.h"
#include "protocol/messages/alter_configs_request.h"
#include "protocol/messages/alter_configs_response.h"
#include "protocol/messages/alter_partition_reassignments_request.h"
#include "protocol/messages/alter_partition_reassignments_response.h"
#include "protocol/messages/alter_partition_request.h"
#include "protocol/messages/alter_partition_response.h"
#include "protocol/messages/assign_replicas_to_dirs_request.h"
#include "protocol/messages/assign_replicas_to_dirs_response.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_request.h"
#include "protocol/messages/broker_registration_response.h"
#include "protocol/messages/controller_registration_request.h"
#include "protocol/messages/controller_registration_response.h"
#include "protocol/messages/create_partitions_request.h"
#include "protocol/messages/create_partitions_response.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/delete_topics_request.h"
#include "protocol/messages/delete_topics_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"
#include "protocol/messages/elect_leaders_request.h"
#include "protocol/messages/elect_leaders_response.h"
#include "protocol/messages/incremental_alter_configs_request.h"
#include "protocol/messages/incremental_alter_configs_response.h"
#include "protocol/messages/list_partition_reassignments_request.h"
#include "protocol/messages/list_partition_reassignments_response.h"
#include "protocol/messages/unregister_broker_request.h"
#include "protocol/messages/unregister_broker_response.h"
#include "protocol/messages/update_features_request.h"
#include "protocol/messages/update_features_response.h"

namespace klamm::handler {
namespace {

using controller::Controller;
using protocol::ErrorCode;

template <typename Request>
Instant deadline_of(const Request& request, Instant now) {
  if constexpr (requires { request.timeout_ms; }) return now + milliseconds(std::max(0, request.timeout_ms));
  return Instant::never();
}

// Whether a response says that somebody else is the active controller: at the top, or, where the response has no place
// there, of the things asked for. Refusals of the whole name it for each.
template <typename Response>
bool says_not_controller(const Response& response) {
  constexpr std::int16_t kNotController = protocol::to_wire(ErrorCode::not_controller);
  const auto any = [](const auto& answers) {
    return std::any_of(answers.begin(), answers.end(),
                       [](const auto& answer) { return answer.error_code == kNotController; });
  };
  if constexpr (requires { response.error_code; })
    return response.error_code == kNotController;
  else if constexpr (requires { response.responses; })
    return any(response.responses);
  else if constexpr (requires { response.results; })
    return any(response.results);
  else
    return any(response.topics);
}
bool says_not_controller(const protocol::DescribeQuorumResponse& response) {
  for (const auto& topic : response.topics) {
    for (const auto& partition : topic.partitions) {
      if (partition.error_code == protocol::to_wire(ErrorCode::not_leader_or_follower)) return true;
    }
  }
  return false;
}

template <auto method, typename Request, typename Response>
io::Task<Response> asked(ControllerCall& call, Request request) {
  security::RequestContext context = call.context;
  context.api_version = call.version;
  context.deadline = deadline_of(request, call.services.shard.now());
  Response response = co_await (call.services.controller.*method)(context, std::move(request));
  call.not_controller = says_not_controller(response);
  co_return response;
}

io::Task<protocol::DescribeClusterResponse> describe(ControllerCall& call, protocol::DescribeClusterRequest request) {
  const metadata::ImageRef image = call.services.image();
  controller::DescribeClusterContext context;
  context.cluster_id = call.services.cluster_id;
  context.listener = call.context.listener;
  context.on_controller_listener = true;
  context.leader = call.services.raft.leader().leader_id;
  co_return controller::describe_cluster(*image, request, context, call.version);
}

}  // namespace

#define KLAMM_ASKED(name, method, Type)                                                               \
  io::Task<Reply> name(ControllerCall& call, Slice body) {                                            \
    return serve_with<&asked<&Controller::method, protocol::Type##Request, protocol::Type##Response>, \
                      protocol::Type##Request, protocol::Type##Response>(call, std::move(body));      \
  }
KLAMM_ASKED(create_topics, create_topics, CreateTopics)
KLAMM_ASKED(delete_topics, delete_topics, DeleteTopics)
KLAMM_ASKED(create_partitions, create_partitions, CreatePartitions)
KLAMM_ASKED(incremental_alter_configs, incremental_alter_configs, IncrementalAlterConfigs)
KLAMM_ASKED(alter_configs, alter_configs, AlterConfigs)
KLAMM_ASKED(elect_leaders, elect_leaders, ElectLeaders)
KLAMM_ASKED(alter_partition_reassignments, alter_partition_reassignments, AlterPartitionReassignments)
KLAMM_ASKED(list_partition_reassignments, list_partition_reassignments, ListPartitionReassignments)
KLAMM_ASKED(describe_quorum, describe_quorum, DescribeQuorum)
KLAMM_ASKED(update_features, update_features, UpdateFeatures)
KLAMM_ASKED(unregister_broker, unregister_broker, UnregisterBroker)
KLAMM_ASKED(broker_registration, register_broker, BrokerRegistration)
KLAMM_ASKED(broker_heartbeat, broker_heartbeat, BrokerHeartbeat)
KLAMM_ASKED(controller_registration, register_controller, ControllerRegistration)
KLAMM_ASKED(allocate_producer_ids, allocate_producer_ids, AllocateProducerIds)
KLAMM_ASKED(alter_partition, alter_partition, AlterPartition)
KLAMM_ASKED(assign_replicas_to_dirs, assign_replicas_to_dirs, AssignReplicasToDirs)
#undef KLAMM_ASKED

io::Task<Reply> describe_cluster(ControllerCall& call, Slice body) {
  return serve_with<&describe, protocol::DescribeClusterRequest, protocol::DescribeClusterResponse>(call,
                                                                                                    std::move(body));
}

}  // namespace klamm::handler
