// RaftCore's elections: who stands when, and who gets a vote.
#include "broker/raft/raft_core.h"

namespace klamm::raft {

void RaftCore::tick_election(Now now) {
  if (shut_down_) return;
  if (role_ == Role::follower && now.instant >= fetch_deadline_) {
    if (is_voter()) {
      become_prospective(now);
    } else {
      // An observer asks around for another leader, and keeps to this one until then.
      leader_unreachable_ = true;
      fetch_deadline_ = Instant::never();
    }
  }
  if (now.instant >= election_deadline_) {
    election_deadline_ = Instant::never();
    switch (role_) {
      case Role::unattached:
      case Role::candidate:
        if (is_voter()) become_prospective(now);
        break;
      case Role::prospective: lose_prospect(now); break;
      case Role::resigned:
        if (is_sole_voter()) {
          become_leader(now);
        } else {
          // An observer asks around: nobody tells it of elections, and it must not raise the epoch.
          become_unattached(now, is_voter() ? epoch_ + 1 : epoch_);
        }
        break;
      case Role::leader:
      case Role::follower: break;
    }
  }
  if (role_ == Role::prospective || role_ == Role::candidate) ask_votes(now);
}

void RaftCore::begin_ballot() {
  for (const auto& [id, voter] : voters().by_id()) {
    Ballot& ballot = ballots_[id];
    if (id == config_.self.id) ballot = {.granted = true, .asked = true};
  }
}

void RaftCore::become_prospective(Now now) {
  leave_role();
  role_ = Role::prospective;
  election_deadline_ = now.instant + draw_election_timeout();
  begin_ballot();
  count_votes(now);
  if (role_ == Role::prospective) ask_votes(now);
}

void RaftCore::become_candidate(Now now) {
  leave_role();
  role_ = Role::candidate;
  ++epoch_;
  leader_id_ = -1;
  leader_address_.reset();
  voted_ = config_.self;
  election_deadline_ = now.instant + draw_election_timeout();
  persist();
  tell_leader();
  begin_ballot();
  count_votes(now);
  if (role_ == Role::candidate) ask_votes(now);
}

void RaftCore::ask_votes(Now now) {
  const bool pre_vote = role_ == Role::prospective;
  for (auto& [id, ballot] : ballots_) {
    if (ballot.granted || (ballot.asked && now.instant < ballot.ask_again)) continue;
    const Voter* voter = voters().find(id);
    const std::optional<Endpoint> address = voters().address_of(id, config_.listener);
    if (voter == nullptr || !address) continue;
    ballot.asked = true;
    ballot.ask_again = Instant::never();
    VoteAsk ask;
    ask.epoch = epoch_;
    ask.candidate = config_.self;
    ask.voter = voter->key;
    ask.last_epoch = log_.last_epoch();
    ask.end_offset = log_.end;
    ask.pre_vote = pre_vote;
    actions_.push_back(SendVote{{id, *address}, ask});
  }
}

void RaftCore::count_votes(Now now) {
  std::size_t granted = 0;
  std::size_t refused = 0;
  for (const auto& [id, ballot] : ballots_) {
    if (!ballot.granted) continue;
    ++(*ballot.granted ? granted : refused);
  }
  const std::size_t majority = ballots_.size() / 2 + 1;
  if (granted >= majority) {
    if (role_ == Role::prospective) {
      become_candidate(now);
    } else {
      become_leader(now);
    }
  } else if (ballots_.size() - refused < majority) {
    // A candidate waits for its timeout, so that others have theirs before.
    if (role_ == Role::prospective) {
      election_deadline_ = Instant::never();
      lose_prospect(now);
    } else {
      lost_ = true;
    }
  }
}

void RaftCore::lose_prospect(Now now) {
  const std::optional<Endpoint> address = leader_address();
  if (leader_id_ >= 0 && address) {
    become_follower(now, leader(), address);
  } else {
    become_unattached(now, epoch_);
  }
}

void RaftCore::on_vote_answer(Now now, const SendVote& sent, const VoteAnswer& answer) {
  if (failed_ || shut_down_) return;
  learn(now, answer.leader, answer.leader_address);
  if (failed_ || role_ != (sent.ask.pre_vote ? Role::prospective : Role::candidate) || sent.ask.epoch != epoch_) return;
  const auto found = ballots_.find(sent.to.id);
  if (found == ballots_.end() || found->second.granted) return;
  if (sent.ask.pre_vote && answer.error == ErrorCode::unsupported_version) {
    // It is of an older build and does not know the question.
    become_candidate(now);
    return;
  }
  if (answer.error != ErrorCode::none) {
    if (!lost_) found->second.ask_again = now.instant + config_.retry_backoff;
    return;
  }
  found->second.granted = answer.granted;
  count_votes(now);
}

bool RaftCore::is_up_to_date(const VoteAsk& ask) const {
  const std::int32_t own = log_.last_epoch();
  return ask.last_epoch > own || (ask.last_epoch == own && ask.end_offset >= log_.end);
}

bool RaftCore::may_grant(const VoteAsk& ask) const {
  // What this node had may be lost with its disk: whoever has something might lack what was committed with its help.
  if (fresh_ && (ask.last_epoch != 0 || ask.end_offset != 0)) return false;
  switch (role_) {
    case Role::leader: return false;
    case Role::follower: return ask.pre_vote && !has_fetched_ && is_up_to_date(ask);
    case Role::candidate:
    case Role::resigned: return ask.pre_vote && is_up_to_date(ask);
    case Role::unattached:
    case Role::prospective: break;
  }
  if (ask.pre_vote) return is_up_to_date(ask);
  if (voted_) {
    return voted_->id == ask.candidate.id &&
           (voted_->directory_id.is_zero() || voted_->directory_id == ask.candidate.directory_id);
  }
  return leader_id_ < 0 && is_up_to_date(ask);
}

VoteAnswer RaftCore::on_vote(Now now, const VoteAsk& ask) {
  if (failed_ || shut_down_) return answer_of<VoteAnswer>(ErrorCode::broker_not_available);
  const bool sound = ask.end_offset >= 0 && ask.last_epoch >= 0 && ask.candidate.id >= 0 &&
                     (ask.pre_vote ? ask.last_epoch <= ask.epoch : ask.last_epoch < ask.epoch);
  if (!sound) return answer_of<VoteAnswer>(ErrorCode::invalid_request);
  if (ask.epoch < epoch_) return answer_of<VoteAnswer>(ErrorCode::fenced_leader_epoch);
  if (ask.epoch > epoch_) become_unattached(now, ask.epoch);
  if (!is_for_this_node(ask.voter)) return answer_of<VoteAnswer>(ErrorCode::invalid_voter_key);
  const bool granted = may_grant(ask);
  if (granted && !ask.pre_vote && !voted_) {
    if (role_ == Role::prospective) {
      // It does not go on to stand against the one it voted for.
      leave_role();
      role_ = Role::unattached;
    }
    voted_ = ask.candidate;
    if (is_voter()) election_deadline_ = now.instant + draw_election_timeout();
    persist();
  }
  VoteAnswer answer = answer_of<VoteAnswer>(ErrorCode::none);
  answer.granted = granted;
  return answer;
}

}  // namespace klamm::raft
