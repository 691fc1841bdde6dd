// What the cluster looks like from outside: DescribeCluster and DescribeQuorum. Pure.
#pragma once

#include <string_view>

#include "broker/controller/compute.h"
#include "broker/raft/raft_node.h"
#include "protocol/messages/describe_cluster_request.h"
#include "protocol/messages/describe_cluster_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"

namespace klamm::controller {

// DescribeCluster as a broker or a controller answers it. `on_controller_listener`: the connection came in by one, so
// that controllers are what may be asked for. `listener`: whose addresses to show. `leader`: the quorum's leader, -1 if
// unknown. cluster_authorized_operations is left as it is by default.
struct DescribeClusterContext {
  std::string_view cluster_id;
  std::string_view listener;
  bool on_controller_listener = false;
  std::int32_t leader = -1;
  std::uint64_t random = 0;  // a broker names any alive broker as controller: clients must not rely on it
};
protocol::DescribeClusterResponse describe_cluster(const MetadataImage& image,
                                                   const protocol::DescribeClusterRequest& request,
                                                   const DescribeClusterContext& context, std::int16_t api_version);

protocol::DescribeQuorumResponse describe_quorum(const raft::QuorumInfo& quorum,
                                                 const protocol::DescribeQuorumRequest& request, bool leads,
                                                 std::int16_t api_version);

}  // namespace klamm::controller
