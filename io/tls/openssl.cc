#include "io/tls/openssl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace klamm::io::tls {
namespace {

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

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

std::string names_of(X509* certificate) {
  constexpr int kMost = 8;
  std::string names;
  auto* alternatives =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  const int count = sk_GENERAL_NAME_num(alternatives);
  for (int i = 0, told = 0; i < count && told < kMost; ++i) {
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
  const BioPtr memory(BIO_new(BIO_s_mem()));
  constexpr unsigned long kReadable = XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB);
  if (!memory || X509_NAME_print_ex(memory.get(), X509_get_subject_name(certificate), 0, kReadable) < 0) return {};
  return text_of(memory.get());
}

}  // namespace klamm::io::tls
