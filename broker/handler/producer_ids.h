// Producer ids for InitProducerId: taken one by one from blocks of 1000 that the controller hands out.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "broker/controller/controller.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::handler {

// Lives on the controller's shard; call it from there.
class ProducerIds {
 public:
  ProducerIds(io::Shard& shard, controller::Controller& controller, std::int32_t broker_id)
      : controller_(controller), broker_id_(broker_id), refilling_(shard) {}
  void set_broker_epoch(std::int64_t epoch) { broker_epoch_ = epoch; }
  // The next unused id; COORDINATOR_LOAD_IN_PROGRESS if no block can be had now.
  io::Task<Result<std::int64_t>> next();

 private:
  io::Task<Result<void>> refill();

  controller::Controller& controller_;
  std::int32_t broker_id_;
  std::int64_t broker_epoch_ = -1;
  std::int64_t next_ = 0;
  std::int64_t end_ = 0;
  io::AsyncMutex refilling_;
};

}  // namespace klamm::handler
