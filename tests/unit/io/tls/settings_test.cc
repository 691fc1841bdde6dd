#include "io/tls/settings.h"

#include <doctest/doctest.h>

using namespace klamm;
using namespace klamm::config_table;
using namespace klamm::io::tls;

namespace {

// The ssl.* keys that brokers have; clients lack ssl.client.auth and the principal rules.
constexpr ConfigKey kClientKeys[] = {
    ConfigKey{"ssl.cipher.suites", kList, "", kAny, kLow},
    ConfigKey{"ssl.enabled.protocols", kList, "TLSv1.2,TLSv1.3", kAny, kMedium},
    ConfigKey{"ssl.endpoint.identification.algorithm", kString, "https", kAny, kLow},
    ConfigKey{"ssl.engine.factory.class", kClass, kNoDefault, kAny, kLow},
    ConfigKey{"ssl.key.password", kPassword, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.keymanager.algorithm", kString, "SunX509", kAny, kLow},
    ConfigKey{"ssl.keystore.certificate.chain", kPassword, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.keystore.key", kPassword, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.keystore.location", kString, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.keystore.password", kPassword, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.keystore.type", kString, "JKS", kAny, kMedium},
    ConfigKey{"ssl.protocol", kString, "TLSv1.3", kAny, kMedium},
    ConfigKey{"ssl.provider", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"ssl.secure.random.implementation", kString, kNoDefault, kAny, kLow},
    ConfigKey{"ssl.trustmanager.algorithm", kString, "PKIX", kAny, kLow},
    ConfigKey{"ssl.truststore.certificates", kPassword, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.truststore.location", kString, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.truststore.password", kPassword, kNoDefault, kAny, kHigh},
    ConfigKey{"ssl.truststore.type", kString, "JKS", kAny, kMedium},
};
constexpr ConfigKey kServerKeys[] = {
    ConfigKey{"ssl.client.auth", kString, "none", one_of("required, requested, none"), kMedium},
    ConfigKey{"ssl.principal.mapping.rules", kString, "DEFAULT", kAny, kLow},
};

const ConfigDef& client_keys() {
  static const ConfigDef def{kClientKeys};
  return def;
}
const ConfigDef& server_keys() {
  static const ConfigDef def{kClientKeys, kServerKeys};
  return def;
}

Result<Settings> read(ConfigMap map, std::string_view prefix = {}) {
  Result<ConfigValues> values = server_keys().parse(std::move(map));
  REQUIRE(values);
  return parse_settings(*values, prefix);
}
std::string error_of(ConfigMap map, std::string_view prefix = {}) {
  const Result<Settings> settings = read(std::move(map), prefix);
  REQUIRE_FALSE(settings);
  return settings.error().context();
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("without a word TLS is spoken as Kafka's defaults say") {
  Result<ConfigValues> values = client_keys().parse({});
  REQUIRE(values);
  const Result<Settings> settings = parse_settings(*values);
  REQUIRE(settings);
  CHECK(settings->tls_1_2);
  CHECK(settings->tls_1_3);
  CHECK(settings->client_tls_1_3);
  CHECK(settings->verify_host);
  CHECK(settings->client_auth == ClientAuth::none);
  CHECK(settings->keystore.type == StoreType::jks);
  CHECK_FALSE(settings->has_identity());
  CHECK_FALSE(settings->has_trust());
}

TEST_CASE("versions, checks and stores are read") {
  const Result<Settings> settings = read({{"ssl.enabled.protocols", "TLSv1.2"},
                                          {"ssl.protocol", "TLSv1.2"},
                                          {"ssl.endpoint.identification.algorithm", ""},
                                          {"ssl.client.auth", "requested"},
                                          {"ssl.cipher.suites", "A,B"},
                                          {"ssl.keystore.type", "pkcs12"},
                                          {"ssl.keystore.location", "/a"},
                                          {"ssl.keystore.password", "p"},
                                          {"ssl.truststore.type", "PEM"},
                                          {"ssl.truststore.certificates", "-----BEGIN"}});
  REQUIRE(settings);
  CHECK(settings->tls_1_2);
  CHECK_FALSE(settings->tls_1_3);
  CHECK_FALSE(settings->client_tls_1_3);
  CHECK_FALSE(settings->verify_host);
  CHECK(settings->client_auth == ClientAuth::requested);
  CHECK(settings->cipher_suites == std::vector<std::string>{"A", "B"});
  CHECK(settings->keystore.type == StoreType::pkcs12);
  CHECK(settings->keystore.location == "/a");
  CHECK(settings->keystore.password == "p");
  CHECK(settings->trusted_certificates == "-----BEGIN");
  CHECK(settings->has_identity());
  CHECK(settings->has_trust());
}

TEST_CASE("a listener's own keys come before the general ones, and are named in errors") {
  const ConfigMap map{{"ssl.keystore.location", "/general"},
                      {"ssl.client.auth", "required"},
                      {"listener.name.inner.ssl.keystore.location", "/inner"},
                      {"listener.name.inner.ssl.client.auth", "none"},
                      {"listener.name.broken.ssl.client.auth", "perhaps"},
                      {"listener.name.broken2.ssl.enabled.protocols", "SSLv3"}};
  CHECK(read(map, "listener.name.inner.")->keystore.location == "/inner");
  CHECK(read(map, "listener.name.inner.")->client_auth == ClientAuth::none);
  CHECK(read(map, "listener.name.outer.")->keystore.location == "/general");
  CHECK(read(map, "listener.name.outer.")->client_auth == ClientAuth::required);
  CHECK(has(error_of(map, "listener.name.broken."), "ssl.client.auth"));
  CHECK(has(error_of(map, "listener.name.broken2."), "listener.name.broken2.ssl.enabled.protocols"));
}

TEST_CASE("what does not go together, or only Java can do, is refused by name") {
  CHECK(has(error_of({{"ssl.enabled.protocols", "TLSv1.3,TLSv1"}}), "klamm serves TLSv1.2 and TLSv1.3"));
  CHECK(has(error_of({{"ssl.protocol", "SSLv3"}}), "ssl.protocol"));
  CHECK(has(error_of({{"ssl.endpoint.identification.algorithm", "LDAPS"}}), "https"));
  CHECK(has(error_of({{"ssl.keystore.type", "BCFKS"}}), "klamm reads PEM and PKCS12"));
  CHECK(has(error_of({{"ssl.keystore.key", "k"}, {"ssl.keystore.certificate.chain", "c"}}), "ssl.keystore.type=PEM"));
  CHECK(has(error_of({{"ssl.keystore.type", "PEM"}, {"ssl.keystore.key", "k"}}), "must be set together"));
  CHECK(has(error_of({{"ssl.keystore.type", "PEM"},
                      {"ssl.keystore.key", "k"},
                      {"ssl.keystore.certificate.chain", "c"},
                      {"ssl.keystore.location", "/x"}}),
            "Only one of ssl.keystore.location and ssl.keystore.key"));
  CHECK(has(error_of({{"ssl.keystore.type", "PEM"}, {"ssl.keystore.password", "p"}}), "ssl.key.password"));
  CHECK(has(error_of({{"ssl.truststore.certificates", "c"}}), "ssl.truststore.type=PEM"));
  CHECK(has(error_of({{"ssl.truststore.type", "PEM"}, {"ssl.truststore.password", "p"}}), "ssl.truststore.password"));
  for (const char* key : {"ssl.engine.factory.class", "ssl.provider", "ssl.keymanager.algorithm",
                          "ssl.trustmanager.algorithm", "ssl.principal.mapping.rules"}) {
    const Result<Settings> settings = read({{key, "some.Thing"}});
    REQUIRE_FALSE(settings);
    CHECK(settings.error() == Errc::unsupported);
    CHECK(has(settings.error().context(), key));
  }
  CHECK(read({{"ssl.keymanager.algorithm", "PKIX"}, {"ssl.secure.random.implementation", "SHA1PRNG"}}));
}
