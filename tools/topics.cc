#include <charconv>
#include <limits>
#include <map>
#include <set>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"
#include "tools/topic_filter.h"

namespace klamm::tools {
namespace {

constexpr std::string_view kActions[] = {"create", "delete", "alter", "describe", "list"};

Options declare() {
  Options options("topics", "Creates, lists, describes, changes and deletes topics.");
  options.flag("--create", "Create a topic.");
  options.flag("--list", "List the topics' names.");
  options.flag("--describe", "Describe topics: partitions, leaders, replicas, configuration.");
  options.flag("--alter", "Change the number of partitions.");
  options.flag("--delete", "Delete topics.");
  options.admin_client(false);
  options.text("--topic", "topic", "The topic; but for --create also a regular expression for several.");
  options.text("--topic-id", "id", "The topic to describe, by its id.");
  options.int32("--partitions", "count", "The number of partitions (default with --create: the cluster's default).");
  options.int32("--replication-factor", "count", "The replicas of each partition (default: the cluster's default).");
  options.text("--replica-assignment", "1:2,2:3,...",
               "The brokers of each partition, partition 0 first, the preferred leader first.");
  options.many("--config", "name=value", "A topic configuration, with --create.");
  options.many("--delete-config", "name", "No longer has an effect: use `klamm configs`.");
  options.flag("--if-not-exists", "With --create: no error if the topic is there already.");
  options.flag("--if-exists", "With --alter, --delete, --describe: no error if the topic is not there.");
  options.flag("--exclude-internal", "Leave internal topics out when listing or describing.");
  options.flag("--topics-with-overrides", "Describe only topics with configurations of their own.");
  options.flag("--under-replicated-partitions", "Describe only partitions with replicas that are not in sync.");
  options.flag("--unavailable-partitions", "Describe only partitions without a leader that is there.");
  options.flag("--under-min-isr-partitions",
               "Describe only partitions with fewer in-sync replicas than min.insync.replicas.");
  options.flag("--at-min-isr-partitions",
               "Describe only partitions with exactly min.insync.replicas in-sync replicas.");
  options.int32("--partition-size-limit-per-response", "count", "The most partitions that one response may describe.");
  return options;
}

// A fault with the sentence that Kafka's tool prints for it.
int failed(std::string_view sentence, std::string_view code = {}) {
  print("Error while executing topic command : {}\n", sentence);
  flush_output();
  fmt::print(stderr, "klamm topics: failed{}{}\n", code.empty() ? "" : " with ", code);
  return 1;
}

int failed(const Error& error, std::string_view topic = {}) {
  const bool from_broker = error.code().category() == protocol::kafka_category();
  return failed(reason_of(error, fmt::format("topic {}", topic)),
                from_broker ? protocol::name(protocol::code_of(error)) : std::string_view());
}

std::optional<int> check(const Options& options, bool no_arguments) {
  if (no_arguments) return options.usage_error("Create, delete, describe, or change a topic.");
  int actions = 0;
  for (const std::string_view action : kActions) actions += options.has(action) ? 1 : 0;
  if (actions != 1) {
    return options.usage_error(
        "Command must include exactly one action: --list, --describe, --create, --alter or --delete");
  }
  if (!options.has("bootstrap-server")) return options.usage_error("--bootstrap-server must be specified");
  if (options.has("describe") && options.has("if-exists") && !options.has("topic") && !options.has("topic-id")) {
    return options.usage_error("--topic or --topic-id is required to describe a topic");
  }
  if (options.has("create") || options.has("delete")) {
    if (const auto status = options.check_required({"topic"})) return status;
  }
  if (options.has("alter")) {
    if (options.has("config"))
      return options.usage_error(
          "Option combination \"[bootstrap-server],[config]\" can't be used with option \"[alter]\" (the kafka-configs "
          "CLI supports altering topic configs with a --bootstrap-server option)");
    if (const auto status = options.check_required({"partitions"})) return status;
  }
  // An option, and the actions it goes with.
  struct Rule {
    std::string_view option;
    std::set<std::string_view> actions;
  };
  const Rule rules[] = {
      {"config", {"create", "alter"}},
      {"partitions", {"create", "alter"}},
      {"replication-factor", {"create"}},
      {"replica-assignment", {"create", "alter"}},
      {"under-replicated-partitions", {"describe"}},
      {"under-min-isr-partitions", {"describe"}},
      {"at-min-isr-partitions", {"describe"}},
      {"unavailable-partitions", {"describe"}},
      {"topics-with-overrides", {"describe"}},
      {"if-exists", {"alter", "delete", "describe"}},
      {"if-not-exists", {"create"}},
      {"exclude-internal", {"list", "describe"}},
  };
  for (const Rule& rule : rules) {
    for (const std::string_view action : kActions) {
      if (rule.actions.contains(action)) continue;
      if (const auto status = options.check_exclusive(rule.option, {action})) return status;
    }
  }
  if (options.has("create")) return options.check_exclusive("replica-assignment", {"partitions", "replication-factor"});
  return std::nullopt;
}

// "1:2,2:3" from its first list on.
Result<std::vector<std::vector<std::int32_t>>> parse_assignment(std::string_view text) {
  std::vector<std::vector<std::int32_t>> lists;
  for (const std::string& list : split(text, ',')) {
    std::vector<std::int32_t>& brokers = lists.emplace_back();
    for (const std::string& word : split(list, ':')) {
      const std::string_view digits = trimmed(word);
      std::int32_t id = -1;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
      if (error != std::errc() || end != digits.data() + digits.size())
        return fail(Errc::invalid_argument, fmt::format("For input string: \"{}\"", digits));
      brokers.push_back(id);
    }
    if (std::set<std::int32_t>(brokers.begin(), brokers.end()).size() != brokers.size()) {
      return fail(Errc::invalid_argument,
                  fmt::format("Partition replica lists may not contain duplicate entries: {}", joined(brokers, ",")));
    }
    if (brokers.size() != lists.front().size()) {
      return fail(Errc::invalid_argument, fmt::format("Partition {} has different replication factor: [{}]",
                                                      lists.size() - 1, joined(brokers, ", ")));
    }
  }
  return lists;
}

class Topics {
 public:
  Topics(const Options& options, blocking::Admin& admin) : options_(options), admin_(admin) {}
  int create();
  int list();
  int alter();
  int remove();
  int describe();

