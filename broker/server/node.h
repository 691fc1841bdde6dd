// A whole Kafka node of process.roles broker,controller on the shards it is given: log directories, metadata quorum,
// controller, replicas, listeners. What the `klamm server` tool runs, what klamm::Broker embeds, and what the simulator
// starts many of.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "io/shard.h"

namespace klamm::server {

struct NodeOptions {
  config::BrokerConfig config;
  Logger logger;
  // The node cannot go on (its metadata log failed): the owner should stop it and end the process.
  std::function<void(const Error&)> on_fatal;
};

struct BoundListener {
  std::string name;
  io::Endpoint endpoint;  // numeric address and the real port
};

class Node {
 public:
  // `shards` live longer than the node. Everything is called on shard 0.
  Node(io::Shards& shards, NodeOptions options);
  ~Node();

  // Loads the directories, recovers what must be recovered, joins its own quorum, registers, and serves. On failure
  // everything that was begun is ended again; the error says what to do.
  io::Task<Result<void>> start();
  // Controlled shutdown: refuses connections, ends those that are open, closes the logs cleanly. Also after a failed
  // start, or on a simulated node that has crashed.
  io::Task<void> stop();

  const std::vector<BoundListener>& listeners() const noexcept;
  const std::string& cluster_id() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::server
