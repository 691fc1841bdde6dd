// Works out one PartitionChange record: a new ISR, a new leader, new replicas, and what follows from each for the
// others (KIP-966's eligible leader replicas, leader recovery). Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "broker/controller/compute.h"

namespace klamm::controller {

enum class Election {
  online,     // a leader from the ISR (or the ELR); keeps the one there is if it can go on
  preferred,  // the first replica, if it may lead
  unclean,    // any replica that is alive, if no other is left: data may be lost
};

class PartitionChangeBuilder {
 public:
  // `acceptable` says whether a broker is alive for leadership. `min_isr` is the topic's min.insync.replicas.
  PartitionChangeBuilder(const PartitionRegistration& partition, Uuid topic, std::int32_t index,
                         MetadataVersion version, bool elr_enabled, std::int32_t min_isr,
                         std::function<bool(std::int32_t broker)> acceptable);

  PartitionChangeBuilder& election(Election mode);
  PartitionChangeBuilder& isr(std::vector<std::int32_t> target);
  PartitionChangeBuilder& replicas(std::vector<std::int32_t> target);
  PartitionChangeBuilder& directories(std::vector<Uuid> target);
  PartitionChangeBuilder& recovery_state(metadata::LeaderRecoveryState target);
  // Brokers that stopped without warning: what they had may be lost, so that they leave the ELR too.
  PartitionChangeBuilder& unclean_shutdown(std::vector<std::int32_t> brokers);
  // Brokers whose replica began anew, since its disk was replaced: none of them is the last known leader.
  PartitionChangeBuilder& lost(std::vector<std::int32_t> brokers);

  // The record, or nothing if nothing changes.
  std::optional<Record> build();

 private:
  struct Choice {
    std::int32_t leader = metadata::kNoLeader;
    bool unclean = false;
  };
  bool may_lead(std::int32_t broker) const;
  bool in_target_isr(std::int32_t broker) const;
  bool in_target_elr(std::int32_t broker) const;
  Choice elect() const;
  std::optional<std::int32_t> first_online(std::size_t skip) const;
  bool can_elect_last_known_leader() const;
  void settle_elr();
  void settle_last_known();
  void apply_election(messages::PartitionChangeRecord& record);

  const PartitionRegistration& partition_;
  Uuid topic_;
  std::int32_t index_;
  MetadataVersion version_;
  bool elr_enabled_;
  std::int32_t min_isr_;
  std::function<bool(std::int32_t)> acceptable_;
  Election election_ = Election::online;
  std::vector<std::int32_t> isr_;
  std::vector<std::int32_t> replicas_;
  std::vector<std::int32_t> elr_;
  std::vector<std::int32_t> last_known_elr_;
  std::optional<std::vector<Uuid>> directories_;
  metadata::LeaderRecoveryState recovery_state_;
  std::vector<std::int32_t> unclean_shutdown_;
  std::vector<std::int32_t> lost_;
};

// The topic's settings in force.
std::int32_t min_insync_replicas(const Compute& compute, const std::string& topic);
bool unclean_election_enabled(const Compute& compute, const std::string& topic);

}  // namespace klamm::controller
