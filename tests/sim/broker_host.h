// A simulated machine with a broker on it, and the supervisor that starts the broker again when its process has ended.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/server/node.h"
#include "io/sim/simulation.h"
#include "io/sync.h"

namespace klamm::simtest {

// Made and called outside of every shard (from the harness, or a Simulation::after action). Lives until the simulation
// has run all its lives to their end.
class BrokerHost {
 public:
  static constexpr std::uint16_t kPort = 9092;

  BrokerHost(io::sim::Simulation& simulation, io::sim::Node& machine, LogLevel log_level);
  ~BrokerHost();

  // Writes meta.properties and the bootstrap records.
  Result<void> format();
  // Starts a broker on the living process.
  void start();
  // The machine's process died (Node::crash or kill was called): its broker's objects are taken down.
  void died();
  // The machine has a new process.
  void revived() { start(); }
  // From now on no broker that ended by itself is started again. Then an orderly stop of the one that serves.
  void stop();

  // A broker serves on the living process.
  bool serving() const;
  // All brokers, those of dead processes too, have ended.
  bool all_ended() const;
  // The broker's process ended by itself this often: start() failed, or it could not go on.
  std::size_t gave_up() const noexcept { return gave_up_; }
  std::size_t starts() const noexcept { return lives_.size(); }
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
    bool serving = false;
    bool ended = false;
  };
  io::Task<void> run(Life& life);
  void end(Life& life);
  void gave_up(Life& life);

  io::sim::Simulation& simulation_;
  io::sim::Node& machine_;
  Logger logger_;
  config::BrokerConfig config_;
  std::vector<std::unique_ptr<Life>> lives_;
  bool supervised_ = true;
  std::size_t gave_up_ = 0;
  std::string last_error_;
};

}  // namespace klamm::simtest
