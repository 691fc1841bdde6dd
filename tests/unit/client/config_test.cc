#include "klamm/config.h"

#include <doctest/doctest.h>

#include <string>

#include "client/core/config_settings.h"

namespace klamm::client {
namespace {

Config with(std::initializer_list<std::pair<std::string_view, std::string_view>> settings) {
  Config config(settings);
  if (!config.contains("bootstrap.servers")) config.set("bootstrap.servers", "localhost:9092");
  return config;
}

template <typename Settings>
std::string error_of(const Result<Settings>& settings) {
  return settings ? "<good>" : settings.error().context();
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_CASE("a Config holds what was set, the last value of a name") {
  const Config one{{"bootstrap.servers", "localhost:9092"}};
  CHECK(one.get("bootstrap.servers") == "localhost:9092");
  Config config{{"linger.ms", "5"}, {"linger.ms", "6"}};
  CHECK(config.get("linger.ms") == "6");
  config.set("acks", "1").set("acks", "0");
  CHECK(config.get("acks") == "0");
  config.erase("acks");
  CHECK_FALSE(config.contains("acks"));
}

TEST_CASE("a Config loads properties text, or changes nothing and says why") {
  Config config{{"acks", "1"}};
  REQUIRE(config.load("# comment\nacks = all\nclient.id:me\n"));
  CHECK(config.get("acks") == "all");
  CHECK(config.get("client.id") == "me");
  std::string error;
  CHECK_FALSE(config.load("acks=0\nclient.id=\\uXYZ", &error));
  CHECK(has(error, "line 2"));
  CHECK(config.get("acks") == "all");
}

TEST_CASE("every default of every client parses and passes its validator") {
  for (const ConfigDef* def : {&producer_def(), &consumer_def(), &admin_def()}) {
    for (const ConfigKey& key : def->keys()) {
      CAPTURE(key.name);
      if (key.fallback.kind == ConfigDefault::Kind::text) CHECK(parse_value(key, key.fallback.text));
    }
  }
  CHECK(producer_def().keys().size() == 113);
  CHECK(consumer_def().keys().size() == 116);
  CHECK(admin_def().keys().size() == 91);
}

TEST_CASE("a producer with bootstrap servers alone has Kafka's defaults") {
  const Result<ProducerSettings> settings = parse_producer(with({}));
  REQUIRE(settings);
  CHECK(settings->warnings.empty());
  CHECK(settings->common.bootstrap_servers == std::vector<ServerAddress>{{"localhost", 9092}});
  CHECK(settings->acks == Acks::all);
  CHECK(settings->enable_idempotence);
  CHECK(settings->linger_ms == 5);
  CHECK(settings->batch_size == 16'384);
  CHECK(settings->retries == 2'147'483'647);
  CHECK(settings->common.receive_buffer_bytes == 32'768);
  CHECK(settings->compression_type == Compression::none);
}

TEST_CASE("the structs' own defaults are those of the tables") {
  const Result<ProducerSettings> producer = parse_producer(with({}));
  const Result<ConsumerSettings> consumer = parse_consumer(with({{"group.id", "g"}}));
  REQUIRE(producer);
  REQUIRE(consumer);
  const ProducerSettings plain;
  CHECK(plain.buffer_memory == producer->buffer_memory);
  CHECK(plain.max_request_size == producer->max_request_size);
  CHECK(plain.delivery_timeout_ms == producer->delivery_timeout_ms);
  CHECK(plain.max_block_ms == producer->max_block_ms);
  CHECK(plain.compression_lz4_level == producer->compression_lz4_level);
  CHECK(plain.compression_zstd_level == producer->compression_zstd_level);
  CHECK(plain.common.request_timeout_ms == producer->common.request_timeout_ms);
  CHECK(plain.common.reconnect_backoff_max_ms == producer->common.reconnect_backoff_max_ms);
  CHECK(plain.common.metadata_max_age_ms == producer->common.metadata_max_age_ms);
  const ConsumerSettings other;
  CHECK(other.fetch_max_bytes == consumer->fetch_max_bytes);
  CHECK(other.max_partition_fetch_bytes == consumer->max_partition_fetch_bytes);
  CHECK(other.max_poll_records == consumer->max_poll_records);
  CHECK(other.auto_offset_reset == consumer->auto_offset_reset);
  CHECK(other.session_timeout_ms == consumer->session_timeout_ms);
  CHECK(other.enable_auto_commit == consumer->enable_auto_commit);
}

TEST_CASE("an unknown key is a warning that names the nearest known one") {
  const Result<ProducerSettings> settings =
      parse_producer(with({{"linger.msec", "5"}, {"queue.buffering.max.ms", "5"}}));
  REQUIRE(settings);
  REQUIRE(settings->warnings.size() == 2);
  CHECK(has(settings->warnings[0], "linger.msec"));
  CHECK(has(settings->warnings[0], "did you mean linger.ms?"));
  CHECK(has(settings->warnings[1], "queue.buffering.max.ms"));
}

TEST_CASE("a bad value is an error that names key, value and range") {
  const std::string error = error_of(parse_producer(with({{"batch.size", "-1"}})));
  CHECK(error == "Invalid value -1 for configuration batch.size: Value must be at least 0");
  CHECK(has(error_of(parse_producer(with({{"acks", "2"}}))), "one of: all, -1, 0, 1"));
  CHECK(has(error_of(parse_producer(with({{"compression.type", "lzma"}}))), "none, gzip, snappy, lz4, zstd"));
  CHECK(has(error_of(parse_producer(with({{"compression.zstd.level", "23"}}))), "[-131072,...,22]"));
  CHECK(has(error_of(parse_consumer(with({{"max.poll.records", "0"}}))), "at least 1"));
}

TEST_CASE("bootstrap servers are needed and must be host:port") {
  CHECK(has(error_of(parse_producer(Config{})), "bootstrap.servers"));
  CHECK(has(error_of(parse_consumer(Config{})), "bootstrap.servers"));
  for (const char* text :
       {"", "localhost", "localhost:", ":9092", "localhost:0", "localhost:65536", "a b:1", "h:9x", "http://h:1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_producer(Config{{"bootstrap.servers", text}}));
  }
  const Result<ProducerSettings> settings = parse_producer(Config{{"bootstrap.servers", "a:1, [::1]:2"}});
  REQUIRE(settings);
  CHECK(settings->common.bootstrap_servers == std::vector<ServerAddress>{{"a", 1}, {"::1", 2}});
}

TEST_CASE("what is not served is refused by name") {
  const Result<ProducerSettings> transactional = parse_producer(with({{"transactional.id", "t"}}));
  REQUIRE_FALSE(transactional);
  CHECK(transactional.error() == Errc::unsupported);
  CHECK(has(transactional.error().context(), "transactional.id"));
  for (const char* protocol : {"SASL_PLAINTEXT", "sasl_ssl"}) {
    const Result<ConsumerSettings> secured = parse_consumer(with({{"security.protocol", protocol}}));
    REQUIRE_FALSE(secured);
    CHECK(secured.error() == Errc::unsupported);
  }
  CHECK(parse_consumer(with({{"security.protocol", "plaintext"}})));
  CHECK(has(error_of(parse_consumer(with({{"security.protocol", "TLS"}}))), "one of"));
  CHECK_FALSE(parse_producer(with({{"config.providers", "env"}})));
  CHECK_FALSE(parse_producer(with({{"partitioner.class", "com.example.Mine"}})));
}

TEST_CASE("SSL comes with its settings, which are checked when they are read") {
  const Result<ProducerSettings> settings = parse_producer(
      with({{"security.protocol", "ssl"}, {"ssl.truststore.type", "PEM"}, {"ssl.truststore.location", "/ca.pem"}}));
  REQUIRE(settings);
  REQUIRE(settings->common.tls);
  CHECK(settings->common.tls->truststore.location == "/ca.pem");
  CHECK_FALSE(parse_admin(with({}))->common.tls);
  const auto wrong = parse_admin(with({{"security.protocol", "SSL"}, {"ssl.enabled.protocols", "TLSv1.1"}}));
  REQUIRE_FALSE(wrong);
  CHECK(has(wrong.error().context(), "ssl.enabled.protocols"));
}

TEST_CASE("Java's classes are accepted with a warning") {
  const Result<ProducerSettings> settings =
      parse_producer(with({{"key.serializer", "org.apache.kafka.common.serialization.StringSerializer"}}));
  REQUIRE(settings);
  REQUIRE(settings->warnings.size() == 1);
  CHECK(has(settings->warnings[0], "key.serializer"));
  const auto round_robin =
      parse_producer(with({{"partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner"}}));
  REQUIRE(round_robin);
  CHECK(round_robin->partitioner_round_robin);
}

TEST_CASE("idempotence that was asked for conflicts with acks, retries and in flight; else it is turned off") {
  CHECK(has(error_of(parse_producer(with({{"enable.idempotence", "true"}, {"acks", "1"}}))), "acks"));
  CHECK(has(error_of(parse_producer(with({{"enable.idempotence", "true"}, {"retries", "0"}}))), "retries"));
  CHECK(has(error_of(parse_producer(with({{"max.in.flight.requests.per.connection", "6"}}))), "at most 5"));
  CHECK(parse_producer(with({{"max.in.flight.requests.per.connection", "6"}, {"enable.idempotence", "false"}})));
  const Result<ProducerSettings> off = parse_producer(with({{"acks", "1"}}));
  REQUIRE(off);
  CHECK_FALSE(off->enable_idempotence);
  CHECK(off->acks == Acks::leader);
  CHECK(off->warnings.size() == 1);
  const Result<ProducerSettings> all = parse_producer(with({{"acks", "-1"}}));
  REQUIRE(all);
  CHECK(all->enable_idempotence);
}

TEST_CASE("the delivery timeout covers lingering and one request") {
  CHECK(has(error_of(parse_producer(with({{"delivery.timeout.ms", "30004"}}))),
            "linger.ms + request.timeout.ms (30005)"));
  CHECK(parse_producer(with({{"delivery.timeout.ms", "30005"}})));
  const Result<ProducerSettings> raised = parse_producer(with({{"request.timeout.ms", "200000"}}));
  REQUIRE(raised);
  CHECK(raised->delivery_timeout_ms == 200'005);
  const Result<ProducerSettings> most = parse_producer(with({{"linger.ms", "9223372036854775807"}}));
  REQUIRE(most);
  CHECK(most->delivery_timeout_ms == 2'147'483'647);
}

TEST_CASE("a backoff over its maximum becomes constant") {
  const Result<ProducerSettings> settings =
      parse_producer(with({{"retry.backoff.ms", "5000"}, {"reconnect.backoff.ms", "7000"}}));
  REQUIRE(settings);
  CHECK(settings->common.retry_backoff_ms == 1000);
  CHECK(settings->common.reconnect_backoff_ms == 7000);
  CHECK(settings->common.reconnect_backoff_max_ms == 7000);
  CHECK(settings->warnings.size() == 1);
}

TEST_CASE("offset reset takes a duration") {
  const auto reset = [](std::string_view text) { return parse_consumer(with({{"auto.offset.reset", text}})); };
  REQUIRE(reset("by_duration:PT1H"));
  CHECK(reset("by_duration:PT1H")->auto_offset_reset == OffsetReset{OffsetReset::Kind::by_duration, 3'600'000});
  CHECK(reset("earliest")->auto_offset_reset.kind == OffsetReset::Kind::earliest);
  CHECK(reset("none")->auto_offset_reset.kind == OffsetReset::Kind::none);
  for (const char* text : {"smallest", "by_duration:", "by_duration:1h", "by_duration:-PT1H", "Earliest"}) {
    CAPTURE(text);
    CHECK(has(error_of(reset(text)), "latest, earliest, none, by_duration"));
  }
}

TEST_CASE("a consumer without a group does not commit by itself") {
  const Result<ConsumerSettings> settings = parse_consumer(with({}));
  REQUIRE(settings);
  CHECK_FALSE(settings->enable_auto_commit);
  CHECK(has(error_of(parse_consumer(with({{"enable.auto.commit", "true"}}))), "group.id"));
  CHECK(parse_consumer(with({{"enable.auto.commit", "true"}, {"group.id", "g"}}))->enable_auto_commit);
}

TEST_CASE("keys of one group protocol are refused by the other") {
  CHECK(has(error_of(parse_consumer(with({{"group.protocol", "consumer"}, {"session.timeout.ms", "1"}}))),
            "group.protocol=consumer"));
  CHECK(has(error_of(parse_consumer(with({{"group.remote.assignor", "uniform"}}))), "group.protocol=classic"));
  CHECK(parse_consumer(with({{"group.protocol", "CONSUMER"}}))->group_protocol == GroupProtocol::consumer);
}

TEST_CASE("an admin client goes to brokers or to controllers") {
  CHECK_FALSE(parse_admin(Config{}));
  CHECK_FALSE(parse_admin(Config{{"bootstrap.servers", "a:1"}, {"bootstrap.controllers", "b:2"}}));
  const Result<AdminSettings> controllers = parse_admin(Config{{"bootstrap.controllers", "b:2"}});
  REQUIRE(controllers);
  CHECK(controllers->to_controllers);
  CHECK(controllers->common.bootstrap_servers == std::vector<ServerAddress>{{"b", 2}});
  CHECK(controllers->common.connections_max_idle_ms == 300'000);
  CHECK(has(error_of(parse_admin(with({{"default.api.timeout.ms", "1"}}))), "request.timeout.ms (30000)"));
  CHECK(parse_admin(with({{"request.timeout.ms", "70000"}}))->default_api_timeout_ms == 70'000);
}

}  // namespace
}  // namespace klamm::client
