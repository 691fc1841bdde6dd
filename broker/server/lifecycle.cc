#include "broker/server/lifecycle.h"

#include <algorithm>

#include "broker/metadata/features.h"
#include "io/machine.h"
#include "protocol/error.h"
#include "protocol/messages/broker_heartbeat_request.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_request.h"
#include "protocol/messages/broker_registration_response.h"

namespace klamm::server {
namespace {

constexpr Duration kRetry = 100ms;         // after an answer that may be different next time
constexpr Duration kImpatientBeat = 10ms;  // between heartbeats while something is waited for

Error kafka_fault(std::int16_t code, std::string context) {
  return protocol::kafka_error(static_cast<protocol::ErrorCode>(code), std::move(context));
}

}  // namespace

Lifecycle::Lifecycle(io::Shard& shard, const config::BrokerConfig& config, controller::Controller& controller,
                     metadata::Loader& loader, const storage::LogDirs& directories, Uuid incarnation_id,
                     const std::vector<BoundListener>& listeners, std::string cluster_id, Logger logger)
    : shard_(shard),
      config_(config),
      controller_(controller),
      loader_(loader),
      directories_(directories),
      incarnation_id_(incarnation_id),
      listeners_(listeners),
      cluster_id_(std::move(cluster_id)),
      logger_(std::move(logger)),
      changed_(shard),
      running_(shard) {}

io::Task<Result<void>> Lifecycle::join() {
  const Instant deadline = shard_.now() + kPatience;
  const bool active = co_await controller_.wait_active(deadline);
  if (!active) co_return fail(Errc::timed_out, "the controller did not become active");
  Result<void> registered = co_await register_broker(deadline);
  KLAMM_CO_TRY(registered);
  const bool loaded = co_await loader_.wait_for(broker_epoch_, deadline);
  if (!loaded) co_return fail(Errc::timed_out, "the broker's registration did not reach its metadata");
  while (shard_.now() < deadline) {
    Result<Beat> answer = co_await beat(false, false);
    if (answer && !answer->fenced) {
      running_.spawn(keep_beating());
      co_return Result<void>();
    }
    co_await shard_.sleep(kImpatientBeat);
  }
  co_return fail(Errc::timed_out, "the controller did not unfence this broker");
}

io::Task<Result<void>> Lifecycle::register_broker(Instant deadline) {
  protocol::BrokerRegistrationRequest request;
  request.broker_id = config_.node_id();
  request.cluster_id = cluster_id_;
  request.incarnation_id = incarnation_id_;
  request.rack = config_.rack();
  request.previous_broker_epoch = directories_.previous_broker_epoch();
  for (const config::Endpoint& endpoint : config_.advertised_broker_listeners()) {
    auto& listener = request.listeners.emplace_back();
    listener.name = endpoint.listener;
    listener.host = endpoint.host.empty() ? io::host_name() : endpoint.host;
    listener.port = endpoint.port;
    listener.security_protocol = static_cast<std::int16_t>(endpoint.protocol);
    for (const BoundListener& bound : listeners_) {
      if (listener.port == 0 && bound.name == endpoint.listener) listener.port = bound.endpoint.port;
    }
  }
  for (const auto& [name, range] : metadata::supported_features()) {
    auto& feature = request.features.emplace_back();
    feature.name = name;
    feature.min_supported_version = range.min;
    feature.max_supported_version = range.max;
  }
  for (const storage::LogDirs::Directory& directory : directories_.directories()) {
    if (directory.online) request.log_dirs.push_back(directory.id);
  }
  std::sort(request.log_dirs.begin(), request.log_dirs.end());
  const security::RequestContext context;
  for (;;) {
    protocol::BrokerRegistrationResponse response = co_await controller_.register_broker(context, request);
    if (response.error_code == 0) {
      broker_epoch_ = response.broker_epoch;
      co_return Result<void>();
    }
    Error error = kafka_fault(response.error_code, "broker registration");
    // A crashed predecessor's session must run out first.
    const bool may_change = error.retriable() ||
                            protocol::code_of(error) == protocol::ErrorCode::duplicate_broker_registration ||
                            protocol::code_of(error) == protocol::ErrorCode::not_controller;
    if (!may_change || shard_.now() >= deadline) co_return fail(std::move(error));
    co_await shard_.sleep(kRetry);
  }
}

io::Task<Result<Lifecycle::Beat>> Lifecycle::beat(bool want_fence, bool want_shut_down) {
  protocol::BrokerHeartbeatRequest request;
  request.broker_id = config_.node_id();
  request.broker_epoch = broker_epoch_;
  request.current_metadata_offset = loader_.image()->provenance.last_offset;
  request.want_fence = want_fence;
  request.want_shut_down = want_shut_down;
  for (const storage::LogDirs::Directory& directory : directories_.directories()) {
    if (!directory.online) request.offline_log_dirs.push_back(directory.id);
  }
  const security::RequestContext context;
  protocol::BrokerHeartbeatResponse response = co_await controller_.broker_heartbeat(context, std::move(request));
  if (response.error_code != 0) co_return fail(kafka_fault(response.error_code, "heartbeat"));
  co_return Beat{response.is_caught_up, response.is_fenced, response.should_shut_down};
}

io::Task<void> Lifecycle::keep_beating() {
  const Duration interval = milliseconds(config_.values().get_int("broker.heartbeat.interval.ms"));
  while (!leaving_) {
    co_await changed_.wait_until(shard_.now() + interval);
    if (leaving_) break;
    Result<Beat> answer = co_await beat(false, false);
    if (!answer) logger_.warning("{}", answer.error().message());
  }
}

io::Task<void> Lifecycle::leave() {
  leaving_ = true;
  changed_.notify_all();
  co_await running_.close();
  if (broker_epoch_ < 0) co_return;
  const Instant deadline = shard_.now() + kPatience;
  while (shard_.now() < deadline) {
    Result<Beat> answer = co_await beat(false, true);
    if (!answer) {
      logger_.warning("controlled shutdown: {}", answer.error().message());
      break;
    }
    if (answer->should_shut_down) break;
    co_await shard_.sleep(kImpatientBeat);
  }
}

}  // namespace klamm::server
