#include "tools/reassignment.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

#include "tools/output.h"

namespace klamm::tools {
namespace {

using Json = nlohmann::json;

tl::unexpected<Error> wrong(std::string text) { return fail(Errc::invalid_argument, std::move(text)); }

// The object, if its version is one that is known.
Result<Json> parse_object(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return wrong("The input string is not a valid JSON");
  const auto version = json.find("version");
  if (version == json.end()) return json;
  if (!version->is_number_integer()) return wrong("\"version\" is not a number: " + version->dump());
  if (*version != 1) return wrong("Not supported version field value " + version->dump());
  return json;
}

// A member that must be there, of the type that `is` tells.
Result<Json> member(const Json& object, const char* name, bool (Json::*is)() const noexcept, std::string_view what) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end() || !((*found).*is)()) {
    return wrong(fmt::format("\"{}\", {}, is missing in {}", name, what,
                             object.dump(-1, ' ', false, Json::error_handler_t::replace)));
  }
  return *found;
}

Result<std::int32_t> number_of(const Json& json) {
  const std::int64_t number = json.is_number_integer() ? json.get<std::int64_t>() : -1;
  if (number < 0 || number > std::numeric_limits<std::int32_t>::max())
    return wrong("a broker's id is expected, not " + json.dump(-1, ' ', false, Json::error_handler_t::replace));
  return static_cast<std::int32_t>(number);
}

Result<void> add_partition(const Json& json, ReassignmentPlan& plan) {
  Result<Json> topic = member(json, "topic", &Json::is_string, "the topic's name");
  KLAMM_TRY(topic);
  Result<Json> index = member(json, "partition", &Json::is_number_integer, "the partition's number");
  KLAMM_TRY(index);
  Result<Json> replicas = member(json, "replicas", &Json::is_array, "the brokers");
  KLAMM_TRY(replicas);
  Result<std::int32_t> number = number_of(*index);
  KLAMM_TRY(number);
  const TopicPartition partition{topic->get<std::string>(), *number};
  std::vector<std::int32_t> brokers;
  for (const Json& one : *replicas) {
    Result<std::int32_t> broker = number_of(one);
    KLAMM_TRY(broker);
    brokers.push_back(*broker);
  }
  if (json.contains("log_dirs")) {
    Result<Json> paths = member(json, "log_dirs", &Json::is_array, "the directories");
    KLAMM_TRY(paths);
    std::vector<std::string> texts;
    for (const Json& path : *paths) {
      if (!path.is_string()) return wrong("\"log_dirs\" holds what is no text");
      texts.push_back(path.get<std::string>());
    }
    if (texts.size() != brokers.size()) {
      return wrong(
          fmt::format("Size of replicas list [{}] is different from size of log dirs list [{}] for partition {}",
                      joined(brokers, ", "), joined(texts, ", "), partition.text()));
    }
    for (std::size_t at = 0; at < brokers.size(); ++at) {
      if (texts[at] != "any") plan.directories.insert_or_assign({partition, brokers[at]}, texts[at]);
    }
  }
  plan.targets.emplace_back(partition, std::move(brokers));
  return {};
}

// What is there more than once, in its order.
template <typename T>
std::vector<T> duplicates(const std::vector<T>& list) {
  std::map<T, int> counts;
  std::vector<T> found;
  for (const T& one : list) {
    if (++counts[one] == 2) found.push_back(one);
  }
  return found;
}

std::map<std::string, std::string> throttles(const Moves& moves, bool leaders) {
  std::map<std::string, std::set<std::string>> lists;
  for (const auto& [partition, move] : moves) {
    for (const std::int32_t broker : leaders ? move.sources : move.destinations) {
      if (!leaders && move.sources.contains(broker)) continue;
      lists[partition.topic].insert(fmt::format("{}:{}", partition.partition, broker));
    }
  }
  std::map<std::string, std::string> values;
  for (const auto& [topic, list] : lists) values[topic] = joined(list, ",");
  return values;
}

}  // namespace

Result<ReassignmentPlan> parse_plan(std::string_view json) {
  Result<Json> object = parse_object(json);
  KLAMM_TRY(object);
  ReassignmentPlan plan;
  const auto partitions = object->find("partitions");
  if (partitions == object->end()) return plan;
  if (!partitions->is_array()) return wrong("\"partitions\" is not a list");
  for (const Json& one : *partitions) {
    Result<void> added = add_partition(one, plan);
    KLAMM_TRY(added);
  }
  return plan;
}