 private:
  // The names that --topic means, sorted. Fails with the sentence of a wrong pattern, or as the admin client does.
  Result<std::vector<std::string>> matching();
  bool must_exist() const { return options_.has("topic") && !options_.has("if-exists"); }
  int missing() const {
    return failed(fmt::format("Topic '{}' does not exist as expected", *options_.text_of("topic")));
  }

  using Descriptions = std::vector<TopicDescription>;
  using Configs = std::vector<ConfigEntry>;
  Result<Descriptions> descriptions(const std::vector<std::string>& names);
  void print_topic(const TopicDescription& topic, const Configs& configs,
                   const ListReassignments::Outcome& moving) const;
  void print_partition(const TopicDescription& topic, const PartitionDescription& partition, const Configs& configs,
                       const Reassignment* moving, const std::set<std::int32_t>& live) const;
  bool wanted(const PartitionDescription& partition, const Configs& configs, const Reassignment* moving,
              const std::set<std::int32_t>& live) const;

  const Options& options_;
  blocking::Admin& admin_;
};

Result<std::vector<std::string>> Topics::matching() {
  Result<ListTopics::Outcome> listed = admin_.list_topics({.internal = true});
  KLAMM_TRY(listed);
  std::optional<TopicFilter> filter;
  if (const auto pattern = options_.text_of("topic")) {
    Result<TopicFilter> made = TopicFilter::create(*pattern);
    KLAMM_TRY(made);
    filter = std::move(*made);
  }
  std::set<std::string> names;
  for (const TopicListing& topic : *listed) {
    if (options_.has("exclude-internal") && (topic.internal || is_internal_topic(topic.name))) continue;
    if (!filter || filter->matches(topic.name)) names.insert(topic.name);
  }
  return std::vector<std::string>(names.begin(), names.end());
}

int Topics::create() {
  NewTopic topic;
  topic.name = *options_.text_of("topic");
  if (const auto count = options_.number_of("partitions")) {
    if (*count < 1) return failed("The partitions must be greater than 0");
    topic.partitions = static_cast<std::int32_t>(*count);
  }
  if (const auto factor = options_.number_of("replication-factor")) {
    if (*factor < 1 || *factor > std::numeric_limits<std::int16_t>::max())
      return failed("The replication factor must be between 1 and 32767 inclusive");
    topic.replication_factor = static_cast<std::int16_t>(*factor);
  }
  for (const std::string& text : options_.all_of("config")) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return failed(
          "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".");
    }
    topic.configs.insert_or_assign(std::string(trimmed(std::string_view(text).substr(0, equals))),
                                   std::string(trimmed(std::string_view(text).substr(equals + 1))));
  }
  if (const auto text = options_.text_of("replica-assignment")) {
    Result<std::vector<std::vector<std::int32_t>>> assignment = parse_assignment(*text);
    if (!assignment) return failed(assignment.error().context());
    topic.assignments = std::move(*assignment);
  }
  if (topic.name.find_first_of("._") != std::string::npos) {
    print(
        "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could collide. "
        "To avoid issues it is best to use either, but not both.\n");
  }
  const std::string name = topic.name;
  Result<CreateTopics::Outcome> done = admin_.create_topics({.topics = {std::move(topic)}});
  if (!done) return failed(done.error());
  for (const auto& [created, result] : *done) {
    if (result) continue;
    if (options_.has("if-not-exists") && result.error() == make_error_code(ErrorCode::topic_already_exists)) return 0;
    return failed(result.error(), created);
  }
  print("Created topic {}.\n", name);
  return 0;
}

int Topics::list() {
  Result<std::vector<std::string>> names = matching();
  if (!names) return failed(names.error());
  print("{}\n", joined(*names, "\n"));
  return 0;
}

int Topics::alter() {
  Result<std::vector<std::string>> names = matching();
  if (!names) return failed(names.error());
  if (names->empty()) return must_exist() ? missing() : 0;
  NewPartitions wanted;
  wanted.total_count = static_cast<std::int32_t>(options_.number_or("partitions", 0));
  std::vector<std::vector<std::int32_t>> assignment;
  if (const auto text = options_.text_of("replica-assignment")) {
    Result<std::vector<std::vector<std::int32_t>>> parsed = parse_assignment(*text);
    if (!parsed) return failed(parsed.error().context());
    assignment = std::move(*parsed);
  }
  Result<Descriptions> described = descriptions(*names);
  if (!described) return failed(described.error());
  CreatePartitions request;
  for (const TopicDescription& topic : *described) {
    NewPartitions& partitions = request.topics[topic.name] = wanted;
    for (std::size_t index = topic.partitions.size(); index < assignment.size(); ++index)
      partitions.assignments.push_back(assignment[index]);
  }
  Result<CreatePartitions::Outcome> done = admin_.create_partitions(std::move(request));
  if (!done) return failed(done.error());
  for (const auto& [name, result] : *done) {
    if (!result) return failed(result.error(), name);
  }
  return 0;
}

int Topics::remove() {
  Result<std::vector<std::string>> names = matching();
  if (!names) return failed(names.error());
  if (names->empty()) return must_exist() ? missing() : 0;
  Result<DeleteTopics::Outcome> done = admin_.delete_topics({.names = *names});
  if (!done) return failed(done.error());
  for (const auto& [name, result] : *done) {
    if (!result) return failed(result.error(), name);
  }
  return 0;
}

Result<Topics::Descriptions> Topics::descriptions(const std::vector<std::string>& names) {
  DescribeTopics request{.names = names};
  // A number below 1 counts as 1, as it does for Kafka's broker.
  request.partitions_per_response = static_cast<std::int32_t>(std::max<std::int64_t>(
      1, options_.number_or("partition-size-limit-per-response", request.partitions_per_response)));
  Result<DescribeTopics::Outcome> done = admin_.describe_topics(std::move(request));
  KLAMM_TRY(done);
  Descriptions found;
  for (const std::string& name : java_map_order(names)) {
    auto one = done->find(name);
    if (one == done->end()) continue;
    KLAMM_TRY(one->second);
    found.push_back(std::move(*one->second));
  }
  return found;
}

int Topics::describe() {
  Descriptions topics;
  const std::optional<Uuid> id = Uuid::parse(options_.text_or("topic-id", Uuid().text()));
  if (!id)
    return failed(fmt::format("Input string `{}` decoded as an invalid topic id: 22 characters of base64 are wanted",
                              *options_.text_of("topic-id")));
  if (!id->is_zero()) {
    Result<DescribeTopics::Outcome> done = admin_.describe_topics({.ids = {*id}});
    if (!done) return failed(done.error());
    for (auto& [text, topic] : *done) {
      if (topic) topics.push_back(std::move(*topic));
    }
    if (topics.empty() && !options_.has("if-exists"))
      return failed(fmt::format("TopicId '{}' does not exist as expected", id->text()));
  } else {
    Result<std::vector<std::string>> names = matching();
    if (!names) return failed(names.error());
    if (names->empty()) return must_exist() ? missing() : 0;
    Result<Descriptions> found = descriptions(*names);
    if (!found) return failed(found.error());
    topics = std::move(*found);
  }
  if (topics.empty()) return 0;

  DescribeConfigs configs;
  for (const TopicDescription& topic : topics) configs.resources.push_back({ConfigResourceType::topic, topic.name});
  Result<DescribeConfigs::Outcome> described = admin_.describe_configs(std::move(configs));
  if (!described) return failed(described.error());
  Result<DescribeCluster::Outcome> cluster = admin_.describe_cluster({});
  if (!cluster) return failed(cluster.error());
  std::set<std::int32_t> live;
  for (const Node& node : cluster->nodes) live.insert(node.id);
  ListReassignments::Outcome moving;
  if (Result<ListReassignments::Outcome> listed = admin_.list_reassignments({})) moving = std::move(*listed);

  for (const TopicDescription& topic : topics) {
    const auto found = described->find({ConfigResourceType::topic, topic.name});
    if (found == described->end()) continue;
    if (!found->second) return failed(found->second.error(), topic.name);
    print_topic(topic, *found->second, moving);
    if (options_.has("topics-with-overrides")) continue;
    for (const PartitionDescription& partition : topic.partitions) {
      const auto move = moving.find({topic.name, partition.partition});
      print_partition(topic, partition, *found->second, move == moving.end() ? nullptr : &move->second, live);
    }
  }
  return 0;
}

void Topics::print_topic(const TopicDescription& topic, const Configs& configs,
                         const ListReassignments::Outcome& moving) const {
  for (const char* filter :
       {"under-replicated-partitions", "unavailable-partitions", "under-min-isr-partitions", "at-min-isr-partitions"}) {
    if (options_.has(filter)) return;
  }
  std::map<std::string, std::string> own;
  std::vector<std::string> names;
  for (const ConfigEntry& entry : configs) {
    names.push_back(entry.name);
    if (entry.source != ConfigSource::default_value)
      own.insert_or_assign(entry.name, entry.name + "=" + entry.value.value_or("null"));
  }
  if (options_.has("topics-with-overrides") && own.empty()) return;
  std::vector<std::string> texts;
  for (const std::string& name : java_map_order(names)) {
    if (const auto found = own.find(name); found != own.end()) texts.push_back(found->second);
  }
  std::size_t factor = topic.partitions.empty() ? 0 : topic.partitions.front().replicas.size();
  if (const auto move = moving.find({topic.name, 0}); move != moving.end())
    factor = move->second.replicas.size() - move->second.adding_replicas.size();
  print("Topic: {}\tTopicId: {}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n", topic.name, topic.id.text(),
        topic.partitions.size(), factor, joined(texts, ","));
}

bool Topics::wanted(const PartitionDescription& partition, const Configs& configs, const Reassignment* moving,
                    const std::set<std::int32_t>& live) const {
  std::size_t least = 1;
  for (const ConfigEntry& entry : configs) {
    if (entry.name == "min.insync.replicas" && entry.value)
      std::from_chars(entry.value->data(), entry.value->data() + entry.value->size(), least);
  }
  const std::size_t factor =
      moving != nullptr ? moving->replicas.size() - moving->adding_replicas.size() : partition.replicas.size();
  const bool has_leader = partition.leader >= 0;
  const std::size_t in_sync = partition.in_sync_replicas.size();
  const std::pair<const char*, bool> filters[] = {
      {"under-replicated-partitions", in_sync < factor},
      {"unavailable-partitions", !has_leader || !live.contains(partition.leader)},
      {"under-min-isr-partitions", !has_leader || in_sync < least},
      {"at-min-isr-partitions", has_leader && in_sync == least},
  };
  bool filtered = false;
  for (const auto& [name, holds] : filters) {
    if (!options_.has(name)) continue;
    filtered = true;
    if (holds) return true;
  }
  return !filtered;
}

void Topics::print_partition(const TopicDescription& topic, const PartitionDescription& partition,
                             const Configs& configs, const Reassignment* moving,
                             const std::set<std::int32_t>& live) const {
  if (!wanted(partition, configs, moving, live)) return;
  const auto known = [](const std::optional<std::vector<std::int32_t>>& ids) {
    return ids ? joined(*ids, ",") : std::string("N/A");
  };
  std::string line = fmt::format("\tTopic: {}\tPartition: {}\tLeader: {}\tReplicas: {}\tIsr: {}", topic.name,
                                 partition.partition, partition.leader < 0 ? "none" : std::to_string(partition.leader),
                                 joined(partition.replicas, ","), joined(partition.in_sync_replicas, ","));
  if (moving != nullptr) {
    line += fmt::format("\tAdding Replicas: {}\tRemoving Replicas: {}", joined(moving->adding_replicas, ","),
                        joined(moving->removing_replicas, ","));
  }
  print("{}\tElr: {}\tLastKnownElr: {}\n", line, known(partition.eligible_leader_replicas),
        known(partition.last_known_elr));
}

}  // namespace

int run_topics(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (const auto status = check(options, arguments.empty())) return *status;
  if (options.has("delete-config")) {
    fmt::print(stderr,
               "delete-config option is no longer supported and deprecated since version 4.0. The config will be fully "
               "removed in future releases.\n");
  }
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Topics topics(options, *admin);
  if (options.has("create")) return topics.create();
  if (options.has("list")) return topics.list();
  if (options.has("alter")) return topics.alter();
  if (options.has("delete")) return topics.remove();
  return topics.describe();
}

}  // namespace klamm::tools
