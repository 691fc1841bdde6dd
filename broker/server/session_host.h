// The connections of one shard: starts their sessions, closes the idle ones and those that sit on memory others wait
// for, ends them all at shutdown.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "broker/server/session.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::server {

struct SessionHostOptions {
  std::uint32_t max_request_bytes = 104'857'600;  // socket.request.max.bytes
  std::size_t max_outstanding_replies = 128;
  std::uint64_t request_memory_bytes = 256ULL << 20;  // this shard's share of the node's bound
  Duration max_idle = 600s;                           // connections.max.idle.ms; Duration::max(): never
};

// Called when a connection is over, on the shard where it ended; `seat` is the shard on which the acceptor counts it.
using Ended = std::function<void(io::Shard& here, std::size_t seat)>;

class SessionHost {
 public:
  SessionHost(io::Shard& shard, SessionHostOptions options, Dispatch dispatch, Logger logger);

  // All hosts of the node, by shard, and who may allow a connection to move among them. Before the first start().
  void join(std::vector<SessionHost*> hosts, MayMove may_move);
  // Serves a connection of this shard; `tls`: of its listener, null if it is plain.
  void start(std::unique_ptr<io::Stream> stream, std::string listener, Ended ended,
             std::shared_ptr<const io::tls::Context> tls = nullptr);
  // Cuts all connections and waits until their handlers have ended.
  io::Task<void> close();
  std::size_t count() const noexcept { return sessions_.size(); }

 private:
  void begin(Connected connection, io::tls::TlsStream* tls, Ended ended);
  io::Task<void> serve(std::unique_ptr<Session> session, Ended ended);
  void close_idle();
  void close_stalling();

  io::Shard& shard_;
  SessionHostOptions options_;
  Dispatch dispatch_;
  Logger logger_;
  std::vector<SessionHost*> hosts_;
  MayMove may_move_;
  RequestMemory memory_;
  std::list<Session*> sessions_;
  io::Gate running_;
  io::Timer idle_check_;
  io::Timer stall_check_;  // armed while a session waits for memory
};

}  // namespace klamm::server
