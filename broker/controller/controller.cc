#include "broker/controller/controller.h"

#include <algorithm>

#include "broker/controller/brokers.h"
#include "broker/controller/cluster.h"
#include "broker/controller/configs.h"
#include "broker/controller/features.h"
#include "broker/controller/partitions.h"
#include "broker/controller/producer_ids.h"
#include "broker/controller/reassignments.h"
#include "broker/controller/runtime.h"
#include "broker/controller/topics.h"

namespace klamm::controller {
namespace {

constexpr std::size_t kMostElectionsPerPass = 1000;

Settings settings_of(const ControllerOptions& options) {
  Settings settings;
  settings.node_id = options.node_id;
  settings.cluster_id = options.cluster_id;
  settings.file = options.file;
  settings.num_partitions = options.num_partitions;
  settings.default_replication_factor = options.default_replication_factor;
  settings.delete_topic_enable = options.delete_topic_enable;
  settings.session_timeout_ms = options.session_timeout_ms;
  return settings;
}

// Version 0 has no error of the whole: each partition gets it.
void spread_error(const protocol::ElectLeadersRequest& request, protocol::ElectLeadersResponse& response) {
  if (response.error_code == 0 || !request.topic_partitions) return;
  for (const auto& topic : *request.topic_partitions) {
    auto& answer = response.replica_election_results.emplace_back();
    answer.topic = topic.topic;
    for (const std::int32_t index : topic.partitions) {
      auto& result = answer.partition_result.emplace_back();
      result.partition_id = index;
      set_fault(result, {protocol::error_code_from(response.error_code), ""});
    }
  }
  response.error_code = 0;
}

}  // namespace

ControllerOptions controller_options(const config::BrokerConfig& file) {
  const ConfigValues& values = file.values();
  ControllerOptions options;
  options.node_id = file.node_id();
  options.file = &file;
  for (const config::Endpoint& endpoint : file.advertised_controller_listeners()) {
    options.listeners.push_back(
        {endpoint.listener, endpoint.host, endpoint.port, static_cast<std::int16_t>(endpoint.protocol)});
  }
  options.num_partitions = file.num_partitions();
  options.default_replication_factor = static_cast<std::int16_t>(file.default_replication_factor());
  options.delete_topic_enable = file.delete_topics();
  options.session_timeout_ms = values.get_int("broker.session.timeout.ms");
  options.max_idle_interval_ms = values.get_int("metadata.max.idle.interval.ms");
  options.leader_rebalance_enable = values.get_bool("auto.leader.rebalance.enable");
  options.leader_rebalance_check_ms = values.get_long("leader.imbalance.check.interval.seconds") * 1000;
  options.unclean_election_check_ms = values.get_long("unclean.leader.election.interval.ms");
  return options;
}

class Controller::Impl {
 public:
  Impl(io::Shard& shard, raft::RaftNode& raft, metadata::Loader& loader, ControllerOptions options, Logger logger)
      : shard_(shard),
        raft_(raft),
        loader_(loader),
        options_(std::move(options)),
        logger_(std::move(logger)),
        runtime_(shard, raft, loader, settings_of(options_), logger_),
        changed_(shard),
        background_(shard) {}

  void start() {
    loader_.set_observer(
        {.image_changed = {}, .leader_changed = [this](raft::LeaderAndEpoch leader) { leader_changed(leader); }});
    leader_changed(loader_.leader());
    background_.spawn(periodic());
  }

  io::Task<void> stop() {
    stopping_ = true;
    loader_.set_observer({});
    runtime_.renounce();
    changed_.notify_all();
    co_await background_.close();
  }

  io::Task<bool> wait_active(Instant deadline) {
    while (!runtime_.active()) {
      if (stopping_) co_return false;
      const bool notified = co_await changed_.wait_until(deadline);
      if (!notified) co_return false;
    }
    co_return true;
  }

  // Answers a request by a function of the state alone; `more`: what that takes besides.
  template <typename Request, typename Response, typename... More>
  io::Task<Response> decide(Request request, Instant deadline,
                            Decision<Response> (*decider)(const Compute&, const Request&, More...),
                            std::type_identity_t<More>... more) {
    Response response = co_await runtime_.run(
        request, deadline, [&](const Compute& compute) { return decider(compute, request, more...); });
    co_return response;
  }

  // Appends what a periodic duty came to.
  void append(const Records& records) {
    const Fault fault = runtime_.append(records, false);
    if (fault) logger_.warning("a periodic duty of the controller was not done: {}", fault.message);
  }

  io::Shard& shard_;
  raft::RaftNode& raft_;
  metadata::Loader& loader_;
  ControllerOptions options_;
  Logger logger_;
  Runtime runtime_;

 private:
  void leader_changed(raft::LeaderAndEpoch leader) {
    if (stopping_) return;
    if (leader.leader_id != options_.node_id) {
      if (runtime_.active()) runtime_.renounce();
    } else {
      activate(leader.epoch);
    }
    changed_.notify_all();
  }

