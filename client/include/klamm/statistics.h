// What clients count. Totals run from construction; gauges are of the moment. to_json() gives an object in the manner
// of librdkafka's statistics (names and units as there where there is such a counter).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace klamm {

// One connection to a broker.
struct BrokerStatistics {
  std::int32_t broker_id = -1;  // below 0: a bootstrap server whose id is not known yet
  std::string address;          // "host:port"
  bool connected = false;
  std::uint64_t requests = 0;
  std::uint64_t responses = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t connects = 0;
  std::uint64_t disconnects = 0;
  std::uint64_t timeouts = 0;  // requests that were not answered in time
  std::uint32_t in_flight = 0;
  Duration average_round_trip{0};  // moving average
};

struct ProducerStatistics {
  std::string client_id;
  TimestampMs time_ms = 0;         // when this was taken
  std::uint64_t records_sent = 0;  // accepted by send()
  std::uint64_t records_delivered = 0;
  std::uint64_t records_failed = 0;
  std::uint64_t batches_delivered = 0;
  std::uint64_t batches_retried = 0;
  std::uint64_t batches_split = 0;
  std::uint64_t bytes_delivered = 0;  // of batches, compressed
  std::uint64_t records_queued = 0;   // gauge: accepted, fate unknown
  std::uint64_t buffer_bytes = 0;     // gauge: of buffer.memory
  std::uint64_t buffer_limit_bytes = 0;
  std::uint64_t buffer_full = 0;  // times that send() found no room
  std::uint64_t epoch_bumps = 0;  // idempotence: times that sequences were started anew
  std::vector<BrokerStatistics> brokers;

  std::string to_json() const;
};

struct ConsumerPartitionStatistics {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t position = -1;  // of the next record that poll returns
  std::int64_t high_watermark = -1;
  std::int64_t lag = -1;             // records up to the high watermark (read_committed: the last stable offset)
  std::uint64_t buffered_bytes = 0;  // fetched, not yet returned by poll
  bool paused = false;
};

struct ConsumerStatistics {
  std::string client_id;
  TimestampMs time_ms = 0;
  std::uint64_t records = 0;        // returned by poll
  std::uint64_t record_bytes = 0;   // keys and values
  std::uint64_t fetched_bytes = 0;  // as received, compressed
  std::uint64_t fetches = 0;
  std::uint64_t buffered_bytes = 0;  // gauge
  std::vector<ConsumerPartitionStatistics> partitions;
  std::vector<BrokerStatistics> brokers;

  std::string to_json() const;
};

}  // namespace klamm
