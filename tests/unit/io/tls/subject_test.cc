// How a certificate's subject is written: as Java's X500Principal does it, whose text Kafka's principals are.
#include <doctest/doctest.h>

#include <initializer_list>
#include <string>

#include "io/tls/openssl.h"

namespace klamm::io::tls {
namespace {

struct Attribute {
  const char* type;
  const char* value;
  bool same_set = false;  // stands beside the one before it
};

std::string subject(std::initializer_list<Attribute> attributes) {
  const CertificatePtr certificate(X509_new());
  X509_NAME* made = X509_NAME_new();
  for (const Attribute& attribute : attributes) {
    REQUIRE(X509_NAME_add_entry_by_txt(made, attribute.type, MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(attribute.value), -1, -1,
                                       attribute.same_set ? -1 : 0) == 1);
  }
  // As it comes over the network: the attributes of a set are in the order of their encoding.
  unsigned char* bytes = nullptr;
  const int size = i2d_X509_NAME(made, &bytes);
  const unsigned char* at = bytes;
  X509_NAME* read = d2i_X509_NAME(nullptr, &at, size);
  X509_set_subject_name(certificate.get(), read);
  X509_NAME_free(read);
  X509_NAME_free(made);
  OPENSSL_free(bytes);
  return subject_of(certificate.get());
}

}  // namespace

// The wanted texts are what Java 17 printed for certificates with these subjects.
TEST_CASE("a subject has RFC 2253's keywords, and every other attribute by its number and encoding") {
  CHECK(subject({{"C", "DE"},
                 {"ST", "Bayern"},
                 {"L", "Ort"},
                 {"street", "Weg 1"},
                 {"O", "A, B"},
                 {"DC", "org"},
                 {"UID", "u1"},
                 {"CN", "k\xc3\xa4se \"q\" <a>;b\\c"},
                 {"emailAddress", "a@b.c"},
                 {"serialNumber", "123"},
                 {"title", "Dr"},
                 {"SN", "Sur"},
                 {"GN", "Given"}}) ==
        "2.5.4.42=#0c05476976656e,2.5.4.4=#0c03537572,2.5.4.12=#0c024472,2.5.4.5=#1303313233,"
        "1.2.840.113549.1.9.1=#16056140622e63,CN=k\xc3\xa4se \\\"q\\\" \\<a\\>\\;b\\\\c,UID=u1,DC=org,O=A\\, B,"
        "STREET=Weg 1,L=Ort,ST=Bayern,C=DE");
}

TEST_CASE("attributes of one set stay together in the order of their encoding") {
  CHECK(subject({{"O", "klamm"}, {"OU", "one"}, {"CN", "two", true}, {"emailAddress", "e@f", true}}) ==
        "CN=two+OU=one+1.2.840.113549.1.9.1=#1603654066,O=klamm");
}

TEST_CASE("spaces at the edges of a value and signs with a meaning have a backslash") {
  CHECK(subject({{"O", " lead"}, {"CN", "trail  "}}) == "CN=trail\\ \\ ,O=\\ lead");
  CHECK(subject({{"CN", "#lead a  b"}, {"O", "A, B"}, {"OU", "x=y#z+w"}}) ==
        "OU=x\\=y\\#z\\+w,O=A\\, B,CN=\\#lead a  b");
  CHECK(subject({}).empty());
}

}  // namespace klamm::io::tls
