// DescribeCluster, and the other questions that the image alone answers: topic partitions page by page, config
// resources.
#include <algorithm>
#include <limits>

#include "broker/controller/cluster.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/handler/topics_view.h"
#include "broker/storage/names.h"
#include "protocol/messages/describe_topic_partitions_request.h"
#include "protocol/messages/describe_topic_partitions_response.h"
#include "protocol/messages/list_config_resources_request.h"
#include "protocol/messages/list_config_resources_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

io::Task<protocol::DescribeClusterResponse> describe(Call& call, protocol::DescribeClusterRequest request) {
  const metadata::ImageRef image = call.services.image();
  controller::DescribeClusterContext context;
  context.cluster_id = call.services.cluster_id;
  context.listener = call.context.listener;
  context.random = call.services.shard.random().next();
  protocol::DescribeClusterResponse response = controller::describe_cluster(*image, request, context, call.version);
  if (response.error_code == 0 && request.include_cluster_authorized_operations) {
    response.cluster_authorized_operations = kClusterOperations;
  }
  co_return response;
}

// A page of topics: partitions are counted over all of them, and a cursor tells where the next page begins.
class TopicPages {
 public:
  TopicPages(const metadata::MetadataImage& image, const Call& call, std::int32_t limit)
      : image_(image), call_(call), left_(limit) {}

  // False when the page is full.
  bool add(const std::string& name, std::int32_t first_partition, protocol::DescribeTopicPartitionsResponse& response) {
    const metadata::TopicImage* topic = image_.topics.find(std::string_view(name));
    if (topic == nullptr) {
      auto& answer = response.topics.emplace_back();
      answer.name = name;
      answer.error_code = code(storage::check_topic_name(name) ? ErrorCode::unknown_topic_or_partition
                                                               : ErrorCode::invalid_topic_exception);
      return true;
    }
    if (left_ <= 0) return stop_at(name, first_partition, response);
    auto& answer = response.topics.emplace_back();
    answer.name = name;
    answer.topic_id = topic->id;
    answer.is_internal = is_internal_topic(name);
    for (std::int32_t index = first_partition; index < topic->partition_count(); ++index) {
      const metadata::PartitionRegistration* partition = topic->partition(index);
      if (partition == nullptr) continue;
      if (left_-- <= 0) return stop_at(name, index, response);
      add_partition(answer.partitions.emplace_back(),
                    view_partition(image_, *partition, index, call_.context.listener));
    }
    return true;
  }

 private:
  static bool stop_at(const std::string& name, std::int32_t partition,
                      protocol::DescribeTopicPartitionsResponse& response) {
    auto& cursor = response.next_cursor.emplace();
    cursor.topic_name = name;
    cursor.partition_index = partition;
    return false;
  }
  static void add_partition(auto& answer, const PartitionView& view) {
    answer.error_code = code(view.error);
    answer.partition_index = view.index;
    answer.leader_id = view.leader;
    answer.leader_epoch = view.leader_epoch;
    answer.replica_nodes = view.replicas;
    answer.isr_nodes = view.isr;
    answer.eligible_leader_replicas = view.elr;
    answer.last_known_elr = view.last_known_elr;
    answer.offline_replicas = view.offline;
  }

  const metadata::MetadataImage& image_;
  const Call& call_;
  std::int32_t left_;
};

io::Task<protocol::DescribeTopicPartitionsResponse> describe_partitions(
    Call& call, protocol::DescribeTopicPartitionsRequest request) {
  const metadata::ImageRef image = call.services.image();
  protocol::DescribeTopicPartitionsResponse response;
  std::vector<std::string> names;
  names.reserve(request.topics.size());
  for (const auto& topic : request.topics) names.push_back(topic.name);
  if (names.empty()) {
    for (const auto& [name, topic] : image->topics.by_name()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const std::int32_t most = call.services.config.limits().max_request_partition_size_limit;
  TopicPages pages(*image, call, std::max(1, std::min(most, request.response_partition_limit)));
  for (const std::string& name : names) {
    std::int32_t first = 0;
    if (request.cursor) {
      if (name < request.cursor->topic_name) continue;
      if (name == request.cursor->topic_name) first = std::max(0, request.cursor->partition_index);
    }
    if (!pages.add(name, first, response)) break;
  }
  for (auto& topic : response.topics) topic.topic_authorized_operations = kTopicOperations;
  co_return response;
}

io::Task<protocol::ListConfigResourcesResponse> list_resources(Call& call,
                                                               protocol::ListConfigResourcesRequest request) {
  using metadata::ConfigResourceType;
  const metadata::ImageRef image = call.services.image();
  protocol::ListConfigResourcesResponse response;
  std::vector<std::int8_t> types = request.resource_types;
  if (types.empty()) {  // version 0 knows client metrics only
    types = {static_cast<std::int8_t>(ConfigResourceType::client_metrics)};
    if (call.version >= 1) types = {2, 4, 8, 16, 32};
  }
  auto add = [&](std::int8_t type, const std::string& name) {
    auto& resource = response.config_resources.emplace_back();
    resource.resource_name = name;
    resource.resource_type = type;
  };
  for (const std::int8_t type : types) {
    switch (static_cast<ConfigResourceType>(type)) {
      case ConfigResourceType::topic:
        for (const auto& [name, topic] : image->topics.by_name()) add(type, name);
        break;
      case ConfigResourceType::broker:
      case ConfigResourceType::broker_logger:
        for (const auto& [id, broker] : image->cluster.brokers) add(type, std::to_string(id));
        break;
      case ConfigResourceType::client_metrics:
      case ConfigResourceType::group:
        for (const auto& [resource, values] : image->configs.resources) {
          if (resource.type == static_cast<ConfigResourceType>(type)) add(type, resource.name);
        }
        break;
      default:
        response.error_code = code(ErrorCode::unsupported_version);
        response.config_resources.clear();
        co_return response;
    }
  }
  co_return response;
}

}  // namespace

io::Task<Reply> describe_cluster(Call& call, Slice body) {
  return serve_with<&describe, protocol::DescribeClusterRequest, protocol::DescribeClusterResponse>(call,
                                                                                                    std::move(body));
}
io::Task<Reply> describe_topic_partitions(Call& call, Slice body) {
  return serve_with<&describe_partitions, protocol::DescribeTopicPartitionsRequest,
                    protocol::DescribeTopicPartitionsResponse>(call, std::move(body));
}
io::Task<Reply> list_config_resources(Call& call, Slice body) {
  return serve_with<&list_resources, protocol::ListConfigResourcesRequest, protocol::ListConfigResourcesResponse>(
      call, std::move(body));
}

}  // namespace klamm::handler
