// What the leader of a partition knows of its followers, and the rules it keeps the in-sync replicas by: who may join,
// who has to leave, and up to where a record is committed. Pure: no clock, no I/O; told of fetches, of the metadata and
// of the controller's answers, it says what to propose and where the high watermark may be.
//
// While a proposal is out (AlterPartition) nobody knows whether it holds already. So a record counts as committed only
// when the committed ISR and the proposed one both have it: the maximal ISR (KIP-497, KIP-841).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "base/time.h"
#include "broker/metadata/image.h"
#include "protocol/error.h"

namespace klamm::replica {

// What the metadata says of a broker, as far as ISRs concern it.
struct BrokerLife {
  std::int64_t epoch = -1;
  bool fenced = true;
  bool active = false;  // neither fenced nor in controlled shutdown
};
using BrokerLives = std::map<std::int32_t, BrokerLife>;  // by id, of those that are registered

// An ISR to ask the controller for.
struct IsrProposal {
  struct Member {
    std::int32_t broker = -1;
    std::int64_t broker_epoch = -1;  // that it fetches with; -1: not known
    friend bool operator==(const Member&, const Member&) = default;
  };
  std::vector<Member> isr;
  std::int32_t leader_epoch = -1;
  std::int32_t partition_epoch = -1;
  // Distinguishes it from earlier ones, so that a late answer is not taken for another's.
  std::uint64_t number = 0;
};

// The controller's word on a proposal. `error` none: what holds now.
struct IsrAnswer {
  protocol::ErrorCode error = protocol::ErrorCode::none;
  std::int32_t leader_epoch = -1;
  std::int32_t partition_epoch = -1;
  std::vector<std::int32_t> isr;
};

class LeaderIsr {
 public:
  struct Follower {
    std::int32_t id = -1;
    std::int64_t log_end_offset = -1;    // up to where it has fetched; -1: not known
    std::int64_t log_start_offset = -1;  // the same
    std::int64_t broker_epoch = kNoEpoch;
    std::optional<Instant> caught_up;       // when it had all that the leader had; empty: never in this leadership
    Instant last_fetch;                     // of the last fetch
    std::int64_t leader_end_at_fetch = -1;  // the leader's log end then
  };
  static constexpr std::int64_t kNoEpoch = std::numeric_limits<std::int64_t>::min();  // it has not fetched yet

  // `brokers` is kept up to date by the owner and outlives this.
  LeaderIsr(std::int32_t self, const BrokerLives& brokers, Duration max_lag)
      : self_(self), brokers_(&brokers), max_lag_(max_lag) {}

  // ---- The metadata.
  struct Leadership {
    std::vector<std::int32_t> replicas;
    std::vector<std::int32_t> isr;
    std::int32_t leader_epoch = -1;
    std::int32_t partition_epoch = -1;
  };
  // Leads, or goes on with another ISR, assignment or epoch; a proposal that was out is settled by it. With a new epoch
  // begin_at() must follow before anybody may join.
  void lead(Leadership leadership, Instant now, std::int64_t log_end);
  // Where in the log the leader's epoch begins: who has not come so far may not join.
  void begin_at(std::int64_t epoch_start) { epoch_start_ = epoch_start; }
  // Leads no more.
  void resign();

  // ---- Fetches.
  // Whether the broker may fetch as a follower: it is in the assignment (else UNKNOWN_LEADER_EPOCH if its request
  // carries an epoch, NOT_LEADER_OR_FOLLOWER if not), and its own epoch is not one that has ended
  // (NOT_LEADER_OR_FOLLOWER).
  protocol::ErrorCode check_follower(std::int32_t id, std::int64_t broker_epoch, bool with_leader_epoch) const;
  // It asks for `offset`, so it has all that is below. `leader_end`: the leader's log end when it was served. True if
  // its end is another one than before: the high watermark may move.
  bool fetched(std::int32_t id, std::int64_t offset, std::int64_t log_start, std::int64_t broker_epoch,
               std::int64_t leader_end, Instant now);

  // ---- What follows. A proposal that is returned is out from then on; while one is, there is no other.
  // After a fetch: the ISR with this follower, if it has reached the high watermark and the epoch's begin, is alive and
  // is the process that the metadata knows.
  std::optional<IsrProposal> propose_growth(std::int32_t id, std::int64_t high_watermark);
  // Now and then: the ISR without those who lag.
  std::optional<IsrProposal> propose_shrink(std::int64_t log_end, Instant now);
  // Everything below is on all of the maximal ISR, and on those that are about to join it; `own_end`: what this broker
  // itself has. Meaningless, so to be left alone, where it is below the present mark.
  std::int64_t committed_end(std::int64_t own_end, std::int64_t log_end, Instant now) const;

  // ---- The controller. An answer to an older proposal, or one overtaken by the metadata, changes nothing.
  enum class After {
    nothing,  // stale
    changed,  // the ISR is as answered, or as it was before the proposal: look at the high watermark
    wait,     // the metadata will say how it is; until then nothing is proposed
    retry,    // the same proposal once more
  };
  After answered(std::uint64_t number, const IsrAnswer& answer);
  // The proposal that is out, for the case that it has to be sent again; its broker epochs are those of now.
  std::optional<IsrProposal> pending() const;

  const std::vector<std::int32_t>& isr() const noexcept { return isr_; }  // committed
  bool in_isr(std::int32_t id) const;
  std::size_t maximal_isr_size() const noexcept { return maximal_.size(); }
  std::int32_t partition_epoch() const noexcept { return partition_epoch_; }
  bool is_pending() const noexcept { return proposed_.has_value(); }
  const std::vector<Follower>& followers() const noexcept { return followers_; }  // the assignment less this broker
  const Follower* follower(std::int32_t id) const;
  std::int32_t self() const noexcept { return self_; }
  const BrokerLives& brokers() const noexcept { return *brokers_; }
  bool is_caught_up(const Follower& follower, std::int64_t log_end, Instant now) const;

 private:
  Follower* find(std::int32_t id);
  bool is_eligible(const Follower& follower) const;
  void commit(std::vector<std::int32_t> isr, std::int32_t partition_epoch);
  IsrProposal describe(const std::vector<std::int32_t>& isr) const;
  std::optional<IsrProposal> send(std::vector<std::int32_t> isr);

  std::int32_t self_;
  const BrokerLives* brokers_;
  Duration max_lag_;
  bool leading_ = false;
  std::vector<Follower> followers_;
  std::vector<std::int32_t> isr_;
  std::vector<std::int32_t> maximal_;  // isr_, and who joins by the proposal that is out
  std::optional<std::vector<std::int32_t>> proposed_;
  std::uint64_t proposals_ = 0;
  std::int32_t leader_epoch_ = -1;
  std::int32_t partition_epoch_ = -1;
  std::int64_t epoch_start_ = std::numeric_limits<std::int64_t>::max();
};

}  // namespace klamm::replica
