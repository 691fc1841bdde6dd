#include "broker/handler/tls_settings.h"

#include <string>
#include <utility>

#include "broker/config/dynamic_config.h"
#include "io/tls/context.h"
#include "io/tls/settings.h"
#include "io/tls/succession.h"

namespace klamm::handler {
namespace {

using ContextRef = std::shared_ptr<const io::tls::Context>;

// The settings of one listener's TLS in a layer; two that are equal need not be tried.
ConfigMap tls_part(const ConfigMap& settings, const std::string& prefix) {
  ConfigMap part;
  for (const auto& [name, text] : settings) {
    if (name.starts_with(prefix + "ssl.")) part.emplace(name, text);
  }
  return part;
}

io::Task<Result<ContextRef>> load(io::Shard& shard, const ConfigValues& values, std::string prefix) {
  Result<io::tls::Settings> settings = io::tls::parse_settings(values, prefix);
  KLAMM_CO_TRY(settings);
  Result<ContextRef> context = co_await io::tls::Context::load(shard, std::move(*settings), io::tls::Role::server);
  co_return context;
}

Error refused(const Error& why) {
  return protocol::kafka_error(
      protocol::ErrorCode::invalid_request,
      "Invalid value org.apache.kafka.common.config.ConfigException: Validation of dynamic config update of SSLFactory "
      "failed: " +
          why.context() + " for configuration Invalid dynamic configuration");
}

}  // namespace

io::Task<Result<void>> check_tls_settings(Services& services, ConfigMap proposed) {
  const metadata::ImageRef image = services.image();
  const ConfigMap& before = image->configs.of_broker(services.broker_id());
  const config::BrokerLayers now{&before, &image->configs.cluster_default(), &services.config};
  config::BrokerLayers then = now;
  then.per_broker = &proposed;
  const Result<config::BrokerConfig> config_now = config::effective_broker_config(now);
  const Result<config::BrokerConfig> config_then = config::effective_broker_config(then);
  if (!config_now || !config_then) co_return Result<void>();  // the controller says what is wrong with that
  for (const config::Endpoint& listener : services.config.broker_listeners()) {
    if (listener.protocol != config::SecurityProtocol::ssl) continue;
    const std::string prefix = config::listener_prefix(listener.listener);
    if (tls_part(before, prefix) == tls_part(proposed, prefix)) continue;
    Result<ContextRef> next = co_await load(services.shard, config_then->values(), prefix);
    if (!next) co_return fail(refused(next.error()));
    Result<ContextRef> current = co_await load(services.shard, config_now->values(), prefix);
    if (!current) continue;  // its files are gone: there is nothing to compare with
    const ConfigValues& values = config_then->values();
    const Result<void> good = io::tls::check_successor(**current, **next,
                                                       {.other_subject = values.get_bool("ssl.allow.dn.changes"),
                                                        .fewer_names = values.get_bool("ssl.allow.san.changes")});
    if (!good) co_return fail(refused(good.error()));
  }
  co_return Result<void>();
}

}  // namespace klamm::handler
