#include <limits>

#include "base/random.h"
#include "broker/controller/placement.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/move_throttles.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/reassignment.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kActions[] = {"generate", "execute", "verify", "cancel", "list"};
Options declare() {
  Options options("reassign-partitions", "Moves partitions to other brokers, and replicas to other directories.");
  options.flag("--generate",
               "Propose a plan that spreads the topics of --topics-to-move-json-file over --broker-list.");
  options.flag("--execute", "Start the plan of --reassignment-json-file.");
  options.flag("--verify", "Tell how far the plan is; once it is done, take its throttles away.");
  options.flag("--cancel", "End the moves of the plan that are under way.");
  options.flag("--list", "Print all moves that are under way.");
  options.admin_client(false).admin_controllers();
  options.text("--reassignment-json-file", "file",
               R"(The plan: {"version": 1, "partitions": [{"topic": "foo", "partition": 1, "replicas": [1, 2], )"
               R"("log_dirs": ["any", "/data"]}]}; log_dirs may be left out.)");
  options.text("--topics-to-move-json-file", "file", R"({"version": 1, "topics": [{"topic": "foo"}]})");
  options.text("--broker-list", "0,1,2", "The brokers to spread the topics over.");
  options.flag("--disable-rack-aware", "With --generate: racks do not matter.");
  options.int64("--throttle", "bytes/s", "With --execute: the most that each broker sends and receives for moves.");
  options.int64("--replica-alter-log-dirs-throttle", "bytes/s",
                "With --execute: the most that each broker copies between its directories.");
  options.int64("--timeout", "ms", "How long to try until moves between directories have begun (default: 10000).");
  options.flag("--additional", "With --execute: although others are under way; also changes their throttle.");
  options.flag("--preserve-throttles", "With --verify and --cancel: leave throttles as they are.");
  options.flag("--disallow-replication-factor-change",
               "With --execute: refuse a plan that changes the number of a partition's replicas.");
  return options;
}

std::optional<int> check(const Options& options) {
  std::vector<std::string_view> chosen;
  for (const std::string_view action : kActions) {
    if (options.has(action)) chosen.push_back(action);
  }
  if (chosen.size() != 1) {
    return options.usage_error(
        "Command must include exactly one action: --cancel, --execute, --generate, --list, --verify");
  }
  if (const auto status = options.check_bootstrap()) return status;
  const std::string_view action = chosen.front();
  const bool by_plan = action == "execute" || action == "verify" || action == "cancel";
  if (by_plan) {
    if (const auto status = options.check_required({"reassignment-json-file"})) return status;
  }
  if (action == "generate") {
    if (const auto status = options.check_required({"broker-list", "topics-to-move-json-file"})) return status;
  }
  // An option, and the actions that it goes with.
  const std::pair<std::string_view, std::vector<std::string_view>> rules[] = {
      {"reassignment-json-file", {"execute", "verify", "cancel"}},
      {"topics-to-move-json-file", {"generate"}},
      {"broker-list", {"generate"}},
      {"disable-rack-aware", {"generate"}},
      {"throttle", {"execute"}},
      {"replica-alter-log-dirs-throttle", {"execute"}},
      {"timeout", {"execute", "cancel"}},
      {"additional", {"execute"}},
      {"preserve-throttles", {"verify", "cancel"}},
      {"disallow-replication-factor-change", {"execute"}},
      {"bootstrap-controller", {"cancel", "list"}},
  };
  for (const auto& [option, actions] : rules) {
    if (!options.has(option) || std::find(actions.begin(), actions.end(), action) != actions.end()) continue;
    return options.usage_error(fmt::format("Option \"[{}]\" can't be used with action \"[{}]\"", option, action));
  }
  return std::nullopt;
}

