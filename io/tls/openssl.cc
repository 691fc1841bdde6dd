#include "io/tls/openssl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <string_view>
#include <vector>

namespace klamm::io::tls {
namespace {

std::string address_text(const ASN1_OCTET_STRING* address) {
  const unsigned char* bytes = ASN1_STRING_get0_data(address);
  const int size = ASN1_STRING_length(address);
  std::string text;
  if (size == 4) {
    for (int i = 0; i < 4; ++i) text += (i == 0 ? "" : ".") + std::to_string(bytes[i]);
  } else {
    constexpr char kDigits[] = "0123456789abcdef";
    for (int i = 0; i < size; ++i) {
      if (i > 0 && i % 2 == 0) text += ':';
      text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
    }
  }
  return text;
}

// The keywords of RFC 2253. Java writes every other attribute by its number, its value in hexadecimal.
std::string_view keyword_of(const ASN1_OBJECT* type) {
  switch (OBJ_obj2nid(type)) {
    case NID_commonName: return "CN";
    case NID_localityName: return "L";
    case NID_stateOrProvinceName: return "ST";
    case NID_organizationName: return "O";
    case NID_organizationalUnitName: return "OU";
    case NID_countryName: return "C";
    case NID_streetAddress: return "STREET";
    case NID_domainComponent: return "DC";
    case NID_userId: return "UID";
    default: return {};
  }
}

bool is_text(const ASN1_STRING* value) {
  switch (ASN1_STRING_type(value)) {
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_UTF8STRING:
    case V_ASN1_T61STRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_GENERALSTRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING: return true;
    default: return false;
  }
}

// "#" and the value's DER in hexadecimal.
std::string hexadecimal_text(const ASN1_STRING* value) {
  const ASN1_TYPE type{ASN1_STRING_type(value), {reinterpret_cast<char*>(const_cast<ASN1_STRING*>(value))}};
  unsigned char* bytes = nullptr;
  const int size = i2d_ASN1_TYPE(&type, &bytes);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "#";
  for (int i = 0; i < size; ++i) text += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
  OPENSSL_free(bytes);
  return text;
}

// A backslash before what RFC 2253 calls special, as Java puts it: "=" and "#" too, wherever they stand.
std::string escaped_text(std::string_view value) {
  constexpr std::string_view kSpecial = ",=+<>#;\"\\";
  const std::size_t first = value.find_first_not_of(" \r");
  const std::size_t last = value.find_last_not_of(" \r");
  std::string text;
  for (std::size_t at = 0; at < value.size(); ++at) {
    const char letter = value[at];
    const bool at_edge = first == std::string_view::npos || at < first || at > last;
    if (letter == '\0') {
      text += "\\00";
      continue;
    }
    if (at_edge || kSpecial.find(letter) != std::string_view::npos) text += '\\';
    text += letter;
  }
  return text;
}

// "CN=klamm", "1.2.840.113549.1.9.1=#160161".
std::string attribute_text(const X509_NAME_ENTRY* entry) {
  const ASN1_OBJECT* type = X509_NAME_ENTRY_get_object(entry);
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(entry);
  std::string keyword(keyword_of(type));
  if (keyword.empty()) {
    char number[128];
    OBJ_obj2txt(number, sizeof number, type, 1);
    return std::string(number) + "=" + hexadecimal_text(value);
  }
  unsigned char* utf8 = nullptr;
  const int size = is_text(value) ? ASN1_STRING_to_UTF8(&utf8, value) : -1;
  if (size < 0) return keyword + "=" + hexadecimal_text(value);
  const std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return keyword + "=" + escaped_text(text);
}

}  // namespace

std::string take_reasons() {
  std::string reasons;
  while (const unsigned long code = ERR_get_error()) {
    const char* reason = ERR_reason_error_string(code);
    const std::string text = reason != nullptr ? reason : "error " + std::to_string(ERR_GET_REASON(code));
    if (reasons.find(text) != std::string::npos) continue;
    reasons += (reasons.empty() ? "" : "; ") + text;
  }
  return reasons.empty() ? "no reason given" : reasons;
}

std::string names_of(X509* certificate, int most) {
  std::string names;
  auto* alternatives =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  const int count = sk_GENERAL_NAME_num(alternatives);
  for (int i = 0, told = 0; i < count && told < most; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, i);
    std::string text;
    if (name->type == GEN_DNS) {
      const auto* data = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
      text = "DNS:" + std::string(data, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      text = "IP:" + address_text(name->d.iPAddress);
    } else {
      continue;
    }
    names += (told++ == 0 ? "" : ", ") + text;
  }
  GENERAL_NAMES_free(alternatives);
  return names.empty() ? subject_of(certificate) : names;
}

std::string subject_of(X509* certificate) {
  const X509_NAME* name = X509_get_subject_name(certificate);
  // The entries of one set (a name of several attributes) stand together, joined by "+"; the sets in reverse.
  std::vector<std::string> sets;
  int last_set = -1;
  for (int i = 0; i < X509_NAME_entry_count(name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(name, i);
    const int set = X509_NAME_ENTRY_set(entry);
    if (set == last_set) {
      sets.back() += "+" + attribute_text(entry);
    } else {
      sets.push_back(attribute_text(entry));
    }
    last_set = set;
  }
  std::string text;
  for (auto it = sets.rbegin(); it != sets.rend(); ++it) text += (text.empty() ? "" : ",") + *it;
  return text;
}

}  // namespace klamm::io::tls
