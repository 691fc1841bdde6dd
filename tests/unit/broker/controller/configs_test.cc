#include "broker/controller/configs.h"

#include "broker/controller/topics.h"
#include "lab.h"

namespace klamm::controller {
namespace {

struct Change {
  std::string name;
  int operation = 0;
  std::optional<std::string> value;
};

class ConfigLab : public Lab {
 public:
  explicit ConfigLab(bool elr = false) : Lab(elr) {
    add_broker(1);
    protocol::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "a";
    topic.num_partitions = 1;
    topic.replication_factor = 1;
    take(create_topics(view(), request));
  }

  protocol::IncrementalAlterConfigsResponse alter(ConfigResourceType type, std::string name,
                                                  std::vector<Change> changes, bool validate_only = false) {
    protocol::IncrementalAlterConfigsRequest request;
    request.validate_only = validate_only;
    auto& resource = request.resources.emplace_back();
    resource.resource_type = static_cast<std::int8_t>(type);
    resource.resource_name = std::move(name);
    for (Change& change : changes) {
      auto& config = resource.configs.emplace_back();
      config.name = change.name;
      config.config_operation = static_cast<std::int8_t>(change.operation);
      config.value = change.value;
    }
    return take(incremental_alter_configs(view(), request));
  }
  ErrorCode alter_code(ConfigResourceType type, std::string name, std::vector<Change> changes) {
    return code(alter(type, std::move(name), std::move(changes)).responses.at(0).error_code);
  }
};

constexpr auto kTopic = ConfigResourceType::topic;
constexpr auto kBroker = ConfigResourceType::broker;
constexpr int kSet = 0;
constexpr int kDelete = 1;
constexpr int kAppend = 2;
constexpr int kSubtract = 3;

TEST_CASE("settings of a topic are set and deleted one by one") {
  ConfigLab lab;
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kSet, "1000"}, {"max.message.bytes", kSet, "2000"}}) ==
        ErrorCode::none);
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kDelete, std::nullopt}}) == ErrorCode::none);
  CHECK(lab.image->configs.of_topic("a") == metadata::ResourceConfig{{"max.message.bytes", "2000"}});
}

TEST_CASE("lists are appended to and subtracted from, beginning with the default") {
  ConfigLab lab;
  CHECK(lab.alter_code(kTopic, "a", {{"cleanup.policy", kAppend, "compact"}}) == ErrorCode::none);
  CHECK(lab.image->configs.of_topic("a").at("cleanup.policy") == "delete,compact");
  CHECK(lab.alter_code(kTopic, "a", {{"cleanup.policy", kAppend, "compact"}}) == ErrorCode::none);
  CHECK(lab.image->configs.of_topic("a").at("cleanup.policy") == "delete,compact");
  CHECK(lab.alter_code(kTopic, "a", {{"cleanup.policy", kSubtract, "delete"}}) == ErrorCode::none);
  CHECK(lab.image->configs.of_topic("a").at("cleanup.policy") == "compact");
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kAppend, "5"}}) == ErrorCode::invalid_config);
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kSubtract, "5"}}) == ErrorCode::invalid_config);
}

TEST_CASE("every fault of a change has its code, and a resource at fault is left as it was") {
  ConfigLab lab;
  CHECK(lab.alter_code(kTopic, "nope", {{"retention.ms", kSet, "1"}}) == ErrorCode::unknown_topic_or_partition);
  CHECK(lab.alter_code(kTopic, "a", {{"no.such.key", kSet, "1"}}) == ErrorCode::invalid_config);
  CHECK(lab.alter_code(kTopic, "a", {{"max.message.bytes", kSet, "5"}, {"retention.ms", kSet, "soon"}}) ==
        ErrorCode::invalid_config);
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kSet, std::nullopt}}) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kSet, "1"}, {"retention.ms", kDelete, std::nullopt}}) ==
        ErrorCode::invalid_request);
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", 9, "1"}}) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(kTopic, "a", {{"retention.ms", kSet, std::string(40'000, '1')}}) == ErrorCode::invalid_config);
  CHECK(lab.alter_code(kBroker, "one", {{"message.max.bytes", kSet, "1"}}) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(kBroker, "77", {{"message.max.bytes", kSet, "1"}}) == ErrorCode::broker_id_not_registered);
  CHECK(lab.alter_code(kBroker, "", {{"node.id", kSet, "1"}}) != ErrorCode::none);
  CHECK(lab.alter_code(ConfigResourceType::broker_logger, "1", {{"x", kSet, "INFO"}}) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(ConfigResourceType::unknown, "1", {{"x", kSet, "y"}}) == ErrorCode::invalid_request);
  CHECK(lab.alter_code(ConfigResourceType::group, "", {{"consumer.session.timeout.ms", kSet, "50000"}}) ==
        ErrorCode::invalid_request);
  CHECK(lab.image->configs.of_topic("a").empty());
}

