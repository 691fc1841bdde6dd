// APIs that the controller answers: the request goes to its shard as it is.
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "protocol/messages/alter_configs_request.h"
#include "protocol/messages/alter_configs_response.h"
#include "protocol/messages/alter_partition_reassignments_request.h"
#include "protocol/messages/alter_partition_reassignments_response.h"
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

// How long a reply waits for this shard to see what it tells of.
constexpr Duration kReadYourWrites = 5s;

template <typename Request>
Instant deadline_of(const Request& request, Instant now) {
  if constexpr (requires { request.timeout_ms; }) return now + milliseconds(std::max(0, request.timeout_ms));
  return Instant::never();
}

template <auto method, typename Request, typename Response>
io::Task<Response> forwarded(Call& call, Request request) {
  Services& services = call.services;
  security::RequestContext context = call.context;
  context.api_version = call.version;
  context.deadline = deadline_of(request, services.shard.now());
  std::int64_t committed = -1;
  auto on_controller = [&services, &context, &request, &committed]() -> io::Task<Response> {
    Response response = co_await (services.controller.*method)(context, std::move(request));
    committed = services.raft.high_watermark() - 1;
    co_return response;
  };
  Response response = co_await io::call(services.shard, services.controller_shard, on_controller);
  // Whoever is told that a topic is there must find it with the next request on this connection.
  const Instant patience = std::min(context.deadline, services.shard.now() + kReadYourWrites);
  co_await services.publisher.wait_for(services.shard, committed, patience);
  co_return response;
}

template <auto method, typename Request, typename Response>
io::Task<Reply> forward(Call& call, Slice body) {
  return serve_with<&forwarded<method, Request, Response>, Request, Response>(call, std::move(body));
}

using controller::Controller;

}  // namespace

#define KLAMM_FORWARD(name, Type)                                                                                \
  io::Task<Reply> name(Call& call, Slice body) {                                                                 \
    return forward<&Controller::name, protocol::Type##Request, protocol::Type##Response>(call, std::move(body)); \
  }
KLAMM_FORWARD(create_topics, CreateTopics)
KLAMM_FORWARD(delete_topics, DeleteTopics)
KLAMM_FORWARD(create_partitions, CreatePartitions)
KLAMM_FORWARD(incremental_alter_configs, IncrementalAlterConfigs)
KLAMM_FORWARD(alter_configs, AlterConfigs)
KLAMM_FORWARD(elect_leaders, ElectLeaders)
KLAMM_FORWARD(alter_partition_reassignments, AlterPartitionReassignments)
KLAMM_FORWARD(list_partition_reassignments, ListPartitionReassignments)
KLAMM_FORWARD(describe_quorum, DescribeQuorum)
KLAMM_FORWARD(update_features, UpdateFeatures)
KLAMM_FORWARD(unregister_broker, UnregisterBroker)
#undef KLAMM_FORWARD

}  // namespace klamm::handler
