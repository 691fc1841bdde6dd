#include "broker/controller/brokers.h"

#include <set>

#include "broker/controller/partitions.h"
#include "broker/controller/producer_ids.h"
#include "broker/controller/topics.h"
#include "lab.h"

namespace klamm::controller {
namespace {

class BrokerLab : public Lab {
 public:
  using Lab::Lab;

  protocol::BrokerRegistrationRequest registration(std::int32_t id, std::uint64_t incarnation) {
    protocol::BrokerRegistrationRequest request;
    request.broker_id = id;
    request.cluster_id = "cluster";
    request.incarnation_id = Uuid{5, incarnation};
    request.rack = std::nullopt;
    auto& listener = request.listeners.emplace_back();
    listener.name = "PLAINTEXT";
    listener.host = "localhost";
    listener.port = 9092;
    for (const auto& [name, range] : metadata::supported_features()) {
      auto& feature = request.features.emplace_back();
      feature.name = name;
      feature.min_supported_version = range.min;
      feature.max_supported_version = range.max;
    }
    request.log_dirs = {Uuid{300, static_cast<std::uint64_t>(id)}};
    return request;
  }
  protocol::BrokerRegistrationResponse register_now(const protocol::BrokerRegistrationRequest& request) {
    auto decision = register_broker(view(), request);
    if (!decision.records.empty()) sessions[request.broker_id] = {.last_contact = now};
    return take(std::move(decision));
  }
  ErrorCode register_code(const protocol::BrokerRegistrationRequest& request) {
    return code(register_now(request).error_code);
  }

  protocol::BrokerHeartbeatResponse beat(std::int32_t id, bool want_fence, bool want_shut_down = false,
                                         std::optional<std::int64_t> metadata_offset = std::nullopt,
                                         std::optional<std::vector<Uuid>> cordoned = std::nullopt,
                                         std::vector<Uuid> offline = {}) {
    protocol::BrokerHeartbeatRequest request;
    request.broker_id = id;
    request.broker_epoch = epoch_of(id);
    request.current_metadata_offset = metadata_offset.value_or(offset - 1);
    request.want_fence = want_fence;
    request.want_shut_down = want_shut_down;
    request.cordoned_log_dirs = std::move(cordoned);
    request.offline_log_dirs = std::move(offline);
    HeartbeatDecision decision = broker_heartbeat(view(), request);
    if (decision.touch) {
      sessions[id].last_contact = now;
      sessions[id].metadata_offset = request.current_metadata_offset;
      sessions[id].heard = true;
      if (decision.begins_controlled_shutdown)
        sessions[id].controlled_shutdown_offset = offset + static_cast<std::int64_t>(decision.records.size()) - 1;
    }
    return take(static_cast<Decision<protocol::BrokerHeartbeatResponse>&&>(std::move(decision)));
  }

