#include "broker/controller/configs.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "broker/config/registry.h"
#include "broker/config/resource_config.h"
#include "broker/config/topic_config.h"
#include "broker/metadata/image_writer.h"

namespace klamm::controller {
namespace {

constexpr std::string_view kMinInsyncReplicas = "min.insync.replicas";
constexpr std::size_t kLongestValue = 32'767;

enum class Operation : std::int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

struct Change {
  std::string name;
  Operation operation = Operation::set;
  std::optional<std::string> value;
};

const ConfigDef* def_of(ConfigResourceType type) {
  switch (type) {
    case ConfigResourceType::topic: return &config::topic_def();
    case ConfigResourceType::broker: return &config::broker_def();
    case ConfigResourceType::group: return &config::group_def();
    case ConfigResourceType::client_metrics: return &config::client_metrics_def();
    case ConfigResourceType::unknown:
    case ConfigResourceType::broker_logger: return nullptr;
  }
  return nullptr;
}

std::optional<std::int32_t> parse_id(std::string_view text) {
  std::int32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return id;
}

// Whether the resource is there and may have settings.
Fault check_resource(const Compute& compute, const ConfigResource& resource) {
  switch (resource.type) {
    case ConfigResourceType::topic:
      if (compute.image.topics.find(resource.name) == nullptr) {
        return {ErrorCode::unknown_topic_or_partition, fmt::format("The topic '{}' does not exist.", resource.name)};
      }
      return {};
    case ConfigResourceType::broker: {
      if (resource.name.empty()) return {};
      const std::optional<std::int32_t> id = parse_id(resource.name);
      if (!id)
        return {ErrorCode::invalid_request, fmt::format("Node id must be an integer, but it is: {}", resource.name)};
      const bool known = compute.broker(*id) != nullptr || compute.image.cluster.controllers.contains(*id);
      if (!known) return {ErrorCode::broker_id_not_registered, fmt::format("No node with id {} found.", *id)};
      return {};
    }
    case ConfigResourceType::group:
      if (resource.name.empty()) return {ErrorCode::invalid_request, "Default group resources are not allowed."};
      return {};
    case ConfigResourceType::client_metrics:
      if (resource.name.empty())
        return {ErrorCode::invalid_request, "Default client metrics resources are not allowed."};
      return {};
    case ConfigResourceType::broker_logger:
      return {ErrorCode::invalid_request,
              "Unexpected resource type BROKER_LOGGER: loggers are set on the broker itself."};
    case ConfigResourceType::unknown: break;
  }
  return {ErrorCode::invalid_request, fmt::format("Unexpected resource type {}.", static_cast<int>(resource.type))};
}

// Whether the resource may have `proposed` as all of its settings.
Fault check_settings(const Compute& compute, const ConfigResource& resource, const ConfigMap& proposed,
                     const ConfigMap& before) {
  Result<void> good;
  switch (resource.type) {
    case ConfigResourceType::topic: good = config::validate_topic_config(compute.layers(), proposed, before); break;
    case ConfigResourceType::broker: {
      config::BrokerLayers layers = compute.layers();
      if (!resource.name.empty()) layers.per_broker = &before;
      good = config::validate_broker_update(layers, proposed, !resource.name.empty());
      break;
    }
    case ConfigResourceType::group: good = config::validate_group_config(compute.layers(), proposed); break;
    case ConfigResourceType::client_metrics: good = config::validate_client_metrics_config(proposed); break;
    case ConfigResourceType::unknown:
    case ConfigResourceType::broker_logger: break;
  }
  if (good) return {};
  // Kafka's brokers check their own settings, and have one code for all that is wrong with them.
  const bool of_broker = resource.type == ConfigResourceType::broker;
  return {of_broker || good.error() == Errc::unsupported ? ErrorCode::invalid_request : ErrorCode::invalid_config,
          good.error().context()};
}

// With ELR, min.insync.replicas decides what is safe to elect: it has one value for the cluster, which cannot go.
Fault check_elr_rules(const Compute& compute, const ConfigResource& resource, const ConfigMap& proposed,
                      const ConfigMap& before) {
  if (!compute.image.elr_enabled() || resource.type != ConfigResourceType::broker) return {};
  const auto was = before.find(kMinInsyncReplicas);
  const auto is = proposed.find(kMinInsyncReplicas);
  if (resource.name.empty()) {
    if (was != before.end() && is == proposed.end()) {
      return {ErrorCode::invalid_config, "Cluster level min.insync.replicas cannot be removed while ELR is enabled."};
    }
    return {};
  }
  if (is != proposed.end() && (was == before.end() || was->second != is->second)) {
    return {ErrorCode::invalid_config, "Broker-level min.insync.replicas cannot be altered while ELR is enabled."};
  }
  return {};
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.emplace_back(part);
  }
  return parts;
}

std::string join_list(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

// APPEND or SUBTRACT on the list that the key has now, or has by default.
Fault change_list(const ConfigResource& resource, const Change& change, ConfigMap& settings) {
  const ConfigDef* def = def_of(resource.type);
  const ConfigKey* key = resource.type == ConfigResourceType::broker ? config::find_broker_key(change.name)
                         : def == nullptr                            ? nullptr
                                                                     : def->find(change.name);
  const bool appends = change.operation == Operation::append;
  if (key == nullptr || key->type != ConfigType::list) {
    return {ErrorCode::invalid_config, fmt::format("Can't {} to key {} because its type is not LIST.",
                                                   appends ? "APPEND" : "SUBTRACT", change.name)};
  }
  std::vector<std::string> parts;
  if (const auto found = settings.find(change.name); found != settings.end()) {
    parts = split_list(found->second);
  } else if (key->fallback.kind == ConfigDefault::Kind::text) {
    parts = split_list(key->fallback.text);
  }
  for (const std::string& part : split_list(*change.value)) {
    const auto found = std::find(parts.begin(), parts.end(), part);
    if (appends && found == parts.end()) parts.push_back(part);
    if (!appends && found != parts.end()) parts.erase(found);
  }
  settings.insert_or_assign(change.name, join_list(parts));
  return {};
}

Fault apply_changes(const ConfigResource& resource, const std::vector<Change>& changes, ConfigMap& settings) {
  std::set<std::string> names;
  std::string nulls;
  for (const Change& change : changes) {
    if (!names.insert(change.name).second) return {ErrorCode::invalid_request, "Error due to duplicate config keys"};
    if (!change.value && change.operation != Operation::remove) nulls += (nulls.empty() ? "" : ",") + change.name;
  }
  if (!nulls.empty()) return {ErrorCode::invalid_request, "Null value not supported for : " + nulls};
  for (const Change& change : changes) {
    if (change.value && change.value->size() > kLongestValue) {
      return {
          ErrorCode::invalid_config,
          fmt::format("The configuration value cannot be added because it exceeds the maximum value size of {} bytes.",
                      kLongestValue)};
    }
    switch (change.operation) {
      case Operation::set: settings.insert_or_assign(change.name, *change.value); break;
      case Operation::remove: settings.erase(change.name); break;
      case Operation::append:
      case Operation::subtract:
        if (Fault fault = change_list(resource, change, settings)) return fault;
        break;
      default:
        return {ErrorCode::invalid_request,
                fmt::format("Unknown operation type {}.", static_cast<int>(change.operation))};
    }
  }
  return {};
}

// The records that bring the resource from `before` to `after`.
void write_changes(const Compute& compute, const ConfigResource& resource, const ConfigMap& before,
                   const ConfigMap& after, const std::set<std::string>& named, Records& records) {
  bool min_isr_changed = false;
  for (const auto& [name, value] : before) {
    if (after.contains(name)) continue;
    records.push_back(metadata::config_record(resource, name, std::nullopt));
    min_isr_changed = min_isr_changed || name == kMinInsyncReplicas;
  }
  for (const auto& [name, value] : after) {
    const auto found = before.find(name);
    const bool same = found != before.end() && found->second == value;
    // A broker's setting is written anew even if it is the same: a key store may have other content under its old name.
    if (same && !(resource.type == ConfigResourceType::broker && named.contains(name))) continue;
    records.push_back(metadata::config_record(resource, name, value));
    min_isr_changed = min_isr_changed || (name == kMinInsyncReplicas && !same);
  }
  const bool concerns_all = resource.type == ConfigResourceType::broker && resource.name.empty();
  if (min_isr_changed && compute.image.elr_enabled() && (concerns_all || resource.type == ConfigResourceType::topic)) {
    // What was eligible under the old value need not be under the new one.
    messages::ClearElrRecord clear;
    clear.topic_name = concerns_all ? std::string() : resource.name;
    records.push_back({std::move(clear), 0});
  }
}

Fault alter_resource(const Compute& compute, const ConfigResource& resource, const std::vector<Change>& changes,
                     bool replace_all, Records& records) {
  if (Fault fault = check_resource(compute, resource)) return fault;
  const ConfigMap& before = compute.image.configs.of(resource);
  ConfigMap after = replace_all ? ConfigMap() : before;
  if (Fault fault = apply_changes(resource, changes, after)) return fault;
  if (Fault fault = check_settings(compute, resource, after, before)) return fault;
  if (Fault fault = check_elr_rules(compute, resource, after, before)) return fault;
  std::set<std::string> named;
  for (const Change& change : changes) named.insert(change.name);
  if (records.size() + before.size() + after.size() > kMaxRecordsPerRequest) {
    return {ErrorCode::policy_violation, "Excessively large number of settings per request."};
  }
  write_changes(compute, resource, before, after, named, records);
  return {};
}

// What both requests have in common: resources, each once, each answered.
template <typename Response, typename Request, typename ToChange>
Decision<Response> alter(const Compute& compute, const Request& request, bool replace_all, ToChange to_change) {
  Decision<Response> decision;
  decision.atomic = false;
  std::map<ConfigResource, int> times;
  for (const auto& asked : request.resources) {
    ++times[{static_cast<ConfigResourceType>(asked.resource_type), asked.resource_name}];
  }
  for (const auto& asked : request.resources) {
    const ConfigResource resource{static_cast<ConfigResourceType>(asked.resource_type), asked.resource_name};
    const int count = times[resource];
    if (count == 0) continue;
    Fault fault;
    if (count > 1) {
      times[resource] = 0;
      fault = {ErrorCode::invalid_request, "Each resource must appear at most once."};
    } else {
      std::vector<Change> changes;
      changes.reserve(asked.configs.size());
      for (const auto& config : asked.configs) changes.push_back(to_change(config));
      fault = alter_resource(compute, resource, changes, replace_all, decision.records);
    }
    auto& answer = decision.response.responses.emplace_back();
    answer.resource_type = asked.resource_type;
    answer.resource_name = asked.resource_name;
    answer.error_message = std::nullopt;
    if (fault) set_fault(answer, fault);
  }
  if (request.validate_only) decision.records.clear();
  return decision;
}

}  // namespace

Decision<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
    const Compute& compute, const protocol::IncrementalAlterConfigsRequest& request) {
  return alter<protocol::IncrementalAlterConfigsResponse>(compute, request, false, [](const auto& config) {
    return Change{config.name, static_cast<Operation>(config.config_operation), config.value};
  });
}

Decision<protocol::AlterConfigsResponse> alter_configs(const Compute& compute,
                                                       const protocol::AlterConfigsRequest& request) {
  return alter<protocol::AlterConfigsResponse>(compute, request, true, [](const auto& config) {
    return Change{config.name, Operation::set, config.value};
  });
}

}  // namespace klamm::controller
