// The simulated network between nodes, as a test sees it: delays, partitions, cuts. Code under test sees streams and
// listeners.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/random.h"
#include "base/time.h"
#include "io/sim/disk.h"

namespace klamm::io::sim {

class Node;
class Simulation;
class Fabric;

struct NetworkOptions {
  DelayRange latency{100us, 1ms};              // one way, between nodes
  DelayRange loopback_latency{5us, 50us};      // one way, inside a node
  std::uint64_t bytes_per_second = 0;          // of one direction of one connection; 0: no bound
  std::size_t socket_buffer_bytes = 64 << 10;  // a direction: sent but not yet read by the peer
  double partial_chance = 0.3;                 // a read or write that could be whole is cut at a drawn length
  Duration syn_retry{1s};             // a connection attempt that meets silence is repeated after this, doubling
  Duration dead_peer_timeout{60s};    // bytes unacknowledged for this long break the connection (ETIMEDOUT)
  DelayRange heal_delay{1ms, 200ms};  // stalled bytes flow again this long after a partition heals
};

// How peers learn that a node's connections are gone.
enum class PeersSee {
  reset,    // ECONNRESET after a latency: the process died, its machine lives
  silence,  // nothing; what they send vanishes: the machine died. After a restart it answers with resets
  draw,     // one of both, by seed, for each connection
};

class Network {
 public:
  explicit Network(Simulation& simulation, NetworkOptions options, std::uint64_t seed);
  ~Network();

  NetworkOptions& options() noexcept;

  // Bytes from `from` to `to` stall from now on and connections cannot be made, until allow(). One way.
  void block(const Node& from, const Node& to);
  void allow(const Node& from, const Node& to);
  // Both ways.
  void partition(const Node& left, const Node& right);
  void heal(const Node& left, const Node& right);
  void heal_all();
  bool blocked(const Node& from, const Node& to) const;

  // Adds to every one-way latency between these nodes (both ways); zero to end it.
  void set_extra_delay(const Node& left, const Node& right, Duration extra);

  // Resets all connections between the nodes (either end sees ECONNRESET after a latency). Returns how many.
  std::size_t cut(const Node& left, const Node& right);
  // Resets one connection of the node, drawn by seed. False if it has none.
  bool cut_one(const Node& node);
  // The connections between the nodes go silent for ever: neither end hears of the other again.
  std::size_t drop(const Node& left, const Node& right);

  std::size_t connections() const;
  // Those of a node, until both ends are closed.
  std::size_t connections(const Node& node) const;

  Fabric& fabric() noexcept { return *fabric_; }

 private:
  std::unique_ptr<Fabric> fabric_;
};

}  // namespace klamm::io::sim
