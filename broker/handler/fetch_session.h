// Incremental fetch sessions (KIP-227): the broker remembers what a client fetches, so that requests and answers name
// only the partitions that changed. Pure state: no I/O, no clock of its own. One cache a shard; a session follows its
// client when it comes back on another shard's connection. One that was evicted is begun anew by its client.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "base/uuid.h"

namespace klamm::handler {

// A topic as fetch requests name it: by name up to version 12, by id from 13 on.
struct FetchTopic {
  std::string name;
  Uuid id;
  friend auto operator<=>(const FetchTopic&, const FetchTopic&) = default;
};

// One partition of a fetch, as asked, and what was last answered about it.
struct FetchPartition {
  FetchTopic topic;
  std::int32_t partition = 0;
  std::int32_t current_leader_epoch = -1;
  std::int64_t fetch_offset = 0;
  std::int32_t last_fetched_epoch = -1;
  std::int64_t log_start_offset = -1;
  std::int32_t max_bytes = 0;
  std::int64_t answered_high_watermark = -1;  // -1: nothing answered yet
  std::int64_t answered_log_start = -1;
};

class FetchSession {
 public:
  using Key = std::pair<FetchTopic, std::int32_t>;

  std::int32_t id = 0;
  std::int32_t epoch = 0;  // of the next request
  bool by_topic_id = false;
  bool of_follower = false;
  Instant last_used;

  void put(FetchPartition partition);
  void remove(const FetchTopic& topic, std::int32_t partition);
  // In the order in which they are to be served: those that got data last time come last.
  std::list<FetchPartition>& partitions() { return order_; }
  void move_to_end(std::list<FetchPartition>::iterator partition) { order_.splice(order_.end(), order_, partition); }
  std::size_t size() const { return order_.size(); }

 private:
  std::list<FetchPartition> order_;
  std::map<Key, std::list<FetchPartition>::iterator> by_key_;
};

class FetchSessionCache {
 public:
  // `slots`: max.incremental.fetch.session.cache.slots, this shard's share.
  FetchSessionCache(std::size_t slots, Random& random) : slots_(slots), random_(random) {}

  // The session for an incremental request: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH
  // (also while another request of it is served), or
  // FETCH_SESSION_TOPIC_ID_ERROR if it was begun with the other way of naming topics. Its epoch moves on.
  Result<std::shared_ptr<FetchSession>> find(std::int32_t id, std::int32_t epoch, bool by_topic_id, Instant now);
  // Keeps a new session with these partitions; null if every slot is in use. A follower's takes the place of a
  // client's, if need be.
  std::shared_ptr<FetchSession> create(std::vector<FetchPartition> partitions, bool by_topic_id, bool of_follower,
                                       Instant now);
  void remove(std::int32_t id) { sessions_.erase(id); }
  bool contains(std::int32_t id) const { return sessions_.contains(id); }
  // Hands a session that no request uses to the cache of another shard; null if there is none.
  std::shared_ptr<FetchSession> give_away(std::int32_t id);
  // Keeps what another cache gave away, unless every slot is in use.
  void adopt(std::shared_ptr<FetchSession> session, Instant now);
  std::size_t size() const { return sessions_.size(); }

 private:
  // A session unused for this long may be evicted for a new one (Kafka's bound, fixed).
  static constexpr Duration kEvictAfter = 120s;
  bool make_room(bool of_follower, Instant now);

  std::size_t slots_;
  Random& random_;
  std::unordered_map<std::int32_t, std::shared_ptr<FetchSession>> sessions_;
};

}  // namespace klamm::handler
