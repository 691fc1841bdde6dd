// The tools inside the program klamm: one table of them, one function each. `klamm <name> argument...`, or through a
// link named kafka-<name>.sh, runs the function of that name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace klamm::tools {

// What follows the tool's name on the command line.
using Arguments = std::vector<std::string>;

struct Tool {
  std::string_view name;
  std::string_view summary;                // one line of `klamm help`
  int (*run)(const Arguments& arguments);  // returns the exit status, Kafka's where Kafka's tool has one
};

// The tools that are served, in the order of `klamm help`.
std::span<const Tool> all_tools();
// Names of Kafka's tools that klamm does not serve yet; each is answered by one line and exit status 1.
std::span<const std::string_view> tools_to_come();

// Runs the tool that words[1] names, or, if words[0] is a path ending in kafka-<tool>.sh (or kafka-<tool>), that one.
int dispatch(const std::vector<std::string>& words);

int run_broker_api_versions(const Arguments& arguments);
int run_cluster(const Arguments& arguments);
int run_configs(const Arguments& arguments);
int run_console_consumer(const Arguments& arguments);
int run_console_producer(const Arguments& arguments);
int run_consumer_perf_test(const Arguments& arguments);
int run_delete_records(const Arguments& arguments);
int run_dump_log(const Arguments& arguments);
int run_e2e_latency(const Arguments& arguments);
int run_features(const Arguments& arguments);
int run_get_offsets(const Arguments& arguments);
int run_leader_election(const Arguments& arguments);
int run_log_dirs(const Arguments& arguments);
int run_metadata_quorum(const Arguments& arguments);
int run_metadata_shell(const Arguments& arguments);
int run_producer_perf_test(const Arguments& arguments);
int run_reassign_partitions(const Arguments& arguments);
int run_replica_verification(const Arguments& arguments);
int run_server(const Arguments& arguments);
int run_storage(const Arguments& arguments);
int run_topics(const Arguments& arguments);
int run_verifiable_producer(const Arguments& arguments);

}  // namespace klamm::tools
