#include "broker/config/resource_config.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/check.h"
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

struct GroupLimit {
  std::string_view group_key;
  std::string_view low;  // broker keys; empty: no limit
  std::string_view high;
};

constexpr GroupLimit kLimits[] = {
    {"consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms",
     "group.consumer.max.heartbeat.interval.ms"},
    {"consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
    {"consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms",
     "group.consumer.max.assignment.interval.ms"},
    {"share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
    {"share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
    {"share.assignment.interval.ms", "group.share.min.assignment.interval.ms",
     "group.share.max.assignment.interval.ms"},
    {"share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms",
     "group.share.max.record.lock.duration.ms"},
    {"share.delivery.count.limit", "group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"},
    {"share.partition.max.record.locks", "group.share.min.partition.max.record.locks",
     "group.share.max.partition.max.record.locks"},
    {"streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms",
     "group.streams.max.heartbeat.interval.ms"},
    {"streams.session.timeout.ms", "group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
    {"streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms",
     "group.streams.max.assignment.interval.ms"},
    {"streams.num.standby.replicas", "", "group.streams.max.standby.replicas"},
};

constexpr std::array<std::string_view, 3> kKinds{"consumer", "share", "streams"};

constexpr std::array<std::string_view, 6> kMatchNames{"client_instance_id",    "client_id",
                                                      "client_software_name",  "client_software_version",
                                                      "client_source_address", "client_source_port"};

std::int64_t integer(const ConfigValue& value) { return std::get<std::int64_t>(value); }

Result<void> check_names(const ConfigDef& def, const ConfigMap& overrides, std::string_view what) {
  for (const auto& [name, text] : overrides) {
    const ConfigKey* key = def.find(name);
    if (key == nullptr) return fail(Errc::invalid_argument, "Unknown " + std::string(what) + " config name: " + name);
    const Result<ConfigValue> value = parse_value(*key, text);
    if (!value) return fail(value.error());
  }
  return {};
}

Result<void> check_limit(const BrokerLayers& layers, const ConfigMap& overrides, const GroupLimit& limit) {
  if (!overrides.contains(limit.group_key)) return {};
  const std::int64_t value = integer(effective_group_value(layers, overrides, limit.group_key));
  if (!limit.low.empty()) {
    const std::int64_t low = integer(effective_value(layers, limit.low));
    if (value < low) {
      return fail(config_error(
          limit.group_key, std::to_string(value),
          "Value must be greater than or equal to " + std::string(limit.low) + " (" + std::to_string(low) + ")"));
    }
  }
  const std::int64_t high = integer(effective_value(layers, limit.high));
  if (value > high) {
    return fail(config_error(
        limit.group_key, std::to_string(value),
        "Value must be less than or equal to " + std::string(limit.high) + " (" + std::to_string(high) + ")"));
  }
  return {};
}

}  // namespace

ConfigValue effective_group_value(const BrokerLayers& layers, const ConfigMap& overrides, std::string_view name) {
  const ConfigKey* key = group_def().find(name);
  KLAMM_CHECK(key != nullptr, name);
  const auto given = overrides.find(name);
  if (given != overrides.end()) {
    Result<ConfigValue> value = parse_value(*key, given->second);
    if (value) return *std::move(value);
  }
  for (const GroupSynonym& synonym : group_synonyms()) {
    if (synonym.group_key == name) return effective_value(layers, synonym.broker_key);
  }
  return default_value(*key);
}

Result<void> validate_group_config(const BrokerLayers& layers, const ConfigMap& overrides) {
  Result<void> names = check_names(group_def(), overrides, "group");
  KLAMM_TRY(names);
  for (const GroupLimit& limit : kLimits) {
    Result<void> within = check_limit(layers, overrides, limit);
    KLAMM_TRY(within);
  }
  for (const std::string_view kind : kKinds) {
    const std::string session = std::string(kind) + ".session.timeout.ms";
    const std::string heartbeat = std::string(kind) + ".heartbeat.interval.ms";
    if (!overrides.contains(session) && !overrides.contains(heartbeat)) continue;
    const std::int64_t session_ms = integer(effective_group_value(layers, overrides, session));
    const std::int64_t heartbeat_ms = integer(effective_group_value(layers, overrides, heartbeat));
    if (session_ms <= heartbeat_ms) {
      return fail(config_error(session, std::to_string(session_ms),
                               "Value must be greater than " + heartbeat + " (" + std::to_string(heartbeat_ms) + ")"));
    }
  }
  return {};
}

Result<void> validate_client_metrics_config(const ConfigMap& overrides) {
  constexpr std::int64_t kLeastMs = 100;
  constexpr std::int64_t kMostMs = 3'600'000;
  Result<void> names = check_names(client_metrics_def(), overrides, "client metrics");
  KLAMM_TRY(names);
  if (const auto given = overrides.find("interval.ms"); given != overrides.end()) {
    const Result<ConfigValue> interval = parse_value(*client_metrics_def().find("interval.ms"), given->second);
    if (!interval) return fail(interval.error());
    if (integer(*interval) < kLeastMs || integer(*interval) > kMostMs) {
      return fail(config_error("interval.ms", given->second, "interval must be between 100 and 3600000 (1 hour)"));
    }
  }
  if (const auto given = overrides.find("match"); given != overrides.end()) {
    const Result<ConfigValue> match = parse_value(*client_metrics_def().find("match"), given->second);
    if (!match) return fail(match.error());
    for (const std::string& pattern : std::get<std::vector<std::string>>(*match)) {
      const std::size_t equals = pattern.find('=');
      const std::string_view name = std::string_view(pattern).substr(0, equals);
      if (equals == std::string::npos || equals + 1 == pattern.size())
        return fail(config_error("match", given->second, "'" + pattern + "' is not name=pattern"));
      if (std::find(kMatchNames.begin(), kMatchNames.end(), name) == kMatchNames.end()) {
        return fail(config_error("match", given->second,
                                 "'" + std::string(name) +
                                     "' is not one of client_instance_id, client_id, client_software_name, "
                                     "client_software_version, client_source_address, client_source_port"));
      }
    }
  }
  return {};
}

}  // namespace klamm::config
