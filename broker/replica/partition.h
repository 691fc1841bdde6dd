// One replica of a partition as this broker serves it: its log with what leadership adds (epoch, ISR, high watermark)
// and the ones who wait for the log to move. Lives on the partition's shard.
//
// As the leader it appends what clients produce and serves everybody; LeaderIsr has the rules. As a follower it takes
// what the fetcher (fetcher.h) brings, and serves consumers up to its own high watermark (KIP-392).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "broker/replica/leader_isr.h"
#include "broker/storage/log.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/ids.h"

namespace klamm::replica {

class Partition;

// What a reader waits for. Records become readable for followers with the log's end, for consumers with the high
// watermark.
enum class Move { log_end, high_watermark };

// Told when a partition has something new: what it waits for has moved, or the partition is no longer served as before.
class MoveListener {
 public:
  virtual ~MoveListener() = default;
  virtual void partition_moved() = 0;
};

// What the metadata says of the partition.
struct PartitionState {
  std::int32_t leader = -1;
  std::int32_t leader_epoch = -1;
  std::int32_t partition_epoch = -1;
  std::vector<std::int32_t> replicas;
  std::vector<std::int32_t> isr;
};

// What the partitions of a shard have in common; kept up to date by the ReplicaManager.
struct PartitionContext {
  io::Shard& shard;
  std::int32_t broker_id = -1;
  BrokerLives brokers;
  Duration max_lag = 30s;  // replica.lag.time.max.ms
  // Takes a proposal to the controller; the answer comes to Partition::isr_answered(). Empty: nothing is proposed.
  std::function<void(Partition& partition, const IsrProposal& proposal)> propose;
};

// A fetch of one partition.
struct FetchAsk {
  std::int32_t current_leader_epoch = -1;
  std::int64_t offset = 0;
  std::int32_t last_fetched_epoch = -1;
  std::int64_t log_start_offset = -1;  // of a follower
  std::int64_t max_bytes = 0;
  bool min_one_batch = true;
  storage::FetchIsolation isolation = storage::FetchIsolation::high_watermark;
  std::int32_t replica = -1;        // the follower who asks; -1: a consumer
  std::int64_t replica_epoch = -1;  // its broker epoch
  bool leader_only = true;          // may not be served by a follower
  bool first_look = true;           // of this request; later ones do not count as fetches
  bool is_follower() const noexcept { return replica >= 0; }
};

struct FetchFound {
  storage::FetchData data;
  std::int64_t high_watermark = -1;
  std::int64_t last_stable_offset = -1;
  std::int64_t log_start_offset = -1;
  std::optional<storage::EpochEnd> diverging;  // where the reader's history leaves ours; no data then (KIP-595)
};

class Partition {
 public:
  // Keeps the partition and its log while a request works on them. Stays on the partition's shard.
  class Lease {
   public:
    Lease() = default;
    explicit Lease(Partition& partition) noexcept : partition_(&partition) { ++partition.leases_; }
    Lease(Lease&& other) noexcept : partition_(std::exchange(other.partition_, nullptr)) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(partition_, other.partition_);
      return *this;
    }
    ~Lease() {
      if (partition_ != nullptr && --partition_->leases_ == 0) partition_->unused_.notify_all();
    }
    explicit operator bool() const noexcept { return partition_ != nullptr; }
    Partition* operator->() const noexcept { return partition_; }
    Partition& operator*() const noexcept { return *partition_; }

   private:
    Partition* partition_ = nullptr;
  };

  // `context` outlives the partition.
  Partition(const PartitionContext& context, Uuid topic_id, std::shared_ptr<storage::Log> log);
  ~Partition();

  const protocol::TopicPartition& id() const noexcept { return log_->partition(); }
  const Uuid& topic_id() const noexcept { return topic_id_; }
  // As the metadata or the controller's last answer has it, whichever is newer.
  const PartitionState& state() const noexcept { return state_; }
  bool is_leader() const noexcept { return state_.leader == context_.broker_id; }
  storage::Log& log() noexcept { return *log_; }
  const storage::Log& log() const noexcept { return *log_; }
  const LeaderIsr& isr() const noexcept { return isr_; }

