#include <algorithm>
#include <charconv>

#include "base/properties.h"
#include "klamm/blocking.h"
#include "tools/client.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/tool.h"

namespace klamm::tools {
namespace {

Options declare() {
  Options options("metadata-quorum", "Prints the state of the metadata quorum, adds and removes its controllers.",
                  Options::Style::argparse);
  options.words("describe | add-controller | remove-controller", 1,
                "describe: prints the quorum's state. add-controller: makes the controller whose server.properties are "
                "given by --command-config a voter; it must run, and follow the quorum. remove-controller: takes a "
                "voter out.");
  options.admin_client(false).admin_controllers();
  options.flag("--status", "describe: a summary.");
  options.flag("--replication", "describe: how far each replica is.");
  options.flag("--human-readable", "describe --replication: times as their distance from now.");
  options.int32("-i,--controller-id", "id", "remove-controller: the voter's node.id.");
  options.text("-d,--controller-directory-id", "id", "remove-controller: the id of its metadata log's directory.");
  options.flag("--dry-run", "add-controller, remove-controller: only tell what would be done.");
  return options;
}

std::string member_json(const QuorumReplica& replica, const QuorumDescription& quorum) {
  std::string text = fmt::format("{{\"id\": {}", replica.id);
  if (!replica.directory_id.is_zero()) text += fmt::format(", \"directoryId\": \"{}\"", replica.directory_id.text());
  const auto same = [&](const QuorumNode& node) { return node.id == replica.id; };
  const auto node = std::find_if(quorum.nodes.begin(), quorum.nodes.end(), same);
  if (node != quorum.nodes.end() && !node->listeners.empty()) {
    std::vector<std::string> endpoints;
    endpoints.reserve(node->listeners.size());
    for (const QuorumNode::Listener& listener : node->listeners)
      endpoints.push_back(fmt::format("\"{}://{}:{}\"", listener.name, listener.host, listener.port));
    text += fmt::format(", \"endpoints\": [{}]", joined(endpoints, ", "));
  }
  return text + "}";
}

std::string members_json(const std::vector<QuorumReplica>& replicas, const QuorumDescription& quorum) {
  std::vector<std::string> texts;
  texts.reserve(replicas.size());
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

int describe(const Options& options, Session& session, blocking::Admin& admin) {
  const bool replication = options.has("replication");
  Result<DescribeQuorum::Outcome> quorum = admin.describe_quorum({});
  if (!quorum) return fail_text(reason_of(quorum.error()));
  if (replication) return print_replication(*quorum, session.wall_ms(), options.has("human-readable"));
  Result<DescribeCluster::Outcome> cluster = admin.describe_cluster({});
  if (!cluster) return fail_text(reason_of(cluster.error()));
  return print_status(*quorum, cluster->cluster_id);
}

std::optional<int> check_describe(const Options& options) {
  if (options.has("status") && options.has("replication"))
    return fail_text("Only one of --status or --replication should be specified with describe sub-command");
  if (options.has("human-readable") && !options.has("replication"))
    return fail_text("The option --human-readable is only supported along with --replication");
  if (!options.has("status") && !options.has("replication"))
    return fail_text("One of --status or --replication must be specified with describe sub-command");
  return std::nullopt;
}

// What a server.properties says of a controller that is to become a voter.
constexpr std::string_view kIsItOne = "Is this a valid controller configuration file?";

tl::unexpected<Error> wrong(std::string_view what) {
  return fail(Errc::invalid_argument, fmt::format("{} {}", what, kIsItOne));
}

std::vector<std::string> list_of(const Properties& properties, std::string_view key) {
  std::vector<std::string> words;
  for (const std::string& word : split(properties.get(key).value_or(""), ',')) {
    if (const std::string_view text = trimmed(word); !text.empty()) words.emplace_back(text);
  }
  return words;
}

Result<std::int32_t> node_of(const Properties& properties) {
  const auto text = properties.get("node.id");
  if (!text) return wrong("node.id not found in configuration file.");
  std::int32_t id = -1;
  const std::string_view digits = trimmed(*text);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (error != std::errc() || end != digits.data() + digits.size())
    return wrong(fmt::format("node.id is not a number in configuration file: {}.", digits));
  if (id < 0) return wrong("node.id was negative in configuration file.");
  return id;
}

// The id of the directory of its metadata log.
Result<Uuid> directory_of(const Properties& properties) {
  std::vector<std::string> folders = list_of(properties, "metadata.log.dir");
  if (folders.empty()) folders = list_of(properties, "log.dirs");
  if (folders.empty()) folders = list_of(properties, "log.dir");
  if (folders.empty()) return wrong("Neither metadata.log.dir nor log.dirs were found.");
  const std::string& folder = folders.front();
  Result<std::string> content = file_content(folder + "/meta.properties");
  if (!content) return fail(Errc::invalid_argument, "Unable to read meta.properties from " + folder);
  Result<Properties> meta = Properties::parse(*content);
  KLAMM_TRY(meta);
  const std::optional<Uuid> id = Uuid::parse(meta->get("directory.id").value_or(""));
  if (!id) return fail(Errc::invalid_argument, "No directory id found in " + folder);
  return *id;
}

// The advertised address of each controller listener.
Result<std::vector<QuorumNode::Listener>> endpoints_of(const Properties& properties) {
  const std::vector<std::string> names = list_of(properties, "controller.listener.names");
  if (names.empty()) return wrong("controller.listener.names was not found.");
  std::vector<QuorumNode::Listener> endpoints;
  for (const std::string& name : names) {
    std::optional<QuorumNode::Listener> found;
    for (const char* key : {"listeners", "advertised.listeners"}) {
      for (const std::string& text : list_of(properties, key)) {
        const std::size_t colon = text.rfind(':');
        const std::size_t slashes = text.find("://");
        if (slashes == std::string::npos || colon < slashes + 3 || text.substr(0, slashes) != name) continue;
        std::string host = text.substr(slashes + 3, colon - slashes - 3);
        if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
        std::int32_t port = -1;
        const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
        if (error != std::errc() || end != text.data() + text.size() || port < 0 || port > 65535)
          return fail(Errc::invalid_argument, fmt::format("{}: a port is expected at the end of {}", key, text));
        found = {name, host.empty() ? "localhost" : host, port};
      }
    }
    if (!found) {
      return fail(Errc::invalid_argument, "Cannot find information about controller listener name: " + name);
    }
    endpoints.push_back(std::move(*found));
  }
  return endpoints;
}

// What add-controller asks for, from the file of --command-config.
Result<AddRaftVoter> voter_of(const Options& options) {
  Result<std::string> content = file_content(*options.text_of("command-config"));
  KLAMM_TRY(content);
  Result<Properties> properties = Properties::parse(*content);
  KLAMM_TRY(properties);
  AddRaftVoter request;
  Result<std::int32_t> id = node_of(*properties);
  KLAMM_TRY(id);
  request.id = *id;
  const std::vector<std::string> roles = list_of(*properties, "process.roles");
  if (std::find(roles.begin(), roles.end(), "controller") == roles.end())
    return wrong("process.roles did not contain 'controller' in configuration file.");
  Result<Uuid> directory = directory_of(*properties);
  KLAMM_TRY(directory);
  request.directory_id = *directory;
  Result<std::vector<QuorumNode::Listener>> endpoints = endpoints_of(*properties);
  KLAMM_TRY(endpoints);
  request.endpoints = std::move(*endpoints);
  return request;
}

int add_controller(const Options& options, Session& session) {
  if (!options.has("command-config")) {
    return fail_text(
        "You must supply the configuration file of the controller you are adding when using add-controller.");
  }
  Result<AddRaftVoter> request = voter_of(options);
  if (!request) return fail_text(reason_of(request.error()));
  std::vector<std::string> texts;
  for (const QuorumNode::Listener& one : request->endpoints) {
    const bool colons = one.host.find(':') != std::string::npos;
    texts.push_back(fmt::format("{}://{}{}{}:{}", one.name, colons ? "[" : "", one.host, colons ? "]" : "", one.port));
  }
  const std::string told = fmt::format("controller {} with directory id {} and endpoints: {}", request->id,
                                       request->directory_id.text(), joined(texts, ", "));
  if (!options.has("dry-run")) {
    // The file is a server's: what of it is for clients is for this one too.
    std::optional<blocking::Admin> admin = make_admin(options, session, UnknownKeys::left_out);
    if (!admin) return 1;
    Result<AddRaftVoter::Outcome> done = admin->add_raft_voter(std::move(*request));
    if (!done) return fail_text(reason_of(done.error(), "adding a voter"));
  }
  print("{} {}\n", options.has("dry-run") ? "DRY RUN of adding" : "Added", told);
  return 0;
}

int remove_controller(const Options& options, Session& session) {
  for (const char* name : {"controller-id", "controller-directory-id"}) {
    if (!options.has(name)) return options.usage_error(fmt::format("argument --{} is required", name));
  }
  RemoveRaftVoter request;
  request.id = static_cast<std::int32_t>(options.number_or("controller-id", -1));
  if (request.id < 0) return fail_with("Invalid negative --controller-id: {}", request.id);
  const std::string text = *options.text_of("controller-directory-id");
  const std::optional<Uuid> directory = Uuid::parse(text);
  if (!directory)
    return fail_with("Failed to parse --controller-directory-id: '{}' is not an id of 22 characters of base64", text);
  request.directory_id = *directory;
  if (!options.has("dry-run")) {
    std::optional<blocking::Admin> admin = make_admin(options, session);
    if (!admin) return 1;
    Result<RemoveRaftVoter::Outcome> done = admin->remove_raft_voter(request);
    if (!done) return fail_text(reason_of(done.error(), "removing a voter"));
  }
  print("{} KRaft controller {} with directory id {}\n", options.has("dry-run") ? "DRY RUN of removing " : "Removed ",
        request.id, request.directory_id.text());
  return 0;
}

}  // namespace

int run_metadata_quorum(const Arguments& arguments) {
  Options options = declare();
  if (const auto status = options.parse(arguments)) return *status;
  if (options.words().empty())
    return options.usage_error("one of describe, add-controller and remove-controller is wanted");
  const std::string& command = options.words().front();
  if (command != "describe" && command != "add-controller" && command != "remove-controller") {
    return options.usage_error(
        fmt::format("there is no command '{}': describe, add-controller and remove-controller are there", command));
  }
  if (const auto status = options.check_bootstrap()) return *status;
  Session session;
  if (command == "add-controller") return add_controller(options, session);
  if (command == "remove-controller") return remove_controller(options, session);
  if (const auto status = check_describe(options)) return *status;
  std::optional<blocking::Admin> admin = make_admin(options, session);
  if (!admin) return 1;
  return describe(options, session, *admin);
}

}  // namespace klamm::tools
