#include "protocol/message/header.h"

#include <limits>

namespace klamm::protocol {

Result<RequestHeader> read_request_header(wire::Reader& reader) {
  wire::Reader ahead = reader;
  const std::int16_t key = ahead.read_int16();
  const std::int16_t version = ahead.read_int16();
  Result<void> status = ahead.status();
  if (!status) return fail(std::move(status.error()).in(RequestHeader::kName));
  const ApiInfo* api = find_api(key);
  if (api == nullptr) return fail(kafka_error(ErrorCode::invalid_request, "unknown API key " + std::to_string(key)));
  return wire::read_message<RequestHeader>(reader, api->request_header_version(version));
}

Result<ResponseHeader> read_response_header(wire::Reader& reader, ApiKey key, std::int16_t version) {
  return wire::read_message<ResponseHeader>(reader, api_info(key).response_header_version(version));
}

namespace internal {

void write_frame_size(wire::Writer& writer, std::size_t bytes) {
  KLAMM_CHECK(bytes <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()), "a frame over 2 GiB");
  writer.write_int32(static_cast<std::int32_t>(bytes));
}

Result<void> expect_correlation_id(const ResponseHeader& header, std::int32_t expected) {
  if (header.correlation_id == expected) return {};
  return fail(Errc::malformed, "response with correlation id " + std::to_string(header.correlation_id) + " where " +
                                   std::to_string(expected) + " was expected");
}

}  // namespace internal
}  // namespace klamm::protocol
