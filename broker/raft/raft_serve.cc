// RaftNode's answers to the other members of the quorum.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "broker/raft/raft_node.h"
#include "broker/raft/raft_wire.h"
#include "protocol/error.h"
#include "protocol/messages/add_raft_voter_request.h"
#include "protocol/messages/add_raft_voter_response.h"
#include "protocol/messages/remove_raft_voter_request.h"
#include "protocol/messages/remove_raft_voter_response.h"

namespace klamm::raft {
namespace {

constexpr std::int64_t kMostReadBytes = 8 << 20;  // whatever a request allows
constexpr Duration kVoterChange = 30s;  // for a change of the voters to be committed, if the request tells none
constexpr std::string_view kKRaftVersion = "kraft.version";

template <typename Request>
using ResponseOf = typename Request::Response;

// What is wrong with a request as a whole; none if nothing.
template <typename Request>
ErrorCode fault_of(const Request& request, const std::string& cluster_id) {
  const ErrorCode cluster = check_cluster(request.cluster_id, cluster_id);
  if (cluster != ErrorCode::none) return cluster;
  return to_ask(request).has_value() ? ErrorCode::none : ErrorCode::invalid_request;
}

}  // namespace

// Waits until what was to be remembered by now is on the disk; false if the node ends before.
io::Task<bool> RaftNode::settled() {
  work_.notify_all();
  const std::uint64_t wanted = core_.persists();
  while (persists_done_ < wanted) {
    if (failure_ || stopping_) co_return false;
    co_await persisted_.wait();
  }
  co_return true;
}

io::Task<protocol::VoteResponse> RaftNode::vote(protocol::VoteRequest request) {
  const ErrorCode fault = fault_of(request, options_.cluster_id);
  if (fault != ErrorCode::none) co_return refusal<protocol::VoteResponse>(fault);
  VoteAnswer answer = core_.on_vote(now(), *to_ask(request));
  const bool durable = co_await settled();
  if (!durable) {
    answer.granted = false;
    answer.error = ErrorCode::broker_not_available;
  }
  co_return to_message(answer);
}

io::Task<protocol::BeginQuorumEpochResponse> RaftNode::begin_quorum_epoch(protocol::BeginQuorumEpochRequest request) {
  const ErrorCode fault = fault_of(request, options_.cluster_id);
  if (fault != ErrorCode::none) co_return refusal<protocol::BeginQuorumEpochResponse>(fault);
  Answer answer = core_.on_begin_epoch(now(), *to_ask(request));
  const bool durable = co_await settled();
  if (!durable) answer.error = ErrorCode::broker_not_available;
  co_return to_begin_message(answer);
}

io::Task<protocol::EndQuorumEpochResponse> RaftNode::end_quorum_epoch(protocol::EndQuorumEpochRequest request) {
  const ErrorCode fault = fault_of(request, options_.cluster_id);
  if (fault != ErrorCode::none) co_return refusal<protocol::EndQuorumEpochResponse>(fault);
  Answer answer = core_.on_end_epoch(now(), *to_ask(request));
  const bool durable = co_await settled();
  if (!durable) answer.error = ErrorCode::broker_not_available;
  co_return to_end_message(answer);
}

io::Task<protocol::FetchResponse> RaftNode::fetch(protocol::FetchRequest request) {
  const ErrorCode fault = fault_of(request, options_.cluster_id);
  if (fault != ErrorCode::none) co_return refusal<protocol::FetchResponse>(fault);
  FetchAnswer answer = co_await serve_fetch(*to_ask(request));
  co_return to_message(answer);
}

io::Task<FetchAnswer> RaftNode::serve_fetch(FetchAsk ask) {
  const Instant deadline = shard_.now() + milliseconds(std::max<std::int64_t>(ask.max_wait_ms, 0));
  FetchAnswer answer = core_.on_fetch(now(), ask);
  work_.notify_all();
  while (answer.valid() && !failure_ && !stopping_) {
    if (ask.offset < log_->end_offset()) {
      Result<Slice> records = co_await read_for(ask);
      // What was read counts only if the log is still as it was: a leader cuts nothing.
      answer = core_.on_fetch(now(), ask, true);
      if (!answer.valid()) break;
      if (records) {
        answer.records = std::move(*records);
      } else {
        logger_.error("offset {} of the metadata log cannot be read: {}", ask.offset, records.error().message());
        answer.error = ErrorCode::unknown_server_error;
      }
      break;
    }
    if (ask.high_watermark < answer.high_watermark || shard_.now() >= deadline) break;
    const bool notified = co_await replicate_.wait_until(deadline);
    static_cast<void>(notified);
    answer = core_.on_fetch(now(), ask, true);
  }
  co_return answer;
}

io::Task<Result<Slice>> RaftNode::read_for(FetchAsk ask) {
  const std::int64_t most = std::clamp<std::int64_t>(ask.max_bytes, 1, kMostReadBytes);
  Result<std::vector<Slice>> batches = co_await log_->read(ask.offset, most);
  KLAMM_CO_TRY(batches);
  if (batches->empty()) co_return Slice();
  // They lie one behind the other in one buffer.
  const Slice& first = batches->front();
  const Slice& last = batches->back();
  co_return Slice(first.buffer(), first.data(), static_cast<std::size_t>(last.end() - first.begin()));
}

io::Task<protocol::FetchSnapshotResponse> RaftNode::fetch_snapshot(protocol::FetchSnapshotRequest request) {
  const ErrorCode fault = fault_of(request, options_.cluster_id);
  if (fault != ErrorCode::none) co_return refusal<protocol::FetchSnapshotResponse>(fault);
  const FetchSnapshotAsk ask = *to_ask(request);
  FetchSnapshotAnswer answer = core_.on_fetch_snapshot(now(), ask);
  if (answer.error == ErrorCode::none) {
    Result<MetadataLog::SnapshotPart> part = co_await log_->read_snapshot_part(ask.id, ask.position, ask.max_bytes);
    if (part) {
      answer.size = part->size;
      answer.bytes = std::move(part->bytes);
    } else {
      answer.error = part.error() == Errc::not_found ? ErrorCode::snapshot_not_found : protocol::code_of(part.error());
    }
  }
  co_return to_message(answer);
}

// ---- The voter set.

io::Task<protocol::AddRaftVoterResponse> RaftNode::add_voter(protocol::AddRaftVoterRequest request) {
  Result<void> done = co_await add_voter_checked(std::move(request));
  protocol::AddRaftVoterResponse response;
  response.error_message = std::nullopt;
  if (!done) {
    response.error_code = protocol::to_wire(protocol::code_of(done.error()));
    response.error_message = done.error().context();
  }
  co_return response;
}

io::Task<Result<void>> RaftNode::add_voter_checked(protocol::AddRaftVoterRequest request) {
  const ErrorCode cluster = check_cluster(request.cluster_id, options_.cluster_id);
  if (cluster != ErrorCode::none) co_return fail(protocol::kafka_error(cluster));
  Voter voter;
  voter.key = {request.voter_id, request.voter_directory_id};
  for (const auto& listener : request.listeners)
    voter.endpoints.push_back({listener.name, listener.host, listener.port});
  const auto asked = std::find_if(voter.endpoints.begin(), voter.endpoints.end(),
                                  [this](const Endpoint& endpoint) { return endpoint.name == options_.listener; });
  if (voter.key.id < 0 || voter.key.directory_id.is_zero() || asked == voter.endpoints.end()) {
    co_return fail(protocol::kafka_error(
        ErrorCode::invalid_request,
        fmt::format("A voter needs an id, a directory id, and an endpoint for the listener {}.", options_.listener)));
  }
  Result<void> may = core_.may_add_voter(voter.key);
  KLAMM_CO_TRY(may);
  rpc::Channel& channel = peers_.to(*asked, RaftPeers::Use::ask);
  Result<std::shared_ptr<rpc::Connection>> connection = co_await channel.connect();
  if (!connection) {
    co_return fail(protocol::kafka_error(
        ErrorCode::request_timed_out,
        fmt::format("Node {} cannot be reached at {}:{}.", voter.key.id, asked->host, asked->port)));
  }
  voter.kraft_version_min = voter.kraft_version_max = 0;
  for (const rpc::Connection::Feature& feature : (*connection)->supported_features()) {
    if (feature.name != kKRaftVersion) continue;
    voter.kraft_version_min = feature.lowest;
    voter.kraft_version_max = feature.highest;
  }
  if (voter.kraft_version_min > core_.kraft_version() || voter.kraft_version_max < core_.kraft_version()) {
    co_return fail(
        protocol::kafka_error(ErrorCode::invalid_request,
                              fmt::format("Node {} supports kraft.version {} to {}, the cluster has {}.", voter.key.id,
                                          voter.kraft_version_min, voter.kraft_version_max, core_.kraft_version())));
  }
  Result<std::int64_t> offset = core_.add_voter(now(), voter);
  if (offset && !request.ack_when_committed) {
    work_.notify_all();
    co_return Result<void>();
  }
  const Duration patience = request.timeout_ms > 0 ? milliseconds(request.timeout_ms) : kVoterChange;
  Result<void> done = co_await wait_changed(std::move(offset), patience);
  co_return done;
}

// A change of the voters that was appended, or was refused.
io::Task<Result<void>> RaftNode::wait_changed(Result<std::int64_t> offset, Duration patience) {
  KLAMM_CO_TRY(offset);
  work_.notify_all();
  Result<void> done = co_await wait_committed(core_.epoch(), *offset, shard_.now() + patience);
  co_return done;
}

io::Task<protocol::RemoveRaftVoterResponse> RaftNode::remove_voter(protocol::RemoveRaftVoterRequest request) {
  Result<void> done = co_await remove_voter_checked(std::move(request));
  protocol::RemoveRaftVoterResponse response;
  response.error_message = std::nullopt;
  if (!done) {
    response.error_code = protocol::to_wire(protocol::code_of(done.error()));
    response.error_message = done.error().context();
  }
  co_return response;
}

io::Task<Result<void>> RaftNode::remove_voter_checked(protocol::RemoveRaftVoterRequest request) {
  const ErrorCode cluster = check_cluster(request.cluster_id, options_.cluster_id);
  if (cluster != ErrorCode::none) co_return fail(protocol::kafka_error(cluster));
  if (request.voter_id < 0 || request.voter_directory_id.is_zero()) {
    co_return fail(protocol::kafka_error(ErrorCode::invalid_request, "A voter needs an id and a directory id."));
  }
  Result<std::int64_t> offset = core_.remove_voter(now(), {request.voter_id, request.voter_directory_id});
  Result<void> done = co_await wait_changed(std::move(offset), kVoterChange);
  co_return done;
}

io::Task<protocol::UpdateRaftVoterResponse> RaftNode::update_voter(protocol::UpdateRaftVoterRequest request) {
  Answer answer;
  answer.error = check_cluster(request.cluster_id, options_.cluster_id);
  if (answer.error == ErrorCode::none && (request.voter_id < 0 || request.voter_directory_id.is_zero())) {
    answer.error = ErrorCode::invalid_request;
  }
  if (answer.error == ErrorCode::none) {
    Result<std::int64_t> offset = core_.update_voter(now(), to_ask(request));
    Result<void> done = co_await wait_changed(std::move(offset), kVoterChange);
    if (!done) answer.error = protocol::code_of(done.error());
  }
  answer.leader = core_.leader();
  answer.leader_address = core_.leader_address();
  co_return to_update_message(answer);
}

}  // namespace klamm::raft
