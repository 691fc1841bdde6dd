// RaftCore as one that pulls: a voter that follows, an observer, or a node that looks for the leader.
#include <fmt/format.h>

#include <algorithm>

#include "broker/raft/control_records.h"
#include "broker/raft/raft_core.h"
#include "protocol/record/batch.h"

namespace klamm::raft {

bool RaftCore::wants_to_fetch() const {
  return !shut_down_ && !failed_ && (role_ == Role::follower || role_ == Role::unattached);
}

// The leader; or somebody who may know one, if there is none, or it cannot be reached.
std::optional<Destination> RaftCore::fetch_target() {
  const std::optional<Endpoint> leader_at = leader_address();
  const bool has_leader = role_ == Role::follower && leader_at;
  if (has_leader && !leader_unreachable_) return Destination{leader_id_, *leader_at};
  std::vector<Destination> known;
  known.reserve(config_.bootstrap.size());
  for (const Endpoint& server : config_.bootstrap) known.push_back({-1, server});
  if (known.empty()) {
    for (const auto& [id, voter] : voters().by_id()) {
      const std::optional<Endpoint> address = voters().address_of(id, config_.listener);
      if (id != config_.self.id && address) known.push_back({-1, *address});
    }
  }
  std::erase_if(known, [this](const Destination& one) {
    return std::any_of(config_.endpoints.begin(), config_.endpoints.end(), [&one](const Endpoint& own) {
      return own.host == one.address.host && own.port == one.address.port;
    });
  });
  // The leader has its turn again after this one.
  leader_unreachable_ = false;
  if (!known.empty()) return known[random_.below(known.size())];
  if (has_leader) return Destination{leader_id_, *leader_at};
  return std::nullopt;
}

// Keeps this node's entry in the voter set as the node is.
void RaftCore::tick_membership(Now now) {
  const std::optional<Endpoint> leader_at = leader_address();
  if (role_ != Role::follower || !leader_at || !config_.may_vote || kraft_version() < 1) return;
  if (updating_voter_ || now.instant < update_voter_at_) return;
  const Destination leader{leader_id_, *leader_at};
  if (is_voter()) {
    const std::optional<VoterSet> mine = with_own_entry();
    if (!mine) return;
    actions_.push_back(SendUpdateVoter{leader, {epoch_, *mine->find(config_.self.id)}});
  } else if (!config_.auto_join) {
    return;
  } else if (const Voter* former = voters().find(config_.self.id)) {
    // With a directory that is gone: that one goes first.
    actions_.push_back(SendRemoveVoter{leader, former->key});
  } else {
    Voter voter;
    voter.key = config_.self;
    voter.endpoints = config_.endpoints;
    actions_.push_back(SendAddVoter{leader, std::move(voter)});
  }
  update_voter_at_ = now.instant + config_.fetch_timeout;
  updating_voter_ = true;
}

void RaftCore::tick_fetch(Now now) {
  if (!wants_to_fetch() || fetching_ || !disk_idle() || now.instant < fetch_at_) return;
  const std::optional<Endpoint> leader_at = leader_address();
  tick_membership(now);
  if (download_) {
    if (!leader_at) return;
    fetching_ = true;
    FetchSnapshotAsk ask{config_.self, epoch_, download_->id, download_->position, config_.fetch_snapshot_max_bytes};
    actions_.push_back(SendFetchSnapshot{{leader_id_, *leader_at}, ask, ++fetch_number_});
    return;
  }
  const std::optional<Destination> target = fetch_target();
  if (!target) {
    fetch_at_ = now.instant + config_.fetch_timeout;
    return;
  }
  fetching_ = true;
  FetchAsk ask;
  ask.replica = config_.self;
  ask.epoch = epoch_;
  ask.offset = log_.end;
  ask.last_epoch = log_.last_epoch();
  ask.high_watermark = high_watermark_;
  ask.max_wait_ms = config_.fetch_max_wait_ms;
  ask.max_bytes = config_.fetch_max_bytes;
  actions_.push_back(SendFetch{*target, ask, ++fetch_number_});
}

void RaftCore::on_fetch_answer(Now now, const SendFetch& sent, const FetchAnswer& answer) {
  if (failed_ || shut_down_ || sent.number != fetch_number_ || !fetching_) return;
  fetching_ = false;
  fetch_at_ = now.instant;
  const bool asked_leader = role_ == Role::follower && sent.to.id == leader_id_;
  learn(now, answer.leader, answer.leader_address);
  if (failed_ || sent.ask.epoch != epoch_) return;
  if (answer.error == ErrorCode::none && role_ == Role::follower) {
    take_fetched(now, answer);
    return;
  }
  fetch_at_ = now.instant + config_.retry_backoff;
  if (asked_leader && role_ == Role::follower) leader_unreachable_ = true;
}

void RaftCore::take_fetched(Now now, const FetchAnswer& answer) {
  reset_fetch_deadline(now);
  has_fetched_ = true;
  leader_unreachable_ = false;
  if (answer.diverging) {
    truncate_to(*answer.diverging);
    return;
  }
  if (answer.snapshot) {
    if (log_.snapshots.contains(*answer.snapshot)) {
      fetch_at_ = now.instant + config_.retry_backoff;
    } else if (answer.snapshot->end_offset < high_watermark_ || answer.snapshot->epoch > epoch_) {
      fail(Error(Errc::corrupt, fmt::format("the leader of epoch {} has a snapshot up to {} only; {} is committed",
                                            epoch_, answer.snapshot->end_offset, high_watermark_)));
    } else {
      download_ = Download{*answer.snapshot, 0};
    }
    return;
  }
  const std::int64_t before = log_.end;
  append_fetched(answer);
  // It has what the leader had; or it helped this leader to its epoch when there was nothing yet anywhere, and has seen
  // the log begin.
  const bool founded = before == 0 && log_.start == 0 && log_.end > 0 && log_.epochs.earliest() == epoch_ && voted_ &&
                       voted_->id == leader_id_;
  if (answer.records.empty() || founded) lose_freshness();
  if (log_.end == before && !answer.records.empty()) fetch_at_ = now.instant + config_.retry_backoff;
  follow_high_watermark(answer.high_watermark);
}

// What is whole, sound and in order; the rest is asked for again.
void RaftCore::append_fetched(const FetchAnswer& answer) {
  record::BatchCursor cursor(answer.records);
  const std::int64_t base_offset = log_.end;
  std::size_t size = 0;
  while (cursor.next()) {
    const Result<record::BatchView> view = cursor.batch();
    if (!view || !view->crc_fits() || view->base_offset() != log_.end || view->last_offset_delta() < 0 ||
        view->leader_epoch() > epoch_ || view->leader_epoch() < log_.last_epoch()) {
      break;
    }
    if (view->is_control()) {
      const Result<ControlFacts> facts = read_control_batch(*view);
      if (!facts) break;
      if (facts->kraft_version || facts->voters) {
        VotersAt next = voter_history_.back();
        next.offset = view->base_offset();
        next.from_bootstrap = false;
        if (facts->kraft_version) next.kraft_version = *facts->kraft_version;
        if (facts->voters) next.voters = *facts->voters;
        voter_history_.push_back(std::move(next));
      }
    }
    log_.append(view->leader_epoch(), view->base_offset(), view->last_offset());
    size = cursor.position() + cursor.entry().size();
  }
  if (size == 0) return;
  actions_.push_back(AppendFetched{answer.records.part(0, size), epoch_, base_offset, log_.end - 1});
  if (config_.may_vote) actions_.push_back(FlushLog{});
}

void RaftCore::truncate_to(const OffsetAndEpoch& diverging) {
  const std::int64_t point = log_.truncation_point(diverging);
  if (point < high_watermark_ || point < log_.start) {
    fail(Error(Errc::corrupt, fmt::format("the leader of epoch {} parts from this log at offset {}; {} is committed",
                                          epoch_, point, std::max(high_watermark_, log_.start))));
    return;
  }
  log_.truncate(point);
  written_end_ = std::min(written_end_, point);
  flushed_end_ = std::min(flushed_end_, point);
  while (voter_history_.size() > 1 && voter_history_.back().offset >= point) voter_history_.pop_back();
  truncating_ = true;
  actions_.push_back(TruncateLog{point});
}

void RaftCore::follow_high_watermark(std::int64_t leaders) {
  if (leaders < 0) return;
  const std::int64_t reached = std::min(leaders, log_.end);
  if (reached > high_watermark_) {
    high_watermark_ = reached;
    actions_.push_back(Committed{high_watermark_});
  }
  // What a leader tells as committed includes all that was before its epoch.
  if (log_.end >= leaders) lose_freshness();
}

void RaftCore::lose_freshness() {
  if (!fresh_) return;
  fresh_ = false;
  actions_.push_back(CaughtUp{});
  ++persists_;
}

void RaftCore::on_fetch_snapshot_answer(Now now, const SendFetchSnapshot& sent, const FetchSnapshotAnswer& answer) {
  if (failed_ || shut_down_ || sent.number != fetch_number_ || !fetching_) return;
  fetching_ = false;
  fetch_at_ = now.instant;
  learn(now, answer.leader, answer.leader_address);
  if (failed_ || sent.ask.epoch != epoch_ || !download_) return;
  const auto size = static_cast<std::int64_t>(answer.bytes.size());
  const bool sound = answer.error == ErrorCode::none && answer.id == download_->id &&
                     answer.position == download_->position && size > 0 && answer.position + size <= answer.size;
  if (!sound) {
    // It may be gone at the leader, which has a newer one then.
    download_.reset();
    fetch_at_ = now.instant + config_.retry_backoff;
    return;
  }
  reset_fetch_deadline(now);
  has_fetched_ = true;
  actions_.push_back(WriteSnapshotPart{download_->id, download_->position, answer.bytes});
  download_->position += size;
  if (download_->position < answer.size) return;
  installing_ = true;
  actions_.push_back(InstallSnapshot{download_->id});
  download_.reset();
}

void RaftCore::installed(const SnapshotId& id, std::optional<VoterSet> voters, std::int16_t kraft_version) {
  KLAMM_CHECK(installing_, "a snapshot that nobody asked for");
  installing_ = false;
  log_.restart_at(id);
  written_end_ = flushed_end_ = id.end_offset;
  VotersAt base = voter_history_.front();
  base.offset = -1;
  base.from_bootstrap = false;
  base.kraft_version = kraft_version;
  if (voters) base.voters = std::move(*voters);
  voter_history_ = {std::move(base)};
  if (id.end_offset > high_watermark_) {
    high_watermark_ = id.end_offset;
    actions_.push_back(Committed{high_watermark_});
  }
}

void RaftCore::install_failed() { installing_ = false; }

void RaftCore::on_update_voter_answer(Now now, const Answer& answer) {
  updating_voter_ = false;
  if (failed_ || shut_down_) return;
  learn(now, answer.leader, answer.leader_address);
}

}  // namespace klamm::raft
