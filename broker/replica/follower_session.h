// The follower's half of an incremental fetch session (KIP-227): which partitions the leader knows that we fetch, from
// where, and so what the next request has to name. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/uuid.h"
#include "protocol/error.h"
#include "protocol/messages/fetch_request.h"

namespace klamm::replica {

class FollowerSession {
 public:
  using Key = std::pair<Uuid, std::int32_t>;  // topic id and partition
  struct Asked {
    std::int64_t offset = 0;
    std::int32_t last_fetched_epoch = -1;
    std::int64_t log_start_offset = -1;
    std::int32_t leader_epoch = -1;
    friend bool operator==(const Asked&, const Asked&) = default;
  };

  // From the next request on the partition is fetched from there.
  void set(const Key& key, const Asked& asked);
  // It is not fetched any more, or not for now.
  void remove(const Key& key);
  bool empty() const noexcept { return wanted_.empty(); }
  std::size_t size() const noexcept { return wanted_.size(); }

  // The next request: session, topics and forgotten topics are filled in. One at a time: answered() or broken() follow.
  protocol::FetchRequest next(std::int32_t partition_max_bytes);
  // What the leader was last told of the partition; empty if it is not to fetch it. What it answers belongs to this.
  std::optional<Asked> sent(const Key& key) const;
  // Takes the answer's session in. False if the leader does not know the session any more: nothing else was answered,
  // the next request begins a new one.
  bool answered(protocol::ErrorCode error, std::int32_t session_id);
  // The request was not answered, or its answer not taken: nobody knows what the leader makes of the session. The next
  // request ends it and begins a new one.
  void broken();

 private:
  std::map<Key, Asked> wanted_;
  std::map<Key, Asked> sent_;  // of the session
  std::set<Key> changed_;      // where the two may differ
  std::int32_t id_ = 0;        // 0: none
  std::int32_t epoch_ = 0;     // of the next request; 0: it begins a new session
};

}  // namespace klamm::replica
