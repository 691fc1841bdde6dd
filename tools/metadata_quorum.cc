#include <algorithm>

#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("metadata-quorum", "Prints the state of the metadata quorum.", Options::Style::argparse);
  options.words("describe", 1,
                "describe: prints the quorum's state. add-controller and remove-controller are not served yet.");
  options.admin_client(false);
  options.text("--bootstrap-controller", "host:port,...", "Controllers to connect to: not served yet.");
  options.flag("--status", "describe: a summary.");
  options.flag("--replication", "describe: how far each replica is.");
  options.flag("--human-readable", "describe --replication: times as their distance from now.");
  return options;
}

std::string member_json(const QuorumReplica& replica, const QuorumDescription& quorum) {
  std::string text = fmt::format("{{\"id\": {}", replica.id);
  if (!replica.directory_id.is_zero()) text += fmt::format(", \"directoryId\": \"{}\"", replica.directory_id.text());
  const auto same = [&](const QuorumNode& node) { return node.id == replica.id; };
  const auto node = std::find_if(quorum.nodes.begin(), quorum.nodes.end(), same);
  if (node != quorum.nodes.end() && !node->listeners.empty()) {
    std::vector<std::string> endpoints;
    for (const QuorumNode::Listener& listener : node->listeners)
      endpoints.push_back(fmt::format("\"{}://{}:{}\"", listener.name, listener.host, listener.port));
    text += fmt::format(", \"endpoints\": [{}]", joined(endpoints, ", "));
  }
  return text + "}";
}

std::string members_json(const std::vector<QuorumReplica>& replicas, const QuorumDescription& quorum) {
  std::vector<std::string> texts;
  for (const QuorumReplica& replica : replicas) texts.push_back(member_json(replica, quorum));
  return "[" + joined(texts, ", ") + "]";
}

int print_status(const QuorumDescription& quorum, const std::string& cluster_id) {
  const auto is_leader = [&](const QuorumReplica& replica) { return replica.id == quorum.leader_id; };
  const auto leader = std::find_if(quorum.voters.begin(), quorum.voters.end(), is_leader);
  if (leader == quorum.voters.end()) return fail_text("the quorum has no leader among its voters");
  std::int64_t least_offset = leader->log_end_offset;
  const QuorumReplica* slowest = &*leader;
  for (const QuorumReplica& voter : quorum.voters) {
    if (voter.log_end_offset >= least_offset && &voter != slowest) continue;
    least_offset = voter.log_end_offset;
    slowest = &voter;
  }
  const std::int64_t lag = leader->log_end_offset - least_offset;
  std::int64_t lag_time = 0;
  if (slowest != &*leader)
    lag_time = slowest->last_caught_up_ms < 0 ? -1 : leader->last_caught_up_ms - slowest->last_caught_up_ms;
  print(
      "ClusterId:              {}\nLeaderId:               {}\nLeaderEpoch:            {}\nHighWatermark:          "
      "{}\n",
      cluster_id, quorum.leader_id, quorum.leader_epoch, quorum.high_watermark);
  print(
      "MaxFollowerLag:         {}\nMaxFollowerLagTimeMs:   {}\nCurrentVoters:          {}\nCurrentObservers:       "
      "{}\n",
      lag, lag_time, members_json(quorum.voters, quorum), members_json(quorum.observers, quorum));
  return 0;
}

int print_replication(const QuorumDescription& quorum, TimestampMs now_ms, bool human) {
  const auto is_leader = [&](const QuorumReplica& replica) { return replica.id == quorum.leader_id; };
  const auto leader = std::find_if(quorum.voters.begin(), quorum.voters.end(), is_leader);
  if (leader == quorum.voters.end()) return fail_text("the quorum has no leader among its voters");
  const auto time = [&](TimestampMs at) {
    return human && at >= 0 ? fmt::format("{} ms ago", std::max<TimestampMs>(0, now_ms - at)) : std::to_string(at);
  };
  std::vector<std::vector<std::string>> rows = {
      {"NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"}};
  const auto row = [&](const QuorumReplica& replica, std::string status) {
    rows.push_back({std::to_string(replica.id), replica.directory_id.text(), std::to_string(replica.log_end_offset),
                    std::to_string(leader->log_end_offset - replica.log_end_offset), time(replica.last_fetch_ms),
                    time(replica.last_caught_up_ms), std::move(status)});
  };
  row(*leader, "Leader");
  for (const QuorumReplica& voter : quorum.voters) {
    if (&voter != &*leader) row(voter, "Follower");
  }
  for (const QuorumReplica& observer : quorum.observers) row(observer, "Observer");
  print_text(table(rows));
  return 0;
}

}  // namespace

int run_metadata_quorum(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.words().empty()) return options.usage_error("the command describe is wanted");
  const std::string& command = options.words().front();
  if (command == "add-controller" || command == "remove-controller") return fail_with("{} is not served yet", command);
  if (command != "describe")
    return options.usage_error(fmt::format("there is no command '{}': describe is there", command));
  if (options.has("bootstrap-controller"))
    return fail_text("--bootstrap-controller is not served yet: use --bootstrap-server");
  if (!options.has("bootstrap-server")) return options.usage_error("--bootstrap-server is required");
  if (options.has("status") && options.has("replication"))
    return fail_text("Only one of --status or --replication should be specified with describe sub-command");
  if (!options.has("status") && !options.has("replication"))
    return fail_text("One of --status or --replication must be specified with describe sub-command");
  Session session;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  Result<DescribeQuorum::Outcome> quorum = admin->describe_quorum({});
  if (!quorum) return fail_text(reason_of(quorum.error()));
  if (options.has("replication")) return print_replication(*quorum, session.wall_ms(), options.has("human-readable"));
  Result<DescribeCluster::Outcome> cluster = admin->describe_cluster({});
  if (!cluster) return fail_text(reason_of(cluster.error()));
  return print_status(*quorum, cluster->cluster_id);
}

}  // namespace klamm::tools
