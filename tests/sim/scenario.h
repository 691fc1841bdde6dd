// What a seed draws: the machines, topics, clients and faults of one simulated run.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"
#include "io/sim/faults.h"
#include "klamm/config.h"
#include "ledger.h"

namespace klamm::simtest {

constexpr const char* kBrokerName = "broker";
constexpr const char* kWritersName = "writers";
constexpr const char* kReadersName = "readers";

// What may happen to the broker's machine, and so what an acknowledgement is worth.
enum class Durability : std::uint8_t {
  process,    // only processes die: the page cache stays, and all that is acknowledged with it
  flushed,    // power fails too; flush.messages=1: all that is acknowledged is on the disk
  unflushed,  // power fails too, and nothing is flushed for its acknowledgement: a cut may take the tails of the logs
};

using Settings = std::map<std::string, std::string>;

struct TopicPlan {
  std::string name;
  std::int32_t partitions = 1;
  Settings configs;
};

struct ProducerPlan {
  std::uint32_t number = 0;
  std::size_t topic = 0;
  Config config;
  Promise promise;
  std::uint32_t records = 0;
  bool last_must_succeed = true;  // what is sent after the faults must be acknowledged
  double restart_chance = 0;      // after each burst: the program ends without a word and is started again
};

struct ConsumerPlan {
  std::size_t topic = 0;
  Config config;
  double restart_chance = 0;  // after each poll: the program ends, in order or not, and goes on where it was
  double wander_chance = 0;   // after each poll: seeks back, pauses and resumes
};

struct Scenario {
  std::uint64_t seed = 0;
  unsigned shards = 1;
  Durability durability = Durability::process;
  bool disk_fills = false;
  bool disk_errors = false;  // single or many reads and writes fail with EIO
  bool sync_errors = false;  // syncs fail with EIO. The page cache cannot be trusted then: the machine is power-cycled
  Settings broker;
  std::vector<TopicPlan> topics;  // all but the first are made while things break
  std::vector<ProducerPlan> producers;
  std::vector<ConsumerPlan> consumers;
  std::size_t largest_value = 0;
  std::int64_t request_timeout_ms = 0;
  std::int64_t delivery_timeout_ms = 0;
  io::sim::FaultPlan plan;
  std::vector<Duration> clean_restarts;  // when the broker is stopped in order and started again

  static Scenario draw(std::uint64_t seed);
  bool power_fails() const noexcept { return durability != Durability::process; }
  std::string text() const;
};

}  // namespace klamm::simtest
