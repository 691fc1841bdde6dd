// Replication, one situation after the other.
#include "protocol/messages/delete_records_request.h"
#include "protocol/messages/delete_records_response.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"
#include "replication_lab.h"

namespace klamm::handler::testing {
namespace {

using protocol::ErrorCode;

const SettingsMap kQuick{{"replica.lag.time.max.ms", "2000"},
                         {"replica.fetch.backoff.ms", "200"},
                         {"replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector"}};

ErrorCode code_of(const Result<std::int64_t>& result) {
  return result ? ErrorCode::none : protocol::code_of(result.error());
}

protocol::FetchRequest fetch_request(std::int64_t offset, std::int32_t leader_epoch = -1) {
  protocol::FetchRequest request;
  request.max_wait_ms = 0;
  request.min_bytes = 0;
  request.max_bytes = 1 << 20;
  auto& topic = request.topics.emplace_back();
  topic.topic_id = kTopic;
  auto& partition = topic.partitions.emplace_back();
  partition.fetch_offset = offset;
  partition.current_leader_epoch = leader_epoch;
  partition.partition_max_bytes = 1 << 20;
  return request;
}

protocol::FetchRequest follower_request(std::int32_t id, std::int64_t broker_epoch, std::int64_t offset,
                                        std::int32_t leader_epoch = 0) {
  protocol::FetchRequest request = fetch_request(offset, leader_epoch);
  request.replica_state.replica_id = id;
  request.replica_state.replica_epoch = broker_epoch;
  return request;
}

const auto& only_partition(const protocol::FetchResponse& response) {
  REQUIRE(response.responses.size() == 1);
  REQUIRE(response.responses[0].partitions.size() == 1);
  return response.responses[0].partitions[0];
}

ErrorCode error_of(const auto& partition) { return protocol::error_code_from(partition.error_code); }

}  // namespace

TEST_CASE("what is acknowledged by all in-sync replicas is in all logs, which are the same") {
  Cluster cluster(1, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3});
  Client client(cluster);
  for (std::int64_t offset = 0; offset < 20; ++offset) {
    const Result<std::int64_t> produced = client.produce_now("value " + std::to_string(offset));
    REQUIRE_MESSAGE(produced.has_value(), why_of(produced));
    CHECK(*produced == offset);
    for (std::int32_t id = 1; id <= 3; ++id) CHECK(cluster.end_of(id) > offset);
  }
  CHECK(cluster.until([&] { return cluster.settled(); }));
  const std::string content = cluster.content(1);
  CHECK(content.size() > 1000);
  CHECK(cluster.content(2) == content);
  CHECK(cluster.content(3) == content);
}

TEST_CASE("a replica that cannot fetch leaves the ISR, and is in it again when it has caught up") {
  Cluster cluster(2, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3}, {{"min.insync.replicas", "2"}});
  Client client(cluster);
  client.must_produce("first");
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(3));
  const Result<std::int64_t> late = client.produce_now("waits for the third", -1, 30'000);
  CHECK(code_of(late) == ErrorCode::none);
  CHECK(cluster.controller().partition().isr == Ids{1, 2});
  CHECK(client.produce_now("does not wait", -1, 1000).has_value());
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(2));
  CHECK(code_of(client.produce_now("waits for nobody", -1, 100)) == ErrorCode::request_timed_out);
  REQUIRE(cluster.until([&] { return cluster.controller().partition().isr == Ids{1}; }));
  REQUIRE(cluster.until([&] { return (*cluster.broker(1).lease(0))->state().isr == Ids{1}; }));
  CHECK(code_of(client.produce_now("refused")) == ErrorCode::not_enough_replicas);
  CHECK(cluster.mark_of(1) == 3);  // what is on one replica only is not committed
  cluster.simulation().network().heal_all();
  CHECK(cluster.until([&] { return cluster.settled(); }));
  CHECK(cluster.end_of(1) == 4);
  CHECK(cluster.content(3) == cluster.content(1));
}

