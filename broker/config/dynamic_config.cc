#include "broker/config/dynamic_config.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/check.h"

namespace klamm::config {
namespace {

// Changed for one listener at a time, under its prefix.
constexpr std::array<std::string_view, 10> kPerListenerKeys{"ssl.key.password",
                                                            "ssl.keystore.certificate.chain",
                                                            "ssl.keystore.key",
                                                            "ssl.keystore.location",
                                                            "ssl.keystore.password",
                                                            "ssl.keystore.type",
                                                            "ssl.truststore.certificates",
                                                            "ssl.truststore.location",
                                                            "ssl.truststore.password",
                                                            "ssl.truststore.type"};

// May be set for a listener of every broker at once.
constexpr std::array<std::string_view, 3> kClusterWideListenerKeys{"max.connection.creation.rate", "max.connections",
                                                                   "num.network.threads"};

template <std::size_t Size>
bool contains(const std::array<std::string_view, Size>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

const std::string* find_text(const ConfigMap* layer, std::string_view name) {
  if (layer == nullptr) return nullptr;
  const auto found = layer->find(name);
  return found == layer->end() ? nullptr : &found->second;
}

const ConfigMap* file_of(const BrokerLayers& layers) {
  return layers.file == nullptr ? nullptr : &layers.file->values().originals();
}

// The value of `name` in the strongest layer where it parses; null if it is set nowhere.
ConfigValue set_value(const BrokerLayers& layers, const ConfigKey& key, std::string_view name) {
  const ConfigMap* file = file_of(layers);
  for (const ConfigMap* layer : {layers.per_broker, layers.cluster_wide, file}) {
    const std::string* text = find_text(layer, name);
    if (text == nullptr || (layer != file && key.update == UpdateMode::read_only)) continue;
    Result<ConfigValue> value = parse_value(key, *text);
    if (value) return *std::move(value);
  }
  return {};
}

void overlay(ConfigMap& below, const ConfigMap* layer) {
  if (layer == nullptr) return;
  for (const auto& [name, text] : *layer) {
    const ConfigKey* key = broker_def().find(without_listener_prefix(name));
    if (key == nullptr || key->update == UpdateMode::read_only) continue;
    if (parse_value(*key, text)) below[name] = text;
  }
}

std::string listed(const std::vector<std::string_view>& names) {
  std::string text;
  for (const std::string_view name : names) text.append(text.empty() ? "[" : ", ").append(name);
  return text + "]";
}

// What Kafka makes of a setting that a part of the broker refuses.
tl::unexpected<Error> refused(const std::string& why) {
  return fail(Errc::invalid_argument, "Invalid value org.apache.kafka.common.config.ConfigException: " + why +
                                          " for configuration Invalid dynamic configuration");
}

// Threads of Kafka's that klamm has no counterpart for: their numbers are kept, and move in small steps as there.
constexpr std::array<std::string_view, 5> kThreadKeys{"background.threads", "num.io.threads", "num.network.threads",
                                                      "num.recovery.threads.per.data.dir", "num.replica.fetchers"};

Result<void> check_thread_count(std::string_view key, std::int64_t current, std::int64_t wanted) {
  if (wanted == current) return {};
  const std::string failed =
      "Dynamic thread count update validation failed for " + std::string(key) + "=" + std::to_string(wanted);
  if (wanted <= 0) return refused(failed + ", value should be at least 1");
  if (wanted < current / 2) {
    return refused(failed + ", value should be at least half the current value " + std::to_string(current));
  }
  if (wanted > current * 2) {
    return refused(failed + ", value should not be greater than double the current value " + std::to_string(current));
  }
  return {};
}

Result<void> check_thread_counts(const BrokerLayers& now, const BrokerLayers& after) {
  const auto number = [](const ConfigValue& value) { return std::get<std::int64_t>(value); };
  for (const std::string_view key : kThreadKeys) {
    Result<void> good = check_thread_count(key, number(effective_value(now, key)), number(effective_value(after, key)));
    KLAMM_TRY(good);
  }
  for (const Endpoint& listener : now.file->broker_listeners()) {
    constexpr std::string_view kKey = "num.network.threads";
    Result<void> good = check_thread_count(kKey, number(effective_listener_value(now, listener.listener, kKey)),
                                           number(effective_listener_value(after, listener.listener, kKey)));
    KLAMM_TRY(good);
  }
  return {};
}

// The number of cleaners moves in small steps, as in Kafka.
Result<void> check_cleaner_threads(const BrokerLayers& now, const BrokerConfig& after) {
  constexpr std::string_view kKey = "log.cleaner.threads";
  const std::int64_t current = std::get<std::int64_t>(effective_value(now, kKey));
  const std::int64_t wanted = after.values().get_int(kKey);
  if (wanted == current) return {};
  if (wanted < 1) return refused("Log cleaner threads should be at least 1");
  if (wanted < current / 2) {
    return refused("Log cleaner threads cannot be reduced to less than half the current value " +
                   std::to_string(current));
  }
  if (wanted > current * 2) {
    return refused("Log cleaner threads cannot be increased to more than double the current value " +
                   std::to_string(current));
  }
  return {};
}

bool allowed_cluster_wide(const ConfigKey& key, std::string_view name) {
  if (without_listener_prefix(name) != name) return contains(kClusterWideListenerKeys, key.name);
  return key.update == UpdateMode::cluster_wide;
}

}  // namespace

bool is_dynamic_broker_key(std::string_view name) {
  const ConfigKey* key = find_broker_key(name);
  return key != nullptr && key->update != UpdateMode::read_only;
}

ConfigValue effective_value(const BrokerLayers& layers, std::string_view name) {
  const ConfigKey* key = find_broker_key(name);
  KLAMM_CHECK(key != nullptr, name);
  ConfigValue value = set_value(layers, *key, name);
  return is_null(value) ? default_value(*key) : value;
}

ConfigValue effective_listener_value(const BrokerLayers& layers, std::string_view listener, std::string_view name) {
  const ConfigKey* key = find_broker_key(name);
  KLAMM_CHECK(key != nullptr, name);
  ConfigValue value = set_value(layers, *key, listener_prefix(listener).append(name));
  return is_null(value) ? effective_value(layers, name) : value;
}

Result<BrokerConfig> effective_broker_config(const BrokerLayers& layers) {
  ConfigMap merged;
  if (const ConfigMap* file = file_of(layers)) merged = *file;
  overlay(merged, layers.cluster_wide);
  overlay(merged, layers.per_broker);
  return BrokerConfig::parse(std::move(merged));
}

Result<void> validate_broker_update(const BrokerLayers& layers, const ConfigMap& proposed, bool per_broker) {
  std::vector<std::string_view> fixed;
  std::vector<std::string_view> needs_listener;
  std::vector<std::string_view> needs_broker;
  for (const auto& [name, text] : proposed) {
    const ConfigKey* key = find_broker_key(name);
    if (key == nullptr) continue;  // Kafka keeps names that it does not know, for plugins
    if (key->update == UpdateMode::read_only)
      fixed.push_back(name);
    else if (per_broker && name == key->name && contains(kPerListenerKeys, name))
      needs_listener.push_back(name);
    else if (!per_broker && !allowed_cluster_wide(*key, name))
      needs_broker.push_back(name);
  }
  if (!fixed.empty()) return fail(Errc::unsupported, "Cannot update these configs dynamically: " + listed(fixed));
  if (!needs_listener.empty()) {
    return fail(Errc::unsupported,
                "These security configs can be dynamically updated only per-listener using the listener prefix: " +
                    listed(needs_listener));
  }
  if (!needs_broker.empty())
    return fail(
        Errc::unsupported,
        "Cannot update these configs at default cluster level, broker id must be specified: " + listed(needs_broker));

  for (const auto& [name, text] : proposed) {
    const ConfigKey* key = find_broker_key(name);
    if (key == nullptr) continue;
    const Result<ConfigValue> value = parse_value(*key, text);
    if (!value) return fail(value.error());
  }
  if (layers.file == nullptr) return {};  // nothing to contradict
  BrokerLayers after = layers;
  (per_broker ? after.per_broker : after.cluster_wide) = &proposed;
  const Result<BrokerConfig> merged = effective_broker_config(after);
  if (!merged) return fail(merged.error());
  const Result<void> threads = check_thread_counts(layers, after);
  KLAMM_TRY(threads);
  return check_cleaner_threads(layers, *merged);
}

}  // namespace klamm::config
