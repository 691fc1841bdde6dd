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
#include "broker/server/creation_rate.h"
#include "broker/server/session_host.h"
#include "io/shard.h"
#include "io/stream.h"
#include "io/sync.h"

namespace klamm::server {

// What is set for one listener alone, besides the limits of all.
struct ListenerLimits {
  std::int64_t max_connections = 2'147'483'647;             // listener.name.<name>.max.connections
  std::int32_t max_creation_rate = CreationRate::kNoLimit;  // listener.name.<name>.max.connection.creation.rate
};

struct ConnectionLimits {
  std::int64_t max_connections = 2'147'483'647;                       // max.connections: serving pauses at this many
  std::int64_t max_connections_per_ip = 2'147'483'647;                // max.connections.per.ip: more are closed at once
  std::map<std::string, std::int32_t, std::less<>> per_ip_overrides;  // max.connections.per.ip.overrides
  std::int32_t max_creation_rate = CreationRate::kNoLimit;            // max.connection.creation.rate, a second
  Duration rate_sample = 1s;                                          // quota.window.size.seconds
  std::int32_t rate_samples = 11;                                     // quota.window.num
  // The brokers' own listener: where there are others, it does not wait for max_connections or the rate.
  std::string protected_listener;
  std::map<std::string, ListenerLimits, std::less<>> by_listener;  // of those that have limits of their own
};

class Acceptor {
 public:
  // `hosts`: one a shard, by index, living longer than the acceptor's last connection.
  Acceptor(io::Shards& shards, io::Shard& home, std::vector<SessionHost*> hosts, ConnectionLimits limits,
           Logger logger);

  // Binds one listener; connections wait in the kernel's backlog until start(). Fails with the address in the context
  // if it cannot be bound. `tls`: what its connections speak, null for a plain one.
  Result<io::Endpoint> listen(std::string name, io::Endpoint at, int backlog, io::SocketBuffers buffers = {},
                              std::shared_ptr<const io::tls::Context> tls = nullptr);
  // Until start() connections wait in the backlog for so long; from then on they are closed at once, so that clients go
  // on to another broker instead of waiting for answers.
  void turn_away_after(Duration patience);
  // From the next connection on; those that are there stay.
  void set_limits(ConnectionLimits limits);
  void set_tls(const std::string& listener, std::shared_ptr<const io::tls::Context> tls);
  // What the connections of a listener speak now; null for a plain one.
  std::shared_ptr<const io::tls::Context> tls_of(const std::string& listener) const;
  // Begins to serve on all listeners.
  void start();
  // Stops accepting. Connections that were handed out live on.
  io::Task<void> close();

 private:
  struct Bound {
    std::string name;
    std::unique_ptr<io::Listener> listener;
    std::shared_ptr<const io::tls::Context> tls;
    std::int64_t max_connections;
    CreationRate rate;
    std::int64_t connections = 0;
  };
  void begin_accepting();
  io::Task<void> lose_patience(Instant when);
  io::Task<void> accept_loop(Bound& bound);
  ListenerLimits limits_of(const std::string& listener) const;
  io::Task<void> wait_for_place(Bound& bound);
  bool has_place(const Bound& bound) const;
  bool is_protected(const std::string& listener) const;
  io::Task<void> drop(std::unique_ptr<io::Stream> stream, std::size_t shard);
  bool admit(const std::string& address, Bound& bound);
  void connection_ended(const std::string& address, Bound& bound, std::size_t seat);
  bool may_move(std::size_t from, std::size_t to);
  io::Task<void> hand_over(std::unique_ptr<io::Stream> stream, Bound& bound, std::size_t shard);
  void report_end(io::Shard& here, const std::string& address, Bound& bound, std::size_t seat);

  io::Shards& shards_;
  io::Shard& home_;
  std::vector<SessionHost*> hosts_;
  ConnectionLimits limits_;
  CreationRate rate_;
  Logger logger_;
  std::vector<std::unique_ptr<Bound>> listeners_;
  std::map<std::string, std::int64_t> by_address_;
  std::int64_t connections_ = 0;
  std::vector<std::int64_t> seated_;  // connections by shard
  std::int64_t peak_ = 0;             // most connections since memory was last given back
  std::size_t next_shard_ = 0;
  io::Signal room_;
  io::Signal stopping_;
  io::Gate running_;
  bool accepting_ = false;
  bool serving_ = false;
  bool closed_ = false;
};

}  // namespace klamm::server
