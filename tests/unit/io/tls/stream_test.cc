#include "io/tls/stream.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <vector>

#include "io/file.h"
#include "io/sync.h"
#include "tests/unit/io/tls/world.h"
#include "tests/unit/why.h"

using namespace klamm;
using namespace klamm::io;
using namespace klamm::test;
using tls::Settings;

namespace {

// Runs `task` on the shard beside everything else.
template <typename Function>
void start(Shard& shard, Function& function) {
  shard.post([](void* run) { spawn_detached((*static_cast<Function*>(run))()); }, &function);
}

std::string random_text(std::uint64_t seed, std::size_t size) {
  Random random(seed);
  std::string text(size, 0);
  for (char& c : text) c = static_cast<char>(random.below(256));
  return text;
}

// Counts what goes down.
class Counting final : public Stream {
 public:
  Counting(std::unique_ptr<Stream> below, std::size_t& writes, std::size_t& reads)
      : below_(std::move(below)), writes_(writes), reads_(reads) {}
  Result<std::size_t> try_read(MutableBytes into) override {
    ++reads_;
    return below_->try_read(into);
  }
  Result<std::size_t> try_write(std::span<const Piece> pieces) override {
    ++writes_;
    return below_->try_write(pieces);
  }
  void wait(Direction direction, ReadinessWaiter& waiter) override { below_->wait(direction, waiter); }
  void shutdown_write() override { below_->shutdown_write(); }
  void close() override { below_->close(); }
  const Endpoint& peer() const override { return below_->peer(); }
  const Endpoint& local() const override { return below_->local(); }

 private:
  std::unique_ptr<Stream> below_;
  std::size_t& writes_;
  std::size_t& reads_;
};

sim::Options whole_and_quick() {
  sim::Options options;
  options.network.partial_chance = 0;
  options.network.socket_buffer_bytes = 4 << 20;
  return options;
}

}  // namespace

