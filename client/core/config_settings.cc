#include "client/core/config_settings.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/duration.h"
#include "client/core/config_keys.h"

namespace klamm::client {
namespace {

constexpr std::string_view kByDuration = "by_duration:";
constexpr std::int32_t kMostInFlightWithIdempotence = 5;

// Keys that a Java client has for classes of its own process.
constexpr std::string_view kJavaOnly[] = {"key.serializer",     "value.serializer",    "key.deserializer",
                                          "value.deserializer", "interceptor.classes", "metric.reporters",
                                          "security.providers"};

tl::unexpected<Error> refused(std::string_view key, std::string_view value, std::string_view reason) {
  std::string context = "Invalid value ";
  context.append(value).append(" for configuration ").append(key).append(": ").append(reason);
  return fail(Errc::unsupported, std::move(context));
}

std::optional<OffsetReset> offset_reset(std::string_view text) {
  using Kind = OffsetReset::Kind;
  if (text == "earliest") return OffsetReset{Kind::earliest, 0};
  if (text == "latest") return OffsetReset{Kind::latest, 0};
  if (text == "none") return OffsetReset{Kind::none, 0};
  if (!text.starts_with(kByDuration)) return std::nullopt;
  const std::optional<std::int64_t> back = parse_iso_duration_ms(text.substr(kByDuration.size()));
  if (!back || *back < 0) return std::nullopt;
  return OffsetReset{Kind::by_duration, *back};
}

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](char a, char b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return lower(a) == lower(b);
  });
}

// One client's settings while they are parsed.
class Parser {
 public:
  Parser(ConfigValues values, std::vector<std::string>& warnings) : values_(std::move(values)), warnings_(warnings) {}

  static Result<ConfigValues> parse(const ConfigDef& def, const Config& config, std::vector<std::string>& warnings) {
    for (const auto& [name, value] : config.settings()) {
      if (def.find(name) != nullptr) continue;
      std::string warning = "Unknown configuration " + name + " has no effect";
      if (const auto nearest = def.nearest(name)) warning.append("; did you mean ").append(*nearest).append("?");
      warnings.push_back(std::move(warning));
    }
    return def.parse(config.settings());
  }

  const ConfigValues& values() const { return values_; }
  void warn(std::string text) { warnings_.push_back(std::move(text)); }
  bool given(std::string_view key) const { return values_.given(key); }
  std::string text(std::string_view key) const { return value_text(values_.value(key)).value_or("null"); }
  tl::unexpected<Error> bad(std::string_view key, std::string_view reason) const {
    return fail(config_error(key, text(key), reason));
  }

  Result<void> check_served() {
    const std::string& protocol = values_.get_string("security.protocol");
    if (!equal_ignoring_case(protocol, "PLAINTEXT") && !equal_ignoring_case(protocol, "SSL"))
      return refused("security.protocol", protocol, "klamm's clients serve only PLAINTEXT and SSL so far");
    if (!values_.get_list("config.providers").empty())
      return refused("config.providers", text("config.providers"),
                     "klamm serves no configuration providers; write the values themselves");
    for (const std::string_view key : kJavaOnly) {
      if (given(key)) warn(std::string(key) + " has no effect: it names Java classes");
    }
    return {};
  }

  Result<std::vector<ServerAddress>> servers(std::string_view key) const {
    std::vector<ServerAddress> addresses;
    for (const std::string& server : values_.get_list(key)) {
      Result<ServerAddress> address = parse_server_address(server);
      if (!address) return fail(config_error(key, text(key), address.error().context()));
      addresses.push_back(*std::move(address));
    }
    return addresses;
  }

  // Two keys of a backoff that grows from the first to the second; a first over the second is a constant one.
  void backoff(std::string_view key, std::string_view max_key, std::int64_t& first, std::int64_t& most) {
    first = values_.get_long(key);
    most = values_.get_long(max_key);
    if (first <= most) return;
    warn(std::string(key) + " (" + text(key) + ") is greater than " + std::string(max_key) + " (" + text(max_key) +
         "): the latter is used as a constant");
    first = most;
  }

