// Topics: create, delete, list, describe, add partitions.
#include <limits>

#include "client/admin/admin_core.h"
#include "protocol/messages/create_partitions_request.h"
#include "protocol/messages/create_partitions_response.h"
#include "protocol/messages/create_topics_request.h"
#include "protocol/messages/create_topics_response.h"
#include "protocol/messages/delete_topics_request.h"
#include "protocol/messages/delete_topics_response.h"
#include "protocol/messages/describe_topic_partitions_request.h"
#include "protocol/messages/describe_topic_partitions_response.h"

namespace klamm::client {

namespace {
constexpr std::int32_t kNotTold = std::numeric_limits<std::int32_t>::min();

protocol::CreateTopicsRequest::CreatableTopic creatable(const NewTopic& topic) {
  protocol::CreateTopicsRequest::CreatableTopic asked;
  asked.name = topic.name;
  asked.num_partitions = topic.assignments.empty() ? topic.partitions : -1;
  asked.replication_factor = topic.assignments.empty() ? topic.replication_factor : std::int16_t{-1};
  std::int32_t index = 0;
  for (const auto& replicas : topic.assignments) {
    auto& assignment = asked.assignments.emplace_back();
    assignment.partition_index = index++;
    assignment.broker_ids = replicas;
  }
  for (const auto& [name, value] : topic.configs) {
    auto& config = asked.configs.emplace_back();
    config.name = name;
    config.value = value;
  }
  return asked;
}

CreatedTopic created(const protocol::CreateTopicsResponse::CreatableTopicResult& result) {
  CreatedTopic topic;
  topic.id = result.topic_id;
  topic.partitions = result.num_partitions;
  topic.replication_factor = result.replication_factor;
  if (result.configs) {
    for (const auto& config : *result.configs) topic.configs[config.name] = config.value;
  }
  return topic;
}
}  // namespace

io::Task<Result<CreateTopics::Outcome>> AdminCore::run(CreateTopics operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "CreateTopics");
  CreateTopics::Outcome outcome;
  std::vector<NewTopic> left = operation.topics;
  while (!left.empty()) {
    protocol::CreateTopicsRequest request;
    request.timeout_ms = patience.left_ms();
    request.validate_only = operation.validate_only;
    for (const NewTopic& topic : left) request.topics.push_back(creatable(topic));
    Result<protocol::CreateTopicsResponse> response = co_await ask(controller(), std::move(request), patience);
    if (!response && !outcome.empty()) break;  // what is left has its error already
    KLAMM_CO_TRY(response);
    std::vector<NewTopic> again;
    for (const auto& result : response->topics) {
      const ErrorCode code = protocol::error_code_from(result.error_code);
      if (code == ErrorCode::none) {
        outcome.insert_or_assign(result.name, created(result));
        continue;
      }
      outcome.insert_or_assign(result.name, fail(item_error(code, "topic " + result.name, result.error_message)));
      if (!protocol::retriable(code)) continue;
      for (const NewTopic& topic : left) {
        if (topic.name == result.name) again.push_back(topic);
      }
    }
    left = std::move(again);
    if (left.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return outcome;
}

io::Task<Result<DeleteTopics::Outcome>> AdminCore::run(DeleteTopics operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "DeleteTopics");
  DeleteTopics::Outcome outcome;
  std::vector<std::string> names = operation.names;
  std::vector<Uuid> ids = operation.ids;
  while (!names.empty() || !ids.empty()) {
    Result<ConnectionRef> connection = co_await reach(controller(), patience);
    if (!connection && !outcome.empty()) break;  // what is left has its error already
    KLAMM_CO_TRY(connection);
    constexpr std::int16_t kWithIds = 6;
    Result<std::int16_t> version =
        (*connection)->version_of<protocol::DeleteTopicsRequest>({ids.empty() ? std::int16_t{0} : kWithIds});
    KLAMM_CO_TRY(version);
    protocol::DeleteTopicsRequest request;
    request.timeout_ms = patience.left_ms();
    if (*version >= kWithIds) {
      for (const std::string& name : names) request.topics.emplace_back().name = name;
      for (const Uuid& id : ids) request.topics.emplace_back().topic_id = id;
    } else {
      request.topic_names = names;
    }
    const rpc::VersionBounds exactly{*version, *version};
    Result<protocol::DeleteTopicsResponse> response = co_await ask(controller(), std::move(request), patience, exactly);
    if (!response && !outcome.empty()) break;
    KLAMM_CO_TRY(response);
    std::vector<std::string> names_again;
    std::vector<Uuid> ids_again;
    for (const auto& result : response->responses) {
      const ErrorCode code = protocol::error_code_from(result.error_code);
      const bool by_id = std::find(ids.begin(), ids.end(), result.topic_id) != ids.end();
      const std::string key = by_id ? result.topic_id.text() : result.name.value_or("");
      if (code == ErrorCode::none) {
        outcome.insert_or_assign(key, Result<void>());
        continue;
      }
      outcome.insert_or_assign(key, fail(item_error(code, "topic " + key, result.error_message)));
      // A topic that is not there will not come by waiting.
      if (!protocol::retriable(code) || code == ErrorCode::unknown_topic_or_partition ||
          code == ErrorCode::unknown_topic_id)
        continue;
      if (by_id) {
        ids_again.push_back(result.topic_id);
      } else {
        names_again.push_back(key);
      }
    }
    names = std::move(names_again);
    ids = std::move(ids_again);
    if (names.empty() && ids.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return outcome;
}

io::Task<Result<ListTopics::Outcome>> AdminCore::run(ListTopics operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "ListTopics");
  protocol::MetadataRequest request;
  request.topics.reset();
  request.allow_auto_topic_creation = false;
  const rpc::VersionBounds bounds{1};  // version 0 cannot ask for all topics
  Result<protocol::MetadataResponse> response = co_await ask(any_node(), std::move(request), patience, bounds);
  KLAMM_CO_TRY(response);
  ListTopics::Outcome topics;
  for (const auto& topic : response->topics) {
    if (!topic.name || (topic.is_internal && !operation.internal)) continue;
    topics.push_back({*topic.name, topic.topic_id, topic.is_internal});
  }
  std::sort(topics.begin(), topics.end(), [](const auto& left, const auto& right) { return left.name < right.name; });
  co_return topics;
}

// By DescribeTopicPartitions, page by page: it alone tells eligible leader replicas.
io::Task<Result<TopicDescription>> AdminCore::describe_topic(std::string name, const DescribeTopics& operation,
                                                             Patience& patience) {
  TopicDescription description;
  description.name = name;
  protocol::DescribeTopicPartitionsRequest request;
  request.topics.emplace_back().name = name;
  request.response_partition_limit = operation.partitions_per_response;
  for (;;) {
    Result<protocol::DescribeTopicPartitionsResponse> response =
        co_await ask(any_node(), protocol::DescribeTopicPartitionsRequest(request), patience);
    KLAMM_CO_TRY(response);
    for (const auto& topic : response->topics) {
      const ErrorCode code = protocol::error_code_from(topic.error_code);
      if (code != ErrorCode::none) co_return fail(item_error(code, "topic " + name));
      description.id = topic.topic_id;
      description.internal = topic.is_internal;
      if (operation.authorized_operations && topic.topic_authorized_operations != kNotTold) {
        description.authorized_operations = topic.topic_authorized_operations;
      }
      for (const auto& one : topic.partitions) {
        description.partitions.push_back({one.partition_index, one.leader_id, one.leader_epoch, one.replica_nodes,
                                          one.isr_nodes, one.offline_replicas, one.eligible_leader_replicas,
                                          one.last_known_elr});
      }
    }
    if (!response->next_cursor) break;
    request.cursor.emplace();
    request.cursor->topic_name = response->next_cursor->topic_name;
    request.cursor->partition_index = response->next_cursor->partition_index;
  }
  std::sort(description.partitions.begin(), description.partitions.end(),
            [](const auto& left, const auto& right) { return left.partition < right.partition; });
  co_return description;
}

io::Task<Result<DescribeTopics::Outcome>> AdminCore::run(DescribeTopics operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  if (operation.partitions_per_response < 1)
    co_return fail(Errc::invalid_argument, "partitions_per_response must be at least 1");
  Patience patience(*this, operation.options, "DescribeTopics");
  DescribeTopics::Outcome outcome;
  Result<ConnectionRef> connection = co_await reach(any_node(), patience);
  KLAMM_CO_TRY(connection);
  std::vector<std::string> by_metadata;
  const bool pages = (*connection)->version_of<protocol::DescribeTopicPartitionsRequest>().has_value();
  for (const std::string& name : operation.names) {
    if (!pages) {
      by_metadata.push_back(name);
      continue;
    }
    Result<TopicDescription> described = co_await describe_topic(name, operation, patience);
    const bool unanswered = !described && described.error().code().category() != protocol::kafka_category();
    if (unanswered && outcome.empty()) co_return fail(std::move(described).error());
    outcome.insert_or_assign(name, std::move(described));
  }
  if (by_metadata.empty() && operation.ids.empty()) co_return outcome;
  constexpr std::int16_t kIdsFrom = 12;
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = false;
  request.include_topic_authorized_operations = operation.authorized_operations;
  for (const std::string& name : by_metadata) request.topics->emplace_back().name = name;
  for (const Uuid& id : operation.ids) {
    auto& topic = request.topics->emplace_back();
    topic.topic_id = id;
    topic.name.reset();
  }
  const rpc::VersionBounds bounds{operation.ids.empty() ? std::int16_t{4} : kIdsFrom};
  Result<protocol::MetadataResponse> response = co_await ask(any_node(), std::move(request), patience, bounds);
  KLAMM_CO_TRY(response);
  for (const auto& topic : response->topics) {
    const bool by_id = std::find(operation.ids.begin(), operation.ids.end(), topic.topic_id) != operation.ids.end();
    const std::string key = by_id ? topic.topic_id.text() : topic.name.value_or("");
    const ErrorCode code = protocol::error_code_from(topic.error_code);
    if (code != ErrorCode::none) {
      outcome.insert_or_assign(key, fail(item_error(code, "topic " + key)));
      continue;
    }
    TopicDescription description{topic.name.value_or(""), topic.topic_id, topic.is_internal, {}, {}};
    if (operation.authorized_operations && topic.topic_authorized_operations != kNotTold) {
      description.authorized_operations = topic.topic_authorized_operations;
    }
    for (const auto& one : topic.partitions) {
      description.partitions.push_back({one.partition_index, one.leader_id, one.leader_epoch, one.replica_nodes,
                                        one.isr_nodes, one.offline_replicas, std::nullopt, std::nullopt});
    }
    std::sort(description.partitions.begin(), description.partitions.end(),
              [](const auto& left, const auto& right) { return left.partition < right.partition; });
    outcome.insert_or_assign(key, std::move(description));
  }
  co_return outcome;
}

io::Task<Result<CreatePartitions::Outcome>> AdminCore::run(CreatePartitions operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "CreatePartitions");
  CreatePartitions::Outcome outcome;
  std::map<std::string, NewPartitions> left = operation.topics;
  while (!left.empty()) {
    protocol::CreatePartitionsRequest request;
    request.timeout_ms = patience.left_ms();
    request.validate_only = operation.validate_only;
    for (const auto& [name, wanted] : left) {
      auto& topic = request.topics.emplace_back();
      topic.name = name;
      topic.count = wanted.total_count;
      topic.assignments.reset();
      for (const auto& replicas : wanted.assignments) {
        if (!topic.assignments) topic.assignments.emplace();
        topic.assignments->emplace_back().broker_ids = replicas;
      }
    }
    Result<protocol::CreatePartitionsResponse> response = co_await ask(controller(), std::move(request), patience);
    if (!response && !outcome.empty()) break;  // what is left has its error already
    KLAMM_CO_TRY(response);
    std::map<std::string, NewPartitions> again;
    for (const auto& result : response->results) {
      const ErrorCode code = protocol::error_code_from(result.error_code);
      if (code == ErrorCode::none) {
        outcome.insert_or_assign(result.name, Result<void>());
        continue;
      }
      outcome.insert_or_assign(result.name, fail(item_error(code, "topic " + result.name, result.error_message)));
      if (protocol::retriable(code) && code != ErrorCode::unknown_topic_or_partition)
        again[result.name] = left[result.name];
    }
    left = std::move(again);
    if (left.empty()) break;
    const bool more = co_await patience.again();
    if (!more) break;
  }
  co_return outcome;
}

}  // namespace klamm::client
