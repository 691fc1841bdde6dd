// Request and response headers, and whole frames: int32 size, header, body.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "base/result.h"
#include "io/piece.h"
#include "protocol/message/api.h"
#include "protocol/messages/request_header.h"
#include "protocol/messages/response_header.h"
#include "protocol/wire/message.h"

namespace klamm::protocol {

constexpr std::size_t kFrameSizeBytes = 4;

// Reads the header of a request (the frame without its size), in the header version that key and version call for; the
// reader is left at the body. INVALID_REQUEST for an API that does not exist, Errc::malformed for bytes that do not
// fit. The version is not judged: the caller refuses it, or answers ApiVersions in version 0.
Result<RequestHeader> read_request_header(wire::Reader& reader);
// Reads the header of the response to a request of `key` and `version`.
Result<ResponseHeader> read_response_header(wire::Reader& reader, ApiKey key, std::int16_t version);

// The whole frame of a request. For a request that passes its check(version).
template <wire::Message Request>
io::Pieces encode_request(const Request& request, std::int16_t version, std::int32_t correlation_id,
                          const std::optional<std::string>& client_id);
// The whole frame of a response.
template <wire::Message Response>
io::Pieces encode_response(const Response& response, std::int16_t version, std::int32_t correlation_id);
// The body of a response frame (without its size) whose header names `correlation_id`; another one is
// Errc::malformed.
template <wire::Message Response>
Result<Response> decode_response(Slice frame, std::int16_t version, std::int32_t correlation_id);

// --- implementation ---

namespace internal {

void write_frame_size(wire::Writer& writer, std::size_t bytes);
Result<void> expect_correlation_id(const ResponseHeader& header, std::int32_t expected);

template <typename Header, typename Body>
io::Pieces encode_frame(const Header& header, std::int16_t header_version, const Body& body, std::int16_t version) {
  const std::size_t bytes = header.encoded_size(header_version) + body.encoded_size(version);
  wire::Writer writer(kFrameSizeBytes + bytes - wire::spliced_size(body, version));
  write_frame_size(writer, bytes);
  header.encode(writer, header_version);
  body.encode(writer, version);
  return writer.take_pieces();
}

}  // namespace internal

template <wire::Message Request>
io::Pieces encode_request(const Request& request, std::int16_t version, std::int32_t correlation_id,
                          const std::optional<std::string>& client_id) {
  RequestHeader header;
  header.request_api_key = static_cast<std::int16_t>(Request::kApiKey);
  header.request_api_version = version;
  header.correlation_id = correlation_id;
  header.client_id = client_id;
  return internal::encode_frame(header, api_info(Request::kApiKey).request_header_version(version), request, version);
}

template <wire::Message Response>
io::Pieces encode_response(const Response& response, std::int16_t version, std::int32_t correlation_id) {
  ResponseHeader header;
  header.correlation_id = correlation_id;
  const std::int16_t header_version = api_info(Response::kApiKey).response_header_version(version);
  return internal::encode_frame(header, header_version, response, version);
}

template <wire::Message Response>
Result<Response> decode_response(Slice frame, std::int16_t version, std::int32_t correlation_id) {
  wire::Reader reader(std::move(frame));
  Result<ResponseHeader> header = read_response_header(reader, Response::kApiKey, version);
  KLAMM_TRY(header);
  Result<void> expected = internal::expect_correlation_id(*header, correlation_id);
  KLAMM_TRY(expected);
  return wire::decode_message<Response>(reader.read_rest(), version);
}

}  // namespace klamm::protocol
