// One replica of a partition as this broker serves it: its log with what leadership adds (epoch, ISR, high watermark)
// and the ones who wait for the log to move. Lives on the partition's shard.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "broker/storage/log.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/ids.h"

namespace klamm::replica {

// Told when a partition has something new for readers: its log end or high watermark moved, or it is no longer served.
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

  Partition(io::Shard& shard, std::int32_t broker_id, Uuid topic_id, std::shared_ptr<storage::Log> log);
  ~Partition();

  const protocol::TopicPartition& id() const noexcept { return log_->partition(); }
  const Uuid& topic_id() const noexcept { return topic_id_; }
  const PartitionState& state() const noexcept { return state_; }
  bool is_leader() const noexcept { return state_.leader == broker_id_; }
  storage::Log& log() noexcept { return *log_; }
  const storage::Log& log() const noexcept { return *log_; }

  // Takes over what the metadata says now. A new leader epoch is noted in the log's epoch history.
  io::Task<Result<void>> apply(PartitionState state);
  // No longer served (deleted, moved away, shutting down): fails all waiters with NOT_LEADER_OR_FOLLOWER, and waits
  // until nobody uses the partition any more. The log may be closed or deleted then.
  io::Task<void> retire();
  // The log's directory has failed: everybody is answered KAFKA_STORAGE_ERROR from now on.
  void lose_log();

  // Checks a request's view: NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
  // `current_leader_epoch` -1: not given.
  Result<void> check_leader(std::int32_t current_leader_epoch) const;

  // Appends what a client or coordinator produced. With `all_replicas` (acks=all) NOT_ENOUGH_REPLICAS if the ISR is
  // smaller than min.insync.replicas. Where flush.messages asks for it the records are on the disk when this returns.
  // The high watermark moves when the ISR has the records; await committed() for it.
  io::Task<Result<storage::AppendInfo>> append(storage::LeaderAppend append, bool all_replicas);
  // Waits until the high watermark reaches `offset`.
  // REQUEST_TIMED_OUT at the deadline, KAFKA_STORAGE_ERROR if the log fails, NOT_ENOUGH_REPLICAS_AFTER_APPEND,
  // NOT_LEADER_OR_FOLLOWER if leadership went.
  io::Task<Result<void>> committed(std::int64_t offset, Instant deadline);

  // Grows with every move; tells whether one was missed between a read and listen().
  std::uint64_t moves() const noexcept { return moves_; }
  void listen(MoveListener& listener) { listeners_.push_back(&listener); }
  void unlisten(MoveListener& listener);
  // DeleteRecords: waits for nothing at replication factor 1.
  io::Task<Result<std::int64_t>> delete_records_before(std::int64_t offset);

 private:
  void advance_high_watermark(std::int64_t end);
  void moved();

  std::int32_t broker_id_;
  Uuid topic_id_;
  std::shared_ptr<storage::Log> log_;
  PartitionState state_;
  io::Signal high_watermark_moved_;
  io::Signal unused_;
  std::size_t leases_ = 0;
  std::uint64_t moves_ = 0;
  std::vector<MoveListener*> listeners_;
  bool retired_ = false;
  bool lost_ = false;
};

}  // namespace klamm::replica
