// Topics: create, delete, more partitions. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "broker/controller/compute.h"
#include "protocol/messages/create_partitions_request.h"
#include "protocol/messages/create_partitions_response.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/delete_topics_request.h"
#include "protocol/messages/delete_topics_response.h"

namespace klamm::controller {

Decision<protocol::CreateTopicsResponse> create_topics(const Compute& compute,
                                                       const protocol::CreateTopicsRequest& request);
Decision<protocol::DeleteTopicsResponse> delete_topics(const Compute& compute,
                                                       const protocol::DeleteTopicsRequest& request,
                                                       std::int16_t api_version);
Decision<protocol::CreatePartitionsResponse> create_partitions(const Compute& compute,
                                                               const protocol::CreatePartitionsRequest& request);

// What is wrong with the name as a topic's; nothing if it is legal.
std::optional<std::string> topic_name_fault(std::string_view name);

}  // namespace klamm::controller
