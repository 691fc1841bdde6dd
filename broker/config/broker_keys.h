// The tables of keys, by subject: the 360 broker keys of Apache Kafka 4.3, its topic, group and client-metrics keys,
// and klamm's own. Defaults, limits and update modes are Kafka's. Whole registries are in registry.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/config.h"

namespace klamm::config {

std::span<const ConfigKey> server_keys();       // the node, its quorum, network, replication, quotas, metrics
std::span<const ConfigKey> log_keys();          // topics, logs, tiers
std::span<const ConfigKey> coordinator_keys();  // groups, offsets, transactions, producer ids
std::span<const ConfigKey> security_keys();     // TLS, SASL, principals, tokens
// num.shards and what begins with klamm.: internal, so that tools which list every key list Kafka's.
std::span<const ConfigKey> klamm_keys();
// Replication throttles: may be set at run time only, never in the file.
std::span<const ConfigKey> replication_quota_keys();

std::span<const ConfigKey> topic_keys();
std::span<const ConfigKey> group_keys();
std::span<const ConfigKey> client_metrics_keys();

// A broker key that gives a topic key its value; the broker's value times `factor`.
struct Synonym {
  std::string_view broker_key;
  std::int64_t factor = 1;
};
// The broker keys that stand for a topic key which the topic does not set: the first that is not null counts.
struct TopicSynonyms {
  static constexpr std::size_t kMost = 3;
  std::string_view topic_key;
  Synonym broker_keys[kMost];  // unused ones have an empty name
};
std::span<const TopicSynonyms> topic_synonyms();

// The broker key that gives a group key its default.
struct GroupSynonym {
  std::string_view group_key;
  std::string_view broker_key;
};
std::span<const GroupSynonym> group_synonyms();

// Validators that need more than a range.
std::optional<std::string> check_voters(const ConfigValue& value);
std::optional<std::string> check_servers(const ConfigValue& value);
std::optional<std::string> check_throttled_replicas(const ConfigValue& value);
std::optional<std::string> check_share_offset_reset(const ConfigValue& value);

constexpr Validator kVoterList = checked_by(check_voters, "id@host:port, comma separated");
constexpr Validator kServerList = checked_by(check_servers, "host:port, comma separated");
constexpr Validator kThrottledReplicas =
    checked_by(check_throttled_replicas, "[partitionId]:[brokerId],[partitionId]:[brokerId],...");
constexpr Validator kShareOffsetReset =
    checked_by(check_share_offset_reset, "[latest, earliest, by_duration:PnDTnHnMn.nS]");

}  // namespace klamm::config