// Kafka's tool tells its faults on standard output. What refuses a plan is told as it is, other faults as errors.
int tell(const Error& error) {
  const bool of_client = error.code().category() == protocol::kafka_category();
  print("Error: {}{}\n", of_client ? "org.apache.kafka.common.errors." + exception_of(error) + ": " : "",
        reason_of(error));
  return fail_text("klamm reassign-partitions: failed");
}
int refuse(std::string_view sentence) {
  print("{}\n", sentence);
  return 1;
}

std::string text_of(const AlterReplicaLogDirs::Replica& replica) {
  return fmt::format("{}-{}", replica.partition.text(), replica.broker);
}

// "t-0,t-1" of the keys.
template <typename Map>
std::string names_of(const Map& map) {
  std::vector<std::string> texts;
  texts.reserve(map.size());
  for (const auto& [partition, value] : map) texts.push_back(partition.text());
  return joined(texts, ",");
}

class Reassign {
 public:
  Reassign(const Options& options, Session& session, blocking::Admin& admin)
      : options_(options), session_(session), admin_(admin) {}
  Result<int> generate();
  Result<int> execute();
  Result<int> verify();
  Result<int> cancel();
  Result<int> list();

 private:
  using Plan = ReassignmentPlan;
  // What a replica's move between directories is doing.
  struct Whereabouts {
    bool told = false;  // by its broker
    std::string current;
    std::string future;
  };

  Result<Plan> plan(bool to_execute) const;
  Result<std::map<std::string, TopicDescription>> describe(const std::set<std::string>& topics, bool must_exist);
  Result<Assignment> replicas_of(const std::set<TopicPartition>& partitions);
  Result<std::map<AlterReplicaLogDirs::Replica, Whereabouts>> whereabouts(
      const std::set<AlterReplicaLogDirs::Replica>& replicas);
  Result<Directories> directories_of(const Assignment& assignment);
  // True if some are still under way.
  Result<bool> print_partitions(const Plan& plan);
  Result<bool> print_directories(const Directories& wanted);
  // Begins moves between directories, until all have begun or the time is over; the exit status.
  Result<int> move_directories(Directories left);

  const Options& options_;
  Session& session_;
  blocking::Admin& admin_;
};

Result<Reassign::Plan> Reassign::plan(bool to_execute) const {
  Result<std::string> content = file_content(*options_.text_of("reassignment-json-file"));
  KLAMM_TRY(content);
  return to_execute ? parse_plan_to_execute(*content) : parse_plan(*content);
}

Result<std::map<std::string, TopicDescription>> Reassign::describe(const std::set<std::string>& topics,
                                                                   bool must_exist) {
  std::map<std::string, TopicDescription> found;
  if (topics.empty()) return found;
  Result<DescribeTopics::Outcome> described =
      admin_.describe_topics({.names = std::vector<std::string>(topics.begin(), topics.end())});
  KLAMM_TRY(described);
  for (auto& [name, topic] : *described) {
    if (topic) {
      found.emplace(name, std::move(*topic));
    } else if (topic.error() != make_error_code(ErrorCode::unknown_topic_or_partition)) {
      return fail(topic.error());
    } else if (must_exist) {
      return fail(protocol::kafka_error(ErrorCode::unknown_topic_or_partition, "Topic " + name + " not found."));
    }
  }
  return found;
}

Result<Assignment> Reassign::replicas_of(const std::set<TopicPartition>& partitions) {
  std::set<std::string> topics;
  for (const TopicPartition& partition : partitions) topics.insert(partition.topic);
  Result<std::map<std::string, TopicDescription>> described = describe(topics, true);
  KLAMM_TRY(described);
  Assignment current;
  for (const auto& [name, topic] : *described) {
    for (const PartitionDescription& one : topic.partitions) {
      if (partitions.contains({name, one.partition})) current[{name, one.partition}] = one.replicas;
    }
  }
  std::map<TopicPartition, bool> missing;
  for (const TopicPartition& partition : partitions) {
    if (!current.contains(partition)) missing[partition];
  }
  if (missing.empty()) return current;
  return fail(
      protocol::kafka_error(ErrorCode::unknown_topic_or_partition, "Unable to find partition: " + names_of(missing)));
}

