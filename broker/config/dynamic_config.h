// Broker settings in force: the file, with what was set at run time on top of it. Run-time settings come from Config
// records in the metadata log; they are text, and were checked when they were written, perhaps by another release: a
// value that does not parse here is passed over, never fatal.
//
// All functions are pure; any shard may call them on maps that nobody changes meanwhile.
#pragma once

#include <string>
#include <string_view>

#include "base/config.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/config/registry.h"

namespace klamm::config {

// Where broker settings come from, the strongest first. Borrowed; null is an empty layer.
struct BrokerLayers {
  const ConfigMap* per_broker = nullptr;    // Config records of this broker (resource type 4, name = node id)
  const ConfigMap* cluster_wide = nullptr;  // Config records of the cluster default (resource type 4, name "")
  const BrokerConfig* file = nullptr;       // server.properties
};

// The value of a broker key in force. The key must be in broker_def() or in replication_quota_def().
ConfigValue effective_value(const BrokerLayers& layers, std::string_view key);
// The same for a setting of one listener: listener.name.<name>.<key> where it is set, else the key itself.
ConfigValue effective_listener_value(const BrokerLayers& layers, std::string_view listener, std::string_view key);

// The whole configuration in force, for components that take one at a change. Fails if the settings contradict each
// other (then the one in force before stays).
Result<BrokerConfig> effective_broker_config(const BrokerLayers& layers);

// Whether `proposed`, all the run-time settings that the resource will have, may be set. `per_broker` is false for the
// cluster default. `layers` is what is in force now. Errors have Kafka's wording: Errc::unsupported for a key that cannot
// change at run time, or not here, Errc::invalid_argument for a value that will not do.
Result<void> validate_broker_update(const BrokerLayers& layers, const ConfigMap& proposed, bool per_broker);

// True for keys that kafka-configs may change on a running broker.
bool is_dynamic_broker_key(std::string_view name);

}  // namespace klamm::config