  Result<CommonSettings> common() {
    Result<void> served = check_served();
    KLAMM_TRY(served);
    CommonSettings settings;
    if (equal_ignoring_case(values_.get_string("security.protocol"), "SSL")) {
      Result<io::tls::Settings> tls = io::tls::parse_settings(values_);
      KLAMM_TRY(tls);
      settings.tls = *std::move(tls);
    }
    Result<std::vector<ServerAddress>> addresses = servers("bootstrap.servers");
    KLAMM_TRY(addresses);
    settings.bootstrap_servers = *std::move(addresses);
    settings.client_id = values_.get_string("client.id");
    settings.resolve_canonical_names = values_.get_string("client.dns.lookup") != "use_all_dns_ips";
    settings.request_timeout_ms = values_.get_int("request.timeout.ms");
    backoff("retry.backoff.ms", "retry.backoff.max.ms", settings.retry_backoff_ms, settings.retry_backoff_max_ms);
    if (given("reconnect.backoff.ms") && !given("reconnect.backoff.max.ms")) {
      // Whoever sets the first alone means a constant one.
      settings.reconnect_backoff_ms = settings.reconnect_backoff_max_ms = values_.get_long("reconnect.backoff.ms");
    } else {
      backoff("reconnect.backoff.ms", "reconnect.backoff.max.ms", settings.reconnect_backoff_ms,
              settings.reconnect_backoff_max_ms);
    }
    backoff("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms",
            settings.socket_connection_setup_timeout_ms, settings.socket_connection_setup_timeout_max_ms);
    settings.connections_max_idle_ms = values_.get_long("connections.max.idle.ms");
    settings.metadata_max_age_ms = values_.get_long("metadata.max.age.ms");
    settings.rebootstrap = equal_ignoring_case(values_.get_string("metadata.recovery.strategy"), "rebootstrap");
    settings.rebootstrap_trigger_ms = values_.get_long("metadata.recovery.rebootstrap.trigger.ms");
    settings.send_buffer_bytes = values_.get_int("send.buffer.bytes");
    settings.receive_buffer_bytes = values_.get_int("receive.buffer.bytes");
    settings.enable_metrics_push = values_.get_bool("enable.metrics.push");
    return settings;
  }

 private:
  ConfigValues values_;
  std::vector<std::string>& warnings_;
};

Compression compression_of(std::string_view name) {
  if (name == "gzip") return Compression::gzip;
  if (name == "snappy") return Compression::snappy;
  if (name == "lz4") return Compression::lz4;
  if (name == "zstd") return Compression::zstd;
  return Compression::none;
}

Acks acks_of(std::string_view text) {
  if (text == "0") return Acks::none;
  if (text == "1") return Acks::leader;
  return Acks::all;
}

// Idempotence needs acks=all, retries, and no more than five requests in flight. Asked for, a conflict is an error; not
// asked for, it is turned off (by acks and retries only, as in Kafka 4).
Result<void> settle_idempotence(Parser& parser, ProducerSettings& settings) {
  const ConfigValues& values = parser.values();
  settings.enable_idempotence = values.get_bool("enable.idempotence");
  if (!settings.enable_idempotence) return {};
  const bool asked = parser.given("enable.idempotence");
  if (settings.retries == 0) {
    if (asked) return parser.bad("retries", "Must set retries to non-zero when using the idempotent producer");
    parser.warn("Idempotence is off because retries is set to 0");
    settings.enable_idempotence = false;
  }
  if (settings.acks != Acks::all) {
    if (asked) return parser.bad("acks", "Must set acks to all in order to use the idempotent producer");
    parser.warn("Idempotence is off because acks is set to " + parser.text("acks") + ", not to all");
    settings.enable_idempotence = false;
  }
  if (settings.enable_idempotence && settings.max_in_flight_requests_per_connection > kMostInFlightWithIdempotence) {
    return parser.bad("max.in.flight.requests.per.connection",
                      "To use the idempotent producer, it must be set to at most 5 (or enable.idempotence to false)");
  }
  return {};
}

Result<void> settle_delivery_timeout(Parser& parser, ProducerSettings& settings) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  settings.delivery_timeout_ms = parser.values().get_int("delivery.timeout.ms");
  const std::int64_t linger = std::min(settings.linger_ms, kMost);
  const std::int64_t least = std::min(linger + settings.common.request_timeout_ms, kMost);
  if (settings.delivery_timeout_ms >= least) return {};
  if (parser.given("delivery.timeout.ms")) {
    return parser.bad("delivery.timeout.ms", "it should be equal to or larger than linger.ms + request.timeout.ms (" +
                                                 std::to_string(least) + ")");
  }
  parser.warn("delivery.timeout.ms is raised to linger.ms + request.timeout.ms (" + std::to_string(least) + ")");
  settings.delivery_timeout_ms = static_cast<std::int32_t>(least);
  return {};
}