namespace {

// How long the third replica takes to get the 2 MB that it missed, with this of configurations of brokers.
Duration catch_up(std::uint64_t seed, const std::string& broker, const std::string& rate_key) {
  SettingsMap settings = kQuick;
  settings["replica.fetch.max.bytes"] = "100000";
  Cluster cluster(seed, 3, settings);
  cluster.create_topic(1, {1, 2, 3},
                       {{"min.insync.replicas", "2"},
                        {"leader.replication.throttled.replicas", "*"},
                        {"follower.replication.throttled.replicas", "*"}});
  Client client(cluster);
  client.must_produce("first");
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(3));
  for (int count = 0; count < 20; ++count) client.must_produce(std::string(100'000, 'x'), 1);
  REQUIRE(cluster.until([&] { return cluster.controller().partition().isr == Ids{1, 2}; }));
  if (!rate_key.empty()) {
    cluster.controller().append(
        {metadata::config_record({metadata::ConfigResourceType::broker, broker}, rate_key, "200000")});
  }
  cluster.simulation().network().heal_all();
  const Instant begin = cluster.simulation().now();
  REQUIRE(cluster.until([&] { return cluster.end_of(3) > 5; }));
  // Who is in sync is not held back.
  const Instant before = cluster.simulation().now();
  const Result<std::int64_t> produced = client.produce_now("for those in sync");
  REQUIRE_MESSAGE(produced.has_value(), why_of(produced));
  CHECK(cluster.simulation().now() - before < 1s);
  REQUIRE(cluster.until([&] { return cluster.end_of(3) == 22; }));
  const Duration took = cluster.simulation().now() - begin;
  CHECK(cluster.until([&] { return cluster.settled(); }));
  CHECK(cluster.content(3) == cluster.content(1));
  return took;
}

}  // namespace

TEST_CASE("a replica that catches up is throttled by its leader and by itself, one that is in sync is not") {
  CHECK(catch_up(31, "1", "") < 4s);
  // 2 MB at 200 KB/s, but for the first second's and the last fetch.
  const Duration by_leader = catch_up(31, "1", "leader.replication.throttled.rate");
  CHECK(by_leader > 8s);
  CHECK(by_leader < 20s);
  const Duration by_follower = catch_up(31, "3", "follower.replication.throttled.rate");
  CHECK(by_follower > 8s);
  CHECK(by_follower < 20s);
}

TEST_CASE("a leader that comes back cuts what only it has, and takes what the next leader has") {
  Cluster cluster(3, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3});
  Client client(cluster);
  client.must_produce("all have it");
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(2));
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(3));
  for (int count = 0; count < 5; ++count) client.must_produce("only the leader has it", 1);
  CHECK(cluster.end_of(1) == 6);
  cluster.controller().elect(0, 2);
  REQUIRE(cluster.until([&] { return (*cluster.broker(2).lease(0))->is_leader(); }));
  client.must_produce("of the next leader", 1);
  client.must_produce("of the next leader", 1);
  cluster.simulation().network().heal_all();
  CHECK(cluster.until([&] { return cluster.settled(); }));
  CHECK(cluster.end_of(1) == 3);
  CHECK(cluster.content(1) == cluster.content(2));
  CHECK(cluster.content(3) == cluster.content(2));
}

TEST_CASE("waiters for all replicas are told when leadership goes") {
  Cluster cluster(4, 2, kQuick);
  cluster.create_topic(1, {1, 2});
  Client client(cluster);
  client.must_produce("all have it");
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(2));
  std::optional<Result<std::int64_t>> result;
  auto produce = [&]() -> io::Task<void> {
    Result<std::int64_t> produced = co_await client.produce(0, "waits", -1, 60'000);
    result.emplace(std::move(produced));
  };
  client.shard().post([](void* run) { io::spawn_detached((*static_cast<decltype(produce)*>(run))()); }, &produce);
  REQUIRE(cluster.until([&] { return cluster.end_of(1) == 2; }));
  cluster.controller().elect(0, 2);
  REQUIRE(cluster.until([&] { return result.has_value(); }, 4s));
  CHECK(code_of(*result) == ErrorCode::not_leader_or_follower);
}

