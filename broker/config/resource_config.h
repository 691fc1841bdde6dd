// Rules for the settings of groups (KIP-848 and its kin) and of client metrics subscriptions (KIP-714). Pure functions;
// errors are Errc::invalid_argument with the text for the client in the context.
#pragma once

#include "base/config.h"
#include "base/result.h"
#include "broker/config/dynamic_config.h"

namespace klamm::config {

// Whether a group may have `overrides` as all of its settings: known names, good values, within the broker's limits
// (group.consumer.min.session.timeout.ms and so on), sessions longer than heartbeats.
Result<void> validate_group_config(const BrokerLayers& layers, const ConfigMap& overrides);

// The value of a group key in force: the group's own, else its broker key's, else the table's default.
ConfigValue effective_group_value(const BrokerLayers& layers, const ConfigMap& overrides, std::string_view key);

// Whether a client metrics subscription may have `overrides`: known names, an interval of 100 to 3,600,000 ms, and
// match patterns of the form name=pattern with a name that KIP-714 has. The patterns are not compiled here.
Result<void> validate_client_metrics_config(const ConfigMap& overrides);

}  // namespace klamm::config