Result<ReassignmentPlan> parse_plan_to_execute(std::string_view json) {
  Result<ReassignmentPlan> plan = parse_plan(json);
  KLAMM_TRY(plan);
  if (plan->targets.empty()) return wrong("Partition reassignment list cannot be empty");
  std::vector<TopicPartition> partitions;
  std::vector<std::string> faults;
  for (const auto& [partition, replicas] : plan->targets) {
    if (replicas.empty()) return wrong("Partition replica list cannot be empty");
    partitions.push_back(partition);
    if (const auto twice = duplicates(replicas); !twice.empty())
      faults.push_back(fmt::format("{} contains multiple entries for {}", partition.text(), joined(twice, ",")));
  }
  if (const auto twice = duplicates(partitions); !twice.empty()) {
    std::vector<std::string> texts;
    texts.reserve(twice.size());
    for (const TopicPartition& partition : twice) texts.push_back(partition.text());
    return wrong("Partition reassignment contains duplicate topic partitions: " + joined(texts, ","));
  }
  if (!faults.empty())
    return wrong("Partition replica lists may not contain duplicate entries: " + joined(faults, ". "));
  return plan;
}

Result<std::vector<std::string>> parse_topics(std::string_view json) {
  Result<Json> object = parse_object(json);
  KLAMM_TRY(object);
  std::vector<std::string> topics;
  const auto list = object->find("topics");
  if (list == object->end()) return topics;
  if (!list->is_array()) return wrong("\"topics\" is not a list");
  for (const Json& one : *list) {
    Result<Json> topic = member(one, "topic", &Json::is_string, "the topic's name");
    KLAMM_TRY(topic);
    topics.push_back(topic->get<std::string>());
  }
  if (const auto twice = duplicates(topics); !twice.empty())
    return wrong(fmt::format("List of topics to reassign contains duplicate entries: [{}]", joined(twice, ", ")));
  return topics;
}

Result<std::vector<std::int32_t>> parse_brokers(std::string_view list) {
  std::vector<std::int32_t> brokers;
  for (const std::string& word : split(list, ',')) {
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size())
      return wrong(fmt::format("For input string: \"{}\"", word));
    brokers.push_back(id);
  }
  if (const auto twice = duplicates(brokers); !twice.empty())
    return wrong(fmt::format("Broker list contains duplicate entries: [{}]", joined(twice, ", ")));
  return brokers;
}

std::string plan_json(const Assignment& assignment, const Directories& directories) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& [partition, replicas] : assignment) {
    std::vector<std::string> paths;
    for (const std::int32_t broker : replicas) {
      const auto path = directories.find({partition, broker});
      paths.push_back(path == directories.end() ? "any" : path->second);
    }
    list.push_back(
        {{"topic", partition.topic}, {"partition", partition.partition}, {"replicas", replicas}, {"log_dirs", paths}});
  }
  const nlohmann::ordered_json json = {{"version", 1}, {"partitions", std::move(list)}};
  return json.dump();
}

Moves proposed_moves(const ListReassignments::Outcome& under_way, const Assignment& proposed,
                     const Assignment& current) {
  Moves moves;
  for (const auto& [partition, reassignment] : under_way) {
    PartitionMove& move = moves[partition];
    move.sources.insert(reassignment.replicas.begin(), reassignment.replicas.end());
    move.destinations.insert(reassignment.adding_replicas.begin(), reassignment.adding_replicas.end());
    for (const std::int32_t broker : reassignment.adding_replicas) move.sources.erase(broker);
  }
  for (const auto& [partition, replicas] : proposed) {
    PartitionMove& move = moves[partition];
    if (!under_way.contains(partition)) {
      if (const auto now = current.find(partition); now != current.end())
        move.sources.insert(now->second.begin(), now->second.end());
    }
    move.destinations.clear();
    for (const std::int32_t broker : replicas) {
      if (!move.sources.contains(broker)) move.destinations.insert(broker);
    }
  }
  return moves;
}

std::set<std::int32_t> moving_brokers(const Moves& moves) {
  std::set<std::int32_t> brokers;
  for (const auto& [partition, move] : moves) {
    brokers.insert(move.sources.begin(), move.sources.end());
    brokers.insert(move.destinations.begin(), move.destinations.end());
  }
  return brokers;
}

std::map<std::string, std::string> leader_throttles(const Moves& moves) { return throttles(moves, true); }
std::map<std::string, std::string> follower_throttles(const Moves& moves) { return throttles(moves, false); }

}  // namespace klamm::tools
