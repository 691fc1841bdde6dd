// A whole Kafka node on the shards it is given, as process.roles says a broker, a controller, or both: log directories,
// metadata quorum, controller, replicas, listeners. What the `klamm server` tool runs, what klamm::Broker embeds, and
// what the simulator starts many of.
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
  // How many descriptors the process may have. Half of them are for the files of segments, which are closed and opened
  // again as needed. 0: no bound.
  std::uint64_t descriptor_limit = 0;
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

  // Loads the directories, recovers what must be recovered, joins the metadata quorum, registers, and serves. Waits for
  // the quorum to have a leader as long as it takes. On failure everything that was begun is ended again; the error
  // says what to do.
  io::Task<Result<void>> start();
  // Lets a start() that is running fail soon with Errc::cancelled.
  void interrupt();
  // No controller is there that could give this broker's leadership to others, or none is to be asked: stop() does not
  // wait for one.
  void abandon();
  // Controlled shutdown: refuses connections, ends those that are open, closes the logs cleanly. Also after a failed
  // start, or on a simulated node that has crashed.
  io::Task<void> stop();

  // The broker's; empty on a node that is a controller only.
  const std::vector<BoundListener>& listeners() const noexcept;
  const std::vector<BoundListener>& controller_listeners() const noexcept;
  const std::string& cluster_id() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::server
