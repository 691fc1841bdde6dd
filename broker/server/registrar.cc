#include "broker/server/registrar.h"

#include "broker/server/introduction.h"
#include "protocol/messages/controller_registration_response.h"

namespace klamm::server {
namespace {

constexpr Duration kPatience = 10s;
constexpr Duration kFirstRetry = 100ms;
constexpr Duration kSlowestRetry = 5s;

}  // namespace

Registrar::Registrar(io::Shard& shard, std::int32_t node_id, Uuid incarnation_id,
                     std::vector<config::Endpoint> listeners, controller::ControllerChannelOptions channel,
                     controller::FindLeader find_leader, controller::Controller* local, Logger logger)
    : shard_(shard),
      node_id_(node_id),
      incarnation_id_(incarnation_id),
      listeners_(std::move(listeners)),
      local_(local),
      logger_(std::move(logger)),
      channel_(shard, std::move(channel), std::move(find_leader), local, logger_),
      image_(metadata::MetadataImage::none()),
      changed_(shard),
      background_(shard) {}

void Registrar::start() { background_.spawn(work()); }

void Registrar::image_changed(metadata::ImageRef image) {
  image_ = std::move(image);
  if (must_register()) changed_.notify_all();
}

// The active controller registers itself with its first records.
bool Registrar::must_register() const {
  const std::optional<metadata::MetadataVersion> version = image_->metadata_version();
  if (!version || !version->controller_registration() || local_->active()) return false;
  const metadata::ControllerRef* known = image_->cluster.controllers.find(node_id_);
  return known == nullptr || (*known)->incarnation_id != incarnation_id_;
}

io::Task<void> Registrar::work() {
  rpc::Backoff retry(kFirstRetry, kSlowestRetry);
  while (!closing_) {
    if (!must_register()) {
      co_await changed_.wait();
      continue;
    }
    protocol::ControllerRegistrationRequest request;
    request.controller_id = node_id_;
    request.incarnation_id = incarnation_id_;
    introduce(request, listeners_);
    Result<protocol::ControllerRegistrationResponse> response =
        co_await channel_.call(std::move(request), shard_.now() + kPatience);
    if (closing_) break;
    if (response && response->error_code == 0) {
      logger_.info("registered as controller {}", node_id_);
      retry.reset();
    } else {
      const Error error = response ? protocol::kafka_error(protocol::error_code_from(response->error_code),
                                                           response->error_message.value_or(""))
                                   : response.error();
      logger_.warning("controller registration: {}", error.message());
    }
    // The metadata will show it, or it is tried again.
    const Instant until = shard_.now() + retry.next(shard_.random());
    while (!closing_ && must_register() && shard_.now() < until) co_await changed_.wait_until(until);
  }
}

io::Task<void> Registrar::close() {
  closing_ = true;
  changed_.notify_all();
  co_await channel_.close();
  co_await background_.close();
}

}  // namespace klamm::server