Result<void> settle_partitioner(Parser& parser, ProducerSettings& settings) {
  const ConfigValues& values = parser.values();
  settings.partitioner_ignore_keys = values.get_bool("partitioner.ignore.keys");
  settings.partitioner_adaptive = values.get_bool("partitioner.adaptive.partitioning.enable");
  settings.partitioner_availability_timeout_ms = values.get_long("partitioner.availability.timeout.ms");
  const std::optional<std::string> name = values.find_string("partitioner.class");
  if (!name || name->empty()) return {};
  if (*name != "org.apache.kafka.clients.producer.RoundRobinPartitioner") {
    return refused(
        "partitioner.class", *name,
        "klamm has only org.apache.kafka.clients.producer.RoundRobinPartitioner by name; give the producer a "
        "partitioner of your own in code");
  }
  settings.partitioner_round_robin = true;
  return {};
}

Result<void> settle_group(Parser& parser, ConsumerSettings& settings) {
  const ConfigValues& values = parser.values();
  settings.group_id = values.find_string("group.id");
  settings.group_instance_id = values.find_string("group.instance.id");
  settings.group_remote_assignor = values.find_string("group.remote.assignor");
  settings.partition_assignment_strategy = values.get_list("partition.assignment.strategy");
  settings.auto_commit_interval_ms = values.get_int("auto.commit.interval.ms");
  settings.session_timeout_ms = values.get_int("session.timeout.ms");
  settings.heartbeat_interval_ms = values.get_int("heartbeat.interval.ms");
  settings.max_poll_interval_ms = values.get_int("max.poll.interval.ms");
  const bool new_protocol = equal_ignoring_case(values.get_string("group.protocol"), "consumer");
  settings.group_protocol = new_protocol ? GroupProtocol::consumer : GroupProtocol::classic;
  if (new_protocol) {
    for (const std::string_view key :
         {"partition.assignment.strategy", "heartbeat.interval.ms", "session.timeout.ms"}) {
      if (parser.given(key)) return parser.bad(key, "it cannot be set when group.protocol=consumer");
    }
  } else if (parser.given("group.remote.assignor")) {
    return parser.bad("group.remote.assignor", "it cannot be set when group.protocol=classic");
  }
  settings.enable_auto_commit = values.get_bool("enable.auto.commit");
  if (!settings.group_id && settings.enable_auto_commit) {
    if (parser.given("enable.auto.commit"))
      return parser.bad("enable.auto.commit", "it cannot be set to true without a group.id");
    settings.enable_auto_commit = false;
  }
  return {};
}

}  // namespace

std::optional<std::string> check_offset_reset(const ConfigValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && offset_reset(*text)) return std::nullopt;
  return "Must be one of latest, earliest, none, by_duration:PnDTnHnMn.nS (a duration that is not negative)";
}

const ConfigDef& producer_def() {
  static const ConfigDef def{common_keys(), security_keys(), producer_keys()};
  return def;
}
const ConfigDef& consumer_def() {
  static const ConfigDef def{common_keys(), security_keys(), consumer_keys()};
  return def;
}
const ConfigDef& admin_def() {
  static const ConfigDef def{common_keys(), security_keys(), admin_keys()};
  return def;
}

Result<ServerAddress> parse_server_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  bool good = colon != std::string_view::npos && colon + 1 < text.size() && !host.empty();
  if (good) {
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
    good = error == std::errc() && stop == end && port != 0;
  }
  constexpr std::string_view kHostChars = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-%._:";
  good = good && host.find_first_not_of(kHostChars) == std::string_view::npos;
  if (!good)
    return fail(Errc::invalid_argument, "'" + std::string(text) + "' is not host:port with a port of 1 to 65535");
  return ServerAddress{std::string(host), port};
}

