// TCP on Asio: readiness from its reactor, the calls themselves straight to the kernel.
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/v6_only.hpp>

#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "io/asio_shard.h"

namespace klamm::io {
namespace {

using asio::ip::tcp;

Endpoint to_endpoint(const tcp::endpoint& endpoint) {
  asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return {address.to_string(), endpoint.port()};
}

Error from_asio(const std::error_code& code, std::string context) {
  if (code == asio::error::operation_aborted) return {Errc::cancelled, std::move(context)};
  return {std::error_code(code.value(), code.category() == asio::error::get_system_category() ? std::system_category()
                                                                                              : code.category()),
          std::move(context), true};
}

// Before listen(2) or connect(2): the peers agree on the window's scale by what the receiver has.
void set_buffers(auto& socket, const SocketBuffers& buffers) {
  std::error_code ignored;
  if (buffers.send_bytes >= 0) socket.set_option(asio::socket_base::send_buffer_size(buffers.send_bytes), ignored);
  if (buffers.receive_bytes >= 0) {
    socket.set_option(asio::socket_base::receive_buffer_size(buffers.receive_bytes), ignored);
  }
}

class TcpStream final : public Stream, private OpenSockets::Member {
 public:
  TcpStream(AsioShard& shard, tcp::socket socket)
      : OpenSockets::Member(shard.sockets()), shard_(shard), socket_(std::move(socket)) {
    std::error_code ignored;
    socket_.non_blocking(true, ignored);
    socket_.set_option(tcp::no_delay(true), ignored);
    peer_ = to_endpoint(socket_.remote_endpoint(ignored));
    local_ = to_endpoint(socket_.local_endpoint(ignored));
  }
  ~TcpStream() override { leave(); }

  const Endpoint& peer() const override { return peer_; }
  const Endpoint& local() const override { return local_; }

  Result<std::size_t> try_read(MutableBytes into) override {
    if (!socket_.is_open()) return fail(Errc::cancelled);
    for (;;) {
      const ssize_t got = ::recv(socket_.native_handle(), into.data(), into.size(), 0);
      if (got > 0) return static_cast<std::size_t>(got);
      if (got == 0) return fail(Errc::end_of_stream);
      if (errno == EINTR) continue;
      return fail(call_error());
    }
  }

  Result<std::size_t> try_write(std::span<const Piece> pieces) override {
    if (!socket_.is_open()) return fail(Errc::cancelled);
    cold_ = {};
    std::size_t total = 0;
    while (!pieces.empty()) {
      std::size_t used = 0;  // pieces handed over whole
      std::uint64_t wanted = 0;
      Result<std::size_t> put = std::holds_alternative<FileRegion>(pieces.front()) ? send_region(pieces, used, wanted)
                                                                                   : send_slices(pieces, used, wanted);
      if (!put) {
        if (total > 0 && put.error() == Errc::would_block) return total;
        return put;
      }
      total += *put;
      if (*put < wanted) return total;
      pieces = pieces.subspan(used);
    }
    return total;
  }

  void wait(Direction direction, ReadinessWaiter& waiter) override {
    if (!socket_.is_open()) {
      shard_.resume_soon(waiter.handle);
      return;
    }
    if (direction == Direction::write && cold_.file) {
      ColdRead* read = new ColdRead{shard_, std::exchange(cold_, {}), waiter.handle};
      shard_.disk().submit(&ColdRead::run, read);
      return;
    }
    socket_.async_wait(direction == Direction::read ? tcp::socket::wait_read : tcp::socket::wait_write,
                       [&waiter](const std::error_code&) { waiter.handle.resume(); });
  }

