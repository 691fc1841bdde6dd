// TLS over any stream: a Stream whose bytes go encrypted over another one. Both sides, TLS 1.2 and 1.3.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "io/shard.h"
#include "io/stream.h"
#include "io/tls/context.h"

namespace klamm::io::tls {

class Session;

// Belongs to the shard of the stream below, which it owns. Made, then handshake(), then as any Stream. What differs:
// - After Errc::would_block from try_write() the same bytes must be offered again (write_all does): they may have been
//   encrypted already and wait for room below.
// - The end of the stream is the peer's close_notify. A connection that ends without one was cut short, which is
//   Errc::malformed.
// - An alert by which the peer refuses us (no certificate, an unknown one) is Errc::authentication_failed; with
//   TLS 1.3 a client meets it at its first read, after its handshake.
class TlsStream final : public Stream {
 public:
  // The client side. `host` and `port` are what was connected to: the name is told to the server, checked against its
  // certificate (if the context verifies hosts), and shown in errors.
  static std::unique_ptr<TlsStream> client(Shard& shard, std::unique_ptr<Stream> below,
                                           std::shared_ptr<const Context> context, const Endpoint& server);
  static std::unique_ptr<TlsStream> server(Shard& shard, std::unique_ptr<Stream> below,
                                           std::shared_ptr<const Context> context);
  ~TlsStream() override;

  // Agrees on keys and checks certificates; once, before anything else. The connection is of no use after a failure:
  // Errc::timed_out at the deadline; Errc::authentication_failed when one side does not take the other's certificate,
  // name, version or ciphers, or the peer speaks no TLS; else why the stream below failed. Messages hold OpenSSL's
  // reason. A failure returns only when the peer has had a moment to read why.
  Task<Result<void>> handshake(Instant deadline);

  // The subject of the peer's certificate as Java writes it by RFC 2253; empty if it showed none.
  std::string peer_subject() const;
  // "TLSv1.3", and the cipher by IANA's name. After the handshake.
  std::string version() const;
  std::string cipher() const;

  Result<std::size_t> try_read(MutableBytes into) override;
  Result<std::size_t> try_write(std::span<const Piece> pieces) override;
  void wait(Direction direction, ReadinessWaiter& waiter) override;
  void shutdown_write() override;
  void close() override;
  const Endpoint& peer() const override;
  const Endpoint& local() const override;

 private:
  explicit TlsStream(std::shared_ptr<Session> session);
  std::shared_ptr<Session> session_;
};

}  // namespace klamm::io::tls
