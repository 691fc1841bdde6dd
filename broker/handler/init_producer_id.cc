// InitProducerId for idempotent producers. Transactional ids need the transaction coordinator, which is not served yet:
// they are answered with a fatal, clear code.
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "protocol/messages/init_producer_id_request.h"
#include "protocol/messages/init_producer_id_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

io::Task<protocol::InitProducerIdResponse> init(Call& call, protocol::InitProducerIdRequest request) {
  protocol::InitProducerIdResponse response;
  response.producer_id = -1;
  response.producer_epoch = -1;
  if (request.transactional_id) {
    const bool empty = request.transactional_id->empty();
    response.error_code = code(empty ? ErrorCode::invalid_request : ErrorCode::transactional_id_authorization_failed);
    co_return response;
  }
  Services& services = call.services;
  auto next = [&services] { return services.producer_ids.next(); };
  Result<std::int64_t> id = co_await io::call(services.shard, services.controller_shard, next);
  if (id) {
    response.producer_id = *id;
    response.producer_epoch = 0;
  } else {
    response.error_code = code(id.error());
  }
  co_return response;
}

}  // namespace

io::Task<Reply> init_producer_id(Call& call, Slice body) {
  return serve_with<&init, protocol::InitProducerIdRequest, protocol::InitProducerIdResponse>(call, std::move(body));
}

}  // namespace klamm::handler
