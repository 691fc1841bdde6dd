// What handlers work with: one Services object a shard. Made by the node (broker/server/node.h) before the first
// connection and gone after the last.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "broker/config/broker_config.h"
#include "broker/controller/controller.h"
#include "broker/handler/fetch_session.h"
#include "broker/handler/producer_ids.h"
#include "broker/metadata/publisher.h"
#include "broker/raft/raft_node.h"
#include "broker/replica/replica_manager.h"
#include "io/shard.h"
#include "protocol/error.h"

namespace klamm::handler {

class Services {
 public:
  io::Shard& shard;
  const config::BrokerConfig& config;
  metadata::Publisher& publisher;
  storage::LogManager& logs;           // of this shard
  replica::ReplicaManager& replicas;   // of this shard
  storage::LogDirs& directories;       // lives on controller_shard
  controller::Controller& controller;  // runs on controller_shard
  const raft::RaftNode& raft;          // runs on controller_shard
  io::Shard& controller_shard;
  ProducerIds& producer_ids;                 // runs on controller_shard
  const std::vector<Services*>& everywhere;  // by shard index
  std::string cluster_id;
  FetchSessionCache fetch_sessions;
  Logger logger;

  std::int32_t broker_id() const { return config.node_id(); }
  // What this shard knows of the cluster. Keep the reference while you use it.
  metadata::ImageRef image() const { return publisher.image(shard); }
  // The shard that serves a partition.
  Services& serving(const metadata::TopicImage& topic, std::int32_t partition) const {
    return *everywhere[replica::shard_of(topic.name, partition, everywhere.size())];
  }
};

}  // namespace klamm::handler
