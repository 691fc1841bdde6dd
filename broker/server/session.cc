#include "broker/server/session.h"

#include <algorithm>

#include "protocol/messages/api_key.h"

namespace klamm::server {
namespace {
// Frames up to this are read without a reservation: they share the reader's buffer, whose size is bounded.
constexpr std::size_t kSmallBytes = 64 << 10;
// Larger ones reserve theirs when this much has come: announcing alone takes nothing from others.
constexpr std::size_t kReserveFromBytes = 32 << 10;
// While others wait for memory, a frame must come at least this fast after a while.
constexpr std::uint64_t kSlowestBytesPerSecond = 256 << 10;
constexpr Duration kStallPatience = 3s;
constexpr Duration kHandshakePatience = 30s;

// Bytes that wait in memory; a range of a file does not.
std::uint64_t bytes_in_memory(const io::Pieces& pieces) {
  std::uint64_t total = 0;
  for (const io::Piece& piece : pieces) {
    if (const Slice* slice = std::get_if<Slice>(&piece)) total += slice->size();
  }
  return total;
}

// Produce requests let the next one start before they are done. Of all others there is one at a time, in little more
// than the buffer that it was read into.
bool may_pile_up(const Slice& frame) {
  constexpr std::int16_t kProduce = static_cast<std::int16_t>(protocol::ApiKey::produce);
  return frame.size() >= 2 && load_big_endian<std::int16_t>(frame.data()) == kProduce;
}

}  // namespace

Session::Session(io::Shard& shard, Connected connection, SessionOptions options, RequestMemory& memory,
                 const Dispatch& dispatch, const MayMove& may_move, Logger logger)
    : shard_(shard),
      connection_(std::move(connection)),
      options_(options),
      memory_(memory),
      dispatch_(dispatch),
      may_move_(may_move),
      logger_(std::move(logger)),
      progress_(shard),
      handlers_(shard),
      last_active_(shard.now()) {}

io::Task<void> Session::run() {
  Result<void> ended = co_await secure();
  if (ended) ended = co_await read_loop();
  if (!ended && !(ended.error() == Errc::end_of_stream) && !(ended.error() == Errc::cancelled)) {
    logger_.info("connection from {} closed: {}", stream().peer().text(), ended.error().message());
  }
  // Replies to what was accepted still go out, unless the connection itself is gone.
  end_burst();
  const bool peer_gone = !ended && ended.error().code().category() == std::system_category();
  if (peer_gone) close();
  while (outstanding_ > 0 && !closed_) co_await progress_.wait();
  if (!moves_to_) close();
  co_await handlers_.close();
  for (const std::unique_ptr<Slot>& slot : slots_) slot->memory.release();
  slots_.clear();
}

void Session::close() {
  if (closed_) return;
  closed_ = true;
  stream().close();
  hangup_.hang_up();
  progress_.notify_all();
}

Instant Session::last_active() {
  if (written_seen_ != written_bytes_) {
    written_seen_ = written_bytes_;
    last_active_ = shard_.now();
  }
  return last_active_;
}

bool Session::is_stalling(Instant now) const {
  if (reserved_at_ == Instant::never()) return false;
  const Duration elapsed = now - reserved_at_;
  if (elapsed < kStallPatience) return false;
  const auto seconds = static_cast<std::uint64_t>(elapsed / 1s);
  return connection_.reader.received_bytes() < seconds * kSlowestBytesPerSecond;
}

// Replies wait that the peer does not take.
bool Session::is_full() const noexcept {
  return outstanding_ >= options_.max_outstanding_replies || unsent_bytes_ >= options_.max_unsent_bytes;
}

// On a TLS listener: agrees on keys, and learns who the client is if it shows a certificate.
io::Task<Result<void>> Session::secure() {
  if (options_.tls == nullptr) co_return Result<void>();
  Result<void> shaken = co_await options_.tls->handshake(shard_.now() + kHandshakePatience);
  KLAMM_CO_TRY(shaken);
  last_active_ = shard_.now();
  std::string subject = options_.tls->peer_subject();
  if (!subject.empty()) connection_.context.principal.name = std::move(subject);
  co_return Result<void>();
}

io::Task<Result<void>> Session::read_loop() {
  while (!closed_) {
    if (elsewhere_in_a_row_ >= ask_after_) co_await ask_to_move();
    if (moves_to_) co_return Result<void>();
    if (is_full()) end_burst();
    while (is_full() && !closed_) co_await progress_.wait();
    Reservation memory;
    Result<Slice> frame = co_await next_frame(memory);
    if (!frame || closed_) {
      memory.release();
      reserved_at_ = Instant::never();
      if (!frame) co_return fail(std::move(frame).error());
      break;
    }
    slots_.push_back(std::make_unique<Slot>());
    Slot& slot = *slots_.back();
    slot.memory = memory;
    ++outstanding_;
    handlers_.spawn(serve(slot, std::move(*frame)));
    if (slots_.empty() || slots_.back().get() != &slot) continue;  // served and taken already
    if (!slot.enqueued) end_burst();                               // earlier replies must not wait for this one
    while (!slots_.empty() && slots_.back().get() == &slot && !slot.enqueued && !closed_) co_await progress_.wait();
  }
  co_return fail(Errc::cancelled);
}

// The next frame of the burst, or of the next one. Memory for a large frame is reserved before most of it is read.
io::Task<Result<Slice>> Session::next_frame(Reservation& memory) {
  for (;;) {
    Result<std::optional<Slice>> frame = connection_.reader.next();
    if (!frame) co_return fail(std::move(frame).error());
    if (*frame) {
      reserved_at_ = Instant::never();
      if (memory.gate == nullptr && may_pile_up(**frame)) {
        const std::uint64_t bytes = (*frame)->size();
        if (!memory_.small.try_acquire(bytes)) {
          end_burst();
          co_await memory_.small.acquire(bytes);
        }
        memory = {&memory_.small, bytes};
      }
      bursting_ = true;
      co_return std::move(**frame);
    }
    const std::size_t begun = connection_.reader.begun_bytes();
    const bool large = begun > kSmallBytes;
    if (large && memory.gate == nullptr && connection_.reader.received_bytes() >= kReserveFromBytes) {
      co_await reserve_large(begun, memory);
    }
    Result<std::size_t> got = large && memory.gate == nullptr ? connection_.reader.fill(stream(), kSmallBytes)
                                                              : connection_.reader.fill(stream());
    if (got) {
      last_active_ = shard_.now();
      continue;
    }
    if (got.error() == Errc::would_block) {
      end_burst();
      stream().expect(connection_.reader.missing_bytes());
      co_await stream().ready(io::Direction::read);
      continue;
    }
    if (got.error() == Errc::end_of_stream && begun > 0)
      co_return fail(Errc::malformed, "the stream ended inside a frame");
    co_return fail(std::move(got).error());
  }
}

io::Task<void> Session::reserve_large(std::size_t bytes, Reservation& memory) {
  if (!memory_.large.try_acquire(bytes)) {
    end_burst();
    ++memory_.waiting;
    memory_.shortage();
    co_await memory_.large.acquire(bytes);
    --memory_.waiting;
  }
  memory = {&memory_.large, bytes};
  reserved_at_ = shard_.now();
}

io::Task<void> Session::serve(Slot& slot, Slice frame) {
  auto enqueued = [this, &slot] {
    slot.enqueued = true;
    progress_.notify_all();
  };
  handler::Reply reply = co_await dispatch_(std::move(frame), connection_.context, std::move(enqueued), hangup_);
  if (reply.worked_on) note_place(*reply.worked_on);
  slot.memory.release();  // the frame is gone; the reply counts on its own
  slot.reply = std::move(reply);
  unsent_bytes_ += bytes_in_memory(slot.reply.body);
  slot.done = slot.enqueued = true;
  if (!bursting_) flush_soon();
  progress_.notify_all();
}

void Session::note_place(std::size_t worked_on) {
  if (worked_on != elsewhere_) elsewhere_in_a_row_ = 0;
  elsewhere_ = worked_on;
  if (worked_on != shard_.index()) ++elsewhere_in_a_row_;
}

io::Task<void> Session::ask_to_move() {
  const std::size_t to = elsewhere_;
  bool granted = false;
  if (may_move_ && options_.tls == nullptr) {
    end_burst();
    granted = co_await may_move_(shard_.index(), to);
  }
  if (granted) moves_to_ = to;
  elsewhere_in_a_row_ = 0;
  ask_after_ *= 2;
}

void Session::end_burst() {
  bursting_ = false;
  flush_soon();
}

void Session::flush_soon() {
  if (flushing_ || closed_ || slots_.empty() || !slots_.front()->done) return;
  handlers_.spawn(flush());
}

// The frames of all replies that are done, oldest first, up to the first that is not.
io::Pieces Session::take_ready() {
  io::Pieces pieces;
  while (!slots_.empty() && slots_.front()->done) {
    Slot& slot = *slots_.front();
    if (slot.reply.kind == handler::Reply::Kind::close) {
      if (!pieces.empty()) break;  // what was answered before goes out first
      logger_.info("connection from {} closed: {}", stream().peer().text(), slot.reply.reason);
      close();
      break;
    }
    if (slot.reply.kind == handler::Reply::Kind::respond) {
      for (io::Piece& piece : slot.reply.body) pieces.push_back(std::move(piece));
    }
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
      const std::uint64_t bytes = bytes_in_memory(pieces);
      Result<void> written = co_await io::write_all(stream(), std::move(pieces), &written_bytes_);
      if (!written) close();
      last_active();
      unsent_bytes_ -= bytes;
    }
    outstanding_ -= taken;
    progress_.notify_all();
  }
  flushing_ = false;
  progress_.notify_all();
}

}  // namespace klamm::server