Result<std::map<AlterReplicaLogDirs::Replica, Reassign::Whereabouts>> Reassign::whereabouts(
    const std::set<AlterReplicaLogDirs::Replica>& replicas) {
  std::map<AlterReplicaLogDirs::Replica, Whereabouts> found;
  std::set<std::int32_t> brokers;
  std::vector<TopicPartition> partitions;
  for (const AlterReplicaLogDirs::Replica& replica : replicas) {
    brokers.insert(replica.broker);
    partitions.push_back(replica.partition);
    found[replica];
  }
  if (replicas.empty()) return found;
  Result<DescribeLogDirs::Outcome> described = admin_.describe_log_dirs(
      {.brokers = std::vector<std::int32_t>(brokers.begin(), brokers.end()), .partitions = partitions});
  KLAMM_TRY(described);
  for (const auto& [broker, directories] : *described) {
    if (!directories) continue;
    for (const LogDirDescription& directory : *directories) {
      for (const ReplicaInfo& replica : directory.replicas) {
        const auto wanted = found.find({replica.partition, broker});
        if (wanted == found.end()) continue;
        (replica.future ? wanted->second.future : wanted->second.current) = directory.path;
      }
    }
    for (auto& [replica, where] : found) where.told = where.told || replica.broker == broker;
  }
  return found;
}

Result<Directories> Reassign::directories_of(const Assignment& assignment) {
  std::set<AlterReplicaLogDirs::Replica> replicas;
  for (const auto& [partition, brokers] : assignment) {
    for (const std::int32_t broker : brokers) replicas.insert({partition, broker});
  }
  Result<std::map<AlterReplicaLogDirs::Replica, Whereabouts>> found = whereabouts(replicas);
  KLAMM_TRY(found);
  Directories directories;
  for (const auto& [replica, where] : *found) {
    if (!where.current.empty()) directories.emplace(replica, where.current);
  }
  return directories;
}

Result<int> Reassign::generate() {
  Result<std::string> content = file_content(*options_.text_of("topics-to-move-json-file"));
  KLAMM_TRY(content);
  Result<std::vector<std::int32_t>> brokers = parse_brokers(*options_.text_of("broker-list"));
  KLAMM_TRY(brokers);
  Result<std::vector<std::string>> topics = parse_topics(*content);
  KLAMM_TRY(topics);
  Result<std::map<std::string, TopicDescription>> described =
      describe(std::set<std::string>(topics->begin(), topics->end()), true);
  KLAMM_TRY(described);
  Result<DescribeCluster::Outcome> cluster = admin_.describe_cluster({});
  KLAMM_TRY(cluster);
  std::vector<controller::PlacementBroker> usable;
  std::size_t with_rack = 0;
  for (const Node& node : cluster->nodes) {
    if (std::find(brokers->begin(), brokers->end(), node.id) == brokers->end()) continue;
    usable.push_back({node.id, options_.has("disable-rack-aware") ? std::nullopt : node.rack, false});
    with_rack += usable.back().rack ? 1 : 0;
  }
  if (with_rack != 0 && with_rack != usable.size()) {
    return fail(Errc::invalid_argument,
                "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica "
                "assignment without rack information.");
  }
  Assignment current;
  Assignment proposed;
  Random random(static_cast<std::uint64_t>(session_.wall_ms()));
  for (const auto& [name, topic] : *described) {
    for (const PartitionDescription& one : topic.partitions) current[{name, one.partition}] = one.replicas;
    if (topic.partitions.empty()) continue;
    Result<std::vector<std::vector<std::int32_t>>> placed =
        controller::place_replicas(usable, static_cast<std::int32_t>(topic.partitions.size()),
                                   static_cast<std::int16_t>(topic.partitions.front().replicas.size()), random);
    if (!placed) return fail(Errc::invalid_argument, placed.error().context());
    for (std::size_t index = 0; index < placed->size(); ++index)
      proposed[{name, topic.partitions[index].partition}] = (*placed)[index];
  }
  Result<Directories> directories = directories_of(current);
  KLAMM_TRY(directories);
  print("Current partition replica assignment\n{}\n\n", plan_json(current, *directories));
  print("Proposed partition reassignment configuration\n{}\n", plan_json(proposed));
  return 0;
}

