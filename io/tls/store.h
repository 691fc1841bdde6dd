// Keys and certificates out of PEM text or PKCS12 files. Pure; the caller has read the file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "io/tls/openssl.h"
#include "io/tls/settings.h"

namespace klamm::io::tls {

// Who we are: a private key, its certificate, and the certificates between that one and a root.
struct Identity {
  KeyPtr key;
  CertificatePtr certificate;
  std::vector<CertificatePtr> chain;
};

// All fail with Errc::invalid_argument, a store in Java's own format too: what is configured must be changed, trying
// again does not help. The context says what is wrong with the content, the caller puts the key's or file's name before
// it. Passwords are never part of it.
Result<Identity> identity_from_pem(std::string_view key, std::string_view certificates,
                                   const std::optional<std::string>& key_password);
Result<Identity> identity_from_pkcs12(Bytes content, const std::optional<std::string>& password);
// Certificates that are trusted; at least one.
Result<std::vector<CertificatePtr>> trust_from_pem(std::string_view certificates);
Result<std::vector<CertificatePtr>> trust_from_pkcs12(Bytes content, const std::optional<std::string>& password);

// How a store is to be read: its configured type, corrected by what the file turns out to be.
Result<StoreType> actual_type(StoreType configured, Bytes content);

}  // namespace klamm::io::tls
