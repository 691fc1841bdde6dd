#include "protocol/rpc/frame_reader.h"

#include <algorithm>

namespace klamm::rpc {
namespace {
constexpr std::size_t kSizeField = 4;
}

Result<std::optional<Slice>> FrameReader::next() {
  if (pending() < kSizeField) return std::optional<Slice>();
  const std::int32_t size = load_big_endian<std::int32_t>(buffer_->data() + begin_);
  if (size < 0) return fail(Errc::malformed, "negative frame size " + std::to_string(size));
  if (static_cast<std::uint32_t>(size) > limit_) {
    return fail(Errc::too_large, "frame of " + std::to_string(size) + " bytes, limit " + std::to_string(limit_));
  }
  if (pending() - kSizeField < static_cast<std::size_t>(size)) return std::optional<Slice>();
  Slice frame(buffer_, buffer_->data() + begin_ + kSizeField, static_cast<std::size_t>(size));
  begin_ += kSizeField + static_cast<std::size_t>(size);
  if (begin_ == end_) {  // an idle connection holds no buffer
    buffer_ = {};
    begin_ = end_ = 0;
  }
  return std::optional<Slice>(std::move(frame));
}

std::size_t FrameReader::begun_bytes() const {
  if (pending() < kSizeField) return 0;
  return kSizeField + static_cast<std::size_t>(load_big_endian<std::int32_t>(buffer_->data() + begin_));
}

std::size_t FrameReader::missing_bytes() const { return std::max(begun_bytes(), kSizeField) - pending(); }

// Makes room for a read. Bytes that were handed out stay untouched: a started frame moves to a new buffer unless the
// rest of the present one takes it.
void FrameReader::make_room(std::size_t most) {
  const std::size_t frame_bytes = begun_bytes();
  const std::size_t capacity = buffer_ ? buffer_->capacity() : 0;
  if (buffer_ && begin_ + std::max(frame_bytes, pending() + kSizeField) <= capacity && end_ < capacity) return;
  std::size_t wanted = kReadBytes;
  if (frame_bytes > 0) {  // memory follows what was received, not what was announced
    wanted = std::max(wanted, std::min(frame_bytes, std::max(kTrustedBytes, 2 * pending())));
    if (most < wanted) wanted = std::max(kReadBytes, pending() + most);
  }
  if (buffer_ && begin_ + wanted <= capacity && end_ < capacity) return;
  Buffer::Ref next = Buffer::allocate(wanted);
  if (pending() > 0) std::memcpy(next->data(), buffer_->data() + begin_, pending());
  end_ = pending();
  begin_ = 0;
  buffer_ = std::move(next);
}

Result<std::size_t> FrameReader::fill(io::Stream& stream, std::size_t most) {
  make_room(most);
  Result<std::size_t> got = stream.try_read({buffer_->data() + end_, std::min(most, buffer_->capacity() - end_)});
  if (got) {
    end_ += *got;
  } else if (pending() == 0) {
    buffer_ = {};
    begin_ = end_ = 0;
  }
  return got;
}

io::Task<Result<Slice>> FrameReader::read(io::Stream& stream) {
  for (;;) {
    Result<std::optional<Slice>> frame = next();
    if (!frame) co_return fail(std::move(frame).error());
    if (*frame) co_return std::move(**frame);
    Result<std::size_t> got = fill(stream);
    if (got) continue;
    if (got.error() == Errc::would_block) {
      stream.expect(missing_bytes());
      co_await stream.ready(io::Direction::read);
    } else if (got.error() == Errc::end_of_stream && pending() > 0) {
      co_return fail(Errc::malformed, "connection ended inside a frame");
    } else {
      co_return fail(std::move(got).error());
    }
  }
}

}  // namespace klamm::rpc
