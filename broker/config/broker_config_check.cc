#include "broker/config/broker_config_check.h"

#include <algorithm>
#include <string>

#include "broker/config/registry.h"

namespace klamm::config {
namespace {

// low <= value <= high, and the limits themselves in order.
struct Bounded {
  std::string_view value;
  std::string_view low;
  std::string_view high;
};

constexpr Bounded kBounded[] = {
    {"group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms",
     "group.consumer.max.heartbeat.interval.ms"},
    {"group.consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms",
     "group.consumer.max.session.timeout.ms"},
    {"group.consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms",
     "group.consumer.max.assignment.interval.ms"},
    {"group.share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms",
     "group.share.max.heartbeat.interval.ms"},
    {"group.share.session.timeout.ms", "group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
    {"group.share.assignment.interval.ms", "group.share.min.assignment.interval.ms",
     "group.share.max.assignment.interval.ms"},
    {"group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms",
     "group.share.max.record.lock.duration.ms"},
    {"group.share.delivery.count.limit", "group.share.min.delivery.count.limit",
     "group.share.max.delivery.count.limit"},
    {"group.share.partition.max.record.locks", "group.share.min.partition.max.record.locks",
     "group.share.max.partition.max.record.locks"},
    {"group.streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms",
     "group.streams.max.heartbeat.interval.ms"},
    {"group.streams.session.timeout.ms", "group.streams.min.session.timeout.ms",
     "group.streams.max.session.timeout.ms"},
    {"group.streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms",
     "group.streams.max.assignment.interval.ms"},
};

struct Less {
  std::string_view less;
  std::string_view than;
};
constexpr Less kLess[] = {
    {"group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"},
    {"group.share.heartbeat.interval.ms", "group.share.session.timeout.ms"},
    {"group.streams.heartbeat.interval.ms", "group.streams.session.timeout.ms"},
};

// Classes that Kafka would load to allow, refuse or slow down what clients ask for. Taken in silence they would leave
// everything open to everybody, and nobody would be told.
constexpr std::string_view kPlugIns[] = {"authorizer.class.name", "create.topic.policy.class.name",
                                         "alter.config.policy.class.name", "client.quota.callback.class"};

std::string joined_names(const std::vector<Endpoint>& endpoints) {
  std::string names;
  for (const Endpoint& endpoint : endpoints) names += (names.empty() ? "" : ",") + endpoint.listener;
  return names;
}

bool has_listener(const std::vector<Endpoint>& endpoints, std::string_view name) {
  return std::any_of(endpoints.begin(), endpoints.end(),
                     [&](const Endpoint& endpoint) { return endpoint.listener == name; });
}

bool uses_sasl(SecurityProtocol protocol) {
  return protocol == SecurityProtocol::sasl_plaintext || protocol == SecurityProtocol::sasl_ssl;
}

}  // namespace

std::string BrokerConfigChecker::text(std::string_view key) const {
  return value_text(values_.value(key)).value_or("null");
}

tl::unexpected<Error> BrokerConfigChecker::bad(std::string_view key, std::string_view reason) const {
  return fail(config_error(key, text(key), reason));
}

Result<void> BrokerConfigChecker::run() {
  using Check = Result<void> (*)(BrokerConfigChecker&);
  constexpr Check kChecks[] = {
      [](BrokerConfigChecker& self) { return self.check_identity(); },
      [](BrokerConfigChecker& self) { return self.check_log(); },
      [](BrokerConfigChecker& self) { return self.check_replication(); },
      [](BrokerConfigChecker& self) { return self.check_quorum(); },
      [](BrokerConfigChecker& self) { return self.check_advertised(); },
      [](BrokerConfigChecker& self) { return self.check_security(); },
      [](BrokerConfigChecker& self) { return self.check_plug_ins(); },
      [](BrokerConfigChecker& self) { return self.check_network(); },
      [](BrokerConfigChecker& self) { return self.check_coordinators(); },
  };
  for (const Check check : kChecks) {
    Result<void> result = check(*this);
    KLAMM_TRY(result);
  }
  return {};
}

Result<void> BrokerConfigChecker::check_identity() const {
  if (values_.given("broker.id") && values_.get_int("broker.id") != config_.node_id())
    return bad("broker.id", "You must set node.id (" + text("node.id") + ") to the same value as broker.id");
  if (!values_.get_list("config.providers").empty())
    return bad("config.providers", "klamm does not serve configuration providers; write the values themselves");
  return {};
}

Result<void> BrokerConfigChecker::check_log() const {
  if (config_.log_roll_ms() < 1) return bad("log.roll.ms", "log.roll.ms must be greater than or equal to 1");
  if (config_.log_roll_jitter_ms() < 0)
    return bad("log.roll.jitter.ms", "log.roll.jitter.ms must be greater than or equal to 0");
  if (config_.log_retention_ms() == 0) {
    const char* key = values_.given("log.retention.ms")        ? "log.retention.ms"
                      : values_.given("log.retention.minutes") ? "log.retention.minutes"
                                                               : "log.retention.hours";
    return bad(key, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
  }
  const std::int64_t threads = values_.get_int("log.cleaner.threads");
  constexpr std::int64_t kBufferPerThread = std::int64_t{1024} * 1024;
  if (threads > 0 && values_.get_long("log.cleaner.dedupe.buffer.size") / threads <= kBufferPerThread)
    return bad("log.cleaner.dedupe.buffer.size",
               "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread");
  if (values_.get_long("log.cleaner.min.compaction.lag.ms") > values_.get_long("log.cleaner.max.compaction.lag.ms"))
    return bad("log.cleaner.min.compaction.lag.ms", "Value must not be more than log.cleaner.max.compaction.lag.ms (" +
                                                        text("log.cleaner.max.compaction.lag.ms") + ")");
  return {};
}

Result<void> BrokerConfigChecker::check_replication() {
  const std::int32_t wait_ms = values_.get_int("replica.fetch.wait.max.ms");
  if (wait_ms > values_.get_int("replica.socket.timeout.ms"))
    return bad("replica.socket.timeout.ms", "Value must be at least replica.fetch.wait.max.ms (" +
                                                std::to_string(wait_ms) + ") to prevent unnecessary socket timeouts");
  if (wait_ms > values_.get_long("replica.lag.time.max.ms"))
    return bad("replica.fetch.wait.max.ms", "Value must not be more than replica.lag.time.max.ms (" +
                                                text("replica.lag.time.max.ms") +
                                                ") to prevent frequent changes in ISR");
  const std::int64_t heartbeat_ms = values_.get_int("broker.heartbeat.interval.ms");
  if (heartbeat_ms * 2 > values_.get_int("broker.session.timeout.ms")) {
    config_.warnings_.push_back("broker.heartbeat.interval.ms (" + std::to_string(heartbeat_ms) +
                                " ms) is more than half of broker.session.timeout.ms (" +
                                text("broker.session.timeout.ms") + " ms): the broker may be fenced while it lives");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_quorum() {
  if (config_.voters().empty() && config_.bootstrap_servers().empty()) {
    return bad("process.roles",
               "either controller.quorum.bootstrap.servers must contain the set of bootstrap controllers or "
               "controller.quorum.voters must contain a parseable set of controllers");
  }
  for (std::size_t i = 0; i < config_.voters().size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (config_.voters()[i].id == config_.voters()[j].id)
        return bad("controller.quorum.voters", "id " + std::to_string(config_.voters()[i].id) + " comes twice");
    }
  }
  if (config_.is_controller()) {
    Result<void> controller = check_controller_role();
    KLAMM_TRY(controller);
    if (config_.is_broker()) return {};
    return check_controller_only();
  }
  return check_broker_only();
}

Result<void> BrokerConfigChecker::check_controller_role() const {
  const auto is_self = [&](const Voter& voter) { return voter.id == config_.node_id(); };
  if (!config_.voters().empty() && std::none_of(config_.voters().begin(), config_.voters().end(), is_self)) {
    return bad("controller.quorum.voters", "If process.roles contains the 'controller' role, the node id " +
                                               text("node.id") + " must be included in the set of voters");
  }
  for (const std::string& name : config_.controller_listener_names()) {
    if (!has_listener(config_.listeners(), name)) {
      return bad("controller.listener.names",
                 "'" + name + "' does not appear in listeners (" + text("listeners") +
                     "); a node with the controller role must listen on each of its controller listeners");
    }
  }
  return {};
}

Result<void> BrokerConfigChecker::check_controller_only() const {
  if (config_.advertised_controller_listeners().size() != config_.listeners().size()) {
    return bad("listeners",
               "The listeners config must only contain KRaft controller listeners from controller.listener.names (" +
                   text("controller.listener.names") + ") when process.roles=controller");
  }
  if (values_.find_string("inter.broker.listener.name") &&
      config_.is_controller_listener(config_.inter_broker_listener())) {
    return bad("inter.broker.listener.name", "controller.listener.names (" + text("controller.listener.names") +
                                                 ") must not contain it when process.roles=controller");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_broker_only() {
  for (const Voter& voter : config_.voters()) {
    if (voter.id == config_.node_id()) {
      return bad("controller.quorum.voters", "If process.roles contains just the 'broker' role, the node id " +
                                                 text("node.id") + " must not be included in the set of voters");
    }
  }
  for (const std::string& name : config_.controller_listener_names()) {
    if (has_listener(config_.listeners(), name)) {
      return bad("controller.listener.names", "'" + name + "' must not appear in listeners (" + text("listeners") +
                                                  ") when running KRaft with just the broker role");
    }
    if (!config_.protocols().contains(name)) {
      return bad("controller.listener.names", "Controller listener '" + name +
                                                  "' not found in listener.security.protocol.map (" +
                                                  text("listener.security.protocol.map") + ")");
    }
  }
  if (values_.get_bool("controller.quorum.auto.join.enable"))
    return bad("controller.quorum.auto.join.enable", "it needs a process.roles with the 'controller' role");
  if (config_.controller_listener_names().size() > 1) {
    config_.warnings_.push_back("controller.listener.names has several entries (" + text("controller.listener.names") +
                                "): a node with just the broker role uses the first only");
  }
  for (const std::string_view key : {"create.topic.policy.class.name", "alter.config.policy.class.name"}) {
    if (values_.given(key)) config_.warnings_.push_back(std::string(key) + " has an effect on controllers only");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_advertised() const {
  const std::vector<Endpoint>& advertised = config_.advertised_broker_listeners();
  if (config_.is_broker()) {
    const std::string names = joined_names(advertised);
    if (advertised.empty()) {
      return bad("advertised.listeners",
                 "There must be at least one broker advertised listener. Perhaps all listeners appear in "
                 "controller.listener.names (" +
                     text("controller.listener.names") + ")?");
    }
    if (!has_listener(advertised, config_.inter_broker_listener())) {
      return fail(
          config_error("inter.broker.listener.name", config_.inter_broker_listener(),
                       "Value must be a listener name defined in advertised.listeners. The valid options based on "
                       "currently configured listeners are " +
                           names));
    }
    for (const Endpoint& endpoint : advertised) {
      if (!has_listener(config_.listeners(), endpoint.listener)) {
        return bad(
            "advertised.listeners",
            "listener names must be equal to or a subset of the ones defined in listeners. The valid options based "
            "on the current configuration are " +
                joined_names(config_.listeners()));
      }
    }
  }
  for (const std::vector<Endpoint>* endpoints : {&advertised, &config_.advertised_controller_listeners()}) {
    for (const Endpoint& endpoint : *endpoints) {
      if (endpoint.host == "0.0.0.0") {
        return fail(
            config_error(values_.given("advertised.listeners") ? "advertised.listeners" : "listeners", endpoint.text(),
                         "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP "
                         "address"));
      }
    }
  }
  const std::vector<std::string>* early = values_.find_list("early.start.listeners");
  if (early == nullptr) return {};
  for (const std::string& name : *early) {
    const std::string listener = normalized_listener_name(name);
    if (!has_listener(config_.listeners(), listener) && !config_.is_controller_listener(listener))
      return bad("early.start.listeners",
                 "'" + listener + "' is not contained in listeners or controller.listener.names");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_plug_ins() const {
  for (const std::string_view key : kPlugIns) {
    if (!values_.given(key) || text(key).empty()) continue;
    const bool policy = key.find(".policy.") != std::string_view::npos;
    if (policy && !config_.is_controller()) continue;  // without effect on a broker in Kafka as well, which warns
    return bad(key, key == "authorizer.class.name"
                        ? "klamm does not serve authorization yet and would allow everything to everybody; without "
                          "this line it starts"
                        : "klamm loads no Java classes; without this line it starts");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_security() const {
  if (!config_.is_broker() || !uses_sasl(config_.inter_broker_protocol())) return {};
  const std::string prefix = listener_prefix(config_.inter_broker_listener());
  const std::string& mechanism = values_.get_string("sasl.mechanism.inter.broker.protocol");
  std::vector<std::string> enabled = values_.get_list("sasl.enabled.mechanisms");
  const auto own = values_.originals().find(prefix + "sasl.enabled.mechanisms");
  if (own != values_.originals().end()) {
    const Result<ConfigValue> list = parse_value(*broker_def().find("sasl.enabled.mechanisms"), own->second);
    if (!list) return fail(list.error());
    enabled = std::get<std::vector<std::string>>(*list);
  }
  if (std::find(enabled.begin(), enabled.end(), mechanism) == enabled.end()) {
    return bad("sasl.mechanism.inter.broker.protocol",
               "Value must be included in sasl.enabled.mechanisms when SASL is used for inter-broker communication");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_network() const {
  const BrokerLimits& limits = config_.limits();
  if (limits.queued_max_request_bytes > 0 && limits.queued_max_request_bytes < limits.socket_request_max_bytes) {
    return bad("queued.max.request.bytes",
               "Value must be larger or equal to socket.request.max.bytes (" + text("socket.request.max.bytes") + ")");
  }
  if (limits.request_memory_max_bytes < limits.socket_request_max_bytes) {
    return bad("klamm.request.memory.max.bytes",
               "Value must be larger or equal to socket.request.max.bytes (" + text("socket.request.max.bytes") + ")");
  }
  if (limits.max_connections_per_ip == 0 && limits.max_connections_per_ip_overrides.empty()) {
    return bad("max.connections.per.ip",
               "Value can be set to zero only if max.connections.per.ip.overrides property is set");
  }
  const std::int32_t delay_ms = values_.get_int("connection.failed.authentication.delay.ms");
  for (const Endpoint& listener : config_.listeners()) {
    for (const std::string_view name : {"max.connections", "max.connection.creation.rate"}) {
      const auto own = values_.originals().find(listener_prefix(listener.listener).append(name));
      if (own == values_.originals().end()) continue;
      const Result<ConfigValue> value = parse_value(*broker_def().find(name), own->second);
      if (!value) return fail(value.error());
    }
  }
  if (limits.connections_max_idle_ms >= 0 && delay_ms >= limits.connections_max_idle_ms) {
    return bad("connection.failed.authentication.delay.ms",
               "Value should always be less than connections.max.idle.ms (" + text("connections.max.idle.ms") +
                   ") to prevent failed authentication responses from timing out");
  }
  return {};
}

Result<void> BrokerConfigChecker::check_coordinators() {
  for (const Bounded& rule : kBounded) {
    const std::int32_t value = values_.get_int(rule.value);
    const std::int32_t low = values_.get_int(rule.low);
    const std::int32_t high = values_.get_int(rule.high);
    if (low > high)
      return bad(rule.high, std::string(rule.high) + " must be greater than or equal to " + std::string(rule.low) +
                                " (" + text(rule.low) + ")");
    if (value < low)
      return bad(rule.value, std::string(rule.value) + " must be greater than or equal to " + std::string(rule.low) +
                                 " (" + text(rule.low) + ")");
    if (value > high)
      return bad(rule.value, std::string(rule.value) + " must be less than or equal to " + std::string(rule.high) +
                                 " (" + text(rule.high) + ")");
  }
  for (const Less& rule : kLess) {
    if (values_.get_int(rule.less) >= values_.get_int(rule.than))
      return bad(rule.less, std::string(rule.less) + " must be less than " + std::string(rule.than) + " (" +
                                text(rule.than) + ")");
  }
  if (values_.get_int("group.streams.num.standby.replicas") > values_.get_int("group.streams.max.standby.replicas"))
    return bad("group.streams.num.standby.replicas",
               "Value must be less than or equal to group.streams.max.standby.replicas (" +
                   text("group.streams.max.standby.replicas") + ")");
  if (values_.get_int("group.max.session.timeout.ms") < values_.get_int("group.min.session.timeout.ms"))
    return bad("group.max.session.timeout.ms", "Value must be greater than or equal to group.min.session.timeout.ms (" +
                                                   text("group.min.session.timeout.ms") + ")");
  const std::vector<std::string>& protocols = values_.get_list("group.coordinator.rebalance.protocols");
  if (std::find(protocols.begin(), protocols.end(), "classic") == protocols.end())
    return bad("group.coordinator.rebalance.protocols", "Disabling the 'classic' protocol is not supported");
  if (std::find(protocols.begin(), protocols.end(), "share") != protocols.end()) {
    config_.warnings_.push_back(
        "'share' in group.coordinator.rebalance.protocols is deprecated: share groups are controlled by "
        "the share.version feature");
  }
  return {};
}

}  // namespace klamm::config
