// What the metadata APIs say about topics: shared by Metadata and DescribeTopicPartitions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/metadata/image.h"
#include "protocol/error.h"

namespace klamm::handler {

// What everybody may do where no authorizer says otherwise, as the bits of AclOperation's numbers: all that there is to
// do with a topic (READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS) or with the cluster
// (CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE).
constexpr std::int32_t kTopicOperations = 0x0df8;
constexpr std::int32_t kClusterOperations = 0x1fa0;

// A partition as clients on one listener see it.
struct PartitionView {
  protocol::ErrorCode error = protocol::ErrorCode::none;
  std::int32_t index = 0;
  std::int32_t leader = -1;
  std::int32_t leader_epoch = -1;
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> isr;
  std::vector<std::int32_t> offline;
  std::vector<std::int32_t> elr;
  std::vector<std::int32_t> last_known_elr;
};

// LEADER_NOT_AVAILABLE without a leader that is alive, LISTENER_NOT_FOUND if the leader lacks the listener.
PartitionView view_partition(const metadata::MetadataImage& image, const metadata::PartitionRegistration& partition,
                             std::int32_t index, std::string_view listener);
// The logs of the coordinators.
constexpr std::string_view kGroupTopic = "__consumer_offsets";
constexpr std::string_view kTransactionTopic = "__transaction_state";
constexpr std::string_view kShareTopic = "__share_group_state";
bool is_internal_topic(std::string_view name);

}  // namespace klamm::handler
