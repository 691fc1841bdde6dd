#include <algorithm>
#include <charconv>
#include <map>

#include "base/properties.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

// A kind of entity, as --entity-type names it, and the options that stand for it and its name.
struct Kind {
  std::string_view type;
  std::string_view option;
  std::string_view defaults_option;            // of the default entity
  std::optional<ConfigResourceType> resource;  // nothing: quotas and credentials, which are not served yet
  ConfigSource source;
};
constexpr Kind kKinds[] = {
    {"topics", "topic", "", ConfigResourceType::topic, ConfigSource::dynamic_topic},
    {"clients", "client", "client-defaults", std::nullopt, ConfigSource::unknown},
    {"users", "user", "user-defaults", std::nullopt, ConfigSource::unknown},
    {"brokers", "broker", "broker-defaults", ConfigResourceType::broker, ConfigSource::dynamic_broker},
    {"ips", "ip", "ip-defaults", std::nullopt, ConfigSource::unknown},
    {"client-metrics", "client-metrics", "", ConfigResourceType::client_metrics, ConfigSource::client_metrics},
    {"groups", "group", "", ConfigResourceType::group, ConfigSource::group},
    {"broker-loggers", "broker-logger", "", ConfigResourceType::broker_logger, ConfigSource::dynamic_broker_logger},
};

Options declare() {
  Options options("configs", "Describes and changes the configuration of topics, brokers, groups and client metrics.");
  options.flag("--describe", "Print configurations.");
  options.flag("--alter", "Change configurations.");
  options.admin_client(false).admin_controllers();
  options.text("--entity-type", "type",
               "topics, brokers, client-metrics or groups (clients, users and ips are not served yet).");
  options.text("--entity-name", "name", "The entity's name: of a topic, the id of a broker.");
  options.flag("--entity-default", "The default for all entities of the type.");
  options.text("--topic", "topic", "A topic.");
  options.text("--broker", "id", "A broker.");
  options.flag("--broker-defaults", "The defaults of all brokers.");
  options.text("--broker-logger", "id", "The loggers of a broker.");
  options.text("--client-metrics", "name", "A client metrics subscription.");
  options.text("--group", "group", "A group.");
  options.text("--client", "id", "Quotas are not served yet.");
  options.flag("--client-defaults", "Quotas are not served yet.");
  options.text("--user", "name", "Quotas are not served yet.");
  options.flag("--user-defaults", "Quotas are not served yet.");
  options.text("--ip", "address", "Quotas are not served yet.");
  options.flag("--ip-defaults", "Quotas are not served yet.");
  options.flag("--all", "With --describe: all configurations, with those that have their default.");
  options.text("--add-config", "k1=v1,k2=[v1,v2]",
               "With --alter: what to set; brackets keep a value with commas together.");
  options.text("--add-config-file", "file", "With --alter: a properties file with what to set.");
  options.text("--delete-config", "k1,k2", "With --alter: what to set back to its default.");
  return options;
}

struct Entity {
  const Kind* kind = nullptr;
  std::optional<std::string> name;  // "" for the default entity; nothing: all
};

std::string all_types() {
  std::vector<std::string_view> names;
  names.reserve(std::size(kKinds));
  for (const Kind& kind : kKinds) names.push_back(kind.type);
  return joined(names, ", ");
}

// The entity that the options mean; an exit status when they mean none.
std::optional<int> find_entity(const Options& options, Entity& entity) {
  if (const auto type = options.text_of("entity-type")) {
    for (const Kind& kind : kKinds) {
      if (kind.type == *type) entity.kind = &kind;
    }
    if (entity.kind == nullptr) {
      return fail_with(
          "Invalid entity type {}, the entity type must be one of {} with a --bootstrap-server or "
          "--bootstrap-controller argument",
          *type, all_types());
    }
    if (options.has("entity-default")) entity.name = "";
    if (const auto name = options.text_of("entity-name")) entity.name = *name;
  }
  for (const Kind& kind : kKinds) {
    const bool defaults = !kind.defaults_option.empty() && options.has(kind.defaults_option);
    if (!options.has(kind.option) && !defaults) continue;
    if (entity.kind != nullptr)
      return fail_text(
          "--entity-{type,name,default} should not be used in conjunction with specific entity flags, and only one "
          "entity may be given");
    entity.kind = &kind;
    entity.name = defaults ? std::string() : *options.text_of(kind.option);
  }
  if (entity.kind == nullptr) return fail_text("At least one entity type must be specified");
  if (!entity.kind->resource) return fail_with("{}: quotas and credentials are not served yet", entity.kind->type);
  if (entity.kind->type.starts_with("broker") && entity.name && !entity.name->empty()) {
    std::int32_t id = 0;
    const std::string& text = *entity.name;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || end != text.data() + text.size()) {
      return fail_with("The entity name for {} must be a valid integer broker id, but it is: {}", entity.kind->type,
                       text);
    }
  }
  return std::nullopt;
}

