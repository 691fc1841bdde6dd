// Topic configuration: what a topic sets by itself, over the defaults that its broker's settings give it. The parsed
// form, LogConfig, is in log_config.h (all that storage needs).
//
// Pure functions; any shard may call them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "broker/config/dynamic_config.h"
#include "broker/config/log_config.h"

namespace klamm::config {

// The parsed configuration of a topic whose own settings are `overrides`. Never fails: a setting that does not parse (a
// newer release wrote it, or somebody edited the metadata) is passed over, and told to `complaints` if that is not
// null.
LogConfig make_log_config(const BrokerLayers& layers, const ConfigMap& overrides,
                          std::vector<std::string>* complaints = nullptr);

// Whether a topic may have `overrides` as all of its own settings; `before` are the ones it has now (empty for a new
// topic). Fails with Errc::invalid_argument; the handler answers INVALID_CONFIG with the context as message.
Result<void> validate_topic_config(const BrokerLayers& layers, const ConfigMap& overrides,
                                   const ConfigMap& before = {});

// The value of a topic key that the topic does not set: its broker key's value in force, in the topic key's unit.
ConfigValue topic_default(const BrokerLayers& layers, const ConfigKey& topic_key);

}  // namespace klamm::config