  void activate(std::int32_t epoch) {
    runtime_.claim(epoch);
    Records records;
    if (loader_.in_transaction()) {
      messages::AbortTransactionRecord abort;
      abort.reason = "leader election";
      records.push_back({std::move(abort), 0});
    }
    if (!runtime_.image()->metadata_version()) {
      logger_.info("the metadata log is empty: writing the bootstrap records");
      const Records transaction = bootstrap_transaction(bootstrap_records(), options_.file);
      records.insert(records.end(), transaction.begin(), transaction.end());
    }
    if (const Fault fault = runtime_.append(records, true)) {
      logger_.error("the controller cannot begin: {}", fault.message);
      return;
    }
    register_self();
    const Instant now = shard_.now();
    next_balance_ = now + milliseconds(options_.leader_rebalance_check_ms);
    next_sweep_ = now + milliseconds(options_.unclean_election_check_ms);
    logger_.info("active controller in epoch {}", epoch);
  }

  Records bootstrap_records() const {
    if (!options_.bootstrap_records.empty()) return options_.bootstrap_records;
    const MetadataVersion version;
    return feature_records(version, metadata::served_features(version));
  }

  // The active controller registers itself; others would send the request.
  void register_self() {
    protocol::ControllerRegistrationRequest request;
    request.controller_id = options_.node_id;
    request.incarnation_id = options_.incarnation_id;
    for (const metadata::ListenerEndpoint& endpoint : options_.listeners) {
      auto& listener = request.listeners.emplace_back();
      listener.name = endpoint.name;
      listener.host = endpoint.host;
      listener.port = endpoint.port;
      listener.security_protocol = endpoint.security_protocol;
    }
    for (const auto& [name, range] : metadata::supported_features()) {
      auto& feature = request.features.emplace_back();
      feature.name = name;
      feature.min_supported_version = range.min;
      feature.max_supported_version = range.max;
    }
    append(controller::register_controller(runtime_.view(), request).records);
  }

  io::Task<void> periodic() {
    while (!stopping_) {
      if (runtime_.active()) do_periodic_work();
      const bool notified = co_await changed_.wait_until(next_wake());
      static_cast<void>(notified);
    }
  }

  Instant next_wake() {
    if (!runtime_.active()) return Instant::never();
    // Brokers that register meanwhile have at least a whole session.
    const Instant session_from_now = shard_.now() + milliseconds(options_.session_timeout_ms);
    Instant wake = std::min(next_expiry(runtime_.view()), session_from_now);
    if (options_.max_idle_interval_ms > 0)
      wake = std::min(wake, runtime_.last_append() + milliseconds(options_.max_idle_interval_ms));
    if (options_.leader_rebalance_enable) wake = std::min(wake, next_balance_);
    return std::min(wake, next_sweep_);
  }

  void do_periodic_work() {
    const Instant now = shard_.now();
    if (const std::optional<std::int32_t> expired = expired_broker(runtime_.view())) {
      logger_.warning("broker {} did not send a heartbeat for {} ms: it is fenced", *expired,
                      options_.session_timeout_ms);
      Records records;
      fence_broker(runtime_.view(), *expired, records);
      append(records);
    }
    if (runtime_.active() && options_.leader_rebalance_enable && now >= next_balance_) {
      next_balance_ = now + milliseconds(options_.leader_rebalance_check_ms);
      Records records;
      balance_leaders(runtime_.view(), kMostElectionsPerPass, records);
      append(records);
    }
    if (runtime_.active() && now >= next_sweep_) {
      next_sweep_ = now + milliseconds(options_.unclean_election_check_ms);
      Records records;
      sweep_unclean_elections(runtime_.view(), kMostElectionsPerPass, records);
      append(records);
    }
    const bool idle = options_.max_idle_interval_ms > 0 &&
                      now >= runtime_.last_append() + milliseconds(options_.max_idle_interval_ms);
    if (runtime_.active() && idle) {
      Records records;
      records.push_back({messages::NoOpRecord(), 0});
      append(records);
    }
  }

  io::Signal changed_;
  io::Gate background_;
  bool stopping_ = false;
  Instant next_balance_ = Instant::never();
  Instant next_sweep_ = Instant::never();
};

Controller::Controller(io::Shard& shard, raft::RaftNode& raft, metadata::Loader& loader, ControllerOptions options,
                       Logger logger)
    : impl_(std::make_unique<Impl>(shard, raft, loader, std::move(options), std::move(logger))) {}
Controller::~Controller() = default;

io::Shard& Controller::shard() const noexcept { return impl_->shard_; }
void Controller::start() { impl_->start(); }
io::Task<void> Controller::stop() { co_await impl_->stop(); }
bool Controller::active() const noexcept { return impl_->runtime_.active(); }
io::Task<bool> Controller::wait_active(Instant deadline) {
  const bool is_active = co_await impl_->wait_active(deadline);
  co_return is_active;
}

io::Task<protocol::CreateTopicsResponse> Controller::create_topics(const security::RequestContext& context,
                                                                   protocol::CreateTopicsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::create_topics);
}

