// Watches that no high watermark passes what enough replicas hold: whenever a broker writes down its high watermarks,
// those that are higher than any before are held against what is in the logs on the disks of all machines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/sim/simulation.h"
#include "protocol/ids.h"

namespace klamm::simtest {

class MarkWatch {
 public:
  // `holders`: replicas that must have what is below a high watermark (min.insync.replicas).
  explicit MarkWatch(std::size_t holders) : holders_(holders) {}

  // All machines, before the first operation of a broker.
  void add(io::sim::Node& machine) { machines_.push_back(&machine); }
  // The machine's disk is about to be taken away: what was committed with its help stays so.
  void losing_disk(io::sim::Node& machine);
  // A file of the machine is renamed. Checkpoints are written under another name at first, and complete then.
  void renaming(io::sim::Node& machine, const std::string& path);

  std::size_t checked() const noexcept { return checked_; }
  const std::vector<std::string>& complaints() const noexcept { return complaints_; }

 private:
  void check(io::sim::Node& machine, const protocol::TopicPartition& partition, std::int64_t mark);

  std::size_t holders_;
  std::vector<io::sim::Node*> machines_;
  std::map<protocol::TopicPartition, std::int64_t> highest_;
  std::map<protocol::TopicPartition, std::vector<std::int64_t>> lost_;  // where logs ended on disks that are gone
  std::size_t checked_ = 0;
  std::vector<std::string> complaints_;
};

}  // namespace klamm::simtest
