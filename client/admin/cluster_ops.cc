// The cluster and its nodes: describe, API versions, log directories, quorum, features, transactions.
#include <limits>

#include "client/admin/admin_core.h"
#include "protocol/messages/add_raft_voter_request.h"
#include "protocol/messages/add_raft_voter_response.h"
#include "protocol/messages/describe_cluster_request.h"
#include "protocol/messages/describe_cluster_response.h"
#include "protocol/messages/describe_log_dirs_request.h"
#include "protocol/messages/describe_log_dirs_response.h"
#include "protocol/messages/describe_quorum_request.h"
#include "protocol/messages/describe_quorum_response.h"
#include "protocol/messages/list_transactions_request.h"
#include "protocol/messages/list_transactions_response.h"
#include "protocol/messages/remove_raft_voter_request.h"
#include "protocol/messages/remove_raft_voter_response.h"
#include "protocol/messages/unregister_broker_request.h"
#include "protocol/messages/unregister_broker_response.h"
#include "protocol/messages/update_features_request.h"
#include "protocol/messages/update_features_response.h"

namespace klamm::client {

io::Task<Result<DescribeCluster::Outcome>> AdminCore::run(DescribeCluster operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DescribeCluster");
  protocol::DescribeClusterRequest request;
  request.include_cluster_authorized_operations = operation.authorized_operations;
  request.include_fenced_brokers = operation.fenced_brokers;
  request.endpoint_type = settings_.to_controllers ? 2 : 1;
  rpc::VersionBounds bounds;
  bounds.lowest = operation.fenced_brokers ? 2 : settings_.to_controllers ? 1 : 0;
  Result<protocol::DescribeClusterResponse> response = co_await ask(any_node(), std::move(request), patience, bounds);
  KLAMM_CO_TRY(response);
  const ErrorCode code = protocol::error_code_from(response->error_code);
  if (code != ErrorCode::none) co_return fail(item_error(code, "cluster", response->error_message));
  ClusterDescription description;
  description.cluster_id = response->cluster_id;
  description.controller_id = response->controller_id;
  for (const auto& broker : response->brokers) {
    description.nodes.push_back({broker.broker_id, broker.host, broker.port, broker.rack, broker.is_fenced});
  }
  std::sort(description.nodes.begin(), description.nodes.end(),
            [](const Node& left, const Node& right) { return left.id < right.id; });
  if (response->cluster_authorized_operations != std::numeric_limits<std::int32_t>::min()) {
    description.authorized_operations = response->cluster_authorized_operations;
  }
  co_return description;
}

io::Task<Result<DescribeApiVersions::Outcome>> AdminCore::run(DescribeApiVersions operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DescribeApiVersions");
  Result<std::vector<BrokerNumber>> ids = co_await broker_ids(patience);
  KLAMM_CO_TRY(ids);
  DescribeApiVersions::Outcome outcome;
  const auto ask_one = [&](BrokerNumber id, Patience own) -> io::Task<void> {
    // What every connection learns when it is made.
    Result<ConnectionRef> connection = co_await reach(node(id), own);
    if (!connection) {
      outcome.insert_or_assign(id, fail(std::move(connection).error()));
      co_return;
    }
    BrokerApiVersions versions;
    const auto broker = cluster_.brokers().find(id);
    if (broker != cluster_.brokers().end()) {
      versions.node = {id, broker->second.endpoint.host, broker->second.endpoint.port, broker->second.rack, false};
    }
    for (const auto& api : (*connection)->apis()) versions.apis.push_back({api.key, api.lowest, api.highest});
    for (const auto& feature : (*connection)->supported_features()) {
      versions.supported_features[feature.name] = {feature.lowest, feature.highest};
    }
    for (const auto& feature : (*connection)->finalized_features())
      versions.finalized_features[feature.name] = feature.highest;
    versions.finalized_features_epoch = (*connection)->finalized_features_epoch();
    outcome.insert_or_assign(id, std::move(versions));
  };
  io::Gate asking(shard_);
  for (const BrokerNumber id : *ids) asking.spawn(ask_one(id, patience));
  co_await asking.close();
  co_return outcome;
}

namespace {
LogDirDescription log_dir(const protocol::DescribeLogDirsResponse::DescribeLogDirsResult& result) {
  LogDirDescription dir;
  dir.path = result.log_dir;
  const ErrorCode code = protocol::error_code_from(result.error_code);
  if (code != ErrorCode::none) dir.error = item_error(code, result.log_dir);
  dir.total_bytes = result.total_bytes;
  dir.usable_bytes = result.usable_bytes;
  dir.cordoned = result.is_cordoned;
  for (const auto& topic : result.topics) {
    for (const auto& one : topic.partitions) {
      dir.replicas.push_back(
          {{topic.name, one.partition_index}, one.partition_size, one.offset_lag, one.is_future_key});
    }
  }
  return dir;
}
}  // namespace

io::Task<Result<DescribeLogDirs::Outcome>> AdminCore::run(DescribeLogDirs operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DescribeLogDirs");
  std::vector<BrokerNumber> brokers = operation.brokers;
  Result<std::vector<BrokerNumber>> ids = co_await broker_ids(patience);
  KLAMM_CO_TRY(ids);
  if (brokers.empty()) brokers = *ids;
  DescribeLogDirs::Outcome outcome;
  const auto ask_one = [&](BrokerNumber broker, Patience own) -> io::Task<void> {
    protocol::DescribeLogDirsRequest request;
    request.topics.reset();
    if (operation.partitions) {
      request.topics.emplace();
      group_by_topic(
          *request.topics, *operation.partitions, [](auto& topic) -> std::string& { return topic.topic; },
          [](auto& topic, const TopicPartition& partition) { topic.partitions.push_back(partition.partition); });
    }
    Result<protocol::DescribeLogDirsResponse> response = co_await ask(node(broker), std::move(request), own);
    if (!response) {
      outcome.insert_or_assign(broker, fail(std::move(response).error()));
      co_return;
    }
    const ErrorCode code = protocol::error_code_from(response->error_code);
    if (code != ErrorCode::none) {
      outcome.insert_or_assign(broker, fail(item_error(code, "log directories of broker " + std::to_string(broker))));
      co_return;
    }
    std::vector<LogDirDescription> dirs;
    dirs.reserve(response->results.size());
    for (const auto& result : response->results) dirs.push_back(log_dir(result));
    outcome.insert_or_assign(broker, std::move(dirs));
  };
  io::Gate asking(shard_);
  for (const BrokerNumber broker : brokers) {
    if (std::find(ids->begin(), ids->end(), broker) != ids->end()) {
      asking.spawn(ask_one(broker, patience));
    } else {
      outcome.insert_or_assign(broker,
                               fail(Errc::not_found, "broker " + std::to_string(broker) + " is not in the cluster"));
    }
  }
  co_await asking.close();
  co_return outcome;
}

io::Task<Result<DescribeQuorum::Outcome>> AdminCore::run(DescribeQuorum operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DescribeQuorum");
  protocol::DescribeQuorumRequest request;
  auto& topic = request.topics.emplace_back();
  topic.topic_name = "__cluster_metadata";
  topic.partitions.emplace_back().partition_index = 0;
  const auto error_of = [](const protocol::DescribeQuorumResponse& answer) {
    const bool partition =
        answer.error_code == 0 && answer.topics.size() == 1 && answer.topics[0].partitions.size() == 1;
    return partition ? answer.topics[0].partitions[0].error_code : answer.error_code;
  };
  const rpc::VersionBounds bounds;
  Result<protocol::DescribeQuorumResponse> response =
      co_await ask_controller(std::move(request), patience, bounds, error_of);
  KLAMM_CO_TRY(response);
  const ErrorCode code = protocol::error_code_from(response->error_code);
  if (code != ErrorCode::none) co_return fail(item_error(code, "quorum", response->error_message));
  if (response->topics.size() != 1 || response->topics[0].partitions.size() != 1) {
    co_return fail(Errc::malformed, "DescribeQuorum response without __cluster_metadata-0");
  }
  const auto& partition = response->topics[0].partitions[0];
  const ErrorCode inner = protocol::error_code_from(partition.error_code);
  if (inner != ErrorCode::none) co_return fail(item_error(inner, "quorum", partition.error_message));
  QuorumDescription quorum;
  quorum.leader_id = partition.leader_id;
  quorum.leader_epoch = partition.leader_epoch;
  quorum.high_watermark = partition.high_watermark;
  const auto replica = [](const auto& from) {
    return QuorumReplica{from.replica_id, from.replica_directory_id, from.log_end_offset, from.last_fetch_timestamp,
                         from.last_caught_up_timestamp};
  };
  for (const auto& one : partition.current_voters) quorum.voters.push_back(replica(one));
  for (const auto& one : partition.observers) quorum.observers.push_back(replica(one));
  for (const auto& one : response->nodes) {
    QuorumNode& named = quorum.nodes.emplace_back();
    named.id = one.node_id;
    for (const auto& listener : one.listeners) named.listeners.push_back({listener.name, listener.host, listener.port});
  }
  co_return quorum;
}

io::Task<Result<AddRaftVoter::Outcome>> AdminCore::run(AddRaftVoter operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "AddRaftVoter");
  protocol::AddRaftVoterRequest request;
  request.cluster_id = operation.cluster_id;
  request.timeout_ms = patience.left_ms();
  request.voter_id = operation.id;
  request.voter_directory_id = operation.directory_id;
  for (const QuorumNode::Listener& endpoint : operation.endpoints) {
    auto& listener = request.listeners.emplace_back();
    listener.name = endpoint.name;
    listener.host = endpoint.host;
    listener.port = static_cast<std::uint16_t>(endpoint.port);
  }
  Result<protocol::AddRaftVoterResponse> response =
      co_await have_controller_do(std::move(request), patience, "adding a voter");
  KLAMM_CO_TRY(response);
  co_return AddRaftVoter::Done();
}

