// RaftNode as the driver of its core: files and network.
#include <fmt/format.h>

#include <utility>

#include "broker/raft/raft_node.h"
#include "broker/raft/raft_wire.h"
#include "broker/storage/disk_errors.h"
#include "protocol/error.h"
#include "protocol/messages/add_raft_voter_request.h"
#include "protocol/messages/add_raft_voter_response.h"
#include "protocol/messages/remove_raft_voter_request.h"
#include "protocol/messages/remove_raft_voter_response.h"

namespace klamm::raft {
namespace {

constexpr Duration kTryAgainAfter = 100ms;  // on a full disk
constexpr Duration kFarewell = 500ms;       // for telling others that the leader goes

// What became of a request that was not answered.
ErrorCode code_of_failure(const Error& error) {
  const ErrorCode code = protocol::code_of(error);
  return code == ErrorCode::none ? ErrorCode::network_exception : code;
}

template <typename Send>
constexpr bool kWaitsThere = std::is_same_v<Send, SendFetch> || std::is_same_v<Send, SendFetchSnapshot>;

}  // namespace

// The one task that writes: takes the core's actions, carries them out in order, tells it the outcome.
io::Task<void> RaftNode::drive() {
  while (!failure_) {
    core_.tick(now());
    if (core_.has_actions()) {
      Result<void> done = co_await perform(core_.take_actions());
      if (!done) fail_node(std::move(done).error());
      continue;
    }
    if (stopping_) break;
    const bool notified = co_await work_.wait_until(core_.next_deadline());
    static_cast<void>(notified);
  }
}

io::Task<Result<void>> RaftNode::perform(std::vector<Action> actions) {
  // One flush serves all appends before it.
  std::size_t last_flush = actions.size();
  for (std::size_t index = 0; index < actions.size(); ++index) {
    if (std::holds_alternative<FlushLog>(actions[index])) last_flush = index;
  }
  for (std::size_t index = 0; index < actions.size(); ++index) {
    Action& action = actions[index];
    Result<void> done;
    if (std::holds_alternative<FlushLog>(action) && index != last_flush) continue;
    for (bool told = false;;) {
      done = co_await perform_write(action);
      if (done || stopping_ || !may_pass(done.error())) break;
      // A full disk. Nothing can be taken back, so it is tried until there is room; what was committed is read
      // meanwhile.
      if (!std::exchange(told, true)) logger_.error("the metadata log waits for room: {}", done.error().message());
      co_await shard_.sleep(kTryAgainAfter);
    }
    KLAMM_CO_TRY(done);
    perform_rest(action);
  }
  co_return Result<void>();
}

// The actions that concern the disk; nothing for others. What failed may be called again.
io::Task<Result<void>> RaftNode::perform_write(Action& action) {
  Result<void> done;
  if (auto* persist = std::get_if<PersistQuorumState>(&action)) {
    done = co_await save_quorum_state(shard_.files(), log_->directory(), persist->state);
    if (done) ++persists_done_;
  } else if (auto* append = std::get_if<AppendBatch>(&action)) {
    done = co_await perform_append(*append);
  } else if (auto* fetched = std::get_if<AppendFetched>(&action)) {
    done = co_await perform_fetched(*fetched);
  } else if (std::holds_alternative<FlushLog>(action)) {
    done = co_await perform_flush();
  } else if (auto* truncate = std::get_if<TruncateLog>(&action)) {
    logger_.info("the metadata log is cut at offset {}, where it parts from the leader's", truncate->end_offset);
    done = co_await log_->truncate_to(truncate->end_offset);
    if (done) core_.truncated(truncate->end_offset);
  } else if (auto* part = std::get_if<WriteSnapshotPart>(&action)) {
    done = co_await log_->write_snapshot_part(part->id, part->position, part->bytes);
  } else if (auto* install = std::get_if<InstallSnapshot>(&action)) {
    done = co_await perform_install(install->id);
  } else if (std::holds_alternative<CaughtUp>(action)) {
    done = co_await forget_freshness();
    if (done) ++persists_done_;
  } else if (auto* fault = std::get_if<Fail>(&action)) {
    done = fail(fault->error);
  }
  co_return done;
}

// What takes no time.
void RaftNode::perform_rest(Action& action) {
  if (auto* changed = std::get_if<LeaderChanged>(&action)) {
    if (!stopping_) {
      logger_.info("epoch {}: the metadata quorum is led by {}", changed->leader.epoch,
                   changed->leader.leader_id < 0 ? "nobody" : fmt::format("node {}", changed->leader.leader_id));
    }
    progress_.notify_all();
    replicate_.notify_all();
  } else if (auto* committed = std::get_if<Committed>(&action)) {
    log_->set_high_watermark(committed->high_watermark);
    progress_.notify_all();
    replicate_.notify_all();
  } else if (std::holds_alternative<PersistQuorumState>(action) || std::holds_alternative<CaughtUp>(action)) {
    persisted_.notify_all();
  } else if (auto* vote = std::get_if<SendVote>(&action)) {
    tasks_.spawn(send(std::move(*vote)));
  } else if (auto* begin = std::get_if<SendBeginEpoch>(&action)) {
    tasks_.spawn(send(std::move(*begin)));
  } else if (auto* end = std::get_if<SendEndEpoch>(&action)) {
    tasks_.spawn(send_end(std::move(*end)));
  } else if (auto* fetch = std::get_if<SendFetch>(&action)) {
    tasks_.spawn(send(std::move(*fetch)));
  } else if (auto* snapshot = std::get_if<SendFetchSnapshot>(&action)) {
    tasks_.spawn(send(std::move(*snapshot)));
  } else if (auto* update = std::get_if<SendUpdateVoter>(&action)) {
    tasks_.spawn(send(std::move(*update)));
  } else if (auto* add = std::get_if<SendAddVoter>(&action)) {
    tasks_.spawn(send_add(std::move(*add)));
  } else if (auto* remove = std::get_if<SendRemoveVoter>(&action)) {
    tasks_.spawn(send_remove(std::move(*remove)));
  }
}

bool RaftNode::may_pass(const Error& error) const {
  if (storage::is_shortage(error)) return true;
  return protocol::code_of(error) == ErrorCode::kafka_storage_error && !log_->failed();
}

io::Task<Result<void>> RaftNode::perform_append(const AppendBatch& append) {
  Result<record::BatchView> view = record::BatchView::parse(append.batch);
  KLAMM_CO_TRY(view);
  Result<void> appended =
      co_await log_->append(append.batch, view->leader_epoch(), append.base_offset, append.last_offset);
  KLAMM_CO_TRY(appended);
  core_.written(append.last_offset + 1);
  replicate_.notify_all();
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::perform_fetched(const AppendFetched& append) {
  Result<void> appended =
      co_await log_->append_fetched(append.records, append.epoch, append.base_offset, append.last_offset);
  KLAMM_CO_TRY(appended);
  core_.written(append.last_offset + 1);
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::perform_flush() {
  const std::int64_t end = log_->end_offset();
  Result<void> flushed = co_await log_->flush();
  KLAMM_CO_TRY(flushed);
  core_.flushed(end);
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::perform_install(SnapshotId id) {
  Result<ControlFacts> facts = co_await log_->install_snapshot(id);
  if (!facts && facts.error() == Errc::corrupt) {
    logger_.error("the snapshot {} came damaged: {}", snapshot_file_name(id), facts.error().message());
    core_.install_failed();
    co_return Result<void>();
  }
  KLAMM_CO_TRY(facts);
  logger_.info("fetched the metadata snapshot {}", snapshot_file_name(id));
  core_.installed(id, std::move(facts->voters), facts->kraft_version.value_or(0));
  co_return Result<void>();
}

io::Task<Result<void>> RaftNode::forget_freshness() {
  Result<void> removed = co_await shard_.files().remove(io::join_path(log_->directory(), kFreshMarker));
  if (!removed && removed.error() == Errc::not_found) removed = {};
  KLAMM_CO_TRY(removed);
  Result<void> synced = co_await shard_.files().sync_directory(log_->directory());
  co_return synced;
}

// Sends one request and tells the core what came of it.
template <typename Send>
io::Task<void> RaftNode::send(Send sent) {
  const auto request = to_message(sent.ask, options_.cluster_id);
  using Request = std::remove_const_t<decltype(request)>;
  rpc::VersionBounds bounds;
  if constexpr (std::is_same_v<Send, SendVote>) {
    if (sent.ask.pre_vote) bounds.lowest = 2;
  }
  rpc::Channel& channel = peers_.to(sent.to.address, kWaitsThere<Send> ? RaftPeers::Use::fetch : RaftPeers::Use::ask);
  Result<typename Request::Response> response =
      co_await channel.template call<Request>(request, bounds, options_.request_timeout);
  decltype(to_answer(*response)) answer;
  if (response) {
    answer = to_answer(*response);
  } else {
    answer.error = code_of_failure(response.error());
    logger_.debug("{} to {}:{}: {}", Request::kName, sent.to.address.host, sent.to.address.port,
                  response.error().message());
  }
  if (failure_) co_return;
  if constexpr (std::is_same_v<Send, SendVote>) {
    core_.on_vote_answer(now(), sent, answer);
  } else if constexpr (std::is_same_v<Send, SendFetch>) {
    core_.on_fetch_answer(now(), sent, answer);
  } else if constexpr (std::is_same_v<Send, SendFetchSnapshot>) {
    core_.on_fetch_snapshot_answer(now(), sent, answer);
  } else if constexpr (std::is_same_v<Send, SendUpdateVoter>) {
    core_.on_update_voter_answer(now(), answer);
  } else {
    core_.on_epoch_answer(now(), sent.to, answer);
  }
  work_.notify_all();
}

io::Task<void> RaftNode::send_add(SendAddVoter sent) {
  protocol::AddRaftVoterRequest request;
  request.cluster_id = options_.cluster_id;
  request.timeout_ms = static_cast<std::int32_t>(options_.request_timeout / 1ms);
  request.voter_id = sent.voter.key.id;
  request.voter_directory_id = sent.voter.key.directory_id;
  for (const Endpoint& endpoint : sent.voter.endpoints) {
    auto& listener = request.listeners.emplace_back();
    listener.name = endpoint.name;
    listener.host = endpoint.host;
    listener.port = endpoint.port;
  }
  request.ack_when_committed = false;
  rpc::Channel& channel = peers_.to(sent.to.address, RaftPeers::Use::ask);
  const rpc::VersionBounds with_ack{.lowest = 1};
  Result<protocol::AddRaftVoterResponse> response =
      co_await channel.call<protocol::AddRaftVoterRequest>(std::move(request), with_ack, options_.request_timeout);
  if (response) {
    logger_.info("asked node {} to become a voter: {}", sent.to.id,
                 protocol::name(protocol::error_code_from(response->error_code)));
  }
  core_.on_update_voter_answer(now(), Answer());
  work_.notify_all();
}

io::Task<void> RaftNode::send_remove(SendRemoveVoter sent) {
  protocol::RemoveRaftVoterRequest request;
  request.cluster_id = options_.cluster_id;
  request.voter_id = sent.voter.id;
  request.voter_directory_id = sent.voter.directory_id;
  rpc::Channel& channel = peers_.to(sent.to.address, RaftPeers::Use::ask);
  const rpc::VersionBounds any;
  Result<protocol::RemoveRaftVoterResponse> response =
      co_await channel.call<protocol::RemoveRaftVoterRequest>(std::move(request), any, options_.request_timeout);
  if (response) {
    logger_.info("asked node {} to remove this node's former directory {} from the voters: {}", sent.to.id,
                 sent.voter.directory_id.text(), protocol::name(protocol::error_code_from(response->error_code)));
  }
  core_.on_update_voter_answer(now(), Answer());
  work_.notify_all();
}

// A leader that stops waits a little for this one to arrive.
io::Task<void> RaftNode::send_end(SendEndEpoch sent) {
  ++farewells_;
  protocol::EndQuorumEpochRequest request = to_message(sent.ask, options_.cluster_id);
  rpc::Channel& channel = peers_.to(sent.to.address, RaftPeers::Use::ask);
  const rpc::VersionBounds any;
  Result<protocol::EndQuorumEpochResponse> response =
      co_await channel.call<protocol::EndQuorumEpochRequest>(std::move(request), any, kFarewell);
  --farewells_;
  if (response && !failure_) core_.on_epoch_answer(now(), sent.to, to_answer(*response));
  work_.notify_all();
  progress_.notify_all();
}

}  // namespace klamm::raft
