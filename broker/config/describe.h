// Effective values with where they come from, as DescribeConfigs answers them. Lists are by name. Nothing here looks at
// include_synonyms, include_documentation or the names asked for: the handler leaves out what was not wanted.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "broker/config/dynamic_config.h"

namespace klamm::config {

struct ConfigSynonym {
  std::string name;
  std::optional<std::string> value;  // none: null, or hidden for being a password
  ConfigSource source = ConfigSource::default_value;
};

struct ConfigEntry {
  std::string name;
  std::optional<std::string> value;  // none: null, or hidden for being a password
  ConfigSource source = ConfigSource::default_value;
  bool read_only = false;
  bool sensitive = false;
  std::int8_t type = 0;                      // ConfigType; 0 for names that no table has
  std::string_view doc = {};                 // may be empty
  std::vector<ConfigSynonym> synonyms = {};  // the strongest first
};

// A broker: all of its keys (internal ones if they are set).
std::vector<ConfigEntry> describe_broker(const BrokerLayers& layers);
// The cluster default ("" as broker name): only what is set there.
std::vector<ConfigEntry> describe_cluster_default(const BrokerLayers& layers);
// A topic with its own settings.
std::vector<ConfigEntry> describe_topic(const BrokerLayers& layers, const ConfigMap& overrides);
// A group, which need not exist, with its own settings.
std::vector<ConfigEntry> describe_group(const BrokerLayers& layers, const ConfigMap& overrides);
// A client metrics subscription with its settings.
std::vector<ConfigEntry> describe_client_metrics(const ConfigMap& overrides);

}  // namespace klamm::config