  void expect(std::size_t bytes) override {
    const int expected = static_cast<int>(std::clamp<std::size_t>(bytes, 1, kMostExpected));
    if (expected == expected_ || !socket_.is_open()) return;
    if (::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVLOWAT, &expected, sizeof expected) == 0) {
      expected_ = expected;
    }
  }
  void shutdown_write() override {
    std::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
  void close() override {
    std::error_code ignored;
    socket_.close(ignored);
  }
  std::unique_ptr<Stream> move_to(Shard& shard) override {
    if (!socket_.is_open()) return nullptr;
    AsioShard& there = static_cast<AsioShard&>(shard);
    std::error_code code;
    const tcp protocol = socket_.local_endpoint(code).protocol();
    const int fd = socket_.release(code);
    if (code) return nullptr;
    tcp::socket moved(there.executor());
    moved.assign(protocol, fd, code);
    if (code) {  // no room in the other shard's poll set
      ::close(fd);
      return nullptr;
    }
    auto stream = std::make_unique<TcpStream>(there, std::move(moved));
    stream->expected_ = expected_;
    return stream;
  }

 private:
  static constexpr std::size_t kChunk = 256 << 10;
  // The receiver of a large frame wakes once for so much of it: less is more wakeups, more lets the sender wait.
  static constexpr std::size_t kMostExpected = 256 << 10;

  // Brings a region's pages into memory on a disk thread, then lets the writer try again.
  struct ColdRead {
    AsioShard& shard;
    FileRegion region;
    std::coroutine_handle<> handle;
    static void run(void* self) {
      auto* read = static_cast<ColdRead*>(self);
      std::array<std::byte, 64 << 10> sink;
      for (std::uint64_t done = 0; done < read->region.size;) {
        const std::size_t size = std::min<std::uint64_t>(sink.size(), read->region.size - done);
        const ssize_t got =
            ::pread(read->region.file->descriptor(), sink.data(), size, static_cast<off_t>(read->region.offset + done));
        if (got <= 0) break;
        done += static_cast<std::uint64_t>(got);
      }
      read->shard.post(&ColdRead::finish, read);
    }
    static void finish(void* self) {
      auto* read = static_cast<ColdRead*>(self);
      const std::coroutine_handle<> handle = read->handle;
      delete read;
      handle.resume();
    }
  };

  void cut() override {
    std::error_code ignored;
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
  }

  static Error call_error() {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Errc::would_block;
    return system_error(errno, "connection");
  }

  Result<std::size_t> send_slices(std::span<const Piece> pieces, std::size_t& used, std::uint64_t& wanted) {
    constexpr std::size_t kMostVectors = 64;
    std::array<iovec, kMostVectors> vectors;
    std::size_t count = 0;
    while (used < pieces.size() && count < kMostVectors) {
      const Slice* slice = std::get_if<Slice>(&pieces[used]);
      if (slice == nullptr) break;
      ++used;
      if (slice->empty()) continue;
      vectors[count++] = {const_cast<std::byte*>(slice->data()), slice->size()};
      wanted += slice->size();
    }
    if (count == 0) return std::size_t{0};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const int more = used < pieces.size() ? MSG_MORE : 0;
    for (;;) {
      const ssize_t put = ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | more);
      if (put >= 0) return static_cast<std::size_t>(put);
      if (errno == EINTR) continue;
      return fail(call_error());
    }
  }

  // True if a byte in each page-cache chunk of the range can be read without waiting for the disk.
  static bool resident(const FileRegion& region, std::uint64_t size) {
    constexpr std::uint64_t kStep = 64 << 10;
    std::byte probe;
    for (std::uint64_t at = 0; at < size; at += kStep) {
      const Result<std::size_t> got = region.file->try_read(region.offset + at, MutableBytes(&probe, 1));
      if (!got && got.error() == Errc::would_block) return false;
    }
    const Result<std::size_t> last = region.file->try_read(region.offset + size - 1, MutableBytes(&probe, 1));
    return last || !(last.error() == Errc::would_block);
  }

  Result<std::size_t> send_region(std::span<const Piece> pieces, std::size_t& used, std::uint64_t& wanted) {
    const FileRegion& region = std::get<FileRegion>(pieces.front());
    wanted = std::min<std::uint64_t>(region.size, kChunk);
    used = wanted == region.size ? 1 : 0;
    if (wanted == 0) return std::size_t{0};
    if (!resident(region, wanted)) {
      cold_ = {region.file, region.offset, wanted};
      return fail(Errc::would_block);
    }
    off_t offset = static_cast<off_t>(region.offset);
    for (;;) {
      const ssize_t put = ::sendfile(socket_.native_handle(), region.file->descriptor(), &offset, wanted);
      if (put > 0) {
        if (used == 0)
          wanted = static_cast<std::uint64_t>(put) + 1;  // the caller comes back with the rest of the region
        return static_cast<std::size_t>(put);
      }
      if (put == 0) return fail(Error(Errc::corrupt, region.file->path() + " is shorter than the region to send"));
      if (errno == EINTR) continue;
      return fail(call_error());
    }
  }

  AsioShard& shard_;
  tcp::socket socket_;
  Endpoint peer_, local_;
  int expected_ = 1;  // SO_RCVLOWAT
  FileRegion cold_;   // what try_write found not to be in memory
};

// co_await of an Asio operation whose handler takes an error code (and things that nobody needs).
template <typename Start>
struct AsioWait {
  Start start;
  std::error_code code;
  std::coroutine_handle<> handle;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiter) {
    handle = awaiter;
    start([this](const std::error_code& result) {
      code = result;
      handle.resume();
    });
  }
  void await_resume() const noexcept {}
};
template <typename Start>
AsioWait(Start) -> AsioWait<Start>;

