#include "broker/raft/voters.h"

namespace klamm::raft {

bool VoterSet::contains(const ReplicaKey& replica) const {
  const Voter* voter = find(replica.id);
  if (voter == nullptr) return false;
  return voter->key.directory_id.is_zero() || voter->key.directory_id == replica.directory_id;
}

std::optional<Endpoint> VoterSet::address_of(std::int32_t id, std::string_view listener) const {
  const Voter* voter = find(id);
  if (voter == nullptr || voter->endpoints.empty()) return std::nullopt;
  for (const Endpoint& endpoint : voter->endpoints) {
    if (endpoint.name == listener) return endpoint;
  }
  return voter->endpoints.front();
}

VoterSet VoterSet::with(Voter voter) const {
  VoterSet changed = *this;
  changed.by_id_.insert_or_assign(voter.key.id, std::move(voter));
  return changed;
}

VoterSet VoterSet::without(std::int32_t id) const {
  VoterSet changed = *this;
  changed.by_id_.erase(id);
  return changed;
}

}  // namespace klamm::raft
