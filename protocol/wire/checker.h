// Looks for what a version of a message cannot carry, before it is encoded. The first complaint sticks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "protocol/wire/tags.h"

namespace klamm::wire {

// Field names are literals of the form "FetchRequest.FetchTopic.Topic".
class Checker {
 public:
  explicit Checker(std::int16_t version) : version_(version) {}

  // Success, or the first complaint: UNSUPPORTED_VERSION (kafka_category) for something that the version lacks,
  // Errc::invalid_argument for a value that no version carries.
  Result<void> result() const;

  // The message has no such version.
  void no_version(const char* message) { complain(Fault::no_version, message); }
  // A field that may not be dropped silently is set, but the version lacks it.
  void absent(const char* field) { complain(Fault::absent, field); }
  // The field is null, and the version does not know null there.
  void null(const char* field) { complain(Fault::null, field); }
  // Strings of more than 32767 bytes cannot be sent.
  void text(const char* field, const std::string& text) {
    if (text.size() > kMostStringBytes) complain(Fault::too_long, field);
  }
  void text(const char* field, const std::optional<std::string>& text) {
    if (text && text->size() > kMostStringBytes) complain(Fault::too_long, field);
  }
  void texts(const char* field, const std::vector<std::string>& texts) {
    for (const std::string& each : texts) text(field, each);
  }
  void texts(const char* field, const std::optional<std::vector<std::string>>& texts) {
    if (texts) this->texts(field, *texts);
  }
  // Unknown tags: only in flexible versions, ascending, none of the known ones (bit n of `known` for tag n).
  void unknown_tags(const char* owner, const UnknownTags& tags, bool flexible, std::uint64_t known);

 private:
  enum class Fault { none, no_version, absent, null, too_long, tags_not_flexible, tags_out_of_order, tag_known };
  static constexpr std::size_t kMostStringBytes = 32767;

  void complain(Fault fault, const char* subject) {
    if (fault_ != Fault::none) return;
    fault_ = fault;
    subject_ = subject;
  }

  std::int16_t version_;
  Fault fault_ = Fault::none;
  const char* subject_ = "";
};

}  // namespace klamm::wire
