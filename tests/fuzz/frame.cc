// Any bytes as what a connection receives, in pieces of any size: the frames are those that a plain reading of the
// whole gives, whatever the pieces; a bad size is refused where it stands; memory follows what came, not what was
// announced.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "protocol/rpc/frame_reader.h"

namespace {

using namespace klamm;

constexpr std::uint32_t kLimit = 1 << 16;
constexpr std::size_t kMostHeld = 4 << 20;

void demand(bool condition) {
  if (!condition) std::abort();
}

// Gives the input in pieces: each is as long as the next byte of `sizes` says.
class Pieces final : public io::Stream {
 public:
  Pieces(Bytes input, Bytes sizes) : input_(input), sizes_(sizes) {}

  Result<std::size_t> try_read(MutableBytes into) override {
    if (at_ == input_.size()) return fail(Errc::end_of_stream, "end");
    std::size_t size =
        sizes_.empty() ? input_.size() : 1 + std::to_integer<std::size_t>(sizes_[turn_++ % sizes_.size()]);
    size = std::min({size, into.size(), input_.size() - at_});
    std::memcpy(into.data(), input_.data() + at_, size);
    at_ += size;
    return size;
  }
  Result<std::size_t> try_write(std::span<const io::Piece> /*pieces*/) override { return fail(Errc::would_block, ""); }
  void wait(io::Direction /*direction*/, io::ReadinessWaiter& /*waiter*/) override { std::abort(); }
  void shutdown_write() override {}
  void close() override {}
  const io::Endpoint& peer() const override { return endpoint_; }
  const io::Endpoint& local() const override { return endpoint_; }

 private:
  Bytes input_;
  Bytes sizes_;
  std::size_t at_ = 0;
  std::size_t turn_ = 0;
  io::Endpoint endpoint_;
};

struct Outcome {
  std::vector<Bytes> frames;
  bool refused = false;
};

Outcome expected(Bytes input) {
  Outcome outcome;
  while (input.size() >= 4) {
    const std::int32_t size = load_big_endian<std::int32_t>(input.data());
    outcome.refused = size < 0 || static_cast<std::uint32_t>(size) > kLimit;
    if (outcome.refused || input.size() - 4 < static_cast<std::size_t>(size)) break;
    outcome.frames.push_back(input.subspan(4, static_cast<std::size_t>(size)));
    input = input.subspan(4 + static_cast<std::size_t>(size));
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes all = std::as_bytes(std::span(data, size));
  const std::size_t steps = std::min<std::size_t>(data[0] % 8, size - 1);
  const Bytes input = all.subspan(1 + steps);
  Pieces stream(input, all.subspan(1, steps));

  const Outcome want = expected(input);
  rpc::FrameReader reader(kLimit);
  std::vector<Slice> frames;  // kept: later reads must not touch them
  for (;;) {
    Result<std::optional<Slice>> frame = reader.next();
    if (!frame) {
      demand(want.refused && frames.size() == want.frames.size());
      break;
    }
    if (*frame) {
      frames.push_back(std::move(**frame));
      continue;
    }
    const Result<std::size_t> got = reader.fill(stream);
    demand(reader.held_bytes() <= kMostHeld);
    if (!got) {
      demand(!want.refused);
      break;
    }
  }
  demand(frames.size() == want.frames.size());
  for (std::size_t index = 0; index < frames.size(); ++index) {
    const Bytes& frame = want.frames[index];
    demand(frames[index].size() == frame.size());
    demand(frame.empty() || std::memcmp(frames[index].data(), frame.data(), frame.size()) == 0);
  }
  return 0;
}
