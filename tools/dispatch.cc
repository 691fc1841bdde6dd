#include <fmt/core.h>

#include <csignal>
#include <cstdio>

#include "base/config.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

constexpr Tool kTools[] = {
    {"server", "run a broker and controller; without a file: a development broker on localhost:9092", run_server},
    {"storage", "format data directories, show what they hold, make ids", run_storage},
    {"topics", "create, list, describe, change and delete topics", run_topics},
    {"console-producer", "send lines of standard input to a topic", run_console_producer},
    {"console-consumer", "print the records of a topic", run_console_consumer},
    {"configs", "describe and change the configuration of topics, brokers and others", run_configs},
    {"get-offsets", "print the offsets of partitions, earliest, latest or by time", run_get_offsets},
    {"delete-records", "delete records of partitions up to an offset", run_delete_records},
    {"dump-log", "print the content of log segments, indexes and snapshots", run_dump_log},
    {"log-dirs", "print what the brokers' data directories hold, move replicas between them", run_log_dirs},
    {"cluster", "print the cluster's id and endpoints, unregister a broker", run_cluster},
    {"broker-api-versions", "print the API versions of each broker", run_broker_api_versions},
    {"metadata-quorum", "print the state of the metadata quorum, add and remove its controllers", run_metadata_quorum},
    {"metadata-shell", "look into a snapshot or segment of the metadata log", run_metadata_shell},
    {"features", "print and change finalized features", run_features},
    {"reassign-partitions", "move partitions between brokers", run_reassign_partitions},
    {"leader-election", "elect leaders, preferred or unclean ones", run_leader_election},
    {"producer-perf-test", "measure producing", run_producer_perf_test},
    {"consumer-perf-test", "measure consuming", run_consumer_perf_test},
    {"e2e-latency", "measure the time from a producer to a consumer", run_e2e_latency},
    {"replica-verification", "compare the replicas of partitions", run_replica_verification},
    {"verifiable-producer", "send numbers and print each that is acknowledged", run_verifiable_producer},
};

constexpr std::string_view kToCome[] = {
    "acls",
    "client-metrics",
    "console-share-consumer",
    "consumer-groups",
    "delegation-tokens",
    "groups",
    "share-consumer-perf-test",
    "share-groups",
    "streams-application-reset",
    "streams-groups",
    "transactions",
    "verifiable-consumer",
    "verifiable-share-consumer",
};

int help(std::FILE* to) {
  fmt::print(to, "usage: klamm <tool> [option...]\n\nApache Kafka's broker and console tools in one program.\n\n");
  for (const Tool& tool : kTools) fmt::print(to, "  {:<22}{}\n", tool.name, tool.summary);
  std::string names = "Not served yet:";
  constexpr std::size_t kLineWidth = 100;
  for (const std::string_view name : kToCome) {
    const bool last = name == std::end(kToCome)[-1];
    if (names.size() - (names.rfind('\n') + 1) + name.size() > kLineWidth) names.append("\n ");
    names.append(" ").append(name).append(last ? "." : ",");
  }
  fmt::print(to, "\n{}\n\n", names);
  fmt::print(
      to,
      "`klamm <tool> --help` lists a tool's options: those of Apache Kafka's tool of that name. Called through a "
      "link named\nkafka-<tool>.sh, klamm is that tool.\n");
  return to == stdout ? 0 : 1;
}

// "topics" for "/usr/bin/kafka-topics.sh"; empty if the program was not called by such a name.
std::string_view tool_of_program(std::string_view program) {
  if (const std::size_t slash = program.rfind('/'); slash != std::string_view::npos) program.remove_prefix(slash + 1);
  constexpr std::string_view kPrefix = "kafka-";
  constexpr std::string_view kSuffix = ".sh";
  if (!program.starts_with(kPrefix)) return {};
  program.remove_prefix(kPrefix.size());
  if (program.ends_with(kSuffix)) program.remove_suffix(kSuffix.size());
  return program == "server-start" ? "server" : program;
}

int unknown(std::string_view name) {
  if (name == "server-stop")
    return fail_text("klamm server ends in order at SIGTERM or Ctrl-C: `kill` its process, or ask what started it");
  if (name == "jmx")
    return fail_text("klamm is no Java program and has no JMX: there is nothing that kafka-jmx.sh could read");
  for (const std::string_view coming : kToCome) {
    if (coming == name) {
      return fail_with(
          "{} is not served by this version of klamm yet. Apache Kafka's kafka-{}.sh works against a klamm broker as "
          "far as "
          "the broker serves what it asks for: docs/compatibility.md lists the APIs",
          name, name);
    }
  }
  std::vector<std::string_view> names;
  for (const Tool& tool : kTools) names.push_back(tool.name);
  names.insert(names.end(), std::begin(kToCome), std::end(kToCome));
  if (const auto nearest = nearest_name(name, names)) {
    return fail_with("there is no tool '{}': did you mean '{}'? `klamm help` lists all", name, *nearest);
  }
  return fail_with("there is no tool '{}': `klamm help` lists all", name);
}

}  // namespace

std::span<const Tool> all_tools() { return kTools; }
std::span<const std::string_view> tools_to_come() { return kToCome; }

int dispatch(const std::vector<std::string>& words) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed peer or pipe is an error of the write
  std::size_t used = 1;
  std::string_view name = words.empty() ? std::string_view() : tool_of_program(words[0]);
  if (name.empty()) {
    if (words.size() < 2) return help(stderr);
    name = words[1];
    used = 2;
    if (name == "help" && words.size() > 2) {
      name = words[2];
      return dispatch({"klamm", std::string(name), "--help"});
    }
    if (name == "help" || name == "--help" || name == "-h") return help(stdout);
    if (name == "--version" || name == "version") {
      print_version();
      return 0;
    }
  }
  for (const Tool& tool : kTools) {
    if (tool.name == name) {
      const Arguments arguments(words.begin() + static_cast<std::ptrdiff_t>(used), words.end());
      return finish_output(tool.run(arguments));
    }
  }
  return unknown(name);
}

}  // namespace klamm::tools
