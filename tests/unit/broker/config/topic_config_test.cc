#include "broker/config/topic_config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "broker/config/cleaner_config.h"
#include "broker/config/describe.h"
#include "broker/config/resource_config.h"

namespace klamm::config {
namespace {

BrokerConfig broker(std::initializer_list<std::pair<const std::string, std::string>> more = {}) {
  ConfigMap config{{"process.roles", "broker"},
                   {"node.id", "2"},
                   {"controller.quorum.voters", "1@localhost:9093"},
                   {"listeners", "PLAINTEXT://localhost:9092"},
                   {"controller.listener.names", "CONTROLLER"}};
  for (const auto& [key, value] : more) config[key] = value;
  Result<BrokerConfig> parsed = BrokerConfig::parse(std::move(config));
  REQUIRE(parsed);
  return *std::move(parsed);
}

template <typename T>
std::string error_of(const Result<T>& result) {
  return result ? "<good>" : result.error().context();
}
bool has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE(text);
  return false;
}

const ConfigEntry& entry(const std::vector<ConfigEntry>& entries, std::string_view name) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const ConfigEntry& e) { return e.name == name; });
  REQUIRE(found != entries.end());
  return *found;
}

TEST_CASE("LogConfig's own defaults are those of the topic table and of an untouched broker") {
  CHECK(make_log_config({}, {}) == LogConfig());
  const BrokerConfig file = broker();
  CHECK(make_log_config({.file = &file}, {}) == LogConfig());
}

TEST_CASE("a topic's own settings win over the broker's, in each key's type") {
  const BrokerConfig file = broker({{"log.segment.bytes", "2000000"}, {"log.retention.hours", "2"}});
  std::vector<std::string> complaints;
  const LogConfig config = make_log_config({.file = &file},
                                           {{"segment.bytes", "3000000"},
                                            {"cleanup.policy", "compact,delete"},
                                            {"message.timestamp.type", "LogAppendTime"},
                                            {"compression.type", "zstd"},
                                            {"min.cleanable.dirty.ratio", "0.1"},
                                            {"leader.replication.throttled.replicas", "0:1,1:2"},
                                            {"max.message.bytes", "not a number"}},
                                           &complaints);
  CHECK(config.segment_bytes == 3'000'000);
  CHECK(config.retention_ms == 7'200'000);
  CHECK(config.cleanup_compact);
  CHECK(config.cleanup_delete);
  CHECK(config.timestamp_type == TimestampType::log_append_time);
  CHECK(config.compression_type == CompressionType::zstd);
  CHECK(config.min_cleanable_dirty_ratio == 0.1);
  CHECK(config.leader_throttled_replicas == std::vector<std::string>{"0:1", "1:2"});
  CHECK(config.max_message_bytes == 1'048'588);
  CHECK(complaints.size() == 1);
}

TEST_CASE("an empty cleanup policy keeps everything") {
  const LogConfig config = make_log_config({}, {{"cleanup.policy", ""}});
  CHECK_FALSE(config.cleanup_compact);
  CHECK_FALSE(config.cleanup_delete);
}

TEST_CASE("internal.segment.bytes wins over segment.bytes") {
  CHECK(make_log_config({}, {{"segment.bytes", "2000000"}, {"internal.segment.bytes", "100"}}).segment_bytes == 100);
}

TEST_CASE("dynamic settings lie over the file, a broker's own over the cluster's") {
  const BrokerConfig file = broker({{"log.retention.ms", "1000"}});
  const ConfigMap cluster{{"log.retention.ms", "2000"}, {"min.insync.replicas", "2"}};
  const ConfigMap own{{"log.retention.ms", "3000"}};
  CHECK(make_log_config({.file = &file}, {}).retention_ms == 1000);
  CHECK(make_log_config({.cluster_wide = &cluster, .file = &file}, {}).retention_ms == 2000);
  const BrokerLayers all{.per_broker = &own, .cluster_wide = &cluster, .file = &file};
  CHECK(make_log_config(all, {}).retention_ms == 3000);
  CHECK(make_log_config(all, {}).min_insync_replicas == 2);
  CHECK(make_log_config(all, {{"retention.ms", "4000"}}).retention_ms == 4000);
}