TEST_CASE("brokers, groups and metrics subscriptions have settings of their own") {
  ConfigLab lab;
  CHECK(lab.alter_code(kBroker, "", {{"message.max.bytes", kSet, "500000"}}) == ErrorCode::none);
  CHECK(lab.image->configs.cluster_default().at("message.max.bytes") == "500000");
  CHECK(lab.alter_code(kBroker, "1", {{"log.cleaner.threads", kSet, "2"}}) != ErrorCode::unknown_server_error);
  CHECK(lab.alter_code(ConfigResourceType::group, "g", {{"consumer.session.timeout.ms", kSet, "50000"}}) ==
        ErrorCode::none);
  CHECK(lab.alter_code(ConfigResourceType::client_metrics, "m", {{"interval.ms", kSet, "1000"}}) == ErrorCode::none);
  CHECK(lab.alter_code(ConfigResourceType::client_metrics, "m", {{"interval.ms", kSet, "1"}}) ==
        ErrorCode::invalid_config);
}

TEST_CASE("a resource named twice in one request is refused once") {
  ConfigLab lab;
  protocol::IncrementalAlterConfigsRequest request;
  for (int index = 0; index < 2; ++index) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = 2;
    resource.resource_name = "a";
  }
  const auto response = lab.take(incremental_alter_configs(lab.view(), request));
  REQUIRE(response.responses.size() == 1);
  CHECK(code(response.responses[0].error_code) == ErrorCode::invalid_request);
}

TEST_CASE("validate only checks and changes nothing") {
  ConfigLab lab;
  const auto response = lab.alter(kTopic, "a", {{"retention.ms", kSet, "1000"}}, true);
  CHECK(code(response.responses.at(0).error_code) == ErrorCode::none);
  CHECK(lab.image->configs.of_topic("a").empty());
}

TEST_CASE("setting what is set already writes nothing for a topic") {
  ConfigLab lab;
  lab.alter(kTopic, "a", {{"retention.ms", kSet, "1000"}});
  const std::int64_t before = lab.offset;
  lab.alter(kTopic, "a", {{"retention.ms", kSet, "1000"}});
  CHECK(lab.offset == before);
}

TEST_CASE("the old request replaces all settings of a resource") {
  ConfigLab lab;
  lab.alter(kTopic, "a", {{"retention.ms", kSet, "1000"}, {"max.message.bytes", kSet, "5000"}});
  protocol::AlterConfigsRequest request;
  auto& resource = request.resources.emplace_back();
  resource.resource_type = 2;
  resource.resource_name = "a";
  auto& config = resource.configs.emplace_back();
  config.name = "segment.ms";
  config.value = "77";
  CHECK(code(lab.take(alter_configs(lab.view(), request)).responses.at(0).error_code) == ErrorCode::none);
  CHECK(lab.image->configs.of_topic("a") == metadata::ResourceConfig{{"segment.ms", "77"}});
}

TEST_CASE(
    "with ELR the cluster's min.insync.replicas can be changed but not removed, and changing one clears the ELR") {
  ConfigLab lab(true);
  CHECK(lab.image->configs.cluster_default().at("min.insync.replicas") == "1");
  CHECK(lab.alter_code(kBroker, "", {{"min.insync.replicas", kDelete, std::nullopt}}) == ErrorCode::invalid_config);
  CHECK(lab.alter_code(kBroker, "1", {{"min.insync.replicas", kSet, "2"}}) != ErrorCode::none);
  const std::int64_t before = lab.offset;
  CHECK(lab.alter_code(kTopic, "a", {{"min.insync.replicas", kSet, "2"}}) == ErrorCode::none);
  CHECK(lab.offset == before + 2);  // Config and ClearElr
  CHECK(lab.alter_code(kBroker, "", {{"min.insync.replicas", kSet, "2"}}) == ErrorCode::none);
}

}  // namespace
}  // namespace klamm::controller
