// Registers a controller that is not the active one with the active one (KIP-919), so that clients learn its listeners,
// and features are only raised when it can follow: again whenever the metadata does not show it as it is.
#pragma once

#include <cstdint>
#include <vector>

#include "base/log.h"
#include "broker/config/endpoint.h"
#include "broker/controller/controller_channel.h"
#include "broker/metadata/image.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::server {

// On the shard of controller and quorum.
class Registrar {
 public:
  Registrar(io::Shard& shard, std::int32_t node_id, Uuid incarnation_id, std::vector<config::Endpoint> listeners,
            controller::ControllerChannelOptions channel, controller::FindLeader find_leader,
            controller::Controller* local, Logger logger);

  void start();
  // What the metadata says now; cheap.
  void image_changed(metadata::ImageRef image);
  io::Task<void> close();

 private:
  bool must_register() const;
  io::Task<void> work();

  io::Shard& shard_;
  std::int32_t node_id_;
  Uuid incarnation_id_;
  std::vector<config::Endpoint> listeners_;
  controller::Controller* local_;
  Logger logger_;
  controller::ControllerChannel channel_;
  metadata::ImageRef image_;
  bool closing_ = false;
  io::Signal changed_;
  io::Gate background_;
};

}  // namespace klamm::server
