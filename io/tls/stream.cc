#include "io/tls/stream.h"

#include <utility>

#include "io/tls/session.h"

namespace klamm::io::tls {

TlsStream::TlsStream(std::shared_ptr<Session> session) : session_(std::move(session)) {}
TlsStream::~TlsStream() { session_->close(); }

std::unique_ptr<TlsStream> TlsStream::client(Shard& shard, std::unique_ptr<Stream> below,
                                             std::shared_ptr<const Context> context, const Endpoint& server) {
  KLAMM_CHECK(context->role() == Role::client, "a server's TLS context given to a client");
  auto session = std::make_shared<Session>(shard, std::move(below), std::move(context), server.text());
  session->expect_host(server.host);
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(session)));
}

std::unique_ptr<TlsStream> TlsStream::server(Shard& shard, std::unique_ptr<Stream> below,
                                             std::shared_ptr<const Context> context) {
  KLAMM_CHECK(context->role() == Role::server, "a client's TLS context given to a server");
  std::string peer_name = below->peer().text();
  auto session = std::make_shared<Session>(shard, std::move(below), std::move(context), std::move(peer_name));
  SSL_set_accept_state(session->ssl());
  return std::unique_ptr<TlsStream>(new TlsStream(std::move(session)));
}

Task<Result<void>> TlsStream::handshake(Instant deadline) { return session_->handshake(deadline); }

std::string TlsStream::peer_subject() const {
  X509* certificate = SSL_get0_peer_certificate(session_->ssl());
  return certificate == nullptr ? std::string() : subject_of(certificate);
}
std::string TlsStream::version() const { return SSL_get_version(session_->ssl()); }
std::string TlsStream::cipher() const {
  const char* name = SSL_CIPHER_standard_name(SSL_get_current_cipher(session_->ssl()));
  return name == nullptr ? std::string() : name;
}

Result<std::size_t> TlsStream::try_read(MutableBytes into) { return session_->read(into); }
Result<std::size_t> TlsStream::try_write(std::span<const Piece> pieces) { return session_->write(pieces); }
void TlsStream::wait(Direction direction, ReadinessWaiter& waiter) { session_->wait(direction, waiter); }
void TlsStream::shutdown_write() { session_->shutdown_write(); }
void TlsStream::close() { session_->close(); }
const Endpoint& TlsStream::peer() const { return session_->below().peer(); }
const Endpoint& TlsStream::local() const { return session_->below().local(); }

}  // namespace klamm::io::tls
