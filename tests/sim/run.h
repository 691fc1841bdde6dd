// One simulated run from its seed: a broker, producers and consumers, faults, and the judgement.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/sim/faults.h"
#include "io/sim/trace.h"
#include "ledger.h"

namespace klamm::simtest {

// What a seed draws.
struct Scenario {
  std::uint64_t seed = 0;
  unsigned shards = 1;
  // Power may fail: unsynced data is lost. Topics then have flush.messages=1, so that what is acknowledged is synced.
  // Else only processes die, and the page cache stays.
  bool power_fails = false;
  bool disk_fills = false;
  std::vector<std::int32_t> topics;  // partitions of each; all but the first are made while things break
  std::uint32_t producers = 1;
  std::uint32_t records = 0;  // of each producer
  std::size_t largest_value = 0;
  std::string compression;
  std::int64_t delivery_timeout_ms = 0;
  std::int64_t request_timeout_ms = 0;
  std::int64_t segment_bytes = 0;
  io::sim::FaultPlan plan;

  static Scenario draw(std::uint64_t seed);
  std::string text() const;
};

struct RunOptions {
  std::uint64_t seed = 0;
  io::sim::Trace::Sink trace;  // empty: none
  Lie lie = Lie::none;         // told to the judge
  bool forget_flush = false;   // a planted bug: topics without flush.messages=1 where power fails
};

struct Outcome {
  std::vector<std::string> violations;  // none: passed
  std::uint64_t trace_hash = 0;
  std::size_t sent = 0;
  std::size_t acknowledged = 0;
  std::size_t broker_starts = 0;
  std::size_t broker_gave_up = 0;
  double virtual_seconds = 0;
};

Outcome run(const RunOptions& options);

}  // namespace klamm::simtest