io::Task<Result<RemoveRaftVoter::Outcome>> AdminCore::run(RemoveRaftVoter operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "RemoveRaftVoter");
  protocol::RemoveRaftVoterRequest request;
  request.cluster_id = operation.cluster_id;
  request.voter_id = operation.id;
  request.voter_directory_id = operation.directory_id;
  Result<protocol::RemoveRaftVoterResponse> response =
      co_await have_controller_do(std::move(request), patience, "removing a voter");
  KLAMM_CO_TRY(response);
  co_return RemoveRaftVoter::Done();
}

io::Task<Result<UpdateFeatures::Outcome>> AdminCore::run(UpdateFeatures operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "UpdateFeatures");
  protocol::UpdateFeaturesRequest request;
  request.timeout_ms = patience.left_ms();
  request.validate_only = operation.validate_only;
  for (const auto& [name, update] : operation.updates) {
    auto& asked = request.feature_updates.emplace_back();
    asked.feature = name;
    asked.max_version_level = update.max_level;
    asked.upgrade_type = static_cast<std::int8_t>(update.kind);
  }
  rpc::VersionBounds bounds;
  bounds.lowest = 1;
  Result<protocol::UpdateFeaturesResponse> response =
      co_await have_controller_do(std::move(request), patience, "update of features", bounds);
  KLAMM_CO_TRY(response);
  UpdateFeatures::Outcome outcome;
  for (const auto& [name, update] : operation.updates) outcome[name] = Result<void>();
  for (const auto& result : response->results) {
    const ErrorCode one = protocol::error_code_from(result.error_code);
    if (one != ErrorCode::none)
      outcome[result.feature] = fail(item_error(one, "feature " + result.feature, result.error_message));
  }
  co_return outcome;
}

