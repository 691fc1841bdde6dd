#include "broker/controller/brokers.h"

#include <algorithm>
#include <limits>
#include <set>

#include "broker/controller/partitions.h"
#include "broker/metadata/image_writer.h"

namespace klamm::controller {
namespace {

bool session_valid(const Compute& compute, std::int32_t id) {
  const auto session = compute.sessions.find(id);
  if (session == compute.sessions.end()) return false;
  return compute.now < session->second.last_contact + milliseconds(compute.settings.session_timeout_ms);
}

// Whether another incarnation of the broker may still be running: it sends heartbeats, or is presumed to by a new
// controller. One that only registered does not count, as in Kafka; nor one of this very node that did not speak to
// this controller: it ran in the process before this one.
bool may_be_running(const Compute& compute, const BrokerRegistration& broker) {
  if (!session_valid(compute, broker.id)) return false;
  if (compute.sessions.at(broker.id).heard) return true;
  return !broker.fenced && broker.id != compute.settings.node_id;
}

struct RegistrationChange {
  std::int8_t fenced = 0;
  bool controlled_shutdown = false;
  std::vector<Uuid> log_dirs;
  std::optional<std::vector<Uuid>> cordoned;
};

// Written in the lowest version that holds the fields.
Record registration_change(const BrokerRegistration& broker, const RegistrationChange& change) {
  messages::BrokerRegistrationChangeRecord record;
  record.broker_id = broker.id;
  record.broker_epoch = broker.epoch;
  record.fenced = change.fenced;
  std::int16_t version = 0;
  if (change.controlled_shutdown) {
    record.in_controlled_shutdown = 1;
    version = 1;
  }
  if (!change.log_dirs.empty()) {
    record.log_dirs = change.log_dirs;
    version = 2;
  }
  if (change.cordoned) {
    record.cordoned_log_dirs = change.cordoned;
    version = 3;
  }
  return {std::move(record), version};
}

// ---- Registration

ErrorCode check_log_dirs(const Compute& compute, std::int32_t id, const std::vector<Uuid>& log_dirs) {
  if (!compute.version().directory_assignment()) return ErrorCode::none;
  if (log_dirs.empty()) return ErrorCode::invalid_registration;
  const std::set<Uuid> distinct(log_dirs.begin(), log_dirs.end());
  if (distinct.size() != log_dirs.size()) return ErrorCode::invalid_registration;
  constexpr std::uint64_t kReserved = 100;
  for (const Uuid& directory : distinct) {
    if (directory.high == 0 && directory.low < kReserved) return ErrorCode::invalid_registration;
  }
  for (const auto& [other, broker] : compute.image.cluster.brokers) {
    if (other == id) continue;
    for (const Uuid& directory : broker->directories) {
      if (distinct.contains(directory)) return ErrorCode::invalid_registration;
    }
  }
  return ErrorCode::none;
}

// Every finalized feature must lie in the broker's range; one that it does not list has the range 0..0.
ErrorCode check_features(const Compute& compute, const metadata::FeatureRanges& ranges) {
  if (!ranges.contains(metadata::kMetadataVersionFeature)) return ErrorCode::invalid_registration;
  const auto supports = [&ranges](std::string_view name, std::int16_t level) {
    const auto range = ranges.find(name);
    return (range == ranges.end() ? metadata::VersionRange{} : range->second).contains(level);
  };
  const bool all = std::all_of(compute.image.features.begin(), compute.image.features.end(),
                               [&](const auto& feature) { return supports(feature.first, feature.second); });
  // The quorum's own feature is known from its control records.
  if (!all || !supports(metadata::kKRaftVersionFeature, compute.image.provenance.kraft_version))
    return ErrorCode::unsupported_version;
  return ErrorCode::none;
}

ErrorCode check_registration(const Compute& compute, const protocol::BrokerRegistrationRequest& request,
                             const BrokerRegistration* existing, const metadata::FeatureRanges& ranges) {
  if (request.cluster_id != compute.settings.cluster_id) return ErrorCode::inconsistent_cluster_id;
  if (request.is_migrating_zk_broker) return ErrorCode::broker_id_not_registered;
  if (request.broker_id < 0) return ErrorCode::invalid_registration;
  if (existing != nullptr && existing->incarnation_id != request.incarnation_id && may_be_running(compute, *existing)) {
    return ErrorCode::duplicate_broker_registration;
  }
  const ErrorCode directories = check_log_dirs(compute, request.broker_id, request.log_dirs);
  if (directories != ErrorCode::none) return directories;
  return check_features(compute, ranges);
}

template <typename Request>
metadata::FeatureRanges ranges_of(const Request& request) {
  metadata::FeatureRanges ranges;
  for (const auto& feature : request.features) {
    ranges.insert_or_assign(feature.name,
                            metadata::VersionRange{feature.min_supported_version, feature.max_supported_version});
  }
  return ranges;
}

template <typename Request>
std::vector<metadata::ListenerEndpoint> listeners_of(const Request& request) {
  std::vector<metadata::ListenerEndpoint> listeners;
  listeners.reserve(request.listeners.size());
  for (const auto& listener : request.listeners) {
    listeners.push_back({listener.name, listener.host, listener.port, listener.security_protocol});
  }
  return listeners;
}

// ---- Heartbeats

enum class BrokerState { fenced, unfenced, controlled_shutdown, shutdown_now };

BrokerState state_of(const BrokerRegistration& broker) {
  if (broker.fenced) return BrokerState::fenced;
  return broker.in_controlled_shutdown ? BrokerState::controlled_shutdown : BrokerState::unfenced;
}

// The lowest offset that any active broker has published; the largest number if none is active.
std::int64_t lowest_active_offset(const Compute& compute) {
  std::int64_t lowest = std::numeric_limits<std::int64_t>::max();
  for (const auto& [id, broker] : compute.image.cluster.brokers) {
    if (!broker->active()) continue;
    const auto session = compute.sessions.find(id);
    lowest = std::min(lowest, session == compute.sessions.end() ? std::int64_t{-1} : session->second.metadata_offset);
  }
  return lowest;
}

// The broker has published its own registration.
bool is_caught_up(const Compute& compute, const BrokerRegistration& broker,
                  const protocol::BrokerHeartbeatRequest& request) {
  const auto session = compute.sessions.find(broker.id);
  const std::int64_t registered_at = session == compute.sessions.end() ? -1 : session->second.registered_at;
  return request.current_metadata_offset >= std::max(broker.epoch, registered_at);
}

BrokerState next_state(const Compute& compute, const BrokerRegistration& broker,
                       const protocol::BrokerHeartbeatRequest& request) {
  switch (state_of(broker)) {
    case BrokerState::fenced:
      if (request.want_shut_down) return BrokerState::shutdown_now;
      if (!request.want_fence && is_caught_up(compute, broker, request)) return BrokerState::unfenced;
      return BrokerState::fenced;
    case BrokerState::unfenced:
      if (request.want_fence) return request.want_shut_down ? BrokerState::shutdown_now : BrokerState::fenced;
      if (!request.want_shut_down) return BrokerState::unfenced;
      return has_leaderships(compute.image, broker.id) ? BrokerState::controlled_shutdown : BrokerState::shutdown_now;
    case BrokerState::controlled_shutdown: {
      if (has_leaderships(compute.image, broker.id)) return BrokerState::controlled_shutdown;
      const auto session = compute.sessions.find(broker.id);
      const std::int64_t offset = session == compute.sessions.end() ? -1 : session->second.controlled_shutdown_offset;
      return offset <= lowest_active_offset(compute) ? BrokerState::shutdown_now : BrokerState::controlled_shutdown;
    }
    case BrokerState::shutdown_now: break;
  }
  return BrokerState::shutdown_now;
}

// Offline and cordoned directories that the heartbeat tells of.
void note_directories(const Compute& compute, const BrokerRegistration& broker,
                      const protocol::BrokerHeartbeatRequest& request, Records& records) {
  std::vector<Uuid> offline;
  std::vector<Uuid> online;
  for (const Uuid& directory : broker.directories) {
    const bool failed = std::find(request.offline_log_dirs.begin(), request.offline_log_dirs.end(), directory) !=
                        request.offline_log_dirs.end();
    (failed ? offline : online).push_back(directory);
  }
  if (!offline.empty() && !online.empty()) {
    records.push_back(registration_change(broker, {.log_dirs = online, .cordoned = std::nullopt}));
    BrokerShift shift;
    shift.leaving_directories_of = broker.id;
    shift.offline_directories = std::move(offline);
    update_leaders(compute, shift, records);
  }
  if (request.cordoned_log_dirs && compute.version().cordoned_directories() &&
      request.cordoned_log_dirs != broker.cordoned_directories) {
    records.push_back(registration_change(broker, {.log_dirs = {}, .cordoned = request.cordoned_log_dirs}));
  }
}

}  // namespace

Decision<protocol::BrokerRegistrationResponse> register_broker(const Compute& compute,
                                                               const protocol::BrokerRegistrationRequest& request) {
  Decision<protocol::BrokerRegistrationResponse> decision;
  const BrokerRegistration* existing = compute.broker(request.broker_id);
  const metadata::FeatureRanges ranges = ranges_of(request);
  const ErrorCode error = check_registration(compute, request, existing, ranges);
  if (error != ErrorCode::none) {
    decision.response.error_code = protocol::to_wire(error);
    return decision;
  }
  const bool same_incarnation = existing != nullptr && existing->incarnation_id == request.incarnation_id;
  BrokerRegistration broker;
  broker.id = request.broker_id;
  broker.incarnation_id = request.incarnation_id;
  broker.epoch = same_incarnation ? existing->epoch : compute.next_offset;
  broker.listeners = listeners_of(request);
  broker.features = ranges;
  broker.rack = request.rack;
  broker.fenced = same_incarnation ? existing->fenced : true;
  broker.in_controlled_shutdown = same_incarnation && existing->in_controlled_shutdown;
  broker.directories = request.log_dirs;
  std::sort(broker.directories.begin(), broker.directories.end());
  if (same_incarnation) broker.cordoned_directories = existing->cordoned_directories;
  decision.records.push_back(metadata::broker_record(broker, compute.version()));
  if (!same_incarnation) {
    // Also one that is not known, or not any more: partitions may still count on what it had.
    const bool clean = existing != nullptr && request.previous_broker_epoch == existing->epoch;
    BrokerShift shift;
    shift.leaving = request.broker_id;
    shift.unclean_stop = compute.image.elr_enabled() && !clean;
    shift.directories = request.log_dirs;
    update_leaders(compute, shift, decision.records);
  }
  decision.atomic = decision.records.size() <= kMaxRecordsPerRequest;
  decision.response.broker_epoch = broker.epoch;
  return decision;
}

HeartbeatDecision broker_heartbeat(const Compute& compute, const protocol::BrokerHeartbeatRequest& request) {
  HeartbeatDecision decision;
  if (const Fault fault = check_broker_epoch(compute, request.broker_id, request.broker_epoch)) {
    decision.response.error_code = protocol::to_wire(fault.code);
    return decision;
  }
  const BrokerRegistration& broker = *compute.broker(request.broker_id);
  const BrokerState current = state_of(broker);
  const BrokerState next = next_state(compute, broker, request);
  if (next != current) {
    BrokerShift shift;
    switch (next) {
      case BrokerState::fenced:
      case BrokerState::shutdown_now: fence_broker(compute, broker.id, decision.records); break;
      case BrokerState::unfenced:
        decision.records.push_back(
            registration_change(broker, {.fenced = -1, .log_dirs = {}, .cordoned = std::nullopt}));
        shift.arriving = broker.id;
        update_leaders(compute, shift, decision.records);
        break;
      case BrokerState::controlled_shutdown:
        decision.records.push_back(
            registration_change(broker, {.controlled_shutdown = true, .log_dirs = {}, .cordoned = std::nullopt}));
        shift.leaving = broker.id;
        update_leaders(compute, shift, decision.records);
        decision.begins_controlled_shutdown = true;
        break;
    }
  }
  note_directories(compute, broker, request, decision.records);
  decision.atomic = false;
  decision.touch = true;
  decision.response.is_caught_up = is_caught_up(compute, broker, request);
  decision.response.is_fenced = next == BrokerState::fenced || next == BrokerState::shutdown_now;
  decision.response.should_shut_down = next == BrokerState::shutdown_now;
  return decision;
}

void fence_broker(const Compute& compute, std::int32_t id, Records& records) {
  BrokerShift shift;
  shift.leaving = id;
  update_leaders(compute, shift, records);
  records.push_back(registration_change(*compute.broker(id), {.fenced = 1, .log_dirs = {}, .cordoned = std::nullopt}));
}

Decision<protocol::UnregisterBrokerResponse> unregister_broker(const Compute& compute,
                                                               const protocol::UnregisterBrokerRequest& request) {
  Decision<protocol::UnregisterBrokerResponse> decision;
  decision.response.error_message = "";  // as Kafka says it, which here is not null
  const BrokerRegistration* broker = compute.broker(request.broker_id);
  if (broker == nullptr) {
    set_fault(decision.response, {ErrorCode::broker_id_not_registered,
                                  fmt::format("Broker ID {} is not currently registered", request.broker_id)});
    return decision;
  }
  BrokerShift shift;
  shift.leaving = request.broker_id;
  update_leaders(compute, shift, decision.records);
  messages::UnregisterBrokerRecord record;
  record.broker_id = broker->id;
  record.broker_epoch = broker->epoch;
  decision.records.push_back({std::move(record), 0});
  decision.atomic = decision.records.size() <= kMaxRecordsPerRequest;
  return decision;
}

Decision<protocol::ControllerRegistrationResponse> register_controller(
    const Compute& compute, const protocol::ControllerRegistrationRequest& request) {
  Decision<protocol::ControllerRegistrationResponse> decision;
  decision.response.error_message = "";  // as Kafka says it, which here is not null
  if (!compute.version().controller_registration()) {
    set_fault(decision.response, {ErrorCode::unsupported_version,
                                  "The current metadata.version does not support controller registrations."});
    return decision;
  }
  metadata::ControllerRegistration controller;
  controller.id = request.controller_id;
  controller.incarnation_id = request.incarnation_id;
  controller.zk_migration_ready = request.zk_migration_ready;
  controller.listeners = listeners_of(request);
  controller.features = ranges_of(request);
  const metadata::ControllerRef* existing = compute.image.cluster.controllers.find(request.controller_id);
  if (existing != nullptr && **existing == controller) return decision;
  decision.records.push_back(metadata::controller_record(controller));
  return decision;
}

std::optional<std::int32_t> expired_broker(const Compute& compute) {
  for (const auto& [id, broker] : compute.image.cluster.brokers) {
    if (!broker->fenced && !session_valid(compute, id)) return id;
  }
  return std::nullopt;
}

Instant next_expiry(const Compute& compute) {
  Instant earliest = Instant::never();
  for (const auto& [id, session] : compute.sessions) {
    const BrokerRegistration* broker = compute.broker(id);
    if (broker == nullptr || broker->fenced) continue;
    earliest = std::min(earliest, session.last_contact + milliseconds(compute.settings.session_timeout_ms));
  }
  return earliest;
}

}  // namespace klamm::controller
