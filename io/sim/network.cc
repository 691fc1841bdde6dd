#include "io/sim/network.h"

#include <algorithm>
#include <cerrno>

#include "io/sim/fabric.h"

namespace klamm::io::sim {

Network::Network(Simulation& simulation, NetworkOptions options, std::uint64_t seed)
    : fabric_(std::make_unique<Fabric>(simulation, options, seed)) {}
Network::~Network() = default;

NetworkOptions& Network::options() noexcept { return fabric_->options(); }
void Network::block(const Node& from, const Node& to) { fabric_->block({from.index(), to.index()}); }
void Network::allow(const Node& from, const Node& to) { fabric_->allow({from.index(), to.index()}); }
void Network::partition(const Node& left, const Node& right) {
  block(left, right);
  block(right, left);
}
void Network::heal(const Node& left, const Node& right) {
  allow(left, right);
  allow(right, left);
}
void Network::heal_all() { fabric_->allow_all(); }
bool Network::blocked(const Node& from, const Node& to) const { return fabric_->blocked(from.index(), to.index()); }

void Network::set_extra_delay(const Node& left, const Node& right, Duration extra) {
  fabric_->set_extra_delay({left.index(), right.index()}, extra);
  fabric_->set_extra_delay({right.index(), left.index()}, extra);
}

std::size_t Network::cut(const Node& left, const Node& right) {
  const std::vector<ConnectionRef> found = fabric_->between(left.index(), right.index());
  for (const ConnectionRef& connection : found) fabric_->cut(connection);
  return found.size();
}

bool Network::cut_one(const Node& node) {
  const std::vector<ConnectionRef> found = fabric_->of(node.index());
  if (found.empty()) return false;
  fabric_->cut(found[fabric_->random().below(found.size())]);
  return true;
}

std::size_t Network::drop(const Node& left, const Node& right) {
  const std::vector<ConnectionRef> found = fabric_->between(left.index(), right.index());
  for (const ConnectionRef& connection : found) fabric_->drop(connection);
  return found.size();
}

std::size_t Network::connections() const { return fabric_->connections(); }

std::size_t Network::connections(const Node& node) const { return fabric_->of(node.index()).size(); }

// ---------------------------------------------------------------------------------------------------------- streams

namespace {

class SimStream final : public Stream {
 public:
  SimStream(Fabric& fabric, ConnectionRef connection, int side)
      : fabric_(fabric), connection_(std::move(connection)), side_(side) {}
  ~SimStream() override {
    if (!connection_) return;  // moved
    end().reader.cancel();
    end().writer.cancel();
    fabric_.close(connection_, side_);
  }
  Result<std::size_t> try_read(MutableBytes into) override { return fabric_.read(connection_, side_, into); }
  Result<std::size_t> try_write(std::span<const Piece> pieces) override {
    return fabric_.write(connection_, side_, pieces);
  }
  void wait(Direction direction, ReadinessWaiter& waiter) override {
    fabric_.wait(connection_, side_, direction, waiter.handle);
  }
  void shutdown_write() override { fabric_.shutdown_write(connection_, side_); }
  void close() override { fabric_.close(connection_, side_); }
  std::unique_ptr<Stream> move_to(Shard& shard) override {
    if (end().closed) return nullptr;
    end().shard = &static_cast<SimShard&>(shard);
    return std::make_unique<SimStream>(fabric_, std::exchange(connection_, nullptr), side_);
  }
  const Endpoint& peer() const override { return connection_->ends[side_].peer; }
  const Endpoint& local() const override { return connection_->ends[side_].local; }

 private:
  End& end() const { return connection_->ends[side_]; }
  Fabric& fabric_;
  ConnectionRef connection_;
  int side_;
};

// A turn in the queue of those who wait for a listener's next connection.
class AcceptWait {
 public:
  explicit AcceptWait(ListenerState& listener) : listener_(listener) { listener_.waiting.push_back(&wakeup_); }
  ~AcceptWait() { std::erase(listener_.waiting, &wakeup_); }
  AcceptWait(const AcceptWait&) = delete;
  AcceptWait& operator=(const AcceptWait&) = delete;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    wakeup_.set(handle);
    if (listener_.closed || listener_.process->dead()) listener_.shard->enqueue(wakeup_);
  }
  void await_resume() const noexcept {}

