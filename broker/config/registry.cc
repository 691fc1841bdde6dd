#include "broker/config/registry.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/duration.h"
#include "base/text.h"
#include "broker/config/broker_keys.h"
#include "broker/config/endpoint.h"

namespace klamm::config {
namespace {

constexpr std::string_view kListenerPrefix = "listener.name.";

constexpr std::array<std::string_view, 3> kRetention{"log.retention.ms", "log.retention.minutes",
                                                     "log.retention.hours"};
constexpr std::array<std::string_view, 2> kRoll{"log.roll.ms", "log.roll.hours"};
constexpr std::array<std::string_view, 2> kRollJitter{"log.roll.jitter.ms", "log.roll.jitter.hours"};
constexpr std::array<std::string_view, 2> kFlush{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"};

struct Removed {
  std::string_view name;  // a name, or a prefix if it ends in a dot
  std::string_view instead;
};

constexpr std::string_view kNoZooKeeper =
    "ZooKeeper is gone since Kafka 4.0: set process.roles, node.id, controller.listener.names and "
    "controller.quorum.bootstrap.servers (or controller.quorum.voters) instead";
constexpr std::string_view kListeners = "it was replaced by listeners and advertised.listeners";

constexpr Removed kRemoved[] = {
    {"zookeeper.", kNoZooKeeper},
    {"broker.id.generation.enable", "ids are not generated any more: set node.id"},
    {"reserved.broker.max.id", "ids are not generated any more: set node.id"},
    {"inter.broker.protocol.version",
     "it was replaced by the metadata.version feature: set it by 'storage format --release-version' or 'features "
     "upgrade'"},
    {"log.message.format.version", "records are always kept in format v2 since Kafka 4.0: remove it"},
    {"message.format.version", "records are always kept in format v2 since Kafka 4.0: remove it"},
    {"log.message.downconversion.enable", "older record formats are not served since Kafka 4.0: remove it"},
    {"log.message.timestamp.difference.max.ms",
     "it was replaced by log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"},
    {"control.plane.listener.name", "it was replaced by controller.listener.names"},
    {"controlled.shutdown.max.retries", "the controller ends a shutdown by itself in KRaft: remove it"},
    {"controlled.shutdown.retry.backoff.ms", "the controller ends a shutdown by itself in KRaft: remove it"},
    {"leader.imbalance.per.broker.percentage", "it has no effect in KRaft: remove it"},
    {"password.encoder.", "passwords are not encoded in KRaft: remove it"},
    {"delegation.token.master.key", "it was replaced by delegation.token.secret.key"},
    {"offsets.commit.required.acks", "offsets are always committed with acks=all since Kafka 4.0: remove it"},
    {"advertised.host.name", kListeners},
    {"advertised.port", kListeners},
    {"host.name", kListeners},
    {"port", kListeners},
    {"replica.lag.max.messages", "it was replaced by replica.lag.time.max.ms"},
    {"quota.producer.default", "it was replaced by quotas set with 'configs --entity-type clients'"},
    {"quota.consumer.default", "it was replaced by quotas set with 'configs --entity-type clients'"},
    {"group.coordinator.new.enable", "it was replaced by group.coordinator.rebalance.protocols"},
    {"group.share.enable", "it was replaced by the share.version feature"},
    {"auto.include.jmx.reporter", "it was replaced by metric.reporters"},
    {"internal.metadata.max.fetch.size.in.bytes", "it was replaced by controller.quorum.fetch.max.bytes"},
};

// Everything under these belongs to a plugin, which reads it by itself.
constexpr std::string_view kPluginPrefixes[] = {
    "metrics.",           // metrics reporters (metrics.jmx.include …)
    "kafka.metrics.",     // the broker's own reporters
    "rlmm.config.",       // remote log metadata manager
    "rsm.config.",        // remote storage manager
    "config.providers.",  // config.providers.<name>.class
    "client.quota.callback.",
    "replica.selector.",
    "create.topic.policy.",
    "alter.config.policy.",
};

const std::vector<std::string>* as_list(const ConfigValue& value) {
  return std::get_if<std::vector<std::string>>(&value);
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

template <std::size_t Size>
bool contains(const std::array<std::string_view, Size>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

const ConfigDef& broker_def() {
  static const ConfigDef def{server_keys(), log_keys(), coordinator_keys(), security_keys(), klamm_keys()};
  return def;
}
const ConfigDef& topic_def() {
  static const ConfigDef def{topic_keys()};
  return def;
}
const ConfigDef& group_def() {
  static const ConfigDef def{group_keys()};
  return def;
}
const ConfigDef& client_metrics_def() {
  static const ConfigDef def{client_metrics_keys()};
  return def;
}
const ConfigDef& replication_quota_def() {
  static const ConfigDef def{replication_quota_keys()};
  return def;
}

bool has_listener_prefix(std::string_view name) {
  if (!name.starts_with(kListenerPrefix)) return false;
  const std::size_t dot = name.find('.', kListenerPrefix.size());
  return dot != std::string_view::npos && dot > kListenerPrefix.size() && dot + 1 < name.size();
}

std::string listener_prefix(std::string_view listener) {
  return std::string(kListenerPrefix).append(lower_case(listener)) + '.';
}

std::string_view without_listener_prefix(std::string_view name) {
  if (!has_listener_prefix(name)) return name;
  name.remove_prefix(name.find('.', kListenerPrefix.size()) + 1);
  if (broker_def().find(name) != nullptr) return name;
  // A SASL mechanism may stand between: listener.name.internal.scram-sha-256.sasl.jaas.config.
  const std::size_t dot = name.find('.');
  if (dot != std::string_view::npos && broker_def().find(name.substr(dot + 1)) != nullptr) return name.substr(dot + 1);
  return name;
}

const ConfigKey* find_broker_key(std::string_view name) {
  if (const ConfigKey* key = broker_def().find(without_listener_prefix(name))) return key;
  return replication_quota_def().find(name);
}

std::vector<std::string_view> broker_synonyms(std::string_view name) {
  if (contains(kRetention, name)) return {kRetention.begin(), kRetention.end()};
  if (contains(kRoll, name)) return {kRoll.begin(), kRoll.end()};
  if (contains(kRollJitter, name)) return {kRollJitter.begin(), kRollJitter.end()};
  if (name == kFlush[0]) return {kFlush.begin(), kFlush.end()};
  const std::string_view base = without_listener_prefix(name);
  if (base != name) return {name, base};
  return {name};
}

std::optional<std::string_view> removed_broker_key(std::string_view name) {
  for (const Removed& removed : kRemoved) {
    const bool matches = removed.name.ends_with('.') ? name.starts_with(removed.name) : name == removed.name;
    if (matches) return removed.instead;
  }
  return std::nullopt;
}

bool is_plugin_key(std::string_view name) {
  return std::any_of(std::begin(kPluginPrefixes), std::end(kPluginPrefixes),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

std::optional<std::string> check_voters(const ConfigValue& value) {
  const std::vector<std::string>* list = as_list(value);
  if (list == nullptr) return "Value must be non-null";
  for (const std::string& text : *list) {
    const Result<Voter> voter = parse_voter(text);
    if (!voter) return voter.error().context();
  }
  return std::nullopt;
}

std::optional<std::string> check_servers(const ConfigValue& value) {
  const std::vector<std::string>* list = as_list(value);
  if (list == nullptr) return "Value must be non-null";
  for (const std::string& text : *list) {
    const Result<HostPort> address = parse_host_port(text);
    if (!address) return address.error().context();
  }
  return std::nullopt;
}

std::optional<std::string> check_throttled_replicas(const ConfigValue& value) {
  const std::vector<std::string>* list = as_list(value);
  if (list == nullptr) return "Value must be non-null";
  if (list->size() == 1 && list->front() == "*") return std::nullopt;
  for (const std::string& text : *list) {
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos || !all_digits(std::string_view(text).substr(0, colon)) ||
        !all_digits(std::string_view(text).substr(colon + 1))) {
      return "Must be the literal '*' or a list of replicas in the form "
             "[partitionId]:[brokerId],[partitionId]:[brokerId],...";
    }
  }
  return std::nullopt;
}

std::optional<std::string> check_share_offset_reset(const ConfigValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr) {
    if (*text == "latest" || *text == "earliest") return std::nullopt;
    constexpr std::string_view kByDuration = "by_duration:";
    if (text->starts_with(kByDuration)) {
      const std::optional<std::int64_t> back =
          parse_iso_duration_ms(std::string_view(*text).substr(kByDuration.size()));
      if (back && *back >= 0) return std::nullopt;
    }
  }
  return "Must be one of latest, earliest, by_duration:PnDTnHnMn.nS (a duration that is not negative)";
}

}  // namespace klamm::config
