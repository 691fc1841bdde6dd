#include "broker/server/lifecycle.h"

#include <algorithm>

#include "broker/config/dynamic_config.h"
#include "broker/server/introduction.h"
#include "protocol/error.h"
#include "protocol/messages/broker_heartbeat_response.h"
#include "protocol/messages/broker_registration_response.h"

namespace klamm::server {
namespace {

using protocol::ErrorCode;

constexpr Duration kRetry = 100ms;           // after a refusal of the registration that may be another one next time
constexpr Duration kFirstRetry = 100ms;      // of a heartbeat; doubles
constexpr Duration kImpatientBeat = 10ms;    // between heartbeats while something is waited for; doubles
constexpr Duration kSlowestBeat = 1s;        // of these
constexpr Duration kLongestShutdown = 300s;  // as Kafka's
constexpr Duration kLookAgain = 100ms;       // whether a wait was interrupted

Error kafka_fault(std::int16_t code, std::string context) {
  return protocol::kafka_error(protocol::error_code_from(code), std::move(context));
}

// Refusals that time, or another controller, may turn into a yes.
bool may_change(const Error& error) {
  const ErrorCode code = protocol::code_of(error);
  return error.retriable() || error == Errc::timed_out || error == Errc::unavailable ||
         code == ErrorCode::duplicate_broker_registration || code == ErrorCode::not_controller;
}

}  // namespace

Lifecycle::Lifecycle(io::Shard& shard, const config::BrokerConfig& config, LifecycleOptions options,
                     controller::ControllerChannel& controller, metadata::Publisher& publisher,
                     storage::LogDirs& directories, Logger logger)
    : shard_(shard),
      config_(config),
      options_(std::move(options)),
      controller_(controller),
      publisher_(publisher),
      directories_(directories),
      logger_(std::move(logger)),
      heartbeat_interval_(milliseconds(config.values().get_int("broker.heartbeat.interval.ms"))),
      session_timeout_(milliseconds(config.values().get_int("broker.session.timeout.ms"))),
      retry_(kFirstRetry, session_timeout_),
      impatience_(kImpatientBeat, kSlowestBeat),
      changed_(shard),
      running_(shard) {}

// ---- Registration

io::Task<Result<void>> Lifecycle::join() {
  const Duration patience = milliseconds(config_.values().get_int("initial.broker.registration.timeout.ms"));
  Result<void> registered = co_await register_broker(shard_.now() + patience);
  KLAMM_CO_TRY(registered);
  running_.spawn(keep_beating());
  // The image that the logs are opened by must show this incarnation, which leads nothing.
  bool loaded = false;
  while (!loaded) {
    Result<void> possible = may_start();
    KLAMM_CO_TRY(possible);
    loaded = co_await publisher_.wait_for(shard_, broker_epoch_, shard_.now() + kLookAgain);
  }
  co_return Result<void>();
}

protocol::BrokerRegistrationRequest Lifecycle::registration() const {
  protocol::BrokerRegistrationRequest request;
  request.broker_id = config_.node_id();
  request.cluster_id = options_.cluster_id;
  request.incarnation_id = options_.incarnation_id;
  request.rack = config_.rack();
  request.previous_broker_epoch = directories_.previous_broker_epoch();
  introduce(request, options_.listeners);
  for (const storage::LogDirs::Directory& directory : directories_.directories()) {
    if (directory.online) request.log_dirs.push_back(directory.id);
  }
  std::sort(request.log_dirs.begin(), request.log_dirs.end());
  return request;
}

io::Task<Result<void>> Lifecycle::register_broker(Instant deadline) {
  bool told = false;
  for (;;) {
    // Short attempts, so that an interrupt is noticed.
    const Instant soon = std::min(deadline, shard_.now() + kSlowestBeat);
    Result<protocol::BrokerRegistrationResponse> response = co_await controller_.call(registration(), soon);
    Result<void> possible = may_start();
    KLAMM_CO_TRY(possible);
    if (response && response->error_code == 0) {
      broker_epoch_ = response->broker_epoch;
      last_answer_ = shard_.now();
      logger_.info("registered as broker {} with epoch {}", config_.node_id(), broker_epoch_);
      co_return Result<void>();
    }
    Error error = response ? kafka_fault(response->error_code, "broker registration")
                           : Error(response.error()).in("broker registration");
    if (!may_change(error) || shard_.now() >= deadline) co_return fail(std::move(error));
    if (!std::exchange(told, true)) logger_.warning("{}: trying again", error.message());
    co_await changed_.wait_until(shard_.now() + kRetry);
  }
}

// The controller does not take the broker for what it says it is. If the metadata shows that it was removed, or that
// its directories are not known (it registered under an older metadata.version), it registers once more; another
// incarnation's registration it leaves alone.
io::Task<void> Lifecycle::register_again() {
  const metadata::ImageRef known = image();
  const metadata::BrokerRegistration* own = known->cluster.broker(config_.node_id());
  const bool removed = own == nullptr;
  const bool replaced = own != nullptr && own->incarnation_id != options_.incarnation_id;
  if (replaced) {
    logger_.error("another process has registered as broker {}: this one is no part of the cluster any more",
                  config_.node_id());
    co_return;
  }
  const bool lacks_directories = own != nullptr && own->directories.empty() && known->metadata_version().has_value() &&
                                 known->metadata_version()->directory_assignment();
  if (!removed && !lacks_directories) co_return;
  logger_.warning("the controller does not {}: registering again",
                  removed ? "know this broker" : "know its directories");
  Result<protocol::BrokerRegistrationResponse> response =
      co_await controller_.call(registration(), shard_.now() + session_timeout_);
  if (!response || response->error_code != 0) {
    const Error error = response ? kafka_fault(response->error_code, "broker registration") : response.error();
    logger_.warning("{}", error.message());
    co_return;
  }
  broker_epoch_ = response->broker_epoch;
}

// ---- Heartbeats

std::optional<std::vector<Uuid>> Lifecycle::cordoned() const {
  const std::optional<metadata::MetadataVersion> version = image()->metadata_version();
  if (!version || !version->cordoned_directories()) return std::nullopt;
  return directories_.cordoned_ids();
}

protocol::BrokerHeartbeatRequest Lifecycle::heartbeat() const {
  protocol::BrokerHeartbeatRequest request;
  request.broker_id = config_.node_id();
  request.broker_epoch = broker_epoch_;
  request.current_metadata_offset = image()->provenance.last_offset;
  request.want_fence = wish_ == Wish::fenced;
  request.want_shut_down = wish_ == Wish::shut_down;
  for (const storage::LogDirs::Directory& directory : directories_.directories()) {
    if (!directory.online && !directory.id.is_zero()) request.offline_log_dirs.push_back(directory.id);
  }
  request.cordoned_log_dirs = cordoned();
  return request;
}

// Directories that failed must be known to the controller in time: it would leave leadership where there is no log.
void Lifecycle::watch_directories(const protocol::BrokerHeartbeatRequest& told) {
  if (told.offline_log_dirs == offline_told_) {
    offline_since_.reset();
    return;
  }
  if (!offline_since_) offline_since_ = shard_.now();
  const Duration timeout = milliseconds(config_.values().get_long("log.dir.failure.timeout.ms"));
  if (shard_.now() < *offline_since_ + timeout) return;
  offline_since_.reset();
  const Error error(Errc::timed_out,
                    "the controller could not be told for log.dir.failure.timeout.ms that a directory is offline");
  logger_.error("{}", error.message());
  if (options_.on_fatal) options_.on_fatal(error);
}

// One heartbeat; true if it was answered.
io::Task<bool> Lifecycle::beat() {
  beat_now_ = false;
  protocol::BrokerHeartbeatRequest request = heartbeat();
  watch_directories(request);
  const std::vector<Uuid> offline = request.offline_log_dirs;
  const Wish wish = wish_;
  Result<protocol::BrokerHeartbeatResponse> answer =
      co_await controller_.call(std::move(request), shard_.now() + std::min(session_timeout_, kSlowestBeat * 2));
  if (!answer) {
    if (!stopping_) logger_.warning("heartbeat: {}", answer.error().message());
    changed_.notify_all();
    co_return false;
  }
  const ErrorCode error = protocol::error_code_from(answer->error_code);
  if (error != ErrorCode::none) {
    logger_.warning("heartbeat: {}", kafka_fault(answer->error_code, "").message());
    if (error == ErrorCode::stale_broker_epoch && wish_ != Wish::shut_down) co_await register_again();
    co_return false;
  }
  offline_told_ = offline;
  last_answer_ = shard_.now();
  if (standing_ && !standing_->fenced && answer->is_fenced && wish == Wish::unfenced) {
    logger_.warning("the controller has fenced this broker");
  }
  // An answer to an earlier wish says nothing of the present one.
  if (wish == wish_) standing_ = Standing{answer->is_fenced, answer->should_shut_down};
  changed_.notify_all();
  co_return true;
}

// How long to wait before the next heartbeat.
Duration Lifecycle::pause_after(bool answered) {
  if (!answered) return std::min(retry_.next(shard_.random()), heartbeat_interval_);
  retry_.reset();
  const bool satisfied = wish_ == Wish::fenced || (wish_ == Wish::unfenced && standing_ && !standing_->fenced);
  if (!satisfied) return std::min(impatience_.next(shard_.random()), heartbeat_interval_);
  impatience_.reset();
  return heartbeat_interval_;
}

io::Task<void> Lifecycle::keep_beating() {
  while (!stopping_) {
    const bool answered = co_await beat();
    if (stopping_ || (standing_ && standing_->should_shut_down)) break;
    const Instant next = shard_.now() + pause_after(answered);
    while (!stopping_ && !beat_now_ && shard_.now() < next) co_await changed_.wait_until(next);
  }
}

void Lifecycle::beat_soon() {
  beat_now_ = true;
  changed_.notify_all();
}

// Steps of the start wait for the controller as long as it takes, but not where nothing can come any more.
Result<void> Lifecycle::may_start() const {
  if (interrupted_ || stopping_) return fail(Errc::cancelled, "the start was interrupted");
  if (options_.is_hopeless && options_.is_hopeless()) return fail(Errc::unavailable, "the metadata log has failed");
  return {};
}

io::Task<Result<void>> Lifecycle::serve() {
  wish_ = Wish::unfenced;
  standing_.reset();
  beat_soon();
  while (!standing_ || standing_->fenced) {
    Result<void> possible = may_start();
    KLAMM_CO_TRY(possible);
    co_await changed_.wait();
  }
  co_return may_start();
}

void Lifecycle::interrupt() {
  interrupted_ = true;
  changed_.notify_all();
}

// ---- The end

io::Task<void> Lifecycle::leave() {
  interrupted_ = true;
  if (broker_epoch_ >= 0 && !running_.closed()) {
    wish_ = Wish::shut_down;
    standing_.reset();
    beat_soon();
    impatience_.reset();
    const Instant begin = shard_.now();
    while (!standing_ || !standing_->should_shut_down) {
      if (options_.is_hopeless && options_.is_hopeless()) break;
      // Who does not hear of this broker for so long fences it without being asked.
      const Instant patience =
          std::min(begin + kLongestShutdown, std::max(begin, last_answer_.value_or(begin)) + session_timeout_);
      if (shard_.now() >= patience) {
        logger_.warning("controlled shutdown was given up: leadership stays here until the session ends");
        break;
      }
      const bool notified = co_await changed_.wait_until(patience);
      static_cast<void>(notified);
    }
  }
  stopping_ = true;
  changed_.notify_all();
  co_await controller_.close();
  co_await running_.close();
}

}  // namespace klamm::server
