// The plain values of raft_messages.h as Kafka's messages, and back. Requests are checked for what concerns the message
// alone: the cluster's id, and that they are about __cluster_metadata-0 and nothing else. Pure.
#pragma once

#include <string>

#include "base/result.h"
#include "broker/raft/raft_messages.h"
#include "broker/storage/names.h"
#include "protocol/messages/begin_quorum_epoch_request.h"
#include "protocol/messages/begin_quorum_epoch_response.h"
#include "protocol/messages/end_quorum_epoch_request.h"
#include "protocol/messages/end_quorum_epoch_response.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/fetch_snapshot_request.h"
#include "protocol/messages/fetch_snapshot_response.h"
#include "protocol/messages/update_raft_voter_request.h"
#include "protocol/messages/update_raft_voter_response.h"
#include "protocol/messages/vote_request.h"
#include "protocol/messages/vote_response.h"

namespace klamm::raft {

using storage::kMetadataTopic;
constexpr Uuid kMetadataTopicId{0, 1};

// INCONSISTENT_CLUSTER_ID if the request names another cluster. One that names none passes.
ErrorCode check_cluster(const std::optional<std::string>& named, const std::string& own);

// Requests out of asks.
protocol::VoteRequest to_message(const VoteAsk& ask, const std::string& cluster_id);
protocol::BeginQuorumEpochRequest to_message(const BeginEpochAsk& ask, const std::string& cluster_id);
protocol::EndQuorumEpochRequest to_message(const EndEpochAsk& ask, const std::string& cluster_id);
protocol::FetchRequest to_message(const FetchAsk& ask, const std::string& cluster_id);
protocol::FetchSnapshotRequest to_message(const FetchSnapshotAsk& ask, const std::string& cluster_id);
protocol::UpdateRaftVoterRequest to_message(const UpdateVoterAsk& ask, const std::string& cluster_id);

// Asks out of requests; INVALID_REQUEST if it is about anything but the metadata partition.
Result<VoteAsk> to_ask(const protocol::VoteRequest& request);
Result<BeginEpochAsk> to_ask(const protocol::BeginQuorumEpochRequest& request);
Result<EndEpochAsk> to_ask(const protocol::EndQuorumEpochRequest& request);
Result<FetchAsk> to_ask(const protocol::FetchRequest& request);
Result<FetchSnapshotAsk> to_ask(const protocol::FetchSnapshotRequest& request);
UpdateVoterAsk to_ask(const protocol::UpdateRaftVoterRequest& request);

// Responses out of answers.
protocol::VoteResponse to_message(const VoteAnswer& answer);
protocol::BeginQuorumEpochResponse to_begin_message(const Answer& answer);
protocol::EndQuorumEpochResponse to_end_message(const Answer& answer);
protocol::FetchResponse to_message(const FetchAnswer& answer);
protocol::FetchSnapshotResponse to_message(const FetchSnapshotAnswer& answer);
protocol::UpdateRaftVoterResponse to_update_message(const Answer& answer);

// Answers out of responses; one that lacks the partition has UNKNOWN_SERVER_ERROR, if it does not say otherwise.
VoteAnswer to_answer(const protocol::VoteResponse& response);
Answer to_answer(const protocol::BeginQuorumEpochResponse& response);
Answer to_answer(const protocol::EndQuorumEpochResponse& response);
FetchAnswer to_answer(const protocol::FetchResponse& response);
FetchSnapshotAnswer to_answer(const protocol::FetchSnapshotResponse& response);
Answer to_answer(const protocol::UpdateRaftVoterResponse& response);

// A request that is refused as a whole.
template <typename Response>
Response refusal(ErrorCode error) {
  Response response;
  response.error_code = static_cast<std::int16_t>(error);
  return response;
}

}  // namespace klamm::raft
