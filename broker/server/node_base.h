// What all parts of a node stand on. Owned by the node, on its first shard; the parts keep references.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "base/uuid.h"
#include "broker/config/broker_config.h"
#include "broker/server/node.h"
#include "broker/storage/log_dirs.h"
#include "io/shard.h"

namespace klamm::server {

struct NodeBase {
  NodeBase(io::Shards& all_shards, NodeOptions node_options)
      : shards(all_shards), home(all_shards.at(0)), options(std::move(node_options)) {}

  io::Shards& shards;
  io::Shard& home;  // of quorum, controller, log directories, and the sockets that listen
  NodeOptions options;
  std::unique_ptr<storage::LogDirs> directories;
  Uuid incarnation_id;       // of this process
  bool interrupted = false;  // a start that runs is to end
  bool abandoned = false;    // no controller is asked for leave to stop

  const config::BrokerConfig& config() const { return options.config; }
  const std::string& cluster_id() const { return directories->cluster_id(); }
  Logger logger(std::string component) const { return options.logger.named(std::move(component)); }
  void fatal(const Error& error) const {
    if (options.on_fatal) options.on_fatal(error);
  }
};

// How long a wait of a start may go without looking whether it was interrupted.
constexpr Duration kInterruptLook = 100ms;

}  // namespace klamm::server
