// Accepts connections on the broker's listeners and hands them to the shards in turn. One acceptor for all listeners,
// on one shard, so that the limits are exact.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/server/session_host.h"
#include "io/shard.h"
#include "io/stream.h"
#include "io/sync.h"

namespace klamm::server {

struct ConnectionLimits {
  std::int64_t max_connections = 2'147'483'647;                       // max.connections: accepting pauses at this many
  std::int64_t max_connections_per_ip = 2'147'483'647;                // max.connections.per.ip: more are closed at once
  std::map<std::string, std::int32_t, std::less<>> per_ip_overrides;  // max.connections.per.ip.overrides
};

class Acceptor {
 public:
  // `hosts`: one a shard, by index, living longer than the acceptor's last connection.
  Acceptor(io::Shards& shards, io::Shard& home, std::vector<SessionHost*> hosts, ConnectionLimits limits,
           Logger logger);

  // Binds one listener; connections wait in the kernel's backlog until start(). Fails with the address in the context
  // if it cannot be bound.
  Result<io::Endpoint> listen(std::string name, io::Endpoint at, int backlog);
  // Begins to accept on all listeners.
  void start();
  // Stops accepting. Connections that were handed out live on.
  io::Task<void> close();
  std::int64_t connections() const noexcept { return connections_; }

 private:
  struct Bound {
    std::string name;
    std::unique_ptr<io::Listener> listener;
  };
  io::Task<void> accept_loop(Bound& bound);
  bool admit(const std::string& address);
  void connection_ended(const std::string& address);
  io::Task<void> hand_over(std::unique_ptr<io::Stream> stream, std::string name, std::size_t shard);
  void report_end(const std::string& address, std::size_t shard);

  io::Shards& shards_;
  io::Shard& home_;
  std::vector<SessionHost*> hosts_;
  ConnectionLimits limits_;
  Logger logger_;
  std::vector<std::unique_ptr<Bound>> listeners_;
  std::map<std::string, std::int64_t> by_address_;
  std::int64_t connections_ = 0;
  std::size_t next_shard_ = 0;
  io::Signal room_;
  io::Signal stopping_;
  io::Gate running_;
  bool closed_ = false;
};

}  // namespace klamm::server
