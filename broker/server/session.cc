#include "broker/server/session.h"

#include <algorithm>

namespace klamm::server {
namespace {
// Frames below this are read without a reservation: they share the reader's buffer, whose size is bounded.
constexpr std::size_t kUnreservedBytes = 64 << 10;
}  // namespace

Session::Session(io::Shard& shard, std::unique_ptr<io::Stream> stream, SessionOptions options, io::MemoryGate& memory,
                 const Dispatch& dispatch, Logger logger)
    : shard_(shard),
      stream_(std::move(stream)),
      options_(std::move(options)),
      memory_(memory),
      dispatch_(dispatch),
      logger_(std::move(logger)),
      reader_(options_.max_request_bytes),
      progress_(shard),
      handlers_(shard),
      last_active_(shard.now()) {
  context_.client_address = stream_->peer().host;
  context_.listener = options_.listener;
}

io::Task<void> Session::run() {
  Result<void> ended = co_await read_loop();
  if (!ended && !(ended.error() == Errc::end_of_stream) && !(ended.error() == Errc::cancelled)) {
    logger_.info("connection from {} closed: {}", stream_->peer().text(), ended.error().message());
  }
  // Replies to what was accepted still go out, unless the connection itself is gone.
  end_burst();
  const bool peer_gone = !ended && ended.error().code().category() == std::system_category();
  if (peer_gone) close();
  while (outstanding_ > 0 && !closed_) co_await progress_.wait();
  close();
  co_await handlers_.close();
  for (const std::unique_ptr<Slot>& slot : slots_) memory_.release(slot->reserved_bytes);
  slots_.clear();
}

void Session::close() {
  if (closed_) return;
  closed_ = true;
  stream_->close();
  progress_.notify_all();
}

io::Task<Result<void>> Session::read_loop() {
  while (!closed_) {
    if (outstanding_ >= options_.max_outstanding_replies) end_burst();
    while (outstanding_ >= options_.max_outstanding_replies && !closed_) co_await progress_.wait();
    std::uint64_t reserved_bytes = 0;
    Result<Slice> frame = co_await next_frame(reserved_bytes);
    if (!frame || closed_) {
      memory_.release(reserved_bytes);
      if (!frame) co_return fail(std::move(frame).error());
      break;
    }
    slots_.push_back(std::make_unique<Slot>());
    Slot& slot = *slots_.back();
    slot.reserved_bytes = reserved_bytes;
    ++outstanding_;
    handlers_.spawn(serve(slot, std::move(*frame)));
    if (slots_.empty() || slots_.back().get() != &slot) continue;  // served and taken already
    if (!slot.enqueued) end_burst();                               // earlier replies must not wait for this one
    while (!slots_.empty() && slots_.back().get() == &slot && !slot.enqueued && !closed_) co_await progress_.wait();
  }
  co_return fail(Errc::cancelled);
}

// The next frame of the burst, or of the next one. Reserves memory for a large frame before its bytes are read.
io::Task<Result<Slice>> Session::next_frame(std::uint64_t& reserved_bytes) {
  for (;;) {
    Result<std::optional<Slice>> frame = reader_.next();
    if (!frame) co_return fail(std::move(frame).error());
    if (*frame) {
      bursting_ = true;
      co_return std::move(**frame);
    }
    const std::size_t begun = reader_.begun_bytes();
    if (begun > kUnreservedBytes && reserved_bytes == 0) {
      end_burst();
      co_await memory_.acquire(begun);
      reserved_bytes = begun;
    }
    Result<std::size_t> got = reader_.fill(*stream_);
    if (got) {
      last_active_ = shard_.now();
      continue;
    }
    if (got.error() == Errc::would_block) {
      end_burst();
      co_await stream_->ready(io::Direction::read);
      continue;
    }
    if (got.error() == Errc::end_of_stream && begun > 0)
      co_return fail(Errc::malformed, "the stream ended inside a frame");
    co_return fail(std::move(got).error());
  }
}

io::Task<void> Session::serve(Slot& slot, Slice frame) {
  auto enqueued = [this, &slot] {
    slot.enqueued = true;
    progress_.notify_all();
  };
  handler::Reply reply = co_await dispatch_(std::move(frame), context_, std::move(enqueued));
  slot.reply = std::move(reply);
  slot.done = slot.enqueued = true;
  if (!bursting_) flush_soon();
  progress_.notify_all();
}

void Session::end_burst() {
  bursting_ = false;
  flush_soon();
}

void Session::flush_soon() {
  if (flushing_ || closed_ || slots_.empty() || !slots_.front()->done) return;
  handlers_.spawn(flush());
}

// The frames of all replies that are done, oldest first, up to the first that is not. Their memory is given back.
io::Pieces Session::take_ready() {
  io::Pieces pieces;
  while (!slots_.empty() && slots_.front()->done) {
    Slot& slot = *slots_.front();
    if (slot.reply.kind == handler::Reply::Kind::close) {
      if (!pieces.empty()) break;  // what was answered before goes out first
      logger_.info("connection from {} closed: {}", stream_->peer().text(), slot.reply.reason);
      close();
      break;
    }
    if (slot.reply.kind == handler::Reply::Kind::respond) {
      for (io::Piece& piece : slot.reply.body) pieces.push_back(std::move(piece));
    }
    memory_.release(slot.reserved_bytes);
    slots_.pop_front();
  }
  return pieces;
}

io::Task<void> Session::flush() {
  flushing_ = true;
  while (!closed_ && !slots_.empty() && slots_.front()->done) {
    const std::size_t before = slots_.size();
    io::Pieces pieces = take_ready();
    const std::size_t taken = before - slots_.size();
    if (!pieces.empty()) {
      Result<void> written = co_await io::write_all(*stream_, std::move(pieces));
      if (!written) close();
      last_active_ = shard_.now();
    }
    outstanding_ -= taken;
  }
  flushing_ = false;
  progress_.notify_all();
}

}  // namespace klamm::server
