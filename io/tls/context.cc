#include "io/tls/context.h"

#include <openssl/err.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "io/file.h"
#include "io/tls/store.h"

namespace klamm::io::tls {
namespace {

constexpr std::uint64_t kLargestStore = 16 << 20;
// OpenSSL reads ahead this much at once: several records a call.
constexpr std::size_t kReadAhead = 64 << 10;

// A store's file, and how to read it.
struct StoreFile {
  StoreType type = StoreType::pem;
  Slice content;
};

Task<Result<StoreFile>> read_store(Shard& shard, StoreSettings settings, std::string key) {
  const std::string what = key + " " + settings.location;
  Result<Slice> content = co_await read_file(shard.files(), settings.location, kLargestStore);
  if (!content) {
    // A path that cannot be read is a mistake in the configuration, whatever its errno.
    co_return fail(Errc::invalid_argument, what + ": " + content.error().message());
  }
  Result<StoreType> type = actual_type(settings.type, content->bytes());
  if (!type) co_return fail(std::move(type).error().in(what));
  co_return StoreFile{*type, std::move(*content)};
}

// `settings` outlives the task.
Task<Result<std::optional<Identity>>> load_identity(Shard& shard, const Settings& settings) {
  Result<Identity> identity = Identity();
  std::string source = settings.prefix + "ssl.keystore.key";
  if (settings.key) {
    identity = identity_from_pem(*settings.key, settings.certificate_chain.value_or(""), settings.key_password);
  } else if (!settings.keystore.location.empty()) {
    source = settings.prefix + "ssl.keystore.location";
    Result<StoreFile> file = co_await read_store(shard, settings.keystore, source);
    KLAMM_CO_TRY(file);
    source += " " + settings.keystore.location;
    const std::string_view text = file->content.text();
    identity = file->type == StoreType::pem ? identity_from_pem(text, text, settings.key_password)
                                            : identity_from_pkcs12(file->content.bytes(), settings.keystore.password);
  } else {
    co_return std::optional<Identity>();
  }
  if (!identity) co_return fail(std::move(identity).error().in(source));
  co_return std::optional<Identity>(std::move(*identity));
}

using Trusted = std::vector<CertificatePtr>;

// Nothing if no truststore is named: then the system's certificates count.
Task<Result<std::optional<Trusted>>> load_trust(Shard& shard, const Settings& settings) {
  if (!settings.has_trust()) co_return std::optional<Trusted>();
  Result<Trusted> trusted = Trusted();
  std::string source = settings.prefix + "ssl.truststore.certificates";
  if (settings.trusted_certificates) {
    trusted = trust_from_pem(*settings.trusted_certificates);
  } else {
    source = settings.prefix + "ssl.truststore.location";
    Result<StoreFile> file = co_await read_store(shard, settings.truststore, source);
    KLAMM_CO_TRY(file);
    source += " " + settings.truststore.location;
    trusted = file->type == StoreType::pem ? trust_from_pem(file->content.text())
                                           : trust_from_pkcs12(file->content.bytes(), settings.truststore.password);
  }
  if (!trusted) co_return fail(std::move(trusted).error().in(source));
  co_return std::optional<Trusted>(std::move(*trusted));
}

tl::unexpected<Error> bad(std::string text) { return fail(Errc::invalid_argument, std::move(text)); }

Result<void> use_identity(SSL_CTX* context, const Identity& identity, const Settings& settings) {
  STACK_OF(X509)* chain = sk_X509_new_null();
  for (const CertificatePtr& certificate : identity.chain) sk_X509_push(chain, certificate.get());
  ERR_clear_error();
  const int used = SSL_CTX_use_cert_and_key(context, identity.certificate.get(), identity.key.get(), chain, 1);
  sk_X509_free(chain);
  if (used == 1) return {};
  return bad(settings.prefix + "ssl.keystore: the certificate of " + subject_of(identity.certificate.get()) +
             " and the private key cannot be used: " + take_reasons());
}

void use_trust(SSL_CTX* context, const std::optional<Trusted>& trusted, bool name_authorities) {
  if (!trusted) {
    // OpenSSL reads the system's certificates itself, past the shard's files:
    // docs/decisions/0004-system-certificates.md
    SSL_CTX_set_default_verify_paths(context);
    return;
  }
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  // What is in the truststore is trusted, be it a root or not.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const CertificatePtr& certificate : *trusted) {
    X509_STORE_add_cert(store, certificate.get());
    if (name_authorities) SSL_CTX_add_client_CA(context, certificate.get());
  }
  ERR_clear_error();  // a certificate that is there twice is no error
}

struct Ciphers {
  std::string tls_1_2;
  std::string tls_1_3;
};

// Java's names are IANA's; OpenSSL sets TLS 1.3's ciphers apart and has its own names for the others.
Result<Ciphers> find_ciphers(const Settings& settings) {
  const SslContextPtr all(SSL_CTX_new(TLS_method()));
  SSL_CTX_set_cipher_list(all.get(), "ALL:COMPLEMENTOFALL");
  SSL_CTX_set_ciphersuites(all.get(),
                           "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:"
                           "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256");
  STACK_OF(SSL_CIPHER)* known = SSL_CTX_get_ciphers(all.get());
  Ciphers ciphers;
  for (const std::string& wanted : settings.cipher_suites) {
    const SSL_CIPHER* found = nullptr;
    for (int i = 0; i < sk_SSL_CIPHER_num(known) && found == nullptr; ++i) {
      const SSL_CIPHER* cipher = sk_SSL_CIPHER_value(known, i);
      const char* standard = SSL_CIPHER_standard_name(cipher);
      if ((standard != nullptr && wanted == standard) || wanted == SSL_CIPHER_get_name(cipher)) found = cipher;
    }
    if (found == nullptr)
      return fail(config_error(settings.prefix + "ssl.cipher.suites", wanted, "OpenSSL does not know this cipher"));
    const bool newest = std::string_view(SSL_CIPHER_get_version(found)) == "TLSv1.3";
    std::string& list = newest ? ciphers.tls_1_3 : ciphers.tls_1_2;
    list.append(list.empty() ? "" : ":").append(SSL_CIPHER_get_name(found));
  }
  ERR_clear_error();
  return ciphers;
}

Result<void> set_versions(SSL_CTX* context, const Settings& settings, Role role) {
  bool tls_1_2 = settings.tls_1_2;
  bool tls_1_3 = settings.tls_1_3 && (role == Role::server || settings.client_tls_1_3);
  if (!settings.cipher_suites.empty()) {
    Result<Ciphers> ciphers = find_ciphers(settings);
    KLAMM_TRY(ciphers);
    tls_1_2 = tls_1_2 && !ciphers->tls_1_2.empty();
    tls_1_3 = tls_1_3 && !ciphers->tls_1_3.empty();
    if (tls_1_2 && SSL_CTX_set_cipher_list(context, ciphers->tls_1_2.c_str()) != 1)
      return bad(settings.prefix + "ssl.cipher.suites: " + take_reasons());
    if (tls_1_3 && SSL_CTX_set_ciphersuites(context, ciphers->tls_1_3.c_str()) != 1)
      return bad(settings.prefix + "ssl.cipher.suites: " + take_reasons());
  }
  if (!tls_1_2 && !tls_1_3) {
    return bad(settings.prefix +
               "ssl.enabled.protocols, ssl.protocol and ssl.cipher.suites leave no TLS version to speak");
  }
  SSL_CTX_set_min_proto_version(context, tls_1_2 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(context, tls_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  return {};
}

void set_modes(SSL_CTX* context, const Settings& settings, Role role) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // An idle connection holds no buffer; the text to be written may lie elsewhere when a write is tried again.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadAhead);
  // Every connection shakes hands in full: they live long, and a resumed one would not show its certificate again.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  int verify = SSL_VERIFY_PEER;
  if (role == Role::server) {
    verify = settings.client_auth == ClientAuth::none       ? SSL_VERIFY_NONE
             : settings.client_auth == ClientAuth::required ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                                            : SSL_VERIFY_PEER;
  }
  SSL_CTX_set_verify(context, verify, nullptr);
}

}  // namespace

Context::~Context() { SSL_CTX_free(native_); }

Task<Result<std::shared_ptr<const Context>>> Context::load(Shard& shard, Settings settings, Role role) {
  if (role == Role::server && !settings.has_identity()) {
    co_return fail(Errc::invalid_argument, settings.prefix + "ssl.keystore.location (or " + settings.prefix +
                                               "ssl.keystore.key) must be set: a TLS server needs a certificate");
  }
  Result<std::optional<Identity>> identity = co_await load_identity(shard, settings);
  KLAMM_CO_TRY(identity);
  Result<std::optional<Trusted>> trusted = co_await load_trust(shard, settings);
  KLAMM_CO_TRY(trusted);
  SslContextPtr native(SSL_CTX_new(role == Role::server ? TLS_server_method() : TLS_client_method()));
  if (!native) co_return fail(Errc::unavailable, "OpenSSL: " + take_reasons());
  set_modes(native.get(), settings, role);
  Result<void> set = set_versions(native.get(), settings, role);
  KLAMM_CO_TRY(set);
  if (*identity) {
    set = use_identity(native.get(), **identity, settings);
    KLAMM_CO_TRY(set);
  }
  use_trust(native.get(), *trusted, role == Role::server && settings.client_auth != ClientAuth::none);
  co_return std::shared_ptr<const Context>(new Context(native.release(), role, settings.verify_host));
}

}  // namespace klamm::io::tls
