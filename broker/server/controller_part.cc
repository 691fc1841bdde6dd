#include "broker/server/controller_part.h"

#include "broker/handler/dispatch.h"
#include "broker/metadata/format.h"
#include "broker/server/channels.h"

namespace klamm::server {

ControllerPart::ControllerPart(NodeBase& node)
    : node_(node),
      listeners_(
          node.shards, node.home, node.config(),
          {.shards = 1, .shares = node.config().is_broker() ? node.shards.size() + 1 : 1},
          [this](std::size_t) -> Dispatch {
            return [this](Slice frame, const security::RequestContext& connection, std::function<void()> enqueued,
                          handler::Hangup& hangup) {
              return handler::dispatch(*services_, std::move(frame), connection, std::move(enqueued), hangup);
            };
          },
          node.logger("network")) {}

io::Task<Result<void>> ControllerPart::bind() {
  Result<void> bound = co_await listeners_.bind(node_.config().controller_listeners());
  co_return bound;
}

std::vector<config::Endpoint> ControllerPart::endpoints() const {
  return reachable(node_.config().advertised_controller_listeners(), listeners_.bound());
}

io::Task<Result<void>> ControllerPart::prepare(QuorumPart& quorum) {
  controller::ControllerOptions options = controller::controller_options(node_.config());
  options.cluster_id = node_.cluster_id();
  options.incarnation_id = node_.incarnation_id;
  options.listeners.clear();
  for (const config::Endpoint& endpoint : endpoints()) {
    options.listeners.push_back(
        {endpoint.listener, endpoint.host, endpoint.port, static_cast<std::int16_t>(endpoint.protocol)});
  }
  Result<std::optional<metadata::Records>> bootstrap =
      co_await metadata::load_bootstrap(node_.home, node_.directories->metadata_directory());
  KLAMM_CO_TRY(bootstrap);
  if (*bootstrap) options.bootstrap_records = std::move(**bootstrap);
  Result<std::shared_ptr<const io::tls::Context>> tls = co_await load_controller_tls(node_);
  KLAMM_CO_TRY(tls);
  controller_ = std::make_unique<controller::Controller>(node_.home, quorum.raft(), quorum.loader(), std::move(options),
                                                         node_.logger("controller"));
  services_.reset(new handler::ControllerServices{
      {node_.home, node_.config(), quorum.publisher(), node_.home, node_.cluster_id(), node_.logger("handler")},
      *controller_,
      quorum.raft()});
  registrar_ = std::make_unique<Registrar>(
      node_.home, node_.config().node_id(), node_.incarnation_id, endpoints(), channel_options(node_, std::move(*tls)),
      [&quorum] { return quorum.leader(); }, controller_.get(), node_.logger("controller"));
  const auto note = [registrar = registrar_.get()](const metadata::Publication& publication) -> io::Task<void> {
    registrar->image_changed(publication.image);
    co_return;
  };
  co_await quorum.publisher().subscribe(node_.home.index(), "controller registration", note);
  controller_->start();
  co_return Result<void>();
}

void ControllerPart::start() {
  listeners_.start();
  registrar_->start();
}

io::Task<void> ControllerPart::stop() {
  co_await listeners_.stop_accepting();
  if (registrar_) co_await registrar_->close();
  if (controller_) co_await controller_->stop();
}

io::Task<void> ControllerPart::close() { co_await listeners_.close_connections(); }

io::Task<void> ControllerPart::destroy() {
  co_await listeners_.destroy();
  registrar_.reset();
  services_.reset();
  controller_.reset();
}

}  // namespace klamm::server
