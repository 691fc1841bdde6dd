#include "io/tls/settings.h"

#include <utility>

#include "base/text.h"

namespace klamm::io::tls {
namespace {

// Reads keys, those with the prefix first, and words the errors about them.
class Reader {
 public:
  Reader(const ConfigValues& values, std::string_view prefix) : values_(values), prefix_(prefix) {}

  Result<ConfigValue> value(std::string_view key) const {
    const ConfigKey* known = values_.def().find(key);
    if (known == nullptr) return ConfigValue();
    if (!prefix_.empty()) {
      const auto own = values_.originals().find(prefix_ + std::string(key));
      if (own != values_.originals().end()) return parse_value(*known, own->second);
    }
    return values_.value(key);
  }
  Result<std::optional<std::string>> text(std::string_view key) const {
    Result<ConfigValue> found = value(key);
    KLAMM_TRY(found);
    const auto* text = std::get_if<std::string>(&*found);
    return text == nullptr || text->empty() ? std::nullopt : std::optional(*text);
  }
  Result<std::vector<std::string>> list(std::string_view key) const {
    Result<ConfigValue> found = value(key);
    KLAMM_TRY(found);
    auto* list = std::get_if<std::vector<std::string>>(&*found);
    return list == nullptr ? std::vector<std::string>() : std::move(*list);
  }
  std::string name(std::string_view key) const { return prefix_ + std::string(key); }
  tl::unexpected<Error> bad(std::string_view key, std::string_view value, std::string_view reason) const {
    return fail(config_error(name(key), value, reason));
  }
  tl::unexpected<Error> wrong(std::string text) const { return fail(Errc::invalid_argument, std::move(text)); }

