// Who an idempotent producer is for its brokers: a producer id, asked for with InitProducerId when it is first needed,
// and an epoch that the producer raises by itself to begin its sequences anew.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/log.h"
#include "base/result.h"
#include "client/core/cluster.h"
#include "io/sync.h"
#include "protocol/record/batch.h"

namespace klamm::client {

class ProducerIdentity {
 public:
  // `changed` is called when the id has become known, or was refused for good. `cluster` and `log` must outlive this.
  ProducerIdentity(Cluster& cluster, Duration retry_backoff, Duration retry_backoff_max, const Logger& log,
                   std::function<void()> changed);

  bool known() const noexcept { return id_ >= 0; }
  std::int64_t id() const noexcept { return id_; }
  std::int16_t epoch() const noexcept { return epoch_; }
  // Asks for an id, if there is none and it was not refused; nothing happens if that is under way.
  void want();
  // False if there is no higher epoch: then a new id is due.
  bool can_raise_epoch() const noexcept { return epoch_ < kLastEpoch; }
  void raise_epoch() noexcept { ++epoch_; }
  // Gives the id up, to want() another one.
  void forget() noexcept { id_ = record::kNoProducerId; }
  // Why there will never be an id.
  const std::optional<Error>& refused() const noexcept { return refused_; }

  void stop();
  io::Task<void> close();

 private:
  static constexpr std::int16_t kLastEpoch = 32766;

  io::Task<void> acquire();
  io::Task<Result<void>> ask();

  Cluster& cluster_;
  io::Shard& shard_;
  const Logger& log_;
  std::function<void()> changed_;
  std::int64_t id_ = record::kNoProducerId;
  std::int16_t epoch_ = record::kNoProducerEpoch;
  std::optional<Error> refused_;
  bool acquiring_ = false;
  bool closed_ = false;
  rpc::Backoff backoff_;
  io::Signal closing_;
  io::Gate gate_;
};

}  // namespace klamm::client
