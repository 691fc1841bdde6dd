#include "broker/controller/topics.h"

#include <algorithm>
#include <map>
#include <set>

#include "broker/config/describe.h"
#include "broker/config/topic_config.h"
#include "broker/controller/placement.h"
#include "broker/metadata/image_writer.h"

namespace klamm::controller {
namespace {

constexpr std::size_t kLongestTopicName = 249;

using Creatable = protocol::CreateTopicsRequest::CreatableTopic;
using CreateResult = protocol::CreateTopicsResponse::CreatableTopicResult;
using Replicas = std::vector<std::int32_t>;

// ---- Names

bool is_collision_char(char c) { return c == '.' || c == '_'; }

std::string unified(std::string_view name) {
  std::string result(name);
  std::replace(result.begin(), result.end(), '.', '_');
  return result;
}

// A topic whose name differs only in '.' and '_' (metric names do not tell them apart). Such names share what comes
// before the first of these characters.
std::optional<std::string> colliding_topic(const MetadataImage& image, std::string_view name) {
  const auto first = std::find_if(name.begin(), name.end(), is_collision_char);
  if (first == name.end()) return std::nullopt;
  const std::string_view prefix = name.substr(0, static_cast<std::size_t>(first - name.begin()));
  const std::string wanted = unified(name);
  const auto& topics = image.topics.by_name();
  for (auto at = topics.lower_bound(prefix); at != topics.end() && at->first.starts_with(prefix); ++at) {
    if (at->first != name && at->first.size() == name.size() && unified(at->first) == wanted) return at->first;
  }
  return std::nullopt;
}

// ---- Partitions

std::vector<PlacementBroker> placement_brokers(const Compute& compute) {
  std::vector<PlacementBroker> brokers;
  for (const auto& [id, broker] : compute.image.cluster.brokers) {
    if (broker->all_directories_cordoned()) continue;
    brokers.push_back({id, broker->rack, broker->fenced || broker->in_controlled_shutdown});
  }
  return brokers;
}

// A broker with one directory keeps all its replicas there; others choose for themselves.
Uuid default_directory(const Compute& compute, std::int32_t id) {
  const BrokerRegistration* broker = compute.broker(id);
  if (broker != nullptr && broker->directories.size() == 1) return broker->directories.front();
  return metadata::kUnassignedDirectory;
}

Replicas active_ones(const Compute& compute, const Replicas& replicas) {
  Replicas active;
  for (const std::int32_t replica : replicas) {
    if (compute.is_active(replica)) active.push_back(replica);
  }
  return active;
}

PartitionRegistration new_partition(const Compute& compute, const Replicas& replicas, Replicas isr) {
  PartitionRegistration partition;
  partition.replicas = replicas;
  for (const std::int32_t replica : replicas) partition.directories.push_back(default_directory(compute, replica));
  partition.leader = isr.front();
  partition.isr = std::move(isr);
  return partition;
}

// A replica list named by the client. `expected` is the size that all of them must have, once known.
Fault check_assignment(const Compute& compute, const Replicas& replicas, std::optional<std::size_t> expected) {
  constexpr ErrorCode kCode = ErrorCode::invalid_replica_assignment;
  if (replicas.empty()) return {kCode, "The manual partition assignment includes an empty replica list."};
  std::set<std::int32_t> seen;
  for (const std::int32_t replica : replicas) {
    if (compute.broker(replica) == nullptr) {
      return {kCode,
              fmt::format("The manual partition assignment includes broker {}, but no such broker is registered.",
                          replica)};
    }
    if (!seen.insert(replica).second) {
      return {kCode, fmt::format("The manual partition assignment includes the broker {} more than once.", replica)};
    }
  }
  if (expected && *expected != replicas.size()) {
    return {kCode,
            fmt::format("The manual partition assignment includes a partition with {} replica(s), but this is not "
                        "consistent with previous partitions, which have {} replica(s).",
                        replicas.size(), *expected)};
  }
  return {};
}

// ---- CreateTopics

// A topic on its way to being created.
struct NewTopic {
  Uuid id;
  std::vector<PartitionRegistration> partitions;
  config::BrokerLayers layers;
  ConfigMap configs;
};

Fault assign_manually(const Compute& compute, const Creatable& topic, NewTopic& made) {
  if (topic.replication_factor != -1) {
    return {ErrorCode::invalid_request,
            "A manual partition assignment was specified, but replication factor was not set to -1."};
  }
  if (topic.num_partitions != -1) {
    return {ErrorCode::invalid_request,
            "A manual partition assignment was specified, but numPartitions was not set to -1."};
  }
  std::map<std::int32_t, PartitionRegistration> partitions;
  std::optional<std::size_t> replication_factor;
  for (const auto& assignment : topic.assignments) {
    if (partitions.contains(assignment.partition_index)) {
      return {ErrorCode::invalid_replica_assignment,
              fmt::format("Found multiple manual partition assignments for partition {}", assignment.partition_index)};
    }
    if (Fault fault = check_assignment(compute, assignment.broker_ids, replication_factor)) return fault;
    replication_factor = assignment.broker_ids.size();
    Replicas isr = active_ones(compute, assignment.broker_ids);
    if (isr.empty()) {
      return {ErrorCode::invalid_replica_assignment,
              fmt::format("All brokers specified in the manual partition assignment for partition {} are fenced or in "
                          "controlled shutdown.",
                          assignment.partition_index)};
    }
    partitions.emplace(assignment.partition_index, new_partition(compute, assignment.broker_ids, std::move(isr)));
  }
  std::int32_t expected = 0;
  for (auto& [index, partition] : partitions) {
    if (index != expected++) {
      return {ErrorCode::invalid_replica_assignment, "partitions should be a consecutive 0-based integer sequence"};
    }
    made.partitions.push_back(std::move(partition));
  }
  return {};
}

Fault assign_automatically(const Compute& compute, const Creatable& topic, std::size_t records_so_far, NewTopic& made) {
  if (topic.replication_factor < -1 || topic.replication_factor == 0) {
    return {ErrorCode::invalid_replication_factor,
            "Replication factor must be larger than 0, or -1 to use the default value."};
  }
  if (topic.num_partitions < -1 || topic.num_partitions == 0) {
    return {ErrorCode::invalid_partitions, "Number of partitions was set to an invalid non-positive value."};
  }
  const std::int32_t partitions = topic.num_partitions == -1 ? compute.settings.num_partitions : topic.num_partitions;
  const std::int16_t replicas =
      topic.replication_factor == -1 ? compute.settings.default_replication_factor : topic.replication_factor;
  if (static_cast<std::size_t>(partitions) + records_so_far > kMaxRecordsPerRequest) {
    return {ErrorCode::policy_violation, "Excessively large number of partitions per request."};
  }
  const auto refused = [replicas](std::string_view why) {
    return Fault{ErrorCode::invalid_replication_factor,
                 fmt::format("Unable to replicate the partition {} time(s): {}", replicas, why)};
  };
  Result<std::vector<Replicas>> placed =
      place_replicas(placement_brokers(compute), partitions, replicas, compute.random);
  if (!placed) return refused(placed.error().context());
  for (const Replicas& assignment : *placed) {
    Replicas isr = active_ones(compute, assignment);
    if (isr.empty()) return refused("All brokers are currently fenced or in controlled shutdown.");
    made.partitions.push_back(new_partition(compute, assignment, std::move(isr)));
  }
  return {};
}

Fault check_configs(const Creatable& topic, NewTopic& made) {
  std::string nulls;
  for (const auto& config : topic.configs) {
    if (!config.value) nulls += (nulls.empty() ? "" : ",") + config.name;
    made.configs.insert_or_assign(config.name, config.value.value_or(""));
  }
  if (!nulls.empty()) return {ErrorCode::invalid_config, "Null value not supported for topic configs: " + nulls};
  Result<void> good = config::validate_topic_config(made.layers, made.configs);
  if (!good) return {ErrorCode::invalid_config, good.error().context()};
  return {};
}

void describe_configs(const NewTopic& made, CreateResult& result) {
  std::vector<protocol::CreateTopicsResponse::CreatableTopicConfigs> configs;
  for (const config::ConfigEntry& entry : config::describe_topic(made.layers, made.configs)) {
    auto& described = configs.emplace_back();
    described.name = entry.name;
    described.value = entry.value;
    described.read_only = entry.read_only;
    described.config_source = static_cast<std::int8_t>(entry.source);
    described.is_sensitive = entry.sensitive;
  }
  result.configs = std::move(configs);
}

void write_topic(const Compute& compute, const std::string& name, const NewTopic& made, Records& records) {
  messages::TopicRecord topic;
  topic.name = name;
  topic.topic_id = made.id;
  records.push_back({std::move(topic), 0});
  const ConfigResource resource{ConfigResourceType::topic, name};
  for (const auto& [key, value] : made.configs) records.push_back(metadata::config_record(resource, key, value));
  for (std::size_t index = 0; index < made.partitions.size(); ++index) {
    records.push_back(metadata::partition_record(made.id, static_cast<std::int32_t>(index), made.partitions[index],
                                                 compute.version()));
  }
}

Fault create_topic(const Compute& compute, const Creatable& topic, CreateResult& result, Records& records) {
  if (topic.name == metadata::kMetadataTopicName) {
    return {ErrorCode::invalid_request, "Creation of internal topic __cluster_metadata is prohibited."};
  }
  if (const auto fault = topic_name_fault(topic.name)) return {ErrorCode::invalid_topic_exception, *fault};
  if (compute.image.topics.find(topic.name) != nullptr) {
    return {ErrorCode::topic_already_exists, fmt::format("Topic '{}' already exists.", topic.name)};
  }
  if (const auto other = colliding_topic(compute.image, topic.name)) {
    return {ErrorCode::invalid_topic_exception,
            fmt::format("Topic '{}' collides with existing topic: {}", topic.name, *other)};
  }
  NewTopic made;
  made.layers = compute.layers();
  if (Fault fault = check_configs(topic, made)) return fault;
  Fault fault = topic.assignments.empty() ? assign_automatically(compute, topic, records.size(), made)
                                          : assign_manually(compute, topic, made);
  if (fault) return fault;
  if (made.partitions.size() + made.configs.size() + records.size() > kMaxRecordsPerRequest) {
    return {ErrorCode::policy_violation, "Excessively large number of partitions per request."};
  }
  made.id = Uuid::random(compute.random);
  result.topic_id = made.id;
  result.num_partitions = static_cast<std::int32_t>(made.partitions.size());
  result.replication_factor = static_cast<std::int16_t>(made.partitions.front().replicas.size());
  result.error_message = std::nullopt;
  describe_configs(made, result);
  write_topic(compute, topic.name, made, records);
  return {};
}

}  // namespace

std::optional<std::string> topic_name_fault(std::string_view name) {
  if (name.empty()) return "Topic name is invalid: the empty string is not allowed";
  if (name == "." || name == "..") return "Topic name is invalid: '.' or '..' is not allowed";
  if (name.size() > kLongestTopicName) {
    return fmt::format("Topic name is invalid: the length of '{}' is longer than the max allowed length {}", name,
                       kLongestTopicName);
  }
  const bool legal = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
  if (!legal) {
    return fmt::format(
        "Topic name is invalid: '{}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        name);
  }
  return std::nullopt;
}

Decision<protocol::CreateTopicsResponse> create_topics(const Compute& compute,
                                                       const protocol::CreateTopicsRequest& request) {
  Decision<protocol::CreateTopicsResponse> decision;
  std::map<std::string, int> times;
  std::map<std::string, std::string> unified_names;  // of this request's topics
  for (const Creatable& topic : request.topics) ++times[topic.name];
  for (const Creatable& topic : request.topics) {
    const int count = times[topic.name];
    if (count == 0) continue;  // a duplicate that was answered
    CreateResult result;
    result.name = topic.name;
    Fault fault;
    if (count > 1) {
      times[topic.name] = 0;
      fault = {ErrorCode::invalid_request, "Duplicate topic name."};
    } else if (const auto other = unified_names.find(unified(topic.name)); other != unified_names.end()) {
      fault = {ErrorCode::invalid_topic_exception,
               fmt::format("Topic '{}' collides with another topic of the request: {}", topic.name, other->second)};
    } else {
      fault = create_topic(compute, topic, result, decision.records);
    }
    if (fault) {
      set_fault(result, fault);
      result.configs.emplace();
    } else {
      unified_names.emplace(unified(topic.name), topic.name);
    }
    decision.response.topics.push_back(std::move(result));
  }
  if (request.validate_only) decision.records.clear();
  return decision;
}

// ---- DeleteTopics

namespace {

using DeleteResult = protocol::DeleteTopicsResponse::DeletableTopicResult;

DeleteResult delete_result(std::optional<std::string> name, Uuid id, const Fault& fault) {
  DeleteResult result;
  result.name = std::move(name);
  result.topic_id = id;
  result.error_message = std::nullopt;
  if (fault) set_fault(result, fault);
  return result;
}

}  // namespace

Decision<protocol::DeleteTopicsResponse> delete_topics(const Compute& compute,
                                                       const protocol::DeleteTopicsRequest& request,
                                                       std::int16_t api_version) {
  Decision<protocol::DeleteTopicsResponse> decision;
  auto asked = request.topics;
  if (api_version < 6) {
    for (const std::string& name : request.topic_names) asked.emplace_back().name = name;
  }
  std::map<std::string, int> name_times;
  std::map<Uuid, int> id_times;
  for (const auto& topic : asked) {
    if (topic.name) ++name_times[*topic.name];
    if (!topic.topic_id.is_zero()) ++id_times[topic.topic_id];
  }
  std::set<Uuid> removed;
  std::set<std::string> refused_names;
  std::set<Uuid> refused_ids;
  for (const auto& topic : asked) {
    Fault fault;
    const TopicImage* found = nullptr;
    if (!compute.settings.delete_topic_enable) {
      fault = api_version < 3 ? Fault{ErrorCode::invalid_request, "Topic deletion is disabled."}
                              : Fault{ErrorCode::topic_deletion_disabled, ""};
    } else if (topic.name && !topic.topic_id.is_zero()) {
      fault = {ErrorCode::invalid_request, "You may not specify both topic name and topic id."};
    } else if (!topic.name && topic.topic_id.is_zero()) {
      fault = {ErrorCode::invalid_request, "Neither topic name nor id were specified."};
    } else if (topic.name && name_times[*topic.name] > 1) {
      if (!refused_names.insert(*topic.name).second) continue;
      fault = {ErrorCode::invalid_request, "Duplicate topic name."};
    } else if (!topic.name && id_times[topic.topic_id] > 1) {
      if (!refused_ids.insert(topic.topic_id).second) continue;
      fault = {ErrorCode::invalid_request, "Duplicate topic id."};
    } else if (topic.name) {
      found = compute.image.topics.find(*topic.name);
      if (found == nullptr) fault = {ErrorCode::unknown_topic_or_partition, ""};
      if (found != nullptr && id_times.contains(found->id)) {
        fault = {ErrorCode::invalid_request, "The provided topic name maps to an ID that was already supplied."};
      }
    } else {
      found = compute.image.topics.find(topic.topic_id);
      if (found == nullptr) fault = {ErrorCode::unknown_topic_id, ""};
    }
    if (fault || found == nullptr) {
      decision.response.responses.push_back(delete_result(topic.name, topic.topic_id, fault));
      continue;
    }
    decision.response.responses.push_back(delete_result(found->name, found->id, {}));
    if (!removed.insert(found->id).second) continue;
    messages::RemoveTopicRecord record;
    record.topic_id = found->id;
    decision.records.push_back({std::move(record), 0});
  }
  return decision;
}

// ---- CreatePartitions

namespace {

using MorePartitions = protocol::CreatePartitionsRequest::CreatePartitionsTopic;

Fault add_partitions(const Compute& compute, const MorePartitions& asked, Records& records) {
  const TopicImage* topic = compute.image.topics.find(asked.name);
  if (topic == nullptr) return {ErrorCode::unknown_topic_or_partition, ""};
  const std::int32_t current = topic->partition_count();
  if (asked.count == current)
    return {ErrorCode::invalid_partitions, fmt::format("Topic already has {} partition(s).", current)};
  if (asked.count < current) {
    return {ErrorCode::invalid_partitions,
            fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.", asked.name, current,
                        asked.count)};
  }
  const std::int32_t additional = asked.count - current;
  if (asked.assignments && asked.assignments->size() != static_cast<std::size_t>(additional)) {
    return {ErrorCode::invalid_replica_assignment,
            fmt::format("Attempted to add {} additional partition(s), but only {} assignment(s) were specified.",
                        additional, asked.assignments->size())};
  }
  if (static_cast<std::size_t>(additional) + records.size() > kMaxRecordsPerRequest) {
    return {ErrorCode::policy_violation, "Excessively large number of partitions per request."};
  }
  const PartitionRegistration* first = topic->partition(0);
  const std::size_t replication_factor = first == nullptr ? 1 : first->replicas.size();
  std::vector<Replicas> placements;
  if (asked.assignments) {
    for (const auto& assignment : *asked.assignments) {
      if (Fault fault = check_assignment(compute, assignment.broker_ids, replication_factor)) return fault;
      placements.push_back(assignment.broker_ids);
    }
  } else {
    Result<std::vector<Replicas>> placed = place_replicas(
        placement_brokers(compute), additional, static_cast<std::int16_t>(replication_factor), compute.random);
    if (!placed) {
      return {ErrorCode::invalid_replication_factor, fmt::format("Unable to replicate the partition {} time(s): {}",
                                                                 replication_factor, placed.error().context())};
    }
    placements = std::move(*placed);
  }
  Records added;
  std::int32_t index = current;
  for (const Replicas& replicas : placements) {
    Replicas isr = active_ones(compute, replicas);
    if (isr.empty()) {
      return {asked.assignments ? ErrorCode::invalid_replica_assignment : ErrorCode::invalid_replication_factor,
              fmt::format("All brokers specified in the partition assignment for partition {} are fenced or in "
                          "controlled shutdown.",
                          index)};
    }
    added.push_back(metadata::partition_record(topic->id, index, new_partition(compute, replicas, std::move(isr)),
                                               compute.version()));
    ++index;
  }
  records.insert(records.end(), std::make_move_iterator(added.begin()), std::make_move_iterator(added.end()));
  return {};
}

}  // namespace

Decision<protocol::CreatePartitionsResponse> create_partitions(const Compute& compute,
                                                               const protocol::CreatePartitionsRequest& request) {
  Decision<protocol::CreatePartitionsResponse> decision;
  std::map<std::string, int> times;
  for (const MorePartitions& topic : request.topics) ++times[topic.name];
  for (const MorePartitions& topic : request.topics) {
    const int count = times[topic.name];
    if (count == 0) continue;
    Fault fault;
    if (count > 1) {
      times[topic.name] = 0;
      fault = {ErrorCode::invalid_request, "Duplicate topic name."};
    } else {
      fault = add_partitions(compute, topic, decision.records);
    }
    auto& result = decision.response.results.emplace_back();
    result.name = topic.name;
    result.error_message = std::nullopt;
    if (fault) set_fault(result, fault);
  }
  if (request.validate_only) decision.records.clear();
  return decision;
}

}  // namespace klamm::controller