  void create(std::string name, std::vector<std::vector<std::int32_t>> assignments) {
    protocol::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = std::move(name);
    topic.num_partitions = -1;
    topic.replication_factor = -1;
    for (std::size_t index = 0; index < assignments.size(); ++index) {
      auto& assignment = topic.assignments.emplace_back();
      assignment.partition_index = static_cast<std::int32_t>(index);
      assignment.broker_ids = assignments[index];
    }
    REQUIRE(code(take(create_topics(view(), request)).topics.at(0).error_code) == ErrorCode::none);
  }
};

TEST_CASE("a broker registers fenced, and its epoch is the offset of its record") {
  BrokerLab lab;
  const std::int64_t offset = lab.offset;
  const auto response = lab.register_now(lab.registration(1, 1));
  CHECK(code(response.error_code) == ErrorCode::none);
  CHECK(response.broker_epoch == offset);
  const BrokerRegistration& broker = *lab.image->cluster.broker(1);
  CHECK(broker.fenced);
  CHECK(broker.epoch == offset);
  CHECK_FALSE(broker.cordoned_directories.has_value());
  CHECK(broker.listener("PLAINTEXT")->port == 9092);
}

TEST_CASE("the same incarnation again keeps epoch and state; a new one waits until the old one's session is over") {
  BrokerLab lab;
  lab.register_now(lab.registration(1, 1));
  lab.beat(1, false);
  const std::int64_t epoch = lab.epoch_of(1);
  CHECK(lab.register_now(lab.registration(1, 1)).broker_epoch == epoch);
  CHECK_FALSE(lab.image->cluster.broker(1)->fenced);
  CHECK(lab.register_code(lab.registration(1, 2)) == ErrorCode::duplicate_broker_registration);
  lab.now = lab.now + 9s;
  CHECK(lab.register_code(lab.registration(1, 2)) == ErrorCode::none);
  CHECK(lab.image->cluster.broker(1)->fenced);
  CHECK(lab.epoch_of(1) > epoch);
}

TEST_CASE("a node's own broker from before a restart does not hold up the new one") {
  BrokerLab lab;
  lab.settings.node_id = 1;
  lab.register_now(lab.registration(1, 1));
  lab.beat(1, false);
  lab.sessions[1] = {.last_contact = lab.now};  // a new controller that presumes it alive
  CHECK(lab.register_code(lab.registration(1, 2)) == ErrorCode::none);
  lab.beat(1, false);
  CHECK(lab.register_code(lab.registration(1, 3)) == ErrorCode::duplicate_broker_registration);
}

TEST_CASE("who registered and never sent a heartbeat holds nobody up") {
  BrokerLab lab;
  lab.register_now(lab.registration(1, 1));
  CHECK(lab.register_code(lab.registration(1, 2)) == ErrorCode::none);
  lab.beat(1, true);  // fenced still, but running
  CHECK(lab.register_code(lab.registration(1, 3)) == ErrorCode::duplicate_broker_registration);
}

TEST_CASE("every fault of a registration has its code") {
  BrokerLab lab;
  lab.add_broker(9);
  auto request = lab.registration(1, 1);
  request.cluster_id = "other";
  CHECK(lab.register_code(request) == ErrorCode::inconsistent_cluster_id);
  request = lab.registration(1, 1);
  request.log_dirs.clear();
  CHECK(lab.register_code(request) == ErrorCode::invalid_registration);
  request.log_dirs = {Uuid{3, 3}, Uuid{3, 3}};
  CHECK(lab.register_code(request) == ErrorCode::invalid_registration);
  request.log_dirs = {Uuid{0, 5}};
  CHECK(lab.register_code(request) == ErrorCode::invalid_registration);
  request.log_dirs = {Uuid{2000, 9}};
  CHECK(lab.register_code(request) == ErrorCode::invalid_registration);
  request = lab.registration(1, 1);
  std::erase_if(request.features, [](const auto& feature) { return feature.name == "metadata.version"; });
  CHECK(lab.register_code(request) == ErrorCode::invalid_registration);
  request = lab.registration(1, 1);
  std::erase_if(request.features, [](const auto& feature) { return feature.name == "transaction.version"; });
  CHECK(lab.register_code(request) == ErrorCode::unsupported_version);
  request = lab.registration(1, 1);
  for (auto& feature : request.features) {
    if (feature.name == "metadata.version") feature.max_supported_version = 29;
  }
  CHECK(lab.register_code(request) == ErrorCode::unsupported_version);
  request = lab.registration(1, 1);
  std::erase_if(request.features, [](const auto& feature) { return feature.name == "kraft.version"; });
  CHECK(lab.register_code(request) == ErrorCode::none);  // the quorum is static: its version is 0
  request.is_migrating_zk_broker = true;
  CHECK(lab.register_code(request) == ErrorCode::broker_id_not_registered);
}

TEST_CASE("a broker is unfenced once it has replayed its own registration") {
  BrokerLab lab;
  lab.register_now(lab.registration(1, 1));
  const std::int64_t epoch = lab.epoch_of(1);
  auto response = lab.beat(1, false, false, epoch - 1);
  CHECK_FALSE(response.is_caught_up);
  CHECK(response.is_fenced);
  response = lab.beat(1, true, false, epoch);
  CHECK(response.is_caught_up);
  CHECK(response.is_fenced);
  response = lab.beat(1, false, false, epoch);
  CHECK_FALSE(response.is_fenced);
  CHECK_FALSE(lab.image->cluster.broker(1)->fenced);
}

TEST_CASE("heartbeats with another epoch or of nobody are stale") {
  BrokerLab lab;
  lab.register_now(lab.registration(1, 1));
  protocol::BrokerHeartbeatRequest request;
  request.broker_id = 1;
  request.broker_epoch = lab.epoch_of(1) + 1;
  CHECK(code(broker_heartbeat(lab.view(), request).response.error_code) == ErrorCode::stale_broker_epoch);
  request.broker_id = 2;
  CHECK(code(broker_heartbeat(lab.view(), request).response.error_code) == ErrorCode::stale_broker_epoch);
}

TEST_CASE("cordoned directories are written when they differ from what is known, in version 3") {
  BrokerLab lab;
  lab.register_now(lab.registration(1, 1));
  std::int64_t before = lab.offset;
  lab.beat(1, true);
  CHECK(lab.offset == before);
  lab.beat(1, true, false, std::nullopt, std::vector<Uuid>());
  CHECK(lab.offset == before + 1);
  CHECK(lab.image->cluster.broker(1)->cordoned_directories == std::vector<Uuid>());
  before = lab.offset;
  lab.beat(1, true, false, std::nullopt, std::vector<Uuid>());
  CHECK(lab.offset == before);
}

TEST_CASE("a broker without leaderships may stop at once, and asking again writes another fence") {
  BrokerLab lab;
  lab.add_broker(2);
  lab.register_now(lab.registration(1, 1));
  lab.beat(1, false);
  auto response = lab.beat(1, false, true);
  CHECK(response.is_fenced);
  CHECK(response.should_shut_down);
  const std::int64_t before = lab.offset;
  CHECK(lab.beat(1, false, true).should_shut_down);
  CHECK(lab.offset == before + 1);
}

TEST_CASE("a controlled shutdown moves leaderships away first, and waits until the others know") {
  BrokerLab lab;
  lab.add_broker(1);
  lab.add_broker(2);
  lab.create("a", {{1, 2}, {2, 1}});
  lab.beat(2, false);
  auto response = lab.beat(1, false, true);
  CHECK_FALSE(response.is_fenced);
  CHECK_FALSE(response.should_shut_down);
  CHECK(lab.image->cluster.broker(1)->in_controlled_shutdown);
  CHECK(lab.partition("a", 0).leader == 2);
  CHECK(lab.partition("a", 0).leader_epoch == 1);
  CHECK(lab.partition("a", 1).leader_epoch == 0);
  CHECK(lab.partition("a", 1).isr == std::vector<std::int32_t>{2});
  CHECK_FALSE(lab.beat(1, false, true).should_shut_down);  // broker 2 has not seen it
  lab.beat(2, false);
  response = lab.beat(1, false, true);
  CHECK(response.should_shut_down);
  CHECK(lab.image->cluster.broker(1)->fenced);
}

TEST_CASE("the only replica's broker can stop too: with ELR it stays eligible and leads again when it is back") {
  BrokerLab lab;
  lab.add_broker(1);
  lab.create("a", {{1}});
  lab.beat(1, false, true);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").isr.empty());
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{1});
  CHECK(lab.beat(1, false, true).should_shut_down);
  const std::int64_t old_epoch = lab.epoch_of(1);
  lab.now = lab.now + 20s;
  auto again = lab.registration(1, 2);
  again.log_dirs = {Uuid{2000, 1}};
  again.previous_broker_epoch = old_epoch;
  REQUIRE(lab.register_code(again) == ErrorCode::none);
  lab.beat(1, false);
  CHECK(lab.partition("a").leader == 1);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{1});
  CHECK(lab.partition("a").elr.empty());
  CHECK(lab.partition("a").recovery_state == metadata::LeaderRecoveryState::recovered);
}