TEST_CASE("a replica that has lost everything begins at the leader's log start") {
  Cluster cluster(5, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3}, {{"segment.bytes", "1048576"}});
  Client client(cluster);
  for (int count = 0; count < 10; ++count) client.must_produce();
  cluster.crash(3, io::sim::Unsynced::lose_all);

  protocol::DeleteRecordsRequest deletion;
  deletion.timeout_ms = 5000;
  auto& topic = deletion.topics.emplace_back();
  topic.name = kTopicName;
  topic.partitions.emplace_back().offset = 7;
  const protocol::DeleteRecordsResponse deleted = client.ask(1, deletion);
  CHECK(error_of(deleted.topics[0].partitions[0]) == ErrorCode::none);
  CHECK(deleted.topics[0].partitions[0].low_watermark == 7);
  CHECK((*cluster.broker(2).lease(0))->log().log_start_offset() == 7);  // waited for

  cluster.restart(3);
  CHECK(cluster.until([&] { return cluster.settled(); }));
  CHECK((*cluster.broker(3).lease(0))->log().log_start_offset() == 7);
  CHECK(cluster.content(3) == cluster.content(1));
  client.must_produce("next");
  CHECK(cluster.end_of(3) == 11);
}

TEST_CASE("a deletion waits for a replica that is alive until its time is over") {
  Cluster cluster(6, 2, kQuick);
  cluster.create_topic(1, {1, 2});
  Client client(cluster);
  for (int count = 0; count < 5; ++count) client.must_produce();
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(2));
  protocol::DeleteRecordsRequest deletion;
  deletion.timeout_ms = 1000;
  auto& topic = deletion.topics.emplace_back();
  topic.name = kTopicName;
  topic.partitions.emplace_back().offset = 3;
  CHECK(error_of(client.ask(1, deletion).topics[0].partitions[0]) == ErrorCode::request_timed_out);
}

TEST_CASE("consumers read from a follower up to its high watermark, and are sent to the one in their rack") {
  Cluster cluster(7, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3});
  Client client(cluster);
  for (int count = 0; count < 5; ++count) client.must_produce();
  REQUIRE(cluster.until([&] { return cluster.settled(); }));

  protocol::FetchRequest request = fetch_request(0, 0);
  request.rack_id = "r2";
  protocol::FetchResponse answer = client.ask(1, request);
  CHECK(only_partition(answer).preferred_read_replica == 2);
  CHECK(only_partition(answer).records.empty());
  request.rack_id = "r1";
  CHECK(only_partition(client.ask(1, request)).preferred_read_replica == -1);
  request.rack_id = "r9";
  answer = client.ask(1, request);
  CHECK(only_partition(answer).preferred_read_replica == -1);
  const std::uint64_t all = only_partition(answer).records.size();

  answer = client.ask(2, fetch_request(0, 0));
  CHECK(error_of(only_partition(answer)) == ErrorCode::none);
  CHECK(only_partition(answer).high_watermark == 5);
  CHECK(only_partition(answer).records.size() == all);
  CHECK(error_of(only_partition(client.ask(2, fetch_request(6, 0)))) == ErrorCode::offset_out_of_range);
  CHECK(error_of(only_partition(client.ask(2, fetch_request(0, 1)))) == ErrorCode::unknown_leader_epoch);

  // Before KIP-392 only the leader answers.
  request = fetch_request(0, 0);
  request.topics[0].topic = kTopicName;
  CHECK(error_of(only_partition(client.ask(2, request, {9, 10}))) == ErrorCode::not_leader_or_follower);

  // A consumer that waits at a follower is woken by what becomes committed.
  request = fetch_request(5, 0);
  request.max_wait_ms = 60'000;
  request.min_bytes = 1;
  bool answered = false;
  auto wait = [&]() -> io::Task<void> {
    Result<protocol::FetchResponse> response = co_await client.channel(3).call<protocol::FetchRequest>(request);
    CHECK(response.has_value());
    answered = true;
  };
  client.shard().post([](void* run) { io::spawn_detached((*static_cast<decltype(wait)*>(run))()); }, &wait);
  client.must_produce("next");
  CHECK(cluster.until([&] { return answered; }, 3s));
}

