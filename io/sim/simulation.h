// The simulated environment: every shard of every node in one thread, in virtual time, repeatable from a seed.
//
//   sim::Simulation simulation(seed);
//   sim::Node& node = simulation.add_node("n1", {.shards = 2});
//   Result<int> answer = simulation.run(node.shard(0), [&]() -> io::Task<Result<int>> { ... });
//
// The scheduler picks a shard that has something to do, by seed, and runs one item of it: a posted function, one drain
// of its ready coroutines, its due timers, or one completion of its I/O. If no shard has anything to do, the clock
// moves to the next deadline or event. Running costs a little virtual time (Options::step), so that a loop that never
// waits does not stop the clock.
//
// Crashes. A crash kills a node's I/O, then tears it down: at the moment of crash() the disk becomes what survives and
// the connections are gone; the old process lives on as a zombie whose I/O has no effect: every operation, pending or
// new, ends with Errc::cancelled (streams, listeners and files alike), while timers, posts and signals go on. So its
// owner closes the application's objects as in an orderly stop (coroutines end by themselves, nothing is freed under a
// running frame), during or after which the node may be restarted: restart() makes a new process, with new shards, on
// the same disk. Shards of dead processes stay valid until the Simulation is destroyed.
//
// Rules: objects that use a shard are destroyed before the Simulation. Everything is single-threaded.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "io/shard.h"
#include "io/sim/disk.h"
#include "io/sim/event_queue.h"
#include "io/sim/network.h"
#include "io/sim/trace.h"

namespace klamm::io::sim {

class Process;
class Simulation;

struct Options {
  NetworkOptions network;
  DiskOptions disk;             // of nodes that bring no options of their own
  DelayRange step{100ns, 1us};  // virtual time that one item takes
  TimestampMs wall_start_ms = 1'750'000'000'000;
  std::uint64_t max_items = 1'000'000'000;  // the process ends when more are run: something spins
  Trace::Sink trace;                        // gets one line an event; empty: none

  // Options that vary with the seed: small and large socket buffers, quick and slow disks, more or fewer partial reads.
  static Options draw(std::uint64_t seed);
};

struct NodeOptions {
  unsigned shards = 1;
  std::int64_t clock_skew_ms = 0;
  std::optional<DiskOptions> disk;
  std::optional<DiskImage> image;  // the disk's content at first; empty without
};

struct CrashOptions {
  Unsynced unsynced = Unsynced::draw;
  PeersSee peers = PeersSee::draw;
};

// One machine: a name that others connect to, a disk, and at most one living process.
class Node {
 public:
  Node(Simulation& simulation, std::uint32_t index, std::string name, NodeOptions options, std::uint64_t seed);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const std::string& name() const noexcept { return name_; }
  const std::string& address() const noexcept { return address_; }  // "10.0.0.1"
  std::uint32_t index() const noexcept { return index_; }

  // Those of the living process; of the last one if it is dead.
  Shards& shards();
  Shard& shard(std::size_t index = 0) { return shards().at(index); }
  Disk& disk() noexcept { return *disk_; }

  bool alive() const;
  // The last process ended with a loss of power, not by a kill.
  bool lost_power() const noexcept { return lost_power_; }
  // Power loss, or the kernel died: unsynced data is lost as told. See the head of this file. May be called from code
  // that runs on the node itself.
  void crash(CrashOptions options = {});
  // kill -9: the page cache survives and peers get resets.
  void kill() { crash({Unsynced::keep_all, PeersSee::reset}); }
  // A new process on the same disk. Only when dead.
  void restart();
  // The process stands still (a stopped machine, a long pause of its host); its I/O and timers queue up.
  void pause(Duration duration);

  void set_clock_skew_ms(std::int64_t skew_ms) noexcept { skew_ms_ = skew_ms; }
  std::int64_t clock_skew_ms() const noexcept { return skew_ms_; }

  Simulation& simulation() noexcept { return simulation_; }
  Process& process() noexcept { return *processes_.back(); }