  // Takes over what the metadata says now, unless a newer answer of the controller is known. A new leader epoch is
  // noted in the log's epoch history; whoever leads no more first lets the appends end that have begun.
  io::Task<Result<void>> apply(PartitionState state);
  // No longer served (deleted, moved away, shutting down): fails all waiters with NOT_LEADER_OR_FOLLOWER, and waits
  // until nobody uses the partition any more. The log may be closed or deleted then.
  io::Task<void> retire();
  // The log's directory has failed: everybody is answered KAFKA_STORAGE_ERROR from now on.
  void lose_log();

  // ---- Who may be served.
  // Checks a request's view: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
  // `current_leader_epoch` -1: not given.
  Result<void> check_leader(std::int32_t current_leader_epoch) const;
  // The same for those who may be served by any replica.
  Result<void> check_replica(std::int32_t current_leader_epoch) const;

  // ---- Writing, as the leader.
  // Appends what a client or coordinator produced. With `all_replicas` (acks=all) NOT_ENOUGH_REPLICAS if the ISR is
  // smaller than min.insync.replicas. It may be acknowledged once it is settled; other appends need not wait for that.
  io::Task<Result<storage::AppendInfo>> append(storage::LeaderAppend append, bool all_replicas);
  bool is_settled(const storage::AppendInfo& info, bool all_replicas) const {
    return !info.wait_flushed && (!all_replicas || log_->high_watermark() > info.last_offset);
  }
  // Waits until what was appended is on the disk, where flush.messages asks for it, and with `all_replicas` until the
  // ISR has it, that is, until the high watermark is beyond it. KAFKA_STORAGE_ERROR if the log fails,
  // REQUEST_TIMED_OUT at the deadline, NOT_ENOUGH_REPLICAS_AFTER_APPEND, NOT_LEADER_OR_FOLLOWER if leadership went.
  io::Task<Result<void>> settled(storage::AppendInfo info, bool all_replicas, Instant deadline);
  // DeleteRecords: raises the log start and waits until all living replicas have done so (REQUEST_TIMED_OUT at the
  // deadline). Returns the lowest log start among them.
  io::Task<Result<std::int64_t>> delete_records_before(std::int64_t offset, Instant deadline);

  // ---- Reading.
  // What check_leader() or check_replica() say, OFFSET_OUT_OF_RANGE; for a follower also what
  // LeaderIsr::check_follower() says. A follower's first look counts as its acknowledgement of all below its offset.
  io::Task<Result<void>> fetch(const FetchAsk& ask, FetchFound& found);
  // Where this leader's epoch begins; the high watermark says nothing to clients before it has come there.
  std::int64_t epoch_start() const noexcept { return epoch_start_; }
  // The replica that a client of this rack had better read from at this offset (RackAwareReplicaSelector); empty if
  // that is the leader. `racks`: of the living brokers by id.
  using Racks = std::function<std::optional<std::string>(std::int32_t broker)>;
  std::optional<std::int32_t> nearest_replica(std::string_view rack, std::int64_t offset, const Racks& racks) const;

  // Grows with every move; tells whether one was missed between a read and listen().
  std::uint64_t moves(Move move) const noexcept { return move == Move::log_end ? end_moves_ : moves_; }
  void listen(MoveListener& listener, Move move) { listeners(move).push_back(&listener); }
  void unlisten(MoveListener& listener, Move move);

  // ---- ISR, as the leader.
  // The controller's answer to a proposal. False if the same is to be sent once more.
  bool isr_answered(std::uint64_t number, const IsrAnswer& answer);
  // Proposes an ISR without those who lag, and looks whether the high watermark may move.
  void review_followers();