TEST_CASE("a dynamic value that does not parse, or may not be dynamic, is passed over") {
  const BrokerConfig file = broker({{"log.retention.ms", "1000"}, {"num.partitions", "3"}});
  const ConfigMap own{{"log.retention.ms", "soon"}, {"num.partitions", "9"}};
  const BrokerLayers layers{.per_broker = &own, .file = &file};
  CHECK(make_log_config(layers, {}).retention_ms == 1000);
  CHECK(std::get<std::int64_t>(effective_value(layers, "num.partitions")) == 3);
  const Result<BrokerConfig> merged = effective_broker_config(layers);
  REQUIRE(merged);
  CHECK(merged->num_partitions() == 3);
}

TEST_CASE("a listener's setting lies over the broker's") {
  const BrokerConfig file = broker({{"max.connections", "100"}, {"listener.name.plaintext.max.connections", "10"}});
  const BrokerLayers layers{.file = &file};
  CHECK(std::get<std::int64_t>(effective_listener_value(layers, "PLAINTEXT", "max.connections")) == 10);
  CHECK(std::get<std::int64_t>(effective_listener_value(layers, "OTHER", "max.connections")) == 100);
}

TEST_CASE("topic settings are checked: names, values, and together") {
  const BrokerConfig file = broker();
  const BrokerLayers layers{.file = &file};
  const auto check = [&](const ConfigMap& overrides, const ConfigMap& before = {}) {
    return error_of(validate_topic_config(layers, overrides, before));
  };
  CHECK(check({}) == "<good>");
  CHECK(check({{"retention.ms", "-1"}, {"cleanup.policy", "compact"}}) == "<good>");
  CHECK(check({{"retention", "1"}}) == "Unknown topic config name: retention");
  CHECK(check({{"retention.ms", "-2"}}) ==
        "Invalid value -2 for configuration retention.ms: Value must be at least -1");
  CHECK(check({{"segment.bytes", "1048575"}}) ==
        "Invalid value 1048575 for configuration segment.bytes: Value must be at least 1048576");
  CHECK(check({{"cleanup.policy", "shred"}}) ==
        "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete");
  CHECK(check({{"min.compaction.lag.ms", "2"}, {"max.compaction.lag.ms", "1"}}) ==
        "conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)");
  CHECK(has(check({{"remote.storage.enable", "true"}}), "Tiered Storage functionality is disabled"));
  CHECK(has(check({}, {{"remote.storage.enable", "true"}}), "remote.log.delete.on.disable"));
  CHECK(check({{"remote.log.delete.on.disable", "true"}}, {{"remote.storage.enable", "true"}}) == "<good>");
  CHECK(check({{"leader.replication.throttled.replicas", "*"}}) == "<good>");
  CHECK(has(check({{"leader.replication.throttled.replicas", "0:x"}}), "[partitionId]:[brokerId]"));
}

TEST_CASE("with tiered storage on, local retention lies within retention") {
  const BrokerConfig file = broker({{"remote.log.storage.system.enable", "true"}});
  const BrokerLayers layers{.file = &file};
  const ConfigMap good{{"remote.storage.enable", "true"}, {"retention.ms", "100"}, {"local.retention.ms", "50"}};
  CHECK(validate_topic_config(layers, good));
  ConfigMap over = good;
  over["local.retention.ms"] = "101";
  CHECK(has(error_of(validate_topic_config(layers, over)), "retention.ms property value: 100"));
  ConfigMap endless = good;
  endless["local.retention.ms"] = "-1";
  CHECK(has(error_of(validate_topic_config(layers, endless)), "must not be -1"));
  ConfigMap compacted = good;
  compacted["cleanup.policy"] = "compact";
  CHECK(has(error_of(validate_topic_config(layers, compacted)), "cleanup.policy=delete"));
  ConfigMap no_copy = good;
  no_copy["remote.log.copy.disable"] = "true";
  CHECK(has(error_of(validate_topic_config(layers, no_copy)), "remote.log.copy.disable"));
}