TEST_CASE("a TLS stream carries all bytes in order, memory and files, however the network cuts them up") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    World world(seed, sim::Options::draw(seed));
    Settings of_client = cast().client_settings;
    of_client.tls_1_3 = seed % 2 == 0;
    world.secure(of_client, cast().server_settings);
    REQUIRE(world.shake().both());
    CHECK(world.near->version() == (seed % 2 == 0 ? "TLSv1.3" : "TLSv1.2"));
    CHECK(world.far->cipher() == world.near->cipher());
    Shard& shard = world.server.shard();
    Result<std::shared_ptr<File>> file = world.simulation.run(shard, shard.files().open("/segment", OpenMode::create));
    REQUIRE(file);
    const std::string content = random_text(seed, 400'000);
    CHECK(world.simulation.run(shard, (*file)->write(0, as_bytes(content))));
    Random random(seed);
    std::string expected;
    Pieces pieces;
    for (int count = 0; count < 12; ++count) {
      const std::uint64_t offset = random.below(200'000);
      const std::uint64_t size = random.below(count % 3 == 0 ? 300 : 200'000);
      if (random.chance(0.5)) {
        pieces.emplace_back(FileRegion{*file, offset, size});
      } else {
        pieces.emplace_back(Slice::copy(std::string_view(content).substr(offset, size)));
      }
      expected += content.substr(offset, size);
    }
    bool sent = false;
    auto send = [&]() -> Task<void> {
      Result<void> written = co_await write_all(*world.far, std::move(pieces));
      CHECK_MESSAGE(written, why_of(written));
      world.far->shutdown_write();
      sent = true;
    };
    start(shard, send);
    std::string got;
    std::vector<std::byte> into(1 + random.below(50'000));
    for (;;) {
      const Result<std::size_t> some = world.read_near(into);
      if (!some) {
        CHECK_MESSAGE(some.error() == Errc::end_of_stream, why_of(some));
        break;
      }
      got += as_text(Bytes(into).first(*some));
    }
    CHECK(sent);
    CHECK(got == expected);
    CHECK(world.near->peer().port == 9093);
    CHECK(world.far->peer() == world.near->local());
  }
}

TEST_CASE("both directions go on at once through small socket buffers") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    sim::Options options = sim::Options::draw(seed);
    options.network.socket_buffer_bytes = 1000;
    World world(seed, options);
    world.secure(cast().client_settings, cast().server_settings);
    REQUIRE(world.shake(10min).both());
    const std::string text = random_text(seed, 300'000);
    int done = 0;
    auto send = [&](Stream& stream) -> Task<void> {
      Pieces pieces;
      for (std::size_t at = 0; at < text.size(); at += 7'000) {
        pieces.emplace_back(Slice::copy(std::string_view(text).substr(at, 7'000)));
      }
      Result<void> written = co_await write_all(stream, std::move(pieces));
      CHECK(written);
      ++done;
    };
    auto receive = [&](Stream& stream) -> Task<void> {
      std::vector<std::byte> into(text.size());
      Result<void> read = co_await read_exactly(stream, into);
      CHECK(read);
      CHECK(as_text(into) == text);
      ++done;
    };
    auto near_out = [&] { return send(*world.near); };
    auto near_in = [&] { return receive(*world.near); };
    auto far_out = [&] { return send(*world.far); };
    auto far_in = [&] { return receive(*world.far); };
    start(world.client.shard(), near_out);
    start(world.client.shard(), near_in);
    start(world.server.shard(), far_out);
    start(world.server.shard(), far_in);
    CHECK(world.simulation.run_until([&] { return done == 4; }));
  }
}

TEST_CASE("a burst of small pieces goes down in one call, and comes up in few") {
  std::size_t writes = 0, reads = 0, ignored = 0;  // outlive the streams
  World world(1, whole_and_quick());
  world.below_near = std::make_unique<Counting>(std::move(world.below_near), writes, ignored);
  world.below_far = std::make_unique<Counting>(std::move(world.below_far), ignored, reads);
  world.secure(cast().client_settings, cast().server_settings);
  REQUIRE(world.shake().both());
  Pieces pieces;
  for (int count = 0; count < 600; ++count) pieces.emplace_back(Slice::copy(std::string(100, 'x')));
  writes = 0;
  CHECK(world.simulation.run(world.client.shard(), write_all(*world.near, std::move(pieces))));
  CHECK(writes == 1);
  reads = 0;
  std::vector<std::byte> into(60'000);
  CHECK(world.simulation.run(world.server.shard(), read_exactly(*world.far, into)));
  CHECK(reads <= 4);
}

TEST_CASE("a connection that ends without close_notify was cut short") {
  World world(2);
  world.secure(cast().client_settings, cast().server_settings);
  REQUIRE(world.shake().both());
  CHECK(world.send_far("the beginning"));
  world.raw_far->shutdown_write();
  std::byte into[100];
  const Result<std::size_t> first = world.read_near(into);
  REQUIRE(first);
  CHECK(as_text(Bytes(into, *first)) == "the beginning");
  const Result<std::size_t> end = world.read_near(into);
  REQUIRE_FALSE(end);
  CHECK(end.error() == Errc::malformed);
  CHECK(has(end.error().message(), "without close_notify"));
  CHECK(world.read_near(into).error() == Errc::malformed);  // and so it stays
}

TEST_CASE("closing says so to the peer, and ends what is waited for here") {
  World world(3);
  world.secure(cast().client_settings, cast().server_settings);
  REQUIRE(world.shake().both());
  std::byte into[10];
  std::optional<Error> ended;
  auto read = [&]() -> Task<void> {
    Result<std::size_t> got = co_await read_some(*world.near, into);
    if (!got) ended = got.error();
  };
  start(world.client.shard(), read);
  CHECK_FALSE(world.simulation.run_until([&] { return ended.has_value(); }, 1s));
  world.near->close();
  CHECK(world.simulation.run_until([&] { return ended.has_value(); }, 1s));
  CHECK(*ended == Errc::cancelled);
  CHECK(world.send_near("x").error() == Errc::cancelled);
  CHECK(world.read_far(into).error() == Errc::end_of_stream);
}

TEST_CASE("a reset keeps its errno, and bytes under way are not taken for the whole") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    World world(seed, sim::Options::draw(seed));
    world.secure(cast().client_settings, cast().server_settings);
    REQUIRE(world.shake().both());
    std::optional<Error> failed;
    auto send = [&]() -> Task<void> {
      while (!failed) {
        Pieces pieces;
        pieces.emplace_back(Slice::copy(std::string(50'000, 'y')));
        Result<void> written = co_await write_all(*world.near, std::move(pieces));
        if (!written) failed = written.error();
      }
    };
    start(world.client.shard(), send);
    std::byte into[1000];
    for (int count = 0; count < 20; ++count) CHECK(world.read_far(into));
    world.simulation.network().cut(world.client, world.server);
    Result<std::size_t> got = world.read_far(into);
    while (got) got = world.read_far(into);
    CHECK(got.error() == std::error_code(ECONNRESET, std::system_category()));
    CHECK(world.simulation.run_until([&] { return failed.has_value(); }));
    CHECK(*failed == std::error_code(ECONNRESET, std::system_category()));
  }
}

TEST_CASE("a region that reaches past the end of its file is an error here too") {
  World world(4);
  world.secure(cast().client_settings, cast().server_settings);
  REQUIRE(world.shake().both());
  Shard& shard = world.client.shard();
  Result<std::shared_ptr<File>> file = world.simulation.run(shard, shard.files().open("/short", OpenMode::create));
  REQUIRE(file);
  CHECK(world.simulation.run(shard, (*file)->write(0, as_bytes("abc"))));
  Pieces pieces;
  pieces.emplace_back(FileRegion{*file, 0, 10});
  const Result<void> written = world.simulation.run(shard, write_all(*world.near, std::move(pieces)));
  REQUIRE_FALSE(written);
  CHECK(written.error() == Errc::corrupt);
}

TEST_CASE("data that came with the peer's last handshake message is not waited for in vain") {
  World world(5, whole_and_quick());
  world.secure(cast().client_settings, cast().server_settings);
  auto talk = [&]() -> Task<void> {
    Result<void> shaken = co_await world.near->handshake(Instant::never());
    CHECK(shaken);
    Pieces pieces;
    pieces.emplace_back(Slice::copy("at once"));
    Result<void> written = co_await write_all(*world.near, std::move(pieces));
    CHECK(written);
  };
  start(world.client.shard(), talk);
  std::string got;
  auto listen = [&]() -> Task<void> {
    Result<void> shaken = co_await world.far->handshake(Instant::never());
    CHECK(shaken);
    std::byte into[100];
    co_await world.far->ready(Direction::read);  // without a look at what is there
    Result<std::size_t> some = co_await read_some(*world.far, into);
    if (some) got = as_text(Bytes(into, *some));
  };
  start(world.server.shard(), listen);
  CHECK(world.simulation.run_until([&] { return !got.empty(); }, 10s));
  CHECK(got == "at once");
}
