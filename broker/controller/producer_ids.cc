#include "broker/controller/producer_ids.h"

#include <algorithm>
#include <limits>

namespace klamm::controller {

Decision<protocol::AllocateProducerIdsResponse> allocate_producer_ids(
    const Compute& compute, const protocol::AllocateProducerIdsRequest& request) {
  Decision<protocol::AllocateProducerIdsResponse> decision;
  if (const Fault fault = check_broker_epoch(compute, request.broker_id, request.broker_epoch)) {
    decision.response.error_code = protocol::to_wire(fault.code);
    return decision;
  }
  const std::int64_t first = std::max<std::int64_t>(compute.image.next_producer_id, 0);
  if (first > std::numeric_limits<std::int64_t>::max() - kProducerIdBlock) {
    decision.response.error_code = protocol::to_wire(ErrorCode::unknown_server_error);
    return decision;
  }
  messages::ProducerIdsRecord record;
  record.broker_id = request.broker_id;
  record.broker_epoch = request.broker_epoch;
  record.next_producer_id = first + kProducerIdBlock;
  decision.records.push_back({std::move(record), 0});
  decision.response.producer_id_start = first;
  decision.response.producer_id_len = kProducerIdBlock;
  return decision;
}

}  // namespace klamm::controller
