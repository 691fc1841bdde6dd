// What the controller role adds to a node: its listeners, the controller behind them, and its registration.
#pragma once

#include <memory>

#include "broker/controller/controller.h"
#include "broker/handler/services.h"
#include "broker/server/listener_group.h"
#include "broker/server/node_base.h"
#include "broker/server/quorum_part.h"
#include "broker/server/registrar.h"

namespace klamm::server {

// On the node's first shard.
class ControllerPart {
 public:
  explicit ControllerPart(NodeBase& node);

  // Takes the ports. Before anything is changed on the disk.
  io::Task<Result<void>> bind();
  const std::vector<BoundListener>& bound() const noexcept { return listeners_.bound(); }
  // Its listeners as others reach them.
  std::vector<config::Endpoint> endpoints() const;

  // Makes the controller, which follows the quorum from its start on. Before quorum.start().
  io::Task<Result<void>> prepare(QuorumPart& quorum);
  // The quorum has started: answers those who ask.
  void start();
  // Null before prepare().
  controller::Controller* controller() noexcept { return controller_.get(); }
  handler::ControllerServices* services() noexcept { return services_.get(); }

  // In this order, the quorum's stop() between them: no new connections and no more decisions; the end of connections;
  // the rest.
  io::Task<void> stop();
  io::Task<void> close();
  io::Task<void> destroy();

 private:
  NodeBase& node_;
  ListenerGroup listeners_;
  std::unique_ptr<controller::Controller> controller_;
  std::unique_ptr<handler::ControllerServices> services_;
  std::unique_ptr<Registrar> registrar_;
};

}  // namespace klamm::server
