// APIs that the controller answers: the broker hands the request on in an Envelope.
#include <algorithm>
#include <string>
#include <type_traits>

#include "broker/controller/refusals.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/handler/tls_settings.h"
#include "protocol/messages/alter_configs_request.h"
#include "protocol/messages/alter_configs_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"
#include "protocol/messages/incremental_alter_configs_request.h"
#include "protocol/messages/incremental_alter_configs_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

// How long a reply waits for this shard to see what it tells of.
constexpr Duration kReadYourWrites = 5s;
// What the way to the controller may take beside the request's own timeout.
constexpr Duration kGrace = 5s;

// The requests that only ask: nobody has to wait until the answer's state is known here.
template <typename Request>
constexpr bool kChangesMetadata = Request::kApiKey != protocol::ApiKey::describe_quorum &&
                                  Request::kApiKey != protocol::ApiKey::list_partition_reassignments;

template <typename Request>
Instant deadline_of(const Request& request, Instant now) {
  if constexpr (requires { request.timeout_ms; }) return now + milliseconds(std::max(0, request.timeout_ms));
  return Instant::never();
}

// What a client is told whose request the controller did not answer. One that the controller does not know ends the
// connection, so that the client learns anew which versions there are.
template <typename Request>
Reply not_answered(Call& call, const Request& request, const Error& error) {
  const ErrorCode code = protocol::code_of(error);
  call.services.logger.warning("{} of {} was not answered by the controller: {}", protocol::name(Request::kApiKey),
                               call.context.client_address, error.message());
  if (code == ErrorCode::unsupported_version) return Reply::close("the controller does not know the request's version");
  controller::Fault fault{ErrorCode::request_timed_out, "The controller did not answer in time."};
  if (code == ErrorCode::unknown_server_error) fault = {code, error.context()};
  return respond(call, controller::refuse(request, fault));
}

template <typename Request>
io::Task<Reply> forward(Call& call, Slice body) {
  // A body that does not decode ends the connection here, as any other of a client's.
  Result<Request> request = wire::decode_request<Request>(body, call.version);
  if (!request) co_return Reply::close(request.error().message());
  Services& services = call.services;
  protocol::RequestHeader header;
  header.request_api_key = call.api_key;
  header.request_api_version = call.version;
  header.correlation_id = call.correlation_id;
  header.client_id = call.context.client_id;
  const Instant deadline = deadline_of(*request, services.shard.now());
  // The controller answers in time by itself: it gets a little longer.
  const Instant patience = deadline == Instant::never() ? deadline : deadline + kGrace;
  auto on_controller_shard = [&services, &call, patience, bytes = Forwarder::join(header, body)]() {
    return services.forwarder.forward(bytes, call.context, patience, kChangesMetadata<Request>);
  };
  Result<Forwarder::Answer> answer = co_await io::call(services.shard, services.controller_shard, on_controller_shard);
  if (!answer) co_return not_answered(call, *request, answer.error());
  // Whoever is told that a topic is there must find it with the next request on this connection.
  const Instant until = std::min(deadline, services.shard.now() + kReadYourWrites);
  co_await services.publisher.wait_for(services.shard, answer->committed, until);
  wire::Writer size(protocol::kFrameSizeBytes);
  size.write_int32(static_cast<std::int32_t>(answer->response.size()));
  io::Pieces frame;
  frame.emplace_back(size.take_slice());
  frame.emplace_back(std::move(answer->response));
  co_return Reply::respond(std::move(frame));
}

// ---- Settings of this broker: what only it can check, its key stores, is checked here, as Kafka does it.

constexpr std::int8_t kBrokerResource = 4;

void change(ConfigMap& settings, const auto& config) {
  bool removes = !config.value;
  if constexpr (requires { config.config_operation; }) removes = removes || config.config_operation == 1;
  if (removes) {
    settings.erase(config.name);
  } else {
    settings.insert_or_assign(config.name, *config.value);
  }
}

// Puts the resources that cannot be had aside, each with its answer.
template <typename Request, typename Response>
io::Task<void> set_refused_aside(Call& call, Request& request, Response& refused) {
  const std::string here = std::to_string(call.services.broker_id());
  constexpr bool kReplaces = std::is_same_v<Request, protocol::AlterConfigsRequest>;
  for (auto each = request.resources.begin(); each != request.resources.end();) {
    Result<void> good;
    if (each->resource_type == kBrokerResource && each->resource_name == here) {
      const metadata::ImageRef image = call.services.image();
      ConfigMap proposed = kReplaces ? ConfigMap() : image->configs.of_broker(call.services.broker_id());
      for (const auto& config : each->configs) change(proposed, config);
      good = co_await check_tls_settings(call.services, std::move(proposed));
    }
    if (good) {
      ++each;
      continue;
    }
    auto& answer = refused.responses.emplace_back();
    answer.resource_type = each->resource_type;
    answer.resource_name = each->resource_name;
    answer.error_code = code(good.error());
    answer.error_message = good.error().context();
    each = request.resources.erase(each);
  }
}

template <typename Request, typename Response>
io::Task<Reply> alter(Call& call, Slice body) {
  Result<Request> request = wire::decode_request<Request>(body, call.version);
  if (!request) co_return Reply::close(request.error().message());
  Response refused;
  co_await set_refused_aside(call, *request, refused);
  if (refused.responses.empty()) {
    Reply reply = co_await forward<Request>(call, std::move(body));
    co_return reply;
  }
  if (request->resources.empty()) co_return respond(call, refused);
  Services& services = call.services;
  auto ask = [&services, &call, &request]() {
    return services.forwarder.ask(*request, call.context, services.shard.now() + Forwarder::kPatience);
  };
  Result<Response> answer = co_await io::call(services.shard, services.controller_shard, ask);
  if (!answer) co_return not_answered(call, *request, answer.error());
  for (auto& each : refused.responses) answer->responses.push_back(std::move(each));
  co_return respond(call, *answer);
}

}  // namespace

io::Task<Reply> incremental_alter_configs(Call& call, Slice body) {
  return alter<protocol::IncrementalAlterConfigsRequest, protocol::IncrementalAlterConfigsResponse>(call,
                                                                                                    std::move(body));
}
io::Task<Reply> alter_configs(Call& call, Slice body) {
  return alter<protocol::AlterConfigsRequest, protocol::AlterConfigsResponse>(call, std::move(body));
}

#define KLAMM_FORWARD(name, Type) \
  io::Task<Reply> name(Call& call, Slice body) { return forward<protocol::Type##Request>(call, std::move(body)); }
KLAMM_FORWARD(create_topics, CreateTopics)
KLAMM_FORWARD(delete_topics, DeleteTopics)
KLAMM_FORWARD(create_partitions, CreatePartitions)
KLAMM_FORWARD(elect_leaders, ElectLeaders)
KLAMM_FORWARD(alter_partition_reassignments, AlterPartitionReassignments)
KLAMM_FORWARD(list_partition_reassignments, ListPartitionReassignments)
KLAMM_FORWARD(describe_quorum, DescribeQuorum)
KLAMM_FORWARD(update_features, UpdateFeatures)
KLAMM_FORWARD(unregister_broker, UnregisterBroker)
KLAMM_FORWARD(add_raft_voter, AddRaftVoter)
KLAMM_FORWARD(remove_raft_voter, RemoveRaftVoter)
#undef KLAMM_FORWARD

}  // namespace klamm::handler