Result<ProducerSettings> parse_producer(const Config& config) {
  ProducerSettings settings;
  Result<ConfigValues> parsed = Parser::parse(producer_def(), config, settings.warnings);
  KLAMM_TRY(parsed);
  Parser parser(*std::move(parsed), settings.warnings);
  const ConfigValues& values = parser.values();
  if (const std::optional<std::string> id = values.find_string("transactional.id"))
    return refused("transactional.id", *id, "klamm's producer does not serve transactions so far");
  Result<CommonSettings> common = parser.common();
  KLAMM_TRY(common);
  settings.common = *std::move(common);

  settings.acks = acks_of(values.get_string("acks"));
  settings.batch_size = values.get_int("batch.size");
  settings.linger_ms = values.get_long("linger.ms");
  settings.buffer_memory = values.get_long("buffer.memory");
  settings.max_request_size = values.get_int("max.request.size");
  settings.max_in_flight_requests_per_connection = values.get_int("max.in.flight.requests.per.connection");
  settings.retries = values.get_int("retries");
  settings.max_block_ms = values.get_long("max.block.ms");
  settings.metadata_max_idle_ms = values.get_long("metadata.max.idle.ms");
  settings.compression_type = compression_of(values.get_string("compression.type"));
  settings.compression_gzip_level = values.get_int("compression.gzip.level");
  settings.compression_lz4_level = values.get_int("compression.lz4.level");
  settings.compression_zstd_level = values.get_int("compression.zstd.level");

  Result<void> idempotence = settle_idempotence(parser, settings);
  KLAMM_TRY(idempotence);
  Result<void> delivery = settle_delivery_timeout(parser, settings);
  KLAMM_TRY(delivery);
  Result<void> partitioner = settle_partitioner(parser, settings);
  KLAMM_TRY(partitioner);
  return settings;
}

Result<ConsumerSettings> parse_consumer(const Config& config) {
  ConsumerSettings settings;
  Result<ConfigValues> parsed = Parser::parse(consumer_def(), config, settings.warnings);
  KLAMM_TRY(parsed);
  Parser parser(*std::move(parsed), settings.warnings);
  const ConfigValues& values = parser.values();
  Result<CommonSettings> common = parser.common();
  KLAMM_TRY(common);
  settings.common = *std::move(common);

  settings.fetch_min_bytes = values.get_int("fetch.min.bytes");
  settings.fetch_max_bytes = values.get_int("fetch.max.bytes");
  settings.fetch_max_wait_ms = values.get_int("fetch.max.wait.ms");
  settings.max_partition_fetch_bytes = values.get_int("max.partition.fetch.bytes");
  settings.max_poll_records = values.get_int("max.poll.records");
  settings.auto_offset_reset = *offset_reset(values.get_string("auto.offset.reset"));  // its validator saw it
  settings.check_crcs = values.get_bool("check.crcs");
  settings.isolation_level = values.get_string("isolation.level") == "read_committed"
                                 ? IsolationLevel::read_committed
                                 : IsolationLevel::read_uncommitted;
  settings.client_rack = values.get_string("client.rack");
  settings.allow_auto_create_topics = values.get_bool("allow.auto.create.topics");
  settings.exclude_internal_topics = values.get_bool("exclude.internal.topics");
  settings.default_api_timeout_ms = values.get_int("default.api.timeout.ms");
  Result<void> group = settle_group(parser, settings);
  KLAMM_TRY(group);
  return settings;
}

Result<AdminSettings> parse_admin(const Config& config) {
  AdminSettings settings;
  Result<ConfigValues> parsed = Parser::parse(admin_def(), config, settings.warnings);
  KLAMM_TRY(parsed);
  Parser parser(*std::move(parsed), settings.warnings);
  const ConfigValues& values = parser.values();
  Result<CommonSettings> common = parser.common();
  KLAMM_TRY(common);
  settings.common = *std::move(common);

  Result<std::vector<ServerAddress>> controllers = parser.servers("bootstrap.controllers");
  KLAMM_TRY(controllers);
  if (settings.common.bootstrap_servers.empty() && controllers->empty())
    return fail(Errc::invalid_argument, "You must set either bootstrap.servers or bootstrap.controllers");
  if (!settings.common.bootstrap_servers.empty() && !controllers->empty())
    return fail(Errc::invalid_argument, "You cannot set both bootstrap.servers and bootstrap.controllers");
  if (!controllers->empty()) {
    settings.to_controllers = true;
    settings.common.bootstrap_servers = *std::move(controllers);
  }
  settings.retries = values.get_int("retries");
  settings.default_api_timeout_ms = values.get_int("default.api.timeout.ms");
  if (settings.default_api_timeout_ms < settings.common.request_timeout_ms) {
    if (parser.given("default.api.timeout.ms")) {
      return parser.bad("default.api.timeout.ms",
                        "it must be no smaller than request.timeout.ms (" + parser.text("request.timeout.ms") + ")");
    }
    parser.warn("default.api.timeout.ms is raised to request.timeout.ms (" + parser.text("request.timeout.ms") + ")");
    settings.default_api_timeout_ms = settings.common.request_timeout_ms;
  }
  return settings;
}

}  // namespace klamm::client
