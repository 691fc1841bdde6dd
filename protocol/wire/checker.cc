#include "protocol/wire/checker.h"

#include "protocol/error.h"

namespace klamm::wire {

using protocol::ErrorCode;
using protocol::kafka_error;

Result<void> Checker::result() const {
  const std::string subject(subject_);
  const std::string version = "version " + std::to_string(version_);
  switch (fault_) {
    case Fault::none: return {};
    case Fault::no_version: return fail(kafka_error(ErrorCode::unsupported_version, subject + " has no " + version));
    case Fault::absent:
      return fail(kafka_error(ErrorCode::unsupported_version, subject + " is set, but " + version + " lacks it"));
    case Fault::null: return fail(Errc::invalid_argument, subject + " is null, which " + version + " does not allow");
    case Fault::too_long: return fail(Errc::invalid_argument, subject + " is longer than 32767 bytes");
    case Fault::tags_not_flexible:
      return fail(kafka_error(ErrorCode::unsupported_version,
                              subject + " holds tagged fields, but " + version + " carries none"));
    case Fault::tags_out_of_order: return fail(Errc::invalid_argument, subject + ": unknown tags out of order");
    case Fault::tag_known: return fail(Errc::invalid_argument, subject + ": an unknown tag that is known");
  }
  return {};
}

void Checker::unknown_tags(const char* owner, const UnknownTags& tags, bool flexible, std::uint64_t known) {
  constexpr std::uint32_t kMaskBits = 64;
  if (tags.empty()) return;
  if (!flexible) complain(Fault::tags_not_flexible, owner);
  for (std::size_t index = 0; index < tags.size(); ++index) {
    const std::uint32_t tag = tags[index].tag;
    if (index > 0 && tags[index - 1].tag >= tag) complain(Fault::tags_out_of_order, owner);
    if (tag < kMaskBits && ((known >> tag) & 1) != 0) complain(Fault::tag_known, owner);
  }
}

}  // namespace klamm::wire
