#include <nlohmann/json.hpp>

#include <set>

#include "base/text.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/java_order.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("leader-election", "Elects leaders for partitions: the preferred ones, or unclean ones.");
  options.admin_client(false);
  options.text("--admin.config", "file", "Deprecated: use --command-config.");
  options.text("--election-type", "preferred | unclean",
               "preferred: the first of a partition's replicas leads again, if it is in sync. unclean: a partition "
               "without a leader gets one that may lack records: what only the lost ones had is lost.");
  options.text("--topic", "topic", "The topic, with --partition.");
  options.int32("--partition", "partition", "The partition of --topic.");
  options.flag("--all-topic-partitions", "All partitions that such an election is for.");
  options.text("--path-to-json-file", "file", R"(The partitions: {"partitions": [{"topic": "foo", "partition": 1}]})");
  return options;
}

using Partitions = std::vector<TopicPartition>;

std::optional<int> check(const Options& options) {
  std::vector<std::string> missing;
  for (const char* name : {"election-type", "bootstrap-server"}) {
    if (!options.has(name)) missing.emplace_back(name);
  }
  if (!missing.empty()) return options.usage_error("Missing required option(s): " + joined(missing, ", "));
  const int chosen = options.has("topic") + options.has("all-topic-partitions") + options.has("path-to-json-file");
  if (chosen != 1) {
    return options.usage_error(
        "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file");
  }
  if (options.has("topic") && !options.has("partition"))
    return options.usage_error("Missing required option(s): partition");
  if (options.has("partition") && !options.has("topic"))
    return options.usage_error("Option partition is only allowed if topic is used");
  return std::nullopt;
}

Result<Partitions> partitions_of(const std::string& path) {
  Result<std::string> content = file_content(path);
  KLAMM_TRY(content);
  const nlohmann::json json = nlohmann::json::parse(*content, nullptr, false);
  if (json.is_discarded()) return fail(Errc::invalid_argument, "Replica election data is empty");
  if (!json.is_object() || !json.contains("partitions") || !json["partitions"].is_array())
    return fail(Errc::invalid_argument, "Replica election data is missing \"partitions\" field");
  Partitions partitions;
  std::set<TopicPartition> seen;
  std::vector<std::string> twice;
  for (const nlohmann::json& one : json["partitions"]) {
    if (!one.is_object() || !one.contains("topic") || !one["topic"].is_string() || !one.contains("partition") ||
        !one["partition"].is_number_integer()) {
      return fail(Errc::invalid_argument, path + ": a partition is {\"topic\": text, \"partition\": number}, not " +
                                              one.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    }
    const TopicPartition partition{one["topic"].get<std::string>(), one["partition"].get<std::int32_t>()};
    if (!seen.insert(partition).second) twice.push_back(partition.text());
    partitions.push_back(partition);
  }
  if (!twice.empty()) {
    return fail(Errc::invalid_argument, "Replica election data contains duplicate partitions: " + joined(twice, ","));
  }
  return partitions;
}

std::string names(const Partitions& partitions) {
  std::vector<std::string> texts;
  texts.reserve(partitions.size());
  for (const TopicPartition& partition : java_map_order(partitions)) texts.push_back(partition.text());
  return joined(texts, ", ");
}

int print_outcome(const ElectLeaders::Outcome& outcome, std::string_view type) {
  Partitions elected;
  Partitions needless;
  Partitions failed;
  for (const auto& [partition, result] : outcome) {
    if (result) {
      elected.push_back(partition);
    } else if (result.error() == make_error_code(ErrorCode::election_not_needed)) {
      needless.push_back(partition);
    } else {
      failed.push_back(partition);
    }
  }
  if (!elected.empty()) print("Successfully completed leader election ({}) for partitions {}\n", type, names(elected));
  if (!needless.empty()) print("Valid replica already elected for partitions {}\n", names(needless));
  for (const TopicPartition& partition : java_map_order(failed)) {
    const Error& error = outcome.at(partition).error();
    print("Error completing leader election ({}) for partition: {}: org.apache.kafka.common.errors.{}: {}\n", type,
          partition.text(), exception_of(error), reason_of(error, partition.text()));
  }
  return failed.empty() ? 0 : fail_with("{} replica(s) could not be elected", failed.size());
}

}  // namespace

int run_leader_election(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (const auto status = check(options)) return *status;
  const std::string type = upper_case(*options.text_of("election-type"));
  if (type != "PREFERRED" && type != "UNCLEAN") {
    return options.usage_error(
        fmt::format("Cannot parse argument '{}' of option election-type", *options.text_of("election-type")));
  }
  ElectLeaders request;
  request.type = type == "UNCLEAN" ? ElectionType::unclean : ElectionType::preferred;
  if (const auto path = options.text_of("path-to-json-file")) {
    Result<Partitions> partitions = partitions_of(*path);
    if (!partitions) return fail_text(reason_of(partitions.error()));
    request.partitions = std::move(*partitions);
  } else if (const auto topic = options.text_of("topic")) {
    request.partitions = {{*topic, static_cast<std::int32_t>(options.number_or("partition", 0))}};
  }
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Result<ElectLeaders::Outcome> outcome = admin->elect_leaders(std::move(request));
  if (outcome) return print_outcome(*outcome, type);
  if (outcome.error() == Errc::timed_out) print("Timeout waiting for election results\n");
  if (outcome.error() == make_error_code(ErrorCode::cluster_authorization_failed))
    print("Not authorized to perform leader election\n");
  return fail_text(reason_of(outcome.error()));
}

}  // namespace klamm::tools
