// AlterReplicaLogDirs: replicas move from one data directory of this broker to another (KIP-113).
#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/storage/log_dirs.h"
#include "protocol/messages/alter_replica_log_dirs_request.h"
#include "protocol/messages/alter_replica_log_dirs_response.h"

namespace klamm::handler {
namespace {

using protocol::AlterReplicaLogDirsRequest;
using protocol::AlterReplicaLogDirsResponse;
using protocol::ErrorCode;

struct Move {
  protocol::TopicPartition partition;
  std::size_t directory = 0;
  ErrorCode error = ErrorCode::none;
};

io::Task<void> move_here(Services& local, std::vector<Move*>& moves) {
  for (Move* move : moves) {
    Result<void> begun = co_await local.logs.move(move->partition, move->directory);
    if (begun) continue;
    move->error = protocol::code_of(begun.error());
    local.logger.warning("{} is not moved: {}", move->partition, begun.error().message());
  }
}

// The paths of the request as directories, or why they are none.
io::Task<std::vector<Result<std::size_t>>> find_targets(Services& services, const AlterReplicaLogDirsRequest& request) {
  const auto look = [&services, &request]() -> io::Task<std::vector<Result<std::size_t>>> {
    std::vector<Result<std::size_t>> found;
    found.reserve(request.dirs.size());
    for (const auto& dir : request.dirs) found.push_back(services.directories.find_target(dir.path));
    co_return found;
  };
  std::vector<Result<std::size_t>> targets = co_await io::call(services.shard, services.controller_shard, look);
  co_return targets;
}

io::Task<AlterReplicaLogDirsResponse> answer(Call& call, AlterReplicaLogDirsRequest request) {
  Services& services = call.services;
  const std::vector<Result<std::size_t>> targets = co_await find_targets(services, request);
  std::map<protocol::TopicPartition, Move> moves;  // one that is named twice goes where it was named last
  for (std::size_t i = 0; i < request.dirs.size(); ++i) {
    for (const auto& topic : request.dirs[i].topics) {
      for (const std::int32_t index : topic.partitions) {
        Move& move = moves[{topic.name, protocol::PartitionIndex(index)}];
        move.partition = {topic.name, protocol::PartitionIndex(index)};
        move.directory = targets[i].value_or(0);
        move.error = targets[i] ? ErrorCode::none : protocol::code_of(targets[i].error());
      }
    }
  }
  ByShard<Move> by_shard;
  for (auto& [partition, move] : moves) {
    if (move.error != ErrorCode::none) continue;
    by_shard[replica::shard_of(partition.topic, partition.partition.value(), services.everywhere.size())].push_back(
        &move);
  }
  auto on_shard = [](Services& there, std::vector<Move*>& mine) { return move_here(there, mine); };
  co_await on_each_shard(services, by_shard, on_shard);
  AlterReplicaLogDirsResponse response;
  for (const auto& [partition, move] : moves) {
    if (response.results.empty() || response.results.back().topic_name != partition.topic) {
      response.results.emplace_back().topic_name = partition.topic;
    }
    auto& result = response.results.back().partitions.emplace_back();
    result.partition_index = partition.partition.value();
    result.error_code = code(move.error);
  }
  co_return response;
}

}  // namespace

io::Task<Reply> alter_replica_log_dirs(Call& call, Slice body) {
  return serve_with<&answer, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse>(call, std::move(body));
}

}  // namespace klamm::handler