Result<int> Reassign::execute() {
  Result<Plan> wanted = plan(true);
  KLAMM_TRY(wanted);
  Result<ListReassignments::Outcome> under_way = admin_.list_reassignments({});
  KLAMM_TRY(under_way);
  if (!options_.has("additional") && !under_way->empty()) {
    return refuse(
        "Cannot execute because there is an existing partition assignment.  Use --additional to override this and "
        "create a new partition assignment in addition to the existing one. The --additional flag can also be used to "
        "change the throttle by resubmitting the current reassignment.");
  }
  Result<DescribeCluster::Outcome> cluster = admin_.describe_cluster({});
  KLAMM_TRY(cluster);
  Assignment proposed;
  std::set<TopicPartition> partitions;
  for (const auto& [partition, replicas] : wanted->targets) {
    proposed[partition] = replicas;
    partitions.insert(partition);
    for (const std::int32_t broker : replicas) {
      const auto same = [&](const Node& node) { return node.id == broker; };
      if (std::none_of(cluster->nodes.begin(), cluster->nodes.end(), same))
        return fail(Errc::invalid_argument, fmt::format("Unknown broker id {}", broker));
    }
  }
  Result<Assignment> current = replicas_of(partitions);
  KLAMM_TRY(current);
  Result<Directories> directories = directories_of(*current);
  KLAMM_TRY(directories);
  print(
      "Current partition replica assignment\n\n{}\n\nSave this to use as the --reassignment-json-file option during "
      "rollback\n",
      plan_json(*current, *directories));
  if (options_.number_or("throttle", -1) >= 0 || options_.number_or("replica-alter-log-dirs-throttle", -1) >= 0) {
    print(
        "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is "
        "removed.\n");
    const MoveRates rates{options_.number_of("throttle"), options_.number_of("replica-alter-log-dirs-throttle")};
    Result<void> throttled = set_throttles(admin_, rates, proposed_moves(*under_way, proposed, *current), *wanted);
    KLAMM_TRY(throttled);
  }
  AlterReassignments request;
  for (const auto& [partition, replicas] : proposed) request.targets[partition] = replicas;
  request.allow_replication_factor_change = !options_.has("disallow-replication-factor-change");
  Result<AlterReassignments::Outcome> altered = admin_.alter_reassignments(std::move(request));
  KLAMM_TRY(altered);
  std::vector<std::string> faults;
  for (const auto& [partition, result] : *altered) {
    if (!result) faults.push_back(partition.text() + ": " + reason_of(result.error(), partition.text()));
  }
  if (!faults.empty()) return refuse("Error reassigning partition(s):\n" + joined(faults, "\n"));
  print("Successfully started partition reassignment{} for {}\n", proposed.size() == 1 ? "" : "s", names_of(proposed));
  return wanted->directories.empty() ? Result<int>(0) : move_directories(wanted->directories);
}

