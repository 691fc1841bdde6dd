#include "broker/config/topic_config.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

const TopicSynonyms* synonyms_of(std::string_view topic_key) {
  for (const TopicSynonyms& synonyms : topic_synonyms()) {
    if (synonyms.topic_key == topic_key) return &synonyms;
  }
  return nullptr;
}

// A topic's keys with their values in force.
class TopicValues {
 public:
  TopicValues(const BrokerLayers& layers, const ConfigMap& overrides, std::vector<std::string>* complaints) {
    for (const ConfigKey& key : topic_def().keys()) {
      ConfigValue& value = values_[key.name];
      const auto given = overrides.find(key.name);
      if (given != overrides.end()) {
        Result<ConfigValue> parsed = parse_value(key, given->second);
        if (parsed) {
          value = *std::move(parsed);
          continue;
        }
        if (complaints != nullptr) complaints->push_back(parsed.error().context());
      }
      value = topic_default(layers, key);
    }
  }

  bool flag(std::string_view key) const { return std::get<bool>(at(key)); }
  std::int64_t number(std::string_view key) const { return std::get<std::int64_t>(at(key)); }
  std::int32_t small(std::string_view key) const { return static_cast<std::int32_t>(number(key)); }
  double real(std::string_view key) const { return std::get<double>(at(key)); }
  const std::string& text(std::string_view key) const { return std::get<std::string>(at(key)); }
  const std::vector<std::string>& list(std::string_view key) const {
    return std::get<std::vector<std::string>>(at(key));
  }
  const ConfigValue& at(std::string_view key) const {
    const auto found = values_.find(key);
    KLAMM_CHECK(found != values_.end(), key);
    return found->second;
  }

 private:
  std::map<std::string_view, ConfigValue> values_;
};

CompressionType compression_type(std::string_view name) {
  if (name == "uncompressed") return CompressionType::uncompressed;
  if (name == "gzip") return CompressionType::gzip;
  if (name == "snappy") return CompressionType::snappy;
  if (name == "lz4") return CompressionType::lz4;
  if (name == "zstd") return CompressionType::zstd;
  return CompressionType::producer;
}

bool contains(const std::vector<std::string>& list, std::string_view element) {
  return std::find(list.begin(), list.end(), element) != list.end();
}

// local.retention.* must lie within retention.*.
Result<void> check_local_retention(const TopicValues& values, std::string_view whole_key, std::string_view local_key) {
  const std::int64_t whole = values.number(whole_key);
  const std::int64_t local = values.number(local_key);
  if (whole < 0 || local == -2) return {};
  if (local == -1) {
    return fail(config_error(
        local_key, "-1",
        "Value must not be -1 as " + std::string(whole_key) + " value is set as " + std::to_string(whole)));
  }
  if (local > whole) {
    return fail(config_error(
        local_key, std::to_string(local),
        "Value must not be more than " + std::string(whole_key) + " property value: " + std::to_string(whole)));
  }
  return {};
}

Result<void> check_remote(const BrokerLayers& layers, const TopicValues& values) {
  if (!std::get<bool>(effective_value(layers, "remote.log.storage.system.enable"))) {
    return fail(
        Errc::invalid_argument,
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.");
  }
  if (contains(values.list("cleanup.policy"), "compact")) {
    return fail(
        Errc::invalid_argument,
        "Remote log storage only supports topics with cleanup.policy=delete or cleanup.policy being an empty list.");
  }
  Result<void> bytes = check_local_retention(values, "retention.bytes", "local.retention.bytes");
  KLAMM_TRY(bytes);
  Result<void> time = check_local_retention(values, "retention.ms", "local.retention.ms");
  KLAMM_TRY(time);
  if (!values.flag("remote.log.copy.disable")) return {};
  for (const std::string_view unit : {"bytes", "ms"}) {
    const std::string whole = "retention." + std::string(unit);
    const std::string local = "local." + whole;
    if (values.number(local) != -2 && values.number(local) != values.number(whole)) {
      return fail(config_error(local, std::to_string(values.number(local)),
                               "With remote.log.copy.disable it must be -2 or equal to " + whole + " (" +
                                   std::to_string(values.number(whole)) + ")"));
    }
  }
  return {};
}

}  // namespace

ConfigValue topic_default(const BrokerLayers& layers, const ConfigKey& topic_key) {
  const TopicSynonyms* synonyms = synonyms_of(topic_key.name);
  if (synonyms == nullptr) return default_value(topic_key);
  for (const Synonym& synonym : synonyms->broker_keys) {
    if (synonym.broker_key.empty()) break;
    ConfigValue value = effective_value(layers, synonym.broker_key);
    if (is_null(value)) continue;
    if (auto* number = std::get_if<std::int64_t>(&value)) {
      *number *= synonym.factor;
      if (topic_key.name == "retention.ms") *number = std::max<std::int64_t>(*number, -1);
    }
    return value;
  }
  return default_value(topic_key);
}

