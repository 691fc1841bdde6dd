// The listeners of one role: their sockets, and the connections that came in by them. A broker's connections are spread
// over all shards, a controller's live where the controller does.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/server/acceptor.h"
#include "broker/server/node.h"
#include "broker/server/session_host.h"
#include "io/shard.h"
#include "io/tls/context.h"

namespace klamm::server {

// Where a group's connections are served.
struct Serving {
  std::size_t shards = 1;  // the first ones
  std::size_t shares = 1;  // into which the node's memory for requests is parted; each of these shards has one
};

class ListenerGroup {
 public:
  // `dispatch(index)` is what serves the connections of a shard. `home`: the shard of the sockets; everything is called
  // there.
  ListenerGroup(io::Shards& shards, io::Shard& home, const config::BrokerConfig& config, Serving serving,
                std::function<Dispatch(std::size_t index)> dispatch, Logger logger);

  // Loads what TLS listeners need and takes the ports; connections wait in the backlog until start(). The error says
  // which listener cannot be had.
  io::Task<Result<void>> bind(std::vector<config::Endpoint> endpoints);
  const std::vector<BoundListener>& bound() const noexcept { return bound_; }
  // See Acceptor; `config`: what is in force now.
  void set_limits(const config::BrokerConfig& config);
  // Reads what TLS listeners need again, by the settings in force now: the next connections speak that. What cannot be
  // read, or would show clients another name than before, is logged and left as it was.
  io::Task<void> renew_tls(const config::BrokerConfig& config);
  // See Acceptor.
  void turn_away_after(Duration patience) { acceptor_->turn_away_after(patience); }
  void start() {
    is_serving_ = true;
    acceptor_->start();
  }
  // No new connections.
  io::Task<void> stop_accepting();
  // Ends the connections.
  io::Task<void> close_connections();
  // The last call: what is left ends on its shards.
  io::Task<void> destroy();

 private:
  io::Shards& shards_;
  io::Shard& home_;
  const config::BrokerConfig& config_;
  Logger logger_;
  bool is_serving_ = false;
  std::vector<std::unique_ptr<SessionHost>> hosts_;  // by shard
  std::unique_ptr<Acceptor> acceptor_;
  std::vector<BoundListener> bound_;
};

// What others are told of these listeners: without a host the machine's name, without a port the one that was bound.
std::vector<config::Endpoint> reachable(std::vector<config::Endpoint> advertised,
                                        const std::vector<BoundListener>& bound);

}  // namespace klamm::server
