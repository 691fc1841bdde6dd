#include "broker/replica/isr_changes.h"

#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;

namespace {

constexpr Duration kTryAgainAfter = 50ms;

std::string text_of(const IsrProposal& proposal) {
  std::string text;
  for (const IsrProposal::Member& member : proposal.isr) {
    text += (text.empty() ? "" : ",") + std::to_string(member.broker);
  }
  return text;
}

}  // namespace

IsrChanges::IsrChanges(io::Shard& shard, std::int32_t broker_id, std::function<std::int64_t()> broker_epoch,
                       AskController ask, OnAnswer on_answer, Logger logger)
    : shard_(shard),
      broker_id_(broker_id),
      broker_epoch_(std::move(broker_epoch)),
      ask_(std::move(ask)),
      on_answer_(std::move(on_answer)),
      logger_(std::move(logger)),
      closing_(shard),
      background_(shard) {}

void IsrChanges::propose(const Key& key, const IsrProposal& proposal) {
  waiting_.insert_or_assign(key, proposal);
  if (working_ || background_.closed()) return;
  working_ = true;
  background_.spawn(work());
}

io::Task<void> IsrChanges::close() {
  closing_.notify_all();
  co_await background_.close();
}

io::Task<void> IsrChanges::work() {
  co_await shard_.others_first();  // what the others of this turn want goes along
  while (!waiting_.empty() && !background_.closed()) {
    const Proposals sent = waiting_;
    Result<protocol::AlterPartitionResponse> response = co_await ask_(request_of(sent));
    const bool settled = take(response, sent);
    if (settled || background_.closed()) continue;
    co_await closing_.wait_until(shard_.now() + kTryAgainAfter);
  }
  working_ = false;
}

protocol::AlterPartitionRequest IsrChanges::request_of(const Proposals& proposals) const {
  protocol::AlterPartitionRequest request;
  request.broker_id = broker_id_;
  request.broker_epoch = broker_epoch_();
  for (const auto& [key, proposal] : proposals) {
    if (request.topics.empty() || request.topics.back().topic_id != key.first) {
      request.topics.emplace_back().topic_id = key.first;
    }
    auto& partition = request.topics.back().partitions.emplace_back();
    partition.partition_index = key.second;
    partition.leader_epoch = proposal.leader_epoch;
    partition.partition_epoch = proposal.partition_epoch;
    partition.leader_recovery_state = static_cast<std::int8_t>(metadata::LeaderRecoveryState::recovered);
    for (const IsrProposal::Member& member : proposal.isr) {
      auto& state = partition.new_isr_with_epochs.emplace_back();
      state.broker_id = member.broker;
      state.broker_epoch = member.broker_epoch;
    }
  }
  return request;
}

// False if what was sent, or some of it, has to be sent again.
bool IsrChanges::take(const Result<protocol::AlterPartitionResponse>& response, const Proposals& sent) {
  if (!response) {
    logger_.warning("ISRs not changed, to be tried again: {}", response.error().message());
    return false;
  }
  const ErrorCode whole = protocol::error_code_from(response->error_code);
  if (whole != ErrorCode::none) {
    logger_.warning("ISRs not changed, to be tried again: {}", protocol::name(whole));
    return false;
  }
  bool settled = true;
  Proposals unanswered = sent;
  for (const auto& topic : response->topics) {
    for (const auto& partition : topic.partitions) {
      const Key key{topic.topic_id, partition.partition_index};
      const auto was = unanswered.find(key);
      if (was == unanswered.end()) continue;
      const IsrProposal proposal = std::move(was->second);
      unanswered.erase(was);
      const auto now = waiting_.find(key);
      if (now == waiting_.end()) continue;  // forgotten
      IsrAnswer answer;
      answer.error = protocol::error_code_from(partition.error_code);
      answer.leader_epoch = partition.leader_epoch;
      answer.partition_epoch = partition.partition_epoch;
      answer.isr = partition.isr;
      // A newer proposal waits for the next request.
      const bool newest = now->second.number == proposal.number;
      const bool done = on_answer_(key, proposal.number, answer);
      if (answer.error != ErrorCode::none) {
        logger_.info("{}-{}: ISR {} of leader epoch {} refused: {}", key.first.text(), key.second, text_of(proposal),
                     proposal.leader_epoch, protocol::name(answer.error));
      }
      if (!done) settled = false;
      if (!done || !newest) continue;
      // on_answer_ may have proposed the next one.
      const auto after = waiting_.find(key);
      if (after != waiting_.end() && after->second.number == proposal.number) waiting_.erase(after);
    }
  }
  return settled && unanswered.empty();
}

}  // namespace klamm::replica
