// DescribeLogDirs: the data directories with their space and the replicas in them.
#include <filesystem>
#include <map>

#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/storage/log_dirs.h"
#include "protocol/messages/describe_log_dirs_request.h"
#include "protocol/messages/describe_log_dirs_response.h"

namespace klamm::handler {
namespace {

using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;

struct Replica {
  std::size_t directory = 0;
  protocol::TopicPartition partition;
  std::int64_t size_bytes = 0;
  std::int64_t lag = 0;
  bool future = false;
};

// On each shard.
io::Task<std::vector<Replica>> list_here(Services& local) {
  std::vector<Replica> replicas;
  for (const auto& [name, entry] : local.logs.logs()) {
    Replica& replica = replicas.emplace_back();
    replica.directory = entry.directory;
    replica.partition = name;
    replica.size_bytes = entry.log->size_bytes();
    replica.lag = std::max<std::int64_t>(0, entry.log->high_watermark() - entry.log->log_end_offset());
  }
  for (const auto& [name, move] : local.logs.mover().moves()) {
    Replica& replica = replicas.emplace_back();
    replica.directory = move->directory;
    replica.partition = name;
    replica.size_bytes = move->copy->size_bytes();
    replica.lag = move->log->log_end_offset() - move->copy->log_end_offset();
    replica.future = true;
  }
  co_return replicas;
}

bool asked_for(const DescribeLogDirsRequest& request, const protocol::TopicPartition& partition) {
  if (!request.topics) return true;
  for (const auto& topic : *request.topics) {
    if (topic.topic != partition.topic) continue;
    for (const std::int32_t index : topic.partitions) {
      if (index == partition.partition.value()) return true;
    }
  }
  return false;
}

void add_replicas(auto& result, std::size_t directory, const std::vector<Replica>& replicas,
                  const DescribeLogDirsRequest& request) {
  for (const Replica& replica : replicas) {
    if (replica.directory != directory || !asked_for(request, replica.partition)) continue;
    if (result.topics.empty() || result.topics.back().name != replica.partition.topic) {
      result.topics.emplace_back().name = replica.partition.topic;
    }
    auto& each = result.topics.back().partitions.emplace_back();
    each.partition_index = replica.partition.partition.value();
    each.partition_size = replica.size_bytes;
    each.offset_lag = replica.lag;
    each.is_future_key = replica.future;
  }
}

// What is known of a directory without asking the disk; taken on the directories' shard.
struct DirectoryState {
  std::string path;
  bool online = true;
};

io::Task<DescribeLogDirsResponse> answer(Call& call, DescribeLogDirsRequest request) {
  Services& services = call.services;
  std::vector<Replica> replicas;
  for (Services* there : services.everywhere) {
    auto list = [there] { return list_here(*there); };
    std::vector<Replica> some = co_await io::call(services.shard, there->shard, list);
    replicas.insert(replicas.end(), some.begin(), some.end());
  }
  std::sort(replicas.begin(), replicas.end(),
            [](const Replica& left, const Replica& right) { return left.partition < right.partition; });
  auto look = [&services]() -> io::Task<std::vector<DirectoryState>> {
    std::vector<DirectoryState> states;
    for (const auto& directory : services.directories.directories())
      states.push_back({directory.path, directory.online});
    co_return states;
  };
  std::vector<DirectoryState> states = co_await io::call(services.shard, services.controller_shard, look);
  DescribeLogDirsResponse response;
  for (std::size_t index = 0; index < states.size(); ++index) {
    auto& result = response.results.emplace_back();
    const std::filesystem::path full = services.shard.files().absolute(states[index].path);
    result.log_dir = full.lexically_normal().string();  // "./data" without its dot
    if (!states[index].online) {
      result.error_code = code(protocol::ErrorCode::kafka_storage_error);
      continue;
    }
    Result<io::SpaceInfo> space = co_await services.shard.files().space(states[index].path);
    if (space) {
      result.total_bytes = static_cast<std::int64_t>(space->total_bytes);
      result.usable_bytes = static_cast<std::int64_t>(space->free_bytes);
    }
    add_replicas(result, index, replicas, request);
  }
  co_return response;
}

}  // namespace

io::Task<Reply> describe_log_dirs(Call& call, Slice body) {
  return serve_with<&answer, DescribeLogDirsRequest, DescribeLogDirsResponse>(call, std::move(body));
}

}  // namespace klamm::handler
