#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509v3.h>

#include <utility>

#include "io/sync.h"
#include "io/tls/session.h"

namespace klamm::io::tls {
namespace {

// How long a side that refused the other keeps the connection, so that the alert is read before a reset.
constexpr Duration kLinger = 500ms;

bool is_address(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  ERR_clear_error();
  const bool found = address != nullptr;
  ASN1_OCTET_STRING_free(address);
  return found;
}

// An alert by which the peer says that it does not take what we showed it.
bool is_refusal(unsigned long code) {
  if (ERR_GET_LIB(code) != ERR_LIB_SSL) return false;
  switch (ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET) {
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case TLS13_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

bool speaks_no_tls(unsigned long code) {
  const int reason = ERR_GET_REASON(code);
  return ERR_GET_LIB(code) == ERR_LIB_SSL &&
         (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST ||
          reason == SSL_R_RECORD_LENGTH_MISMATCH || reason == SSL_R_PACKET_LENGTH_TOO_LONG);
}

}  // namespace

void Session::expect_host(const std::string& host) {
  host_ = host;
  SSL_set_connect_state(ssl_.get());
  const bool address = is_address(host);
  if (!address) SSL_set_tlsext_host_name(ssl_.get(), host.c_str());
  if (context_->verifies_host()) {
    X509_VERIFY_PARAM* wanted = SSL_get0_param(ssl_.get());
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int set = address ? X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str())
                            : X509_VERIFY_PARAM_set1_host(wanted, host.data(), host.size());
    // A name that cannot be checked must not pass unchecked.
    if (set != 1) fault_ = Error(Errc::invalid_argument, "TLS: '" + host + "' cannot be a certificate's name");
  }
  ERR_clear_error();
}

// Remembers the certificate that does not pass, for the error.
int Session::verified(int good, X509_STORE_CTX* store) {
  if (good == 1) return good;
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* session = static_cast<Session*>(SSL_get_app_data(ssl));
  const int why = X509_STORE_CTX_get_error(store);
  X509* certificate = X509_STORE_CTX_get0_cert(store);
  X509* current = X509_STORE_CTX_get_current_cert(store);  // of the chain: an authority's may be the one out of date
  const bool by_time = why == X509_V_ERR_CERT_HAS_EXPIRED || why == X509_V_ERR_CERT_NOT_YET_VALID;
  if (by_time && current != nullptr) certificate = current;
  if (session != nullptr && certificate != nullptr) session->refused_names_ = names_of(certificate);
  return good;
}

Task<Result<void>> Session::handshake(Instant deadline) {
  const std::shared_ptr<Session> alive = shared_from_this();
  if (fault_) co_return fail(*fault_);
  bool expired = false;
  Timer timer(shard_, [this, &expired] {
    expired = true;
    below_->close();
  });
  if (deadline != Instant::never()) timer.arm_at(deadline);
  Result<void> shaken = co_await shake();
  timer.cancel();
  release_when_idle();
  if (closed_) co_return fail(Errc::cancelled, "TLS handshake with " + peer_name_);
  if (expired) shaken = fail(Error(Errc::timed_out, "TLS handshake with " + peer_name_, true));
  if (shaken) {
    has_read_all_ = false;  // there may be more behind the peer's last word
    co_return shaken;
  }
  fault_ = std::move(shaken).error();
  if (!expired && !below_error_) co_await let_peer_read_why();
  co_return fail(*fault_);
}

Task<Result<void>> Session::shake() {
  for (;;) {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_.get());
    const int why = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), done);
    std::optional<Error> failed;
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ) failed = fault_of_handshake();
    Result<void> sent = co_await flush_all();  // an alert as well
    if (failed) co_return fail(std::move(*failed));
    if (!sent) {
      const Error& why_not = sent.error();
      co_return fail(Error(why_not.code(), "TLS handshake with " + peer_name_ + ": " + why_not.context(), true));
    }
    if (why == SSL_ERROR_NONE) co_return Result<void>();
    co_await below_->ready(Direction::read);
  }
}

// The alert is on its way. Cutting the connection while the peer still sends would reset it and take the alert away.
Task<void> Session::let_peer_read_why() {
  below_->shutdown_write();
  Timer timer(shard_, [this] { below_->close(); });
  timer.arm_in(kLinger);
  std::array<std::byte, 1024> sink;
  for (;;) {
    Result<std::size_t> got = co_await read_some(*below_, sink);
    if (!got) break;
  }
}

// Why this side or the peer ended the handshake. Takes OpenSSL's error queue.
Error Session::fault_of_handshake() {
  const std::string doing = "TLS handshake with " + peer_name_;
  if (below_error_) return {below_error_->code(), doing + ": " + below_error_->context(), true};
  const unsigned long code = ERR_peek_error();
  if (below_ended_) {
    ERR_clear_error();
    return {Errc::end_of_stream, doing + ": the peer ended the connection (it may not speak TLS there)", true};
  }
  const long verify_result = SSL_get_verify_result(ssl_.get());
  std::string why = take_reasons();
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    why += ": " + refusal_text(verify_result);
  } else if (speaks_no_tls(code)) {
    why += " (the peer does not speak TLS there)";
  }
  return {Errc::authentication_failed, doing + ": " + why};
}

std::string Session::refusal_text(long verify_result) const {
  std::string text = X509_verify_cert_error_string(verify_result);
  switch (verify_result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return text + " (the certificate is for " + refused_names_ + ", not for " + host_ + ")";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return text + " (the truststore does not hold who signed the certificate of " + refused_names_ + ")";
    default: return text + " (the certificate of " + refused_names_ + ")";
  }
}

// Why an established connection broke. Takes OpenSSL's error queue.
Error Session::fault_of_stream() {
  if (below_error_) return *below_error_;
  const unsigned long code = ERR_peek_error();
  if (below_ended_) {
    ERR_clear_error();
    return {Errc::malformed, "TLS connection to " + peer_name_ + " was cut short: it ended without close_notify", true};
  }
  const std::string why = "TLS connection to " + peer_name_ + ": " + take_reasons();
  if (is_refusal(code)) return {Errc::authentication_failed, why};
  return {Errc::malformed, why, true};
}

}  // namespace klamm::io::tls
