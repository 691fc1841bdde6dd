#include <nlohmann/json.hpp>

#include <charconv>
#include <set>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("log-dirs", "Prints what the brokers' data directories hold, as JSON.");
  options.admin_client();
  options.flag("--describe", "Describe the directories.").require("describe");
  options.text("--broker-list", "0,1,2", "Only these brokers.");
  options.text("--topic-list", "topic1,topic2", "Only these topics.");
  return options;
}

using Json = nlohmann::ordered_json;

Json partitions_json(const LogDirDescription& directory, const std::set<std::string>& topics) {
  std::vector<TopicPartition> keys;
  std::map<TopicPartition, const ReplicaInfo*> replicas;
  for (const ReplicaInfo& replica : directory.replicas) {
    keys.push_back(replica.partition);
    replicas.emplace(replica.partition, &replica);
  }
  Json list = Json::array();
  for (const TopicPartition& key : java_map_order(keys)) {
    if (!topics.empty() && !topics.contains(key.topic)) continue;
    const ReplicaInfo& replica = *replicas.at(key);
    list.push_back({{"partition", key.text()},
                    {"size", replica.size_bytes},
                    {"offsetLag", replica.offset_lag},
                    {"isFuture", replica.future}});
  }
  return list;
}

Json broker_json(std::int32_t id, const std::vector<LogDirDescription>& directories,
                 const std::set<std::string>& topics) {
  std::vector<std::string> paths;
  std::map<std::string, const LogDirDescription*> by_path;
  for (const LogDirDescription& directory : directories) {
    paths.push_back(directory.path);
    by_path.emplace(directory.path, &directory);
  }
  Json list = Json::array();
  for (const std::string& path : java_map_order(paths)) {
    const LogDirDescription& directory = *by_path.at(path);
    Json error = nullptr;
    if (directory.error) error = "org.apache.kafka.common.errors." + exception_of(*directory.error);
    list.push_back({{"partitions", partitions_json(directory, topics)}, {"error", error}, {"logDir", path}});
  }
  return {{"broker", id}, {"logDirs", std::move(list)}};
}

// The brokers to ask; fails with the sentence to print.
Result<std::vector<std::int32_t>> chosen_brokers(const Options& options, blocking::Admin& admin) {
  Result<DescribeCluster::Outcome> cluster = admin.describe_cluster({});
  KLAMM_TRY(cluster);
  std::set<std::int32_t> existing;
  for (const Node& node : cluster->nodes) existing.insert(node.id);
  const std::string text = options.text_or("broker-list", "");
  if (text.empty()) return std::vector<std::int32_t>(existing.begin(), existing.end());
  std::set<std::int32_t> chosen;
  std::set<std::int32_t> missing;
  for (const std::string& word : split(text, ',')) {
    if (word.empty()) continue;
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size())
      return fail(Errc::invalid_argument, "For input string: \"" + word + "\"");
    (existing.contains(id) ? chosen : missing).insert(id);
  }
  if (!missing.empty()) {
    return fail(
        Errc::invalid_argument,
        fmt::format("ERROR: The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
                    joined(missing, ","), joined(existing, ",")));
  }
  return std::vector<std::int32_t>(chosen.begin(), chosen.end());
}

}  // namespace

int run_log_dirs(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  std::set<std::string> topics;
  for (const std::string& topic : split(options.text_or("topic-list", ""), ',')) {
    if (!topic.empty()) topics.insert(topic);
  }
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Result<std::vector<std::int32_t>> brokers = chosen_brokers(options, *admin);
  if (!brokers) return fail_text(reason_of(brokers.error()));
  print("Querying brokers for log directories information\n");
  Result<DescribeLogDirs::Outcome> described = admin->describe_log_dirs({.brokers = *brokers});
  if (!described) return fail_text(reason_of(described.error()));
  print("Received log directory information from brokers {}\n", joined(*brokers, ","));
  Json list = Json::array();
  for (const std::int32_t id : java_map_order(*brokers)) {
    const auto found = described->find(id);
    if (found == described->end()) continue;
    if (!found->second) return fail_with("broker {}: {}", id, reason_of(found->second.error()));
    list.push_back(broker_json(id, *found->second, topics));
  }
  const Json all = {{"brokers", std::move(list)}, {"version", 1}};
  print("{}\n", all.dump());
  return 0;
}

}  // namespace klamm::tools
