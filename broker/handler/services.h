// What handlers work with. Made by the node (broker/server/node.h) before the first connection and gone after the last.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "broker/config/broker_config.h"
#include "broker/controller/controller.h"
#include "broker/handler/fetch_session.h"
#include "broker/handler/forwarder.h"
#include "broker/handler/producer_ids.h"
#include "broker/metadata/publisher.h"
#include "broker/raft/raft_node.h"
#include "broker/replica/replica_manager.h"
#include "io/shard.h"
#include "protocol/error.h"

namespace klamm::handler {

// What the handlers of either role work with.
class NodeServices {
 public:
  io::Shard& shard;
  const config::BrokerConfig& config;
  metadata::Publisher& publisher;
  io::Shard& controller_shard;  // of the metadata quorum, and the controller
  std::string cluster_id;
  Logger logger;

  std::int32_t node_id() const { return config.node_id(); }
  // What this shard knows of the cluster. Keep the reference while you use it.
  metadata::ImageRef image() const { return publisher.image(shard); }
};

// The broker's, on every shard.
class Services : public NodeServices {
 public:
  storage::LogManager& logs;                 // of this shard
  replica::ReplicaManager& replicas;         // of this shard
  storage::LogDirs& directories;             // lives on controller_shard
  Forwarder& forwarder;                      // lives on controller_shard
  ProducerIds& producer_ids;                 // lives on controller_shard
  const std::vector<Services*>& everywhere;  // by shard index
  FetchSessionCache fetch_sessions;

  std::int32_t broker_id() const { return config.node_id(); }
  // The shard that serves a partition.
  Services& serving(const metadata::TopicImage& topic, std::int32_t partition) const {
    return *everywhere[replica::shard_of(topic.name, partition, everywhere.size())];
  }
};

// The controller's, on controller_shard alone.
class ControllerServices : public NodeServices {
 public:
  controller::Controller& controller;
  raft::RaftNode& raft;
};

}  // namespace klamm::handler
