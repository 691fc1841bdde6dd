// A node with threads of its own inside of another program: klamm::Broker is one, testing::Cluster has several.
#pragma once

#include <memory>
#include <string>

#include "broker/config/broker_config.h"
#include "broker/server/node.h"
#include "io/machine.h"

namespace klamm::server {

struct EmbeddedOptions {
  unsigned shards = 1;     // 0: one a core
  bool in_memory = false;  // its files are in memory: they outlive the node, and end with this object
  std::string log_prefix;  // before each component's name: which of several nodes speaks
  LogSink log;             // empty: warnings and errors to stderr
};

// May be started again after it was stopped or killed, on the files that it left. Tasks run on the machine's shard 0.
class EmbeddedNode {
 public:
  EmbeddedNode(config::BrokerConfig config, const EmbeddedOptions& options);
  // Kills it if it runs.
  ~EmbeddedNode();

  // Formats the directories for this cluster if none of them is formatted; an id is drawn if it is empty.
  io::Task<Result<void>> format_if_new(std::string cluster_id);
  // On formatted directories. Errors as Node::start().
  io::Task<Result<void>> start();
  // Lets a start() that is running fail soon. From any thread.
  void interrupt();
  // `abandoned`: nobody is there to take over its leadership.
  io::Task<void> stop(bool abandoned = false);
  // Nothing if it does not run. From any thread that is no shard; no task of it may be running.
  void kill();

  bool running() const noexcept { return node_ != nullptr; }
  io::Machine& machine() noexcept { return machine_; }
  const config::BrokerConfig& config() const noexcept { return config_; }
  const Node& node() const noexcept { return *node_; }

 private:
  Logger make_logger(const EmbeddedOptions& options);

  io::Machine machine_;
  config::BrokerConfig config_;
  Logger logger_;
  std::unique_ptr<Node> node_;
};

}  // namespace klamm::server
