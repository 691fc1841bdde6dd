// WriteTxnMarkers: a transaction coordinator ends a transaction in the partitions that this broker leads. Each gets a
// control batch, acknowledged by all in-sync replicas.
#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "protocol/messages/write_txn_markers_request.h"
#include "protocol/messages/write_txn_markers_response.h"
#include "protocol/record/control.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;

// One marker for one partition: filled on the partition's shard.
struct Ending {
  const protocol::WriteTxnMarkersRequest::WritableTxnMarker* marker = nullptr;
  Uuid topic_id;
  std::int32_t partition = 0;
  ErrorCode error = ErrorCode::none;
};

io::Task<Result<void>> write_marker(replica::Partition& partition, Ending& ending, TimestampMs now, Instant deadline) {
  const auto& marker = *ending.marker;
  storage::LeaderAppend append;
  append.records = record::build_transaction_marker(marker.transaction_result, marker.producer_id,
                                                    marker.producer_epoch, marker.coordinator_epoch, now);
  append.origin = storage::AppendOrigin::coordinator;
  append.transaction_version = marker.transaction_version < 2 ? 0 : 2;
  Result<storage::AppendInfo> info = co_await partition.append(std::move(append), true);
  KLAMM_CO_TRY(info);
  Result<void> settled = co_await partition.settled(*info, true, deadline);
  co_return settled;
}

io::Task<void> end_one(replica::Partition::Lease lease, Ending* ending, TimestampMs now, Instant deadline) {
  Result<void> written = co_await write_marker(*lease, *ending, now, deadline);
  if (!written) ending->error = protocol::code_of(written.error());
}

// Beside each other: each waits for the followers.
io::Task<void> end_here(Services& local, std::vector<Ending*>& endings, Instant deadline) {
  io::Gate writing(local.shard);
  for (Ending* ending : endings) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(ending->topic_id, ending->partition);
    if (lease) {
      writing.spawn(end_one(std::move(*lease), ending, local.shard.wall_ms(), deadline));
    } else {
      ending->error = ErrorCode::unknown_topic_or_partition;
    }
  }
  co_await writing.close();
}

io::Task<protocol::WriteTxnMarkersResponse> answer(Call& call, protocol::WriteTxnMarkersRequest request) {
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  std::vector<std::unique_ptr<Ending>> endings;
  ByShard<Ending> by_shard;
  for (const auto& marker : request.markers) {
    for (const auto& topic : marker.topics) {
      const metadata::TopicImage* known = image->topics.find(std::string_view(topic.name));
      for (const std::int32_t partition : topic.partition_indexes) {
        auto ending = std::make_unique<Ending>();
        ending->marker = &marker;
        ending->partition = partition;
        if (known == nullptr || known->partition(partition) == nullptr) {
          ending->error = ErrorCode::unknown_topic_or_partition;
        } else {
          ending->topic_id = known->id;
          by_shard[services.serving(*known, partition).shard.index()].push_back(ending.get());
        }
        endings.push_back(std::move(ending));
      }
    }
  }
  const Instant deadline = services.shard.now() + milliseconds(services.config.values().get_int("request.timeout.ms"));
  auto on_shard = [deadline](Services& there, std::vector<Ending*>& mine) { return end_here(there, mine, deadline); };
  co_await on_each_shard(services, by_shard, on_shard);
  protocol::WriteTxnMarkersResponse response;
  std::size_t next = 0;
  for (const auto& marker : request.markers) {
    auto& result = response.markers.emplace_back();
    result.producer_id = marker.producer_id;
    for (const auto& topic : marker.topics) {
      auto& answered = result.topics.emplace_back();
      answered.name = topic.name;
      for (const std::int32_t partition : topic.partition_indexes) {
        auto& each = answered.partitions.emplace_back();
        each.partition_index = partition;
        each.error_code = code(endings[next++]->error);
      }
    }
  }
  co_return response;
}

}  // namespace

io::Task<Reply> write_txn_markers(Call& call, Slice body) {
  return serve_with<&answer, protocol::WriteTxnMarkersRequest, protocol::WriteTxnMarkersResponse>(call,
                                                                                                  std::move(body));
}

}  // namespace klamm::handler
