// FindCoordinator: who leads the partition that a group, a transactional id or a share partition belongs to. klamm has
// no coordinators yet: it tells of those of the cluster's other brokers, and refuses what would fall to itself.
#include <charconv>

#include "base/java_hash.h"
#include "broker/handler/handlers.h"
#include "broker/handler/leader_hints.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/handler/topics_view.h"
#include "protocol/messages/find_coordinator_request.h"
#include "protocol/messages/find_coordinator_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

struct Kind {
  std::string_view what;
  std::string_view topic;
};
// By the key type of the request.
constexpr Kind kKinds[] = {
    {"group", kGroupTopic},
    {"transaction", kTransactionTopic},
    {"share", kShareTopic},
};
constexpr std::int8_t kShare = 2;
constexpr std::int16_t kFirstWithShare = 6;
constexpr std::int16_t kFirstWithKeys = 4;

struct Found {
  ErrorCode error = ErrorCode::none;
  std::string message;
  std::int32_t node = -1;
  std::string host;
  std::int32_t port = -1;
};

Found refuse(ErrorCode error, std::string message = {}) { return {error, std::move(message)}; }

// "group:topic id:partition", spelled as Kafka's coordinators spell it; the group may have colons itself.
std::optional<std::string> share_key(std::string_view key) {
  const std::size_t partition_at = key.rfind(':');
  if (partition_at == std::string_view::npos || partition_at == 0) return std::nullopt;
  const std::size_t id_at = key.rfind(':', partition_at - 1);
  if (id_at == std::string_view::npos) return std::nullopt;
  const std::string_view group = key.substr(0, id_at);
  if (group.find_first_not_of(" \t\r\n") == std::string_view::npos) return std::nullopt;
  const std::optional<Uuid> topic = Uuid::parse(key.substr(id_at + 1, partition_at - id_at - 1));
  std::string_view digits = key.substr(partition_at + 1);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::int32_t partition = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), partition);
  if (!topic || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return std::string(group) + ":" + topic->text() + ":" + std::to_string(partition);
}

Found find(const Call& call, const metadata::MetadataImage& image, std::int8_t type, const std::string& key) {
  if (type < 0 || type >= static_cast<std::int8_t>(std::size(kKinds))) {
    return refuse(ErrorCode::invalid_request, "no coordinator has key type " + std::to_string(type));
  }
  const Kind& kind = kKinds[type];
  std::string placed = key;
  if (type == kShare) {
    std::optional<std::string> share = call.version >= kFirstWithShare ? share_key(key) : std::nullopt;
    if (!share) return refuse(ErrorCode::invalid_request);
    placed = std::move(*share);
  }
  const metadata::TopicImage* topic = image.topics.find(kind.topic);
  if (topic == nullptr || topic->partition_count() == 0) {
    return refuse(ErrorCode::unsupported_version, "there is no topic " + std::string(kind.topic) +
                                                      ", and klamm makes none before it has a " +
                                                      std::string(kind.what) + " coordinator");
  }
  const std::int32_t index = place_by_java_hash(placed, topic->partition_count());
  const metadata::PartitionRegistration* partition = topic->partition(index);
  const std::int32_t leader = partition == nullptr ? metadata::kNoLeader : partition->leader;
  const metadata::ListenerEndpoint* where = living_listener(image.cluster.broker(leader), call.context.listener);
  if (where == nullptr) return refuse(ErrorCode::coordinator_not_available);
  if (leader == call.services.broker_id()) {
    return refuse(ErrorCode::unsupported_version, "broker " + std::to_string(leader) + " leads " +
                                                      std::string(kind.topic) + "-" + std::to_string(index) +
                                                      " and is klamm, which has no " + std::string(kind.what) +
                                                      " coordinator yet: a broker of Apache Kafka must lead it");
  }
  return {ErrorCode::none, {}, leader, where->host, where->port};
}

void fill(auto& answer, Found found) {
  answer.error_code = code(found.error);
  answer.error_message = std::move(found.message);
  answer.node_id = found.node;
  answer.host = std::move(found.host);
  answer.port = found.port;
}

io::Task<protocol::FindCoordinatorResponse> answer(Call& call, protocol::FindCoordinatorRequest request) {
  const metadata::ImageRef image = call.services.image();
  protocol::FindCoordinatorResponse response;
  if (call.version < kFirstWithKeys) {
    Found found = find(call, *image, request.key_type, request.key);
    // Only these versions have Kafka's words for its codes, for success too.
    if (found.error == ErrorCode::none) found.message = "NONE";
    if (found.message.empty()) found.message = protocol::default_message(found.error);
    fill(response, std::move(found));
    co_return response;
  }
  response.coordinators.reserve(request.coordinator_keys.size());
  for (const std::string& key : request.coordinator_keys) {
    auto& each = response.coordinators.emplace_back();
    each.key = key;
    fill(each, find(call, *image, request.key_type, key));
  }
  co_return response;
}

}  // namespace

io::Task<Reply> find_coordinator(Call& call, Slice body) {
  return serve_with<&answer, protocol::FindCoordinatorRequest, protocol::FindCoordinatorResponse>(call,
                                                                                                  std::move(body));
}

}  // namespace klamm::handler