TEST_CASE("a topic is described with values, sources and synonyms in order") {
  const BrokerConfig file = broker({{"log.segment.bytes", "2000000"}, {"log.retention.hours", "2"}});
  const ConfigMap cluster{{"log.segment.bytes", "3000000"}};
  const ConfigMap own{{"log.segment.bytes", "4000000"}};
  const BrokerLayers layers{.per_broker = &own, .cluster_wide = &cluster, .file = &file};
  const std::vector<ConfigEntry> entries = describe_topic(layers, {{"segment.bytes", "5000000"}});
  CHECK(entries.size() == 33);
  const ConfigEntry& bytes = entry(entries, "segment.bytes");
  CHECK(bytes.value == "5000000");
  CHECK(bytes.source == ConfigSource::dynamic_topic);
  CHECK_FALSE(bytes.read_only);
  CHECK(bytes.type == 3);
  REQUIRE(bytes.synonyms.size() == 5);
  CHECK(bytes.synonyms[0].name == "segment.bytes");
  CHECK(bytes.synonyms[1].source == ConfigSource::dynamic_broker);
  CHECK(bytes.synonyms[1].name == "log.segment.bytes");
  CHECK(bytes.synonyms[1].value == "4000000");
  CHECK(bytes.synonyms[2].source == ConfigSource::dynamic_default_broker);
  CHECK(bytes.synonyms[3].source == ConfigSource::static_broker);
  CHECK(bytes.synonyms[4].source == ConfigSource::default_value);
  CHECK(bytes.synonyms[4].value == "1073741824");

  // As Kafka does: hours alone give the value, but the list begins at log.retention.ms, which is not set.
  const ConfigEntry& retention = entry(entries, "retention.ms");
  CHECK(retention.value == "7200000");
  CHECK(retention.source == ConfigSource::default_value);
  CHECK(retention.synonyms.empty());

  const ConfigEntry& ratio = entry(entries, "min.cleanable.dirty.ratio");
  CHECK(ratio.value == "0.5");
  REQUIRE(ratio.synonyms.size() == 1);
  CHECK(ratio.synonyms[0].name == "log.cleaner.min.cleanable.ratio");
}

TEST_CASE("a broker is described with what is read-only and what is secret") {
  const BrokerConfig file = broker({{"ssl.key.password", "secret"},
                                    {"num.partitions", "3"},
                                    {"metrics.jmx.include", "x"},
                                    {"listener.name.plaintext.max.connections", "10"},
                                    {"num.shards", "2"}});
  const ConfigMap cluster{{"log.retention.ms", "5"}};
  const BrokerLayers layers{.cluster_wide = &cluster, .file = &file};
  const std::vector<ConfigEntry> entries = describe_broker(layers);
  const ConfigEntry& partitions = entry(entries, "num.partitions");
  CHECK(partitions.value == "3");
  CHECK(partitions.read_only);
  CHECK(partitions.source == ConfigSource::static_broker);
  CHECK_FALSE(partitions.doc.empty());
  REQUIRE(partitions.synonyms.size() == 2);
  const ConfigEntry& password = entry(entries, "ssl.key.password");
  CHECK(password.sensitive);
  CHECK_FALSE(password.value);
  CHECK_FALSE(password.synonyms.at(0).value);
  CHECK_FALSE(password.read_only);
  const ConfigEntry& retention = entry(entries, "log.retention.ms");
  CHECK(retention.value == "5");
  CHECK(retention.source == ConfigSource::dynamic_default_broker);
  REQUIRE(retention.synonyms.size() == 2);
  CHECK(retention.synonyms[1].name == "log.retention.hours");
  const ConfigEntry& foreign = entry(entries, "metrics.jmx.include");
  CHECK(foreign.sensitive);
  CHECK_FALSE(foreign.value);
  CHECK(entry(entries, "listener.name.plaintext.max.connections").value == "10");
  CHECK(entry(entries, "listener.name.plaintext.max.connections").synonyms.size() == 2);
  CHECK(entry(entries, "num.shards").value == "2");
  CHECK(entry(entries, "log.dirs").value == std::nullopt);
  for (const ConfigEntry& e : entries) CHECK(e.name != "klamm.request.memory.max.bytes");
  const std::vector<ConfigEntry> only_default = describe_cluster_default(layers);
  REQUIRE(only_default.size() == 1);
  CHECK(only_default[0].name == "log.retention.ms");
  CHECK(only_default[0].synonyms.size() == 1);
}

