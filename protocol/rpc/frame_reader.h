// Cuts a stream into Kafka frames: int32 size, then that many bytes. Frames are slices of the buffers that the bytes
// were received into; nothing is copied but the start of a frame that crosses into a new buffer.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "io/stream.h"
#include "io/task.h"

namespace klamm::rpc {

// One per connection, on its shard. Holds no buffer while nothing of a frame is pending.
class FrameReader {
 public:
  // `limit_bytes`: the largest frame accepted (socket.request.max.bytes).
  explicit FrameReader(std::uint32_t limit_bytes) : limit_(limit_bytes) {}

  // A frame that has already been received whole, without its size field, or nothing. Errc::too_large for a size over
  // the limit, Errc::malformed for a negative one (the stream is useless after that).
  Result<std::optional<Slice>> next();
  // Takes what the stream has now, up to `most` bytes. Errc::would_block if that is nothing.
  Result<std::size_t> fill(io::Stream& stream, std::size_t most = std::numeric_limits<std::size_t>::max());
  // The next frame, waiting for it. Errc::end_of_stream at a clean end between frames; Errc::malformed if the stream
  // ends inside a frame.
  io::Task<Result<Slice>> read(io::Stream& stream);
  // Size of the frame that has begun but is not complete, with its size field; 0 if none or not known yet.
  std::size_t begun_bytes() const;
  // Bytes that have to come before anything can be done: the rest of the frame that has begun, or of its size field.
  std::size_t missing_bytes() const;
  // Bytes of unfinished frames that have come.
  std::size_t received_bytes() const { return end_ - begin_; }
  // Bytes of memory that this reader keeps for unfinished frames.
  std::size_t held_bytes() const { return buffer_ ? buffer_->capacity() : 0; }

 private:
  static constexpr std::size_t kReadBytes = 64 << 10;    // one recv asks for at least this much
  static constexpr std::size_t kTrustedBytes = 1 << 20;  // announced sizes up to this get their buffer at once
  std::size_t pending() const { return end_ - begin_; }
  void make_room(std::size_t most);

  std::uint32_t limit_;
  Buffer::Ref buffer_;
  std::size_t begin_ = 0;  // first byte not yet handed out
  std::size_t end_ = 0;    // end of what was received
};

}  // namespace klamm::rpc
