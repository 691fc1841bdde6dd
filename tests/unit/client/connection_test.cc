// rpc::Connection and the cluster's view, against a scripted cluster in simulated time.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "client/core/cluster.h"
#include "client_world.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"
#include "protocol/rpc/connection.h"

using namespace klamm;
using namespace klamm::test;
using client::ConnectionRef;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

namespace {

rpc::ConnectionOptions options() {
  rpc::ConnectionOptions options;
  options.client_id = "test";
  options.request_timeout = 2s;
  return options;
}

io::Task<Result<ConnectionRef>> open(ClientWorld& world) {
  io::Endpoint endpoint{"broker1", 9092};
  Result<ConnectionRef> connection = co_await rpc::Connection::open(world.shard, endpoint, options());
  co_return connection;
}

MetadataRequest about(std::string topic) {
  MetadataRequest request;
  request.topics->emplace_back().name = std::move(topic);
  return request;
}

}  // namespace

TEST_CASE("requests are pipelined and each gets its own answer") {
  ClientWorld world;
  world.cluster.answer_delay = 5ms;
  for (int topic = 0; topic < 20; ++topic) world.cluster.add_topic("topic" + std::to_string(topic), 1);
  Result<ConnectionRef> connection = world.run(open(world));
  REQUIRE(connection.has_value());
  CHECK((*connection)->version_of<MetadataRequest>() == MetadataRequest::kMaxStableVersion);
  std::vector<std::string> answers(20);
  io::Gate gate(world.shard);
  auto work = [&]() -> io::Task<int> {
    auto ask = [&](std::size_t index) -> io::Task<void> {
      Result<MetadataResponse> response = co_await (*connection)->call(about("topic" + std::to_string(index)));
      if (response) answers[index] = response->topics.at(0).name.value_or("");
    };
    for (std::size_t index = 0; index < answers.size(); ++index) gate.spawn(ask(index));
    CHECK((*connection)->in_flight() == 20);
    co_await gate.close();
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  for (std::size_t index = 0; index < answers.size(); ++index) CHECK(answers[index] == "topic" + std::to_string(index));
  CHECK((*connection)->counts().responses == 21);
  CHECK((*connection)->in_flight() == 0);
  (*connection)->close();
  world.simulation.run_for(1s);
}

TEST_CASE("an older peer is asked for its versions in the way it knows") {
  for (const std::int16_t most : {std::int16_t{0}, std::int16_t{2}, std::int16_t{3}}) {
    CAPTURE(most);
    ClientWorld world;
    world.cluster.most_api_versions = most;
    Result<ConnectionRef> connection = world.run(open(world));
    REQUIRE(connection.has_value());
    CHECK(world.cluster.requests[ApiKey::api_versions] == 2);
    CHECK((*connection)->version_of<MetadataRequest>().has_value());
    (*connection)->close();
    world.simulation.run_for(1s);
  }
}

TEST_CASE("a version that both know is chosen within bounds, else the error says what is served") {
  ClientWorld world;
  Result<ConnectionRef> connection = world.run(open(world));
  REQUIRE(connection.has_value());
  CHECK((*connection)->version_of(ApiKey::produce, {3, 7}) == 7);
  Result<std::int16_t> none = (*connection)->version_of(ApiKey::produce, {14, 20});
  REQUIRE_FALSE(none.has_value());
  CHECK(protocol::code_of(none.error()) == ErrorCode::unsupported_version);
  CHECK(none.error().context().find("3 to 13") != std::string::npos);
  CHECK_FALSE((*connection)->version_of(ApiKey::heartbeat, {}).has_value());
  (*connection)->close();
  world.simulation.run_for(1s);
}

TEST_CASE("a request that is not answered in time closes the connection and fails all that wait") {
  ClientWorld world;
  world.cluster.script = [](std::int32_t, ApiKey) { return Verdict::ignore; };
  Result<ConnectionRef> connection = world.run(open(world));
  REQUIRE(connection.has_value());
  std::vector<Error> errors;
  io::Gate gate(world.shard);
  auto work = [&]() -> io::Task<int> {
    const Instant before = world.shard.now();
    auto ask = [&](Duration timeout) -> io::Task<void> {
      Result<MetadataResponse> response = co_await (*connection)->call(about("x"), rpc::VersionBounds(), timeout);
      if (!response) errors.push_back(response.error());
    };
    gate.spawn(ask(5s));
    gate.spawn(ask(500ms));
    gate.spawn(ask(9s));
    co_await gate.close();
    CHECK(world.shard.now() - before >= 500ms);
    CHECK(world.shard.now() - before < 600ms);
    Result<MetadataResponse> late = co_await (*connection)->call(about("x"));
    CHECK_FALSE(late.has_value());
    co_return 0;
  };
  world.simulation.run(world.shard, work);
  REQUIRE(errors.size() == 3);
  for (const Error& error : errors) {
    CHECK(error == Errc::timed_out);
    CHECK(error.retriable());
    CHECK(error.context().find("broker1:9092") != std::string::npos);
  }
  CHECK((*connection)->closed());
  world.simulation.run_for(1s);
}

TEST_CASE("a peer that goes away fails what waits with a retriable error") {
  ClientWorld world;
  world.cluster.script = [](std::int32_t, ApiKey) { return Verdict::cut; };
  Result<ConnectionRef> connection = world.run(open(world));
  REQUIRE(connection.has_value());
  Result<MetadataResponse> response = world.run((*connection)->call(about("x")));
  REQUIRE_FALSE(response.has_value());
  CHECK(response.error().retriable());
  CHECK((*connection)->closed());
  world.simulation.run_for(1s);
}

TEST_CASE("an idle connection is closed after connections.max.idle.ms") {
  ClientWorld world;
  auto work = [&]() -> io::Task<int> {
    rpc::ConnectionOptions idle = options();
    idle.max_idle = 3s;
    io::Endpoint endpoint{"broker1", 9092};
    Result<ConnectionRef> connection = co_await rpc::Connection::open(world.shard, endpoint, idle);
    REQUIRE(connection.has_value());
    co_await world.shard.sleep(2s);
    Result<MetadataResponse> response = co_await (*connection)->call(about("x"));
    CHECK(response.has_value());
    co_await world.shard.sleep(2s);
    CHECK_FALSE((*connection)->closed());
    co_await (*connection)->wait_ended();
    CHECK((*connection)->fault() == Errc::cancelled);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
}

TEST_CASE("backoff doubles up to its bound, with jitter") {
  Random random(3);
  rpc::Backoff backoff(100ms, 1s);
  for (int round = 0; round < 100; ++round) {
    const Duration first = backoff.after(0, random);
    CHECK(first >= 80ms);
    CHECK(first <= 120ms);
    const Duration third = backoff.after(2, random);
    CHECK(third >= 320ms);
    CHECK(third <= 480ms);
    CHECK(backoff.after(50, random) <= 1s);
    CHECK(backoff.after(50, random) >= 800ms);
  }
}

TEST_CASE("the cluster's view is asked for once however many want it, and follows the brokers") {
  ClientWorld world(2, 3);
  world.cluster.add_topic("log", 6);
  client::ClusterOptions options;
  options.bootstrap = {{"nowhere", 9092}, {"broker2", 9092}};
  client::Cluster cluster(world.shard, options, Logger());
  auto work = [&]() -> io::Task<int> {
    for (int times = 0; times < 50; ++times) cluster.track("log");
    Result<const client::TopicMetadata*> topic = co_await cluster.await_topic("log", world.shard.now() + 60s);
    CHECK(topic.has_value());
    if (topic) CHECK((*topic)->partitions.size() == 6);
    CHECK(cluster.brokers().size() == 3);
    CHECK(world.cluster.requests[ApiKey::metadata] == 1);
    const std::uint64_t before = world.cluster.connections;
    Result<ConnectionRef> one = co_await cluster.connect(3);
    Result<ConnectionRef> same = co_await cluster.connect(3);
    CHECK(one.has_value());
    CHECK(*one == *same);
    CHECK(world.cluster.connections == before + 1);
    // Broker 2 is the one that answered first: its connection is used on.
    Result<ConnectionRef> second = co_await cluster.connect(2);
    CHECK(second.has_value());
    CHECK(world.cluster.connections == before + 1);
    Result<ConnectionRef> unknown = co_await cluster.connect(99);
    CHECK_FALSE(unknown.has_value());
    co_await cluster.close();
    co_return 0;
  };
  world.simulation.run(world.shard, work);
}
