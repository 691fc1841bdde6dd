#include "broker/controller/partitions.h"

#include "broker/controller/brokers.h"
#include "broker/controller/cluster.h"
#include "broker/controller/reassignments.h"
#include "broker/controller/topics.h"
#include "lab.h"

namespace klamm::controller {
namespace {

class PartitionLab : public Lab {
 public:
  explicit PartitionLab(bool elr = true) : Lab(elr) {
    for (const std::int32_t id : {1, 2, 3}) add_broker(id);
    protocol::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "a";
    topic.num_partitions = -1;
    topic.replication_factor = -1;
    topic.assignments.emplace_back().broker_ids = {1, 2, 3};
    REQUIRE(code(take(create_topics(view(), request)).topics.at(0).error_code) == ErrorCode::none);
  }

  // As the leader would ask now.
  protocol::AlterPartitionRequest request_of(std::vector<std::int32_t> isr) {
    protocol::AlterPartitionRequest request;
    request.broker_id = partition("a").leader;
    request.broker_epoch = epoch_of(request.broker_id);
    auto& topic = request.topics.emplace_back();
    topic.topic_id = image->topics.find("a")->id;
    auto& asked = topic.partitions.emplace_back();
    asked.leader_epoch = partition("a").leader_epoch;
    asked.partition_epoch = partition("a").partition_epoch;
    for (const std::int32_t member : isr) {
      auto& state = asked.new_isr_with_epochs.emplace_back();
      state.broker_id = member;
      state.broker_epoch = image->cluster.broker(member) == nullptr ? -1 : epoch_of(member);
    }
    return request;
  }
  ErrorCode alter_code(const protocol::AlterPartitionRequest& request) {
    const auto response = take(alter_partition(view(), request, 3));
    if (response.error_code != 0) return code(response.error_code);
    return code(response.topics.at(0).partitions.at(0).error_code);
  }
  void fence(std::int32_t id) {
    Records records;
    fence_broker(view(), id, records);
    apply(records);
  }
  void unfence(std::int32_t id) {
    protocol::BrokerHeartbeatRequest request;
    request.broker_id = id;
    request.broker_epoch = epoch_of(id);
    request.current_metadata_offset = offset;
    apply(broker_heartbeat(view(), request).records);
  }
  ErrorCode elect_code(std::int8_t type, std::string topic = "a", std::int32_t index = 0) {
    protocol::ElectLeadersRequest request;
    request.election_type = type;
    request.topic_partitions.emplace();
    auto& asked = request.topic_partitions->emplace_back();
    asked.topic = std::move(topic);
    asked.partitions = {index};
    const auto response = take(elect_leaders(view(), request, 2));
    if (response.error_code != 0) return code(response.error_code);
    return code(response.replica_election_results.at(0).partition_result.at(0).error_code);
  }
};

TEST_CASE("an election of no known kind is refused as a whole and for each partition") {
  PartitionLab lab;
  protocol::ElectLeadersRequest request;
  request.election_type = 2;
  request.topic_partitions.emplace();
  auto& asked = request.topic_partitions->emplace_back();
  asked.topic = "a";
  asked.partitions = {0};
  const auto response = lab.take(elect_leaders(lab.view(), request, 2));
  CHECK(code(response.error_code) == ErrorCode::invalid_request);
  CHECK(code(response.replica_election_results.at(0).partition_result.at(0).error_code) == ErrorCode::invalid_request);
}

TEST_CASE("a leader shrinks and grows its ISR; the leader epoch stays, the partition epoch moves") {
  PartitionLab lab;
  CHECK(lab.alter_code(lab.request_of({1, 2})) == ErrorCode::none);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{1, 2});
  CHECK(lab.partition("a").leader_epoch == 0);
  CHECK(lab.partition("a").partition_epoch == 1);
  const auto response = lab.take(alter_partition(lab.view(), lab.request_of({1, 2, 3}), 3));
  const auto& result = response.topics[0].partitions[0];
  CHECK(result.partition_epoch == 2);
  CHECK(result.leader_id == 1);
  CHECK(result.isr == std::vector<std::int32_t>{1, 2, 3});
}

TEST_CASE("every fault of an ISR change has its code") {
  PartitionLab lab;
  lab.add_broker(4);
  lab.alter_code(lab.request_of({1, 2}));
  auto request = lab.request_of({1});
  request.broker_epoch = 0;
  CHECK(lab.alter_code(request) == ErrorCode::stale_broker_epoch);
  request = lab.request_of({1});
  request.topics[0].topic_id = Uuid{9, 9};
  CHECK(lab.alter_code(request) == ErrorCode::unknown_topic_id);
  request = lab.request_of({1});
  request.topics[0].partitions[0].partition_index = 5;
  CHECK(lab.alter_code(request) == ErrorCode::unknown_topic_or_partition);
  request = lab.request_of({1});
  request.topics[0].partitions[0].leader_epoch = 1;
  CHECK(lab.alter_code(request) == ErrorCode::not_controller);
  request = lab.request_of({1});
  request.topics[0].partitions[0].partition_epoch = 2;
  CHECK(lab.alter_code(request) == ErrorCode::not_controller);
  request.topics[0].partitions[0].partition_epoch = 0;
  CHECK(lab.alter_code(request) == ErrorCode::invalid_update_version);
  request = lab.request_of({2});
  request.broker_id = 2;
  request.broker_epoch = lab.epoch_of(2);
  CHECK(lab.alter_code(request) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(lab.request_of({})) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(lab.request_of({2})) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(lab.request_of({1, 1})) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(lab.request_of({1, 4})) == ErrorCode::invalid_request);
  request = lab.request_of({1, 2});
  request.topics[0].partitions[0].leader_recovery_state = 1;
  CHECK(lab.alter_code(request) == ErrorCode::invalid_request);
  request = lab.request_of({1});
  request.topics[0].partitions[0].leader_recovery_state = 1;
  CHECK(lab.alter_code(request) == ErrorCode::invalid_request);
  request = lab.request_of({1, 2, 3});
  request.topics[0].partitions[0].new_isr_with_epochs[2].broker_epoch = 1;
  CHECK(lab.alter_code(request) == ErrorCode::ineligible_replica);
  request.topics[0].partitions[0].new_isr_with_epochs[2].broker_epoch = -1;
  CHECK(lab.alter_code(request) == ErrorCode::none);
  lab.fence(1);
  request = lab.request_of({2, 3});
  request.topics[0].partitions[0].leader_epoch = 0;
  CHECK(lab.alter_code(request) == ErrorCode::fenced_leader_epoch);
  CHECK(lab.alter_code(lab.request_of({2, 3, 1})) == ErrorCode::ineligible_replica);
}

TEST_CASE("fencing moves leadership along the replicas; nobody left means no leader, and who comes back first leads") {
  PartitionLab lab(false);
  lab.fence(1);
  CHECK(lab.partition("a").leader == 2);
  lab.fence(3);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{2});
  lab.fence(2);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{2});
  lab.unfence(3);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);  // not in the ISR
  lab.unfence(2);
  CHECK(lab.partition("a").leader == 2);
}

