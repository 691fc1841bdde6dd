#include "broker/server/listener_group.h"

#include "broker/server/listener_tls.h"
#include "broker/server/options.h"
#include "io/machine.h"
#include "io/tls/succession.h"

namespace klamm::server {

ListenerGroup::ListenerGroup(io::Shards& shards, io::Shard& home, const config::BrokerConfig& config, Serving serving,
                             std::function<Dispatch(std::size_t index)> dispatch, Logger logger)
    : shards_(shards), home_(home), config_(config), logger_(logger) {
  std::vector<SessionHost*> hosts;
  for (std::size_t index = 0; index < serving.shards; ++index) {
    hosts_.push_back(std::make_unique<SessionHost>(shards.at(index), session_options(config, serving.shares),
                                                   dispatch(index), logger));
    hosts.push_back(hosts_.back().get());
  }
  acceptor_ = std::make_unique<Acceptor>(shards, home, std::move(hosts), connection_limits(config), logger);
}

// Listening sockets come first of all: a port in use must be told before anything is changed on the disk.
io::Task<Result<void>> ListenerGroup::bind(std::vector<config::Endpoint> endpoints) {
  for (const config::Endpoint& endpoint : endpoints) {
    Result<std::shared_ptr<const io::tls::Context>> tls = co_await load_listener_tls(
        home_, config_, endpoint.listener, endpoint.protocol, io::tls::Role::server, endpoint.text());
    KLAMM_CO_TRY(tls);
    const config::BrokerLimits& limits = config_.limits();
    Result<io::Endpoint> bound =
        acceptor_->listen(endpoint.listener, {endpoint.host, endpoint.port}, limits.socket_listen_backlog_size,
                          {limits.socket_send_buffer_bytes, limits.socket_receive_buffer_bytes}, std::move(*tls));
    KLAMM_CO_TRY(bound);
    bound_.push_back({endpoint.listener, *bound});
  }
  co_return Result<void>();
}

void ListenerGroup::set_limits(const config::BrokerConfig& config) { acceptor_->set_limits(connection_limits(config)); }

io::Task<void> ListenerGroup::renew_tls(const config::BrokerConfig& config) {
  for (const config::Endpoint& endpoint : config_.listeners()) {
    const std::shared_ptr<const io::tls::Context> current = acceptor_->tls_of(endpoint.listener);
    if (!current) continue;
    Result<std::shared_ptr<const io::tls::Context>> next = co_await load_listener_tls(
        home_, config, endpoint.listener, endpoint.protocol, io::tls::Role::server, endpoint.text());
    Result<void> good;
    if (next && is_serving_) {
      good = io::tls::check_successor(*current, **next,
                                      {.other_subject = config.values().get_bool("ssl.allow.dn.changes"),
                                       .fewer_names = config.values().get_bool("ssl.allow.san.changes")});
    }
    if (next && good) {
      acceptor_->set_tls(endpoint.listener, std::move(*next));
    } else {
      logger_.error("listener {} keeps its certificate and what it trusts: {}", endpoint.text(),
                    next ? good.error().message() : next.error().message());
    }
  }
}

io::Task<void> ListenerGroup::stop_accepting() { co_await acceptor_->close(); }

io::Task<void> ListenerGroup::close_connections() {
  for (std::size_t index = 0; index < hosts_.size(); ++index) {
    SessionHost* host = hosts_[index].get();
    auto close = [host]() -> io::Task<void> { co_await host->close(); };
    co_await io::call(home_, shards_.at(index), close);
  }
}

io::Task<void> ListenerGroup::destroy() {
  acceptor_.reset();
  for (std::size_t index = 0; index < hosts_.size(); ++index) {
    auto end = [this, index]() -> io::Task<void> {
      hosts_[index].reset();
      co_return;
    };
    co_await io::call(home_, shards_.at(index), end);
  }
  hosts_.clear();
}

std::vector<config::Endpoint> reachable(std::vector<config::Endpoint> advertised,
                                        const std::vector<BoundListener>& bound) {
  for (config::Endpoint& endpoint : advertised) {
    if (endpoint.host.empty()) endpoint.host = io::host_name();
    for (const BoundListener& each : bound) {
      if (endpoint.port == 0 && each.name == endpoint.listener) endpoint.port = each.endpoint.port;
    }
  }
  return advertised;
}

}  // namespace klamm::server
