// DeleteRecords: raises the log start offset of partitions.
#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "protocol/messages/delete_records_request.h"
#include "protocol/messages/delete_records_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

struct Deletion {
  Uuid topic_id;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::int64_t low_watermark = -1;
  ErrorCode error = ErrorCode::none;
};

io::Task<void> delete_one(replica::Partition::Lease lease, Deletion* deletion, Instant deadline) {
  Result<std::int64_t> low = co_await lease->delete_records_before(deletion->offset, deadline);
  if (low) {
    deletion->low_watermark = *low;
  } else {
    deletion->error = protocol::code_of(low.error());
  }
}

// Beside each other: each waits for the followers.
io::Task<void> delete_here(Services& local, std::vector<Deletion*>& deletions, Instant deadline) {
  io::Gate deleting(local.shard);
  for (Deletion* deletion : deletions) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(deletion->topic_id, deletion->partition);
    if (lease) {
      deleting.spawn(delete_one(std::move(*lease), deletion, deadline));
    } else {
      deletion->error = protocol::code_of(lease.error());
    }
  }
  co_await deleting.close();
}

io::Task<protocol::DeleteRecordsResponse> answer(Call& call, protocol::DeleteRecordsRequest request) {
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  std::vector<std::unique_ptr<Deletion>> deletions;
  ByShard<Deletion> by_shard;
  for (const auto& topic : request.topics) {
    const metadata::TopicImage* known = image->topics.find(std::string_view(topic.name));
    for (const auto& partition : topic.partitions) {
      auto deletion = std::make_unique<Deletion>();
      deletion->partition = partition.partition_index;
      deletion->offset = partition.offset;
      if (known == nullptr || known->partition(partition.partition_index) == nullptr) {
        deletion->error = ErrorCode::unknown_topic_or_partition;
      } else if (topic.name == metadata::kMetadataTopicName) {
        deletion->error = ErrorCode::invalid_topic_exception;
      } else {
        deletion->topic_id = known->id;
        by_shard[services.serving(*known, partition.partition_index).shard.index()].push_back(deletion.get());
      }
      deletions.push_back(std::move(deletion));
    }
  }
  const Instant deadline = services.shard.now() + milliseconds(std::max(0, request.timeout_ms));
  auto on_shard = [deadline](Services& there, std::vector<Deletion*>& mine) {
    return delete_here(there, mine, deadline);
  };
  co_await on_each_shard(services, by_shard, on_shard);
  protocol::DeleteRecordsResponse response;
  std::size_t next = 0;
  for (const auto& topic : request.topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (std::size_t count = topic.partitions.size(); count > 0; --count) {
      const Deletion& deletion = *deletions[next++];
      auto& each = answered.partitions.emplace_back();
      each.partition_index = deletion.partition;
      each.low_watermark = deletion.low_watermark;
      each.error_code = code(deletion.error);
    }
  }
  co_return response;
}

}  // namespace

io::Task<Reply> delete_records(Call& call, Slice body) {
  return serve_with<&answer, protocol::DeleteRecordsRequest, protocol::DeleteRecordsResponse>(call, std::move(body));
}

}  // namespace klamm::handler
