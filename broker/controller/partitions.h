// Leaders and ISRs: what leaders ask for (AlterPartition), what operators ask for (ElectLeaders), and what follows when
// a broker or one of its directories comes or goes. Pure.
#pragma once

#include <optional>
#include <vector>

#include "broker/controller/compute.h"
#include "protocol/messages/alter_partition_request.h"
#include "protocol/messages/alter_partition_response.h"
#include "protocol/messages/assign_replicas_to_dirs_request.h"
#include "protocol/messages/assign_replicas_to_dirs_response.h"
#include "protocol/messages/elect_leaders_request.h"
#include "protocol/messages/elect_leaders_response.h"

namespace klamm::controller {

Decision<protocol::AlterPartitionResponse> alter_partition(const Compute& compute,
                                                           const protocol::AlterPartitionRequest& request,
                                                           std::int16_t api_version);
Decision<protocol::ElectLeadersResponse> elect_leaders(const Compute& compute,
                                                       const protocol::ElectLeadersRequest& request,
                                                       std::int16_t api_version);
Decision<protocol::AssignReplicasToDirsResponse> assign_replicas_to_dirs(
    const Compute& compute, const protocol::AssignReplicasToDirsRequest& request);

// A change in who is alive, for update_leaders(). Brokers not named are as the image says.
struct BrokerShift {
  std::optional<std::int32_t> leaving;   // fenced, shutting down or unregistered: out of ISRs and leaderships
  std::optional<std::int32_t> arriving;  // unfenced: leads leaderless partitions that it can
  bool unclean_stop = false;             // of the leaving one: out of the ELRs too
  // The leaving one has registered anew with these directories: a replica in another one has stopped uncleanly.
  std::optional<std::vector<Uuid>> directories;
  // Directories of `leaving_directories_of` that went offline.
  std::optional<std::int32_t> leaving_directories_of;
  std::vector<Uuid> offline_directories;
};
// The partition changes that follow; appended to `records`.
void update_leaders(const Compute& compute, const BrokerShift& shift, Records& records);

// True if some partition is led by the broker.
bool has_leaderships(const MetadataImage& image, std::int32_t broker);

// Moves leadership back to first replicas: the changes for at most `most` partitions whose leader is another one though
// the first replica may lead.
void balance_leaders(const Compute& compute, std::size_t most, Records& records);
// Elects for leaderless partitions where unclean election is enabled, at most `most`.
void sweep_unclean_elections(const Compute& compute, std::size_t most, Records& records);

// Whether the broker may lead its replica of the partition: it is active and the replica's directory is online.
bool can_lead(const Compute& compute, const PartitionRegistration& partition, std::int32_t broker);

}  // namespace klamm::controller
