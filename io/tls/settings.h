// TLS as Kafka's ssl.* keys describe it, the same for clients and brokers. Pure: nothing is read from a file here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace klamm::io::tls {

enum class ClientAuth : std::int8_t { none, requested, required };

// How a store is written. Java's own format (JKS) is not read, but what Java calls a JKS store is a PKCS12 file in fact
// since Java 9, so the file's content decides between those two.
enum class StoreType : std::int8_t { jks, pkcs12, pem };

struct StoreSettings {
  StoreType type = StoreType::jks;
  std::string location;  // path of the file; empty: none
  std::optional<std::string> password;
};

// Where a value came from is told in errors: `prefix` stands before each key's name ("listener.name.external.").
struct Settings {
  std::string prefix;
  bool tls_1_2 = true;  // ssl.enabled.protocols
  bool tls_1_3 = true;
  bool client_tls_1_3 = true;              // false with ssl.protocol=TLSv1.2: a client then goes no further
  std::vector<std::string> cipher_suites;  // IANA's names or OpenSSL's; empty: OpenSSL's choice
  ClientAuth client_auth = ClientAuth::none;
  bool verify_host = true;  // ssl.endpoint.identification.algorithm is not empty
  StoreSettings keystore;
  std::optional<std::string> key_password;
  std::optional<std::string> key;                // PEM text instead of keystore.location
  std::optional<std::string> certificate_chain;  // PEM text that belongs to it
  StoreSettings truststore;
  std::optional<std::string> trusted_certificates;  // PEM text instead of truststore.location

  bool has_identity() const { return !keystore.location.empty() || key.has_value(); }
  bool has_trust() const { return !truststore.location.empty() || trusted_certificates.has_value(); }
};

// The ssl.* keys of `values`; those given as `prefix` + key come first. Fails with Errc::invalid_argument for values
// that are wrong or do not go together, Errc::unsupported for what only Java can do (providers, engine factories).
Result<Settings> parse_settings(const ConfigValues& values, std::string_view prefix = {});

}  // namespace klamm::io::tls
