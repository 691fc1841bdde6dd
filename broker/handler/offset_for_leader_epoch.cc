// OffsetForLeaderEpoch: where a leader epoch ends in the log, for clients that look for truncation.
#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "protocol/messages/offset_for_leader_epoch_request.h"
#include "protocol/messages/offset_for_leader_epoch_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

struct Lookup {
  Uuid topic_id;
  std::int32_t partition = 0;
  std::int32_t current_leader_epoch = -1;
  std::int32_t leader_epoch = 0;
  storage::EpochEnd end{-1, -1};
  ErrorCode error = ErrorCode::none;
};

io::Task<void> look_up_here(Services& local, std::vector<Lookup*>& lookups) {
  for (Lookup* lookup : lookups) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(lookup->topic_id, lookup->partition);
    Result<void> leader;
    if (lease) leader = (*lease)->check_leader(lookup->current_leader_epoch);
    if (!lease || !leader) {
      lookup->error = protocol::code_of(lease ? leader.error() : lease.error());
    } else {
      lookup->end = (*lease)->log().end_offset_for_epoch(lookup->leader_epoch);
    }
  }
  co_return;
}

io::Task<protocol::OffsetForLeaderEpochResponse> answer(Call& call, protocol::OffsetForLeaderEpochRequest request) {
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  std::vector<std::unique_ptr<Lookup>> lookups;
  ByShard<Lookup> by_shard;
  for (const auto& topic : request.topics) {
    const metadata::TopicImage* known = image->topics.find(std::string_view(topic.topic));
    for (const auto& partition : topic.partitions) {
      auto lookup = std::make_unique<Lookup>();
      lookup->partition = partition.partition;
      lookup->current_leader_epoch = partition.current_leader_epoch;
      lookup->leader_epoch = partition.leader_epoch;
      if (known == nullptr || known->partition(partition.partition) == nullptr) {
        lookup->error = ErrorCode::unknown_topic_or_partition;
      } else {
        lookup->topic_id = known->id;
        by_shard[services.serving(*known, partition.partition).shard.index()].push_back(lookup.get());
      }
      lookups.push_back(std::move(lookup));
    }
  }
  auto on_shard = [](Services& there, std::vector<Lookup*>& mine) { return look_up_here(there, mine); };
  co_await on_each_shard(services, by_shard, on_shard);
  protocol::OffsetForLeaderEpochResponse response;
  std::size_t next = 0;
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.topic = topic.topic;
    for (std::size_t count = topic.partitions.size(); count > 0; --count) {
      const Lookup& lookup = *lookups[next++];
      auto& each = answered.partitions.emplace_back();
      each.partition = lookup.partition;
      each.error_code = code(lookup.error);
      each.leader_epoch = lookup.end.epoch;
      each.end_offset = lookup.end.end_offset;
    }
  }
  co_return response;
}

}  // namespace

io::Task<Reply> offset_for_leader_epoch(Call& call, Slice body) {
  return serve_with<&answer, protocol::OffsetForLeaderEpochRequest, protocol::OffsetForLeaderEpochResponse>(
      call, std::move(body));
}

}  // namespace klamm::handler
