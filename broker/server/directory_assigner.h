// Tells the controller in which of this broker's data directories replicas lie, where the metadata does not know or has
// it otherwise (AssignReplicasToDirs, KIP-858): after their making, and after moves. Without that the controller could
// not tell which replicas are lost when a directory fails.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "broker/controller/controller_channel.h"
#include "broker/replica/replica_manager.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::server {

// Lives on the shard of controller and quorum.
class DirectoryAssigner {
 public:
  // `broker_epoch` tells that of now.
  DirectoryAssigner(io::Shard& shard, controller::ControllerChannel& controller, std::int32_t broker_id,
                    std::function<std::int64_t()> broker_epoch, Logger logger);

  // From shard `from`. What is reported before start() waits for it, and later reports of a replica replace earlier
  // ones. Nothing after close().
  void report(io::Shard& from, const replica::Placement& placement);
  void start();
  io::Task<void> close();

 private:
  using Key = std::pair<Uuid, std::int32_t>;  // topic id and partition
  io::Task<void> work();
  io::Task<Result<void>> send();

  io::Shard& shard_;
  controller::ControllerChannel& controller_;
  std::int32_t broker_id_;
  std::function<std::int64_t()> broker_epoch_;
  Logger logger_;
  std::map<Key, Uuid> waiting_;  // directories by replica
  bool closing_ = false;
  io::Signal changed_;
  io::Gate background_;
};

}  // namespace klamm::server
