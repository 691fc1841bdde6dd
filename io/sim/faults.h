// A schedule of faults, drawn from a seed: what happens to which nodes when. Every fault ends by itself, and all have
// ended when the plan is over, so that a workload can then check that the system recovers.
//
//   FaultPlan plan = FaultPlan::draw(seed, {.duration = 60s, .victims = {"n1", "n2", "n3"}});
//   plan.install(simulation, {.crashed = [&](Node& n) { close the broker's objects },
//                             .restarted = [&](Node& n) { start a broker on n.shards() }});
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/sim/simulation.h"

namespace klamm::io::sim {

enum class FaultKind : std::uint8_t {
  partition,     // two nodes do not hear each other
  one_way,       // `other` does not hear `node`
  isolate,       // nobody hears the node
  delay,         // latency between two nodes grows
  cut,           // one connection of the node is reset
  cut_all,       // all connections between two nodes are reset
  drop,          // all connections between two nodes go silent for ever
  crash,         // power loss; restarted at the end
  kill,          // the process dies, its machine does not; restarted at the end
  pause,         // the process stands still
  slow_disk,     // the disk takes many times as long
  read_errors,   // reads fail (EIO)
  write_errors,  // writes fail (EIO)
  sync_errors,   // syncs fail (EIO)
  disk_full,     // ENOSPC: the capacity is what is used
  clock_skew,    // the wall clock jumps, and back at the end
};
std::string_view name_of(FaultKind kind);

struct Fault {
  Duration at{0};  // after install()
  Duration length{0};
  FaultKind kind = FaultKind::cut;
  std::string node;
  std::string other;        // empty where the kind concerns one node
  std::int64_t amount = 0;  // delay: ns; slow_disk: factor; clock_skew: ms; read, write, sync errors: how many at most
  std::string path;         // read, write, sync errors: of files with this in their path
  std::string text() const;
};

struct FaultPlanOptions {
  Duration duration = 60s;              // all faults lie within
  Duration mean_interval = 3s;          // between the beginnings of faults
  Duration longest = 20s;               // of one fault
  std::vector<std::string> victims;     // whom crashes, pauses, disk and clock faults may hit; also all network faults
  std::vector<std::string> bystanders;  // network faults between these and victims only
  // The kinds to draw from. Those that a correct system may answer by stopping itself (disk errors, a full disk) are
  // not among them unless asked for.
  std::vector<FaultKind> kinds = {FaultKind::partition, FaultKind::one_way,   FaultKind::isolate,
                                  FaultKind::delay,     FaultKind::cut,       FaultKind::cut_all,
                                  FaultKind::drop,      FaultKind::crash,     FaultKind::kill,
                                  FaultKind::pause,     FaultKind::slow_disk, FaultKind::clock_skew};
  std::size_t most_dead = 1;  // nodes that are dead at the same time
  // What read, write and sync errors choose their path from.
  std::vector<std::string> paths = {""};
};

// What the owner of the applications does when nodes die and come back.
struct FaultHooks {
  std::function<void(Node&)> crashed;    // the node's I/O is dead: begin to close its objects
  std::function<void(Node&)> restarted;  // new shards are there: start the application
};

class FaultPlan {
 public:
  FaultPlan() = default;
  explicit FaultPlan(std::vector<Fault> faults) : faults_(std::move(faults)) {}
  static FaultPlan draw(std::uint64_t seed, const FaultPlanOptions& options);

  const std::vector<Fault>& faults() const noexcept { return faults_; }
  std::vector<Fault>& faults() noexcept { return faults_; }
  // When the last fault is over, from install().
  Duration end() const;
  std::string text() const;
  // Schedules all faults from now on. While it runs, blocked links, added delays, disk speeds and clock skews are the
  // plan's: do not set them by hand. The nodes must have been added before.
  void install(Simulation& simulation, FaultHooks hooks) const;

 private:
  std::vector<Fault> faults_;
};

}  // namespace klamm::io::sim
