#include "io/tls/succession.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "io/tls/openssl.h"

namespace klamm::io::tls {
namespace {

constexpr int kAll = std::numeric_limits<int>::max();

std::vector<std::string> split_names(const std::string& text) {
  constexpr std::string_view kBetween = ", ";
  std::vector<std::string> names;
  std::size_t at = 0;
  for (std::size_t end = text.find(kBetween); end != std::string::npos; end = text.find(kBetween, at)) {
    names.push_back(text.substr(at, end - at));
    at = end + kBetween.size();
  }
  names.push_back(text.substr(at));
  return names;
}

bool has_all(const std::string& names, const std::string& wanted) {
  const std::vector<std::string> have = split_names(names);
  const std::vector<std::string> asked = split_names(wanted);
  return std::all_of(asked.begin(), asked.end(),
                     [&](const std::string& each) { return std::find(have.begin(), have.end(), each) != have.end(); });
}

}  // namespace

Result<void> check_successor(const Context& now, const Context& next, Succession allowed) {
  X509* const old_one = SSL_CTX_get0_certificate(now.native());
  X509* const new_one = SSL_CTX_get0_certificate(next.native());
  if (old_one == nullptr || new_one == nullptr) return {};
  const std::string old_subject = subject_of(old_one);
  const std::string new_subject = subject_of(new_one);
  if (!allowed.other_subject && old_subject != new_subject) {
    return fail(Errc::invalid_argument, "Keystore DistinguishedName does not match:  existing={DN=" + old_subject +
                                            "}, new={DN=" + new_subject + "}");
  }
  const std::string old_names = names_of(old_one, kAll);
  const std::string new_names = names_of(new_one, kAll);
  // A certificate without alternative names has none to lose.
  if (!allowed.fewer_names && old_names != old_subject && !has_all(new_names, old_names)) {
    return fail(Errc::invalid_argument, "Keystore SubjectAltNames do not match: existing={SAN=[" + old_names +
                                            "]}, new={SAN=[" + new_names + "]}");
  }
  return {};
}

}  // namespace klamm::io::tls