TEST_CASE("a broker that stopped uncleanly leads its only replica again, as the last known leader, in recovery") {
  BrokerLab lab;
  lab.add_broker(1);
  lab.create("a", {{1}});
  lab.now = lab.now + 20s;
  auto again = lab.registration(1, 2);
  again.log_dirs = {Uuid{2000, 1}};
  again.previous_broker_epoch = -1;
  REQUIRE(lab.register_code(again) == ErrorCode::none);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").elr.empty());
  CHECK(lab.partition("a").last_known_elr == std::vector<std::int32_t>{1});
  lab.beat(1, false);
  CHECK(lab.partition("a").leader == 1);
  CHECK(lab.partition("a").recovery_state == metadata::LeaderRecoveryState::recovering);
}

TEST_CASE("the only replica leads again also if its session ran out before its unclean stop became known") {
  BrokerLab lab;
  lab.add_broker(1);
  lab.create("a", {{1}});
  lab.now = lab.now + 20s;
  REQUIRE(expired_broker(lab.view()) == 1);
  Records records;
  fence_broker(lab.view(), 1, records);
  lab.apply(records);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{1});
  auto again = lab.registration(1, 2);
  again.log_dirs = {Uuid{2000, 1}};
  again.previous_broker_epoch = -1;
  REQUIRE(lab.register_code(again) == ErrorCode::none);
  CHECK(lab.partition("a").elr.empty());
  CHECK(lab.partition("a").last_known_elr == std::vector<std::int32_t>{1});
  lab.beat(1, false);
  CHECK(lab.partition("a").leader == 1);
  CHECK(lab.partition("a").last_known_elr.empty());
}

