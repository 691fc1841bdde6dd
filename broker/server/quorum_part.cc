#include "broker/server/quorum_part.h"

#include <fmt/format.h>

namespace klamm::server {
namespace {

// How often a start that waits for the quorum says so.
constexpr Duration kTellWaiting = 10s;

raft::RaftOptions raft_options_of(NodeBase& node, const std::vector<config::Endpoint>& controller_listeners,
                                  std::shared_ptr<const io::tls::Context> tls) {
  Uuid metadata_directory_id;
  for (const storage::LogDirs::Directory& directory : node.directories->directories()) {
    if (directory.path == node.directories->metadata_directory()) metadata_directory_id = directory.id;
  }
  raft::RaftOptions options = raft::raft_options(node.config(), metadata_directory_id);
  options.cluster_id = node.cluster_id();
  options.tls = std::move(tls);
  options.endpoints.clear();
  for (const config::Endpoint& endpoint : controller_listeners) {
    options.endpoints.push_back({endpoint.listener, endpoint.host, endpoint.port});
  }
  options.on_fatal = [&node](const Error& error) { node.fatal(error); };
  return options;
}

}  // namespace

QuorumPart::QuorumPart(NodeBase& node, std::vector<config::Endpoint> controller_listeners,
                       std::shared_ptr<const io::tls::Context> tls)
    : node_(node),
      publisher_(node.shards, node.home, node.logger("metadata")),
      raft_(node.home, raft_options_of(node, controller_listeners, std::move(tls)), node.logger("raft")),
      loader_(node.home, raft_, &publisher_, metadata::loader_options(node.config()), node.logger("metadata")) {}

io::Task<Result<void>> QuorumPart::start() {
  Result<void> started = co_await raft_.start();
  co_return started;
}

io::Task<Result<void>> QuorumPart::wait_caught_up() {
  Instant tell = node_.home.now() + kTellWaiting;
  for (;;) {
    const bool published = co_await loader_.wait_published(node_.home.now() + kInterruptLook);
    if (published) co_return Result<void>();
    if (node_.interrupted) co_return fail(Errc::cancelled, "the start was interrupted");
    if (failed()) co_return fail(*raft_.failure());
    if (node_.home.now() < tell) continue;
    tell = node_.home.now() + kTellWaiting;
    const std::int32_t leader = raft_.leader().leader_id;
    node_.logger("server").info("still starting: {}",
                                leader < 0 ? std::string("the metadata quorum has no leader yet, or it is not reached")
                                           : fmt::format("the metadata log is being read from node {}", leader));
  }
}

controller::LeaderAddress QuorumPart::leader() const {
  controller::LeaderAddress address;
  address.id = raft_.leader().leader_id;
  address.endpoint = raft_.leader_endpoint();
  return address;
}

io::Task<void> QuorumPart::stop() {
  co_await raft_.stop();
  co_await loader_.close();
}

io::Task<void> QuorumPart::close() { co_await publisher_.clear(); }

}  // namespace klamm::server
