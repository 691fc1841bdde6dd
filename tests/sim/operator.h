// The one who runs a simulated cluster: moves partitions and leaders, changes configurations and voters while things
// break, watches what the cluster tells of itself, and says when it is whole.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "client/admin/admin_core.h"
#include "io/shard.h"
#include "klamm/record.h"

namespace klamm::simtest {

// How often something happened in a run, by name: what the faults and the operator have brought about.
using Coverage = std::map<std::string, std::uint64_t>;

struct OperatorOptions {
  std::size_t brokers = 3;
  std::string bootstrap_servers;
  LogSink log_sink;
  std::uint64_t seed = 0;
  bool dynamic_voters = false;  // voters may be removed; they come back by themselves
  Duration longest_pause{0};    // between two acts
};

// On its shard. Partitions may be added at any time.
class Operator {
 public:
  Operator(io::Shard& shard, OperatorOptions options);

  void add_topic(const std::string& name, std::int32_t partitions, std::size_t replicas);
  // Acts and watches until stop().
  io::Task<void> work();
  // No more acts. From now on it waits for the cluster to be whole: every partition has a leader and all its replicas
  // in sync, no move is under way, all voters are there.
  void settle();
  // It may act again.
  void unsettle() { settled_ = whole_ = false; }
  // From now on it removes no voter: while one has lost its disk, and is a voter still, too few might be left for ever.
  void keep_voters() { keeps_voters_ = true; }
  void stop() { stopping_ = true; }

  bool whole() const noexcept { return whole_; }
  // Why the cluster was not whole when it was last looked at.
  const std::string& missing() const noexcept { return missing_; }
  bool finished() const noexcept { return finished_; }
  const std::vector<std::string>& complaints() const noexcept { return complaints_; }
  const Coverage& coverage() const noexcept { return coverage_; }

 private:
  struct Watched {
    std::size_t replicas = 0;
    std::int32_t leader_epoch = -1;
    std::size_t in_sync = 0;
    std::map<std::int32_t, std::int32_t> leaders;  // by leader epoch
  };
  io::Task<void> act();
  io::Task<void> move_partition();
  io::Task<void> cancel_moves();
  io::Task<void> elect_preferred();
  io::Task<void> change_config();
  io::Task<void> remove_voter();
  io::Task<void> watch();
  io::Task<void> look_for_wholeness();
  void saw(const TopicPartition& partition, const PartitionDescription& described);
  void count(const std::string& what) { ++coverage_[what]; }
  const TopicPartition& any_partition();

  io::Shard& shard_;
  OperatorOptions options_;
  Random random_;
  std::shared_ptr<client::AdminCore> admin_;
  std::map<TopicPartition, Watched> watched_;
  bool keeps_voters_ = false;
  bool settled_ = false;
  bool seems_whole_ = false;
  bool whole_ = false;
  bool stopping_ = false;
  bool finished_ = false;
  std::string missing_;
  std::vector<std::string> complaints_;
  Coverage coverage_;
};

}  // namespace klamm::simtest