Result<int> Reassign::move_directories(Directories left) {
  const Instant end = session_.now() + std::chrono::milliseconds(options_.number_or("timeout", 10000));
  Interrupt interrupt(session_.machine());
  for (;;) {
    Result<AlterReplicaLogDirs::Outcome> altered = admin_.alter_replica_log_dirs({.targets = left});
    KLAMM_TRY(altered);
    for (const auto& [replica, result] : *altered) {
      if (!result && result.error() != make_error_code(ErrorCode::replica_not_available)) {
        return fail(Errc::invalid_argument,
                    fmt::format("Failed to alter dir for {}: {}", text_of(replica), reason_of(result.error())));
      }
      if (!result) continue;
      print("Successfully started moving log directory to {} for replica {}-{} with broker {} \n", left.at(replica),
            replica.partition.topic, replica.partition.partition, replica.broker);
      left.erase(replica);
    }
    if (left.empty()) return 0;
    if (session_.now() >= end) {
      std::vector<std::string> texts;
      texts.reserve(left.size());
      for (const auto& [replica, path] : left) texts.push_back(text_of(replica));
      return refuse(fmt::format("Timed out before log directory move{} could be started for: {}",
                                left.size() == 1 ? "" : "s", joined(texts, ",")));
    }
    if (interrupt.wait_for(100ms)) return interrupt.status();
  }
}

Result<bool> Reassign::print_partitions(const Plan& plan) {
  Result<ListReassignments::Outcome> under_way = admin_.list_reassignments({});
  KLAMM_TRY(under_way);
  std::set<std::string> topics;
  for (const auto& [partition, replicas] : plan.targets) {
    if (!under_way->contains(partition)) topics.insert(partition.topic);
  }
  Result<std::map<std::string, TopicDescription>> described = describe(topics, false);
  KLAMM_TRY(described);
  Assignment wanted(plan.targets.begin(), plan.targets.end());
  bool ongoing = false;
  std::string text = "Status of partition reassignment:";
  for (const auto& [partition, replicas] : wanted) {
    if (under_way->contains(partition)) {
      ongoing = true;
      text += fmt::format("\nReassignment of partition {} is still in progress.", partition.text());
      continue;
    }
    std::vector<std::int32_t> current;
    if (const auto topic = described->find(partition.topic); topic != described->end()) {
      for (const PartitionDescription& one : topic->second.partitions) {
        if (one.partition == partition.partition) current = one.replicas;
      }
    }
    if (current == replicas) {
      text += fmt::format("\nReassignment of partition {} is completed.", partition.text());
    } else {
      text += fmt::format("\nThere is no active reassignment of partition {}, but replica set is {} rather than {}.",
                          partition.text(), joined(current, ","), joined(replicas, ","));
    }
  }
  print("{}\n", text);
  return ongoing;
}

Result<bool> Reassign::print_directories(const Directories& wanted) {
  std::set<AlterReplicaLogDirs::Replica> replicas;
  for (const auto& [replica, path] : wanted) replicas.insert(replica);
  Result<std::map<AlterReplicaLogDirs::Replica, Whereabouts>> found = whereabouts(replicas);
  KLAMM_TRY(found);
  bool ongoing = false;
  std::vector<std::string> lines;
  for (const auto& [replica, path] : wanted) {
    const Whereabouts& where = found->at(replica);
    const std::string partition = replica.partition.text();
    if (!where.told) {
      lines.push_back(fmt::format("Partition {} cannot be found in any live log directory on broker {}.", partition,
                                  replica.broker));
    } else if (where.current.empty()) {
      lines.push_back(
          fmt::format("Partition {} is not found in any live log dir on broker {}. There is likely an "
                      "offline log directory on the broker.",
                      partition, replica.broker));
    } else if (!where.future.empty()) {
      ongoing = true;
      lines.push_back(where.future == path
                          ? fmt::format("Reassignment of replica {} is still in progress.", text_of(replica))
                          : fmt::format("Partition {} on broker {} is being moved to log dir {} instead of {}.",
                                        partition, replica.broker, where.future, path));
    } else if (where.current != path) {
      lines.push_back(fmt::format("Partition {} on broker {} is not being moved from log dir {} to {}.", partition,
                                  replica.broker, where.current, path));
    } else {
      lines.push_back(fmt::format("Reassignment of replica {} completed successfully.", text_of(replica)));
    }
  }
  print("{}\n", joined(lines, "\n"));
  return ongoing;
}

