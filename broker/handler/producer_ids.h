// Producer ids for InitProducerId: taken one by one from blocks of 1000 that the controller hands out.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "broker/controller/controller_channel.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::handler {

// Lives on the controller's shard; call it from there.
class ProducerIds {
 public:
  // `broker_epoch` tells that of now.
  ProducerIds(io::Shard& shard, controller::ControllerChannel& controller, std::int32_t broker_id,
              std::function<std::int64_t()> broker_epoch)
      : shard_(shard),
        controller_(controller),
        broker_id_(broker_id),
        broker_epoch_(std::move(broker_epoch)),
        refilling_(shard) {}
  // The next unused id; COORDINATOR_LOAD_IN_PROGRESS if no block can be had now.
  io::Task<Result<std::int64_t>> next();

 private:
  io::Task<Result<void>> refill();

  io::Shard& shard_;
  controller::ControllerChannel& controller_;
  std::int32_t broker_id_;
  std::function<std::int64_t()> broker_epoch_;
  std::int64_t next_ = 0;
  std::int64_t end_ = 0;
  io::AsyncMutex refilling_;
};

}  // namespace klamm::handler
