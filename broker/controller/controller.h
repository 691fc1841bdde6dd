// The controller: takes requests that change the cluster's metadata, decides, and writes the decision to the metadata
// log. It lives on the raft node's shard; other shards reach it by io::call. Only the leader of the quorum is active:
// elsewhere every call answers NOT_CONTROLLER.
//
// A call computes records and a reply from the state after all records appended so far (pure functions, one file a
// subject), appends the records and replays them at once; the reply, reads included, waits until all that it saw is
// committed. If an append fails or leadership is lost, the uncommitted state is dropped and every waiting call answers
// NOT_CONTROLLER.
//
// Calls never fail as C++ calls: faults are error codes in the response. Requests are taken as the newest version has
// them; RequestContext::api_version tells which one came, where the answer depends on it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/metadata/image.h"
#include "broker/metadata/record.h"
#include "broker/security/context.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::protocol {
struct AllocateProducerIdsRequest;
struct AllocateProducerIdsResponse;
struct AlterConfigsRequest;
struct AlterConfigsResponse;
struct AlterPartitionReassignmentsRequest;
struct AlterPartitionReassignmentsResponse;
struct AlterPartitionRequest;
struct AlterPartitionResponse;
struct AssignReplicasToDirsRequest;
struct AssignReplicasToDirsResponse;
struct BrokerHeartbeatRequest;
struct BrokerHeartbeatResponse;
struct BrokerRegistrationRequest;
struct BrokerRegistrationResponse;
struct ControllerRegistrationRequest;
struct ControllerRegistrationResponse;
struct CreatePartitionsRequest;
struct CreatePartitionsResponse;
struct CreateTopicsRequest;
struct CreateTopicsResponse;
struct DeleteTopicsRequest;
struct DeleteTopicsResponse;
struct DescribeQuorumRequest;
struct DescribeQuorumResponse;
struct ElectLeadersRequest;
struct ElectLeadersResponse;
struct IncrementalAlterConfigsRequest;
struct IncrementalAlterConfigsResponse;
struct ListPartitionReassignmentsRequest;
struct ListPartitionReassignmentsResponse;
struct UnregisterBrokerRequest;
struct UnregisterBrokerResponse;
struct UpdateFeaturesRequest;
struct UpdateFeaturesResponse;
}  // namespace klamm::protocol

namespace klamm::metadata {
class Loader;
}  // namespace klamm::metadata

namespace klamm::raft {
class RaftNode;
}

namespace klamm::controller {

struct ControllerOptions {
  std::int32_t node_id = 0;
  std::string cluster_id;
  Uuid incarnation_id;                                // of this process
  std::vector<metadata::ListenerEndpoint> listeners;  // of the controller role, for its registration

  const config::BrokerConfig* file = nullptr;   // the node's settings; must outlive the Controller. Null: all defaults
  std::int32_t num_partitions = 1;              // num.partitions
  std::int16_t default_replication_factor = 1;  // default.replication.factor
  bool delete_topic_enable = true;              // delete.topic.enable
  std::int64_t session_timeout_ms = 9'000;      // broker.session.timeout.ms
  std::int64_t max_idle_interval_ms = 500;      // metadata.max.idle.interval.ms; 0: no NoOp records
  bool leader_rebalance_enable = true;          // auto.leader.rebalance.enable
  std::int64_t leader_rebalance_check_ms = 300'000;  // leader.imbalance.check.interval.seconds
  std::int64_t unclean_election_check_ms = 300'000;  // unclean.leader.election.interval.ms

  // What the first controller of an empty log writes: the records of bootstrap.checkpoint. Empty: the features that
  // klamm's own format finalizes.
  metadata::Records bootstrap_records;
};
// Those of the settings above that the file has; cluster id, incarnation id and bootstrap records are left to the
// caller, and the hosts of listeners that have none.
ControllerOptions controller_options(const config::BrokerConfig& file);

class Controller {
 public:
  // All three live on `shard` and longer than the Controller.
  Controller(io::Shard& shard, raft::RaftNode& raft, metadata::Loader& loader, ControllerOptions options,
             Logger logger = {});
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  io::Shard& shard() const noexcept;
  // Begins to follow leadership; the raft node may be started before or after. Returns at once.
  void start();
  // Ends periodic work and lets waiting calls answer. No call may follow.
  io::Task<void> stop();
  // True once this node leads and has replayed the log; calls answer NOT_CONTROLLER before.
  bool active() const noexcept;
  // Waits for active() (true), or until the deadline or stop() (false).
  io::Task<bool> wait_active(Instant deadline);

  // ---- Topics.
  io::Task<protocol::CreateTopicsResponse> create_topics(const security::RequestContext& context,
                                                         protocol::CreateTopicsRequest request);
  io::Task<protocol::DeleteTopicsResponse> delete_topics(const security::RequestContext& context,
                                                         protocol::DeleteTopicsRequest request);
  io::Task<protocol::CreatePartitionsResponse> create_partitions(const security::RequestContext& context,
                                                                 protocol::CreatePartitionsRequest request);

  // ---- Configs.
  io::Task<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
      const security::RequestContext& context, protocol::IncrementalAlterConfigsRequest request);
  io::Task<protocol::AlterConfigsResponse> alter_configs(const security::RequestContext& context,
                                                         protocol::AlterConfigsRequest request);

  // ---- Brokers.
  io::Task<protocol::BrokerRegistrationResponse> register_broker(const security::RequestContext& context,
                                                                 protocol::BrokerRegistrationRequest request);
  io::Task<protocol::BrokerHeartbeatResponse> broker_heartbeat(const security::RequestContext& context,
                                                               protocol::BrokerHeartbeatRequest request);
  io::Task<protocol::UnregisterBrokerResponse> unregister_broker(const security::RequestContext& context,
                                                                 protocol::UnregisterBrokerRequest request);
  io::Task<protocol::ControllerRegistrationResponse> register_controller(
      const security::RequestContext& context, protocol::ControllerRegistrationRequest request);
  io::Task<protocol::AllocateProducerIdsResponse> allocate_producer_ids(const security::RequestContext& context,
                                                                        protocol::AllocateProducerIdsRequest request);
  io::Task<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
      const security::RequestContext& context, protocol::AssignReplicasToDirsRequest request);

  // ---- Partitions.
  io::Task<protocol::AlterPartitionResponse> alter_partition(const security::RequestContext& context,
                                                             protocol::AlterPartitionRequest request);
  io::Task<protocol::ElectLeadersResponse> elect_leaders(const security::RequestContext& context,
                                                         protocol::ElectLeadersRequest request);
  io::Task<protocol::AlterPartitionReassignmentsResponse> alter_partition_reassignments(
      const security::RequestContext& context, protocol::AlterPartitionReassignmentsRequest request);
  io::Task<protocol::ListPartitionReassignmentsResponse> list_partition_reassignments(
      const security::RequestContext& context, protocol::ListPartitionReassignmentsRequest request);

  // ---- Cluster. (DescribeCluster is a pure function over the image: cluster.h.)
  io::Task<protocol::UpdateFeaturesResponse> update_features(const security::RequestContext& context,
                                                             protocol::UpdateFeaturesRequest request);
  io::Task<protocol::DescribeQuorumResponse> describe_quorum(const security::RequestContext& context,
                                                             protocol::DescribeQuorumRequest request);

 private:
  bool raft_leads() const;

  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::controller