io::Task<Result<UnregisterBroker::Outcome>> AdminCore::run(UnregisterBroker operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "UnregisterBroker");
  protocol::UnregisterBrokerRequest request;
  request.broker_id = operation.broker_id;
  Result<protocol::UnregisterBrokerResponse> response = co_await have_controller_do(
      std::move(request), patience, "unregistering broker " + std::to_string(operation.broker_id));
  KLAMM_CO_TRY(response);
  co_return UnregisterBroker::Done();
}

io::Task<Result<ListTransactions::Outcome>> AdminCore::run(ListTransactions operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "ListTransactions");
  Result<std::vector<BrokerNumber>> ids = co_await broker_ids(patience);
  KLAMM_CO_TRY(ids);
  rpc::VersionBounds bounds;
  bounds.lowest = operation.id_pattern ? 2 : operation.longer_than >= 0ns ? 1 : 0;
  ListTransactions::Outcome transactions;
  for (const BrokerNumber id : *ids) {
    protocol::ListTransactionsRequest request;
    request.state_filters = operation.states;
    request.producer_id_filters = operation.producer_ids;
    if (operation.longer_than >= 0ns) {
      request.duration_filter = std::chrono::duration_cast<std::chrono::milliseconds>(operation.longer_than).count();
    }
    request.transactional_id_pattern = operation.id_pattern;
    Result<protocol::ListTransactionsResponse> response = co_await ask(node(id), std::move(request), patience, bounds);
    KLAMM_CO_TRY(response);
    const ErrorCode code = protocol::error_code_from(response->error_code);
    if (code != ErrorCode::none) co_return fail(item_error(code, "transactions of broker " + std::to_string(id)));
    for (const auto& one : response->transaction_states) {
      transactions.push_back({one.transactional_id, one.producer_id, one.transaction_state, id});
    }
  }
  co_return transactions;
}

}  // namespace klamm::client
