// What the nodes of the metadata quorum ask of each other, answered by the RaftNode, on whose shard these calls are.
#include "broker/handler/dispatch.h"
#include "broker/handler/respond.h"
#include "protocol/messages/add_raft_voter_request.h"
#include "protocol/messages/add_raft_voter_response.h"
#include "protocol/messages/begin_quorum_epoch_request.h"
#include "protocol/messages/begin_quorum_epoch_response.h"
#include "protocol/messages/end_quorum_epoch_request.h"
#include "protocol/messages/end_quorum_epoch_response.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/fetch_snapshot_request.h"
#include "protocol/messages/fetch_snapshot_response.h"
#include "protocol/messages/remove_raft_voter_request.h"
#include "protocol/messages/remove_raft_voter_response.h"
#include "protocol/messages/update_raft_voter_request.h"
#include "protocol/messages/update_raft_voter_response.h"
#include "protocol/messages/vote_request.h"
#include "protocol/messages/vote_response.h"

namespace klamm::handler {
namespace {

using protocol::ApiKey;
using raft::RaftNode;

template <auto method, typename Request, typename Response>
io::Task<Response> asked(ControllerCall& call, Request request) {
  Response response = co_await (call.services.raft.*method)(std::move(request));
  // A change of voters that a broker forwarded goes on to the leader.
  if constexpr (requires { response.error_message; }) {
    call.not_controller = response.error_code == protocol::to_wire(protocol::ErrorCode::not_leader_or_follower);
  }
  co_return response;
}

template <auto method, typename Request>
io::Task<Reply> serve(ControllerCall& call, Slice body) {
  using Response = typename Request::Response;
  return serve_with<&asked<method, Request, Response>, Request, Response>(call, std::move(body));
}

constexpr ControllerServed kRaftServed[] = {
    {ApiKey::fetch, &serve<&RaftNode::fetch, protocol::FetchRequest>},
    {ApiKey::vote, &serve<&RaftNode::vote, protocol::VoteRequest>},
    {ApiKey::begin_quorum_epoch, &serve<&RaftNode::begin_quorum_epoch, protocol::BeginQuorumEpochRequest>},
    {ApiKey::end_quorum_epoch, &serve<&RaftNode::end_quorum_epoch, protocol::EndQuorumEpochRequest>},
    {ApiKey::fetch_snapshot, &serve<&RaftNode::fetch_snapshot, protocol::FetchSnapshotRequest>},
    {ApiKey::add_raft_voter, &serve<&RaftNode::add_voter, protocol::AddRaftVoterRequest>},
    {ApiKey::remove_raft_voter, &serve<&RaftNode::remove_voter, protocol::RemoveRaftVoterRequest>},
    {ApiKey::update_raft_voter, &serve<&RaftNode::update_voter, protocol::UpdateRaftVoterRequest>},
};

}  // namespace

std::span<const ControllerServed> served_raft_apis() { return kRaftServed; }

}  // namespace klamm::handler