 private:
  ListenerState& listener_;
  Wakeup wakeup_;
};

class SimListener final : public Listener {
 public:
  SimListener(Fabric& fabric, std::shared_ptr<ListenerState> state) : fabric_(fabric), state_(std::move(state)) {}
  ~SimListener() override { close(); }
  const Endpoint& local() const override { return state_->local; }
  void close() override { fabric_.close(*state_); }

  Task<Result<std::unique_ptr<Stream>>> accept(Shard& home) override {
    const std::shared_ptr<ListenerState> state = state_;
    while (!state->closed && state->pending.empty()) {
      AcceptWait wait(*state);
      co_await wait;
    }
    if (state->closed) co_return fail(Errc::cancelled, "accept on " + state->local.text());
    ConnectionRef connection = std::move(state->pending.front());
    state->pending.pop_front();
    connection->ends[1].shard = &static_cast<SimShard&>(home);
    std::unique_ptr<Stream> stream = std::make_unique<SimStream>(fabric_, std::move(connection), 1);
    co_return stream;
  }

 private:
  Fabric& fabric_;
  std::shared_ptr<ListenerState> state_;
};

bool is_loopback(const std::string& host) { return host == "localhost" || host == "127.0.0.1" || host == "::1"; }
bool is_any(const std::string& host) { return host.empty() || host == "0.0.0.0" || host == "::"; }
constexpr std::uint16_t kFirstEphemeralPort = 32768;
constexpr std::uint16_t kLastEphemeralPort = 60999;

}  // namespace

std::uint16_t Fabric::ephemeral_port(std::uint32_t node) {
  std::uint16_t& next = next_port_.try_emplace(node, kFirstEphemeralPort).first->second;
  for (;;) {
    const std::uint16_t port = next;
    next = port == kLastEphemeralPort ? kFirstEphemeralPort : static_cast<std::uint16_t>(port + 1);
    if (!listeners_.contains({node, port})) return port;
  }
}

Result<std::unique_ptr<Listener>> Fabric::listen(SimShard& shard, Endpoint at, int backlog) {
  Process& process = shard.process();
  const std::string context = "listen on " + at.text();
  if (process.dead()) return fail(Errc::cancelled, context);
  const Node& node = process.node();
  if (!is_any(at.host) && !is_loopback(at.host) && at.host != node.name() && at.host != node.address()) {
    return fail(Error(system_error(EADDRNOTAVAIL, context).code(), context, true));
  }
  if (at.port == 0) at.port = ephemeral_port(node.index());
  if (listeners_.contains({node.index(), at.port}))
    return fail(Error(system_error(EADDRINUSE, context).code(), context, true));
  auto state = std::make_shared<ListenerState>();
  state->process = &process;
  state->shard = &shard;
  state->loopback_only = is_loopback(at.host);
  state->local = {is_any(at.host) ? "0.0.0.0" : state->loopback_only ? "127.0.0.1" : node.address(), at.port};
  state->backlog = static_cast<std::size_t>(std::max(backlog, 1));
  listeners_.emplace(std::pair(node.index(), at.port), state);
  return std::make_unique<SimListener>(*this, std::move(state));
}

void Fabric::close(ListenerState& listener) {
  if (listener.closed) return;
  listener.closed = true;
  const std::deque<ConnectionRef> pending = std::move(listener.pending);
  listener.pending.clear();
  for (const ConnectionRef& connection : pending) {
    connection->ends[1].closed = true;
    send_reset(connection, 0);
    forget_if_over(*connection);
  }
  for (Wakeup* waiting : listener.waiting) listener.shard->enqueue(*waiting);
  listeners_.erase({listener.process->node().index(), listener.local.port});
}

// ---------------------------------------------------------------------------------------------------------- connecting

Node* Fabric::resolve(const Node& from, const std::string& host) {
  if (is_loopback(host) || is_any(host)) return &simulation_.node(from.name());
  return simulation_.find_node(host);
}

std::shared_ptr<ListenerState> Fabric::listener_at(const Node& from, const Node& to, std::uint16_t port) {
  const auto found = listeners_.find({to.index(), port});
  if (found == listeners_.end() || (found->second->loopback_only && &from != &to)) return nullptr;
  return found->second;
}

