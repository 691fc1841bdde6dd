#include "broker/server/acceptor.h"

#include <algorithm>
#include <utility>

#include "io/machine.h"

namespace klamm::server {
namespace {
// After a failed accept (out of descriptors, out of memory) the next try waits this long.
constexpr Duration kRetryAccept = 100ms;
// After so many connections, memory is given back to the system when nine of ten have gone.
constexpr std::int64_t kCrowd = 1000;
}  // namespace

Acceptor::Acceptor(io::Shards& shards, io::Shard& home, std::vector<SessionHost*> hosts, ConnectionLimits limits,
                   Logger logger)
    : shards_(shards),
      home_(home),
      hosts_(std::move(hosts)),
      limits_(std::move(limits)),
      rate_(limits_.max_creation_rate, limits_.rate_sample, limits_.rate_samples),
      logger_(std::move(logger)),
      seated_(hosts_.size()),
      room_(home),
      stopping_(home),
      running_(home) {
  for (std::size_t index = 0; index < hosts_.size(); ++index) {
    auto ask = [this, &here = shards_.at(index)](std::size_t from, std::size_t to) -> io::Task<bool> {
      auto decide = [this, from, to]() -> io::Task<bool> { co_return may_move(from, to); };
      const bool may = co_await io::call(here, home_, decide);
      co_return may;
    };
    hosts_[index]->join(hosts_, ask);
  }
}

Result<io::Endpoint> Acceptor::listen(std::string name, io::Endpoint at, int backlog, io::SocketBuffers buffers,
                                      std::shared_ptr<const io::tls::Context> tls) {
  Result<std::unique_ptr<io::Listener>> listener = home_.listen(std::move(at), backlog, buffers);
  KLAMM_TRY(listener);
  io::Endpoint bound = (*listener)->local();
  const ListenerLimits own = limits_of(name);
  listeners_.push_back(
      std::make_unique<Bound>(Bound{std::move(name), std::move(*listener), std::move(tls), own.max_connections,
                                    CreationRate(own.max_creation_rate, limits_.rate_sample, limits_.rate_samples)}));
  return bound;
}

void Acceptor::set_limits(ConnectionLimits limits) {
  limits_ = std::move(limits);
  rate_.set_quota(limits_.max_creation_rate);
  for (const auto& bound : listeners_) {
    const ListenerLimits own = limits_of(bound->name);
    bound->max_connections = own.max_connections;
    bound->rate.set_quota(own.max_creation_rate);
  }
  room_.notify_all();
}

void Acceptor::set_tls(const std::string& listener, std::shared_ptr<const io::tls::Context> tls) {
  for (const auto& bound : listeners_) {
    if (bound->name == listener) bound->tls = tls;
  }
}

std::shared_ptr<const io::tls::Context> Acceptor::tls_of(const std::string& listener) const {
  for (const auto& bound : listeners_) {
    if (bound->name == listener) return bound->tls;
  }
  return nullptr;
}

ListenerLimits Acceptor::limits_of(const std::string& listener) const {
  const auto own = limits_.by_listener.find(listener);
  return own == limits_.by_listener.end() ? ListenerLimits() : own->second;
}

void Acceptor::turn_away_after(Duration patience) { running_.spawn(lose_patience(home_.now() + patience)); }

io::Task<void> Acceptor::lose_patience(Instant when) {
  while (!serving_ && !closed_ && home_.now() < when) co_await stopping_.wait_until(when);
  if (serving_ || closed_) co_return;
  logger_.info("still starting: connections are closed until that is done");
  begin_accepting();
}

void Acceptor::start() {
  serving_ = true;
  stopping_.notify_all();
  begin_accepting();
}

void Acceptor::begin_accepting() {
  if (std::exchange(accepting_, true)) return;
  for (const auto& bound : listeners_) running_.spawn(accept_loop(*bound));
}

io::Task<void> Acceptor::accept_loop(Bound& bound) {
  while (!closed_) {
    const std::size_t shard = next_shard_++ % hosts_.size();
    Result<std::unique_ptr<io::Stream>> stream = co_await bound.listener->accept(shards_.at(shard));
    if (!stream) {
      if (closed_ || stream.error() == Errc::cancelled) break;
      logger_.error("{}", stream.error().message());
      co_await stopping_.wait_until(home_.now() + kRetryAccept);
      continue;
    }
    if (!serving_) {
      co_await drop(std::move(*stream), shard);
      continue;
    }
    co_await wait_for_place(bound);
    if (closed_) {
      co_await drop(std::move(*stream), shard);
      break;
    }
    if (!admit((*stream)->peer().host, bound)) {
      logger_.info("connection from {} refused: too many from this address", (*stream)->peer().text());
      co_await drop(std::move(*stream), shard);
      continue;
    }
    running_.spawn(hand_over(std::move(*stream), bound, shard));
  }
}

// An accepted connection waits for the creation rate and for a place among max.connections, of all listeners and of its
// own. Those behind it wait in the kernel's backlog.
io::Task<void> Acceptor::wait_for_place(Bound& bound) {
  const Instant now = home_.now();
  const Duration for_all = rate_.record(now);
  const Duration pause = std::max(bound.rate.record(now), is_protected(bound.name) ? Duration(0) : for_all);
  const Instant until = now + pause;
  while (home_.now() < until && !closed_) co_await stopping_.wait_until(until);
  while (!has_place(bound) && !closed_) co_await room_.wait();
}

bool Acceptor::is_protected(const std::string& listener) const {
  return listeners_.size() > 1 && listener == limits_.protected_listener;
}

bool Acceptor::has_place(const Bound& bound) const {
  if (bound.connections >= bound.max_connections) return false;
  return connections_ < limits_.max_connections || is_protected(bound.name);
}

// A stream ends on its own shard.
io::Task<void> Acceptor::drop(std::unique_ptr<io::Stream> stream, std::size_t shard) {
  auto end = [&stream]() -> io::Task<void> {
    stream.reset();
    co_return;
  };
  co_await io::call(home_, shards_.at(shard), end);
}

io::Task<void> Acceptor::hand_over(std::unique_ptr<io::Stream> stream, Bound& bound, std::size_t shard) {
  ++seated_[shard];
  auto ended = [this, address = stream->peer().host, &bound](io::Shard& here, std::size_t seat) {
    report_end(here, address, bound, seat);
  };
  auto start = [host = hosts_[shard], &stream, &bound, &ended]() -> io::Task<void> {
    host->start(std::move(stream), bound.name, ended, bound.tls);
    co_return;
  };
  co_await io::call(home_, shards_.at(shard), start);
}

// A shard takes guests as long as it does not hold much more than its share: partitions that everybody reads would
// otherwise draw all connections to one core.
bool Acceptor::may_move(std::size_t from, std::size_t to) {
  constexpr std::int64_t kAlways = 4;
  const std::int64_t share = connections_ / static_cast<std::int64_t>(seated_.size());
  if (seated_[to] >= kAlways + 2 * share) return false;
  --seated_[from];
  ++seated_[to];
  return true;
}

// On the shard where the connection ended.
void Acceptor::report_end(io::Shard& here, const std::string& address, Bound& bound, std::size_t seat) {
  if (&here == &home_) {
    connection_ended(address, bound, seat);
    return;
  }
  struct Notice {
    Acceptor* acceptor;
    std::string address;
    Bound* bound;
    std::size_t seat;
  };
  home_.post(
      [](void* argument) {
        const std::unique_ptr<Notice> notice(static_cast<Notice*>(argument));
        notice->acceptor->connection_ended(notice->address, *notice->bound, notice->seat);
      },
      new Notice{this, address, &bound, seat});
}

bool Acceptor::admit(const std::string& address, Bound& bound) {
  std::int64_t limit = limits_.max_connections_per_ip;
  const auto own = limits_.per_ip_overrides.find(address);
  if (own != limits_.per_ip_overrides.end()) limit = own->second;
  std::int64_t& count = by_address_[address];
  if (count >= limit) {
    if (count == 0) by_address_.erase(address);
    return false;
  }
  ++count;
  ++connections_;
  ++bound.connections;
  peak_ = std::max(peak_, connections_);
  return true;
}

void Acceptor::connection_ended(const std::string& address, Bound& bound, std::size_t seat) {
  const auto known = by_address_.find(address);
  KLAMM_CHECK(known != by_address_.end(), "connection ended that never began");
  if (--known->second == 0) by_address_.erase(known);
  --connections_;
  --bound.connections;
  --seated_[seat];
  room_.notify_all();
  if (peak_ >= kCrowd && connections_ <= peak_ / 10) {
    peak_ = connections_;
    io::release_free_memory();
  }
}

io::Task<void> Acceptor::close() {
  closed_ = true;
  for (const auto& bound : listeners_) bound->listener->close();
  room_.notify_all();
  stopping_.notify_all();
  co_await running_.close();
}

}  // namespace klamm::server
