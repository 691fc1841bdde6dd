// Replication throttles: how fast replicas that are being moved may be copied, so that moves leave room for clients.
// leader.replication.throttled.rate is what a broker sends of the replicas in leader.replication.throttled.replicas,
// follower.replication.throttled.rate what it receives of those in the follower's list. Pure; each shard has its own.
#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "base/time.h"
#include "broker/metadata/image.h"

namespace klamm::replica {

// Bytes a second on average. What was not used is kept for one second; what is used beyond is paid for by waiting.
class ReplicationQuota {
 public:
  static constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

  // What is owed stays owed, and is paid for at the new rate. 0: nothing may be copied.
  void set_rate(std::int64_t bytes_per_second, Instant now);
  std::int64_t rate() const noexcept { return rate_; }
  // Something was copied; also of replicas that are not held back, as clients wait for them.
  void record(std::int64_t bytes, Instant now);
  bool exceeded(Instant now) const { return free_at(now) > now; }
  // When what is owed is paid for; `now` or earlier if nothing is, never() with a rate of 0.
  Instant free_at(Instant now) const;

 private:
  double owed_at(Instant now) const;

  std::int64_t rate_ = kUnlimited;
  double owed_bytes_ = 0;  // at `at_`; below 0: what may be copied at once
  Instant at_;
};

// Which replicas of one shard of a broker are throttled, and which part of the broker's rates is this shard's.
struct ThrottledReplicas {
  using Key = std::pair<Uuid, std::int32_t>;  // topic id and partition
  std::set<Key> as_leader;
  std::set<Key> as_follower;
  // The rates are divided by how many partitions there are to be copied, here and on all shards: those with a replica
  // outside of the ISR.
  struct Copies {
    std::int64_t here = 0;
    std::int64_t all = 0;
    // Of the rate; what is not known to be copied counts as one.
    std::int64_t share_of(std::int64_t rate) const;
  };
  Copies sent;
  Copies received;
};

// Of `topics`: those with one of the two lists.
ThrottledReplicas throttled_replicas(const metadata::MetadataImage& image, const std::set<std::string>& topics,
                                     std::int32_t broker, std::size_t shard, std::size_t shards);
// Whether the topic has one of the two lists.
bool has_throttled_replicas(const metadata::MetadataImage& image, const std::string& topic);

// What the partitions of one shard share: kept by the ReplicaManager, asked by its fetchers and by those who read for
// followers.
class ReplicationThrottles {
 public:
  using Key = ThrottledReplicas::Key;

  ReplicationQuota sent;
  ReplicationQuota received;
  ThrottledReplicas replicas;

  bool as_leader(const Key& key) const { return replicas.as_leader.contains(key); }
  bool as_follower(const Key& key) const { return replicas.as_follower.contains(key); }
};

}  // namespace klamm::replica
