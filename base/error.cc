#include "base/error.h"

namespace klamm {
namespace {

class KlammCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "klamm"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::would_block: return "would block";
      case Errc::end_of_stream: return "connection closed by the peer";
      case Errc::cancelled: return "cancelled";
      case Errc::timed_out: return "timed out";
      case Errc::malformed: return "malformed data";
      case Errc::too_large: return "over the limit";
      case Errc::checksum_mismatch: return "checksum mismatch";
      case Errc::unsupported: return "not supported";
      case Errc::invalid_argument: return "invalid value";
      case Errc::not_found: return "not found";
      case Errc::already_exists: return "already exists";
      case Errc::corrupt: return "corrupt data";
      case Errc::shutting_down: return "shutting down";
      case Errc::unavailable: return "unavailable";
      case Errc::buffer_full: return "buffer full";
      case Errc::authentication_failed: return "authentication failed";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& klamm_category() noexcept {
  static const KlammCategory category;
  return category;
}

std::error_code make_error_code(Errc errc) noexcept { return {static_cast<int>(errc), klamm_category()}; }

std::string Error::message() const {
  std::string text = code_.message();
  if (context_.empty()) return text;
  // A peer often sends the code's own sentence as its word on the fault: it is said once. A name in parentheses at the
  // end of the text, as Kafka's codes have, is not part of the sentence.
  const std::size_t name = text.ends_with(')') ? text.rfind(" (") : std::string::npos;
  const std::string_view sentence = std::string_view(text).substr(0, name);
  if (context_.ends_with(text)) return context_;
  if (context_.ends_with(sentence)) return context_ + text.substr(sentence.size());
  return context_ + ": " + text;
}

Error Error::in(std::string_view outer) && {
  context_ = context_.empty() ? std::string(outer) : std::string(outer) + ": " + context_;
  return std::move(*this);
}

Error system_error(int error_number, std::string context) {
  return {std::error_code(error_number, std::system_category()), std::move(context)};
}

}  // namespace klamm
