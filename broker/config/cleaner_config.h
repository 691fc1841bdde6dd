// How logs are compacted on this node: the log.cleaner.* keys that are no defaults of topic keys.
#pragma once

#include <cstdint>

#include "broker/config/dynamic_config.h"

namespace klamm::config {

struct CleanerConfig {
  bool enable = true;                              // log.cleaner.enable
  std::int32_t threads = 1;                        // log.cleaner.threads: how many logs are compacted at once
  std::int64_t dedupe_buffer_bytes = 134'217'728;  // log.cleaner.dedupe.buffer.size, for all of them
  double dedupe_load_factor = 0.9;                 // log.cleaner.io.buffer.load.factor
  std::int32_t io_buffer_bytes = 524'288;          // log.cleaner.io.buffer.size, for all of them, to read and to write
  double io_max_bytes_per_second = 1.7976931348623157e308;  // log.cleaner.io.max.bytes.per.second, of all of them
  std::int64_t backoff_ms = 15'000;  // log.cleaner.backoff.ms: pause when there is nothing to compact

  friend bool operator==(const CleanerConfig&, const CleanerConfig&) = default;
};

// What is in force.
CleanerConfig make_cleaner_config(const BrokerLayers& layers);

// replica.alter.log.dirs.io.max.bytes.per.second: of all moves of logs between directories together.
std::int64_t move_bytes_per_second(const BrokerLayers& layers);

}  // namespace klamm::config
