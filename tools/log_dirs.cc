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
  Options options("log-dirs",
                  "Prints what the brokers' data directories hold, as JSON, or moves replicas between them.");
  options.admin_client();
  options.flag("--describe", "Describe the directories.");
  options.text("--broker-list", "0,1,2", "Only these brokers.");
  options.text("--topic-list", "topic1,topic2", "Only these topics.");
  options.flag("--alter", "Move replicas to other directories of their broker (not in Kafka's log-dirs).");
  options.many("--replica", "topic:partition=/dir",
               "With --alter: the replica to move and the directory to move it to.");
  options.int32("--broker", "id", "With --alter: the broker whose replicas move; needed where there are several.");
  options.flag("--wait", "With --alter: wait until the replicas are where they are to be.");
  options.epilogue(
      "--alter is klamm's own; Kafka does the same by kafka-reassign-partitions with \"log_dirs\". Directories are "
      "named as\n"
      "in log.dirs, from the root. Reads and writes go on while a replica moves; --describe shows it as \"isFuture\" "
      "in its\n"
      "new directory, with what it lacks as \"offsetLag\". Moving it to the directory where it is ends a move. The "
      "broker's\n"
      "replica.alter.log.dirs.io.max.bytes.per.second bounds the bytes that are copied.");
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

// ---- --alter

using Replica = AlterReplicaLogDirs::Replica;

// "topic:partition=/dir"; topics have no colon, and a directory may have any sign.
Result<void> add_target(const std::string& text, std::int32_t broker, std::map<Replica, std::string>& targets) {
  const std::size_t equals = text.find('=');
  const std::size_t colon = text.rfind(':', equals);
  std::int32_t partition = -1;
  if (equals != std::string::npos && colon != std::string::npos && colon < equals) {
    const char* const end = text.data() + equals;
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, partition);
    if (error != std::errc() || stop != end) partition = -1;
  }
  if (partition < 0 || colon == 0 || equals + 1 == text.size()) {
    return fail(Errc::invalid_argument, "--replica " + text + ": expected topic:partition=/dir");
  }
  const Replica replica{{text.substr(0, colon), partition}, broker};
  if (!targets.emplace(replica, text.substr(equals + 1)).second) {
    return fail(Errc::invalid_argument, "--replica " + text + ": " + replica.partition.text() + " is named twice");
  }
  return {};
}

Result<std::int32_t> chosen_broker(const Options& options, blocking::Admin& admin) {
  Result<DescribeCluster::Outcome> cluster = admin.describe_cluster({});
  KLAMM_TRY(cluster);
  const std::optional<std::int64_t> asked = options.number_of("broker");
  if (!asked && cluster->nodes.size() != 1) {
    return fail(Errc::invalid_argument, "there are several brokers: say which one with --broker");
  }
  for (const Node& node : cluster->nodes) {
    if (!asked || node.id == *asked) return node.id;
  }
  return fail(Errc::invalid_argument, "broker " + std::to_string(*asked) + " is not in the cluster");
}

// Waits until no replica of `moving` is on its way any more; then tells of those that are not where they were to be.
// Returns the exit status.
Result<int> wait_moved(Session& session, blocking::Admin& admin, std::int32_t broker,
                       const std::map<Replica, std::string>& moving) {
  Interrupt interrupt(session.machine());
  std::vector<TopicPartition> partitions;
  for (const auto& [replica, path] : moving) partitions.push_back(replica.partition);
  for (;;) {
    Result<DescribeLogDirs::Outcome> described =
        admin.describe_log_dirs({.brokers = {broker}, .partitions = partitions});
    KLAMM_TRY(described);
    Result<std::vector<LogDirDescription>>& directories = described->at(broker);
    KLAMM_TRY(directories);
    std::map<TopicPartition, std::string> where;
    bool under_way = false;
    for (const LogDirDescription& directory : *directories) {
      for (const ReplicaInfo& replica : directory.replicas) {
        under_way = under_way || replica.future;
        if (!replica.future) where[replica.partition] = directory.path;
      }
    }
    if (!under_way) {
      int status = 0;
      for (const auto& [replica, path] : moving) {
        const std::string& now = where[replica.partition];
        if (now == path) continue;
        print("{} is in {}, not in {}\n", replica.partition.text(), now.empty() ? "no directory" : now, path);
        status = 1;
      }
      return status;
    }
    if (interrupt.wait_for(200ms)) return interrupt.status();
  }
}

int alter(const Options& options, Session& session, blocking::Admin& admin) {
  Result<std::int32_t> broker = chosen_broker(options, admin);
  if (!broker) return fail_text(reason_of(broker.error()));
  std::map<Replica, std::string> targets;
  for (const std::string& text : options.all_of("replica")) {
    Result<void> added = add_target(text, *broker, targets);
    if (!added) return fail_text(reason_of(added.error()));
  }
  Result<AlterReplicaLogDirs::Outcome> altered = admin.alter_replica_log_dirs({.targets = targets});
  if (!altered) return fail_text(reason_of(altered.error()));
  std::map<Replica, std::string> begun;
  int status = 0;
  for (const auto& [replica, result] : *altered) {
    const std::string& path = targets.at(replica);
    if (result) {
      print("{}: moving to {} on broker {}\n", replica.partition.text(), path, *broker);
      begun.emplace(replica, path);
    } else {
      status = fail_with("{} to {}: {}", replica.partition.text(), path,
                         reason_of(result.error(), replica.partition.text()));
    }
  }
  if (!options.has("wait") || begun.empty()) return status;
  Result<int> waited = wait_moved(session, admin, *broker, begun);
  if (!waited) return fail_text(reason_of(waited.error()));
  return *waited != 0 ? *waited : status;
}

}  // namespace

int run_log_dirs(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  const bool altering = options.has("alter");
  if (const auto status = options.check_required({altering ? "replica" : "describe"})) return *status;
  if (altering) {
    if (const auto status = options.check_exclusive("alter", {"describe", "broker-list", "topic-list"})) return *status;
  }
  std::set<std::string> topics;
  for (const std::string& topic : split(options.text_or("topic-list", ""), ',')) {
    if (!topic.empty()) topics.insert(topic);
  }
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  if (altering) return alter(options, session, *admin);
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
