#include "broker/handler/dispatch.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "broker/handler/handlers.h"
#include "protocol/message/api.h"

namespace klamm::handler {
namespace {

using protocol::ApiKey;

constexpr Served kServed[] = {
    {ApiKey::produce, &produce},
    {ApiKey::fetch, &fetch},
    {ApiKey::list_offsets, &list_offsets},
    {ApiKey::metadata, &metadata},
    {ApiKey::find_coordinator, &find_coordinator},
    {ApiKey::api_versions, &api_versions},
    {ApiKey::create_topics, &create_topics},
    {ApiKey::delete_topics, &delete_topics},
    {ApiKey::delete_records, &delete_records},
    {ApiKey::init_producer_id, &init_producer_id},
    {ApiKey::offset_for_leader_epoch, &offset_for_leader_epoch},
    {ApiKey::write_txn_markers, &write_txn_markers},
    {ApiKey::describe_configs, &describe_configs},
    {ApiKey::alter_configs, &alter_configs},
    {ApiKey::alter_replica_log_dirs, &alter_replica_log_dirs},
    {ApiKey::describe_log_dirs, &describe_log_dirs},
    {ApiKey::create_partitions, &create_partitions},
    {ApiKey::elect_leaders, &elect_leaders},
    {ApiKey::incremental_alter_configs, &incremental_alter_configs},
    {ApiKey::alter_partition_reassignments, &alter_partition_reassignments},
    {ApiKey::list_partition_reassignments, &list_partition_reassignments},
    {ApiKey::describe_quorum, &describe_quorum},
    {ApiKey::update_features, &update_features},
    {ApiKey::describe_cluster, &describe_cluster},
    {ApiKey::describe_producers, &describe_producers},
    {ApiKey::unregister_broker, &unregister_broker},
    {ApiKey::describe_transactions, &describe_transactions},
    {ApiKey::list_transactions, &list_transactions},
    {ApiKey::list_config_resources, &list_config_resources},
    {ApiKey::describe_topic_partitions, &describe_topic_partitions},
    {ApiKey::add_raft_voter, &add_raft_voter},
    {ApiKey::remove_raft_voter, &remove_raft_voter},
};

// Those of the controller; served_raft_apis() has the rest.
constexpr ControllerServed kControllerServed[] = {
    {ApiKey::api_versions, &api_versions},
    {ApiKey::create_topics, &create_topics},
    {ApiKey::delete_topics, &delete_topics},
    {ApiKey::describe_configs, &describe_configs},
    {ApiKey::alter_configs, &alter_configs},
    {ApiKey::create_partitions, &create_partitions},
    {ApiKey::elect_leaders, &elect_leaders},
    {ApiKey::incremental_alter_configs, &incremental_alter_configs},
    {ApiKey::alter_partition_reassignments, &alter_partition_reassignments},
    {ApiKey::list_partition_reassignments, &list_partition_reassignments},
    {ApiKey::describe_quorum, &describe_quorum},
    {ApiKey::alter_partition, &alter_partition},
    {ApiKey::update_features, &update_features},
    {ApiKey::envelope, &envelope},
    {ApiKey::describe_cluster, &describe_cluster},
    {ApiKey::broker_registration, &broker_registration},
    {ApiKey::broker_heartbeat, &broker_heartbeat},
    {ApiKey::unregister_broker, &unregister_broker},
    {ApiKey::allocate_producer_ids, &allocate_producer_ids},
    {ApiKey::controller_registration, &controller_registration},
    {ApiKey::assign_replicas_to_dirs, &assign_replicas_to_dirs},
};

std::vector<ControllerServed> all_controller_rows() {
  std::vector<ControllerServed> rows(std::begin(kControllerServed), std::end(kControllerServed));
  const std::span<const ControllerServed> raft = served_raft_apis();
  rows.insert(rows.end(), raft.begin(), raft.end());
  std::sort(rows.begin(), rows.end(), [](const auto& left, const auto& right) { return left.key < right.key; });
  return rows;
}

template <typename CallType>
const Row<CallType>* find_row(std::span<const Row<CallType>> rows, std::int16_t key) {
  const auto found = std::lower_bound(rows.begin(), rows.end(), key, [](const Row<CallType>& row, std::int16_t wanted) {
    return static_cast<std::int16_t>(row.key) < wanted;
  });
  return found != rows.end() && static_cast<std::int16_t>(found->key) == key ? &*found : nullptr;
}

template <typename CallType>
std::string why_not(std::span<const Row<CallType>> rows, const protocol::RequestHeader& header) {
  const std::int16_t key = header.request_api_key;
  std::string why = std::string(protocol::name(static_cast<ApiKey>(key))) + " (API key " + std::to_string(key) +
                    ") version " + std::to_string(header.request_api_version) + ", asked for by client '" +
                    header.client_id.value_or("") + "', is not served";
  if (find_row(rows, key) != nullptr) {
    const protocol::ApiInfo& api = protocol::api_info(static_cast<ApiKey>(key));
    why += ": versions " + std::to_string(api.min_version) + " to " + std::to_string(api.max_stable_version) + " are";
  }
  return why;
}

bool serves_version(ApiKey key, std::int16_t version) {
  const protocol::ApiInfo& api = protocol::api_info(key);
  return version >= api.min_version && version <= api.max_stable_version;
}

template <typename CallType, typename ServicesType>
io::Task<Reply> dispatch_by(std::span<const Row<CallType>> rows, ServicesType& services, Slice frame,
                            const security::RequestContext& connection, std::function<void()> enqueued,
                            Hangup& hangup) {
  wire::Reader reader(std::move(frame));
  Result<protocol::RequestHeader> header = protocol::read_request_header(reader);
  if (!header) co_return Reply::close(header.error().message());
  const std::int16_t version = header->request_api_version;
  const Row<CallType>* row = find_row(rows, header->request_api_key);
  if (row == nullptr) co_return Reply::close(why_not(rows, *header));
  if (!serves_version(row->key, version) && row->key != ApiKey::api_versions) {
    co_return Reply::close(why_not(rows, *header));
  }
  security::RequestContext context = connection;
  context.client_id = header->client_id.value_or("");
  context.api_version = version;
  CallType call{{header->request_api_key, header->correlation_id, version, context, std::move(enqueued), hangup},
                services};
  Reply reply = co_await row->handler(call, reader.read_rest());
  co_return reply;
}

}  // namespace

std::span<const Served> served_apis() { return kServed; }

std::span<const ControllerServed> controller_apis() {
  static const std::vector<ControllerServed> rows = all_controller_rows();
  return rows;
}

std::string why_not_served(const protocol::RequestHeader& header) { return why_not(served_apis(), header); }

io::Task<Reply> dispatch(Services& services, Slice frame, const security::RequestContext& connection,
                         std::function<void()> enqueued, Hangup& hangup) {
  return dispatch_by(served_apis(), services, std::move(frame), connection, std::move(enqueued), hangup);
}

io::Task<Reply> dispatch(ControllerServices& services, Slice frame, const security::RequestContext& connection,
                         std::function<void()> enqueued, Hangup& hangup) {
  return dispatch_by(controller_apis(), services, std::move(frame), connection, std::move(enqueued), hangup);
}

io::Task<Forwarded> serve_forwarded(ControllerServices& services, Slice request, security::RequestContext sender) {
  Forwarded result;
  wire::Reader reader(std::move(request));
  Result<protocol::RequestHeader> header = protocol::read_request_header(reader);
  if (!header) {
    result.fault = protocol::ErrorCode::unsupported_version;
    co_return result;
  }
  const ControllerServed* row = find_row(controller_apis(), header->request_api_key);
  if (row == nullptr || !protocol::api_info(row->key).forwarded) {
    result.fault = protocol::ErrorCode::invalid_request;
    co_return result;
  }
  const std::int16_t version = header->request_api_version;
  if (!serves_version(row->key, version)) {
    result.fault = protocol::ErrorCode::unsupported_version;
    co_return result;
  }
  sender.client_id = header->client_id.value_or("");
  sender.api_version = version;
  Hangup hangup;
  ControllerCall call{{header->request_api_key, header->correlation_id, version, sender, [] {}, hangup}, services};
  result.reply = co_await row->handler(call, reader.read_rest());
  if (call.not_controller) {
    result.fault = protocol::ErrorCode::not_controller;
  } else if (result.reply.kind != Reply::Kind::respond) {
    result.fault = protocol::ErrorCode::unsupported_version;  // its body does not decode
  }
  co_return result;
}

}  // namespace klamm::handler
