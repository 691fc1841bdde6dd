// The way to one peer: its connection is opened when it is needed, and again, after a backoff, when it is gone. Clients
// keep one for each broker, brokers and controllers one for each thing they ask of each other. On one shard.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/rpc/backoff.h"
#include "protocol/rpc/connection.h"

namespace klamm::rpc {

struct ChannelOptions {
  ConnectionOptions connection;
  Duration reconnect_backoff = 50ms;  // after the first failure, doubling
  Duration reconnect_backoff_max = 1s;
  // connection.setup_timeout doubles with each failure up to this, with jitter (KIP-601); it stays as it is if this is
  // not longer.
  Duration setup_timeout_max{0};
  // Told of each attempt's end, before those who wait for it: why it failed, or null. Not of one that was given up.
  std::function<void(const Error*)> attempted;
};

struct ChannelCounts {
  std::uint64_t connects = 0;
  std::uint64_t timeouts = 0;  // connections closed because an answer did not come in time
  ConnectionCounts traffic;    // of all its connections
};

class Channel {
 public:
  Channel(io::Shard& shard, io::Endpoint peer, ChannelOptions options);
  // close() comes first.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  const io::Endpoint& peer() const noexcept { return peer_; }
  // The peer listens elsewhere now: what is pending at the old place ends with a retriable error, and the next call
  // connects at once. Nothing happens if it is the same place.
  void retarget(io::Endpoint peer);
  // What connections speak that are opened from now on.
  void set_tls(std::shared_ptr<const io::tls::Context> tls) { options_.connection.tls = std::move(tls); }
  // Takes over the connection of another channel to the same place.
  void adopt(Channel& other);

  // The open connection. Waits for the backoff and for an attempt that runs; fails with the attempt's error, retriable
  // unless the peer's identity or our credentials are the fault, or with Errc::cancelled once close() was called. At
  // the deadline it fails with Errc::timed_out, and the attempt goes on for those who come later.
  io::Task<Result<std::shared_ptr<Connection>>> connect(Instant deadline = Instant::never());
  // One request and its answer; `timeout` counts from when the connection is open.
  template <typename Request>
  io::Task<Result<typename Request::Response>> call(Request request, VersionBounds bounds = {},
                                                    std::optional<Duration> timeout = std::nullopt) {
    Result<std::shared_ptr<Connection>> connection = co_await connect();
    KLAMM_CO_TRY(connection);
    const std::shared_ptr<Connection> held = *connection;
    Result<typename Request::Response> response = co_await held->call(std::move(request), bounds, timeout);
    co_return response;
  }

  bool is_open() const { return connection_ && !connection_->closed(); }
  // Null if it is not open.
  std::shared_ptr<Connection> open_connection() const { return is_open() ? connection_ : nullptr; }
  // The last attempt failed, and the next one is not due yet: others may be asked instead.
  bool is_backing_off() const { return !is_open() && shard_.now() < retry_at_; }

  // Why the last attempt failed; nothing if it did well, or there was none.
  const std::optional<Error>& last_error() const noexcept { return last_error_; }
  ChannelCounts counts() const;

  // Cuts the connection; what is pending ends with a retriable error.
  void disconnect();
  // Ends what is pending with Errc::cancelled, for good.
  void stop();
  // The same, and waits until nothing of it runs.
  io::Task<void> close();

 private:
  io::Task<Result<std::shared_ptr<Connection>>> connect_now(Instant deadline);
  io::Task<void> attempt();
  io::Task<Result<void>> open();
  ConnectionOptions next_options();
  void cut(Error reason);

  io::Shard& shard_;
  io::Endpoint peer_;
  ChannelOptions options_;
  Backoff backoff_;
  Backoff setup_timeout_;
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Attempt> attempt_;  // while one runs
  ChannelCounts past_;                // its traffic: of connections that are gone
  std::optional<Error> last_error_;
  std::uint64_t attempts_ = 0;  // that are over
  Instant retry_at_;
  io::Signal settled_;  // an attempt is over, or need not be waited for
  io::Gate gate_;
  std::size_t callers_ = 0;  // in connect()
  bool connecting_ = false;
  bool closed_ = false;
};

}  // namespace klamm::rpc