io::Task<protocol::DeleteTopicsResponse> Controller::delete_topics(const security::RequestContext& context,
                                                                   protocol::DeleteTopicsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::delete_topics, context.api_version);
}

io::Task<protocol::CreatePartitionsResponse> Controller::create_partitions(const security::RequestContext& context,
                                                                           protocol::CreatePartitionsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::create_partitions);
}

io::Task<protocol::IncrementalAlterConfigsResponse> Controller::incremental_alter_configs(
    const security::RequestContext& context, protocol::IncrementalAlterConfigsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::incremental_alter_configs);
}

io::Task<protocol::AlterConfigsResponse> Controller::alter_configs(const security::RequestContext& context,
                                                                   protocol::AlterConfigsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::alter_configs);
}

io::Task<protocol::BrokerRegistrationResponse> Controller::register_broker(
    const security::RequestContext& context, protocol::BrokerRegistrationRequest request) {
  Runtime& runtime = impl_->runtime_;
  auto response = co_await runtime.run(request, context.deadline, [&](const Compute& compute) {
    auto decision = controller::register_broker(compute, request);
    const BrokerRegistration* existing = compute.broker(request.broker_id);
    const bool amended = existing != nullptr && existing->epoch == decision.response.broker_epoch;
    if (decision.records.empty()) return decision;
    BrokerSession& session = runtime.sessions()[request.broker_id];
    if (!amended) session = {.last_contact = compute.now};
    session.registered_at = compute.next_offset;
    return decision;
  });
  co_return response;
}

io::Task<protocol::BrokerHeartbeatResponse> Controller::broker_heartbeat(const security::RequestContext& context,
                                                                         protocol::BrokerHeartbeatRequest request) {
  Runtime& runtime = impl_->runtime_;
  auto response = co_await runtime.run(request, context.deadline, [&](const Compute& compute) {
    auto decision = controller::broker_heartbeat(compute, request);
    if (decision.touch) {
      BrokerSession& session = runtime.sessions()[request.broker_id];
      session.last_contact = compute.now;
      session.metadata_offset = std::max(session.metadata_offset, request.current_metadata_offset);
      session.heard = true;
      if (decision.begins_controlled_shutdown) {
        session.controlled_shutdown_offset =
            compute.next_offset + static_cast<std::int64_t>(decision.records.size()) - 1;
      }
    }
    return decision;
  });
  co_return response;
}

io::Task<protocol::UnregisterBrokerResponse> Controller::unregister_broker(const security::RequestContext& context,
                                                                           protocol::UnregisterBrokerRequest request) {
  auto response = co_await impl_->runtime_.run(request, context.deadline, [&](const Compute& compute) {
    auto decision = controller::unregister_broker(compute, request);
    if (!decision.records.empty()) impl_->runtime_.sessions().erase(request.broker_id);
    return decision;
  });
  co_return response;
}

io::Task<protocol::ControllerRegistrationResponse> Controller::register_controller(
    const security::RequestContext& context, protocol::ControllerRegistrationRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::register_controller);
}

io::Task<protocol::AllocateProducerIdsResponse> Controller::allocate_producer_ids(
    const security::RequestContext& context, protocol::AllocateProducerIdsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::allocate_producer_ids);
}

io::Task<protocol::AssignReplicasToDirsResponse> Controller::assign_replicas_to_dirs(
    const security::RequestContext& context, protocol::AssignReplicasToDirsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::assign_replicas_to_dirs);
}

io::Task<protocol::AlterPartitionResponse> Controller::alter_partition(const security::RequestContext& context,
                                                                       protocol::AlterPartitionRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::alter_partition, context.api_version);
}

io::Task<protocol::ElectLeadersResponse> Controller::elect_leaders(const security::RequestContext& context,
                                                                   protocol::ElectLeadersRequest request) {
  auto response = co_await impl_->runtime_.run(request, context.deadline, [&](const Compute& compute) {
    return controller::elect_leaders(compute, request, context.api_version);
  });
  if (context.api_version == 0) spread_error(request, response);
  co_return response;
}

io::Task<protocol::AlterPartitionReassignmentsResponse> Controller::alter_partition_reassignments(
    const security::RequestContext& context, protocol::AlterPartitionReassignmentsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::alter_partition_reassignments);
}

io::Task<protocol::ListPartitionReassignmentsResponse> Controller::list_partition_reassignments(
    const security::RequestContext& context, protocol::ListPartitionReassignmentsRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::list_partition_reassignments);
}

io::Task<protocol::UpdateFeaturesResponse> Controller::update_features(const security::RequestContext& context,
                                                                       protocol::UpdateFeaturesRequest request) {
  return impl_->decide(std::move(request), context.deadline, controller::update_features, context.api_version);
}

io::Task<protocol::DescribeQuorumResponse> Controller::describe_quorum(const security::RequestContext& context,
                                                                       protocol::DescribeQuorumRequest request) {
  co_return controller::describe_quorum(impl_->raft_.describe(), request, raft_leads(), context.api_version);
}

bool Controller::raft_leads() const { return impl_->raft_.leads(impl_->raft_.leader().epoch); }

}  // namespace klamm::controller
