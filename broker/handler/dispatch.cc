#include "broker/handler/dispatch.h"

#include <algorithm>

#include "broker/handler/handlers.h"
#include "protocol/message/api.h"
#include "protocol/message/header.h"

namespace klamm::handler {
namespace {

using protocol::ApiKey;

constexpr Served kServed[] = {
    {ApiKey::produce, &produce},
    {ApiKey::fetch, &fetch},
    {ApiKey::list_offsets, &list_offsets},
    {ApiKey::metadata, &metadata},
    {ApiKey::api_versions, &api_versions},
    {ApiKey::create_topics, &create_topics},
    {ApiKey::delete_topics, &delete_topics},
    {ApiKey::delete_records, &delete_records},
    {ApiKey::init_producer_id, &init_producer_id},
    {ApiKey::offset_for_leader_epoch, &offset_for_leader_epoch},
    {ApiKey::describe_configs, &describe_configs},
    {ApiKey::alter_configs, &alter_configs},
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
};

const Served* find_served(std::int16_t key) {
  const Served* found = std::lower_bound(
      std::begin(kServed), std::end(kServed), key,
      [](const Served& served, std::int16_t wanted) { return static_cast<std::int16_t>(served.key) < wanted; });
  return found != std::end(kServed) && static_cast<std::int16_t>(found->key) == key ? found : nullptr;
}

std::string api_text(std::int16_t key, std::int16_t version) {
  return "API key " + std::to_string(key) + " version " + std::to_string(version);
}

}  // namespace

std::span<const Served> served_apis() { return kServed; }

io::Task<Reply> dispatch(Services& services, Slice frame, const security::RequestContext& connection,
                         std::function<void()> enqueued, Hangup& hangup) {
  wire::Reader reader(std::move(frame));
  Result<protocol::RequestHeader> header = protocol::read_request_header(reader);
  if (!header) co_return Reply::close(header.error().message());
  const std::int16_t version = header->request_api_version;
  const Served* served = find_served(header->request_api_key);
  if (served == nullptr) co_return Reply::close(api_text(header->request_api_key, version) + " is not served");
  const protocol::ApiInfo& api = protocol::api_info(served->key);
  const bool served_version = version >= api.min_version && version <= api.max_stable_version;
  if (!served_version && served->key != ApiKey::api_versions) {
    co_return Reply::close(api_text(header->request_api_key, version) + " is not served");
  }
  security::RequestContext context = connection;
  context.client_id = header->client_id.value_or("");
  context.api_version = version;
  Call call{header->request_api_key, header->correlation_id, version, context, services, std::move(enqueued), hangup};
  Reply reply = co_await served->handler(call, reader.read_rest());
  co_return reply;
}

}  // namespace klamm::handler