TEST_CASE("below min.insync.replicas those who leave the ISR stay eligible, and are elected before data is given up") {
  PartitionLab lab;
  lab.apply({metadata::config_record({ConfigResourceType::topic, "a"}, "min.insync.replicas", "2")});
  lab.fence(1);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{2, 3});
  CHECK(lab.partition("a").elr.empty());
  lab.fence(2);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{3});
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{2});
  lab.fence(3);
  CHECK(lab.partition("a").isr.empty());
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{2, 3});
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  lab.unfence(1);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  lab.unfence(2);
  CHECK(lab.partition("a").leader == 2);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{2});
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{3});
}

TEST_CASE("unclean election takes any replica alive, and only where it is enabled or asked for") {
  PartitionLab lab(false);
  for (const std::int32_t id : {1, 3, 2}) lab.fence(id);
  lab.unfence(1);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.elect_code(0) == ErrorCode::preferred_leader_not_available);
  CHECK(lab.elect_code(1) == ErrorCode::none);
  CHECK(lab.partition("a").leader == 1);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{1});
  CHECK(lab.partition("a").recovery_state == metadata::LeaderRecoveryState::recovering);
  CHECK(lab.elect_code(1) == ErrorCode::election_not_needed);
  // The leader reports that it has recovered.
  CHECK(lab.alter_code(lab.request_of({1})) == ErrorCode::none);
  CHECK(lab.partition("a").recovery_state == metadata::LeaderRecoveryState::recovered);

  PartitionLab enabled(false);
  enabled.apply({metadata::config_record({ConfigResourceType::topic, "a"}, "unclean.leader.election.enable", "true")});
  for (const std::int32_t id : {1, 3, 2}) enabled.fence(id);
  enabled.unfence(3);
  CHECK(enabled.partition("a").leader == 3);
}