TEST_CASE("broker settings change at run time only where Kafka lets them") {
  const BrokerConfig file = broker();
  const BrokerLayers layers{.file = &file};
  CHECK(validate_broker_update(layers, {{"log.retention.ms", "5"}, {"max.connections", "7"}}, false));
  CHECK(validate_broker_update(layers, {{"leader.replication.throttled.rate", "5"}}, true));
  CHECK(validate_broker_update(layers, {{"my.plugin.setting", "x"}}, false));
  const Result<void> fixed = validate_broker_update(layers, {{"node.id", "5"}}, true);
  REQUIRE_FALSE(fixed);
  CHECK(fixed.error() == Errc::unsupported);
  CHECK(fixed.error().context() == "Cannot update these configs dynamically: [node.id]");
  CHECK(has(error_of(validate_broker_update(layers, {{"ssl.keystore.location", "x"}}, true)), "listener prefix"));
  CHECK(validate_broker_update(layers, {{"listener.name.plaintext.ssl.keystore.location", "x"}}, true));
  CHECK(has(error_of(validate_broker_update(layers, {{"listeners", "PLAINTEXT://localhost:1"}}, false)),
            "default cluster level"));
  CHECK(has(error_of(validate_broker_update(layers, {{"listener.name.plaintext.ssl.keystore.location", "x"}}, false)),
            "default cluster level"));
  CHECK(validate_broker_update(layers, {{"listener.name.plaintext.max.connections", "5"}}, false));
  const Result<void> bad = validate_broker_update(layers, {{"num.io.threads", "0"}}, false);
  REQUIRE_FALSE(bad);
  CHECK(bad.error() == Errc::invalid_argument);
  CHECK(has(error_of(validate_broker_update(layers, {{"log.cleaner.threads", "1000"}}, false)), "per cleaner thread"));
}

TEST_CASE("numbers of threads move by half or double at most, a listener's own too") {
  const BrokerConfig file = broker();
  const BrokerLayers layers{.file = &file};
  const auto refusal = [&](const std::string& key, const std::string& threads) {
    return error_of(validate_broker_update(layers, {{key, threads}}, true));
  };
  CHECK(validate_broker_update(layers, {{"num.io.threads", "16"}, {"background.threads", "5"}}, true));
  CHECK(has(refusal("num.io.threads", "17"),
            "num.io.threads=17, value should not be greater than double the current value 8"));
  CHECK(has(refusal("background.threads", "4"), "value should be at least half the current value 10"));
  CHECK(has(refusal("listener.name.plaintext.num.network.threads", "7"), "double the current value 3"));
  CHECK(validate_broker_update(layers, {{"listener.name.nowhere.num.network.threads", "7"}}, true));
}

