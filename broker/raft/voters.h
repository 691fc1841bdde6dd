// Who votes in the metadata quorum. Plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/uuid.h"

namespace klamm::raft {

// A replica of the metadata log: the node, and (zero where unknown) the directory it keeps the log in.
struct ReplicaKey {
  std::int32_t id = -1;
  Uuid directory_id;
  friend auto operator<=>(const ReplicaKey&, const ReplicaKey&) = default;
};

struct Endpoint {
  std::string name;  // of the listener
  std::string host;
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Versions of kraft.version that this build serves.
constexpr std::int16_t kKRaftVersionMin = 0;
constexpr std::int16_t kKRaftVersionMax = 1;

struct Voter {
  ReplicaKey key;
  std::vector<Endpoint> endpoints;
  std::int16_t kraft_version_min = kKRaftVersionMin;
  std::int16_t kraft_version_max = kKRaftVersionMax;
  friend bool operator==(const Voter&, const Voter&) = default;
};

class VoterSet {
 public:
  VoterSet() = default;
  explicit VoterSet(std::vector<Voter> voters) {
    for (Voter& voter : voters) by_id_.insert_or_assign(voter.key.id, std::move(voter));
  }

  const std::map<std::int32_t, Voter>& by_id() const noexcept { return by_id_; }
  std::size_t size() const noexcept { return by_id_.size(); }
  bool empty() const noexcept { return by_id_.empty(); }
  const Voter* find(std::int32_t id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : &found->second;
  }
  // True if the replica votes: the id is there, and with this directory if the set knows directories.
  bool contains(const ReplicaKey& replica) const;
  // Where to reach a voter: its endpoint of that listener, else its first. Empty if it is none or has none.
  std::optional<Endpoint> address_of(std::int32_t id, std::string_view listener) const;
  // This set with another entry, or without one.
  VoterSet with(Voter voter) const;
  VoterSet without(std::int32_t id) const;
  bool is_only(const ReplicaKey& replica) const { return size() == 1 && contains(replica); }
  friend bool operator==(const VoterSet&, const VoterSet&) = default;

 private:
  std::map<std::int32_t, Voter> by_id_;
};

// The leader as a listener sees it; id -1: none known.
struct LeaderAndEpoch {
  std::int32_t leader_id = -1;
  std::int32_t epoch = 0;
  friend bool operator==(const LeaderAndEpoch&, const LeaderAndEpoch&) = default;
};

}  // namespace klamm::raft
