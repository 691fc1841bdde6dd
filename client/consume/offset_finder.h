// Which offset a partition has at a time, or at its ends: asked of the partitions' leaders with ListOffsets, again
// while leaders move.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "client/core/cluster.h"
#include "client/core/config_settings.h"
#include "io/task.h"
#include "klamm/record.h"
#include "protocol/rpc/backoff.h"

namespace klamm::client {

// Times that ask for an end of the log.
constexpr std::int64_t kLatest = -1;
constexpr std::int64_t kEarliest = -2;

// By partition: kLatest, kEarliest, or a time in ms.
using OffsetTimes = std::map<TopicPartition, std::int64_t>;

struct FoundOffset {
  std::int64_t offset = -1;  // -1: no record is that young
  TimestampMs timestamp = kNoTimestamp;
  std::int32_t leader_epoch = -1;
};
using FoundOffsets = std::map<TopicPartition, FoundOffset>;

// What default.api.timeout.ms, being `timeout`, was too short for: `what` is not known, for `reason` if that is known.
Error not_known_in_time(std::string what, Duration timeout, const std::optional<Error>& reason);

class OffsetFinder {
 public:
  struct Options {
    IsolationLevel isolation;
    rpc::Backoff backoff;  // between attempts
    std::int32_t request_timeout_ms;
    Duration timeout;  // default.api.timeout.ms: for the whole
  };
  // `cluster` must outlive this; its close() ends a search with Errc::cancelled.
  OffsetFinder(Cluster& cluster, Options options) : cluster_(cluster), options_(options) {}

  io::Task<Result<FoundOffsets>> find(OffsetTimes times);

 private:
  io::Task<Result<FoundOffsets>> ask_leaders(OffsetTimes times, OffsetTimes& left, Instant deadline);

  Cluster& cluster_;
  Options options_;
  std::optional<Error> last_;  // why a leader has not answered
};

}  // namespace klamm::client
