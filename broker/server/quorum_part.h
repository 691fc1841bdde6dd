// A node's part in the metadata quorum, whatever its roles: as a voter or an observer it has the metadata log, and from
// that the image that every shard works by.
#pragma once

#include <memory>

#include "broker/controller/controller_channel.h"
#include "broker/metadata/loader.h"
#include "broker/metadata/publisher.h"
#include "broker/raft/raft_node.h"
#include "broker/server/node_base.h"

namespace klamm::server {

// On the node's first shard.
class QuorumPart {
 public:
  // `controller_listeners`: this node's, as others reach them; empty for a broker only.
  // `tls`: for connections to controllers (channels.h).
  QuorumPart(NodeBase& node, std::vector<config::Endpoint> controller_listeners,
             std::shared_ptr<const io::tls::Context> tls);

  // Loads what is on the disk and takes up its role. Whoever listens to the loader has been added before.
  io::Task<Result<void>> start();
  // Waits until the image is as far as the quorum's high watermark was. Errc::cancelled if interrupted.
  io::Task<Result<void>> wait_caught_up();
  // Ends its part in the quorum: nothing more will be committed through this node.
  io::Task<void> stop();
  // After all that gets images has been told to end.
  io::Task<void> close();

  metadata::Publisher& publisher() noexcept { return publisher_; }
  raft::RaftNode& raft() noexcept { return raft_; }
  metadata::Loader& loader() noexcept { return loader_; }
  bool failed() const noexcept { return raft_.failure().has_value(); }
  // Where the active controller is.
  controller::LeaderAddress leader() const;

 private:
  NodeBase& node_;
  metadata::Publisher publisher_;
  raft::RaftNode raft_;
  metadata::Loader loader_;
};

}  // namespace klamm::server
