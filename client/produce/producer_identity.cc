#include "client/produce/producer_identity.h"

#include "protocol/messages/init_producer_id_request.h"
#include "protocol/messages/init_producer_id_response.h"

namespace klamm::client {

using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;

ProducerIdentity::ProducerIdentity(Cluster& cluster, Duration retry_backoff, Duration retry_backoff_max,
                                   const Logger& log, std::function<void()> changed)
    : cluster_(cluster),
      shard_(cluster.shard()),
      log_(log),
      changed_(std::move(changed)),
      backoff_(retry_backoff, retry_backoff_max),
      closing_(shard_),
      gate_(shard_) {}

void ProducerIdentity::want() {
  if (acquiring_ || known() || refused_ || closed_) return;
  acquiring_ = true;
  gate_.spawn(acquire());
}

io::Task<void> ProducerIdentity::acquire() {
  backoff_.reset();
  while (!closed_) {
    Result<void> acquired = co_await ask();
    if (closed_ || acquired) break;
    if (!acquired.error().retriable()) {
      log_.error("no producer id: {}", acquired.error().message());
      refused_ = std::move(acquired).error();
      break;
    }
    log_.debug("no producer id yet: {}", acquired.error().message());
    co_await closing_.wait_until(shard_.now() + backoff_.next(shard_.random()));
  }
  acquiring_ = false;
  if (!closed_) changed_();
}

io::Task<Result<void>> ProducerIdentity::ask() {
  Result<ConnectionRef> connection = co_await cluster_.connect_any();
  if (!connection) co_return fail(Error(connection.error().code(), connection.error().context(), true));
  InitProducerIdRequest request;
  request.transactional_id.reset();
  request.transaction_timeout_ms = 0x7fffffff;
  Result<InitProducerIdResponse> response = co_await (*connection)->call(std::move(request));
  KLAMM_CO_TRY(response);
  const ErrorCode code = protocol::error_code_from(response->error_code);
  if (code != ErrorCode::none) co_return fail(protocol::kafka_error(code, "producer id for an idempotent producer"));
  id_ = response->producer_id;
  epoch_ = response->producer_epoch;
  log_.debug("producer id {} epoch {}", id_, epoch_);
  co_return Result<void>();
}

void ProducerIdentity::stop() {
  closed_ = true;
  closing_.notify_all();
}

io::Task<void> ProducerIdentity::close() {
  stop();
  co_await gate_.close();
}

}  // namespace klamm::client
