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
#include "protocol/rpc/frame_reader.h"

namespace klamm::server {

struct SessionOptions {
  std::uint32_t max_request_bytes = 104'857'600;  // socket.request.max.bytes
  std::size_t max_outstanding_replies = 128;      // requests of one connection that may be in work or unsent
  std::string listener;                           // name of the listener it came in by
};

// Serves one frame: decodes the header, finds the handler. `frame` is the frame without its size.
using Dispatch = std::function<io::Task<handler::Reply>(Slice frame, const security::RequestContext& connection,
                                                        std::function<void()> enqueued)>;

// Lives on the shard of its stream. A request whose handler has said `enqueued` lets the next one start; replies leave
// in request order. Memory: a frame's bytes are reserved at the gate before they are read; while the gate is shut the
// connection is not read.
class Session {
 public:
  Session(io::Shard& shard, std::unique_ptr<io::Stream> stream, SessionOptions options, io::MemoryGate& memory,
          const Dispatch& dispatch, Logger logger);

  // Returns when the connection is closed and all its handlers have ended.
  io::Task<void> run();
  // Cuts the connection; run() returns soon after.
  void close();
  // When the last byte came or went.
  Instant last_active() const noexcept { return last_active_; }
  const io::Endpoint& peer() const { return stream_->peer(); }

 private:
  struct Slot {
    std::uint64_t reserved_bytes = 0;
    bool enqueued = false;
    bool done = false;
    handler::Reply reply;
  };

  io::Task<Result<void>> read_loop();
  io::Task<Result<Slice>> next_frame(std::uint64_t& reserved_bytes);
  io::Task<void> serve(Slot& slot, Slice frame);
  io::Task<void> flush();
  void end_burst();
  void flush_soon();
  io::Pieces take_ready();

  io::Shard& shard_;
  std::unique_ptr<io::Stream> stream_;
  SessionOptions options_;
  io::MemoryGate& memory_;
  const Dispatch& dispatch_;
  Logger logger_;
  security::RequestContext context_;
  rpc::FrameReader reader_;
  std::deque<std::unique_ptr<Slot>> slots_;  // oldest first; a slot stays until its reply is on its way
  std::size_t outstanding_ = 0;              // replies not yet written whole
  io::Signal progress_;
  io::Gate handlers_;
  Instant last_active_;
  bool flushing_ = false;
  bool bursting_ = false;  // frames that came in one read are being started: replies wait for the end of the burst
  bool closed_ = false;
};

}  // namespace klamm::server
