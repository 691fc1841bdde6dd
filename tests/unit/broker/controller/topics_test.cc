#include "broker/controller/topics.h"

#include "lab.h"

namespace klamm::controller {
namespace {

using Creatable = protocol::CreateTopicsRequest::CreatableTopic;

Creatable topic(std::string name, std::int32_t partitions = 1, std::int16_t replicas = 1) {
  Creatable creatable;
  creatable.name = std::move(name);
  creatable.num_partitions = partitions;
  creatable.replication_factor = replicas;
  return creatable;
}
Creatable assigned(std::string name, std::vector<std::pair<std::int32_t, std::vector<std::int32_t>>> assignments) {
  Creatable creatable = topic(std::move(name), -1, -1);
  for (auto& [index, replicas] : assignments) {
    auto& assignment = creatable.assignments.emplace_back();
    assignment.partition_index = index;
    assignment.broker_ids = std::move(replicas);
  }
  return creatable;
}
Creatable configured(std::string name, std::string key, std::optional<std::string> value) {
  Creatable creatable = topic(std::move(name));
  auto& config = creatable.configs.emplace_back();
  config.name = std::move(key);
  config.value = std::move(value);
  return creatable;
}

protocol::CreateTopicsResponse create(Lab& lab, std::vector<Creatable> topics, bool validate_only = false) {
  protocol::CreateTopicsRequest request;
  request.topics = std::move(topics);
  request.validate_only = validate_only;
  return lab.take(create_topics(lab.view(), request));
}
ErrorCode create_code(Lab& lab, Creatable topic) {
  return code(create(lab, {std::move(topic)}).topics.at(0).error_code);
}

TEST_CASE("a topic is created with its partitions, and the answer tells its numbers and configs") {
  Lab lab;
  lab.add_broker(1);
  lab.settings.num_partitions = 3;
  const auto response = create(lab, {topic("orders", -1, -1)});
  REQUIRE(response.topics.size() == 1);
  const auto& result = response.topics[0];
  CHECK(code(result.error_code) == ErrorCode::none);
  CHECK_FALSE(result.error_message.has_value());
  CHECK(result.num_partitions == 3);
  CHECK(result.replication_factor == 1);
  CHECK(result.topic_id == lab.image->topics.find("orders")->id);
  REQUIRE(result.configs.has_value());
  CHECK(result.configs->size() >= 30);
  const PartitionRegistration& partition = lab.partition("orders", 2);
  CHECK(partition.leader == 1);
  CHECK(partition.leader_epoch == 0);
  CHECK(partition.partition_epoch == 0);
  CHECK(partition.isr == std::vector<std::int32_t>{1});
  CHECK(partition.directories == std::vector<Uuid>{Uuid{2000, 1}});  // the broker's only one
}

TEST_CASE("records of a new topic come in Kafka's order: topic, configs, partitions") {
  Lab lab;
  lab.add_broker(1);
  protocol::CreateTopicsRequest request;
  request.topics.push_back(configured("orders", "retention.ms", "5"));
  request.topics[0].num_partitions = 2;
  std::vector<int> types;
  for (const Record& record : create_topics(lab.view(), request).records) types.push_back(metadata::type_of(record));
  CHECK(types == std::vector<int>{2, 4, 3, 3});
}

TEST_CASE("configs of a new topic are kept, and shown with where they come from") {
  Lab lab;
  lab.add_broker(1);
  const auto response = create(lab, {configured("orders", "retention.ms", "12345")});
  CHECK(lab.image->configs.of_topic("orders").at("retention.ms") == "12345");
  bool shown = false;
  for (const auto& config : *response.topics[0].configs) {
    if (config.name != "retention.ms") continue;
    shown = true;
    CHECK(config.value == "12345");
    CHECK(config.config_source == 1);
  }
  CHECK(shown);
}

TEST_CASE("validate only answers the same and changes nothing") {
  Lab lab;
  lab.add_broker(1);
  const auto response = create(lab, {topic("orders", 4)}, true);
  CHECK(code(response.topics[0].error_code) == ErrorCode::none);
  CHECK(response.topics[0].num_partitions == 4);
  CHECK(lab.image->topics.size() == 0);
  const auto refused = create(lab, {topic("bad name")}, true);
  CHECK(code(refused.topics[0].error_code) == ErrorCode::invalid_topic_exception);
}

TEST_CASE("every fault of a topic to be created has its code") {
  Lab lab;
  lab.add_broker(1);
  lab.add_broker(2);
  lab.add_broker(3, false);
  REQUIRE(create_code(lab, topic("there.is_one")) == ErrorCode::none);
  CHECK(create_code(lab, topic("")) == ErrorCode::invalid_topic_exception);
  CHECK(create_code(lab, topic("..")) == ErrorCode::invalid_topic_exception);
  CHECK(create_code(lab, topic("a b")) == ErrorCode::invalid_topic_exception);
  CHECK(create_code(lab, topic(std::string(250, 'x'))) == ErrorCode::invalid_topic_exception);
  CHECK(create_code(lab, topic(std::string(249, 'x'))) == ErrorCode::none);
  CHECK(create_code(lab, topic("there.is_one")) == ErrorCode::topic_already_exists);
  CHECK(create_code(lab, topic("there_is.one")) == ErrorCode::invalid_topic_exception);
  CHECK(create_code(lab, topic("there.is_two")) == ErrorCode::none);
  CHECK(create_code(lab, topic("t", 0)) == ErrorCode::invalid_partitions);
  CHECK(create_code(lab, topic("t", -2)) == ErrorCode::invalid_partitions);
  CHECK(create_code(lab, topic("t", 1, 0)) == ErrorCode::invalid_replication_factor);
  CHECK(create_code(lab, topic("t", 1, -2)) == ErrorCode::invalid_replication_factor);
  CHECK(create_code(lab, topic("t", 1, 4)) == ErrorCode::invalid_replication_factor);
  CHECK(create_code(lab, topic("t", 10'001)) == ErrorCode::policy_violation);
  CHECK(create_code(lab, configured("t", "no.such.key", "1")) == ErrorCode::invalid_config);
  CHECK(create_code(lab, configured("t", "retention.ms", "soon")) == ErrorCode::invalid_config);
  CHECK(create_code(lab, configured("t", "retention.ms", std::nullopt)) == ErrorCode::invalid_config);
  CHECK(create_code(lab, topic("__cluster_metadata")) == ErrorCode::invalid_request);
  CHECK(lab.image->topics.find("t") == nullptr);
}

TEST_CASE("every fault of a manual assignment has its code") {
  Lab lab;
  lab.add_broker(1);
  lab.add_broker(2);
  lab.add_broker(3, false);
  constexpr ErrorCode kBad = ErrorCode::invalid_replica_assignment;
  CHECK(create_code(lab, assigned("t", {{0, {}}})) == kBad);
  CHECK(create_code(lab, assigned("t", {{0, {9}}})) == kBad);
  CHECK(create_code(lab, assigned("t", {{0, {1, 1}}})) == kBad);
  CHECK(create_code(lab, assigned("t", {{0, {1}}, {0, {2}}})) == kBad);
  CHECK(create_code(lab, assigned("t", {{0, {1}}, {2, {2}}})) == kBad);
  CHECK(create_code(lab, assigned("t", {{0, {1}}, {1, {1, 2}}})) == kBad);
  CHECK(create_code(lab, assigned("t", {{0, {3}}})) == kBad);
  Creatable both = assigned("t", {{0, {1}}});
  both.num_partitions = 1;
  CHECK(create_code(lab, both) == ErrorCode::invalid_request);
  both.num_partitions = -1;
  both.replication_factor = 1;
  CHECK(create_code(lab, both) == ErrorCode::invalid_request);
  CHECK(create_code(lab, assigned("t", {{1, {3, 2}}, {0, {1, 2}}})) == ErrorCode::none);
  CHECK(lab.partition("t", 1).replicas == std::vector<std::int32_t>{3, 2});
  CHECK(lab.partition("t", 1).isr == std::vector<std::int32_t>{2});
  CHECK(lab.partition("t", 1).leader == 2);
}

TEST_CASE("names given twice in one request are refused once, the others are served") {
  Lab lab;
  lab.add_broker(1);
  const auto response = create(lab, {topic("a"), topic("b"), topic("a"), topic("x.y"), topic("x_y")});
  REQUIRE(response.topics.size() == 4);
  CHECK(code(response.topics[0].error_code) == ErrorCode::invalid_request);
  CHECK(code(response.topics[1].error_code) == ErrorCode::none);
  CHECK(code(response.topics[2].error_code) == ErrorCode::none);
  CHECK(code(response.topics[3].error_code) == ErrorCode::invalid_topic_exception);
  CHECK(lab.image->topics.size() == 2);
}

TEST_CASE("with no broker alive nothing can be created") {
  Lab lab;
  CHECK(create_code(lab, topic("t")) == ErrorCode::invalid_replication_factor);
  lab.add_broker(1, false);
  CHECK(create_code(lab, topic("t")) == ErrorCode::invalid_replication_factor);
}

// ---- DeleteTopics

protocol::DeleteTopicsResponse remove(Lab& lab, std::vector<std::pair<std::optional<std::string>, Uuid>> topics) {
  protocol::DeleteTopicsRequest request;
  for (auto& [name, id] : topics) {
    auto& asked = request.topics.emplace_back();
    asked.name = std::move(name);
    asked.topic_id = id;
  }
  return lab.take(delete_topics(lab.view(), request, 6));
}

TEST_CASE("topics are deleted by name and by id, with their configs") {
  Lab lab;
  lab.add_broker(1);
  create(lab, {configured("a", "retention.ms", "1"), topic("b"), topic("c")});
  const Uuid id = lab.image->topics.find("b")->id;
  const auto response = remove(lab, {{"a", {}}, {std::nullopt, id}});
  REQUIRE(response.responses.size() == 2);
  CHECK(code(response.responses[0].error_code) == ErrorCode::none);
  CHECK(response.responses[1].name == "b");
  CHECK(response.responses[1].topic_id == id);
  CHECK(lab.image->topics.size() == 1);
  CHECK(lab.image->configs.of_topic("a").empty());
  protocol::DeleteTopicsRequest old;
  old.topic_names = {"c"};
  CHECK(code(lab.take(delete_topics(lab.view(), old, 1)).responses.at(0).error_code) == ErrorCode::none);
  CHECK(lab.image->topics.size() == 0);
}

TEST_CASE("every fault of a deletion has its code") {
  Lab lab;
  lab.add_broker(1);
  create(lab, {topic("a"), topic("b")});
  const Uuid id = lab.image->topics.find("a")->id;
  const auto one = [&](std::optional<std::string> name, Uuid topic_id) {
    return code(remove(lab, {{std::move(name), topic_id}}).responses.at(0).error_code);
  };
  CHECK(one("nope", {}) == ErrorCode::unknown_topic_or_partition);
  CHECK(one(std::nullopt, Uuid{4, 4}) == ErrorCode::unknown_topic_id);
  CHECK(one("a", id) == ErrorCode::invalid_request);
  CHECK(one(std::nullopt, {}) == ErrorCode::invalid_request);
  const auto twice = remove(lab, {{"a", {}}, {"a", {}}, {"b", {}}});
  REQUIRE(twice.responses.size() == 2);
  CHECK(code(twice.responses[0].error_code) == ErrorCode::invalid_request);
  CHECK(code(twice.responses[1].error_code) == ErrorCode::none);
  CHECK(lab.image->topics.find("a") != nullptr);
  const auto mixed = remove(lab, {{"a", {}}, {std::nullopt, id}});
  CHECK(code(mixed.responses[0].error_code) == ErrorCode::invalid_request);
  CHECK(code(mixed.responses[1].error_code) == ErrorCode::none);
  create(lab, {topic("a")});
  lab.settings.delete_topic_enable = false;
  CHECK(one("a", {}) == ErrorCode::topic_deletion_disabled);
}

// ---- CreatePartitions

protocol::CreatePartitionsResponse grow(
    Lab& lab, std::string name, std::int32_t count,
    std::optional<std::vector<std::vector<std::int32_t>>> assignments = std::nullopt) {
  protocol::CreatePartitionsRequest request;
  auto& asked = request.topics.emplace_back();
  asked.name = std::move(name);
  asked.count = count;
  asked.assignments = std::nullopt;
  if (assignments) {
    asked.assignments.emplace();
    for (auto& replicas : *assignments) asked.assignments->emplace_back().broker_ids = std::move(replicas);
  }
  return lab.take(create_partitions(lab.view(), request));
}

TEST_CASE("partitions are added behind those that are there, with the topic's replication factor") {
  Lab lab;
  lab.add_broker(1);
  lab.add_broker(2);
  create(lab, {topic("a", 1, 2)});
  CHECK(code(grow(lab, "a", 3).results.at(0).error_code) == ErrorCode::none);
  CHECK(lab.image->topics.find("a")->partition_count() == 3);
  CHECK(lab.partition("a", 2).replicas.size() == 2);
  CHECK(code(grow(lab, "a", 4, {{{2, 1}}}).results.at(0).error_code) == ErrorCode::none);
  CHECK(lab.partition("a", 3).replicas == std::vector<std::int32_t>{2, 1});
}

TEST_CASE("every fault of adding partitions has its code") {
  Lab lab;
  lab.add_broker(1);
  lab.add_broker(2, false);
  create(lab, {topic("a", 2)});
  const auto one = [&](std::string name, std::int32_t count,
                       std::optional<std::vector<std::vector<std::int32_t>>> assignments = std::nullopt) {
    return code(grow(lab, std::move(name), count, std::move(assignments)).results.at(0).error_code);
  };
  CHECK(one("nope", 3) == ErrorCode::unknown_topic_or_partition);
  CHECK(one("a", 2) == ErrorCode::invalid_partitions);
  CHECK(one("a", 1) == ErrorCode::invalid_partitions);
  CHECK(one("a", 4, {{{1}}}) == ErrorCode::invalid_replica_assignment);
  CHECK(one("a", 3, {{{1, 2}}}) == ErrorCode::invalid_replica_assignment);
  CHECK(one("a", 3, {{{7}}}) == ErrorCode::invalid_replica_assignment);
  CHECK(one("a", 3, {{{2}}}) == ErrorCode::invalid_replica_assignment);
  CHECK(one("a", 20'000) == ErrorCode::policy_violation);
  CHECK(lab.image->topics.find("a")->partition_count() == 2);
}

}  // namespace
}  // namespace klamm::controller
