// Security keys that the producer, the consumer and the admin client of Apache Kafka 4.3 share.
#include "client/core/config_keys.h"

namespace klamm::client {
namespace {

using namespace config_table;

constexpr ConfigKey kSecurityKeys[] = {
    ConfigKey{"sasl.client.callback.handler.class", kClass, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.jaas.config", kPassword, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.kerberos.kinit.cmd", kString, "/usr/bin/kinit", kAny, kLow},
    ConfigKey{"sasl.kerberos.min.time.before.relogin", kLong, "60000", kAny, kLow},
    ConfigKey{"sasl.kerberos.service.name", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.kerberos.ticket.renew.jitter", kDouble, "0.05", kAny, kLow},
    ConfigKey{"sasl.kerberos.ticket.renew.window.factor", kDouble, "0.8", kAny, kLow},
    ConfigKey{"sasl.login.callback.handler.class", kClass, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.login.class", kClass, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.login.connect.timeout.ms", kInt, kNoDefault, kAny, kLow},
    ConfigKey{"sasl.login.read.timeout.ms", kInt, kNoDefault, kAny, kLow},
    ConfigKey{"sasl.login.refresh.buffer.seconds", kShort, "300", between(0, 3600), kLow},
    ConfigKey{"sasl.login.refresh.min.period.seconds", kShort, "60", between(0, 900), kLow},
    ConfigKey{"sasl.login.refresh.window.factor", kDouble, "0.8", between(0.5, 1.0), kLow},
    ConfigKey{"sasl.login.refresh.window.jitter", kDouble, "0.05", between(0.0, 0.25), kLow},
    ConfigKey{"sasl.login.retry.backoff.max.ms", kLong, "10000", kAny, kLow},
    ConfigKey{"sasl.login.retry.backoff.ms", kLong, "100", kAny, kLow},
    ConfigKey{"sasl.mechanism", kString, "GSSAPI", kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.algorithm", kString, "RS256", one_of_any_case("ES256, RS256"), kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.claim.aud", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.claim.exp.seconds", kInt, "300", between(0, 86400), kLow},
    ConfigKey{"sasl.oauthbearer.assertion.claim.iss", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.claim.jti.include", kBoolean, "false", kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.claim.nbf.seconds", kInt, "60", between(0, 3600), kLow},
    ConfigKey{"sasl.oauthbearer.assertion.claim.sub", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.file", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.private.key.file", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.private.key.passphrase", kPassword, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.assertion.template.file", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.client.credentials.client.id", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.client.credentials.client.secret", kPassword, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.clock.skew.seconds", kInt, "30", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.expected.audience", kList, "", kAny, kHigh},
    ConfigKey{"sasl.oauthbearer.expected.issuer", kString, kNoDefault, kAny, kHigh},
    ConfigKey{"sasl.oauthbearer.header.urlencode", kBoolean, "false", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.jwks.endpoint.refresh.ms", kLong, "3600000", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", kLong, "10000", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", kLong, "100", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.jwks.endpoint.url", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.jwt.retriever.class", kClass,
              "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.jwt.validator.class", kClass,
              "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.scope", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"sasl.oauthbearer.scope.claim.name", kString, "scope", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.sub.claim.name", kString, "sub", kAny, kLow},
    ConfigKey{"sasl.oauthbearer.token.endpoint.url", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"security.protocol", kString, "PLAINTEXT", one_of_any_case("SASL_SSL, PLAINTEXT, SSL, SASL_PLAINTEXT"),
              kMedium}
        .about("How connections are secured."),
    ConfigKey{"security.providers", kString, kNoDefault, kAny, kLow},
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

}  // namespace

std::span<const ConfigKey> security_keys() { return kSecurityKeys; }

}  // namespace klamm::client
