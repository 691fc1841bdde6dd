// The consumer's side of an incremental fetch session (KIP-227): the broker remembers the partitions, requests name
// only what has changed. Pure; one per broker.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "client/consume/subscription.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"

namespace klamm::client {

class FetchSession {
 public:
  // A partition to fetch now.
  struct Want {
    AssignedRef partition;
    Uuid topic_id;
    std::int64_t fetch_offset;
    std::int32_t leader_epoch;
    std::int32_t max_bytes;
  };
  // What a request asks for, the remembered partitions included.
  struct Plan {
    struct Entry {
      AssignedRef partition;
      std::uint64_t generation;
      std::int64_t fetch_offset;
    };
    std::map<TopicPartition, Entry> entries;
    std::map<Uuid, std::string> names;  // of the topics, where ids are used
    bool topic_ids = false;
  };

  // Fills topics, forgotten topics and session fields of the request; partitions come in the order of `wanted`.
  Plan plan(const std::vector<Want>& wanted, bool topic_ids, protocol::FetchRequest& request);
  // Takes in the session part of a response. False if the session was refused: ask again, with a new session.
  bool accept(const protocol::FetchResponse& response);
  // The connection is gone or the request failed: begin a new session.
  void reset() noexcept;
  std::int32_t id() const noexcept { return id_; }

 private:
  struct Known {
    Uuid topic_id;
    std::int64_t fetch_offset;
    std::int32_t leader_epoch;
    std::int32_t max_bytes;
    friend bool operator==(const Known&, const Known&) = default;
  };
  std::int32_t id_ = 0;
  std::int32_t epoch_ = 0;  // 0: the next request begins a session
  bool with_ids_ = false;
  std::map<TopicPartition, Known> known_;
};

}  // namespace klamm::client
