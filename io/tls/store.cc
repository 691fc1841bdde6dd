#include "io/tls/store.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <climits>

namespace klamm::io::tls {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";

tl::unexpected<Error> bad(std::string text) { return fail(Errc::invalid_argument, std::move(text)); }

BioPtr memory_of(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(std::min<std::size_t>(text.size(), INT_MAX))));
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// One PEM block as OpenSSL wants it: a configuration value may have lost its line ends.
void append_block(std::string_view label, std::string_view body, std::string& to) {
  to.append(kBegin).append(label).append(kDashes).append("\n");
  if (body.find(':') != std::string_view::npos) {  // headers of the old encrypted form: lines matter
    const std::size_t first = std::min(body.find_first_not_of(" \t\r\n"), body.size());
    to.append(body.substr(first));
    if (!to.ends_with('\n')) to += '\n';
  } else {
    constexpr std::size_t kLine = 64;
    std::size_t column = 0;
    for (const char c : body) {
      if (is_space(c)) continue;
      to += c;
      if (++column % kLine == 0) to += '\n';
    }
    if (column % kLine != 0) to += '\n';
  }
  to.append(kEnd).append(label).append(kDashes).append("\n");
}

std::string well_formed(std::string_view text) {
  std::string blocks;
  for (std::size_t at = text.find(kBegin); at != std::string_view::npos; at = text.find(kBegin, at)) {
    const std::size_t label = at + kBegin.size();
    const std::size_t dashes = text.find(kDashes, label);
    const std::size_t end = text.find(kEnd, label);
    if (dashes == std::string_view::npos || end == std::string_view::npos || end < dashes) break;
    const std::size_t body = dashes + kDashes.size();
    append_block(text.substr(label, dashes - label), text.substr(body, end - body), blocks);
    at = end;
  }
  return blocks;
}

// Gives OpenSSL the key's password; without one it must fail, and never ask on the terminal.
int give_password(char* into, int size, int, void* given) {
  const auto& password = *static_cast<const std::optional<std::string>*>(given);
  if (!password || password->size() > static_cast<std::size_t>(size)) return -1;
  std::copy(password->begin(), password->end(), into);
  return static_cast<int>(password->size());
}

Result<std::vector<CertificatePtr>> certificates_from(std::string_view text) {
  const std::string blocks = well_formed(text);
  const BioPtr memory = memory_of(blocks);
  std::vector<CertificatePtr> certificates;
  ERR_clear_error();
  while (X509* one = PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr)) certificates.emplace_back(one);
  const unsigned long why = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
  if (!at_end) return bad("a certificate that cannot be read: " + take_reasons());
  ERR_clear_error();
  if (certificates.empty()) return bad("there is no certificate (-----BEGIN CERTIFICATE-----) in it");
  return certificates;
}

struct Pkcs12Content {
  KeyPtr key;
  CertificatePtr certificate;
  std::vector<CertificatePtr> others;
};

Result<Pkcs12Content> open_pkcs12(Bytes content, const std::optional<std::string>& password) {
  const BioPtr memory = memory_of(as_text(content));
  ERR_clear_error();
  const Pkcs12Ptr store(d2i_PKCS12_bio(memory.get(), nullptr));
  if (!store) return bad("this is no PKCS12 store: " + take_reasons());
  const char* const secret = password ? password->c_str() : nullptr;
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  STACK_OF(X509)* others = nullptr;
  if (PKCS12_parse(store.get(), secret, &key, &certificate, &others) != 1) {
    const std::string why = take_reasons();
    if (why.find("mac verify") != std::string::npos)
      return bad(password ? "the store's password is wrong" : "the store has a password and none is set");
    const bool old = why.find("unsupported") != std::string::npos;
    return bad(why + (old ? " (it is encrypted in a way that OpenSSL has given up: make it anew)" : ""));
  }
  Pkcs12Content parsed{KeyPtr(key), CertificatePtr(certificate), {}};
  for (int i = 0; i < sk_X509_num(others); ++i) parsed.others.emplace_back(sk_X509_value(others, i));
  sk_X509_free(others);  // the certificates have their owners now
  ERR_clear_error();
  return parsed;
}

bool starts_with(Bytes content, std::initializer_list<unsigned char> start) {
  return content.size() >= start.size() &&
         std::equal(start.begin(), start.end(), content.begin(),
                    [](unsigned char wanted, std::byte got) { return std::byte{wanted} == got; });
}

}  // namespace

Result<Identity> identity_from_pem(std::string_view key, std::string_view certificates,
                                   const std::optional<std::string>& key_password) {
  const std::string blocks = well_formed(key);
  const BioPtr memory = memory_of(blocks);
  Identity identity;
  ERR_clear_error();
  identity.key.reset(PEM_read_bio_PrivateKey(memory.get(), nullptr, give_password,
                                             const_cast<std::optional<std::string>*>(&key_password)));
  if (!identity.key) {
    if (blocks.find("PRIVATE KEY-----") == std::string::npos) {
      ERR_clear_error();
      return bad("there is no private key (-----BEGIN PRIVATE KEY-----) in it");
    }
    const bool encrypted = blocks.find("ENCRYPTED") != std::string::npos;
    const std::string why = take_reasons();
    if (encrypted && !key_password) return bad("the private key is encrypted and no ssl.key.password is set");
    return bad((encrypted ? "the private key cannot be read, ssl.key.password may be wrong: "
                          : "the private key cannot be read: ") +
               why);
  }
  Result<std::vector<CertificatePtr>> chain = certificates_from(certificates);
  KLAMM_TRY(chain);
  identity.certificate = std::move(chain->front());
  chain->erase(chain->begin());
  identity.chain = *std::move(chain);
  return identity;
}

Result<Identity> identity_from_pkcs12(Bytes content, const std::optional<std::string>& password) {
  Result<Pkcs12Content> store = open_pkcs12(content, password);
  KLAMM_TRY(store);
  if (!store->key || !store->certificate) return bad("there is no private key with its certificate in it");
  return Identity{std::move(store->key), std::move(store->certificate), std::move(store->others)};
}

Result<std::vector<CertificatePtr>> trust_from_pem(std::string_view certificates) {
  return certificates_from(certificates);
}

Result<std::vector<CertificatePtr>> trust_from_pkcs12(Bytes content, const std::optional<std::string>& password) {
  Result<Pkcs12Content> store = open_pkcs12(content, password);
  KLAMM_TRY(store);
  std::vector<CertificatePtr> trusted = std::move(store->others);
  if (store->certificate) trusted.push_back(std::move(store->certificate));
  if (trusted.empty()) return bad("there is no certificate in it");
  return trusted;
}

Result<StoreType> actual_type(StoreType configured, Bytes content) {
  const bool pem = as_text(content).find(kBegin) != std::string_view::npos;
  if (starts_with(content, {0xfe, 0xed, 0xfe, 0xed}) || starts_with(content, {0xce, 0xce, 0xce, 0xce})) {
    return fail(Errc::invalid_argument,
                "klamm does not read Java's own store format (JKS); convert it with 'keytool -importkeystore "
                "-srckeystore <this file> -destkeystore <new file> -deststoretype PKCS12' and set the type to PKCS12");
  }
  constexpr unsigned char kSequence = 0x30;  // how ASN.1 begins
  if (configured == StoreType::pem) {
    if (!pem) return bad("the type is PEM, but this is no PEM text");
    return configured;
  }
  if (starts_with(content, {kSequence})) return StoreType::pkcs12;
  return bad(pem ? "this is PEM text: set the type to PEM" : "this is no PKCS12 store");
}

}  // namespace klamm::io::tls
