#include "client/admin/admin_core.h"

#include "client/core/settings.h"

namespace klamm::client {

AdminCore::AdminCore(io::Shard& shard, AdminSettings settings, AdminHooks hooks)
    : shard_(shard),
      settings_(std::move(settings)),
      log_(client_logger(hooks.log_sink, hooks.log_level, "admin", settings_.common.client_id)),
      cluster_(
          shard,
          [this] {
            ClusterOptions options = cluster_options(settings_.common);
            options.allow_auto_create_topics = false;
            options.controllers = settings_.to_controllers;
            return options;
          }(),
          log_),
      finished_(shard) {}

std::shared_ptr<AdminCore> AdminCore::start(io::Shard& shard, AdminSettings settings, AdminHooks hooks) {
  std::shared_ptr<AdminCore> core(new AdminCore(shard, std::move(settings), std::move(hooks)));
  for (const std::string& warning : core->settings_.warnings) core->log_.warning("{}", warning);
  return core;
}

void AdminCore::stop() {
  if (stopped_) return;
  stopped_ = true;
  cluster_.stop();
  io::spawn_detached(finish(shared_from_this()));
}

io::Task<void> AdminCore::finish(std::shared_ptr<AdminCore> self) {
  const std::shared_ptr<AdminCore> alive = std::move(self);
  co_await cluster_.close();
  is_finished_ = true;
  finished_.notify_all();
}

io::Task<void> AdminCore::wait_finished() {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  while (!is_finished_) co_await finished_.wait();
}

AdminCore::Patience::Patience(AdminCore& core, const AdminOptions& options, std::string_view what)
    : core_(core),
      what_(what),
      timeout_(options.timeout > 0ns ? options.timeout : milliseconds(core.settings_.default_api_timeout_ms)),
      own_(options.timeout > 0ns),
      deadline_(core.shard_.now() + timeout_),
      backoff_(core.cluster_.options().retry_backoff, core.cluster_.options().retry_backoff_max) {}

std::int32_t AdminCore::Patience::left_ms() const {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - core_.shard_.now()).count();
  const auto most =
      std::chrono::duration_cast<std::chrono::milliseconds>(core_.cluster_.options().request_timeout).count();
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(left, 0, most));
}

io::Task<bool> AdminCore::Patience::again() {
  const Instant end = core_.shard_.now() + backoff_.next(core_.shard_.random());
  if (end >= deadline_ || core_.stopped_) co_return false;
  core_.cluster_.request_update();
  while (!core_.stopped_ && core_.shard_.now() < end) co_await core_.cluster_.changed().wait_until(end);
  co_return !core_.stopped_;
}

Error AdminCore::Patience::out(const Error& last) const {
  if (core_.stopped_) return last;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count();
  std::string why(what_);
  why += " not done in " + std::to_string(ms) + " ms";
  if (!own_) why += " (default.api.timeout.ms)";
  return {Errc::timed_out, why + ": " + last.message(), true};
}

io::Task<Result<ConnectionRef>> AdminCore::reach(Route route, Patience& patience) {
  const auto attempt = [&] { return connect(route, patience.deadline()); };
  Result<ConnectionRef> connection = co_await keep_trying(patience, attempt);
  co_return connection;
}

io::Task<Result<protocol::MetadataResponse>> AdminCore::ask_metadata(protocol::MetadataRequest request,
                                                                     Patience& patience) {
  const auto attempt = [&] { return cluster_.ask(protocol::MetadataRequest(request), patience.deadline()); };
  Result<protocol::MetadataResponse> response = co_await keep_trying(patience, attempt);
  co_return response;
}

io::Task<Result<ConnectionRef>> AdminCore::connect(Route route, Instant deadline) {
  if (stopped_) co_return fail(Errc::cancelled, "the admin client was closed");
  if (route.kind != Route::Kind::any) {
    Result<void> known = co_await cluster_.await_brokers(deadline);
    KLAMM_CO_TRY(known);
    BrokerNumber broker = route.kind == Route::Kind::controller ? cluster_.controller() : route.broker;
    if (broker >= 0) {
      Result<ConnectionRef> connection = co_await cluster_.connect(broker, deadline);
      co_return connection;
    }
  }
  Result<ConnectionRef> connection = co_await cluster_.connect_any(deadline);
  co_return connection;
}

io::Task<Result<std::vector<BrokerNumber>>> AdminCore::broker_ids(Patience& patience) {
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = false;
  if (settings_.to_controllers) {
    Result<void> known = co_await cluster_.await_brokers(patience.deadline());
    if (!known && known.error().retriable()) co_return fail(patience.out(known.error()));
    KLAMM_CO_TRY(known);
  } else {
    Result<protocol::MetadataResponse> response = co_await ask_metadata(std::move(request), patience);
    KLAMM_CO_TRY(response);
  }
  std::vector<BrokerNumber> ids;
  for (const auto& [id, broker] : cluster_.brokers()) ids.push_back(id);
  co_return ids;
}

io::Task<Result<AdminCore::Leaders>> AdminCore::leaders_of(std::vector<TopicPartition> partitions,
                                                           std::map<TopicPartition, ErrorCode>& failed,
                                                           Patience& patience) {
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = false;
  std::sort(partitions.begin(), partitions.end());
  for (const TopicPartition& partition : partitions) {
    if (request.topics->empty() || *request.topics->back().name != partition.topic)
      request.topics->emplace_back().name = partition.topic;
  }
  Result<protocol::MetadataResponse> response = co_await ask_metadata(std::move(request), patience);
  KLAMM_CO_TRY(response);
  Leaders leaders;
  for (const TopicPartition& partition : partitions) {
    failed[partition] = ErrorCode::unknown_topic_or_partition;
    for (const auto& topic : response->topics) {
      if (!topic.name || *topic.name != partition.topic) continue;
      const ErrorCode code = protocol::error_code_from(topic.error_code);
      if (code != ErrorCode::none) failed[partition] = code;
      for (const auto& one : topic.partitions) {
        if (one.partition_index != partition.partition) continue;
        if (one.leader_id < 0) {
          failed[partition] = ErrorCode::leader_not_available;
        } else {
          failed.erase(partition);
          leaders[one.leader_id].push_back(partition);
        }
      }
    }
  }
  co_return leaders;
}

}  // namespace klamm::client
