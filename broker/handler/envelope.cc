#include "broker/handler/envelope.h"

#include <arpa/inet.h>

#include "broker/handler/dispatch.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "protocol/messages/default_principal_data.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

constexpr std::size_t kV4Bytes = 4;
constexpr std::size_t kV6Bytes = 16;

Slice address_bytes(const std::string& address) {
  std::byte bytes[kV6Bytes] = {};
  if (::inet_pton(AF_INET, address.c_str(), bytes) == 1) return Slice::copy(Bytes(bytes, kV4Bytes));
  const std::string v6 = address.substr(0, address.find('%'));  // a link's zone is nothing to others
  if (::inet_pton(AF_INET6, v6.c_str(), bytes) == 1) return Slice::copy(Bytes(bytes, kV6Bytes));
  return Slice::copy(Bytes(bytes, kV4Bytes));
}

std::optional<std::string> address_text(const Slice& bytes) {
  if (bytes.size() != kV4Bytes && bytes.size() != kV6Bytes) return std::nullopt;
  char text[INET6_ADDRSTRLEN] = {};
  const int family = bytes.size() == kV4Bytes ? AF_INET : AF_INET6;
  return std::string(::inet_ntop(family, bytes.data(), text, sizeof text));
}

Slice principal_bytes(const security::Principal& principal) {
  protocol::DefaultPrincipalData data;
  data.type = principal.type;
  data.name = principal.name;
  data.token_authenticated = principal.token_authenticated;
  return wire::encode_versioned(data, protocol::DefaultPrincipalData::kMaxVersion);
}

Result<security::Principal> principal_of(const Slice& bytes) {
  Result<protocol::DefaultPrincipalData> data = wire::decode_versioned<protocol::DefaultPrincipalData>(bytes);
  KLAMM_TRY(data);
  return security::Principal{data->type, data->name, data->token_authenticated};
}

protocol::EnvelopeResponse refused(ErrorCode error) {
  protocol::EnvelopeResponse response;
  response.response_data = std::nullopt;
  response.error_code = code(error);
  return response;
}

// The reply's bytes behind its size. A reply of the controller's is in memory.
Slice without_size(const io::Pieces& frame) {
  std::vector<std::byte> bytes;
  bytes.reserve(io::size_of(frame));
  for (const io::Piece& piece : frame) {
    const Bytes part = std::get<Slice>(piece).bytes();
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return Slice::copy(Bytes(bytes).subspan(protocol::kFrameSizeBytes));
}

io::Task<protocol::EnvelopeResponse> open_here(ControllerCall& call, protocol::EnvelopeRequest envelope) {
  protocol::EnvelopeResponse response =
      co_await open_envelope(call.services, std::move(envelope), call.context.listener);
  co_return response;
}

}  // namespace

protocol::EnvelopeRequest make_envelope(Slice request, const security::RequestContext& sender) {
  protocol::EnvelopeRequest envelope;
  envelope.request_data = std::move(request);
  envelope.request_principal = principal_bytes(sender.principal);
  envelope.client_host_address = address_bytes(sender.client_address);
  return envelope;
}

io::Task<protocol::EnvelopeResponse> open_envelope(ControllerServices& services, protocol::EnvelopeRequest envelope,
                                                   std::string listener) {
  security::RequestContext sender;
  sender.listener = std::move(listener);
  if (!envelope.request_principal) co_return refused(ErrorCode::principal_deserialization_failure);
  Result<security::Principal> principal = principal_of(*envelope.request_principal);
  if (!principal) co_return refused(ErrorCode::principal_deserialization_failure);
  sender.principal = std::move(*principal);
  std::optional<std::string> address = address_text(envelope.client_host_address);
  if (!address) co_return refused(ErrorCode::invalid_request);
  sender.client_address = std::move(*address);
  Forwarded served = co_await serve_forwarded(services, envelope.request_data, std::move(sender));
  if (served.fault != ErrorCode::none) co_return refused(served.fault);
  protocol::EnvelopeResponse response;
  response.response_data = without_size(served.reply.body);
  co_return response;
}

io::Task<Reply> envelope(ControllerCall& call, Slice body) {
  return serve_with<&open_here, protocol::EnvelopeRequest, protocol::EnvelopeResponse>(call, std::move(body));
}

}  // namespace klamm::handler
