#include "io/tls/session.h"

#include <openssl/err.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace klamm::io::tls {

// OpenSSL's way to and from a session.
struct Bio {
  static Session& session(BIO* bio) { return *static_cast<Session*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, std::size_t size, std::size_t* got) {
    BIO_clear_retry_flags(bio);
    bool retry = false;
    const int done = session(bio).bio_read(reinterpret_cast<std::byte*>(into), size, *got, retry);
    if (retry) BIO_set_retry_read(bio);
    return done;
  }
  static int write(BIO* bio, const char* from, std::size_t size, std::size_t* put) {
    BIO_clear_retry_flags(bio);
    session(bio).bio_write(as_bytes(std::string_view(from, size)));
    *put = size;
    return 1;
  }
  static long control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return session(bio).below_ended_ ? 1 : 0;
    return 0;
  }
  static int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  // Made once and kept for the life of the program.
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const made = [] {
      BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "klamm stream");
      BIO_meth_set_read_ex(fresh, read);
      BIO_meth_set_write_ex(fresh, write);
      BIO_meth_set_ctrl(fresh, control);
      BIO_meth_set_create(fresh, create);
      return fresh;
    }();
    return made;
  }
};

Session::Session(Shard& shard, std::unique_ptr<Stream> below, std::shared_ptr<const Context> context,
                 std::string peer_name)
    : shard_(shard),
      below_(std::move(below)),
      context_(std::move(context)),
      peer_name_(std::move(peer_name)),
      ssl_(SSL_new(context_->native())) {
  KLAMM_CHECK(ssl_, "OpenSSL has no memory for a connection");
  BIO* bio = BIO_new(Bio::method());
  KLAMM_CHECK(bio, "OpenSSL has no memory for a connection");
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_verify(ssl_.get(), SSL_CTX_get_verify_mode(context_->native()), verified);
  // Certificates are valid or not by this environment's clock.
  X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl_.get()), static_cast<time_t>(shard.wall_ms() / 1000));
}

// ---- the stream below ----

int Session::bio_read(std::byte* into, std::size_t size, std::size_t& got, bool& retry) {
  Result<std::size_t> some = below_->try_read({into, size});
  if (some) {
    got = *some;
    return 1;
  }
  got = 0;
  if (some.error() == Errc::would_block) {
    retry = true;
  } else if (some.error() == Errc::end_of_stream) {
    below_ended_ = true;
  } else {
    below_error_ = std::move(some).error();
  }
  return 0;
}

void Session::bio_write(Bytes bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

// Sends what OpenSSL has made; false if there is no room below for all of it.
Result<bool> Session::flush() {
  while (out_begin_ < out_.size()) {
    const Piece piece(Slice::borrow(Bytes(out_).subspan(out_begin_)));
    Result<std::size_t> put = below_->try_write(std::span(&piece, 1));
    if (!put && put.error() == Errc::would_block) return false;
    if (!put) return fail(std::move(put).error());
    out_begin_ += *put;
  }
  out_.clear();
  out_begin_ = 0;
  return true;
}

// An idle connection holds no buffer.
void Session::release_when_idle() {
  if (out_.empty() && out_.capacity() > 0) std::vector<std::byte>().swap(out_);
}

Task<Result<void>> Session::flush_all() {
  for (;;) {
    Result<bool> down = flush();
    KLAMM_CO_TRY(down);
    if (*down) co_return Result<void>();
    co_await below_->ready(Direction::write);
  }
}

// ---- reading ----

Result<std::size_t> Session::read(MutableBytes into) {
  if (closed_) return fail(Errc::cancelled, "connection to " + peer_name_);
  std::size_t total = 0;
  bool more = true;
  while (more && total < into.size() && !fault_ && !ended_) {
    ERR_clear_error();
    std::size_t got = 0;
    const int done = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &got);
    total += got;
    if (done == 1) continue;
    const int why = SSL_get_error(ssl_.get(), done);
    more = false;
    if (why == SSL_ERROR_ZERO_RETURN) {
      ended_ = true;
    } else if (why != SSL_ERROR_WANT_READ) {
      fault_ = fault_of_stream();
    }
  }
  has_read_all_ = !more;
  // Reading may have made an answer necessary (new keys, an alert). That it cannot go down now is for write() to find.
  if (!out_.empty()) static_cast<void>(flush());
  release_when_idle();
  if (total > 0) return total;
  if (fault_) return fail(*fault_);
  return fail(ended_ ? Errc::end_of_stream : Errc::would_block);
}

// ---- writing ----

void Session::Cursor::skip(std::uint64_t bytes) {
  offset += bytes;
  while (!pieces.empty() && offset >= size_of(pieces.front())) {
    offset -= size_of(pieces.front());
    pieces = pieces.subspan(1);
  }
}

// The text to encrypt next: a part of a large slice where it lies, or small pieces and files gathered in `scratch`.
// Empty at the end. Fails only if there is nothing at all before what failed.
Result<Bytes> Session::gather(Cursor cursor, Scratch& scratch) {
  std::size_t size = 0;
  while (!cursor.pieces.empty() && size < scratch.size()) {
    const MutableBytes room = MutableBytes(scratch).subspan(size);
    std::size_t taken = 0;
    if (const auto* slice = std::get_if<Slice>(&cursor.pieces.front())) {
      const Bytes left = slice->bytes().subspan(cursor.offset);
      if (size == 0 && left.size() >= kRecord) return left.first(std::min(left.size(), kChunk));
      taken = std::min(left.size(), room.size());
      std::memcpy(room.data(), left.data(), taken);
    } else {
      FileRegion region = std::get<FileRegion>(cursor.pieces.front());
      region.offset += cursor.offset;
      region.size -= cursor.offset;
      Result<std::size_t> got = region_bytes(region, room.first(std::min<std::uint64_t>(region.size, room.size())));
      if (!got && size == 0) return fail(std::move(got).error());
      if (!got) break;
      taken = *got;
    }
    size += taken;
    cursor.skip(taken);
  }
  return Bytes(scratch).first(size);
}

