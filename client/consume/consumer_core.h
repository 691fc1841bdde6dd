// The consumer without its completion tokens: what klamm::Consumer and klamm::blocking::Consumer are made of. Lives on
// one shard, which alone may call it; kept alive by its background tasks until close() or abandon() has run its course.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/consume/chunk_reader.h"
#include "client/consume/fetch_session.h"
#include "client/consume/offset_finder.h"
#include "client/consume/subscription.h"
#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "io/sync.h"
#include "klamm/detail/completion.h"
#include "klamm/hooks.h"
#include "klamm/record.h"
#include "klamm/records.h"
#include "protocol/compress/codec.h"

namespace klamm::client {

class ConsumerCore : public std::enable_shared_from_this<ConsumerCore> {
 public:
  static std::shared_ptr<ConsumerCore> start(io::Shard& shard, ConsumerSettings settings, ConsumerHooks hooks);
  ~ConsumerCore();

  // See klamm::Consumer for these.
  Result<void> assign(const std::vector<TopicPartition>& partitions);
  std::vector<TopicPartition> assignment() const;
  Result<void> seek(const TopicPartition& partition, std::int64_t offset, std::int32_t leader_epoch = -1);
  Result<void> seek_to(std::span<const TopicPartition> partitions, std::int64_t which);  // kEarliest or kLatest
  std::optional<std::int64_t> position(const TopicPartition& partition) const;
  // Of the leader that wrote the record before the position; -1: not known.
  std::int32_t position_epoch(const TopicPartition& partition) const;
  std::optional<std::int64_t> lag(const TopicPartition& partition) const;
  Result<void> pause(std::span<const TopicPartition> partitions, bool paused);
  std::vector<TopicPartition> paused() const;

  using CancellationRef = std::shared_ptr<detail::Cancellation>;
  using Block = std::shared_ptr<detail::RecordsBlock>;
  io::Task<Result<Block>> poll(Duration timeout, CancellationRef cancellation = nullptr);
  io::Task<Result<std::int64_t>> await_position(TopicPartition partition);

  io::Task<Result<FoundOffsets>> list_offsets(OffsetTimes times);
  io::Task<Result<std::vector<PartitionInfo>>> partitions_for(std::string topic);
  io::Task<Result<void>> close();
  void abandon();
  io::Task<void> wait_finished();

  ConsumerStatistics statistics() const;
  io::Shard& shard() noexcept { return shard_; }

 private:
  // The fetching of one broker's partitions.
  struct Fetcher {
    Fetcher(io::Shard& shard, BrokerNumber number) : id(number), work(shard) {}
    BrokerNumber id;
    FetchSession session;
    io::Signal work;
    Instant throttled_until;
  };

  ConsumerCore(io::Shard& shard, ConsumerSettings settings, ConsumerHooks hooks);
  Assigned* find(const TopicPartition& partition) const;
  Result<Assigned*> must_find(const TopicPartition& partition) const;

  void begin();
  void wake();
  io::Task<void> turns(std::shared_ptr<ConsumerCore> self);
  io::Task<void> follow_metadata(std::shared_ptr<ConsumerCore> self);
  void turn();
  void follow_leader(Assigned& partition);
  void need_offset(Assigned& partition);
  void fail_partition(Assigned& partition, Error error);
  void back_off(Assigned& partition);
  void look_again_at(Instant when);

  io::Task<void> look_up(BrokerNumber broker, std::vector<AssignedRef> partitions);
  void take_looked_up(Assigned& partition, ErrorCode code, const FoundOffset& found);
  io::Task<void> validate(BrokerNumber broker, std::vector<AssignedRef> partitions);
  void take_validated(Assigned& partition, ErrorCode code, std::int64_t end_offset);
  void truncated(Assigned& partition, std::int64_t end_offset);

  Fetcher& fetcher_of(BrokerNumber broker);
  io::Task<void> fetch_loop(Fetcher& fetcher);
  io::Task<bool> fetch_once(Fetcher& fetcher);
  io::Task<ConnectionRef> connection_for(Fetcher& fetcher);
  std::vector<FetchSession::Want> wanted_from(const Fetcher& fetcher) const;
  protocol::FetchRequest fetch_request() const;
  bool fetchable(const Assigned& partition, BrokerNumber broker, Instant now) const;
  void take_fetched(Fetcher& fetcher, const FetchSession::Plan& plan, protocol::FetchResponse& response);
  enum class Taken { nothing, batches, part };  // part: of one batch, and nothing else
  Taken take_partition(Assigned& partition, protocol::FetchResponse::PartitionData& data);
  void take_fetch_error(Assigned& partition, ErrorCode code);

  Block collect();
  void collect_from(Assigned& partition, detail::RecordsBlock& block, std::size_t most);
  std::optional<Error> take_error();

  io::Task<void> finish(std::shared_ptr<ConsumerCore> self);
  void stop();

  io::Shard& shard_;
  ConsumerSettings settings_;
  ConsumerHooks hooks_;
  Logger log_;
  Cluster cluster_;
  ChunkOptions chunk_options_;
  compress::Codecs codecs_;
  std::map<TopicPartition, AssignedRef> assigned_;
  std::vector<AssignedRef> turn_order_;  // poll goes around
  std::size_t next_in_turn_ = 0;
  std::map<BrokerNumber, std::unique_ptr<Fetcher>> fetchers_;
  std::uint64_t buffered_bytes_ = 0;
  rpc::Backoff backoff_;
  bool started_ = false;
  bool awake_ = false;
  bool stopped_ = false;
  bool is_finished_ = false;
  bool polling_ = false;
  std::optional<Error> lookup_error_;   // why a leader was not heard of positions, last
  std::optional<Error> cluster_fault_;  // Cluster::fatal_error(), until a poll has told it
  io::Signal wake_;
  io::Signal arrived_;    // records or errors for poll
  io::Signal positions_;  // a position has become known
  io::Signal finished_;
  io::Timer timer_;
  io::Timer statistics_timer_;
  io::Gate gate_;
  std::uint64_t records_ = 0;
  std::uint64_t record_bytes_ = 0;
  std::uint64_t fetched_bytes_ = 0;
  std::uint64_t fetches_ = 0;
};

}  // namespace klamm::client
