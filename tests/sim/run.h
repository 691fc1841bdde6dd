// One simulated run from its seed: one broker or several, producers and consumers, faults, and the judgement.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/sim/trace.h"
#include "ledger.h"
#include "operator.h"
#include "scenario.h"

namespace klamm::simtest {

struct RunOptions {
  std::uint64_t seed = 0;
  std::size_t brokers = 1;
  bool lose_disks = false;     // machines of some clusters lose their disks
  io::sim::Trace::Sink trace;  // empty: none
  Lie lie = Lie::none;         // told to the judge
  bool forget_flush = false;   // a planted bug: nothing is flushed, though it is promised where power fails
  bool early = false;          // a planted bug of a cluster: some is acknowledged when the leader alone has it
  bool unclean = false;        // a planted bug of a cluster: replicas that are behind may lead
  bool drift = false;          // a planted bug: the run depends on more than its seed
};

struct Outcome {
  std::vector<std::string> violations;  // none: passed
  std::uint64_t trace_hash = 0;
  std::size_t sent = 0;
  std::size_t acknowledged = 0;
  std::size_t lost_by_right = 0;  // acknowledged, and taken by a power cut where nothing was flushed
  std::size_t broker_starts = 0;
  std::size_t broker_gave_up = 0;
  std::size_t clean_restarts = 0;
  std::size_t reader_restarts = 0;
  double virtual_seconds = 0;
  Coverage coverage;
};

Outcome run(const RunOptions& options);

}  // namespace klamm::simtest
