#include "tools/move_throttles.h"

#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/output.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kLeaderRate = "leader.replication.throttled.rate";
constexpr std::string_view kFollowerRate = "follower.replication.throttled.rate";
constexpr std::string_view kDirectoryRate = "replica.alter.log.dirs.io.max.bytes.per.second";
constexpr std::string_view kLeaderReplicas = "leader.replication.throttled.replicas";
constexpr std::string_view kFollowerReplicas = "follower.replication.throttled.replicas";

Result<void> alter_configs(blocking::Admin& admin, AlterConfigs request) {
  if (request.changes.empty()) return {};
  Result<AlterConfigs::Outcome> altered = admin.alter_configs(std::move(request));
  KLAMM_TRY(altered);
  for (const auto& [resource, result] : *altered) {
    if (result) continue;
    // As the broker said it, without what it was about.
    const std::string subject = (resource.type == ConfigResourceType::topic ? "topic " : "broker ") + resource.name;
    if (result.error().code().category() != protocol::kafka_category()) return fail(Error(result.error()));
    return fail(protocol::kafka_error(protocol::code_of(result.error()), reason_of(result.error(), subject)));
  }
  return {};
}

}  // namespace

Result<void> set_throttles(blocking::Admin& admin, const MoveRates& rates, const Moves& moves,
                           const ReassignmentPlan& plan) {
  if (rates.replication.value_or(-1) >= 0) {
    AlterConfigs topics;
    for (const auto& [topic, value] : leader_throttles(moves)) {
      topics.changes[{ConfigResourceType::topic, topic}].push_back(
          {std::string(kLeaderReplicas), AlterConfigOp::set, value});
    }
    for (const auto& [topic, value] : follower_throttles(moves)) {
      topics.changes[{ConfigResourceType::topic, topic}].push_back(
          {std::string(kFollowerReplicas), AlterConfigOp::set, value});
    }
    Result<void> altered = alter_configs(admin, std::move(topics));
    KLAMM_TRY(altered);
    AlterConfigs brokers;
    for (const std::int32_t broker : moving_brokers(moves)) {
      std::vector<AlterConfig>& changes = brokers.changes[{ConfigResourceType::broker, std::to_string(broker)}];
      for (const std::string_view key : {kLeaderRate, kFollowerRate})
        changes.push_back({std::string(key), AlterConfigOp::set, std::to_string(*rates.replication)});
    }
    altered = alter_configs(admin, std::move(brokers));
    KLAMM_TRY(altered);
    print("The inter-broker throttle limit was set to {} B/s\n", *rates.replication);
  }
  if (rates.directories.value_or(-1) >= 0) {
    AlterConfigs brokers;
    for (const auto& [replica, path] : plan.directories) {
      brokers.changes[{ConfigResourceType::broker, std::to_string(replica.broker)}] = {
          {std::string(kDirectoryRate), AlterConfigOp::set, std::to_string(*rates.directories)}};
    }
    Result<void> altered = alter_configs(admin, std::move(brokers));
    KLAMM_TRY(altered);
    print("The replica-alter-dir throttle limit was set to {} B/s\n", *rates.directories);
  }
  return {};
}

Result<void> clear_throttles(blocking::Admin& admin, const ReassignmentPlan& plan) {
  Result<DescribeCluster::Outcome> cluster = admin.describe_cluster({});
  KLAMM_TRY(cluster);
  std::set<std::int32_t> brokers;
  std::set<std::string> topics;
  for (const Node& node : cluster->nodes) brokers.insert(node.id);
  for (const auto& [partition, replicas] : plan.targets) {
    topics.insert(partition.topic);
    brokers.insert(replicas.begin(), replicas.end());
  }
  const std::vector<std::int32_t> ids = java_map_order(std::vector<std::int32_t>(brokers.begin(), brokers.end()));
  print("Clearing broker-level throttles on broker{} {}\n", ids.size() == 1 ? "" : "s", joined(ids, ","));
  AlterConfigs request;
  for (const std::int32_t id : ids) {
    std::vector<AlterConfig>& changes = request.changes[{ConfigResourceType::broker, std::to_string(id)}];
    for (const std::string_view key : {kLeaderRate, kFollowerRate, kDirectoryRate})
      changes.push_back({std::string(key), AlterConfigOp::remove, std::nullopt});
  }
  Result<void> cleared = alter_configs(admin, std::move(request));
  KLAMM_TRY(cleared);
  const std::vector<std::string> names = java_map_order(std::vector<std::string>(topics.begin(), topics.end()));
  print("Clearing topic-level throttles on topic{} {}\n", names.size() == 1 ? "" : "s", joined(names, ","));
  AlterConfigs of_topics;
  for (const std::string& name : names) {
    std::vector<AlterConfig>& changes = of_topics.changes[{ConfigResourceType::topic, name}];
    for (const std::string_view key : {kLeaderReplicas, kFollowerReplicas})
      changes.push_back({std::string(key), AlterConfigOp::remove, std::nullopt});
  }
  return alter_configs(admin, std::move(of_topics));
}

}  // namespace klamm::tools
