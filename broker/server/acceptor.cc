#include "broker/server/acceptor.h"

#include <algorithm>

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
      room_(home),
      stopping_(home),
      running_(home) {}

Result<io::Endpoint> Acceptor::listen(std::string name, io::Endpoint at, int backlog,
                                      std::shared_ptr<const io::tls::Context> tls) {
  Result<std::unique_ptr<io::Listener>> listener = home_.listen(std::move(at), backlog);
  KLAMM_TRY(listener);
  io::Endpoint bound = (*listener)->local();
  listeners_.push_back(std::make_unique<Bound>(Bound{std::move(name), std::move(*listener), std::move(tls)}));
  return bound;
}

void Acceptor::start() {
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
    co_await wait_for_place(bound.name);
    if (closed_) {
      co_await drop(std::move(*stream), shard);
      break;
    }
    if (!admit((*stream)->peer().host)) {
      logger_.info("connection from {} refused: too many from this address", (*stream)->peer().text());
      co_await drop(std::move(*stream), shard);
      continue;
    }
    running_.spawn(hand_over(std::move(*stream), bound, shard));
  }
}

// An accepted connection waits for the creation rate and for a place among max.connections. Those behind it wait in the
// kernel's backlog.
io::Task<void> Acceptor::wait_for_place(const std::string& listener) {
  const Duration pause = rate_.record(home_.now());
  if (pause > Duration(0) && !is_protected(listener)) {
    const Instant until = home_.now() + pause;
    while (home_.now() < until && !closed_) co_await stopping_.wait_until(until);
  }
  while (!has_place(listener) && !closed_) co_await room_.wait();
}

bool Acceptor::is_protected(const std::string& listener) const {
  return listeners_.size() > 1 && listener == limits_.protected_listener;
}

bool Acceptor::has_place(const std::string& listener) const {
  return connections_ < limits_.max_connections || is_protected(listener);
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
  auto ended = [this, address = stream->peer().host, shard] { report_end(address, shard); };
  auto start = [host = hosts_[shard], &stream, &bound, &ended]() -> io::Task<void> {
    host->start(std::move(stream), bound.name, ended, bound.tls);
    co_return;
  };
  co_await io::call(home_, shards_.at(shard), start);
}

// On the connection's shard.
void Acceptor::report_end(const std::string& address, std::size_t shard) {
  if (&shards_.at(shard) == &home_) {
    connection_ended(address);
    return;
  }
  struct Notice {
    Acceptor* acceptor;
    std::string address;
  };
  home_.post(
      [](void* argument) {
        const std::unique_ptr<Notice> notice(static_cast<Notice*>(argument));
        notice->acceptor->connection_ended(notice->address);
      },
      new Notice{this, address});
}

bool Acceptor::admit(const std::string& address) {
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
  peak_ = std::max(peak_, connections_);
  return true;
}

void Acceptor::connection_ended(const std::string& address) {
  const auto known = by_address_.find(address);
  KLAMM_CHECK(known != by_address_.end(), "connection ended that never began");
  if (--known->second == 0) by_address_.erase(known);
  --connections_;
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
