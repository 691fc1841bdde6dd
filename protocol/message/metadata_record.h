// Records of the metadata log (and of the remote log metadata topic): three unsigned varints, then the message.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/wire/message.h"
#include "protocol/wire/size.h"

namespace klamm::protocol {

constexpr std::uint32_t kMetadataFrameVersion = 1;

struct MetadataRecordHead {
  std::int16_t type = 0;  // kRecordType of the message
  std::int16_t version = 0;
};

// Reads what stands before the message. Errc::malformed for bytes that do not fit, Errc::unsupported for another frame
// version.
Result<MetadataRecordHead> read_metadata_record_head(wire::Reader& reader);

// The value of a record. For a message that passes its check(version).
template <wire::Message M>
Slice encode_metadata_record(const M& message, std::int16_t version) {
  constexpr auto kType = static_cast<std::uint32_t>(M::kRecordType);
  const auto number = static_cast<std::uint32_t>(version);
  const std::size_t head =
      wire::size_of_uvarint(kMetadataFrameVersion) + wire::size_of_uvarint(kType) + wire::size_of_uvarint(number);
  wire::Writer writer(head + message.encoded_size(version), wire::RecordsMode::copy);
  writer.write_uvarint(kMetadataFrameVersion);
  writer.write_uvarint(kType);
  writer.write_uvarint(number);
  message.encode(writer, version);
  return writer.take_slice();
}

}  // namespace klamm::protocol
