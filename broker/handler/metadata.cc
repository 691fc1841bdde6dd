// Metadata: brokers, topics and their leaders, as this broker's image has them; creates missing topics where allowed.
#include <algorithm>
#include <limits>

#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/handler/topics_view.h"
#include "broker/storage/names.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

void add_topic(MetadataResponse& response, const metadata::MetadataImage& image, const metadata::TopicImage& topic,
               const Call& call) {
  auto& answer = response.topics.emplace_back();
  answer.name = topic.name;
  answer.topic_id = topic.id;
  answer.is_internal = is_internal_topic(topic.name);
  for (std::int32_t index = 0; index < topic.partition_count(); ++index) {
    const metadata::PartitionRegistration* partition = topic.partition(index);
    if (partition == nullptr) continue;
    const PartitionView view = view_partition(image, *partition, index, call.context.listener);
    auto& described = answer.partitions.emplace_back();
    described.error_code = code(view.error);
    described.partition_index = index;
    described.leader_id = view.leader;
    described.leader_epoch = view.leader_epoch;
    described.replica_nodes = view.replicas;
    described.isr_nodes = view.isr;
    described.offline_replicas = view.offline;
  }
}

void add_missing(MetadataResponse& response, std::optional<std::string> name, const Uuid& id, ErrorCode error) {
  auto& answer = response.topics.emplace_back();
  answer.error_code = code(error);
  answer.name = std::move(name);
  answer.topic_id = id;
}

// Asks the controller for the topics that clients named and nobody made. What they are told meanwhile is that the topic
// is not there yet: they ask again.
io::Task<void> create_missing(Call& call, MetadataResponse& response, std::vector<std::string> names) {
  Services& services = call.services;
  protocol::CreateTopicsRequest request;
  request.timeout_ms = 30'000;
  for (const std::string& name : names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = -1;
    topic.replication_factor = -1;
  }
  auto create = [&services, &call, &request]() -> io::Task<protocol::CreateTopicsResponse> {
    security::RequestContext context = call.context;
    context.api_version = protocol::CreateTopicsRequest::kMaxVersion;
    protocol::CreateTopicsResponse created = co_await services.controller.create_topics(context, std::move(request));
    co_return created;
  };
  protocol::CreateTopicsResponse created = co_await io::call(services.shard, services.controller_shard, create);
  for (const auto& topic : created.topics) {
    ErrorCode error = static_cast<ErrorCode>(topic.error_code);
    if (error == ErrorCode::none || error == ErrorCode::topic_already_exists) error = ErrorCode::leader_not_available;
    if (error == ErrorCode::not_controller || error == ErrorCode::request_timed_out)
      error = ErrorCode::unknown_topic_or_partition;
    add_missing(response, topic.name, {}, error);
  }
}

void add_brokers(MetadataResponse& response, const metadata::MetadataImage& image, const Call& call) {
  for (const auto& [id, broker] : image.cluster.brokers) {
    if (broker->fenced) continue;
    const metadata::ListenerEndpoint* endpoint = broker->listener(call.context.listener);
    if (endpoint == nullptr) continue;
    auto& answer = response.brokers.emplace_back();
    answer.node_id = id;
    answer.host = endpoint->host;
    answer.port = endpoint->port;
    answer.rack = broker->rack;
  }
}

io::Task<MetadataResponse> describe(Call& call, MetadataRequest request) {
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  MetadataResponse response;
  add_brokers(response, *image, call);
  response.cluster_id = services.cluster_id;
  // Any live broker forwards to the controller; naming ourselves keeps clients on a connection they have.
  response.controller_id = services.broker_id();
  const bool all = !request.topics || (call.version == 0 && request.topics->empty());
  if (all) {
    for (const auto& [name, topic] : image->topics.by_name()) add_topic(response, *image, *topic, call);
    co_return response;
  }
  std::vector<std::string> missing;
  for (const auto& topic : *request.topics) {
    if (!topic.name) {
      const metadata::TopicImage* known = image->topics.find(topic.topic_id);
      if (known != nullptr) {
        add_topic(response, *image, *known, call);
      } else {
        // Names may be null from version 12 on.
        std::optional<std::string> name;
        if (call.version < 12) name.emplace();
        add_missing(response, std::move(name), topic.topic_id, ErrorCode::unknown_topic_id);
      }
    } else if (const metadata::TopicImage* known = image->topics.find(std::string_view(*topic.name))) {
      add_topic(response, *image, *known, call);
    } else if (!storage::check_topic_name(*topic.name)) {
      add_missing(response, topic.name, {}, ErrorCode::invalid_topic_exception);
    } else if (request.allow_auto_topic_creation && services.config.auto_create_topics()) {
      missing.push_back(*topic.name);
    } else {
      add_missing(response, topic.name, {}, ErrorCode::unknown_topic_or_partition);
    }
  }
  if (!missing.empty()) co_await create_missing(call, response, std::move(missing));
  co_return response;
}

}  // namespace

io::Task<Reply> metadata(Call& call, Slice body) {
  return serve_with<&describe, MetadataRequest, MetadataResponse>(call, std::move(body));
}

}  // namespace klamm::handler