// Three brokers with one replica each, and what befalls them.
class DiskLab : public BrokerLab {
 public:
  DiskLab() {
    for (const std::int32_t id : {1, 2, 3}) add_broker(id);
    create("a", {{1, 2, 3}});
    apply({metadata::config_record({ConfigResourceType::topic, "a"}, "min.insync.replicas", "2")});
  }
  void fence(std::int32_t id) {
    Records records;
    fence_broker(view(), id, records);
    apply(records);
    now = now + 20s;
  }
  // Comes back, with its disk or another one, and is ready to serve.
  void come_back(std::int32_t id, const Uuid& directory, std::int64_t previous_epoch = -1) {
    auto request = registration(id, ++incarnations_);
    request.log_dirs = {directory};
    request.previous_broker_epoch = previous_epoch;
    REQUIRE(register_code(request) == ErrorCode::none);
    beat(id, false);
    if (directory != old_disk(id)) assign(id, directory);
  }
  void assign(std::int32_t id, const Uuid& directory) {
    protocol::AssignReplicasToDirsRequest request;
    request.broker_id = id;
    request.broker_epoch = epoch_of(id);
    auto& asked = request.directories.emplace_back();
    asked.id = directory;
    auto& topic = asked.topics.emplace_back();
    topic.topic_id = image->topics.find("a")->id;
    topic.partitions.emplace_back().partition_index = 0;
    take(assign_replicas_to_dirs(view(), request));
  }
  static Uuid old_disk(std::int32_t id) { return Uuid{2000, static_cast<std::uint64_t>(id)}; }
  static Uuid new_disk(std::int32_t id) { return Uuid{3000, static_cast<std::uint64_t>(id)}; }

 private:
  std::uint64_t incarnations_ = 1;
};

TEST_CASE("the last leader's disk was replaced: one that was eligible until its unclean stop leads in its place") {
  DiskLab lab;
  lab.fence(3);
  lab.fence(1);
  lab.fence(2);
  REQUIRE(lab.partition("a").elr == std::vector<std::int32_t>{1, 2});
  lab.come_back(3, DiskLab::old_disk(3));  // it may lack what the others have acknowledged without it
  lab.come_back(1, DiskLab::old_disk(1));
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").last_known_elr == std::vector<std::int32_t>{2, 1});
  lab.come_back(2, DiskLab::new_disk(2));
  CHECK(lab.partition("a").leader == 1);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{1});
  CHECK(lab.partition("a").recovery_state == metadata::LeaderRecoveryState::recovering);
}

TEST_CASE("who was eligible waits for the last leader, who has its disk") {
  DiskLab lab;
  lab.fence(3);
  lab.fence(1);
  lab.fence(2);
  lab.come_back(1, DiskLab::old_disk(1));
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  lab.come_back(2, DiskLab::old_disk(2));
  CHECK(lab.partition("a").leader == 2);
  CHECK(lab.partition("a").last_known_elr == std::vector<std::int32_t>{1});  // until the ISR is large enough
}

