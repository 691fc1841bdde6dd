// DescribeConfigs: the values in force of a topic, a broker, a group or a client metrics subscription, with their
// sources.
#include <algorithm>

#include "broker/config/describe.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/storage/names.h"
#include "protocol/messages/describe_configs_request.h"
#include "protocol/messages/describe_configs_response.h"

namespace klamm::handler {
namespace {

using metadata::ConfigResourceType;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::ErrorCode;
using protocol::kafka_error;

Result<std::vector<config::ConfigEntry>> describe_broker(const NodeServices& services,
                                                         const config::BrokerLayers& layers, const std::string& name) {
  if (name.empty()) return config::describe_cluster_default(layers);
  if (name != std::to_string(services.node_id())) {
    return fail(kafka_error(ErrorCode::invalid_request, "Unexpected broker id, expected " +
                                                            std::to_string(services.node_id()) +
                                                            " or empty string, but received " + name));
  }
  return config::describe_broker(layers);
}

Result<std::vector<config::ConfigEntry>> describe(const NodeServices& services, const metadata::MetadataImage& image,
                                                  std::int8_t type, const std::string& name) {
  const config::BrokerLayers layers{&image.configs.of_broker(services.node_id()), &image.configs.cluster_default(),
                                    &services.config};
  const auto resource = static_cast<ConfigResourceType>(type);
  switch (resource) {
    case ConfigResourceType::topic:
      if (Result<void> good = storage::check_topic_name(name); !good)
        return fail(kafka_error(ErrorCode::invalid_topic_exception, good.error().context()));
      if (image.topics.find(std::string_view(name)) == nullptr)
        return fail(kafka_error(ErrorCode::unknown_topic_or_partition));
      return config::describe_topic(layers, image.configs.of_topic(name));
    case ConfigResourceType::broker: return describe_broker(services, layers, name);
    case ConfigResourceType::broker_logger:
      return std::vector<config::ConfigEntry>();  // klamm's log has one level for all
    case ConfigResourceType::client_metrics:
      if (name.empty())
        return fail(kafka_error(ErrorCode::invalid_request, "Client metrics subscription name must not be empty"));
      return config::describe_client_metrics(image.configs.of({resource, name}));
    case ConfigResourceType::group:
      if (name.empty()) return fail(kafka_error(ErrorCode::invalid_request, "Group name must not be empty"));
      return config::describe_group(layers, image.configs.of({resource, name}));
    case ConfigResourceType::unknown: break;
  }
  return fail(kafka_error(ErrorCode::invalid_request, "Unsupported resource type " + std::to_string(type)));
}

void add_entry(auto& result, const config::ConfigEntry& entry, const DescribeConfigsRequest& request,
               std::int16_t version) {
  auto& answer = result.configs.emplace_back();
  answer.name = entry.name;
  answer.value = entry.value;
  answer.read_only = entry.read_only;
  answer.is_sensitive = entry.sensitive;
  answer.config_source = static_cast<std::int8_t>(entry.source);
  if (version >= 3) {
    answer.config_type = entry.type;
    answer.documentation = std::nullopt;
    if (request.include_documentation) answer.documentation = std::string(entry.doc);
  }
  if (!request.include_synonyms) return;
  for (const config::ConfigSynonym& synonym : entry.synonyms) {
    auto& each = answer.synonyms.emplace_back();
    each.name = synonym.name;
    each.value = synonym.value;
    each.source = static_cast<std::int8_t>(synonym.source);
  }
}

template <typename CallType>
io::Task<DescribeConfigsResponse> answer(CallType& call, DescribeConfigsRequest request) {
  const metadata::ImageRef image = call.services.image();
  DescribeConfigsResponse response;
  for (const auto& resource : request.resources) {
    auto& result = response.results.emplace_back();
    result.resource_type = resource.resource_type;
    result.resource_name = resource.resource_name;
    Result<std::vector<config::ConfigEntry>> entries =
        describe(call.services, *image, resource.resource_type, resource.resource_name);
    if (!entries) {
      result.error_code = code(entries.error());
      result.error_message = entries.error().context().empty()
                                 ? std::string(protocol::default_message(protocol::code_of(entries.error())))
                                 : entries.error().context();
      continue;
    }
    for (const config::ConfigEntry& entry : *entries) {
      const bool wanted = !resource.configuration_keys ||
                          std::find(resource.configuration_keys->begin(), resource.configuration_keys->end(),
                                    entry.name) != resource.configuration_keys->end();
      if (wanted) add_entry(result, entry, request, call.version);
    }
  }
  co_return response;
}

}  // namespace

io::Task<Reply> describe_configs(Call& call, Slice body) {
  return serve_with<&answer<Call>, DescribeConfigsRequest, DescribeConfigsResponse>(call, std::move(body));
}
io::Task<Reply> describe_configs(ControllerCall& call, Slice body) {
  return serve_with<&answer<ControllerCall>, DescribeConfigsRequest, DescribeConfigsResponse>(call, std::move(body));
}

}  // namespace klamm::handler