 private:
  friend class Simulation;
  Simulation& simulation_;
  std::uint32_t index_;
  std::string name_;
  std::string address_;
  unsigned shard_count_;
  std::int64_t skew_ms_;
  bool lost_power_ = false;
  Random random_;
  std::unique_ptr<Disk> disk_;
  std::vector<std::unique_ptr<Process>> processes_;  // the last may be alive
};

class Simulation {
 public:
  static constexpr Duration kRunLimit = 1h;

  explicit Simulation(std::uint64_t seed, Options options = {});
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  std::uint64_t seed() const noexcept { return seed_; }
  Instant now() const noexcept { return now_; }
  TimestampMs wall_ms() const noexcept;
  // For the harness's own draws.
  Random& random() noexcept { return harness_random_; }
  Network& network() noexcept { return *network_; }
  Trace& trace() noexcept { return trace_; }
  std::uint64_t trace_hash() const noexcept { return trace_.hash(); }
  // Lines go to the trace's sink, with virtual time, under this node's name.
  Logger logger(const Node& node, LogLevel threshold = LogLevel::debug);

  Node& add_node(std::string name, NodeOptions options = {});
  Node& node(std::string_view name);  // must exist
  Node* find_node(std::string_view name_or_address);
  std::size_t node_count() const noexcept { return nodes_.size(); }
  Node& node_at(std::size_t index) { return *nodes_.at(index); }

  // Calls `action` at a time, outside of every shard (it may crash nodes, change the network, post to shards).
  void at(Instant when, std::function<void()> action);
  void after(Duration delay, std::function<void()> action) { at(now_ + delay, std::move(action)); }

  // Runs until `done()` is true (asked before every step): true; or until `limit` of virtual time has passed or nothing
  // is left to happen: false.
  bool run_until(const std::function<bool()>& done, Duration limit = kRunLimit);
  void run_for(Duration duration);
  // Runs until nothing is left to happen: true; false if something still is after `limit`.
  bool run_idle(Duration limit = kRunLimit);
  // One item, or one move of the clock (not beyond `until`). False if nothing is left to happen before `until`.
  bool step(Instant until = Instant::never());

  // Runs a task on a shard to its end and returns its value; the process ends if that takes longer than `limit` or can
  // never happen. A callable is kept alive meanwhile: `simulation.run(shard, [&]() -> Task<int> {...})`.
  template <typename T>
  T run(Shard& shard, Task<T> task, Duration limit = kRunLimit);
  template <typename Function>
    requires std::is_invocable_v<Function&>
  auto run(Shard& shard, Function function, Duration limit = kRunLimit) {
    return run(shard, function(), limit);
  }

  // For the parts of the simulated machine.
  const Options& options() const noexcept { return options_; }
  const Instant& clock() const noexcept { return now_; }
  EventQueue& events() noexcept { return events_; }

 private:
  bool run_one_item();
  Instant next_deadline();
  [[noreturn]] void stuck(Duration limit);

  std::uint64_t seed_;
  Options options_;
  Trace trace_;
  Random random_;
  Random harness_random_;
  Instant now_;
  std::uint64_t items_ = 0;
  EventQueue events_;
  std::unique_ptr<Network> network_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<class SimShard*> runnable_;  // scratch
};

template <typename T>
T Simulation::run(Shard& shard, Task<T> task, Duration limit) {
  struct State {
    Task<T> task;
    std::conditional_t<std::is_void_v<T>, bool, std::optional<T>> value{};
    bool done = false;

    Task<void> drive() {
      if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
      } else {
        T result = co_await std::move(task);
        value.emplace(std::move(result));
      }
      done = true;
    }
  };
  State state{std::move(task)};
  shard.post([](void* self) { spawn_detached(static_cast<State*>(self)->drive()); }, &state);
  if (!run_until([&state] { return state.done; }, limit)) stuck(limit);
  if constexpr (!std::is_void_v<T>) return std::move(*state.value);
}

}  // namespace klamm::io::sim
