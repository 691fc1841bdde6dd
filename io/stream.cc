#include "io/stream.h"

namespace klamm::io {

std::string Endpoint::text() const {
  const std::string digits = std::to_string(port);
  if (host.find(':') != std::string::npos) return "[" + host + "]:" + digits;
  return host + ":" + digits;
}

Task<Result<std::size_t>> read_some(Stream& stream, MutableBytes into) {
  for (;;) {
    Result<std::size_t> got = stream.try_read(into);
    if (got || !(got.error() == Errc::would_block)) co_return got;
    co_await stream.ready(Direction::read);
  }
}

Task<Result<void>> read_exactly(Stream& stream, MutableBytes into) {
  while (!into.empty()) {
    Result<std::size_t> got = co_await read_some(stream, into);
    if (!got) co_return fail(std::move(got).error());
    into = into.subspan(*got);
  }
  co_return Result<void>();
}

namespace {
// Drops the first `bytes` of the run [first, end) of pieces; returns the new first.
std::size_t consume(Pieces& pieces, std::size_t first, std::uint64_t bytes) {
  while (first < pieces.size()) {
    const std::uint64_t size = size_of(pieces[first]);
    if (bytes < size) {
      if (auto* slice = std::get_if<Slice>(&pieces[first])) {
        slice->remove_prefix(bytes);
      } else {
        FileRegion& region = std::get<FileRegion>(pieces[first]);
        region.offset += bytes;
        region.size -= bytes;
      }
      return first;
    }
    bytes -= size;
    pieces[first] = Slice();  // let go of its buffer or file
    ++first;
  }
  KLAMM_CHECK(bytes == 0, "stream took more than it was given");
  return first;
}
}  // namespace

Task<Result<void>> write_all(Stream& stream, Pieces pieces, std::uint64_t* written) {
  std::size_t first = consume(pieces, 0, 0);  // skips empty pieces
  while (first < pieces.size()) {
    Result<std::size_t> taken = stream.try_write(std::span(pieces).subspan(first));
    if (taken) {
      first = consume(pieces, first, *taken);
      if (written != nullptr) *written += *taken;
    } else if (taken.error() == Errc::would_block) {
      co_await stream.ready(Direction::write);
    } else {
      co_return fail(std::move(taken).error());
    }
  }
  co_return Result<void>();
}

}  // namespace klamm::io
