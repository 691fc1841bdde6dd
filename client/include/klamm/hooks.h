// What an application hangs into its clients: log, reports, statistics, partitioner.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "klamm/record.h"
#include "klamm/statistics.h"

namespace klamm {

// What became of one batch; for ProducerHooks::on_batch. Views are valid during the call.
struct BatchReport {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t base_offset = -1;  // -1 if unknown (acks=0) or failed
  std::uint32_t record_count = 0;
  std::uint64_t size_bytes = 0;  // as sent, compressed
  TimestampMs log_append_time = kNoTimestamp;
  Duration latency{0};           // from the first record's send() to the end
  const Error* error = nullptr;  // null: delivered
};

// What a partitioner may look at.
struct PartitionerInput {
  const Record& record;
  std::int32_t partition_count;
  std::span<const std::int32_t> available;  // partitions with a leader, ascending
};

// Functions of the application, called on the producer's executor. They must not block, and must not destroy the
// producer.
struct ProducerHooks {
  // Chooses a partition for records that name none; a result outside of [0, partition_count) fails the record.
  // Default: murmur2 of the key, or sticky and load-aware without a key (KIP-480, KIP-794).
  std::function<std::int32_t(const PartitionerInput&)> partitioner;
  // Called for every batch once its fate is known: one call stands for all its records.
  std::function<void(const BatchReport&)> on_batch;
  // Called every `statistics_interval` from the first use to the close, if that is not zero.
  std::function<void(const ProducerStatistics&)> on_statistics;
  Duration statistics_interval{0};
  // Where log lines go. Empty: warnings and errors go to stderr.
  LogSink log_sink;
  LogLevel log_level = LogLevel::info;
};

// Functions of the application, called on the consumer's executor.
struct ConsumerHooks {
  // Called every `statistics_interval` from the first assignment to the close, if that is not zero.
  std::function<void(const ConsumerStatistics&)> on_statistics;
  Duration statistics_interval{0};
  LogSink log_sink;  // empty: warnings and errors to stderr
  LogLevel log_level = LogLevel::info;
};

struct AdminHooks {
  LogSink log_sink;  // empty: warnings and errors to stderr
  LogLevel log_level = LogLevel::info;
};

}  // namespace klamm
