#include "broker/handler/producer_ids.h"

#include "protocol/error.h"
#include "protocol/messages/allocate_producer_ids_request.h"
#include "protocol/messages/allocate_producer_ids_response.h"

namespace klamm::handler {
namespace {

// How long a producer waits for its id before it is told to ask again.
constexpr Duration kPatience = 5s;

}  // namespace

io::Task<Result<std::int64_t>> ProducerIds::next() {
  if (next_ == end_) {
    co_await refilling_.lock();
    Result<void> filled;
    if (next_ == end_) filled = co_await refill();
    refilling_.unlock();
    KLAMM_CO_TRY(filled);
  }
  co_return next_++;
}

io::Task<Result<void>> ProducerIds::refill() {
  protocol::AllocateProducerIdsRequest request;
  request.broker_id = broker_id_;
  request.broker_epoch = broker_epoch_();
  Result<protocol::AllocateProducerIdsResponse> block =
      co_await controller_.call(std::move(request), shard_.now() + kPatience);
  if (!block || block->error_code != 0) {
    co_return fail(protocol::kafka_error(protocol::ErrorCode::coordinator_load_in_progress, "no producer id block"));
  }
  next_ = block->producer_id_start;
  end_ = next_ + block->producer_id_len;
  co_return Result<void>();
}

}  // namespace klamm::handler
