#include "broker/config/broker_config.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "broker/config/broker_config_check.h"
#include "broker/config/broker_keys.h"
#include "broker/config/registry.h"

namespace klamm::config {
namespace {

Error removed_error(std::string_view name, std::string_view instead) {
  return {Errc::invalid_argument, "Configuration " + std::string(name) + " was removed: " + std::string(instead)};
}

Error unknown_error(std::string_view name) {
  std::string text = "Unknown configuration " + std::string(name);
  if (replication_quota_def().find(name) != nullptr) {
    text = "Configuration " + std::string(name) + " can only be set at run time, by 'configs --entity-type brokers'";
  } else if (topic_def().find(name) != nullptr) {
    text += ": it is a topic's key";
    for (const TopicSynonyms& synonyms : topic_synonyms()) {
      if (synonyms.topic_key == name)
        text += "; its default for a broker is " + std::string(synonyms.broker_keys[0].broker_key);
    }
  } else if (const auto nearest = broker_def().nearest(name)) {
    text += "; did you mean " + std::string(*nearest) + "?";
  }
  return {Errc::invalid_argument, std::move(text)};
}

// The prefixes that the file itself gives to its remote storage plugins.
bool has_remote_prefix(const ConfigMap& originals, std::string_view name) {
  for (const std::string_view key :
       {"remote.log.metadata.manager.impl.prefix", "remote.log.storage.manager.impl.prefix"}) {
    const auto found = originals.find(key);
    if (found != originals.end() && !found->second.empty() && name.starts_with(found->second)) return true;
  }
  return false;
}

Result<void> check_names(const ConfigMap& originals) {
  for (const auto& [name, value] : originals) {
    if (broker_def().find(name) != nullptr) continue;
    if (const auto instead = removed_broker_key(name)) return fail(removed_error(name, *instead));
    if (is_plugin_key(name) || has_listener_prefix(name) || has_remote_prefix(originals, name)) continue;
    return fail(unknown_error(name));
  }
  return {};
}

// node.id and broker.id stand for each other; a path list is one directory each.
void fill_synonyms(ConfigMap& originals) {
  const auto node = originals.find("node.id");
  const auto broker = originals.find("broker.id");
  if (node == originals.end() && broker != originals.end()) originals.emplace("node.id", broker->second);
}

bool is_secured_name(std::string_view name) { return name == "SSL" || name == "SASL_PLAINTEXT" || name == "SASL_SSL"; }

std::vector<Endpoint> only(const std::vector<Endpoint>& endpoints, const BrokerConfig& config, bool controller) {
  std::vector<Endpoint> chosen;
  for (const Endpoint& endpoint : endpoints) {
    if (config.is_controller_listener(endpoint.listener) == controller) chosen.push_back(endpoint);
  }
  return chosen;
}

Result<std::map<std::string, std::int32_t, std::less<>>> parse_overrides(std::string_view key, std::string_view text) {
  std::map<std::string, std::int32_t, std::less<>> overrides;
  const ConfigKey as_list{key, ConfigType::list, kNoDefault, kAny, Importance::medium};
  const Result<ConfigValue> list = parse_value(as_list, text);
  if (!list) return fail(list.error());
  for (const std::string& pair : std::get<std::vector<std::string>>(*list)) {
    const std::size_t colon = pair.rfind(':');
    std::int32_t count = 0;
    const char* const end = pair.data() + pair.size();
    const bool parsed = colon != std::string::npos && colon > 0 &&
                        std::from_chars(pair.data() + colon + 1, end, count).ptr == end && colon + 1 < pair.size();
    if (!parsed || count < 0)
      return fail(config_error(key, text, "'" + pair + "' is not address:count with a count of 0 or more"));
    overrides[pair.substr(0, colon)] = count;
  }
  return overrides;
}

}  // namespace

Result<BrokerConfig> BrokerConfig::read(std::string_view properties_text) {
  Result<Properties> properties = Properties::parse(properties_text);
  KLAMM_TRY(properties);
  return parse(properties->to_map());
}

Result<BrokerConfig> BrokerConfig::parse(ConfigMap originals) {
  const Result<void> names = check_names(originals);
  if (!names) return fail(names.error());
  fill_synonyms(originals);
  Result<ConfigValues> values = broker_def().parse(std::move(originals));
  KLAMM_TRY(values);
  BrokerConfig config(*std::move(values));
  Result<void> derived = config.derive();
  KLAMM_TRY(derived);
  Result<void> checked = BrokerConfigChecker(config).run();
  KLAMM_TRY(checked);
  return config;
}

Result<void> BrokerConfig::derive() {
  node_id_ = values_.get_int("node.id");
  for (const std::string& role : values_.get_list("process.roles")) {
    is_broker_ = is_broker_ || role == "broker";
    is_controller_ = is_controller_ || role == "controller";
  }
  const std::vector<std::string>* dirs = values_.find_list("log.dirs");
  log_dirs_ = dirs != nullptr ? *dirs : values_.get_list("log.dir");
  metadata_log_dir_ = values_.find_string("metadata.log.dir").value_or(log_dirs_.front());

  for (const std::string& text : values_.get_list("controller.quorum.voters")) {
    Result<Voter> voter = parse_voter(text);
    KLAMM_TRY(voter);  // the key's validator saw it before
    voters_.push_back(*std::move(voter));
  }
  for (const std::string& text : values_.get_list("controller.quorum.bootstrap.servers")) {
    Result<HostPort> server = parse_host_port(text);
    KLAMM_TRY(server);
    bootstrap_servers_.push_back(*std::move(server));
  }
  derive_times();
  Result<void> listeners = derive_listeners();
  KLAMM_TRY(listeners);
  Result<void> inter_broker = derive_inter_broker_listener();
  KLAMM_TRY(inter_broker);
  return derive_limits();
}

Result<void> BrokerConfig::derive_listeners() {
  for (const std::string& name : values_.get_list("controller.listener.names"))
    controller_listener_names_.push_back(normalized_listener_name(name));
  const std::vector<std::string>& listed = values_.get_list("listeners");

  Result<ProtocolMap> protocols =
      parse_protocol_map("listener.security.protocol.map", values_.get_string("listener.security.protocol.map"));
  KLAMM_TRY(protocols);
  protocols_ = *std::move(protocols);
  if (!values_.given("listener.security.protocol.map")) {
    // No map given: controller listeners are PLAINTEXT, unless something secured is in use.
    bool secured = std::any_of(controller_listener_names_.begin(), controller_listener_names_.end(), is_secured_name);
    for (const std::string& text : listed)
      secured = secured || is_secured_name(normalized_listener_name(text.substr(0, text.find("://"))));
    if (!secured) {
      for (const std::string& name : controller_listener_names_) protocols_[name] = SecurityProtocol::plaintext;
    }
  }

  Result<std::vector<Endpoint>> listeners = parse_endpoints("listeners", listed, protocols_, true);
  KLAMM_TRY(listeners);
  listeners_ = *std::move(listeners);

  const std::vector<std::string>* advertised_list = values_.find_list("advertised.listeners");
  std::vector<Endpoint> advertised = listeners_;
  if (advertised_list != nullptr) {
    Result<std::vector<Endpoint>> parsed = parse_endpoints("advertised.listeners", *advertised_list, protocols_, false);
    KLAMM_TRY(parsed);
    advertised = *std::move(parsed);
  }
  advertised_broker_listeners_ = only(advertised, *this, false);

  // A controller listener that is not advertised is reached where it listens; 0.0.0.0 stands for the machine's name.
  for (const std::string& name : controller_listener_names_) {
    const auto named = [&](const Endpoint& endpoint) { return endpoint.listener == name; };
    const auto told = std::find_if(advertised.begin(), advertised.end(), named);
    if (advertised_list != nullptr && told != advertised.end()) {
      advertised_controller_listeners_.push_back(*told);
      continue;
    }
    const auto own = std::find_if(listeners_.begin(), listeners_.end(), named);
    if (own == listeners_.end()) continue;
    advertised_controller_listeners_.push_back(*own);
    if (own->host == "0.0.0.0") advertised_controller_listeners_.back().host.clear();
  }
  return {};
}

Result<void> BrokerConfig::derive_inter_broker_listener() {
  const std::optional<std::string> name = values_.find_string("inter.broker.listener.name");
  if (!name) {
    const std::string& protocol = values_.get_string("security.inter.broker.protocol");
    inter_broker_protocol_ = parse_security_protocol(protocol).value();
    inter_broker_listener_ = name_of(inter_broker_protocol_);
    return {};
  }
  if (values_.given("security.inter.broker.protocol")) {
    return fail(
        config_error("inter.broker.listener.name", *name,
                     "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set"));
  }
  inter_broker_listener_ = normalized_listener_name(*name);
  const auto protocol = protocols_.find(inter_broker_listener_);
  if (protocol == protocols_.end()) {
    return fail(config_error("inter.broker.listener.name", *name,
                             "Listener with this name not found in listener.security.protocol.map"));
  }
  inter_broker_protocol_ = protocol->second;
  return {};
}

Result<void> BrokerConfig::derive_limits() {
  limits_.socket_request_max_bytes = values_.get_int("socket.request.max.bytes");
  limits_.queued_max_request_bytes = values_.get_long("queued.max.request.bytes");
  limits_.queued_max_requests = values_.get_int("queued.max.requests");
  limits_.request_memory_max_bytes = values_.get_long("klamm.request.memory.max.bytes");
  if (!values_.given("klamm.request.memory.max.bytes")) {
    // A file that is good for Kafka stays good here, however large its requests may be.
    limits_.request_memory_max_bytes =
        std::max<std::int64_t>(limits_.request_memory_max_bytes, limits_.socket_request_max_bytes);
  }
  limits_.max_connections = values_.get_int("max.connections");
  limits_.max_connections_per_ip = values_.get_int("max.connections.per.ip");
  limits_.max_connection_creation_rate = values_.get_int("max.connection.creation.rate");
  limits_.connections_max_idle_ms = values_.get_long("connections.max.idle.ms");
  limits_.socket_send_buffer_bytes = values_.get_int("socket.send.buffer.bytes");
  limits_.socket_receive_buffer_bytes = values_.get_int("socket.receive.buffer.bytes");
  limits_.socket_listen_backlog_size = values_.get_int("socket.listen.backlog.size");
  limits_.fetch_max_bytes = values_.get_int("fetch.max.bytes");
  limits_.max_fetch_sessions = values_.get_int("max.incremental.fetch.session.cache.slots");
  limits_.max_request_partition_size_limit = values_.get_int("max.request.partition.size.limit");
  constexpr std::string_view kOverrides = "max.connections.per.ip.overrides";
  auto overrides = parse_overrides(kOverrides, values_.get_string(kOverrides));
  KLAMM_TRY(overrides);
  limits_.max_connections_per_ip_overrides = *std::move(overrides);
  return {};
}

void BrokerConfig::derive_times() {
  log_retention_ms_ = std::max<std::int64_t>(first_time_ms(values_, "retention.ms"), -1);
  log_roll_ms_ = first_time_ms(values_, "segment.ms");
  log_roll_jitter_ms_ = first_time_ms(values_, "segment.jitter.ms");
  log_flush_interval_ms_ = first_time_ms(values_, "flush.ms");
}

std::vector<Endpoint> BrokerConfig::broker_listeners() const { return only(listeners_, *this, false); }
std::vector<Endpoint> BrokerConfig::controller_listeners() const { return only(listeners_, *this, true); }

bool BrokerConfig::is_controller_listener(std::string_view name) const {
  return std::find(controller_listener_names_.begin(), controller_listener_names_.end(), name) !=
         controller_listener_names_.end();
}

std::int64_t first_time_ms(const ConfigValues& values, std::string_view topic_key) {
  for (const TopicSynonyms& synonyms : topic_synonyms()) {
    if (synonyms.topic_key != topic_key) continue;
    for (const Synonym& synonym : synonyms.broker_keys) {
      if (synonym.broker_key.empty()) break;
      const ConfigValue& value = values.value(synonym.broker_key);
      if (const auto* number = std::get_if<std::int64_t>(&value)) return *number * synonym.factor;
    }
  }
  KLAMM_CHECK(false, topic_key);
  return 0;
}

}  // namespace klamm::config
