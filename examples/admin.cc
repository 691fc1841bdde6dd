// Creates a topic, describes it and changes one of its settings, by the blocking client: no event loop needed.
//   admin localhost:9092 my-topic
#include <iostream>
#include <string>

#include "klamm/blocking.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: admin <bootstrap servers> <topic>\n";
    return 2;
  }
  const std::string topic = argv[2];
  const auto failed = [](const klamm::Error& error) {
    std::cerr << error.message() << "\n";
    return 1;
  };
  klamm::Result<klamm::blocking::Admin> admin = klamm::blocking::Admin::create({{"bootstrap.servers", argv[1]}});
  if (!admin) return failed(admin.error());

  auto created = admin->create_topics({.topics = {{.name = topic, .partitions = 3, .replication_factor = 1}}});
  if (!created) return failed(created.error());
  const klamm::Result<klamm::CreatedTopic>& result = created->at(topic);  // each topic has a result of its own
  if (result) {
    std::cout << "created " << topic << " with id " << result->id.text() << "\n";
  } else if (klamm::error_code(result.error()) == klamm::ErrorCode::topic_already_exists) {
    std::cout << topic << " is there already\n";
  } else {
    return failed(result.error());
  }

  const klamm::ConfigResource resource{klamm::ConfigResourceType::topic, topic};
  auto altered = admin->alter_configs(
      {.changes = {{resource, {{.name = "retention.ms", .op = klamm::AlterConfigOp::set, .value = "86400000"}}}}});
  if (!altered) return failed(altered.error());
  if (!altered->at(resource)) return failed(altered->at(resource).error());

  auto described = admin->describe_topics({.names = {topic}});
  if (!described) return failed(described.error());
  if (!described->at(topic)) return failed(described->at(topic).error());
  for (const klamm::PartitionDescription& partition : described->at(topic)->partitions) {
    std::cout << topic << "-" << partition.partition << ": leader " << partition.leader << ", "
              << partition.in_sync_replicas.size() << " in-sync replicas\n";
  }
  auto configs = admin->describe_configs({.resources = {resource}, .names = {"retention.ms"}});
  if (!configs) return failed(configs.error());
  if (!configs->at(resource)) return failed(configs->at(resource).error());
  for (const klamm::ConfigEntry& entry : *configs->at(resource))
    std::cout << entry.name << "=" << entry.value.value_or("") << "\n";
}
