// The broker's life as its controller sees it: registration, heartbeats, controlled shutdown (KIP-631). Broker and
// controller are in one process here, but talk by the same requests as over the network.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/broker_config.h"
#include "broker/controller/controller.h"
#include "broker/metadata/loader.h"
#include "broker/server/node.h"
#include "broker/storage/log_dirs.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::server {

// Lives on the controller's shard.
class Lifecycle {
 public:
  // How long the steps of a start or a stop may take before they are given up.
  static constexpr Duration kPatience = 60s;  // initial.broker.registration.timeout.ms

  Lifecycle(io::Shard& shard, const config::BrokerConfig& config, controller::Controller& controller,
            metadata::Loader& loader, const storage::LogDirs& directories, Uuid incarnation_id,
            const std::vector<BoundListener>& listeners, std::string cluster_id, Logger logger);

  // Registers, waits until this broker's image has its registration, and is unfenced. Heartbeats go on until leave().
  io::Task<Result<void>> join();
  // Controlled shutdown: leadership moves away (or ends), then heartbeats stop. Nothing if join() never got an epoch.
  io::Task<void> leave();
  // -1 before registration.
  std::int64_t broker_epoch() const noexcept { return broker_epoch_; }

 private:
  struct Beat {
    bool caught_up = false;
    bool fenced = true;
    bool should_shut_down = false;
  };
  io::Task<Result<void>> register_broker(Instant deadline);
  io::Task<Result<Beat>> beat(bool want_fence, bool want_shut_down);
  io::Task<void> keep_beating();

  io::Shard& shard_;
  const config::BrokerConfig& config_;
  controller::Controller& controller_;
  metadata::Loader& loader_;
  const storage::LogDirs& directories_;
  Uuid incarnation_id_;
  const std::vector<BoundListener>& listeners_;
  std::string cluster_id_;
  Logger logger_;
  std::int64_t broker_epoch_ = -1;
  bool leaving_ = false;
  io::Signal changed_;
  io::Gate running_;
};

}  // namespace klamm::server
