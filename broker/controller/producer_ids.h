// Blocks of producer ids for brokers. Pure.
#pragma once

#include "broker/controller/compute.h"
#include "protocol/messages/allocate_producer_ids_request.h"
#include "protocol/messages/allocate_producer_ids_response.h"

namespace klamm::controller {

constexpr std::int32_t kProducerIdBlock = 1000;

Decision<protocol::AllocateProducerIdsResponse> allocate_producer_ids(
    const Compute& compute, const protocol::AllocateProducerIdsRequest& request);

}  // namespace klamm::controller
