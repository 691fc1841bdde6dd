#include "broker/raft/voters.h"

namespace klamm::raft {

bool VoterSet::contains(const ReplicaKey& replica) const {
  const Voter* voter = find(replica.id);
  if (voter == nullptr) return false;
  return voter->key.directory_id.is_zero() || replica.directory_id.is_zero() ||
         voter->key.directory_id == replica.directory_id;
}

}  // namespace klamm::raft
