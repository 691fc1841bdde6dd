// Configurations: describe, alter, list resources.
#include <charconv>

#include "client/admin/admin_core.h"
#include "protocol/messages/describe_configs_request.h"
#include "protocol/messages/describe_configs_response.h"
#include "protocol/messages/incremental_alter_configs_request.h"
#include "protocol/messages/incremental_alter_configs_response.h"
#include "protocol/messages/list_config_resources_request.h"
#include "protocol/messages/list_config_resources_response.h"

namespace klamm::client {

namespace {

// A broker's own settings are that broker's to tell and to change; -1: any node may be asked.
BrokerNumber owner_of(const ConfigResource& resource) {
  if (resource.type != ConfigResourceType::broker && resource.type != ConfigResourceType::broker_logger) return -1;
  BrokerNumber number = -1;
  std::from_chars(resource.name.data(), resource.name.data() + resource.name.size(), number);
  return number;
}

std::string name_of(const ConfigResource& resource) {
  switch (resource.type) {
    case ConfigResourceType::topic: return "topic " + resource.name;
    case ConfigResourceType::broker: return resource.name.empty() ? "brokers' default" : "broker " + resource.name;
    case ConfigResourceType::broker_logger: return "loggers of broker " + resource.name;
    case ConfigResourceType::client_metrics: return "client metrics " + resource.name;
    case ConfigResourceType::group: return "group " + resource.name;
  }
  return resource.name;
}

ConfigEntry entry_of(const protocol::DescribeConfigsResponse::DescribeConfigsResourceResult& from) {
  ConfigEntry entry;
  entry.name = from.name;
  entry.value = from.value;
  entry.source = static_cast<ConfigSource>(from.config_source < 0 ? 0 : from.config_source);
  entry.read_only = from.read_only;
  entry.sensitive = from.is_sensitive;
  entry.type = from.config_type;
  entry.documentation = from.documentation.value_or("");
  for (const auto& synonym : from.synonyms) {
    entry.synonyms.push_back({synonym.name, synonym.value, static_cast<ConfigSource>(synonym.source)});
  }
  return entry;
}

}  // namespace

template <typename Outcome, typename RequestFor, typename Take>
io::Task<Result<void>> AdminCore::ask_owners(const ResourcesByOwner& by_owner, Route others, Patience& patience,
                                             Outcome& outcome, RequestFor request_for, Take take) {
  bool answered = false;
  std::optional<Error> unanswered;
  const auto ask_one = [&](BrokerNumber owner, std::vector<ConfigResource> resources, Patience own) -> io::Task<void> {
    auto response = co_await ask(owner < 0 ? others : node(owner), request_for(resources), own);
    if (!response) {
      unanswered = response.error();
      for (const ConfigResource& resource : resources) outcome.insert_or_assign(resource, fail(response.error()));
      co_return;
    }
    answered = true;
    take(*response);
  };
  io::Gate asking(shard_);
  for (const auto& [owner, resources] : by_owner) asking.spawn(ask_one(owner, resources, patience));
  co_await asking.close();
  if (unanswered && !answered) co_return fail(std::move(*unanswered));
  co_return Result<void>();
}

io::Task<Result<DescribeConfigs::Outcome>> AdminCore::run(DescribeConfigs operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DescribeConfigs");
  DescribeConfigs::Outcome outcome;
  ResourcesByOwner by_owner;
  for (const ConfigResource& resource : operation.resources) by_owner[owner_of(resource)].push_back(resource);
  const auto request_for = [&](const std::vector<ConfigResource>& resources) {
    protocol::DescribeConfigsRequest request;
    request.include_synonyms = operation.synonyms;
    request.include_documentation = operation.documentation;
    for (const ConfigResource& resource : resources) {
      auto& asked = request.resources.emplace_back();
      asked.resource_type = static_cast<std::int8_t>(resource.type);
      asked.resource_name = resource.name;
      if (operation.names.empty()) {
        asked.configuration_keys.reset();
      } else {
        asked.configuration_keys = operation.names;
      }
    }
    return request;
  };
  const auto take = [&](const protocol::DescribeConfigsResponse& response) {
    for (const auto& result : response.results) {
      const ConfigResource resource{static_cast<ConfigResourceType>(result.resource_type), result.resource_name};
      const ErrorCode code = protocol::error_code_from(result.error_code);
      if (code != ErrorCode::none) {
        outcome.insert_or_assign(resource, fail(item_error(code, name_of(resource), result.error_message)));
        continue;
      }
      std::vector<ConfigEntry> entries;
      entries.reserve(result.configs.size());
      for (const auto& one : result.configs) entries.push_back(entry_of(one));
      outcome.insert_or_assign(resource, std::move(entries));
    }
  };
  Result<void> asked = co_await ask_owners(by_owner, any_node(), patience, outcome, request_for, take);
  KLAMM_CO_TRY(asked);
  co_return outcome;
}

io::Task<Result<AlterConfigs::Outcome>> AdminCore::run(AlterConfigs operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "AlterConfigs");
  AlterConfigs::Outcome outcome;
  ResourcesByOwner by_owner;
  for (const auto& [resource, changes] : operation.changes) {
    // Among controllers it is the active one that writes a broker's settings; the broker itself is none of them, or is
    // one that only votes. Loggers are set on the node itself in any case.
    const bool written_here = settings_.to_controllers && resource.type == ConfigResourceType::broker;
    by_owner[written_here ? -1 : owner_of(resource)].push_back(resource);
  }
  const auto request_for = [&](const std::vector<ConfigResource>& resources) {
    protocol::IncrementalAlterConfigsRequest request;
    request.validate_only = operation.validate_only;
    for (const ConfigResource& resource : resources) {
      auto& asked = request.resources.emplace_back();
      asked.resource_type = static_cast<std::int8_t>(resource.type);
      asked.resource_name = resource.name;
      for (const AlterConfig& change : operation.changes.at(resource)) {
        auto& config = asked.configs.emplace_back();
        config.name = change.name;
        config.config_operation = static_cast<std::int8_t>(change.op);
        config.value = change.value;
      }
    }
    return request;
  };
  const auto take = [&](const protocol::IncrementalAlterConfigsResponse& response) {
    for (const auto& result : response.responses) {
      const ConfigResource resource{static_cast<ConfigResourceType>(result.resource_type), result.resource_name};
      const ErrorCode code = protocol::error_code_from(result.error_code);
      Result<void> ended;
      if (code != ErrorCode::none) ended = fail(item_error(code, name_of(resource), result.error_message));
      outcome.insert_or_assign(resource, std::move(ended));
    }
  };
  Result<void> asked = co_await ask_owners(by_owner, controller(), patience, outcome, request_for, take);
  KLAMM_CO_TRY(asked);
  co_return outcome;
}

io::Task<Result<ListConfigResources::Outcome>> AdminCore::run(ListConfigResources operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "ListConfigResources");
  protocol::ListConfigResourcesRequest request;
  for (const ConfigResourceType type : operation.types)
    request.resource_types.push_back(static_cast<std::int8_t>(type));
  // Version 0 knows client metrics only.
  const bool only_metrics = operation.types.size() == 1 && operation.types.contains(ConfigResourceType::client_metrics);
  rpc::VersionBounds bounds;
  bounds.lowest = only_metrics ? 0 : 1;
  Result<protocol::ListConfigResourcesResponse> response =
      co_await ask(any_node(), std::move(request), patience, bounds);
  KLAMM_CO_TRY(response);
  const ErrorCode code = protocol::error_code_from(response->error_code);
  if (code != ErrorCode::none) co_return fail(item_error(code, "config resources"));
  ListConfigResources::Outcome resources;
  for (const auto& one : response->config_resources) {
    resources.push_back({static_cast<ConfigResourceType>(one.resource_type), one.resource_name});
  }
  std::sort(resources.begin(), resources.end());
  co_return resources;
}

}  // namespace klamm::client