class TcpListener final : public Listener, private OpenSockets::Member {
 public:
  TcpListener(AsioShard& shard, tcp::acceptor acceptor)
      : OpenSockets::Member(shard.sockets()), acceptor_(std::move(acceptor)) {
    std::error_code ignored;
    acceptor_.non_blocking(true, ignored);
    local_ = to_endpoint(acceptor_.local_endpoint(ignored));
  }
  ~TcpListener() override { leave(); }
  const Endpoint& local() const override { return local_; }
  void close() override {
    std::error_code ignored;
    acceptor_.close(ignored);
  }

  Task<Result<std::unique_ptr<Stream>>> accept(Shard& home) override {
    for (;;) {
      if (!acceptor_.is_open()) co_return fail(Errc::cancelled);
      const int fd = ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) {
        AsioShard& shard = static_cast<AsioShard&>(home);
        const bool v6 = acceptor_.local_endpoint().address().is_v6();
        tcp::socket socket(shard.executor(), v6 ? tcp::v6() : tcp::v4(), fd);
        co_return std::unique_ptr<Stream>(std::make_unique<TcpStream>(shard, std::move(socket)));
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) co_return fail(system_error(errno, "accept on " + local_.text()));
      AsioWait wait{[this](auto handler) { acceptor_.async_wait(tcp::acceptor::wait_read, handler); }};
      co_await wait;
    }
  }

 private:
  void cut() override { close(); }
  tcp::acceptor acceptor_;
  Endpoint local_;
};

}  // namespace

Task<Result<std::unique_ptr<Stream>>> AsioShard::connect(Endpoint to, Duration timeout, SocketBuffers buffers) {
  const std::string context = "connect to " + to.text();
  if (disk().dead()) co_return fail(Errc::cancelled, context);
  tcp::resolver resolver(executor_);
  tcp::socket socket(executor_);
  bool expired = false;
  Timer deadline(*this, [&] {
    expired = true;
    std::error_code ignored;
    resolver.cancel();
    socket.close(ignored);
  });
  deadline.arm_in(timeout);

  std::vector<tcp::endpoint> candidates;
  std::error_code code;
  const asio::ip::address numeric = asio::ip::make_address(to.host, code);
  if (!code) {
    candidates.emplace_back(numeric, to.port);
  } else {
    tcp::resolver::results_type results;
    AsioWait resolved{[&](auto handler) {
      resolver.async_resolve(
          to.host, std::to_string(to.port),
          [handler, &results](const std::error_code& result, tcp::resolver::results_type found) mutable {
            results = std::move(found);
            handler(result);
          });
    }};
    co_await resolved;
    if (resolved.code && !expired) co_return fail(from_asio(resolved.code, context));
    for (const auto& entry : results) candidates.push_back(entry.endpoint());
  }
  std::error_code last = asio::error::host_not_found;
  for (const tcp::endpoint& candidate : candidates) {
    if (expired) break;
    std::error_code ignored;
    socket.close(ignored);
    socket.open(candidate.protocol(), last);
    if (last) continue;
    set_buffers(socket, buffers);
    AsioWait connected{[&](auto handler) { socket.async_connect(candidate, handler); }};
    co_await connected;
    last = connected.code;
    if (!last) break;
  }
  deadline.cancel();
  if (expired) co_return fail(Error(Errc::timed_out, context, true));
  if (last) co_return fail(from_asio(last, context));
  if (disk().dead()) co_return fail(Errc::cancelled, context);
  co_return std::unique_ptr<Stream>(std::make_unique<TcpStream>(*this, std::move(socket)));
}

Result<std::unique_ptr<Listener>> AsioShard::listen(Endpoint at, int backlog, SocketBuffers buffers) {
  const std::string context = "listen on " + at.text();
  if (disk().dead()) return fail(Errc::cancelled, context);
  std::error_code code;
  std::vector<tcp::endpoint> candidates;
  if (at.host.empty()) {
    candidates = {tcp::endpoint(tcp::v6(), at.port), tcp::endpoint(tcp::v4(), at.port)};
  } else {
    tcp::resolver resolver(executor_);
    const auto results = resolver.resolve(at.host, std::to_string(at.port), tcp::resolver::passive, code);
    if (code) return fail(from_asio(code, context));
    for (const auto& entry : results) candidates.push_back(entry.endpoint());
  }
  for (const tcp::endpoint& candidate : candidates) {
    tcp::acceptor acceptor(executor_);
    std::error_code ignored;
    acceptor.open(candidate.protocol(), code);
    if (code) continue;
    acceptor.set_option(tcp::acceptor::reuse_address(true), ignored);
    if (candidate.protocol() == tcp::v6() && at.host.empty()) acceptor.set_option(asio::ip::v6_only(false), ignored);
    set_buffers(acceptor, buffers);  // what it accepts inherits them
    acceptor.bind(candidate, code);
    if (!code) acceptor.listen(backlog, code);
    if (!code) return std::unique_ptr<Listener>(std::make_unique<TcpListener>(*this, std::move(acceptor)));
  }
  return fail(from_asio(code, context));
}

}  // namespace klamm::io