  // ---- As a follower in `leader_epoch`, for the fetcher; FENCED_LEADER_EPOCH once that is over.
  struct Position {
    std::int64_t offset = 0;               // the log end: what to fetch next
    std::int32_t last_fetched_epoch = -1;  // of the last record; -1: the log is empty
    std::int64_t log_start_offset = 0;
  };
  Position position() const;
  bool follows(std::int32_t leader_epoch) const {
    return !retired_ && !lost_ && !is_leader() && state_.leader_epoch == leader_epoch;
  }
  // Before the first fetch, and before one after a failure. A log without any leader epoch says nothing of where it may
  // differ: it goes back to its high watermark. What is held is on the disk, where flush.messages asks for that.
  io::Task<Result<void>> begin_following(std::int32_t leader_epoch);
  struct Fetched {
    Slice records;
    std::int64_t offset = 0;  // that was asked for; nothing happens if the log ends elsewhere by now
    std::int64_t high_watermark = -1;
    std::int64_t log_start_offset = -1;
  };
  // Appends the records as they are and follows the leader's high watermark and log start. Where `wait_flushed` is set
  // in the result, log().flushed() must follow before more is asked for. CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR,
  // OFFSET_OUT_OF_RANGE.
  io::Task<Result<storage::AppendInfo>> append_fetched(Fetched fetched, std::int32_t leader_epoch);
  // Cuts what the leader does not have. False if there was nothing to cut.
  io::Task<Result<bool>> truncate_to(storage::EpochEnd diverging, std::int32_t leader_epoch);
  // After OFFSET_OUT_OF_RANGE: cuts what lies beyond the leader's log end, or begins anew at its log start.
  io::Task<Result<void>> fit_into(std::int64_t leader_start, std::int64_t leader_end, std::int32_t leader_epoch);

 private:
  io::Task<Result<void>> apply_locked(PartitionState state);
  io::Task<Result<void>> begin_leading(bool new_epoch);
  io::Task<Result<void>> committed(storage::AppendInfo info, Instant deadline);
  bool is_still_there(const storage::AppendInfo& info) const;
  io::Task<Result<storage::AppendInfo>> append_fetched_locked(Fetched fetched, std::int32_t leader_epoch);
  io::Task<Result<bool>> truncate_locked(storage::EpochEnd diverging);
  io::Task<Result<void>> fit_into_locked(std::int64_t leader_start, std::int64_t leader_end);
  Result<void> check_following(std::int32_t leader_epoch) const;
  std::size_t min_isr() const;
  std::int64_t lowest_log_start() const;
  io::Task<bool> is_hole(std::int64_t offset, std::int64_t log_end);
  void follower_fetched(const FetchAsk& ask, std::int64_t log_end);
  void advance_high_watermark();
  void follow_high_watermark(std::int64_t leaders);
  std::vector<MoveListener*>& listeners(Move move) noexcept {
    return move == Move::log_end ? end_listeners_ : listeners_;
  }
  void tell(Move move);
  void end_moved();
  void high_watermark_moved();
  // Another role, or none any more: all are told.
  void role_changed();

  const PartitionContext& context_;
  Uuid topic_id_;
  std::shared_ptr<storage::Log> log_;
  PartitionState state_;
  LeaderIsr isr_;
  std::int64_t epoch_start_ = 0;
  std::int64_t own_end_ = 0;   // as the leader: what of the log counts as held (flush.messages)
  std::size_t appending_ = 0;  // leader's appends under way
  io::Signal appended_;        // none is, while somebody waits for that
  io::AsyncMutex changing_;    // held while the role changes, and by each step of following
  io::Signal high_watermark_moved_;
  io::Signal log_start_moved_;  // a follower's
  io::Signal unused_;
  std::size_t leases_ = 0;
  std::uint64_t moves_ = 0;
  std::uint64_t end_moves_ = 0;
  std::vector<MoveListener*> listeners_;
  std::vector<MoveListener*> end_listeners_;
  bool retired_ = false;
  bool lost_ = false;
};

}  // namespace klamm::replica