LogConfig make_log_config(const BrokerLayers& layers, const ConfigMap& overrides,
                          std::vector<std::string>* complaints) {
  const TopicValues values(layers, overrides, complaints);
  LogConfig config;
  config.segment_bytes = values.small("segment.bytes");
  const ConfigValue& internal_bytes = values.at("internal.segment.bytes");
  if (!is_null(internal_bytes))
    config.segment_bytes = static_cast<std::int32_t>(std::get<std::int64_t>(internal_bytes));
  config.segment_ms = values.number("segment.ms");
  config.segment_jitter_ms = values.number("segment.jitter.ms");
  config.segment_index_bytes = values.small("segment.index.bytes");
  config.index_interval_bytes = values.small("index.interval.bytes");
  config.preallocate = values.flag("preallocate");
  config.file_delete_delay_ms = values.number("file.delete.delay.ms");
  config.flush_messages = values.number("flush.messages");
  config.flush_ms = values.number("flush.ms");
  config.cleanup_delete = contains(values.list("cleanup.policy"), "delete");
  config.cleanup_compact = contains(values.list("cleanup.policy"), "compact");
  config.retention_bytes = values.number("retention.bytes");
  config.retention_ms = values.number("retention.ms");
  config.delete_retention_ms = values.number("delete.retention.ms");
  config.min_cleanable_dirty_ratio = values.real("min.cleanable.dirty.ratio");
  config.min_compaction_lag_ms = values.number("min.compaction.lag.ms");
  config.max_compaction_lag_ms = values.number("max.compaction.lag.ms");
  config.max_message_bytes = values.small("max.message.bytes");
  config.timestamp_type = values.text("message.timestamp.type") == "LogAppendTime" ? TimestampType::log_append_time
                                                                                   : TimestampType::create_time;
  config.timestamp_before_max_ms = values.number("message.timestamp.before.max.ms");
  config.timestamp_after_max_ms = values.number("message.timestamp.after.max.ms");
  config.compression_type = compression_type(values.text("compression.type"));
  config.compression_gzip_level = values.small("compression.gzip.level");
  config.compression_lz4_level = values.small("compression.lz4.level");
  config.compression_zstd_level = values.small("compression.zstd.level");
  config.min_insync_replicas = values.small("min.insync.replicas");
  config.unclean_leader_election = values.flag("unclean.leader.election.enable");
  config.leader_throttled_replicas = values.list("leader.replication.throttled.replicas");
  config.follower_throttled_replicas = values.list("follower.replication.throttled.replicas");
  config.remote_storage = values.flag("remote.storage.enable");
  config.remote_log_copy_disable = values.flag("remote.log.copy.disable");
  config.remote_log_delete_on_disable = values.flag("remote.log.delete.on.disable");
  config.local_retention_bytes = values.number("local.retention.bytes");
  config.local_retention_ms = values.number("local.retention.ms");
  return config;
}

Result<void> validate_topic_config(const BrokerLayers& layers, const ConfigMap& overrides, const ConfigMap& before) {
  for (const auto& [name, text] : overrides) {
    const ConfigKey* key = topic_def().find(name);
    if (key == nullptr) return fail(Errc::invalid_argument, "Unknown topic config name: " + name);
    const Result<ConfigValue> value = parse_value(*key, text);
    if (!value) return fail(value.error());
  }
  const TopicValues values(layers, overrides, nullptr);
  const std::int64_t least_lag = values.number("min.compaction.lag.ms");
  const std::int64_t most_lag = values.number("max.compaction.lag.ms");
  if (least_lag > most_lag) {
    return fail(Errc::invalid_argument, "conflict topic config setting min.compaction.lag.ms (" +
                                            std::to_string(least_lag) + ") > max.compaction.lag.ms (" +
                                            std::to_string(most_lag) + ")");
  }
  if (values.flag("remote.storage.enable")) return check_remote(layers, values);
  const TopicValues old(layers, before, nullptr);
  if (old.flag("remote.storage.enable") && !values.flag("remote.log.delete.on.disable")) {
    return fail(
        Errc::invalid_argument,
        "remote.storage.enable cannot be turned off while remote data is kept: set remote.log.delete.on.disable=true "
        "to delete it, or leave remote.storage.enable=true and set remote.log.copy.disable=true to keep it read-only");
  }
  return {};
}

}  // namespace klamm::config
