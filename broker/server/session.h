// One client connection: reads frames, starts their handlers, sends the replies in the order of the requests.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "broker/handler/call.h"
#include "io/shard.h"
#include "io/stream.h"
#include "io/sync.h"
#include "io/tls/stream.h"
#include "protocol/rpc/frame_reader.h"

namespace klamm::server {

struct SessionOptions {
  std::uint32_t max_request_bytes = 104'857'600;  // socket.request.max.bytes
  std::size_t max_outstanding_replies = 128;      // requests of one connection that may be in work or unsent
  std::uint64_t max_unsent_bytes = 1 << 20;       // of its replies in memory: no new request is read above this
  io::tls::TlsStream* tls = nullptr;              // the stream itself, where hands have yet to be shaken on it
};

// What belongs to a client's connection on whatever shard it is served.
struct Connected {
  std::unique_ptr<io::Stream> stream;
  rpc::FrameReader reader;
  security::RequestContext context;
};

// Asks whether a connection may move from one shard to another: `bool may = co_await f(from, to)`.
using MayMove = std::function<io::Task<bool>(std::size_t from, std::size_t to)>;

// What the connections of one shard may hold of requests that are not done. Small frames have a share of their own, so
// that they never wait behind large ones that are still on their way.
struct RequestMemory {
  RequestMemory(io::Shard& shard, std::uint64_t bytes) : small(shard, bytes / 4), large(shard, bytes - bytes / 4) {}
  io::MemoryGate small;            // Produce frames that came whole with one read
  io::MemoryGate large;            // reserved before most of their bytes are read
  std::size_t waiting = 0;         // sessions that wait for room among the large ones
  std::function<void()> shortage;  // called when one begins to wait
};

// Serves one frame: decodes the header, finds the handler. `frame` is the frame without its size.
using Dispatch = std::function<io::Task<handler::Reply>(Slice frame, const security::RequestContext& connection,
                                                        std::function<void()> enqueued, handler::Hangup& hangup)>;

// Lives on the shard of its stream. A request whose handler has said `enqueued` lets the next one start; replies leave
// in request order. Memory: a large frame's bytes are reserved when its first ones have come, a small one's before it
// is served; while there is no room the connection is not read.
//
// Crossing from shard to shard costs more than most requests: a connection whose requests are all for partitions of one
// other shard asks to be served there, answers what it has accepted, and ends here.
class Session {
 public:
  Session(io::Shard& shard, Connected connection, SessionOptions options, RequestMemory& memory,
          const Dispatch& dispatch, const MayMove& may_move, Logger logger);

  // Returns when the connection is closed, or is to move, and all its handlers have ended.
  io::Task<void> run();
  // The shard to which it was allowed to move; it may have been closed since.
  std::optional<std::size_t> moves_to() const noexcept { return moves_to_; }
  // After run(): the connection, open only if it moves.
  Connected depart() && { return std::move(connection_); }
  // Cuts the connection; run() returns soon after.
  void close();
  // When the last byte came or went. Bytes that the kernel took since the last call count as gone now.
  Instant last_active();
  // True if it has reserved memory for a frame whose bytes come slower than anybody who waits for that memory should
  // bear.
  bool is_stalling(Instant now) const;
  const io::Endpoint& peer() const { return stream().peer(); }

 private:
  static constexpr std::size_t kAskAfter = 32;

  // Memory taken for one frame.
  struct Reservation {
    io::MemoryGate* gate = nullptr;
    std::uint64_t bytes = 0;
    void release() {
      if (gate != nullptr) gate->release(bytes);
      gate = nullptr;
    }
  };
  struct Slot {
    Reservation memory;
    bool enqueued = false;
    bool done = false;
    handler::Reply reply;
  };

  io::Stream& stream() const { return *connection_.stream; }
  io::Task<Result<void>> secure();
  io::Task<Result<void>> read_loop();
  io::Task<Result<Slice>> next_frame(Reservation& memory);
  io::Task<void> reserve_large(std::size_t bytes, Reservation& memory);
  bool is_full() const noexcept;
  io::Task<void> serve(Slot& slot, Slice frame);
  void note_place(std::size_t worked_on);
  io::Task<void> ask_to_move();
  io::Task<void> flush();
  void end_burst();
  void flush_soon();
  io::Pieces take_ready();

  io::Shard& shard_;
  Connected connection_;
  SessionOptions options_;
  RequestMemory& memory_;
  const Dispatch& dispatch_;
  const MayMove& may_move_;
  Logger logger_;
  std::deque<std::unique_ptr<Slot>> slots_;  // oldest first; a slot stays until its reply is on its way
  std::size_t outstanding_ = 0;              // replies not yet written whole
  std::uint64_t unsent_bytes_ = 0;           // of replies in memory that are done but not yet written whole
  std::uint64_t written_bytes_ = 0;          // ever, to the kernel
  std::uint64_t written_seen_ = 0;           // of these, those that last_active() knew
  Instant reserved_at_ = Instant::never();   // since when memory is held for a frame that is not complete
  std::size_t elsewhere_ = 0;                // the other shard that did the work of
  std::size_t elsewhere_in_a_row_ = 0;       // this many requests, one after the other
  std::size_t ask_after_ = kAskAfter;        // so many: doubles with each refusal
  std::optional<std::size_t> moves_to_;
  handler::Hangup hangup_;
  io::Signal progress_;
  io::Gate handlers_;
  Instant last_active_;
  bool flushing_ = false;
  bool bursting_ = false;  // frames that came in one read are being started: replies wait for the end of the burst
  bool closed_ = false;
};

}  // namespace klamm::server