TEST_CASE("an operator's unclean election takes one that was eligible before one that is known to lack records") {
  DiskLab lab;
  lab.fence(1);
  lab.fence(2);
  lab.fence(3);
  lab.come_back(1, DiskLab::old_disk(1));
  lab.come_back(2, DiskLab::old_disk(2));
  REQUIRE(lab.partition("a").last_known_elr == std::vector<std::int32_t>{3, 2});
  protocol::ElectLeadersRequest request;
  request.election_type = 1;
  request.topic_partitions = std::nullopt;
  lab.take(elect_leaders(lab.view(), request, 2));
  CHECK(lab.partition("a").leader == 2);
}

TEST_CASE("a leader that was eligible before remembers who was, as long as the ISR is too small") {
  DiskLab lab;
  lab.fence(1);
  lab.fence(2);
  lab.come_back(2, DiskLab::old_disk(2));
  CHECK(lab.partition("a").leader == 3);
  CHECK(lab.partition("a").last_known_elr == std::vector<std::int32_t>{2});
  lab.fence(3);
  lab.come_back(3, DiskLab::new_disk(3));
  CHECK(lab.partition("a").leader == 2);
}

TEST_CASE("nobody leads where a replaced disk had the only replica in sync, unless there is no other replica") {
  DiskLab lab;
  lab.apply({metadata::config_record({ConfigResourceType::topic, "a"}, "min.insync.replicas", "1")});
  lab.fence(1);
  lab.fence(2);
  lab.fence(3);
  lab.come_back(1, DiskLab::old_disk(1));
  lab.come_back(3, DiskLab::new_disk(3));
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").last_known_elr.empty());

  BrokerLab alone;
  alone.add_broker(1);
  alone.create("a", {{1}});
  alone.now = alone.now + 20s;
  REQUIRE(alone.register_code(alone.registration(1, 2)) == ErrorCode::none);
  alone.beat(1, false);
  CHECK(alone.partition("a").leader == metadata::kNoLeader);
  protocol::AssignReplicasToDirsRequest request;
  request.broker_id = 1;
  request.broker_epoch = alone.epoch_of(1);
  auto& asked = request.directories.emplace_back();
  asked.id = alone.image->cluster.broker(1)->directories.front();
  auto& topic = asked.topics.emplace_back();
  topic.topic_id = alone.image->topics.find("a")->id;
  topic.partitions.emplace_back().partition_index = 0;
  alone.take(assign_replicas_to_dirs(alone.view(), request));
  CHECK(alone.partition("a").leader == 1);
}

TEST_CASE("who stopped in order and comes back without the directory of a replica is not eligible for it") {
  DiskLab lab;
  lab.fence(1);
  const std::int64_t epoch = lab.epoch_of(2);
  lab.fence(2);
  lab.fence(3);
  REQUIRE(lab.partition("a").elr == std::vector<std::int32_t>{2, 3});
  lab.come_back(2, DiskLab::new_disk(2), epoch);
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{3});
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
}

TEST_CASE("who was unregistered while it was eligible and registers anew is not eligible") {
  DiskLab lab;
  lab.fence(1);
  lab.fence(2);
  lab.fence(3);
  protocol::UnregisterBrokerRequest request;
  request.broker_id = 2;
  REQUIRE(code(lab.take(unregister_broker(lab.view(), request)).error_code) == ErrorCode::none);
  lab.come_back(2, DiskLab::new_disk(2));
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").elr == std::vector<std::int32_t>{3});
}

TEST_CASE("without ELR the last member stays in the ISR and leads again when it is back") {
  BrokerLab lab(false);
  lab.add_broker(1);
  lab.create("a", {{1}});
  lab.now = lab.now + 20s;
  auto again = lab.registration(1, 2);
  again.log_dirs = {Uuid{2000, 1}};
  REQUIRE(lab.register_code(again) == ErrorCode::none);
  CHECK(lab.partition("a").leader == metadata::kNoLeader);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{1});
  lab.beat(1, false);
  CHECK(lab.partition("a").leader == 1);
  CHECK(lab.partition("a").recovery_state == metadata::LeaderRecoveryState::recovered);
}

