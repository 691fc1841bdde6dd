// Certificates made on the spot, for tests of TLS. They are valid around the simulator's first wall time unless told
// otherwise.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "io/tls/openssl.h"
#include "io/tls/settings.h"

namespace klamm::test {

inline constexpr std::int64_t kNow = 1'750'000'000;  // seconds; sim::Options::wall_start_ms
inline constexpr std::int64_t kDay = 86'400;

template <typename Write>
std::string pem_of(Write write) {
  const io::tls::BioPtr memory(BIO_new(BIO_s_mem()));
  if (write(memory.get()) != 1) std::abort();
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

struct Issued {
  io::tls::KeyPtr key;
  io::tls::CertificatePtr certificate;

  std::string certificate_pem() const {
    return pem_of([&](BIO* to) { return PEM_write_bio_X509(to, certificate.get()); });
  }
  std::string key_pem(const std::string& password = {}) const {
    return pem_of([&](BIO* to) {
      return PEM_write_bio_PKCS8PrivateKey(to, key.get(), password.empty() ? nullptr : EVP_aes_256_cbc(),
                                           password.empty() ? nullptr : password.c_str(),
                                           static_cast<int>(password.size()), nullptr, nullptr);
    });
  }
  std::string pkcs12(const std::string& password, X509* authority) const {
    STACK_OF(X509)* others = sk_X509_new_null();
    if (authority != nullptr) sk_X509_push(others, authority);
    const io::tls::Pkcs12Ptr store(
        PKCS12_create(password.c_str(), "klamm", key.get(), certificate.get(), others, 0, 0, 0, 0, 0));
    sk_X509_free(others);
    return pem_of([&](BIO* to) { return i2d_PKCS12_bio(to, store.get()); });
  }
};

struct Wanted {
  std::string name;               // common name
  std::string alternatives = {};  // "DNS:server,IP:10.0.0.1"
  std::int64_t from = kNow - kDay;
  std::int64_t until = kNow + 365 * kDay;
};

// A certificate authority of its own.
class Authority {
 public:
  explicit Authority(const std::string& name) : self_(make({name, {}, kNow - kDay, kNow + 36'500 * kDay}, nullptr)) {}
  Issued issue(const Wanted& wanted) const { return make(wanted, &self_); }
  std::string pem() const { return self_.certificate_pem(); }
  X509* certificate() const { return self_.certificate.get(); }

 private:
  static void add(X509* certificate, int extension, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, &context, extension, value.c_str());
    if (made == nullptr) std::abort();
    X509_add_ext(certificate, made, -1);
    X509_EXTENSION_free(made);
  }
  static Issued make(const Wanted& wanted, const Issued* issuer) {
    static long serial = 0;
    Issued issued{io::tls::KeyPtr(EVP_EC_gen("P-256")), io::tls::CertificatePtr(X509_new())};
    X509* certificate = issued.certificate.get();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    ASN1_TIME_set(X509_getm_notBefore(certificate), static_cast<time_t>(wanted.from));
    ASN1_TIME_set(X509_getm_notAfter(certificate), static_cast<time_t>(wanted.until));
    X509_NAME* name = X509_get_subject_name(certificate);
    const auto put = [&](const char* field, const std::string& value) {
      X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(value.c_str()), -1,
                                 -1, 0);
    };
    put("O", "klamm");
    put("CN", wanted.name);
    X509_set_issuer_name(certificate, issuer == nullptr ? name : X509_get_subject_name(issuer->certificate.get()));
    X509_set_pubkey(certificate, issued.key.get());
    if (issuer == nullptr) add(certificate, NID_basic_constraints, "critical,CA:TRUE");
    if (!wanted.alternatives.empty()) add(certificate, NID_subject_alt_name, wanted.alternatives);
    if (X509_sign(certificate, issuer == nullptr ? issued.key.get() : issuer->key.get(), EVP_sha256()) == 0)
      std::abort();
    return issued;
  }
  Issued self_;
};

// Settings with everything in them as PEM text.
inline io::tls::Settings pem_settings(const Issued* self, const std::string& trusted) {
  io::tls::Settings settings;
  settings.keystore.type = settings.truststore.type = io::tls::StoreType::pem;
  if (self != nullptr) {
    settings.key = self->key_pem();
    settings.certificate_chain = self->certificate_pem();
  }
  if (!trusted.empty()) settings.trusted_certificates = trusted;
  return settings;
}

}  // namespace klamm::test
