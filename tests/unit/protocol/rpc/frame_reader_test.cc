#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "protocol/rpc/frame_reader.h"

using namespace klamm;

namespace {

// Gives its bytes in pieces of drawn sizes, then ends.
class ScriptedStream final : public io::Stream {
 public:
  ScriptedStream(std::string bytes, Random& random, std::size_t most)
      : bytes_(std::move(bytes)), random_(random), most_(most) {}
  Result<std::size_t> try_read(MutableBytes into) override {
    if (at_ == bytes_.size()) return fail(Errc::end_of_stream);
    const std::size_t size =
        std::min({into.size(), bytes_.size() - at_, std::size_t(random_.between(1, std::int64_t(most_)))});
    std::memcpy(into.data(), bytes_.data() + at_, size);
    at_ += size;
    largest_read_ = std::max(largest_read_, into.size());
    return size;
  }
  Result<std::size_t> try_write(std::span<const io::Piece>) override { return fail(Errc::would_block); }
  void wait(io::Direction, io::ReadinessWaiter&) override { FAIL("nothing to wait for"); }
  void shutdown_write() override {}
  void close() override {}
  const io::Endpoint& peer() const override { return endpoint_; }
  const io::Endpoint& local() const override { return endpoint_; }
  std::size_t largest_read() const { return largest_read_; }

 private:
  std::string bytes_;
  Random& random_;
  std::size_t most_;
  std::size_t at_ = 0;
  std::size_t largest_read_ = 0;
  io::Endpoint endpoint_;
};

std::string frame_bytes(const std::string& content) {
  std::byte size[4];
  store_big_endian<std::int32_t>(size, static_cast<std::int32_t>(content.size()));
  return std::string(as_text(size)) + content;
}

// Reads until the stream ends; the frames and the final error.
std::pair<std::vector<Slice>, Error> read_all(io::Stream& stream, rpc::FrameReader& reader) {
  std::vector<Slice> frames;
  std::optional<Error> error;
  io::spawn_detached([](io::Stream* from, rpc::FrameReader* with, std::vector<Slice>* into,
                        std::optional<Error>* failed) -> io::Task<void> {
    for (;;) {
      Result<Slice> frame = co_await with->read(*from);
      if (!frame) {
        *failed = frame.error();
        co_return;
      }
      into->push_back(*frame);
    }
  }(&stream, &reader, &frames, &error));
  REQUIRE(error.has_value());
  return {frames, *error};
}

}  // namespace

TEST_CASE("frames come out whole whatever the pieces they arrive in") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    std::vector<std::string> contents;
    std::string bytes;
    for (int count = 0; count < 20; ++count) {
      const std::size_t size = random.chance(0.1) ? random.below(3 << 20) : random.below(5000);
      contents.emplace_back(size, static_cast<char>('a' + count));
      bytes += frame_bytes(contents.back());
    }
    ScriptedStream stream(bytes, random, random.chance(0.5) ? 100'000 : 3'000'000);
    rpc::FrameReader reader(10 << 20);
    auto [frames, error] = read_all(stream, reader);
    CHECK(error == Errc::end_of_stream);
    REQUIRE(frames.size() == contents.size());
    for (std::size_t index = 0; index < frames.size(); ++index) CHECK(frames[index].text() == contents[index]);
    CHECK(reader.held_bytes() == 0);
  }
}

TEST_CASE("sizes that cannot be are errors, and an end inside a frame too") {
  Random random(1);
  auto error_of = [&random](const std::string& bytes) {
    ScriptedStream stream(bytes, random, 3);
    rpc::FrameReader reader(1000);
    return read_all(stream, reader).second;
  };
  CHECK(error_of(frame_bytes("x") + std::string("\xff\xff\xff\xff", 4)) == Errc::malformed);
  CHECK(error_of(std::string("\x00\x00\x03\xe9", 4)) == Errc::too_large);
  CHECK(error_of(std::string("\x7f\xff\xff\xff", 4)) == Errc::too_large);
  CHECK(error_of(frame_bytes("hello").substr(0, 7)) == Errc::malformed);
  CHECK(error_of(std::string("\x00\x00", 2)) == Errc::malformed);
  CHECK(error_of("") == Errc::end_of_stream);
  CHECK(error_of(frame_bytes(std::string(1000, 'z'))) == Errc::end_of_stream);
}

TEST_CASE("memory follows the bytes received, not the announced size") {
  Random random(2);
  std::string announced("\x06\x00\x00\x00", 4);  // 100 MB
  ScriptedStream stream(announced + std::string(2000, 'x'), random, 500);
  rpc::FrameReader reader(104'857'600);
  const auto [frames, error] = read_all(stream, reader);
  CHECK(frames.empty());
  CHECK(error == Errc::malformed);
  CHECK(stream.largest_read() <= (1 << 20));
}