TEST_CASE("a silent broker is fenced when its session has run out") {
  BrokerLab lab;
  lab.add_broker(1);
  lab.add_broker(2);
  lab.create("a", {{1, 2}});
  CHECK_FALSE(expired_broker(lab.view()).has_value());
  CHECK(next_expiry(lab.view()) == lab.now + 9s);
  lab.now = lab.now + 5s;
  lab.beat(2, false);
  lab.now = lab.now + 4s;
  REQUIRE(expired_broker(lab.view()) == 1);
  Records records;
  fence_broker(lab.view(), 1, records);
  lab.apply(records);
  CHECK(lab.image->cluster.broker(1)->fenced);
  CHECK(lab.partition("a").leader == 2);
  CHECK(lab.partition("a").isr == std::vector<std::int32_t>{2});
  CHECK_FALSE(expired_broker(lab.view()).has_value());
}

TEST_CASE("a failed directory takes its replicas out of leadership") {
  BrokerLab lab;
  lab.add_broker(2);
  auto request = lab.registration(1, 1);
  request.log_dirs = {Uuid{300, 1}, Uuid{300, 2}};
  lab.register_now(request);
  lab.beat(1, false);
  lab.create("a", {{1, 2}});
  CHECK(lab.partition("a").directories[0] == metadata::kUnassignedDirectory);
  protocol::AssignReplicasToDirsRequest assign;
  assign.broker_id = 1;
  assign.broker_epoch = lab.epoch_of(1);
  auto& directory = assign.directories.emplace_back();
  directory.id = Uuid{300, 2};
  auto& topic = directory.topics.emplace_back();
  topic.topic_id = lab.image->topics.find("a")->id;
  topic.partitions.emplace_back().partition_index = 0;
  topic.partitions.emplace_back().partition_index = 7;
  const auto assigned = lab.take(assign_replicas_to_dirs(lab.view(), assign));
  CHECK(code(assigned.directories[0].topics[0].partitions[0].error_code) == ErrorCode::none);
  CHECK(code(assigned.directories[0].topics[0].partitions[1].error_code) == ErrorCode::unknown_topic_or_partition);
  CHECK(lab.partition("a").directories[0] == Uuid{300, 2});
  lab.beat(1, false, false, std::nullopt, std::nullopt, {Uuid{300, 2}});
  CHECK(lab.image->cluster.broker(1)->directories == std::vector<Uuid>{Uuid{300, 1}});
  CHECK(lab.partition("a").leader == 2);
  CHECK_FALSE(lab.image->cluster.broker(1)->fenced);
}

TEST_CASE("an unregistered broker is gone from the cluster and from its partitions") {
  BrokerLab lab;
  lab.add_broker(1);
  lab.add_broker(2);
  lab.create("a", {{1, 2}});
  protocol::UnregisterBrokerRequest request;
  request.broker_id = 1;
  CHECK(code(lab.take(unregister_broker(lab.view(), request)).error_code) == ErrorCode::none);
  CHECK(lab.image->cluster.broker(1) == nullptr);
  CHECK(lab.partition("a").leader == 2);
  CHECK(code(unregister_broker(lab.view(), request).response.error_code) == ErrorCode::broker_id_not_registered);
}

TEST_CASE("producer ids come in blocks of a thousand, to registered brokers only") {
  BrokerLab lab;
  lab.add_broker(1);
  protocol::AllocateProducerIdsRequest request;
  request.broker_id = 1;
  request.broker_epoch = lab.epoch_of(1);
  for (std::int64_t expected : {0, 1000, 2000}) {
    const auto response = lab.take(allocate_producer_ids(lab.view(), request));
    CHECK(response.producer_id_start == expected);
    CHECK(response.producer_id_len == 1000);
  }
  request.broker_epoch = 0;
  CHECK(code(allocate_producer_ids(lab.view(), request).response.error_code) == ErrorCode::stale_broker_epoch);
}

TEST_CASE("a controller's registration is written once") {
  BrokerLab lab;
  protocol::ControllerRegistrationRequest request;
  request.controller_id = 100;
  request.incarnation_id = Uuid{8, 8};
  const std::int64_t before = lab.offset;
  lab.take(register_controller(lab.view(), request));
  lab.take(register_controller(lab.view(), request));
  CHECK(lab.offset == before + 1);
  CHECK(lab.image->cluster.controllers.contains(100));
}

}  // namespace
}  // namespace klamm::controller
