// Metadata: brokers, topics and their leaders, as this broker's image has them; creates missing topics where allowed.
#include <algorithm>
#include <limits>
#include <set>

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

// How long a client's question waits for the topics that it makes. Then the client asks again.
constexpr Duration kCreationPatience = 5s;

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
  request.timeout_ms = static_cast<std::int32_t>(kCreationPatience / 1ms);
  for (const std::string& name : names) {
    auto& topic = request.topics.emplace_back();
    topic.name = name;
    topic.num_partitions = -1;
    topic.replication_factor = -1;
  }
  const Instant deadline = services.shard.now() + kCreationPatience;
  auto create = [&services, &call, &request, deadline]() {
    return services.forwarder.ask(request, call.context, deadline);
  };
  Result<protocol::CreateTopicsResponse> created = co_await io::call(services.shard, services.controller_shard, create);
  if (!created) {
    services.logger.warning("topics were not created: {}", created.error().message());
    for (std::string& name : names) {
      add_missing(response, std::move(name), {}, ErrorCode::unknown_topic_or_partition);
    }
    co_return;
  }
  for (const auto& topic : created->topics) {
    ErrorCode error = static_cast<ErrorCode>(topic.error_code);
    if (error == ErrorCode::none || error == ErrorCode::topic_already_exists || error == ErrorCode::not_controller ||
        error == ErrorCode::request_timed_out) {
      error = ErrorCode::unknown_topic_or_partition;
    }
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

// Before version 12 topics are asked for by name only, though the field for the id is there.
bool asks_by_id_too_early(const MetadataRequest& request, std::int16_t version) {
  if (!request.topics || version >= 12) return false;
  return std::any_of(request.topics->begin(), request.topics->end(),
                     [](const auto& topic) { return !topic.name || topic.topic_id != Uuid(); });
}

MetadataResponse refuse_ids(const MetadataRequest& request) {
  MetadataResponse response;
  for (const auto& topic : *request.topics) {
    add_missing(response, topic.name.value_or(""), topic.topic_id, ErrorCode::invalid_request);
  }
  return response;
}

io::Task<MetadataResponse> describe_topics(Call& call, const MetadataRequest& request) {
  if (asks_by_id_too_early(request, call.version)) co_return refuse_ids(request);
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
  std::set<std::string_view> named;
  for (const auto& topic : *request.topics) {
    if (topic.name && !named.insert(*topic.name).second) continue;
    if (!topic.name) {
      const metadata::TopicImage* known = image->topics.find(topic.topic_id);
      if (known != nullptr) {
        add_topic(response, *image, *known, call);
      } else {
        add_missing(response, std::nullopt, topic.topic_id, ErrorCode::unknown_topic_id);
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

io::Task<MetadataResponse> describe(Call& call, MetadataRequest request) {
  MetadataResponse response = co_await describe_topics(call, request);
  if (call.version >= 8 && request.include_topic_authorized_operations) {
    for (auto& topic : response.topics) topic.topic_authorized_operations = kTopicOperations;
  }
  if (call.version >= 8 && call.version <= 10 && request.include_cluster_authorized_operations) {
    response.cluster_authorized_operations = kClusterOperations;
  }
  co_return response;
}

}  // namespace

io::Task<Reply> metadata(Call& call, Slice body) {
  return serve_with<&describe, MetadataRequest, MetadataResponse>(call, std::move(body));
}

}  // namespace klamm::handler
