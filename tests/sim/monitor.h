// Hears what brokers say of themselves, and sees what they do to their disks: counts what a run has gone through, and
// notices what must never be.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/sim/faults.h"
#include "io/sim/simulation.h"
#include "mark_watch.h"
#include "operator.h"

namespace klamm::simtest {

class Monitor {
 public:
  // `holders`: as MarkWatch says.
  explicit Monitor(std::size_t holders) : marks_(holders) {}

  // A line of a broker's log.
  void heard(std::size_t machine, std::string_view line);
  // From now on the node's disk is watched, as long as the monitor lives.
  void watch(io::sim::Node& node);
  // The node's disk is about to be replaced.
  void losing_disk(io::sim::Node& node) { marks_.losing_disk(node); }
  void planned(const io::sim::FaultPlan& plan);
  void happened(const std::string& what) { ++coverage_[what]; }
  void add(const Coverage& more);

  Coverage coverage() const;
  std::vector<std::string> complaints() const;

 private:
  void led(std::int64_t epoch, std::string_view leader);

  MarkWatch marks_;
  Coverage coverage_;
  std::map<std::int64_t, std::string> leaders_;  // of the metadata quorum, by epoch
  std::vector<std::string> complaints_;
};

}  // namespace klamm::simtest