 private:
  const ConfigValues& values_;
  std::string prefix_;
};

Result<void> read_protocols(const Reader& reader, Settings& settings) {
  Result<std::vector<std::string>> enabled = reader.list("ssl.enabled.protocols");
  KLAMM_TRY(enabled);
  settings.tls_1_2 = settings.tls_1_3 = false;
  for (const std::string& name : *enabled) {
    if (name == "TLSv1.2") {
      settings.tls_1_2 = true;
    } else if (name == "TLSv1.3") {
      settings.tls_1_3 = true;
    } else {
      return reader.bad("ssl.enabled.protocols", name, "klamm serves TLSv1.2 and TLSv1.3");
    }
  }
  if (!settings.tls_1_2 && !settings.tls_1_3) settings.tls_1_2 = settings.tls_1_3 = true;
  Result<std::optional<std::string>> protocol = reader.text("ssl.protocol");
  KLAMM_TRY(protocol);
  const std::string highest = protocol->value_or("TLSv1.3");
  if (highest != "TLS" && highest != "TLSv1.2" && highest != "TLSv1.3")
    return reader.bad("ssl.protocol", highest, "klamm serves TLSv1.3, TLSv1.2 and TLS (the best of both)");
  settings.client_tls_1_3 = highest != "TLSv1.2";
  Result<std::vector<std::string>> ciphers = reader.list("ssl.cipher.suites");
  KLAMM_TRY(ciphers);
  settings.cipher_suites = *std::move(ciphers);
  return {};
}

Result<void> read_checks(const Reader& reader, Settings& settings) {
  Result<std::optional<std::string>> auth = reader.text("ssl.client.auth");
  KLAMM_TRY(auth);
  const std::string& wanted = auth->value_or("none");
  settings.client_auth = wanted == "required"    ? ClientAuth::required
                         : wanted == "requested" ? ClientAuth::requested
                                                 : ClientAuth::none;
  Result<std::optional<std::string>> identification = reader.text("ssl.endpoint.identification.algorithm");
  KLAMM_TRY(identification);
  if (*identification && !equal_ignoring_case(**identification, "https")) {
    return reader.bad("ssl.endpoint.identification.algorithm", **identification,
                      "klamm knows https, and nothing at all to leave the peer's host name unchecked");
  }
  settings.verify_host = identification->has_value();
  return {};
}

Result<StoreType> read_type(const Reader& reader, std::string_view key) {
  Result<std::optional<std::string>> type = reader.text(key);
  KLAMM_TRY(type);
  const std::string name = type->value_or("JKS");
  if (equal_ignoring_case(name, "JKS")) return StoreType::jks;
  if (equal_ignoring_case(name, "PKCS12")) return StoreType::pkcs12;
  if (equal_ignoring_case(name, "PEM")) return StoreType::pem;
  return reader.bad(key, name, "klamm reads PEM and PKCS12 stores");
}

Result<void> read_keystore(const Reader& reader, Settings& settings) {
  Result<StoreType> type = read_type(reader, "ssl.keystore.type");
  KLAMM_TRY(type);
  Result<std::optional<std::string>> location = reader.text("ssl.keystore.location");
  KLAMM_TRY(location);
  Result<std::optional<std::string>> password = reader.text("ssl.keystore.password");
  KLAMM_TRY(password);
  Result<std::optional<std::string>> key = reader.text("ssl.keystore.key");
  KLAMM_TRY(key);
  Result<std::optional<std::string>> chain = reader.text("ssl.keystore.certificate.chain");
  KLAMM_TRY(chain);
  Result<std::optional<std::string>> key_password = reader.text("ssl.key.password");
  KLAMM_TRY(key_password);
  settings.keystore = {*type, location->value_or(""), *std::move(password)};
  settings.key = *std::move(key);
  settings.certificate_chain = *std::move(chain);
  settings.key_password = *std::move(key_password);
  const bool pem = *type == StoreType::pem;
  if (settings.key || settings.certificate_chain) {
    const std::string both = reader.name("ssl.keystore.key") + " and " + reader.name("ssl.keystore.certificate.chain");
    if (!pem) return reader.wrong(both + " need " + reader.name("ssl.keystore.type") + "=PEM");
    if (!settings.key || !settings.certificate_chain) return reader.wrong(both + " must be set together");
    if (!settings.keystore.location.empty())
      return reader.wrong("Only one of " + reader.name("ssl.keystore.location") + " and " +
                          reader.name("ssl.keystore.key") + " can be set");
  }
  if (pem && settings.keystore.password) {
    return reader.wrong(reader.name("ssl.keystore.password") +
                        " does not go with a PEM store: only its private key may have a password, " +
                        reader.name("ssl.key.password"));
  }
  return {};
}

Result<void> read_truststore(const Reader& reader, Settings& settings) {
  Result<StoreType> type = read_type(reader, "ssl.truststore.type");
  KLAMM_TRY(type);
  Result<std::optional<std::string>> location = reader.text("ssl.truststore.location");
  KLAMM_TRY(location);
  Result<std::optional<std::string>> password = reader.text("ssl.truststore.password");
  KLAMM_TRY(password);
  Result<std::optional<std::string>> certificates = reader.text("ssl.truststore.certificates");
  KLAMM_TRY(certificates);
  settings.truststore = {*type, location->value_or(""), *std::move(password)};
  settings.trusted_certificates = *std::move(certificates);
  const bool pem = *type == StoreType::pem;
  if (settings.trusted_certificates && !pem) {
    return reader.wrong(reader.name("ssl.truststore.certificates") + " needs " + reader.name("ssl.truststore.type") +
                        "=PEM");
  }
  if (settings.trusted_certificates && !settings.truststore.location.empty()) {
    return reader.wrong("Only one of " + reader.name("ssl.truststore.location") + " and " +
                        reader.name("ssl.truststore.certificates") + " can be set");
  }
  if (pem && settings.truststore.password)
    return reader.wrong(reader.name("ssl.truststore.password") + " does not go with a PEM store: it has no password");
  return {};
}

// Settings that name parts of a Java runtime, with the value that asks for nothing special.
Result<void> refuse_java_only(const Reader& reader) {
  constexpr std::pair<std::string_view, std::string_view> kOnly[] = {
      {"ssl.engine.factory.class", ""},         {"ssl.provider", ""},
      {"ssl.keymanager.algorithm", "SunX509"},  {"ssl.trustmanager.algorithm", "PKIX"},
      {"ssl.secure.random.implementation", ""}, {"ssl.principal.mapping.rules", "DEFAULT"}};
  for (const auto& [key, usual] : kOnly) {
    Result<std::optional<std::string>> given = reader.text(key);
    KLAMM_TRY(given);
    if (!*given || **given == usual) continue;
    // Algorithms that are only another name for what is done anyway.
    if (key == "ssl.keymanager.algorithm" && (**given == "PKIX" || **given == "NewSunX509")) continue;
    if (key == "ssl.secure.random.implementation") continue;  // randomness is OpenSSL's own either way
    return fail(Errc::unsupported, "Invalid value " + **given + " for configuration " + reader.name(key) +
                                       ": klamm's TLS is OpenSSL's and serves only the default here");
  }
  return {};
}

}  // namespace

Result<Settings> parse_settings(const ConfigValues& values, std::string_view prefix) {
  const Reader reader(values, prefix);
  Settings settings;
  settings.prefix = prefix;
  for (const auto step : {read_protocols, read_checks, read_keystore, read_truststore}) {
    Result<void> read = step(reader, settings);
    KLAMM_TRY(read);
  }
  Result<void> served = refuse_java_only(reader);
  KLAMM_TRY(served);
  return settings;
}

}  // namespace klamm::io::tls
