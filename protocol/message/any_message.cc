#include "protocol/message/any_message.h"

#include "protocol/error.h"

namespace klamm::protocol {
namespace {

Result<std::unique_ptr<AnyMessage>> decode_any(std::string_view kind, ApiKey key, std::int16_t version, Slice body) {
  const MessageType* type = find_message("clients", kind, static_cast<std::int16_t>(key));
  if (type == nullptr) return fail(kafka_error(ErrorCode::unsupported_version, "an API without versions"));
  return type->decode(std::move(body), version);
}

}  // namespace

Result<std::unique_ptr<AnyMessage>> decode_any_request(ApiKey key, std::int16_t version, Slice body) {
  return decode_any("request", key, version, std::move(body));
}

Result<std::unique_ptr<AnyMessage>> decode_any_response(ApiKey key, std::int16_t version, Slice body) {
  return decode_any("response", key, version, std::move(body));
}

}  // namespace klamm::protocol
