// The answers of a controller that could not do what was asked as a whole: not the leader, out of time, failed. One
// function a request, since each says it in its own place.
#pragma once

#include "broker/controller/compute.h"
#include "protocol/messages/add_raft_voter_request.h"
#include "protocol/messages/add_raft_voter_response.h"
#include "protocol/messages/allocate_producer_ids_request.h"
#include "protocol/messages/allocate_producer_ids_response.h"
#include "protocol/messages/alter_configs_request.h"
#include "protocol/messages/alter_configs_response.h"
#include "protocol/messages/alter_partition_reassignments_request.h"
#include "protocol/messages/alter_partition_reassignments_response.h"
#include "protocol/messages/alter_partition_request.h"
#include "protocol/messages/alter_partition_response.h"
#include "protocol/messages/assign_replicas_to_dirs_request.h"
#include "protocol/messages/assign_replicas_to_dirs_response.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_request.h"
#include "protocol/messages/broker_registration_response.h"
#include "protocol/messages/controller_registration_request.h"
#include "protocol/messages/controller_registration_response.h"
#include "protocol/messages/create_partitions_request.h"
#include "protocol/messages/create_partitions_response.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/delete_topics_request.h"
#include "protocol/messages/delete_topics_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"
#include "protocol/messages/elect_leaders_request.h"
#include "protocol/messages/elect_leaders_response.h"
#include "protocol/messages/incremental_alter_configs_request.h"
#include "protocol/messages/incremental_alter_configs_response.h"
#include "protocol/messages/list_partition_reassignments_request.h"
#include "protocol/messages/list_partition_reassignments_response.h"
#include "protocol/messages/remove_raft_voter_request.h"
#include "protocol/messages/remove_raft_voter_response.h"
#include "protocol/messages/unregister_broker_request.h"
#include "protocol/messages/unregister_broker_response.h"
#include "protocol/messages/update_features_request.h"
#include "protocol/messages/update_features_response.h"

namespace klamm::controller {

protocol::CreateTopicsResponse refuse(const protocol::CreateTopicsRequest& request, const Fault& fault);
protocol::DeleteTopicsResponse refuse(const protocol::DeleteTopicsRequest& request, const Fault& fault);
protocol::CreatePartitionsResponse refuse(const protocol::CreatePartitionsRequest& request, const Fault& fault);
protocol::IncrementalAlterConfigsResponse refuse(const protocol::IncrementalAlterConfigsRequest& request,
                                                 const Fault& fault);
protocol::AlterConfigsResponse refuse(const protocol::AlterConfigsRequest& request, const Fault& fault);
protocol::BrokerRegistrationResponse refuse(const protocol::BrokerRegistrationRequest& request, const Fault& fault);
protocol::BrokerHeartbeatResponse refuse(const protocol::BrokerHeartbeatRequest& request, const Fault& fault);
protocol::UnregisterBrokerResponse refuse(const protocol::UnregisterBrokerRequest& request, const Fault& fault);
protocol::ControllerRegistrationResponse refuse(const protocol::ControllerRegistrationRequest& request,
                                                const Fault& fault);
protocol::AllocateProducerIdsResponse refuse(const protocol::AllocateProducerIdsRequest& request, const Fault& fault);
protocol::AssignReplicasToDirsResponse refuse(const protocol::AssignReplicasToDirsRequest& request, const Fault& fault);
protocol::AlterPartitionResponse refuse(const protocol::AlterPartitionRequest& request, const Fault& fault);
protocol::ElectLeadersResponse refuse(const protocol::ElectLeadersRequest& request, const Fault& fault);
protocol::AlterPartitionReassignmentsResponse refuse(const protocol::AlterPartitionReassignmentsRequest& request,
                                                     const Fault& fault);
protocol::ListPartitionReassignmentsResponse refuse(const protocol::ListPartitionReassignmentsRequest& request,
                                                    const Fault& fault);
protocol::UpdateFeaturesResponse refuse(const protocol::UpdateFeaturesRequest& request, const Fault& fault);
protocol::AddRaftVoterResponse refuse(const protocol::AddRaftVoterRequest& request, const Fault& fault);
protocol::RemoveRaftVoterResponse refuse(const protocol::RemoveRaftVoterRequest& request, const Fault& fault);
protocol::DescribeQuorumResponse refuse(const protocol::DescribeQuorumRequest& request, const Fault& fault);

}  // namespace klamm::controller
