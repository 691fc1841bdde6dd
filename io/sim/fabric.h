// The simulated network from inside: connections, listeners, segments on their way. Internal to io/sim.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "io/sim/network.h"
#include "io/sim/process.h"

namespace klamm::io::sim {

// One end of a connection: the socket of a process. What it sends waits in `outgoing` until it arrives at the other
// end.
struct End {
  Process* process = nullptr;  // stays valid after its death
  SimShard* shard = nullptr;   // none until accepted
  Endpoint local;
  Endpoint peer;

  std::deque<Slice> received;
  std::uint64_t received_bytes = 0;
  bool end_received = false;
  int error_number = 0;  // broken: reset or timed out
  bool closed = false;   // by its owner, or with its process
  bool shut = false;     // no more writes

  struct Segment {
    Instant arrival;
    Slice bytes;  // empty: the end of the stream
  };
  std::deque<Segment> outgoing;
  std::uint64_t unread_by_peer = 0;
  Instant line_free;     // when the bandwidth bound lets the next byte go
  Instant last_arrival;  // segments arrive in order
  bool arrival_scheduled = false;
  bool stalled = false;
  std::uint64_t stalls = 0;  // counts them, to know whether one has lasted

  std::optional<FileRegion> cold;  // what try_write found not to be in memory
  Wakeup reader;
  Wakeup writer;
};

struct Connection {
  std::uint64_t id = 0;
  End ends[2];
  bool dropped = false;  // silent for ever
};
using ConnectionRef = std::shared_ptr<Connection>;

struct ListenerState {
  Process* process = nullptr;
  SimShard* shard = nullptr;
  Endpoint local;
  bool loopback_only = false;
  std::size_t backlog = 1;
  bool closed = false;
  std::deque<ConnectionRef> pending;
  std::vector<Wakeup*> waiting;
};

class Fabric {
 public:
  using Link = std::pair<std::uint32_t, std::uint32_t>;  // node indices

  Fabric(Simulation& simulation, NetworkOptions options, std::uint64_t seed)
      : options_(options), simulation_(simulation), random_(seed) {}

  NetworkOptions& options() noexcept { return options_; }
  Random& random() noexcept { return random_; }
  std::size_t connections() const noexcept { return connections_.size(); }

  // Links between nodes.
  void block(Link link) { blocked_.insert(link); }
  void allow(Link link);
  void allow_all();
  bool blocked(std::uint32_t from, std::uint32_t to) const { return blocked_.contains({from, to}); }
  void set_extra_delay(Link link, Duration extra);
  Duration latency(std::uint32_t from, std::uint32_t to);

  // Faults of connections.
  std::vector<ConnectionRef> between(std::uint32_t left, std::uint32_t right) const;
  std::vector<ConnectionRef> of(std::uint32_t node) const;
  void cut(const ConnectionRef& connection);
  void drop(const ConnectionRef& connection);

  // Processes.
  void process_died(Process& process, PeersSee peers);
  void process_started(std::uint32_t node);

  // Listeners and connections.
  Result<std::unique_ptr<Listener>> listen(SimShard& shard, Endpoint at, int backlog);
  void close(ListenerState& listener);
  Node* resolve(const Node& from, const std::string& host);
  std::shared_ptr<ListenerState> listener_at(const Node& from, const Node& to, std::uint16_t port);
  // A connection whose server end waits in the listener's queue.
  ConnectionRef connect(SimShard& client, ListenerState& listener);

  // An end's operations, for its stream.
  Result<std::size_t> read(const ConnectionRef& connection, int side, MutableBytes into);
  Result<std::size_t> write(const ConnectionRef& connection, int side, std::span<const Piece> pieces);
  void wait(const ConnectionRef& connection, int side, Direction direction, std::coroutine_handle<> handle);
  void shutdown_write(const ConnectionRef& connection, int side);
  void close(const ConnectionRef& connection, int side);

 private:
  std::optional<Error> broken(const End& end) const;
  std::size_t room(const End& end) const;
  Result<std::size_t> gather(End& end, std::span<const Piece> pieces, MutableBytes into);
  void send(const ConnectionRef& connection, int side, Slice bytes);
  static Link link_of(const Connection& connection, int side);
  void schedule_arrival(const ConnectionRef& connection, int side);
  void arrive(const ConnectionRef& connection, int side);
  void stall(const ConnectionRef& connection, int side);
  void resume_stalled(const std::function<bool(Link)>& matches);
  void send_reset(const ConnectionRef& connection, int to_side);
  void break_end(End& end, int error_number);
  void wake(End& end);
  void forget_if_over(const Connection& connection);
  std::uint16_t ephemeral_port(std::uint32_t node);
  void note(std::string_view what, const Connection& connection, int side, std::uint64_t size);

  NetworkOptions options_;
  Simulation& simulation_;
  Random random_;
  std::set<Link> blocked_;
  std::map<Link, Duration> extra_delay_;
  std::map<std::uint64_t, ConnectionRef> connections_;
  std::uint64_t next_connection_ = 1;
  std::map<std::pair<std::uint32_t, std::uint16_t>, std::shared_ptr<ListenerState>> listeners_;
  std::map<std::uint32_t, std::uint16_t> next_port_;
};

// One attempt to connect, in the frame of SimShard::connect().
class ConnectOperation final : public Underway {
 public:
  ConnectOperation(SimShard& shard, Endpoint to, Duration timeout);
  ~ConnectOperation() override;
  ConnectOperation(const ConnectOperation&) = delete;
  ConnectOperation& operator=(const ConnectOperation&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept {}
  Result<std::unique_ptr<Stream>> take();

  void crash(Random& random) override;

 private:
  void later(Duration delay, std::function<void()> action);
  void send_syn();
  void syn_arrives();
  void finish(std::optional<Error> error);
  Fabric& fabric();

  SimShard& shard_;
  Endpoint to_;
  Instant deadline_;
  Duration retry_;
  Node* target_ = nullptr;
  ConnectionRef connection_;
  std::optional<Error> error_;
  bool finished_ = false;
  std::optional<EventQueue::Key> event_;
  std::optional<EventQueue::Key> timeout_;
  Wakeup wakeup_;
};

}  // namespace klamm::io::sim
