// Byte streams by readiness: try first, wait only when the kernel says so. An idle connection holds no buffer and a
// burst costs one virtual call.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "io/piece.h"
#include "io/task.h"

namespace klamm::io {

// Host (name or address) and TCP port.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  std::string text() const;  // "host:port", IPv6 in brackets
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// The kernel's buffers for one connection, in bytes; -1 leaves them to the system, which lets them grow by need.
struct SocketBuffers {
  std::int32_t send_bytes = -1;
  std::int32_t receive_bytes = -1;
};

enum class Direction { read, write };

// One direction of one stream that a coroutine waits on. Lives in the awaiting frame.
struct ReadinessWaiter {
  std::coroutine_handle<> handle;
};

class Shard;

// A connected stream; belongs to one shard. After close() every operation fails with Errc::cancelled and waiters are
// resumed; destruction closes (no waiter may be left then).
class Stream {
 public:
  virtual ~Stream() = default;

  // Reads what is there, up to into.size(), at least one byte. Errc::would_block if nothing is there yet,
  // Errc::end_of_stream when the peer has finished; a reset keeps its errno.
  virtual Result<std::size_t> try_read(MutableBytes into) = 0;
  // Hands over a prefix of the pieces; returns its length in bytes (at least 1), Errc::would_block if there is no room.
  // A FileRegion whose pages are not in memory may make it return before that piece.
  virtual Result<std::size_t> try_write(std::span<const Piece> pieces) = 0;
  // Resumes waiter.handle, from the shard's loop, when `direction` may have become possible or the stream is closed.
  // At most one waiter a direction.
  virtual void wait(Direction direction, ReadinessWaiter& waiter) = 0;
  // A hint: the reader can do nothing before `bytes` more have come, so the system need not wake it for less. Holds
  // until the next hint; the end of the stream and a full receive buffer wake all the same.
  virtual void expect(std::size_t bytes) { static_cast<void>(bytes); }
  // No more writes: the peer sees the end of the stream once all that was written has arrived.
  virtual void shutdown_write() = 0;
  // Cuts the connection at once and resumes the waiters.
  virtual void close() = 0;
  // The same connection as a stream of another shard of this node; this one is closed without the peer's notice. Null
  // if this kind of stream cannot move, or if it failed and is closed. There must be no waiter.
  virtual std::unique_ptr<Stream> move_to(Shard& shard) {
    static_cast<void>(shard);
    return nullptr;
  }
  // The far and the near end, numeric addresses.
  virtual const Endpoint& peer() const = 0;
  virtual const Endpoint& local() const = 0;

  // `co_await stream.ready(Direction::read);`
  struct Ready {
    Stream& stream;
    Direction direction;
    ReadinessWaiter waiter;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      waiter.handle = handle;
      stream.wait(direction, waiter);
    }
    void await_resume() const noexcept {}
  };
  Ready ready(Direction direction) { return {*this, direction, {}}; }
};

// At least one byte; Errc::end_of_stream at the end.
Task<Result<std::size_t>> read_some(Stream& stream, MutableBytes into);
// Exactly into.size() bytes; Errc::end_of_stream if the stream ends before.
Task<Result<void>> read_exactly(Stream& stream, MutableBytes into);
// All pieces. `*written`, if given, grows by the bytes that the kernel took, each time it takes some.
Task<Result<void>> write_all(Stream& stream, Pieces pieces, std::uint64_t* written = nullptr);

// Accepts connections on one address. Belongs to the shard that made it.
class Listener {
 public:
  virtual ~Listener() = default;
  // The next connection, bound to shard `home` (which alone may use it). Errc::cancelled after close().
  virtual Task<Result<std::unique_ptr<Stream>>> accept(Shard& home) = 0;
  // The bound address (the real port when 0 was asked for).
  virtual const Endpoint& local() const = 0;
  virtual void close() = 0;
};

}  // namespace klamm::io
