#include "broker/server/session_host.h"

#include <algorithm>

namespace klamm::server {
namespace {
// How often connections are looked at while memory is short.
constexpr Duration kStallCheck = 1s;
// Connections are looked at so many times in the idle time, and when the next one may have to go: a client that takes a
// reply in pieces is known to be alive only by looking.
constexpr int kIdleChecks = 8;
}  // namespace

SessionHost::SessionHost(io::Shard& shard, SessionHostOptions options, Dispatch dispatch, Logger logger)
    : shard_(shard),
      options_(options),
      dispatch_(std::move(dispatch)),
      logger_(std::move(logger)),
      memory_(shard, options.request_memory_bytes),
      running_(shard),
      idle_check_(shard, [this] { close_idle(); }),
      stall_check_(shard, [this] { close_stalling(); }) {
  memory_.shortage = [this] {
    if (!stall_check_.armed()) stall_check_.arm_in(kStallCheck);
  };
}

void SessionHost::join(std::vector<SessionHost*> hosts, MayMove may_move) {
  hosts_ = std::move(hosts);
  may_move_ = std::move(may_move);
}

void SessionHost::start(std::unique_ptr<io::Stream> stream, std::string listener, Ended ended,
                        std::shared_ptr<const io::tls::Context> tls) {
  security::RequestContext context;
  context.client_address = stream->peer().host;
  context.listener = std::move(listener);
  io::tls::TlsStream* secured = nullptr;
  if (tls) {
    auto made = io::tls::TlsStream::server(shard_, std::move(stream), std::move(tls));
    secured = made.get();
    stream = std::move(made);
  }
  begin({std::move(stream), rpc::FrameReader(options_.max_request_bytes), std::move(context)}, secured,
        std::move(ended));
}

void SessionHost::begin(Connected connection, io::tls::TlsStream* tls, Ended ended) {
  if (running_.closed()) {
    connection.stream->close();
    ended(shard_, shard_.index());
    return;
  }
  SessionOptions options;
  options.max_request_bytes = options_.max_request_bytes;
  options.max_outstanding_replies = options_.max_outstanding_replies;
  options.tls = tls;
  auto session =
      std::make_unique<Session>(shard_, std::move(connection), options, memory_, dispatch_, may_move_, logger_);
  running_.spawn(serve(std::move(session), std::move(ended)));
  if (options_.max_idle != Duration::max() && !idle_check_.armed() && !sessions_.empty())
    idle_check_.arm_in(options_.max_idle / kIdleChecks);
}

io::Task<void> SessionHost::serve(std::unique_ptr<Session> session, Ended ended) {
  const auto place = sessions_.insert(sessions_.end(), session.get());
  co_await session->run();
  sessions_.erase(place);
  const std::size_t seat = session->moves_to().value_or(shard_.index());
  Connected connection = std::move(*session).depart();
  session.reset();
  std::unique_ptr<io::Stream> moved;
  if (seat != shard_.index()) moved = connection.stream->move_to(hosts_[seat]->shard_);
  if (!moved) {
    connection.stream.reset();
    ended(shard_, seat);
    co_return;
  }
  connection.stream = std::move(moved);
  auto arrive = [there = hosts_[seat], &connection, &ended]() -> io::Task<void> {
    there->begin(std::move(connection), nullptr, std::move(ended));
    co_return;
  };
  co_await io::call(shard_, hosts_[seat]->shard_, arrive);
}

// Closes what has been idle for too long and comes back when the next one may be.
void SessionHost::close_idle() {
  const Instant now = shard_.now();
  Instant next = Instant::never();
  for (auto each = sessions_.begin(); each != sessions_.end();) {
    Session& session = **each++;
    const Instant expires = session.last_active() + options_.max_idle;
    if (expires <= now) {
      logger_.debug("connection from {} closed: idle", session.peer().text());
      session.close();
    } else {
      next = std::min(next, expires);
    }
  }
  if (next != Instant::never()) idle_check_.arm_at(std::min(next, now + options_.max_idle / kIdleChecks));
}

// Somebody waits for memory: connections that hold it for a frame that hardly comes are cut.
void SessionHost::close_stalling() {
  if (memory_.waiting == 0) return;
  const Instant now = shard_.now();
  for (auto each = sessions_.begin(); each != sessions_.end();) {
    Session& session = **each++;
    if (!session.is_stalling(now)) continue;
    logger_.info("connection from {} closed: its request comes too slowly while others wait for memory",
                 session.peer().text());
    session.close();
  }
  stall_check_.arm_in(kStallCheck);
}

io::Task<void> SessionHost::close() {
  for (Session* session : std::list<Session*>(sessions_)) session->close();
  co_await running_.close();
  idle_check_.cancel();
  stall_check_.cancel();
}

}  // namespace klamm::server
