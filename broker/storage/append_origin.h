// Who appends to a log: what is checked differs.
#pragma once

#include <cstdint>

namespace klamm::storage {

enum class AppendOrigin : std::int8_t {
  client,       // a Produce request: everything is checked
  coordinator,  // a coordinator's own records and transaction markers
  raft_leader,  // the metadata log's leader
  replication,  // a follower, or a log that is read again at start: accepted as it was written
};

}  // namespace klamm::storage