TEST_CASE("the number of cleaners changes by half or double at most, and what is in force is what the cleaner gets") {
  const BrokerConfig file = broker();
  ConfigMap cluster{{"log.cleaner.threads", "4"}, {"log.cleaner.backoff.ms", "7"}};
  const BrokerLayers layers{.cluster_wide = &cluster, .file = &file};
  const auto refusal = [&](const std::string& threads) {
    return error_of(validate_broker_update(layers, {{"log.cleaner.threads", threads}}, false));
  };
  CHECK(validate_broker_update(layers, {{"log.cleaner.threads", "8"}}, false));
  CHECK(validate_broker_update(layers, {{"log.cleaner.threads", "2"}}, false));
  CHECK(has(refusal("9"), "more than double the current value 4"));
  CHECK(has(refusal("1"), "less than half the current value 4"));
  CHECK(has(refusal("0"), "at least 1"));
  CleanerConfig expected;
  CHECK(make_cleaner_config({.file = &file}) == expected);
  expected.threads = 4;
  expected.backoff_ms = 7;
  CHECK(make_cleaner_config(layers) == expected);
}

TEST_CASE("group settings lie within the broker's limits") {
  const BrokerConfig file = broker({{"group.consumer.max.session.timeout.ms", "50000"}});
  const BrokerLayers layers{.file = &file};
  CHECK(validate_group_config(
      layers, {{"consumer.session.timeout.ms", "50000"}, {"share.auto.offset.reset", "by_duration:PT1H"}}));
  CHECK(has(error_of(validate_group_config(layers, {{"consumer.session.timeout.ms", "50001"}})),
            "group.consumer.max.session.timeout.ms (50000)"));
  CHECK(has(error_of(validate_group_config(layers, {{"consumer.heartbeat.interval.ms", "1"}})),
            "group.consumer.min.heartbeat.interval.ms"));
  CHECK(has(error_of(validate_group_config(layers, {{"session.timeout.ms", "1"}})), "Unknown group config name"));
  CHECK(has(error_of(validate_group_config(layers, {{"streams.num.standby.replicas", "3"}})),
            "group.streams.max.standby.replicas"));
  CHECK(has(error_of(validate_group_config(layers, {{"share.auto.offset.reset", "none"}})), "by_duration"));
  const BrokerConfig tight = broker({{"group.share.min.session.timeout.ms", "1000"}});
  CHECK(has(error_of(validate_group_config({.file = &tight}, {{"share.session.timeout.ms", "5000"}})),
            "share.heartbeat.interval.ms (5000)"));
  const std::vector<ConfigEntry> entries = describe_group(layers, {{"consumer.session.timeout.ms", "46000"}});
  CHECK(entries.size() == 17);
  CHECK(entry(entries, "consumer.session.timeout.ms").source == ConfigSource::group);
  CHECK(entry(entries, "consumer.session.timeout.ms").synonyms.size() == 2);
  CHECK(entry(entries, "consumer.heartbeat.interval.ms").value == "5000");
}

TEST_CASE("client metrics settings have an interval and patterns that KIP-714 knows") {
  CHECK(validate_client_metrics_config(
      {{"interval.ms", "100"}, {"metrics", ""}, {"match", "client_id=app.*,client_source_port=1"}}));
  CHECK(has(error_of(validate_client_metrics_config({{"interval.ms", "99"}})), "between 100 and 3600000"));
  CHECK(has(error_of(validate_client_metrics_config({{"match", "client=x"}})), "client_instance_id"));
  CHECK(has(error_of(validate_client_metrics_config({{"match", "client_id"}})), "name=pattern"));
  CHECK(has(error_of(validate_client_metrics_config({{"rate", "1"}})), "Unknown client metrics config name"));
  const std::vector<ConfigEntry> entries = describe_client_metrics({{"interval.ms", "100"}});
  REQUIRE(entries.size() == 3);
  CHECK(entries[0].source == ConfigSource::client_metrics);
  CHECK(entries[1].source == ConfigSource::default_value);
}

}  // namespace
}  // namespace klamm::config
