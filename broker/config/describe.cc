#include "broker/config/describe.h"

#include <algorithm>
#include <set>
#include <utility>

#include "broker/config/broker_keys.h"
#include "broker/config/topic_config.h"

namespace klamm::config {
namespace {

// Every place where one of `names` is set, layer by layer from the strongest, then the defaults. As in Kafka the list
// starts at the key itself: what stands before it (another unit's key, a listener's) is dropped.
std::vector<ConfigSynonym> synonyms_from(const BrokerLayers& layers, std::string_view name) {
  struct Layer {
    const ConfigMap* map;
    ConfigSource source;
  };
  const Layer kLayers[] = {
      {layers.per_broker, ConfigSource::dynamic_broker},
      {layers.cluster_wide, ConfigSource::dynamic_default_broker},
      {layers.file == nullptr ? nullptr : &layers.file->values().originals(), ConfigSource::static_broker},
  };
  const std::vector<std::string_view> names = broker_synonyms(name);
  std::vector<ConfigSynonym> found;
  const auto add = [&](std::string_view synonym, std::optional<std::string> text, ConfigSource source) {
    if (found.empty() && synonym != name) return;
    const ConfigKey* key = find_broker_key(synonym);
    if (key == nullptr || key->sensitive()) text.reset();
    found.push_back({std::string(synonym), std::move(text), source});
  };
  for (const Layer& layer : kLayers) {
    if (layer.map == nullptr) continue;
    for (const std::string_view synonym : names) {
      const auto given = layer.map->find(synonym);
      if (given != layer.map->end()) add(synonym, given->second, layer.source);
    }
  }
  for (const std::string_view synonym : names) {
    const ConfigKey* key = broker_def().find(synonym);
    if (key == nullptr) continue;
    std::optional<std::string> text = value_text(default_value(*key));
    if (text) add(synonym, std::move(text), ConfigSource::default_value);
  }
  return found;
}

ConfigEntry entry_of(const ConfigKey& key, std::string_view name, const ConfigValue& value) {
  return {.name = std::string(name),
          .value = key.sensitive() ? std::nullopt : value_text(value),
          .sensitive = key.sensitive(),
          .type = static_cast<std::int8_t>(key.type),
          .doc = key.doc};
}

void take_source(ConfigEntry& entry) {
  entry.source = entry.synonyms.empty() ? ConfigSource::default_value : entry.synonyms.front().source;
}

ConfigEntry broker_entry(const BrokerLayers& layers, std::string_view name) {
  const ConfigKey* key = find_broker_key(name);
  ConfigEntry entry;
  if (key == nullptr) {
    // A plugin's key: nobody knows whether it is a secret.
    entry.name = name;
    entry.sensitive = true;
  } else if (broker_def().find(name) != nullptr || replication_quota_def().find(name) != nullptr) {
    entry = entry_of(*key, name, effective_value(layers, name));
  } else {
    const std::vector<ConfigSynonym> listener = synonyms_from(layers, name);
    entry = entry_of(*key, name, {});
    if (!listener.empty()) entry.value = listener.front().value;
  }
  entry.read_only = !is_dynamic_broker_key(name);
  entry.synonyms = synonyms_from(layers, name);
  take_source(entry);
  return entry;
}

// An entry of a resource whose own settings are in `overrides` and whose default comes from a broker key (or from the
// table, if `broker_key` is empty).
ConfigEntry resource_entry(const BrokerLayers& layers, const ConfigKey& key, const ConfigMap& overrides,
                           const ConfigValue& fallback, std::string_view broker_key, ConfigSource own) {
  const auto given = overrides.find(key.name);
  ConfigValue value = fallback;
  if (given != overrides.end()) {
    Result<ConfigValue> parsed = parse_value(key, given->second);
    if (parsed) value = *std::move(parsed);
  }
  ConfigEntry entry = entry_of(key, key.name, value);
  if (!broker_key.empty()) entry.synonyms = synonyms_from(layers, broker_key);
  if (given != overrides.end()) entry.synonyms.insert(entry.synonyms.begin(), {entry.name, entry.value, own});
  take_source(entry);
  return entry;
}

}  // namespace

std::vector<ConfigEntry> describe_broker(const BrokerLayers& layers) {
  std::set<std::string_view> names;
  for (const ConfigKey& key : broker_def().keys()) {
    if (!key.internal) names.insert(key.name);
  }
  const ConfigMap* file = layers.file == nullptr ? nullptr : &layers.file->values().originals();
  for (const ConfigMap* layer : {layers.per_broker, layers.cluster_wide, file}) {
    if (layer == nullptr) continue;
    for (const auto& [name, text] : *layer) names.insert(name);
  }
  std::vector<ConfigEntry> entries;
  entries.reserve(names.size());
  for (const std::string_view name : names) entries.push_back(broker_entry(layers, name));
  return entries;
}

std::vector<ConfigEntry> describe_cluster_default(const BrokerLayers& layers) {
  std::vector<ConfigEntry> entries;
  if (layers.cluster_wide == nullptr) return entries;
  const BrokerLayers only_default{.cluster_wide = layers.cluster_wide};
  for (const auto& [name, text] : *layers.cluster_wide) {
    ConfigEntry entry = broker_entry(only_default, name);
    std::erase_if(entry.synonyms,
                  [](const ConfigSynonym& synonym) { return synonym.source != ConfigSource::dynamic_default_broker; });
    take_source(entry);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<ConfigEntry> describe_topic(const BrokerLayers& layers, const ConfigMap& overrides) {
  std::vector<ConfigEntry> entries;
  for (const ConfigKey& key : topic_def().keys()) {
    if (key.internal && !overrides.contains(key.name)) continue;
    std::string_view broker_key;
    for (const TopicSynonyms& synonyms : topic_synonyms()) {
      if (synonyms.topic_key == key.name) broker_key = synonyms.broker_keys[0].broker_key;
    }
    entries.push_back(
        resource_entry(layers, key, overrides, topic_default(layers, key), broker_key, ConfigSource::dynamic_topic));
  }
  return entries;
}

std::vector<ConfigEntry> describe_group(const BrokerLayers& layers, const ConfigMap& overrides) {
  std::vector<ConfigEntry> entries;
  for (const ConfigKey& key : group_def().keys()) {
    std::string_view broker_key;
    for (const GroupSynonym& synonym : group_synonyms()) {
      if (synonym.group_key == key.name) broker_key = synonym.broker_key;
    }
    const ConfigValue fallback = broker_key.empty() ? default_value(key) : effective_value(layers, broker_key);
    entries.push_back(resource_entry(layers, key, overrides, fallback, broker_key, ConfigSource::group));
  }
  return entries;
}

std::vector<ConfigEntry> describe_client_metrics(const ConfigMap& overrides) {
  std::vector<ConfigEntry> entries;
  for (const ConfigKey& key : client_metrics_def().keys())
    entries.push_back(resource_entry({}, key, overrides, default_value(key), {}, ConfigSource::client_metrics));
  return entries;
}

}  // namespace klamm::config