TEST_CASE("preferred elections go back to the first replica; every fault has its code") {
  PartitionLab lab;
  CHECK(lab.elect_code(0) == ErrorCode::election_not_needed);
  CHECK(lab.elect_code(0, "nope") == ErrorCode::unknown_topic_or_partition);
  CHECK(lab.elect_code(0, "a", 4) == ErrorCode::unknown_topic_or_partition);
  CHECK(lab.elect_code(5) == ErrorCode::invalid_request);
  lab.fence(1);
  CHECK(lab.elect_code(0) == ErrorCode::preferred_leader_not_available);
  lab.unfence(1);
  CHECK(lab.elect_code(0) == ErrorCode::preferred_leader_not_available);  // not in the ISR yet
  CHECK(lab.alter_code(lab.request_of({2, 3, 1})) == ErrorCode::none);
  Records records;
  balance_leaders(lab.view(), 1000, records);
  CHECK(records.size() == 1);
  CHECK(lab.elect_code(0) == ErrorCode::none);
  CHECK(lab.partition("a").leader == 1);
  protocol::ElectLeadersRequest all;
  all.topic_partitions = std::nullopt;
  CHECK(elect_leaders(lab.view(), all, 2).response.replica_election_results.empty());
}

TEST_CASE("reassignments: cancelling nothing, the same replicas, another order, and what is not served") {
  PartitionLab lab;
  lab.add_broker(4);
  const auto reassign = [&](std::optional<std::vector<std::int32_t>> replicas, std::string topic = "a",
                            std::int32_t index = 0) {
    protocol::AlterPartitionReassignmentsRequest request;
    auto& asked = request.topics.emplace_back();
    asked.name = std::move(topic);
    auto& partition = asked.partitions.emplace_back();
    partition.partition_index = index;
    partition.replicas = std::move(replicas);
    return code(
        lab.take(alter_partition_reassignments(lab.view(), request)).responses.at(0).partitions.at(0).error_code);
  };
  CHECK(reassign(std::nullopt) == ErrorCode::no_reassignment_in_progress);
  CHECK(reassign(std::vector<std::int32_t>{1, 2, 3}, "nope") == ErrorCode::unknown_topic_or_partition);
  CHECK(reassign(std::vector<std::int32_t>{1, 2, 3}, "a", 9) == ErrorCode::unknown_topic_or_partition);
  const std::int64_t before = lab.offset;
  CHECK(reassign(std::vector<std::int32_t>{1, 2, 3}) == ErrorCode::none);
  CHECK(lab.offset == before);
  CHECK(reassign(std::vector<std::int32_t>{}) == ErrorCode::invalid_replica_assignment);
  CHECK(reassign(std::vector<std::int32_t>{1, 1}) == ErrorCode::invalid_replica_assignment);
  CHECK(reassign(std::vector<std::int32_t>{9}) == ErrorCode::invalid_replica_assignment);
  CHECK(reassign(std::vector<std::int32_t>{1, 2, 4}) == ErrorCode::invalid_replica_assignment);
  CHECK(reassign(std::vector<std::int32_t>{3, 2, 1}) == ErrorCode::none);
  CHECK(lab.partition("a").replicas == std::vector<std::int32_t>{3, 2, 1});
  CHECK(lab.partition("a").directories == std::vector<Uuid>{Uuid{2000, 3}, Uuid{2000, 2}, Uuid{2000, 1}});
  CHECK(lab.partition("a").leader == 1);
  protocol::ListPartitionReassignmentsRequest list;
  list.topics = std::nullopt;
  CHECK(list_partition_reassignments(lab.view(), list).response.topics.empty());
}

TEST_CASE(
    "DescribeCluster shows alive brokers by listener, fenced ones when asked, and refuses the wrong kind of endpoint") {
  PartitionLab lab;
  lab.add_broker(9, false);
  const DescribeClusterContext context{.cluster_id = "cluster", .listener = "PLAINTEXT", .random = 5};
  protocol::DescribeClusterRequest request;
  auto response = describe_cluster(*lab.image, request, context, 2);
  CHECK(response.brokers.size() == 3);
  CHECK(response.cluster_id == "cluster");
  CHECK(response.controller_id >= 1);
  request.include_fenced_brokers = true;
  response = describe_cluster(*lab.image, request, context, 2);
  REQUIRE(response.brokers.size() == 4);
  CHECK(response.brokers[3].is_fenced);
  request.endpoint_type = 2;
  CHECK(code(describe_cluster(*lab.image, request, context, 1).error_code) == ErrorCode::mismatched_endpoint_type);
  request.endpoint_type = 3;
  CHECK(code(describe_cluster(*lab.image, request, context, 1).error_code) == ErrorCode::unsupported_endpoint_type);
}

}  // namespace
}  // namespace klamm::controller
