#include "broker/server/listener_tls.h"

#include "broker/config/registry.h"

namespace klamm::server {

io::Task<Result<std::shared_ptr<const io::tls::Context>>> load_listener_tls(io::Shard& shard,
                                                                            const config::BrokerConfig& config,
                                                                            std::string listener,
                                                                            config::SecurityProtocol protocol,
                                                                            io::tls::Role role, std::string shown) {
  std::shared_ptr<const io::tls::Context> none;
  if (protocol == config::SecurityProtocol::plaintext) co_return none;
  if (protocol != config::SecurityProtocol::ssl) {
    co_return fail(Errc::unsupported, "listener " + shown + " of protocol " + std::string(config::name_of(protocol)) +
                                          ": only PLAINTEXT and SSL are served yet");
  }
  Result<io::tls::Settings> settings = io::tls::parse_settings(config.values(), config::listener_prefix(listener));
  KLAMM_CO_TRY(settings);
  Result<std::shared_ptr<const io::tls::Context>> context =
      co_await io::tls::Context::load(shard, std::move(*settings), role);
  if (!context) co_return fail(std::move(context).error().in("listener " + shown));
  co_return context;
}

}  // namespace klamm::server
