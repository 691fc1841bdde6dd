// Fetches partitions of one shard from the broker that leads them, and brings their logs to what the leader has. One
// request is out at a time; what fails for one partition delays that one only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/replica/follower_session.h"
#include "broker/replica/partition.h"
#include "broker/replica/replication_quota.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"
#include "protocol/rpc/backoff.h"
#include "protocol/rpc/channel.h"

namespace klamm::replica {

struct FetcherOptions {
  std::int32_t broker_id = -1;
  std::function<std::int64_t()> broker_epoch;  // of this process
  // What the finalized metadata.version has brokers speak among themselves.
  struct Versions {
    std::int16_t fetch = 17;
    std::int16_t list_offsets = 10;
  };
  std::function<Versions()> versions;
  std::int32_t min_bytes = 1;                    // replica.fetch.min.bytes
  std::int32_t max_bytes = 1'048'576;            // replica.fetch.max.bytes: of a partition
  std::int32_t response_max_bytes = 10'485'760;  // replica.fetch.response.max.bytes
  std::int32_t wait_max_ms = 500;                // replica.fetch.wait.max.ms
  Duration backoff = 1s;                         // replica.fetch.backoff.ms: the longest; the first are shorter
  Duration timeout = 30s;                        // replica.socket.timeout.ms
  io::SocketBuffers buffers;                     // replica.socket.receive.buffer.bytes
  std::shared_ptr<const io::tls::Context> tls;   // what the inter-broker listener speaks; null: PLAINTEXT
  ReplicationThrottles* throttles = nullptr;     // of the shard; outlives the fetchers
};

class Fetcher {
 public:
  using Key = FollowerSession::Key;

  // `options` outlives the fetcher.
  Fetcher(io::Shard& shard, io::Endpoint leader, std::string client_id, const FetcherOptions& options, Logger logger);
  // close() comes first.
  ~Fetcher();

  // Fetches the partition, in the epoch of its state, from now on. Its owner calls unfollow() before it is gone.
  void follow(Partition& partition);
  void unfollow(const Key& key);
  bool empty() const noexcept { return followed_.empty(); }
  std::size_t size() const noexcept { return followed_.size(); }
  void retarget(io::Endpoint leader);
  io::Task<void> close();

 private:
  // The first wait after a failure; doubles. Mostly the leader does not know yet that it leads, and all that waits for
  // this replica's acknowledgement waits as long.
  static constexpr Duration kFirstBackoff = 10ms;

  struct Followed {
    Partition* partition = nullptr;
    std::int32_t leader_epoch = -1;
    std::optional<Instant> not_before;  // while it rests
    std::uint32_t failures = 0;         // one after the other
    bool caught_up = false;             // with the leader's high watermark: no throttle holds it back
    std::string complaint;              // the last one, which is told once
  };
  // What an answer said of partitions that takes another step.
  struct Leftover {
    std::vector<std::pair<Partition::Lease, std::int64_t>> to_flush;  // and up to where
    std::vector<Key> out_of_range;
    bool dropped = false;  // something was answered to what was asked in an earlier epoch
  };

  io::Task<void> run();
  io::Task<Result<void>> fetch_once();
  io::Task<void> begin_waiting();
  void hold_throttled();
  // When there may be something to fetch, if there is nothing now.
  Instant next_due() const;
  io::Task<void> take(protocol::FetchResponse response);
  io::Task<void> take_partition(const Key& key, protocol::fetch_response_parts::PartitionData& answer,
                                Leftover& leftover);
  io::Task<Result<void>> take_data(Partition& partition, const FollowerSession::Asked& asked,
                                   protocol::fetch_response_parts::PartitionData& answer, Leftover& leftover);
  io::Task<void> flush_all(Leftover& leftover);
  io::Task<void> find_range(std::vector<Key> keys);
  io::Task<Result<protocol::ListOffsetsResponse>> list_offsets(const std::vector<Key>& keys, std::int64_t timestamp);
  // Where the partition is now, if it is followed still in the epoch that it was asked in.
  Followed* find(const Key& key, std::int32_t leader_epoch);
  void go_on(const Key& key, Followed& followed);
  void rest(const Key& key, std::int32_t leader_epoch, const Error& why);
  std::int32_t longest_wait_ms() const;

  io::Shard& shard_;
  const FetcherOptions& options_;
  Logger logger_;
  rpc::Channel channel_;
  FollowerSession session_;
  std::map<Key, Followed> followed_;
  std::set<Key> starting_;  // followed, but nothing was done for it yet
  std::set<std::pair<Instant, Key>> resting_;
  std::set<Key> held_;  // by the throttle
  bool closing_ = false;
  bool moved_ = false;  // the leader listens elsewhere: try at once
  rpc::Backoff retry_;  // after a request that failed; of partitions the same, by their own count
  io::Signal changed_;
  io::Gate background_;
};

// The fetchers of one shard: for each leader num.replica.fetchers of them, among which its partitions are spread.
class Fetchers {
 public:
  Fetchers(io::Shard& shard, std::int32_t per_leader, FetcherOptions options, Logger logger);

  // The partition is to be fetched from this leader, as its state says. Nothing changes if it is so already.
  void follow(Partition& partition, std::int32_t leader, const io::Endpoint& endpoint);
  void unfollow(const Fetcher::Key& key);
  std::size_t partitions() const noexcept { return by_partition_.size(); }
  io::Task<void> close();

 private:
  using Place = std::pair<std::int32_t, std::int32_t>;  // leader, number
  struct Followed {
    Place place;
    std::int32_t leader_epoch = -1;
  };
  io::Task<void> close_one(std::unique_ptr<Fetcher> fetcher);

  io::Shard& shard_;
  std::int32_t per_leader_;
  FetcherOptions options_;
  Logger logger_;
  std::map<Place, std::unique_ptr<Fetcher>> fetchers_;
  std::map<Fetcher::Key, Followed> by_partition_;
  io::Gate background_;
};

}  // namespace klamm::replica
