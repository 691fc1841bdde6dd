// The connections to other members of the quorum. What waits at the other end (Fetch) has a connection of its own, so
// that votes do not stand behind it. On one shard; owned by the RaftNode.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "broker/raft/voters.h"
#include "protocol/rpc/channel.h"

namespace klamm::raft {

class RaftPeers {
 public:
  enum class Use { ask, fetch };

  RaftPeers(io::Shard& shard, rpc::ChannelOptions options) : shard_(shard), options_(std::move(options)) {}

  // Opened when it is first used. Lives until close().
  rpc::Channel& to(const Endpoint& address, Use use) {
    std::unique_ptr<rpc::Channel>& channel = channels_[{address.host, address.port, use}];
    if (!channel) channel = std::make_unique<rpc::Channel>(shard_, io::Endpoint{address.host, address.port}, options_);
    return *channel;
  }
  // What is pending ends with an error.
  io::Task<void> close() {
    for (auto& [key, channel] : channels_) co_await channel->close();
  }

 private:
  io::Shard& shard_;
  rpc::ChannelOptions options_;
  std::map<std::tuple<std::string, std::uint16_t, Use>, std::unique_ptr<rpc::Channel>> channels_;
};

}  // namespace klamm::raft