TEST_CASE("requests of another leader epoch are refused, and the answer names the leader") {
  Cluster cluster(8, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3});
  Client client(cluster);
  client.must_produce();
  cluster.controller().elect(0, 2);
  REQUIRE(cluster.until([&] {
    return (*cluster.broker(1).lease(0))->state().leader == 2 && (*cluster.broker(2).lease(0))->is_leader();
  }));
  CHECK(error_of(only_partition(client.ask(2, fetch_request(0, 0)))) == ErrorCode::fenced_leader_epoch);
  CHECK(error_of(only_partition(client.ask(2, fetch_request(0, 2)))) == ErrorCode::unknown_leader_epoch);
  const std::int64_t epoch = cluster.broker(3).epoch();
  const protocol::FetchResponse answer = client.ask(1, follower_request(3, epoch, 1, 1));
  CHECK(error_of(only_partition(answer)) == ErrorCode::not_leader_or_follower);
  CHECK(only_partition(answer).current_leader.leader_id == 2);
  CHECK(only_partition(answer).current_leader.leader_epoch == 1);
  REQUIRE(answer.node_endpoints.size() == 1);
  CHECK(answer.node_endpoints[0].node_id == 2);
  CHECK(answer.node_endpoints[0].host == cluster.machine(2).address());

  protocol::ProduceRequest produce;
  produce.acks = 1;
  produce.timeout_ms = 1000;
  auto& topic = produce.topic_data.emplace_back();
  topic.topic_id = kTopic;
  topic.partition_data.emplace_back().records = wire::Records(Client::batch_of("value"));
  const protocol::ProduceResponse produced = client.ask(1, std::move(produce));
  CHECK(error_of(produced.responses[0].partition_responses[0]) == ErrorCode::not_leader_or_follower);
  CHECK(produced.responses[0].partition_responses[0].current_leader.leader_id == 2);
  REQUIRE(produced.node_endpoints.size() == 1);
  CHECK(produced.node_endpoints[0].node_id == 2);

  protocol::ListOffsetsRequest list;
  list.replica_id = -1;
  auto& listed = list.topics.emplace_back();
  listed.name = kTopicName;
  listed.partitions.emplace_back().timestamp = -1;
  listed.partitions[0].current_leader_epoch = 0;
  CHECK(error_of(client.ask(2, list).topics[0].partitions[0]) == ErrorCode::fenced_leader_epoch);
}

TEST_CASE("a new leader tells no latest offset before it knows what is committed") {
  Cluster cluster(9, 2, kQuick);
  cluster.create_topic(1, {1, 2});
  Client client(cluster);
  client.must_produce();
  REQUIRE(cluster.until([&] { return cluster.settled(); }));
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(2));
  client.must_produce("only the leader has it", 1);
  cluster.controller().elect(0, 1);  // the same one, with a new epoch that begins behind that
  REQUIRE(cluster.until([&] { return (*cluster.broker(1).lease(0))->epoch_start() == 2; }));
  protocol::ListOffsetsRequest list;
  list.replica_id = -1;
  auto& listed = list.topics.emplace_back();
  listed.name = kTopicName;
  listed.partitions.emplace_back().timestamp = -1;
  CHECK(error_of(client.ask(1, list).topics[0].partitions[0]) == ErrorCode::offset_not_available);
  CHECK(error_of(client.ask(1, list, {4, 4}).topics[0].partitions[0]) == ErrorCode::leader_not_available);
  list.replica_id = 2;
  CHECK(client.ask(1, list).topics[0].partitions[0].offset == 2);
  cluster.simulation().network().heal_all();
  REQUIRE(cluster.until([&] { return cluster.settled(); }));
  list.replica_id = -1;
  CHECK(client.ask(1, list).topics[0].partitions[0].offset == 2);
}

TEST_CASE("followers that the metadata does not know, or knows in another process, count for nothing") {
  Cluster cluster(10, 3, kQuick);
  cluster.create_topic(1, {1, 2});
  Client client(cluster);
  client.must_produce();
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(2));
  client.must_produce("only the leader has it", 1);
  const std::int64_t epoch = cluster.broker(2).epoch();
  CHECK(error_of(only_partition(client.ask(1, follower_request(2, epoch - 1, 2)))) ==
        ErrorCode::not_leader_or_follower);
  CHECK(error_of(only_partition(client.ask(1, follower_request(3, cluster.broker(3).epoch(), 2)))) ==
        ErrorCode::unknown_leader_epoch);
  CHECK(cluster.mark_of(1) == 1);
  CHECK(error_of(only_partition(client.ask(1, follower_request(2, epoch, 2)))) == ErrorCode::none);
  CHECK(cluster.mark_of(1) == 2);
}

