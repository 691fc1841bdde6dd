// What becomes of a batch that was sent: its answer, or the lack of one, means that it is delivered, sent again, split
// or given up. The sender's judge; keeps the order of what must be repeated, and the sequences that have no outcome
// yet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/core/cluster.h"
#include "client/produce/accumulator.h"
#include "protocol/rpc/backoff.h"

namespace klamm::client {

struct SenderOptions {
  std::int16_t acks = -1;
  bool idempotent = true;
  std::uint32_t max_in_flight = 5;
  std::uint32_t retries = 0x7fffffff;
  Duration retry_backoff = 100ms;
  Duration retry_backoff_max = 1s;
  Duration request_timeout = 30s;
  Duration delivery_timeout = 120s;
};

struct SenderCounts {
  std::uint64_t batches_retried = 0;
  std::uint64_t batches_split = 0;
  std::uint64_t epoch_bumps = 0;
};

// The outcome of a batch, as the producer reports it.
struct BatchOutcome {
  detail::DeliveryRef delivery;
  std::uint32_t record_count = 0;
  std::uint64_t size_bytes = 0;
  Instant created_at;
  std::int64_t base_offset = -1;
  TimestampMs log_append_time = kNoTimestamp;
  std::optional<Error> error;
};

// A broker's answer for one batch.
struct PartitionAnswer {
  ErrorCode error = ErrorCode::none;
  std::int64_t base_offset = -1;
  TimestampMs log_append_time = kNoTimestamp;
  std::string message;
  bool leader_known = false;  // another leader than who answered
  bool too_soon = false;      // who answered knows an earlier leader than this client: it will know that it leads
};

class BatchFate {
 public:
  // All of these must outlive this.
  BatchFate(io::Shard& shard, Cluster& cluster, Accumulator& accumulator, const SenderOptions& options,
            const Logger& log);
  BatchFate(const BatchFate&) = delete;
  BatchFate& operator=(const BatchFate&) = delete;

  // Its request is over: called before any of the next.
  void landed(Batch& batch);
  void answered(std::unique_ptr<Batch> batch, const PartitionAnswer& answer);
  void succeed(std::unique_ptr<Batch> batch, std::int64_t base_offset, TimestampMs log_append_time);
  // When a batch is sent again: after retry.backoff.ms; after a fraction of it, that doubles up to it; or at once.
  enum class Wait { backoff, little, none };
  // Sent again, if it may be.
  void retry(std::unique_ptr<Batch> batch, Error reason, Wait wait);
  void give_up(std::unique_ptr<Batch> batch, Error reason);
  // The same for a batch that waits in its partition's queue or is in flight. (There its answer decides over the
  // sequences.)
  void end_anywhere(Batch& batch, Error reason);
  // From now on nothing is sent again.
  void close() noexcept { closed_ = true; }

  std::vector<BatchOutcome>& outcomes() noexcept { return outcomes_; }
  SenderCounts& counts() noexcept { return counts_; }
  const SenderCounts& counts() const noexcept { return counts_; }

 private:
  using Parts = std::vector<std::unique_ptr<Batch>>;

  bool is_lost_sequence(Batch& batch, ErrorCode error);
  bool split(std::unique_ptr<Batch>& batch);
  Parts halves(Batch& batch);
  void requeue(std::unique_ptr<Batch> batch);
  void forget_sequence(Batch& batch);
  void report(Batch& batch, std::int64_t base_offset, TimestampMs log_append_time, std::optional<Error> error);

  io::Shard& shard_;
  Cluster& cluster_;
  Accumulator& accumulator_;
  const SenderOptions& options_;
  const Logger& log_;
  rpc::Backoff backoff_;
  rpc::Backoff soon_;
  std::vector<BatchOutcome> outcomes_;
  SenderCounts counts_;
  bool closed_ = false;
};

}  // namespace klamm::client
