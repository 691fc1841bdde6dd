// OpenSSL's objects with owners, and its error queue as text. Only the sources of io/tls include this.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace klamm::io::tls {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* object) const noexcept {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freed<X509_free>>;
using Pkcs12Ptr = std::unique_ptr<PKCS12, Freed<PKCS12_free>>;
using SslPtr = std::unique_ptr<SSL, Freed<SSL_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

// The reasons in this thread's error queue, oldest first, each once ("mac verify failure"); empties it. Never empty.
std::string take_reasons();

// What X.509 names the certificate is good for, so many at most: "DNS:broker-1, IP:10.0.0.7", or its subject when it
// has none.
std::string names_of(X509* certificate, int most = 8);
// The subject as Java writes it by RFC 2253, the most special part first: "CN=client,O=klamm".
std::string subject_of(X509* certificate);

}  // namespace klamm::io::tls
