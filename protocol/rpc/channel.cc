#include "protocol/rpc/channel.h"

#include "base/check.h"

namespace klamm::rpc {

Channel::Channel(io::Shard& shard, io::Endpoint peer, ChannelOptions options)
    : shard_(shard),
      peer_(std::move(peer)),
      options_(std::move(options)),
      backoff_(options_.reconnect_backoff, options_.reconnect_backoff_max),
      setup_timeout_(options_.connection.setup_timeout, options_.setup_timeout_max),
      settled_(shard),
      gate_(shard) {}

Channel::~Channel() { KLAMM_CHECK(!connection_ && callers_ == 0, "channel destroyed before it was closed"); }

void Channel::retarget(io::Endpoint peer) {
  if (peer == peer_) return;
  cut(Error(Errc::unavailable, peer_.text() + ": listens at " + peer.text() + " now", true));
  peer_ = std::move(peer);
  backoff_.reset();
  setup_timeout_.reset();
  retry_at_ = {};
  settled_.notify_all();
}

void Channel::adopt(Channel& other) {
  connection_ = std::exchange(other.connection_, nullptr);
  past_ = std::exchange(other.past_, {});
}

ChannelCounts Channel::counts() const {
  ChannelCounts counts = past_;
  if (connection_) counts.traffic += connection_->counts();
  return counts;
}

void Channel::disconnect() { cut(Error(Errc::unavailable, peer_.text() + ": connection given up", true)); }

void Channel::cut(Error reason) {
  if (attempt_) attempt_->give_up();
  if (!connection_) return;
  if (connection_->closed() && connection_->fault() == Errc::timed_out) ++past_.timeouts;
  past_.traffic += connection_->counts();
  const std::shared_ptr<Connection> connection = std::exchange(connection_, nullptr);
  connection->close(std::move(reason));
  gate_.spawn(connection->wait_ended());
}

io::Task<Result<std::shared_ptr<Connection>>> Channel::connect(Instant deadline) {
  ++callers_;
  Result<std::shared_ptr<Connection>> connection = co_await connect_now(deadline);
  if (--callers_ == 0 && closed_) settled_.notify_all();
  co_return connection;
}

io::Task<Result<std::shared_ptr<Connection>>> Channel::connect_now(Instant deadline) {
  const std::uint64_t seen = attempts_;
  for (;;) {
    if (closed_) co_return fail(Errc::cancelled, peer_.text() + ": channel closed");
    if (is_open()) co_return connection_;
    // An attempt has failed since. (If it did well, and the connection is gone again, one more is due.)
    if (attempts_ != seen && !connecting_ && last_error_) co_return fail(*last_error_);
    if (!connecting_) {
      connecting_ = true;
      gate_.spawn(attempt());
      continue;  // it may be over already
    }
    const bool in_time = co_await settled_.wait_until(deadline);
    if (!in_time) {
      std::string why = "connect to " + peer_.text() + ": not done in time";
      if (last_error_) why += " (" + last_error_->message() + ")";
      co_return fail(Error(Errc::timed_out, std::move(why), true));
    }
  }
}

io::Task<void> Channel::attempt() {
  Result<void> opened = co_await open();
  connecting_ = false;
  ++attempts_;
  last_error_ = opened ? std::nullopt : std::optional(std::move(opened).error());
  settled_.notify_all();
}

ConnectionOptions Channel::next_options() {
  ConnectionOptions options = options_.connection;
  if (options_.setup_timeout_max > options.setup_timeout) options.setup_timeout = setup_timeout_.next(shard_.random());
  return options;
}

io::Task<Result<void>> Channel::open() {
  if (connection_) cut(Error(Errc::cancelled));  // it is closed already
  while (!closed_ && shard_.now() < retry_at_) co_await settled_.wait_until(retry_at_);
  if (closed_) co_return fail(Errc::cancelled, peer_.text() + ": channel closed");
  attempt_ = std::make_shared<Attempt>();
  const io::Endpoint peer = peer_;
  Result<std::shared_ptr<Connection>> connection = co_await Connection::open(shard_, peer, next_options(), attempt_);
  attempt_.reset();
  if (connection && !closed_ && peer == peer_) {
    backoff_.reset();
    setup_timeout_.reset();
    connection_ = std::move(*connection);
    ++past_.connects;
    if (options_.attempted) options_.attempted(nullptr);
    co_return Result<void>();
  }
  if (connection) {
    (*connection)->close();
    co_await (*connection)->wait_ended();
  }
  if (closed_) co_return fail(Errc::cancelled, peer_.text() + ": channel closed");
  if (peer != peer_) co_return fail(Error(Errc::unavailable, peer.text() + ": the peer has moved", true));
  retry_at_ = shard_.now() + backoff_.next(shard_.random());
  const Error& error = connection.error();
  if (options_.attempted) options_.attempted(&error);
  const bool for_good = error == Errc::authentication_failed || error == Errc::invalid_argument;
  co_return fail(Error(error.code(), error.context(), !for_good));
}

void Channel::stop() {
  if (closed_) return;
  closed_ = true;
  cut(Error(Errc::cancelled, peer_.text() + ": channel closed"));
  settled_.notify_all();
}

io::Task<void> Channel::close() {
  stop();
  while (callers_ > 0) co_await settled_.wait();
  co_await gate_.close();
}

}  // namespace klamm::rpc
