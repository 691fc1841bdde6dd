#include "broker/config/broker_config.h"

#include <doctest/doctest.h>

#include <string>

#include "broker/config/registry.h"

namespace klamm::config {
namespace {

// A combined node, as Kafka's own server.properties has it.
ConfigMap combined() {
  return {{"process.roles", "broker,controller"},
          {"node.id", "1"},
          {"controller.quorum.bootstrap.servers", "localhost:9093"},
          {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"},
          {"inter.broker.listener.name", "PLAINTEXT"},
          {"advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
          {"controller.listener.names", "CONTROLLER"},
          {"log.dirs", "/tmp/kraft-combined-logs"}};
}

ConfigMap broker_only() {
  return {{"process.roles", "broker"},
          {"node.id", "2"},
          {"controller.quorum.voters", "1@localhost:9093"},
          {"listeners", "PLAINTEXT://localhost:9092"},
          {"controller.listener.names", "CONTROLLER"}};
}

ConfigMap controller_only() {
  return {{"process.roles", "controller"},
          {"node.id", "3"},
          {"controller.quorum.voters", "3@localhost:9093,4@other:9093"},
          {"listeners", "CONTROLLER://:9093"},
          {"controller.listener.names", "CONTROLLER"}};
}

ConfigMap with(ConfigMap config, std::initializer_list<std::pair<const std::string, std::string>> more) {
  for (const auto& [key, value] : more) config[key] = value;
  return config;
}
ConfigMap without(ConfigMap config, const std::string& key) {
  config.erase(key);
  return config;
}

std::string error_of(ConfigMap config) {
  const Result<BrokerConfig> parsed = BrokerConfig::parse(std::move(config));
  if (parsed) return "<good>";
  CHECK(parsed.error() == Errc::invalid_argument);
  CHECK(parsed.error().context().find('\n') == std::string::npos);
  return parsed.error().context();
}
bool has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE(text);
  return false;
}

TEST_CASE("there are Kafka's 360 broker keys, and every default parses and passes its validator") {
  std::size_t kafka = 0;
  for (const ConfigDef* def :
       {&broker_def(), &topic_def(), &group_def(), &client_metrics_def(), &replication_quota_def()}) {
    for (const ConfigKey& key : def->keys()) {
      CAPTURE(key.name);
      if (key.fallback.kind == ConfigDefault::Kind::text) CHECK(parse_value(key, key.fallback.text));
    }
  }
  for (const ConfigKey& key : broker_def().keys()) {
    const bool own = key.name.starts_with("klamm.") || key.name == "num.shards" || key.name == "super.users" ||
                     key.name == "allow.everyone.if.no.acl.found";
    if (!own) ++kafka;
  }
  CHECK(kafka == 360);
  CHECK(topic_def().keys().size() == 34);
  CHECK(group_def().keys().size() == 17);
  CHECK(client_metrics_def().keys().size() == 3);
}

TEST_CASE("a combined node is understood") {
  const Result<BrokerConfig> config = BrokerConfig::parse(combined());
  REQUIRE(config);
  CHECK(config->node_id() == 1);
  CHECK(config->is_broker());
  CHECK(config->is_controller());
  CHECK(config->warnings().empty());
  CHECK(config->listeners().size() == 2);
  CHECK(config->broker_listeners() == std::vector<Endpoint>{{"PLAINTEXT", SecurityProtocol::plaintext, "", 9092}});
  CHECK(config->controller_listeners() == std::vector<Endpoint>{{"CONTROLLER", SecurityProtocol::plaintext, "", 9093}});
  CHECK(config->advertised_broker_listeners() ==
        std::vector<Endpoint>{{"PLAINTEXT", SecurityProtocol::plaintext, "localhost", 9092}});
  CHECK(config->advertised_controller_listeners() ==
        std::vector<Endpoint>{{"CONTROLLER", SecurityProtocol::plaintext, "localhost", 9093}});
  CHECK(config->inter_broker_listener() == "PLAINTEXT");
  CHECK(config->bootstrap_servers() == std::vector<HostPort>{{"localhost", 9093}});
  CHECK(config->voters().empty());
  CHECK(config->log_dirs() == std::vector<std::string>{"/tmp/kraft-combined-logs"});
  CHECK(config->metadata_log_dir() == "/tmp/kraft-combined-logs");
  CHECK(config->num_shards() == 0);
  CHECK(config->limits().request_memory_max_bytes == 256LL * 1024 * 1024);
  CHECK(config->limits().socket_request_max_bytes == 104'857'600);
  CHECK(config->log_retention_ms() == 604'800'000);
  CHECK(config->log_roll_ms() == 604'800'000);
  CHECK(config->log_flush_interval_ms() == 9'223'372'036'854'775'807);
}

TEST_CASE("a broker and a controller of their own are understood") {
  const Result<BrokerConfig> broker = BrokerConfig::parse(broker_only());
  REQUIRE(broker);
  CHECK(broker->voters() == std::vector<Voter>{{1, {"localhost", 9093}}});
  CHECK(broker->controller_listeners().empty());
  CHECK(broker->protocols().at("CONTROLLER") == SecurityProtocol::plaintext);
  CHECK(broker->log_dirs() == std::vector<std::string>{"/tmp/kafka-logs"});
  const Result<BrokerConfig> controller = BrokerConfig::parse(controller_only());
  REQUIRE(controller);
  CHECK_FALSE(controller->is_broker());
  CHECK(controller->advertised_broker_listeners().empty());
  CHECK(controller->advertised_controller_listeners().size() == 1);
}

TEST_CASE("a file of properties is read, and a broken one names its line") {
  CHECK(
      BrokerConfig::read("process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=C\n"
                         "listeners=PLAINTEXT://:9092,\\\n  C://:9093\ncontroller.quorum.voters=1@localhost:9093\n"));
  const Result<BrokerConfig> broken = BrokerConfig::read("node.id=\\u1");
  REQUIRE_FALSE(broken);
  CHECK(has(broken.error().context(), "line 1"));
}

TEST_CASE("what a KRaft node needs must be there") {
  CHECK(has(error_of(without(combined(), "process.roles")), "Missing required configuration \"process.roles\""));
  CHECK(has(error_of(without(combined(), "node.id")), "Missing required configuration \"node.id\""));
  CHECK(has(error_of(without(combined(), "controller.listener.names")), "\"controller.listener.names\""));
  CHECK(has(error_of(without(combined(), "controller.quorum.bootstrap.servers")), "controller.quorum.voters"));
  CHECK(has(error_of(with(combined(), {{"process.roles", ""}})), "At least one value"));
  CHECK(has(error_of(with(combined(), {{"process.roles", "observer"}})), "broker, controller"));
  CHECK(has(error_of(with(combined(), {{"node.id", "-1"}})), "at least 0"));
}

TEST_CASE("broker.id stands for node.id, and must agree with it") {
  CHECK(BrokerConfig::parse(with(without(combined(), "node.id"), {{"broker.id", "7"}}))->node_id() == 7);
  CHECK(BrokerConfig::parse(with(combined(), {{"broker.id", "1"}})));
  CHECK(has(error_of(with(combined(), {{"broker.id", "2"}})), "node.id"));
}

TEST_CASE("an unknown key is one line that names the nearest known one") {
  CHECK(error_of(with(combined(), {{"num.partition", "3"}})) ==
        "Unknown configuration num.partition; did you mean num.partitions?");
  CHECK(has(error_of(with(combined(), {{"confluent.balancer.enable", "true"}})),
            "Unknown configuration confluent.balancer"));
  CHECK(has(error_of(with(combined(), {{"retention.ms", "1"}})), "log.retention.ms"));
  CHECK(has(error_of(with(combined(), {{"leader.replication.throttled.rate", "1"}})), "at run time"));
}

TEST_CASE("a key of the ZooKeeper days says what replaced it") {
  CHECK(has(error_of(with(combined(), {{"zookeeper.connect", "localhost:2181"}})), "ZooKeeper is gone"));
  CHECK(has(error_of(with(combined(), {{"zookeeper.ssl.keystore.location", "x"}})), "ZooKeeper is gone"));
  CHECK(has(error_of(with(combined(), {{"inter.broker.protocol.version", "3.9"}})), "metadata.version"));
  CHECK(has(error_of(with(combined(), {{"log.message.format.version", "3.0"}})), "format v2"));
  CHECK(has(error_of(with(combined(), {{"broker.id.generation.enable", "true"}})), "node.id"));
}

TEST_CASE("the keys of plugins and listeners are left alone") {
  CHECK(BrokerConfig::parse(with(combined(), {{"metrics.jmx.include", ".*"},
                                              {"rlmm.config.replication.factor", "1"},
                                              {"listener.name.plaintext.max.connections", "10"},
                                              {"listener.name.controller.plain.sasl.jaas.config", "x"},
                                              {"remote.log.storage.manager.impl.prefix", "tiered."},
                                              {"tiered.bucket", "b"},
                                              {"super.users", "User:admin"},
                                              {"num.shards", "2"}})));
  CHECK_FALSE(BrokerConfig::parse(with(combined(), {{"listener.name.plaintext", "10"}})));
  CHECK_FALSE(BrokerConfig::parse(with(combined(), {{"tiered.bucket", "b"}})));
}

TEST_CASE("listeners must be well formed, with names and ports of their own") {
  CHECK(has(error_of(with(combined(), {{"listeners", "localhost:9092"}})), "NAME://host:port"));
  CHECK(has(error_of(with(combined(), {{"listeners", "PLAINTEXT://:x,CONTROLLER://:9093"}})), "NAME://host:port"));
  CHECK(has(error_of(with(combined(), {{"listeners", "PLAINTEXT://:99999,CONTROLLER://:9093"}})), "65535"));
  CHECK(has(error_of(with(combined(), {{"listeners", "OTHER://:9092,CONTROLLER://:9093"}})),
            "No security protocol defined for listener OTHER"));
  CHECK(has(error_of(with(combined(), {{"listeners", "PLAINTEXT://:9093,CONTROLLER://:9093"}})), "different port"));
  CHECK(has(error_of(with(combined(), {{"listeners", "PLAINTEXT://a:1,PLAINTEXT://b:2,CONTROLLER://:9093"}})),
            "different name"));
  CHECK(BrokerConfig::parse(with(combined(), {{"listeners", "PLAINTEXT://:0,CONTROLLER://:0"}})));
  const ConfigMap families =
      with(combined(), {{"listeners", "PLAINTEXT://127.0.0.1:9092,SIX://[::1]:9092,CONTROLLER://:9093"},
                        {"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,SIX:PLAINTEXT,CONTROLLER:PLAINTEXT"}});
  const Result<BrokerConfig> two = BrokerConfig::parse(families);
  REQUIRE(two);
  CHECK(two->listeners()[1].text() == "SIX://[::1]:9092");
}

TEST_CASE("the protocol map must have protocols, and every listener") {
  CHECK(has(error_of(with(combined(), {{"listener.security.protocol.map", "PLAINTEXT:TLS"}})),
            "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"));
  CHECK(has(error_of(with(combined(), {{"listener.security.protocol.map", "PLAINTEXT"}})), "NAME:PROTOCOL"));
  CHECK(has(error_of(with(combined(), {{"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT"}})),
            "listener CONTROLLER"));
  // Something secured is in use, so controller listeners are not PLAINTEXT by themselves.
  CHECK(has(error_of(with(combined(), {{"listeners", "PLAINTEXT://:9092,SSL://:9094,CONTROLLER://:9093"}})),
            "listener CONTROLLER"));
}

TEST_CASE("the controller role needs its listener and its place among the voters") {
  CHECK(has(error_of(with(combined(), {{"listeners", "PLAINTEXT://:9092"}})), "controller.listener.names"));
  CHECK(has(error_of(with(combined(), {{"controller.quorum.voters", "9@localhost:9093"}})),
            "node id 1 must be included"));
  CHECK(has(error_of(with(combined(), {{"controller.quorum.voters", "x@localhost:9093"}})), "id@host:port"));
  CHECK(has(error_of(with(combined(), {{"controller.quorum.voters", "1@a:1,1@b:2"}})), "comes twice"));
  CHECK(has(error_of(with(combined(), {{"controller.quorum.voters", "1@0.0.0.0:0"}})), "0.0.0.0"));
  CHECK(has(error_of(with(controller_only(), {{"listeners", "CONTROLLER://:9093,PLAINTEXT://:9092"}})),
            "must only contain KRaft controller listeners"));
  CHECK(has(error_of(with(controller_only(), {{"inter.broker.listener.name", "CONTROLLER"}})),
            "inter.broker.listener.name"));
}

TEST_CASE("a broker alone must keep away from the controller's listener and votes") {
  CHECK(has(error_of(with(broker_only(), {{"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"}})),
            "must not appear in listeners"));
  CHECK(has(error_of(with(broker_only(), {{"controller.quorum.voters", "2@localhost:9093"}})),
            "must not be included in the set of voters"));
  CHECK(has(error_of(with(broker_only(), {{"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT"}})),
            "not found in listener.security.protocol.map"));
  CHECK(has(error_of(with(broker_only(), {{"controller.quorum.auto.join.enable", "true"}})), "'controller' role"));
  CHECK(BrokerConfig::parse(with(broker_only(), {{"controller.listener.names", "A,B"}}))->warnings().size() == 1);
}

TEST_CASE("advertised listeners must be reachable ones of the broker") {
  CHECK(has(error_of(with(broker_only(), {{"advertised.listeners", "PLAINTEXT://0.0.0.0:9092"}})), "nonroutable"));
  CHECK(has(error_of(with(broker_only(), {{"listeners", "PLAINTEXT://0.0.0.0:9092"}})), "nonroutable"));
  CHECK(has(error_of(with(broker_only(), {{"advertised.listeners", "PLAINTEXT://a:1,SSL://a:2"}})), "subset"));
  CHECK(has(error_of(with(combined(), {{"advertised.listeners", "CONTROLLER://localhost:9093"}})),
            "at least one broker advertised listener"));
  CHECK(has(error_of(with(broker_only(), {{"inter.broker.listener.name", "SSL"}})),
            "must be a listener name defined in advertised.listeners"));
  // Two names may share an address, and a controller listens on every interface without saying so.
  const Result<BrokerConfig> open =
      BrokerConfig::parse(with(controller_only(), {{"listeners", "CONTROLLER://0.0.0.0:9093"}}));
  REQUIRE(open);
  CHECK(open->advertised_controller_listeners()[0].host.empty());
}

TEST_CASE("the inter-broker listener is named or has a protocol, not both") {
  CHECK(has(error_of(with(combined(), {{"security.inter.broker.protocol", "PLAINTEXT"}})), "Only one of"));
  CHECK(has(error_of(with(combined(), {{"inter.broker.listener.name", "INSIDE"}})),
            "not found in listener.security.protocol.map"));
  CHECK(has(error_of(with(broker_only(), {{"early.start.listeners", "OTHER"}})), "early.start.listeners"));
  CHECK(has(error_of(with(broker_only(),
                          {{"listeners", "SASL_PLAINTEXT://a:1"},
                           {"security.inter.broker.protocol", "SASL_PLAINTEXT"},
                           {"listener.security.protocol.map", "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"},
                           {"sasl.enabled.mechanisms", "PLAIN"}})),
            "sasl.enabled.mechanisms"));
}

TEST_CASE("times have Kafka's precedence of units") {
  const ConfigMap hours = with(combined(), {{"log.retention.hours", "1"},
                                            {"log.roll.hours", "2"},
                                            {"log.roll.jitter.hours", "3"},
                                            {"log.flush.scheduler.interval.ms", "4"}});
  const Result<BrokerConfig> config = BrokerConfig::parse(hours);
  REQUIRE(config);
  CHECK(config->log_retention_ms() == 3'600'000);
  CHECK(config->log_roll_ms() == 7'200'000);
  CHECK(config->log_roll_jitter_ms() == 10'800'000);
  CHECK(config->log_flush_interval_ms() == 4);
  CHECK(BrokerConfig::parse(with(hours, {{"log.retention.minutes", "5"}}))->log_retention_ms() == 300'000);
  CHECK(BrokerConfig::parse(with(hours, {{"log.retention.minutes", "5"}, {"log.retention.ms", "6"}}))
            ->log_retention_ms() == 6);
  CHECK(BrokerConfig::parse(with(hours, {{"log.roll.ms", "7"}, {"log.flush.interval.ms", "8"}}))->log_roll_ms() == 7);
  CHECK(BrokerConfig::parse(with(combined(), {{"log.retention.hours", "-1"}}))->log_retention_ms() == -1);
  CHECK(has(error_of(with(combined(), {{"log.retention.ms", "0"}})), "unlimited (-1)"));
  CHECK(has(error_of(with(combined(), {{"log.roll.ms", "0"}})), "log.roll.ms"));
  CHECK(has(error_of(with(combined(), {{"log.roll.jitter.ms", "-1"}})), "log.roll.jitter.ms"));
}

TEST_CASE("settings that cannot go together are refused") {
  CHECK(has(error_of(with(combined(), {{"log.cleaner.dedupe.buffer.size", "1048576"}})), "1MB per cleaner thread"));
  CHECK(has(error_of(with(combined(),
                          {{"log.cleaner.min.compaction.lag.ms", "2"}, {"log.cleaner.max.compaction.lag.ms", "1"}})),
            "log.cleaner.max.compaction.lag.ms (1)"));
  CHECK(has(error_of(with(combined(), {{"replica.fetch.wait.max.ms", "30001"}})), "replica.fetch.wait.max.ms"));
  CHECK(has(error_of(with(combined(), {{"replica.lag.time.max.ms", "499"}})), "changes in ISR"));
  CHECK(has(error_of(with(combined(), {{"queued.max.request.bytes", "1000"}})), "socket.request.max.bytes"));
  CHECK(has(error_of(with(combined(), {{"klamm.request.memory.max.bytes", "2000000"}})), "socket.request.max.bytes"));
  CHECK(has(error_of(with(combined(), {{"max.connections.per.ip", "0"}})), "max.connections.per.ip.overrides"));
  CHECK(has(error_of(with(combined(), {{"max.connections.per.ip.overrides", "127.0.0.1"}})), "address:count"));
  CHECK(has(error_of(with(combined(), {{"connections.max.idle.ms", "100"}})), "connections.max.idle.ms (100)"));
  CHECK(has(error_of(with(combined(), {{"group.consumer.session.timeout.ms", "44999"}})),
            "group.consumer.min.session.timeout.ms (45000)"));
  CHECK(has(error_of(with(combined(), {{"group.share.max.session.timeout.ms", "1"}})),
            "group.share.min.session.timeout.ms"));
  CHECK(has(error_of(with(combined(), {{"group.coordinator.rebalance.protocols", "consumer"}})), "classic"));
  CHECK(has(error_of(with(combined(), {{"config.providers", "env"}})), "config.providers"));
  CHECK(BrokerConfig::parse(with(combined(), {{"broker.heartbeat.interval.ms", "5000"}}))->warnings().size() == 1);
}

TEST_CASE("a plug-in that would guard the broker is refused, since nothing would keep what it promises") {
  const std::string authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
  for (const ConfigMap& config : {combined(), broker_only(), controller_only()})
    CHECK(has(error_of(with(config, {{"authorizer.class.name", authorizer}})), "authorizer.class.name"));
  CHECK(has(error_of(with(combined(), {{"client.quota.callback.class", "a.B"}})), "client.quota.callback.class"));
  for (const char* policy : {"create.topic.policy.class.name", "alter.config.policy.class.name"}) {
    CHECK(has(error_of(with(combined(), {{policy, "a.B"}})), policy));
    CHECK(BrokerConfig::parse(with(broker_only(), {{policy, "a.B"}}))->warnings().size() == 1);
  }
  CHECK(error_of(with(combined(), {{"authorizer.class.name", ""}})) == "<good>");
}

TEST_CASE("limits by address are parsed, IPv6 included, and the memory bound follows a large request") {
  const Result<BrokerConfig> config =
      BrokerConfig::parse(with(combined(), {{"max.connections.per.ip", "0"},
                                            {"max.connections.per.ip.overrides", "127.0.0.1:5, ::1:6"},
                                            {"socket.request.max.bytes", "1000000000"}}));
  REQUIRE(config);
  CHECK(config->limits().max_connections_per_ip_overrides.at("127.0.0.1") == 5);
  CHECK(config->limits().max_connections_per_ip_overrides.at("::1") == 6);
  CHECK(config->limits().request_memory_max_bytes == 1'000'000'000);
}

TEST_CASE("a limit of one listener is checked like that of all") {
  CHECK(BrokerConfig::parse(with(combined(), {{"listener.name.plaintext.max.connections", "3"}})));
  CHECK(has(error_of(with(combined(), {{"listener.name.plaintext.max.connections", "-1"}})), "at least 0"));
  CHECK(has(error_of(with(combined(), {{"listener.name.plaintext.max.connection.creation.rate", "many"}})),
            "Not a number"));
}

TEST_CASE("a bad value names the key, the value and the range") {
  CHECK(error_of(with(combined(), {{"num.partitions", "0"}})) ==
        "Invalid value 0 for configuration num.partitions: Value must be at least 1");
  CHECK(has(error_of(with(combined(), {{"num.partitions", "many"}})), "Not a number of type INT (allowed: [1,...])"));
  CHECK(has(error_of(with(combined(), {{"compression.type", "none"}})),
            "uncompressed, zstd, lz4, snappy, gzip, producer"));
  CHECK(has(error_of(with(combined(), {{"controller.quorum.bootstrap.servers", "localhost"}})), "host:port"));
}

}  // namespace
}  // namespace klamm::config
