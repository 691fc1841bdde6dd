// What a seed draws: the machines, topics, clients and faults of one simulated run.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "io/sim/faults.h"
#include "klamm/config.h"
#include "ledger.h"

namespace klamm::simtest {

constexpr const char* kWritersName = "writers";
constexpr const char* kReadersName = "readers";

// What may happen to a broker's machine, and so what an acknowledgement is worth.
enum class Durability : std::uint8_t {
  process,    // only processes die: the page cache stays, and all that is acknowledged with it
  flushed,    // power fails too; flush.messages=1: all that is acknowledged is on the disk
  unflushed,  // power fails too, and nothing is flushed for its acknowledgement: a cut may take the tails of the logs
};

using Settings = std::map<std::string, std::string>;

// The machines of the brokers: "broker", or "broker-1", "broker-2" ….
std::vector<std::string> broker_names(std::size_t brokers);
constexpr std::uint16_t kBrokerPort = 9092;
// bootstrap.servers of their clients.
std::string bootstrap_servers(std::size_t brokers);

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
  std::size_t brokers = 1;
  unsigned shards = 1;  // of each
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
  std::vector<Duration> clean_restarts;  // when a broker is stopped in order and started again
  // Of a cluster.
  bool dynamic_voters = false;       // the metadata quorum's voters are records of its log (kraft.version 1)
  Duration operator_pause{0};        // the longest between two acts of the operator; 0: does nothing but watch
  std::optional<std::size_t> wiped;  // the machine that loses its disk once the first faults have healed
  io::sim::FaultPlan later_plan;     // the faults then

  static Scenario draw(std::uint64_t seed, std::size_t brokers);
  bool is_cluster() const noexcept { return brokers > 1; }
  bool power_fails() const noexcept { return durability != Durability::process; }
  std::string text() const;
};

}  // namespace klamm::simtest
