// The physical limit: what loopback TCP, CRC32C, write and sendfile allow without any broker.
//   raw append   <megabytes> <bytes a piece>    one process sends; the other receives, takes the CRC, writes to a file
//   raw receive  <megabytes> <bytes a piece>    the same without CRC and file
//   raw sendfile <megabytes> <bytes a piece>    one sends a cached file by sendfile; the other has the kernel drop it
//   raw echo     <times> <bytes>                round trips
//   raw sync     <times> <bytes>                one process appends to a file and waits for the disk each time
// Prints one line of JSON; CPU times are those of both processes together.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/load/meter.h"
#include "protocol/record/crc32c.h"

namespace {

using namespace klamm::bench;

void require(bool holds, const char* what) {
  if (holds) return;
  std::perror(what);
  std::exit(1);
}

constexpr int kSendBuffer = 409'600;  // as klamm's own, socket.send.buffer.bytes

// Two ends of a TCP connection over loopback.
struct Pair {
  Pair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    require(::bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
    require(::listen(listener, 1) == 0, "listen");
    require(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
    left = ::socket(AF_INET, SOCK_STREAM, 0);
    require(::connect(left, reinterpret_cast<sockaddr*>(&address), size) == 0, "connect");
    right = ::accept(listener, nullptr, nullptr);
    require(right >= 0, "accept");
    ::close(listener);
    const int yes = 1;
    ::setsockopt(left, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ::setsockopt(right, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    for (const int end : {left, right}) ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  int left = -1;
  int right = -1;
};

void send_bytes(int to, const char* from, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t put = ::send(to, from, bytes, MSG_NOSIGNAL);
    require(put > 0, "send");
    from += put;
    bytes -= static_cast<std::size_t>(put);
  }
}

void receive_bytes(int from, char* into, std::size_t bytes) {
  require(::recv(from, into, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes), "recv");
}

int temporary_file() {
  std::string name = "klamm-raw-XXXXXX";
  const int file = ::mkstemp(name.data());
  require(file >= 0, "mkstemp");
  ::unlink(name.c_str());
  return file;
}

void send_pieces(int to, std::int64_t bytes, std::size_t piece) {
  const std::vector<char> data(piece, 'v');
  for (; bytes > 0; bytes -= static_cast<std::int64_t>(piece)) send_bytes(to, data.data(), piece);
}

void append(int from, std::int64_t bytes, std::size_t piece, bool keep) {
  std::vector<char> data(piece);
  const int file = keep ? temporary_file() : -1;
  std::uint32_t sum = 0;
  for (; bytes > 0; bytes -= static_cast<std::int64_t>(piece)) {
    receive_bytes(from, data.data(), piece);
    if (!keep) continue;
    sum ^= klamm::record::crc32c(klamm::as_bytes(std::string_view(data.data(), piece)));
    require(::write(file, data.data(), piece) == static_cast<ssize_t>(piece), "write");
  }
  if (sum == 1) std::fputs("an odd sum\n", stderr);  // so that the CRC cannot be left out
}

void send_file(int to, int file, std::int64_t bytes, std::int64_t file_bytes, std::size_t piece) {
  off_t offset = 0;
  while (bytes > 0) {
    if (offset + static_cast<off_t>(piece) > file_bytes) offset = 0;
    const ssize_t put = ::sendfile(to, file, &offset, piece);
    require(put > 0, "sendfile");
    bytes -= put;
  }
}

void drop(int from) {
  while (::recv(from, nullptr, 1 << 20, MSG_TRUNC) > 0) {
  }
}

void echo(int end, std::int64_t times, std::size_t bytes, bool first) {
  std::vector<char> data(bytes, 'v');
  for (; times > 0; --times) {
    if (first) send_bytes(end, data.data(), bytes);
    receive_bytes(end, data.data(), bytes);
    if (!first) send_bytes(end, data.data(), bytes);
  }
}

int append_synced(std::int64_t times, std::size_t piece) {
  const std::vector<char> data(piece, 'v');
  const int file = temporary_file();
  const std::int64_t started_ns = now_ns();
  for (std::int64_t done = 0; done < times; ++done) {
    require(::write(file, data.data(), piece) == static_cast<ssize_t>(piece), "write");
    require(::fdatasync(file) == 0, "fdatasync");
  }
  std::printf("{\"times\":%lld,\"seconds\":%.6f}\n", static_cast<long long>(times),
              static_cast<double>(now_ns() - started_ns) / 1e9);
  return 0;
}

CpuTime children() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {seconds(usage.ru_utime), seconds(usage.ru_stime)};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 4 ? argv[1] : "";
  if (mode != "append" && mode != "receive" && mode != "sendfile" && mode != "echo" && mode != "sync") {
    std::fputs("usage: raw append|receive|sendfile|echo|sync <megabytes or times> <bytes>\n", stderr);
    return 2;
  }
  const std::int64_t count = number(argv[2]);
  const auto piece = static_cast<std::size_t>(number(argv[3]));
  const std::int64_t bytes =
      mode == "echo" ? 2 * count * number(argv[3]) : count * 1'000'000 / number(argv[3]) * number(argv[3]);
  if (mode == "sync") return append_synced(count, piece);
  const std::int64_t file_bytes = 200'000'000;
  int file = -1;
  if (mode == "sendfile") {
    file = temporary_file();
    const std::vector<char> data(1'000'000, 'v');
    for (std::int64_t written = 0; written < file_bytes; written += 1'000'000) {
      require(::write(file, data.data(), data.size()) == static_cast<ssize_t>(data.size()), "write");
    }
  }
  const Pair pair;
  const std::int64_t started_ns = now_ns();
  const CpuTime before = CpuTime::now();
  const pid_t child = ::fork();
  require(child >= 0, "fork");
  if (child == 0) {
    ::close(pair.left);
    if (mode == "sendfile") {
      drop(pair.right);
    } else if (mode == "echo") {
      echo(pair.right, count, piece, false);
    } else {
      send_pieces(pair.right, bytes, piece);
    }
    std::_Exit(0);
  }
  ::close(pair.right);
  if (mode == "sendfile") {
    send_file(pair.left, file, bytes, file_bytes, piece);
    ::shutdown(pair.left, SHUT_WR);
  } else if (mode == "echo") {
    echo(pair.left, count, piece, true);
  } else {
    append(pair.left, bytes, piece, mode == "append");
  }
  int status = 0;
  require(::waitpid(child, &status, 0) == child && status == 0, "the other process");
  const double seconds = static_cast<double>(now_ns() - started_ns) / 1e9;
  const CpuTime own = CpuTime::now();
  const CpuTime other = children();
  std::printf(R"({"bytes":%lld,"seconds":%.6f,"user":%.6f,"system":%.6f,"round_trip_us":%.2f})"
              "\n",
              static_cast<long long>(bytes), seconds, own.user_s - before.user_s + other.user_s,
              own.system_s - before.system_s + other.system_s,
              mode == "echo" ? seconds * 1e6 / static_cast<double>(count) : 0);
}