// True if the ISR took in a replica of which only an earlier process had caught up.
bool takes_in_a_stranger(bool forget_epochs) {
  Cluster cluster(11, 3, kQuick);
  cluster.controller().forget_epochs = forget_epochs;
  cluster.create_topic(1, {1, 2, 3});
  Client client(cluster);
  client.must_produce("first");
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(3));
  REQUIRE(cluster.until([&] { return cluster.end_of(3) == 1; }));
  for (int count = 0; count < 5; ++count) client.must_produce("value", 1);
  REQUIRE(cluster.until([&] { return (*cluster.broker(1).lease(0))->state().isr == Ids{1, 2}; }));
  cluster.controller().held_back = true;
  cluster.simulation().network().heal_all();
  REQUIRE(cluster.until([&] { return (*cluster.broker(1).lease(0))->isr().is_pending(); }));
  // The controller is to hear of the replica's return when another process has taken its place, without its log.
  cluster.simulation().network().partition(cluster.machine(1), cluster.machine(3));
  cluster.crash(3, io::sim::Unsynced::lose_all);
  cluster.restart(3);
  REQUIRE(cluster.until([&] { return cluster.broker(3).serving() && cluster.end_of(3) == 0; }));
  const int before = cluster.controller().alterations;
  cluster.controller().held_back = false;
  REQUIRE(cluster.until([&] { return cluster.controller().alterations > before; }));
  const bool taken = cluster.controller().partition().in_isr(3);
  cluster.simulation().network().heal_all();
  CHECK(cluster.until([&] { return cluster.settled(); }));
  return taken;
}

TEST_CASE("a proposal made for one process of a broker does not let in the next one") {
  CHECK_FALSE(takes_in_a_stranger(false));
}

TEST_CASE("planted bug: broker epochs that nobody looks at let a replica in that has lost its log") {
  CHECK(takes_in_a_stranger(true));
}

TEST_CASE("with flush.messages=1 followers tell only what is on their disks") {
  Cluster cluster(12, 3, kQuick);
  cluster.create_topic(1, {1, 2, 3}, {{"flush.messages", "1"}});
  Client client(cluster);
  for (int count = 0; count < 10; ++count) client.must_produce();
  for (std::int32_t id = 1; id <= 3; ++id) CHECK((*cluster.broker(id).lease(0))->log().recovery_point() == 10);
  // All lose power at once, with all that was not synced: nothing that was acknowledged is among it.
  for (std::int32_t id = 1; id <= 3; ++id) cluster.crash(id, io::sim::Unsynced::lose_all);
  for (std::int32_t id = 1; id <= 3; ++id) cluster.restart(id);
  REQUIRE(cluster.until([&] { return cluster.all_serve(); }));
  for (std::int32_t id = 1; id <= 3; ++id) CHECK(cluster.end_of(id) == 10);
}

// The metadata reaches each broker after a while of its own. What waits for all replicas must not wait for the longest
// backoff when a follower was sooner than the leader.
TEST_CASE("a follower that comes to a leader before it knows that it leads asks again soon") {
  Cluster cluster(14, 3, {{"replica.fetch.backoff.ms", "60000"}, {"replica.lag.time.max.ms", "60000"}});
  cluster.create_topic(1, {1, 2, 3});
  Client client(cluster);
  client.must_produce();
  for (int round = 0; round < 30; ++round) {
    const std::int32_t leader = 1 + (round + 1) % 3;
    cluster.controller().elect(0, leader);
    REQUIRE(cluster.until([&] { return (*cluster.broker(leader).lease(0))->is_leader(); }));
    const Result<std::int64_t> produced = client.produce_now("value", -1, 1000);
    CHECK_MESSAGE(produced.has_value(), why_of(produced));
  }
}

TEST_CASE("an error of one partition leaves the others alone") {
  Cluster cluster(13, 2, kQuick);
  cluster.create_topic(4, {1, 2});
  Client client(cluster);
  client.must_produce();
  io::sim::DiskFault fault;
  fault.operation = io::sim::DiskOperation::write;
  fault.path = kTopicName + "-0/";
  fault.error_number = 28;  // ENOSPC
  fault.times = 1'000'000;
  cluster.machine(2).disk().inject(fault);
  client.must_produce("value", 1);
  auto produce = [&] { return client.produce(2, "value"); };
  for (int count = 0; count < 10; ++count) CHECK(cluster.simulation().run(client.shard(), produce).has_value());
  CHECK(cluster.end_of(2, 0) == 1);
  CHECK(cluster.end_of(2, 2) == 10);
}

}  // namespace klamm::handler::testing
