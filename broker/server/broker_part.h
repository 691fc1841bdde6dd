// What the broker role adds to a node: logs and replicas on every shard, the listeners for clients and other brokers,
// and the broker's own talk with the controller.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/controller/controller_channel.h"
#include "broker/handler/forwarder.h"
#include "broker/handler/producer_ids.h"
#include "broker/handler/services.h"
#include "broker/replica/replica_manager.h"
#include "broker/server/controller_part.h"
#include "broker/server/directory_assigner.h"
#include "broker/server/lifecycle.h"
#include "broker/server/listener_group.h"
#include "broker/server/node_base.h"
#include "broker/server/quorum_part.h"
#include "broker/storage/log_manager.h"

namespace klamm::server {

// On the node's first shard, but for what belongs to each.
class BrokerPart {
 public:
  explicit BrokerPart(NodeBase& node);

  // Takes the ports. Before anything is changed on the disk.
  io::Task<Result<void>> bind();
  const std::vector<BoundListener>& bound() const noexcept { return listeners_.bound(); }
  // Makes what talks with the controller. `controller`: of this node, null if it has none.
  io::Task<Result<void>> prepare(QuorumPart& quorum, ControllerPart* controller);
  // With the metadata at hand: registers, loads the logs, becomes a member, serves.
  io::Task<Result<void>> start();
  void interrupt();
  // A directory has failed: the controller is to know at once.
  void directory_failed();
  // A change of ISRs, from shard `here`, to the active controller. The request's broker epoch is the caller's to fill
  // in.
  io::Task<Result<protocol::AlterPartitionResponse>> alter_partition(io::Shard& here,
                                                                     protocol::AlterPartitionRequest request);
  std::int64_t broker_epoch() const { return lifecycle_ ? lifecycle_->broker_epoch() : -1; }

  // In this order, the quorum's stop() after the first: leadership and connections are given up; no more work; the logs
  // are closed; the rest.
  io::Task<void> leave();
  io::Task<void> stop();
  io::Task<void> close_logs();
  io::Task<void> destroy();

 private:
  // What one shard has.
  struct Local {
    std::unique_ptr<storage::LogManager> logs;
    std::unique_ptr<replica::ReplicaManager> replicas;
    std::unique_ptr<handler::Services> services;
  };
  // A way to the controller for each thing that is asked of it.
  struct Channels {
    std::unique_ptr<controller::ControllerChannel> lifecycle;
    std::unique_ptr<controller::ControllerChannel> forwarding;
    std::unique_ptr<controller::ControllerChannel> partitions;
    std::unique_ptr<controller::ControllerChannel> directories;
  };

  io::Task<Result<void>> open_logs();
  io::Task<void> watch_settings();
  void take_settings(const metadata::MetadataImage& image);
  io::Task<void> renew_tls(const metadata::MetadataImage& image);
  io::Task<void> make_local(std::size_t index);
  storage::LogManagerOptions log_options(std::size_t index);
  io::Task<void> load_local(std::size_t index, std::vector<storage::FoundLog> found, Result<void>& loaded);
  io::Task<void> close_local(std::size_t index);
  const config::BrokerConfig& config() const { return node_.config(); }

  NodeBase& node_;
  ListenerGroup listeners_;
  QuorumPart* quorum_ = nullptr;
  Channels channels_;
  std::shared_ptr<const io::tls::Context> inter_broker_tls_;  // of followers' connections; null: plain ones
  std::unique_ptr<Lifecycle> lifecycle_;
  std::unique_ptr<handler::Forwarder> forwarder_;
  std::unique_ptr<handler::ProducerIds> producer_ids_;
  std::unique_ptr<DirectoryAssigner> assigner_;
  // Set at run time, of this broker and of all brokers: as last taken.
  std::optional<ConfigMap> own_settings_, common_settings_;
  std::vector<Local> locals_;
  std::vector<handler::Services*> everywhere_;
};

}  // namespace klamm::server
