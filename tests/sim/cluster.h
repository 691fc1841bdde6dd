// The brokers of a simulated run, each on a machine of its own: one, or a cluster whose nodes are brokers and voters.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/result.h"
#include "broker_host.h"
#include "io/sim/simulation.h"
#include "klamm/record.h"
#include "scenario.h"

namespace klamm::simtest {

// Called outside of every shard, as BrokerHost.
class Cluster {
 public:
  Cluster(io::sim::Simulation& simulation, const Scenario& scenario, const Settings& settings,
          const Listener& listener);

  // Of every broker; see BrokerHost.
  void set_on_power_cut(const std::function<void()>& action);
  Result<void> format();
  void start();
  void stop();
  // As after a clean stop, by a loss of power or without, and everything is started.
  void restart_machines(bool power_fails);

  void died(const io::sim::Node& machine) { host_of(machine).died(); }
  void revived(const io::sim::Node& machine) { host_of(machine).revived(); }
  // The machine dies and loses its disk; after `away` it is started again on an empty one, unless it was before.
  void replace_disk(std::size_t index, Duration away);
  // One that is drawn; nothing if it does not serve.
  void restart_one_in_order(Random& random);

  std::size_t size() const noexcept { return members_.size(); }
  io::sim::Node& machine(std::size_t index) { return *members_[index].machine; }
  bool all_serving() const;
  bool all_ended() const;
  std::size_t gave_up() const;
  std::size_t starts() const;
  std::size_t orderly_restarts() const;
  // Of a broker that ended by itself; empty if none did.
  std::string last_error() const;

  // While no broker runs: one line for each replica of the partitions whose log is not, byte for byte, that of another.
  std::vector<std::string> compare_replicas(const std::vector<TopicPartition>& partitions);

 private:
  struct Member {
    io::sim::Node* machine = nullptr;
    std::unique_ptr<BrokerHost> host;
  };
  BrokerHost& host_of(const io::sim::Node& machine);

  io::sim::Simulation& simulation_;
  std::vector<Member> members_;
};

}  // namespace klamm::simtest