// "k1=v1,k2=[v1,v2]" to names and values; fails with Kafka's sentence.
Result<std::map<std::string, std::string>> parse_additions(std::string_view text) {
  std::map<std::string, std::string> additions;
  while (!text.empty()) {
    std::size_t end = 0;
    std::size_t equals = std::string_view::npos;
    bool several = false;
    for (int depth = 0; end < text.size() && (depth > 0 || text[end] != ','); ++end) {
      if (text[end] == '[') ++depth;
      if (text[end] == ']' && depth > 0) --depth;
      if (text[end] != '=' || depth > 0) continue;
      several = several || equals != std::string_view::npos;
      if (equals == std::string_view::npos) equals = end;
    }
    if (equals == std::string_view::npos || several) {
      return fail(Errc::invalid_argument,
                  "requirement failed: Invalid entity config: all configs to be added must be in the format "
                  "\"key=val\" or  \"key=[val1,val2]\" to "
                  "group values which contain commas.");
    }
    std::string value(text.substr(equals + 1, end - equals - 1));
    std::erase(value, '[');
    std::erase(value, ']');
    additions.insert_or_assign(std::string(trimmed(text.substr(0, equals))), std::string(trimmed(value)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return additions;
}

class Configs {
 public:
  Configs(const Options& options, blocking::Admin& admin, Entity entity, const Arguments& arguments)
      : options_(options), admin_(admin), entity_(std::move(entity)), arguments_(arguments) {}
  int describe();
  int alter();

 private:
  ConfigResource resource(const std::string& name) const { return {*entity_.kind->resource, name}; }
  std::string kind_name() const { return std::string(entity_.kind->type.substr(0, entity_.kind->type.size() - 1)); }
  int failed(const Error& error) const {
    return fail_with("Error while executing config command with args '{}': {}", joined(arguments_, " "),
                     reason_of(error));
  }
  // The names of all entities of the kind, those too that have nothing but configurations.
  Result<std::vector<std::string>> existing();
  int print(const std::string& name);

  const Options& options_;
  blocking::Admin& admin_;
  Entity entity_;
  const Arguments& arguments_;
};

Result<std::vector<std::string>> Configs::existing() {
  std::vector<std::string> names;
  if (entity_.kind->type == "topics") {
    Result<ListTopics::Outcome> topics = admin_.list_topics({.internal = true});
    KLAMM_TRY(topics);
    names.reserve(topics->size());
    for (const TopicListing& topic : *topics) names.push_back(topic.name);
    return java_map_order(names);
  }
  if (entity_.kind->type.starts_with("broker")) {
    Result<DescribeCluster::Outcome> cluster = admin_.describe_cluster({});
    KLAMM_TRY(cluster);
    for (const Node& node : cluster->nodes) names.push_back(std::to_string(node.id));
    if (entity_.kind->type == "brokers") names.emplace_back();
    return names;
  }
  Result<ListConfigResources::Outcome> resources = admin_.list_config_resources({.types = {*entity_.kind->resource}});
  KLAMM_TRY(resources);
  for (const ConfigResource& one : *resources) names.push_back(one.name);
  return names;
}

int Configs::describe() {
  Result<std::vector<std::string>> names = existing();
  if (!names) return failed(names.error());
  if (!entity_.name) {
    for (const std::string& name : *names) {
      if (const int status = print(name)) return status;
    }
    return 0;
  }
  const bool exists = entity_.name->empty() || std::find(names->begin(), names->end(), *entity_.name) != names->end();
  if (exists) return print(*entity_.name);
  tools::print("The {} '{}' doesn't exist and doesn't have dynamic config.\n", kind_name(), *entity_.name);
  return 0;
}

std::string_view source_name(ConfigSource source) {
  switch (source) {
    case ConfigSource::dynamic_topic: return "DYNAMIC_TOPIC_CONFIG";
    case ConfigSource::dynamic_broker: return "DYNAMIC_BROKER_CONFIG";
    case ConfigSource::dynamic_default_broker: return "DYNAMIC_DEFAULT_BROKER_CONFIG";
    case ConfigSource::static_broker: return "STATIC_BROKER_CONFIG";
    case ConfigSource::default_value: return "DEFAULT_CONFIG";
    case ConfigSource::dynamic_broker_logger: return "DYNAMIC_BROKER_LOGGER_CONFIG";
    case ConfigSource::client_metrics: return "DYNAMIC_CLIENT_METRICS_CONFIG";
    case ConfigSource::group: return "DYNAMIC_GROUP_CONFIG";
    case ConfigSource::unknown: break;
  }
  return "UNKNOWN";
}

int Configs::print(const std::string& name) {
  Result<DescribeConfigs::Outcome> done = admin_.describe_configs({.resources = {resource(name)}, .synonyms = true});
  if (!done) return failed(done.error());
  auto found = done->find(resource(name));
  if (found == done->end()) return 0;
  if (!found->second) return failed(found->second.error());
  const bool all = options_.has("all");
  if (name.empty()) {
    tools::print("Default configs for {} in the cluster are:\n", entity_.kind->type);
  } else {
    tools::print("{} configs for {} {} are:\n", all ? "All" : "Dynamic", kind_name(), name);
  }
  const ConfigSource wanted = name.empty() ? ConfigSource::dynamic_default_broker : entity_.kind->source;
  std::vector<ConfigEntry>& entries = *found->second;
  std::sort(entries.begin(), entries.end(),
            [](const ConfigEntry& left, const ConfigEntry& right) { return left.name < right.name; });
  for (const ConfigEntry& entry : entries) {
    if (!all && entry.source != wanted && entity_.kind->type != "broker-loggers") continue;
    std::vector<std::string> synonyms;
    synonyms.reserve(entry.synonyms.size());
    for (const ConfigSynonym& synonym : entry.synonyms) {
      synonyms.push_back(
          fmt::format("{}:{}={}", source_name(synonym.source), synonym.name, synonym.value.value_or("null")));
    }
    tools::print("  {}={} sensitive={} synonyms={{{}}}\n", entry.name, entry.value.value_or("null"), entry.sensitive,
                 joined(synonyms, ", "));
  }
  return 0;
}

int Configs::alter() {
  if (!entity_.name) return fail_with("An entity name must be specified with --alter of {}", entity_.kind->type);
  if (!options_.has("add-config") && !options_.has("add-config-file") && !options_.has("delete-config")) {
    return fail_text(
        "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter");
  }
  if (options_.has("add-config") && options_.has("add-config-file"))
    return fail_text("Only one of --add-config or --add-config-file must be specified");
  std::map<std::string, std::string> additions;
  if (const auto text = options_.text_of("add-config")) {
    Result<std::map<std::string, std::string>> parsed = parse_additions(*text);
    if (!parsed) return fail_text(parsed.error().context());
    additions = std::move(*parsed);
  } else if (const auto path = options_.text_of("add-config-file")) {
    Result<std::string> content = file_content(*path);
    if (!content) return fail_error(content.error());
    Result<Properties> properties = Properties::parse(*content);
    if (!properties) return fail_with("{}: {}", *path, reason_of(properties.error()));
    for (const Properties::Entry& entry : properties->entries()) additions.insert_or_assign(entry.key, entry.value);
  }
  AlterConfigs request;
  std::vector<AlterConfig>& changes = request.changes[resource(*entity_.name)];
  for (const auto& [name, value] : additions) changes.push_back({name, AlterConfigOp::set, value});
  for (const std::string& text : split(options_.text_or("delete-config", ""), ',')) {
    if (const std::string name(trimmed(text)); !name.empty())
      changes.push_back({name, AlterConfigOp::remove, std::nullopt});
  }
  Result<AlterConfigs::Outcome> done = admin_.alter_configs(std::move(request));
  if (!done) return failed(done.error());
  for (const auto& [changed, result] : *done) {
    if (!result) return failed(result.error());
  }
  if (entity_.name->empty()) {
    tools::print("Completed updating default config for {} in the cluster.\n", entity_.kind->type);
  } else {
    tools::print("Completed updating config for {} {}.\n", kind_name(), *entity_.name);
  }
  return 0;
}

}  // namespace

int run_configs(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.has("describe") == options.has("alter"))
    return options.usage_error("Command must include exactly one action: --describe, --alter");
  if (const auto status = options.check_bootstrap()) return *status;
  Entity entity;
  if (const auto status = find_entity(options, entity)) return *status;
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Configs configs(options, *admin, std::move(entity), arguments);
  return options.has("describe") ? configs.describe() : configs.alter();
}

}  // namespace klamm::tools
