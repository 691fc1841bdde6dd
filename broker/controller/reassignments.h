// Partition reassignments: AlterPartitionReassignments and ListPartitionReassignments. Pure.
//
// Served: the replicas a partition has already, in any order, and cancelling. Replicas that would have to move to other
// brokers are refused (INVALID_REPLICA_ASSIGNMENT) until replication is served.
#pragma once

#include "broker/controller/compute.h"
#include "protocol/messages/alter_partition_reassignments_request.h"
#include "protocol/messages/alter_partition_reassignments_response.h"
#include "protocol/messages/list_partition_reassignments_request.h"
#include "protocol/messages/list_partition_reassignments_response.h"

namespace klamm::controller {

Decision<protocol::AlterPartitionReassignmentsResponse> alter_partition_reassignments(
    const Compute& compute, const protocol::AlterPartitionReassignmentsRequest& request);
Decision<protocol::ListPartitionReassignmentsResponse> list_partition_reassignments(
    const Compute& compute, const protocol::ListPartitionReassignmentsRequest& request);

}  // namespace klamm::controller
