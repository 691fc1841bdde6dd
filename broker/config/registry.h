// The one registry of what can be configured on a broker, by resource. Registries are made at their first use and live
// for ever; any thread may read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/config.h"

namespace klamm::config {

const ConfigDef& broker_def();             // Kafka's 360 keys and klamm's own
const ConfigDef& topic_def();              // 34 keys
const ConfigDef& group_def();              // 17 keys
const ConfigDef& client_metrics_def();     // 3 keys
const ConfigDef& replication_quota_def();  // 3 keys that a broker has at run time only

// The numbers are those of ConfigResource in requests and in Config records.
enum class ResourceType : std::int8_t { topic = 2, broker = 4, broker_logger = 8, client_metrics = 16, group = 32 };

// Where an effective value comes from: the numbers of DescribeConfigs' ConfigSource.
enum class ConfigSource : std::int8_t {
  dynamic_topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,  // the file
  default_value = 5,
  dynamic_broker_logger = 6,
  client_metrics = 7,
  group = 8,
};

// A broker key or one that a broker has at run time only; the listener prefix ("listener.name.<name>.") is taken off a
// key that may have one. Null if there is none.
const ConfigKey* find_broker_key(std::string_view name);
// "listener.name.internal.ssl.keystore.type" -> "ssl.keystore.type"; the name itself if there is no such prefix.
std::string_view without_listener_prefix(std::string_view name);
bool has_listener_prefix(std::string_view name);
// What stands before the keys of one listener: "listener.name.internal." for INTERNAL.
std::string listener_prefix(std::string_view listener);

// The names that are looked at for a broker key, first the strongest: log.retention.ms, .minutes, .hours and so on; for
// a listener's key its base key after it. The name alone for most.
std::vector<std::string_view> broker_synonyms(std::string_view name);

// Why a broker key of earlier releases is no more, and what to set instead; nothing for other names.
std::optional<std::string_view> removed_broker_key(std::string_view name);
// True for names that belong to plugins (metrics reporters, tiered storage, …), whose keys no table can hold.
bool is_plugin_key(std::string_view name);

}  // namespace klamm::config
