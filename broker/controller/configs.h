// Settings of topics, brokers, groups and client metrics subscriptions: IncrementalAlterConfigs and AlterConfigs. Pure.
#pragma once

#include "broker/controller/compute.h"
#include "protocol/messages/alter_configs_request.h"
#include "protocol/messages/alter_configs_response.h"
#include "protocol/messages/incremental_alter_configs_request.h"
#include "protocol/messages/incremental_alter_configs_response.h"

namespace klamm::controller {

// Each resource is taken whole or refused whole.
Decision<protocol::IncrementalAlterConfigsResponse> incremental_alter_configs(
    const Compute& compute, const protocol::IncrementalAlterConfigsRequest& request);
// The request's settings replace all that the resource has.
Decision<protocol::AlterConfigsResponse> alter_configs(const Compute& compute,
                                                       const protocol::AlterConfigsRequest& request);

}  // namespace klamm::controller
