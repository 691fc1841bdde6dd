// A simulated machine with a broker on it, and the supervisor that starts the broker again when its process has ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/server/node.h"
#include "io/sim/simulation.h"
#include "io/sync.h"
#include "scenario.h"

namespace klamm::simtest {

// What brokers say of themselves, line by line, is heard here; `machine` is its index.
using Listener = std::function<void(std::size_t machine, std::string_view line)>;

struct HostOptions {
  std::vector<std::string> cluster;  // the names of all machines
  std::size_t index = 0;             // of this one; its node id is one more
  Settings settings;                 // besides those that make it a node of its own
  bool dynamic_voters = false;
  // Whenever its process ends by itself, the machine is switched off and on, as one would do with a disk that fails.
  bool power_cycles = false;
  Listener listener;
};

// Made and called outside of every shard (from the harness, or a Simulation::after action). Lives until the simulation
// has run all its lives to their end.
class BrokerHost {
 public:
  static constexpr const char* kDataDirectory = "/data";

  BrokerHost(io::sim::Simulation& simulation, io::sim::Node& machine, HostOptions options);
  ~BrokerHost();

  // Called when the machine loses power by the supervisor's hand while its broker had not stopped in order.
  void set_on_power_cut(std::function<void()> action) { on_power_cut_ = std::move(action); }

  // Writes meta.properties and the bootstrap records.
  Result<void> format();
  // Starts a broker on the living process.
  void start();
  // The machine's process died (Node::crash or kill was called): its broker's objects are taken down.
  void died();
  // The machine has a new process.
  void revived() { start(); }
  // The dead machine's disk is replaced by an empty one, to be formatted before its next broker starts.
  void wipe();
  // An orderly stop of the broker that serves, then a new process. Nothing if none serves.
  void restart_in_order();
  // From now on no broker that ended by itself is started again. Then an orderly stop of the one that serves.
  void stop();

  // A broker serves on the living process.
  bool serving() const;
  // All brokers, those of dead processes too, have ended.
  bool all_ended() const;
  // The broker's process ended by itself this often: start() failed, or it could not go on.
  std::size_t gave_up() const noexcept { return gave_up_; }
  std::size_t starts() const noexcept { return lives_.size(); }
  std::size_t orderly_restarts() const noexcept { return orderly_restarts_; }
  const std::string& last_error() const noexcept { return last_error_; }

 private:
  // One process's broker.
  struct Life {
    explicit Life(io::Shards& on) : shards(on), told(on.at(0)) {}
    io::Shards& shards;
    std::unique_ptr<server::Node> node;
    io::Signal told;
    bool must_end = false;
    bool fatal = false;
    bool in_order = false;  // it was asked to end, and a new one shall take its place
    bool serving = false;
    bool ended = false;
  };
  io::Task<void> run(Life& life);
  io::Task<Result<void>> format_disk(io::Shard& shard);
  Logger make_logger();
  void end(Life& life);
  void gave_up(Life& life);
  void replace(Life& life, Duration delay);

  io::sim::Simulation& simulation_;
  io::sim::Node& machine_;
  HostOptions options_;
  Logger logger_;
  config::BrokerConfig config_;
  std::vector<std::unique_ptr<Life>> lives_;
  bool wiped_ = false;  // since it was formatted for the first time
  bool unformatted_ = true;
  std::function<void()> on_power_cut_;
  bool supervised_ = true;
  std::size_t gave_up_ = 0;
  std::size_t orderly_restarts_ = 0;
  std::string last_error_;
};

}  // namespace klamm::simtest
