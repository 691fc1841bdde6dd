// rpc::Channel against a scripted cluster in simulated time.
#include "protocol/rpc/channel.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <vector>

#include "client_world.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"

using namespace klamm;
using namespace klamm::test;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

namespace {

rpc::ChannelOptions options() {
  rpc::ChannelOptions options;
  options.connection.client_id = "test";
  options.connection.request_timeout = 2s;
  return options;
}

io::Task<bool> ask(rpc::Channel& channel) {
  Result<MetadataResponse> response = co_await channel.call(MetadataRequest());
  co_return response.has_value();
}

}  // namespace

TEST_CASE("a channel's callers share one connection, and a lost one is opened again") {
  ClientWorld world;
  rpc::Channel channel(world.shard, {"broker1", 9092}, options());
  CHECK_FALSE(channel.is_open());
  auto work = [&]() -> io::Task<int> {
    int answered = 0;
    io::Gate gate(world.shard);
    auto one = [&]() -> io::Task<void> {
      const bool well = co_await ask(channel);
      answered += well ? 1 : 0;
    };
    for (int caller = 0; caller < 5; ++caller) gate.spawn(one());
    co_await gate.close();
    co_return answered;
  };
  CHECK(world.simulation.run(world.shard, work) == 5);
  CHECK(world.cluster.connections == 1);
  channel.disconnect();
  CHECK_FALSE(channel.is_open());
  CHECK(world.run(ask(channel)));
  CHECK(world.cluster.connections == 2);
  world.simulation.run(world.shard, channel.close());
}

TEST_CASE("a channel to nobody fails with a retriable error, backs off, and finds the peer where it is now") {
  ClientWorld world;
  rpc::Channel channel(world.shard, {"broker1", 1}, options());
  const Instant before = world.shard.now();
  Result<std::shared_ptr<rpc::Connection>> failed = world.run(channel.connect());
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().retriable());
  CHECK(channel.is_backing_off());
  for (int attempt = 0; attempt < 5; ++attempt) CHECK_FALSE(world.run(ask(channel)));
  CHECK(world.shard.now() - before > 50ms * (1 + 2 + 4 + 8 + 16) * 0.8);
  channel.retarget({"broker1", 9092});
  CHECK_FALSE(channel.is_backing_off());
  CHECK(world.run(ask(channel)));
  world.simulation.run(world.shard, channel.close());
}

TEST_CASE("closing a channel ends a call, an attempt and a wait for the backoff") {
  ClientWorld world;
  world.cluster.script = [](std::int32_t, ApiKey key) {
    return key == ApiKey::metadata ? Verdict::ignore : Verdict::answer;
  };
  rpc::Channel silent(world.shard, {"broker1", 9092}, options());
  rpc::Channel refused(world.shard, {"broker1", 1}, options());
  auto work = [&]() -> io::Task<int> {
    std::optional<bool> asked;
    std::optional<bool> waited;
    io::Gate gate(world.shard);
    auto first = [&]() -> io::Task<void> { asked = co_await ask(silent); };
    auto second = [&]() -> io::Task<void> {
      while (true) {
        Result<std::shared_ptr<rpc::Connection>> connection = co_await refused.connect();
        if (connection || connection.error() == Errc::cancelled) break;
      }
      waited = true;
    };
    gate.spawn(first());
    gate.spawn(second());
    co_await world.shard.sleep(100ms);
    CHECK_FALSE(asked.has_value());
    CHECK_FALSE(waited.has_value());
    const Instant before = world.shard.now();
    co_await silent.close();
    co_await refused.close();
    co_await gate.close();
    CHECK(world.shard.now() - before < 10ms);
    CHECK(asked == false);
    CHECK(waited == true);
    co_return 0;
  };
  world.simulation.run(world.shard, work);
}