Result<std::size_t> Session::region_bytes(const FileRegion& region, MutableBytes into) {
  if (warm_at_ && warm_at_->file == region.file && warm_at_->offset <= region.offset &&
      region.offset < warm_at_->offset + warm_at_->size) {
    const Bytes warm = Bytes(warm_).subspan(region.offset - warm_at_->offset);
    const std::size_t size = std::min(warm.size(), into.size());
    std::memcpy(into.data(), warm.data(), size);
    return size;
  }
  Result<std::size_t> got = region.file->try_read(region.offset, into);
  if (!got) {
    if (got.error() == Errc::would_block)
      cold_ = FileRegion{region.file, region.offset, std::min<std::uint64_t>(region.size, kColdRead)};
    return got;
  }
  if (*got == 0) return fail(Errc::corrupt, region.file->path() + " is shorter than the region to send");
  return got;
}

// Whether what was read from a disk is what comes next.
bool Session::cursor_needs_warm(const Cursor& cursor) const {
  const auto* next = cursor.pieces.empty() ? nullptr : std::get_if<FileRegion>(&cursor.pieces.front());
  if (next == nullptr || !warm_at_ || warm_at_->file != next->file) return false;
  const std::uint64_t at = next->offset + cursor.offset;
  return at >= warm_at_->offset && at < warm_at_->offset + warm_at_->size;
}

void Session::forget_warm() {
  if (!warm_at_) return;
  warm_at_.reset();
  std::vector<std::byte>().swap(warm_);
}

Result<std::size_t> Session::write(std::span<const Piece> pieces) {
  constexpr std::size_t kMostAtOnce = 1 << 20;  // then others get their turn
  if (closed_) return fail(Errc::cancelled, "connection to " + peer_name_);
  if (fault_) return fail(*fault_);
  if (shut_) return fail(system_error(EPIPE, "connection to " + peer_name_));
  Result<bool> down = flush();
  if (!down) return fail(std::move(down).error());
  if (!*down) return fail(Errc::would_block);
  if (owed_ > 0) {
    release_when_idle();
    return std::exchange(owed_, 0);
  }
  cold_.reset();
  Scratch scratch;
  Cursor cursor{pieces};
  cursor.skip(0);
  std::size_t total = 0;
  while (!cursor.pieces.empty() && total < kMostAtOnce) {
    Result<Bytes> text = gather(cursor, scratch);
    if (!text && total == 0) return fail(std::move(text).error());
    if (!text) break;
    ERR_clear_error();
    out_.reserve(text->size() + 1024);
    std::size_t taken = 0;
    if (SSL_write_ex(ssl_.get(), text->data(), text->size(), &taken) != 1) {
      fault_ = fault_of_stream();
      return fail(*fault_);
    }
    down = flush();
    if (!down) return fail(std::move(down).error());
    if (!*down) {  // told as taken when all of it has gone down
      owed_ = taken;
      if (total == 0) return fail(Errc::would_block);
      return total;
    }
    cursor.skip(taken);
    total += taken;
  }
  if (!cursor_needs_warm(cursor)) forget_warm();
  release_when_idle();
  return total;
}

// Brings a region that is not in memory there: the write that comes after it finds it in warm_.
Task<void> Session::warm_up(FileRegion region, std::coroutine_handle<> waiter) {
  const std::shared_ptr<Session> alive = shared_from_this();
  warm_at_.reset();
  warm_.resize(region.size);
  Result<std::size_t> got = co_await shard_.files().read_region(region, warm_);
  if (!got) {
    fault_ = std::move(got).error();
  } else if (*got == 0) {
    fault_ = Error(Errc::corrupt, region.file->path() + " is shorter than the region to send");
  } else {
    warm_.resize(*got);
    region.size = *got;
    warm_at_ = std::move(region);
  }
  shard_.resume_soon(waiter);
}

// ---- waiting and ending ----

void Session::wait(Direction direction, ReadinessWaiter& waiter) {
  if (closed_ || fault_ || (direction == Direction::read && (ended_ || !has_read_all_))) {
    shard_.resume_soon(waiter.handle);
  } else if (direction == Direction::write && cold_ && out_.empty()) {
    spawn_detached(warm_up(*std::exchange(cold_, std::nullopt), waiter.handle));
  } else {
    below_->wait(direction, waiter);
  }
}

void Session::shutdown_write() {
  if (closed_ || shut_) return;
  shut_ = true;
  if (!fault_ && SSL_is_init_finished(ssl_.get()) == 1) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  Result<bool> down = flush();
  if (down && !*down) {
    spawn_detached(finish_writing());
  } else {
    below_->shutdown_write();
  }
}

Task<void> Session::finish_writing() {
  const std::shared_ptr<Session> alive = shared_from_this();
  co_await flush_all();
  below_->shutdown_write();
}

void Session::close() {
  if (closed_) return;
  closed_ = true;
  if (!shut_ && !fault_ && SSL_is_init_finished(ssl_.get()) == 1) {
    shut_ = true;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    static_cast<void>(flush());
  }
  below_->close();
  cold_.reset();
  forget_warm();
}

}  // namespace klamm::io::tls
