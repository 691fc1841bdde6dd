#include "protocol/message/metadata_record.h"

#include <limits>
#include <string>

namespace klamm::protocol {

Result<MetadataRecordHead> read_metadata_record_head(wire::Reader& reader) {
  constexpr std::uint32_t kMost = std::numeric_limits<std::int16_t>::max();
  const std::uint32_t frame = reader.read_uvarint();
  const std::uint32_t type = reader.read_uvarint();
  const std::uint32_t version = reader.read_uvarint();
  if (type > kMost || version > kMost) reader.fail("a metadata record type or version out of range");
  Result<void> status = reader.status();
  KLAMM_TRY(status);
  if (frame != kMetadataFrameVersion) {
    return fail(Errc::unsupported, "metadata record frame version " + std::to_string(frame));
  }
  return MetadataRecordHead{static_cast<std::int16_t>(type), static_cast<std::int16_t>(version)};
}

}  // namespace klamm::protocol
