// A fetch that found too little waits here until one of its partitions moves, on whichever shards they are.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "broker/replica/partition.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::replica {

// What was read of one partition, on its shard: its moves() before the read, of the kind that the reader waits for.
struct Watched {
  Partition::Lease partition;
  std::uint64_t moves_seen = 0;
  Move move = Move::high_watermark;
};

// Lives on the connection's shard, in the frame of the fetch. Every watch() must be followed by stop() before it ends.
class FetchWait {
 public:
  explicit FetchWait(io::Shard& home);
  ~FetchWait();

  // Listens to partitions of shard `there`; at once awake if one has moved since it was read. `watched` is made and
  // taken on `there`.
  io::Task<void> watch(io::Shard& there, std::vector<Watched>& watched);
  // True if something moved (or moves) before the deadline, or give_up() was called.
  io::Task<bool> until(Instant deadline);
  // Ends the wait: nobody is there for its result. On the home shard.
  void give_up() { wake(); }
  // Stops listening everywhere.
  io::Task<void> stop();

 private:
  class Listener;
  void wake();

  io::Shard& home_;
  io::Signal moved_;
  std::vector<std::unique_ptr<Listener>> listeners_;  // one a shard; used on that shard
  bool awake_ = false;
};

}  // namespace klamm::replica
