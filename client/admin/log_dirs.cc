// Moving replicas between the data directories of their brokers.
#include "client/admin/admin_core.h"
#include "protocol/messages/alter_replica_log_dirs_request.h"
#include "protocol/messages/alter_replica_log_dirs_response.h"

namespace klamm::client {

namespace {

using Targets = std::map<std::string, std::vector<TopicPartition>>;  // by path

protocol::AlterReplicaLogDirsRequest request_for(const Targets& targets) {
  protocol::AlterReplicaLogDirsRequest request;
  for (const auto& [path, partitions] : targets) {
    auto& dir = request.dirs.emplace_back();
    dir.path = path;
    group_by_topic(
        dir.topics, partitions, [](auto& topic) -> std::string& { return topic.name; },
        [](auto& topic, const TopicPartition& partition) { topic.partitions.push_back(partition.partition); });
  }
  return request;
}

}  // namespace

io::Task<Result<AlterReplicaLogDirs::Outcome>> AdminCore::run(AlterReplicaLogDirs operation) {
  const std::shared_ptr<AdminCore> alive = shared_from_this();
  Patience patience(*this, operation.options, "AlterReplicaLogDirs");
  Result<std::vector<BrokerNumber>> ids = co_await broker_ids(patience);
  KLAMM_CO_TRY(ids);
  AlterReplicaLogDirs::Outcome outcome;
  std::map<BrokerNumber, Targets> by_broker;
  for (const auto& [replica, path] : operation.targets) {
    if (std::find(ids->begin(), ids->end(), replica.broker) == ids->end()) {
      outcome.insert_or_assign(
          replica, fail(Errc::not_found, "broker " + std::to_string(replica.broker) + " is not in the cluster"));
      continue;
    }
    by_broker[replica.broker][path].push_back(replica.partition);
    outcome.insert_or_assign(replica,
                             fail(Errc::malformed, "the broker did not answer for " + replica.partition.text()));
  }
  const auto ask_one = [&](BrokerNumber broker, Targets targets, Patience own) -> io::Task<void> {
    Result<protocol::AlterReplicaLogDirsResponse> response = co_await ask(node(broker), request_for(targets), own);
    if (!response) {
      for (auto& [replica, result] : outcome) {
        if (replica.broker == broker) result = fail(response.error());
      }
      co_return;
    }
    for (const auto& topic : response->results) {
      for (const auto& one : topic.partitions) {
        const AlterReplicaLogDirs::Replica replica{{topic.topic_name, one.partition_index}, broker};
        const ErrorCode code = protocol::error_code_from(one.error_code);
        Result<void> result;
        if (code != ErrorCode::none) result = fail(item_error(code, replica.partition.text()));
        outcome.insert_or_assign(replica, std::move(result));
      }
    }
  };
  io::Gate asking(shard_);
  for (const auto& [broker, targets] : by_broker) asking.spawn(ask_one(broker, targets, patience));
  co_await asking.close();
  co_return outcome;
}

}  // namespace klamm::client
