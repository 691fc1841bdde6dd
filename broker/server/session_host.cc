#include "broker/server/session_host.h"

#include <algorithm>

namespace klamm::server {

SessionHost::SessionHost(io::Shard& shard, SessionHostOptions options, Dispatch dispatch, Logger logger)
    : shard_(shard),
      options_(options),
      dispatch_(std::move(dispatch)),
      logger_(std::move(logger)),
      memory_(shard, options.request_memory_bytes),
      running_(shard),
      idle_check_(shard, [this] { close_idle(); }) {}

void SessionHost::start(std::unique_ptr<io::Stream> stream, std::string listener, std::function<void()> ended) {
  if (running_.closed()) {
    stream->close();
    ended();
    return;
  }
  SessionOptions options;
  options.max_request_bytes = options_.max_request_bytes;
  options.max_outstanding_replies = options_.max_outstanding_replies;
  options.listener = std::move(listener);
  auto session = std::make_unique<Session>(shard_, std::move(stream), std::move(options), memory_, dispatch_, logger_);
  running_.spawn(serve(std::move(session), std::move(ended)));
  if (options_.max_idle != Duration::max() && !idle_check_.armed() && !sessions_.empty())
    idle_check_.arm_in(options_.max_idle);
}

io::Task<void> SessionHost::serve(std::unique_ptr<Session> session, std::function<void()> ended) {
  const auto place = sessions_.insert(sessions_.end(), session.get());
  co_await session->run();
  sessions_.erase(place);
  session.reset();
  ended();
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
  if (next != Instant::never()) idle_check_.arm_at(next);
}

io::Task<void> SessionHost::close() {
  for (Session* session : std::list<Session*>(sessions_)) session->close();
  co_await running_.close();
  idle_check_.cancel();
}

}  // namespace klamm::server