Result<int> Reassign::verify() {
  Result<Plan> wanted = plan(false);
  KLAMM_TRY(wanted);
  Result<bool> partitions = print_partitions(*wanted);
  KLAMM_TRY(partitions);
  Result<bool> directories = print_directories(wanted->directories);
  KLAMM_TRY(directories);
  if (*partitions || *directories || options_.has("preserve-throttles")) return 0;
  Result<void> cleared = clear_throttles(admin_, *wanted);
  KLAMM_TRY(cleared);
  return 0;
}

Result<int> Reassign::cancel() {
  Result<Plan> wanted = plan(false);
  KLAMM_TRY(wanted);
  ListReassignments asked;
  asked.partitions.emplace();
  for (const auto& [partition, replicas] : wanted->targets) asked.partitions->push_back(partition);
  Result<ListReassignments::Outcome> under_way = admin_.list_reassignments(std::move(asked));
  KLAMM_TRY(under_way);
  if (under_way->empty()) {
    print("None of the specified partition reassignments are active.\n");
  } else {
    AlterReassignments request;
    for (const auto& [partition, reassignment] : *under_way) request.targets[partition] = std::nullopt;
    Result<AlterReassignments::Outcome> altered = admin_.alter_reassignments(std::move(request));
    KLAMM_TRY(altered);
    std::vector<std::string> faults;
    for (const auto& [partition, result] : *altered) {
      if (!result) faults.push_back(partition.text() + ": " + reason_of(result.error(), partition.text()));
    }
    if (!faults.empty()) {
      return refuse(fmt::format("Error cancelling partition reassignment{} for:\n{}", faults.size() == 1 ? "" : "s",
                                joined(faults, "\n")));
    }
    print("Successfully cancelled partition reassignment{} for: {}\n", under_way->size() == 1 ? "" : "s",
          names_of(*under_way));
  }
  std::set<AlterReplicaLogDirs::Replica> replicas;
  for (const auto& [replica, path] : wanted->directories) replicas.insert(replica);
  Result<std::map<AlterReplicaLogDirs::Replica, Whereabouts>> found = whereabouts(replicas);
  KLAMM_TRY(found);
  Directories back;
  for (const auto& [replica, where] : *found) {
    if (!where.current.empty() && !where.future.empty()) back.emplace(replica, where.current);
  }
  if (back.empty()) {
    print("None of the specified partition moves are active.");  // without an end of the line, as Kafka's tool does
  } else {
    Result<int> moved = move_directories(std::move(back));
    KLAMM_TRY(moved);
    if (*moved != 0) return moved;
  }
  if (options_.has("preserve-throttles")) return 0;
  Result<void> cleared = clear_throttles(admin_, *wanted);
  KLAMM_TRY(cleared);
  return 0;
}

Result<int> Reassign::list() {
  Result<ListReassignments::Outcome> under_way = admin_.list_reassignments({});
  KLAMM_TRY(under_way);
  if (under_way->empty()) {
    print("No partition reassignments found.\n");
    return 0;
  }
  print("Current partition reassignments:\n");
  for (const auto& [partition, move] : *under_way) {
    print("{}: replicas: {}.{}{}\n", partition.text(), joined(move.replicas, ","),
          move.adding_replicas.empty() ? "" : fmt::format(" adding: {}.", joined(move.adding_replicas, ",")),
          move.removing_replicas.empty() ? "" : fmt::format(" removing: {}.", joined(move.removing_replicas, ",")));
  }
  return 0;
}

}  // namespace

int run_reassign_partitions(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (const auto status = check(options)) return *status;
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Reassign tool(options, session, *admin);
  const Result<int> status = options.has("generate")  ? tool.generate()
                             : options.has("execute") ? tool.execute()
                             : options.has("verify")  ? tool.verify()
                             : options.has("cancel")  ? tool.cancel()
                                                      : tool.list();
  return status ? *status : tell(status.error());
}

}  // namespace klamm::tools