ConnectionRef Fabric::connect(SimShard& client, ListenerState& listener) {
  auto connection = std::make_shared<Connection>();
  connection->id = next_connection_++;
  const Node& from = client.process().node();
  const Node& to = listener.process->node();
  const bool loopback = &from == &to;
  End& near = connection->ends[0];
  End& far = connection->ends[1];
  near.process = &client.process();
  near.shard = &client;
  near.local = {loopback ? "127.0.0.1" : from.address(), ephemeral_port(from.index())};
  near.peer = {loopback ? "127.0.0.1" : to.address(), listener.local.port};
  far.process = listener.process;
  far.local = near.peer;
  far.peer = near.local;
  connections_.emplace(connection->id, connection);
  note("connect", *connection, 0, listener.local.port);
  listener.pending.push_back(connection);
  for (Wakeup* waiting : listener.waiting) listener.shard->enqueue(*waiting);
  return connection;
}

ConnectOperation::ConnectOperation(SimShard& shard, Endpoint to, Duration timeout)
    : shard_(shard), to_(std::move(to)), deadline_(shard.now() + timeout), retry_(fabric().options().syn_retry) {
  shard_.process().add(*this);
}

ConnectOperation::~ConnectOperation() {
  EventQueue& events = shard_.simulation().events();
  if (event_) events.cancel(*event_);
  if (timeout_) events.cancel(*timeout_);
  shard_.process().remove(*this);
  if (connection_) fabric().close(connection_, 0);
}

Fabric& ConnectOperation::fabric() { return shard_.simulation().network().fabric(); }

void ConnectOperation::later(Duration delay, std::function<void()> action) {
  Simulation& simulation = shard_.simulation();
  event_ = simulation.events().add(simulation.now() + delay, [this, action = std::move(action)] {
    event_.reset();
    action();
  });
}

void ConnectOperation::await_suspend(std::coroutine_handle<> handle) {
  wakeup_.set(handle);
  const std::string context = "connect to " + to_.text();
  if (shard_.process().dead()) return finish(Error(Errc::cancelled, context));
  if (deadline_ != Instant::never()) {
    timeout_ = shard_.simulation().events().add(deadline_, [this, context] {
      timeout_.reset();
      finish(Error(Errc::timed_out, context, true));
    });
  }
  const Node& here = shard_.process().node();
  target_ = fabric().resolve(here, to_.host);
  if (target_ == nullptr) {
    later(fabric().latency(here.index(), here.index()),
          [this, context] { finish(Error(Errc::unavailable, context + ": host not found", true)); });
    return;
  }
  send_syn();
}

void ConnectOperation::send_syn() {
  later(fabric().latency(shard_.process().node().index(), target_->index()), [this] { syn_arrives(); });
}

void ConnectOperation::syn_arrives() {
  const Node& here = shard_.process().node();
  const bool blocked =
      fabric().blocked(here.index(), target_->index()) || fabric().blocked(target_->index(), here.index());
  const bool silent = blocked || (!target_->alive() && target_->process().silent());
  const std::shared_ptr<ListenerState> listener = silent ? nullptr : fabric().listener_at(here, *target_, to_.port);
  if (silent || (listener && listener->pending.size() >= listener->backlog)) {
    later(retry_, [this] { send_syn(); });
    retry_ *= 2;
    return;
  }
  const Duration back = fabric().latency(target_->index(), here.index());
  if (!listener) {
    later(back, [this] {
      const std::string context = "connect to " + to_.text();
      finish(Error(std::error_code(ECONNREFUSED, std::system_category()), context, true));
    });
    return;
  }
  connection_ = fabric().connect(shard_, *listener);
  later(back, [this] { finish(std::nullopt); });
}

void ConnectOperation::finish(std::optional<Error> error) {
  if (finished_) return;
  finished_ = true;
  error_ = std::move(error);
  EventQueue& events = shard_.simulation().events();
  if (event_) events.cancel(*std::exchange(event_, std::nullopt));
  if (timeout_) events.cancel(*std::exchange(timeout_, std::nullopt));
  shard_.enqueue(wakeup_);
}

void ConnectOperation::crash(Random&) { finish(Error(Errc::cancelled, "connect to " + to_.text())); }

Result<std::unique_ptr<Stream>> ConnectOperation::take() {
  if (error_) return fail(std::move(*error_));
  return std::make_unique<SimStream>(fabric(), std::exchange(connection_, nullptr), 0);
}

}  // namespace klamm::io::sim
