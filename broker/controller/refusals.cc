#include "broker/controller/refusals.h"

namespace klamm::controller {
namespace {

// Code and text at the top of the response.
template <typename Response>
Response with_message(const Fault& fault) {
  Response response;
  set_fault(response, fault);
  return response;
}

// The code alone: the response has no text.
template <typename Response>
Response with_code(const Fault& fault) {
  Response response;
  response.error_code = protocol::to_wire(fault.code);
  return response;
}

template <typename Response, typename Request>
Response for_each_resource(const Request& request, const Fault& fault) {
  Response response;
  for (const auto& resource : request.resources) {
    auto& answer = response.responses.emplace_back();
    answer.resource_type = resource.resource_type;
    answer.resource_name = resource.resource_name;
    set_fault(answer, fault);
  }
  return response;
}

}  // namespace

protocol::CreateTopicsResponse refuse(const protocol::CreateTopicsRequest& request, const Fault& fault) {
  protocol::CreateTopicsResponse response;
  for (const auto& topic : request.topics) {
    auto& answer = response.topics.emplace_back();
    answer.name = topic.name;
    set_fault(answer, fault);
  }
  return response;
}

protocol::DeleteTopicsResponse refuse(const protocol::DeleteTopicsRequest& request, const Fault& fault) {
  protocol::DeleteTopicsResponse response;
  for (const auto& topic : request.topics) {
    auto& answer = response.responses.emplace_back();
    answer.name = topic.name;
    answer.topic_id = topic.topic_id;
    set_fault(answer, fault);
  }
  for (const auto& name : request.topic_names) {
    auto& answer = response.responses.emplace_back();
    answer.name = name;
    set_fault(answer, fault);
  }
  return response;
}

protocol::CreatePartitionsResponse refuse(const protocol::CreatePartitionsRequest& request, const Fault& fault) {
  protocol::CreatePartitionsResponse response;
  for (const auto& topic : request.topics) {
    auto& answer = response.results.emplace_back();
    answer.name = topic.name;
    set_fault(answer, fault);
  }
  return response;
}

protocol::IncrementalAlterConfigsResponse refuse(const protocol::IncrementalAlterConfigsRequest& request,
                                                 const Fault& fault) {
  return for_each_resource<protocol::IncrementalAlterConfigsResponse>(request, fault);
}
protocol::AlterConfigsResponse refuse(const protocol::AlterConfigsRequest& request, const Fault& fault) {
  return for_each_resource<protocol::AlterConfigsResponse>(request, fault);
}
protocol::BrokerRegistrationResponse refuse(const protocol::BrokerRegistrationRequest&, const Fault& fault) {
  return with_code<protocol::BrokerRegistrationResponse>(fault);
}
protocol::BrokerHeartbeatResponse refuse(const protocol::BrokerHeartbeatRequest&, const Fault& fault) {
  return with_code<protocol::BrokerHeartbeatResponse>(fault);
}
protocol::UnregisterBrokerResponse refuse(const protocol::UnregisterBrokerRequest&, const Fault& fault) {
  return with_message<protocol::UnregisterBrokerResponse>(fault);
}
protocol::ControllerRegistrationResponse refuse(const protocol::ControllerRegistrationRequest&, const Fault& fault) {
  return with_message<protocol::ControllerRegistrationResponse>(fault);
}
protocol::AllocateProducerIdsResponse refuse(const protocol::AllocateProducerIdsRequest&, const Fault& fault) {
  return with_code<protocol::AllocateProducerIdsResponse>(fault);
}
protocol::AssignReplicasToDirsResponse refuse(const protocol::AssignReplicasToDirsRequest&, const Fault& fault) {
  return with_code<protocol::AssignReplicasToDirsResponse>(fault);
}
protocol::AlterPartitionResponse refuse(const protocol::AlterPartitionRequest&, const Fault& fault) {
  return with_code<protocol::AlterPartitionResponse>(fault);
}
protocol::ElectLeadersResponse refuse(const protocol::ElectLeadersRequest&, const Fault& fault) {
  return with_code<protocol::ElectLeadersResponse>(fault);
}
protocol::AlterPartitionReassignmentsResponse refuse(const protocol::AlterPartitionReassignmentsRequest&,
                                                     const Fault& fault) {
  return with_message<protocol::AlterPartitionReassignmentsResponse>(fault);
}
protocol::ListPartitionReassignmentsResponse refuse(const protocol::ListPartitionReassignmentsRequest&,
                                                    const Fault& fault) {
  return with_message<protocol::ListPartitionReassignmentsResponse>(fault);
}
protocol::UpdateFeaturesResponse refuse(const protocol::UpdateFeaturesRequest&, const Fault& fault) {
  return with_message<protocol::UpdateFeaturesResponse>(fault);
}
protocol::AddRaftVoterResponse refuse(const protocol::AddRaftVoterRequest&, const Fault& fault) {
  return with_message<protocol::AddRaftVoterResponse>(fault);
}
protocol::RemoveRaftVoterResponse refuse(const protocol::RemoveRaftVoterRequest&, const Fault& fault) {
  return with_message<protocol::RemoveRaftVoterResponse>(fault);
}
protocol::DescribeQuorumResponse refuse(const protocol::DescribeQuorumRequest&, const Fault& fault) {
  return with_message<protocol::DescribeQuorumResponse>(fault);
}

}  // namespace klamm::controller
