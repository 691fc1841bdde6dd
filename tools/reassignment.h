// What reassign-partitions reads, writes and computes, as Apache Kafka's tool does. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "klamm/admin_types.h"

namespace klamm::tools {

using Assignment = std::map<TopicPartition, std::vector<std::int32_t>>;
// Where a replica is to be: its directory.
using Directories = std::map<AlterReplicaLogDirs::Replica, std::string>;

// What a reassignment file wants.
struct ReassignmentPlan {
  std::vector<std::pair<TopicPartition, std::vector<std::int32_t>>> targets;  // in the order of the file
  Directories directories;                                                    // without "any"
};

// {"version":1,"partitions":[{"topic":"foo","partition":0,"replicas":[1,2],"log_dirs":["any","/d"]}]}. Errors have the
// sentence to print.
Result<ReassignmentPlan> parse_plan(std::string_view json);
// The same, refusing what cannot be executed: nothing to do, no replicas, anything twice.
Result<ReassignmentPlan> parse_plan_to_execute(std::string_view json);
// {"version":1,"topics":[{"topic":"foo"}]}
Result<std::vector<std::string>> parse_topics(std::string_view json);
// "0,1,2"
Result<std::vector<std::int32_t>> parse_brokers(std::string_view list);
// A reassignment file of it; "any" for a replica whose directory is not told.
std::string plan_json(const Assignment& assignment, const Directories& directories = {});

// Which brokers send a partition's records, and which receive them, while it is moved.
struct PartitionMove {
  std::set<std::int32_t> sources;
  std::set<std::int32_t> destinations;
};
using Moves = std::map<TopicPartition, PartitionMove>;
// Of what is under way already and what is proposed for partitions that now have `current` replicas.
Moves proposed_moves(const ListReassignments::Outcome& under_way, const Assignment& proposed,
                     const Assignment& current);
std::set<std::int32_t> moving_brokers(const Moves& moves);
// The values of leader. and follower.replication.throttled.replicas, by topic: "0:1,0:2".
std::map<std::string, std::string> leader_throttles(const Moves& moves);
std::map<std::string, std::string> follower_throttles(const Moves& moves);

}  // namespace klamm::tools
