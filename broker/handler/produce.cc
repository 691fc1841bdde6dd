// Produce: appends each partition's batch on the partition's shard, then waits as acks asks for.
#include <algorithm>

#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/leader_hints.h"
#include "broker/handler/respond.h"
#include "broker/handler/services.h"
#include "broker/storage/batch_summary.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;
using protocol::kafka_error;

// One partition of the request on its way: filled on the partition's shard.
struct Work {
  const metadata::TopicImage* topic = nullptr;  // null: not known
  std::int32_t partition = 0;
  Slice records;
  replica::Partition::Lease lease;
  storage::AppendInfo info;
  std::vector<storage::RecordError> record_errors;
  std::optional<Error> error;
  LeaderHint leader;
};

struct Produced {
  std::int16_t acks = 0;
  std::int16_t version = 0;
  Instant deadline;
};

// On the partitions' shard.
io::Task<void> append_here(Services& local, std::vector<Work*>& works, const Produced& produced) {
  for (Work* work : works) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(work->topic->id, work->partition);
    if (!lease) {
      work->error = std::move(lease).error();
      work->leader = leader_of(*work->topic, work->partition);
      continue;
    }
    work->lease = std::move(*lease);
    storage::LeaderAppend append;
    append.records = std::move(work->records);
    append.produce_version = produced.version;
    append.record_errors = &work->record_errors;
    Result<storage::AppendInfo> info = co_await work->lease->append(std::move(append), produced.acks == -1);
    const bool appended = info.has_value();
    if (appended) {
      work->info = *info;
    } else {
      work->error = std::move(info).error();
      work->leader = {work->lease->state().leader, work->lease->state().leader_epoch};
    }
    if (!appended || work->lease->is_settled(work->info, produced.acks == -1)) work->lease = {};
  }
}

io::Task<void> settle(Work& work, const Produced& produced) {
  Result<void> settled = co_await work.lease->settled(work.info, produced.acks == -1, produced.deadline);
  if (!settled) {
    work.error = std::move(settled).error();
    work.leader = {work.lease->state().leader, work.lease->state().leader_epoch};
  }
  work.lease = {};
}

// Beside each other: one flush of the disk serves many.
io::Task<void> settle_here(Services& local, std::vector<Work*>& works, const Produced& produced) {
  io::Gate settling(local.shard);
  for (Work* work : works) {
    if (work->lease) settling.spawn(settle(*work, produced));
  }
  co_await settling.close();
}

// What a produced batch may look like is checked by the log; here only that there is one.
Result<Slice> records_of(const wire::Records& records) {
  if (records.is_null() || records.empty()) return fail(kafka_error(ErrorCode::invalid_record, "no record batch"));
  return records.slice();
}

// Whoever sends transactional batches must name their transaction.
bool lacks_transactional_id(const protocol::ProduceRequest& request) {
  if (request.transactional_id) return false;
  for (const auto& topic : request.topic_data) {
    for (const auto& partition : topic.partition_data) {
      if (partition.records.is_null()) continue;
      const std::optional<storage::BatchSummary> batch =
          storage::BatchSummary::parse(partition.records.slice().bytes());
      if (batch && batch->is_transactional()) return true;
    }
  }
  return false;
}

const metadata::TopicImage* find_topic(const metadata::MetadataImage& image, const Call& call, const auto& topic) {
  return call.version >= 13 ? image.topics.find(topic.topic_id) : image.topics.find(std::string_view(topic.name));
}

std::string error_text(const Error& error) {
  return error.context().empty() ? std::string(protocol::default_message(protocol::code_of(error))) : error.context();
}

}  // namespace

io::Task<Reply> produce(Call& call, Slice body) {
  Result<protocol::ProduceRequest> request =
      wire::decode_request<protocol::ProduceRequest>(std::move(body), call.version);
  if (!request) co_return Reply::close(request.error().message());
  Services& services = call.services;
  const metadata::ImageRef image = services.image();
  Produced produced{request->acks, call.version, services.shard.now() + milliseconds(std::max(0, request->timeout_ms))};
  const bool valid_acks = produced.acks >= -1 && produced.acks <= 1;
  const bool unnamed_transaction = lacks_transactional_id(*request);

  std::vector<std::unique_ptr<Work>> works;
  ByShard<Work> by_shard;
  for (auto& topic : request->topic_data) {
    const metadata::TopicImage* known = find_topic(*image, call, topic);
    for (auto& partition : topic.partition_data) {
      auto work = std::make_unique<Work>();
      work->partition = partition.index;
      Result<Slice> records = records_of(partition.records);
      if (unnamed_transaction) {
        work->error = kafka_error(ErrorCode::transactional_id_authorization_failed);
      } else if (!valid_acks) {
        work->error = kafka_error(ErrorCode::invalid_required_acks);
      } else if (known == nullptr) {
        work->error =
            kafka_error(call.version >= 13 ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition);
      } else if (known->partition(partition.index) == nullptr) {
        work->error = kafka_error(ErrorCode::unknown_topic_or_partition);
      } else if (!records) {
        work->error = std::move(records).error();
      } else {
        work->topic = known;
        work->records = std::move(*records);
        by_shard[services.serving(*known, partition.index).shard.index()].push_back(work.get());
      }
      partition.records = {};
      works.push_back(std::move(work));
    }
  }

  auto append = [&produced](Services& there, std::vector<Work*>& mine) { return append_here(there, mine, produced); };
  co_await on_each_shard(services, by_shard, append);
  call.enqueued();
  const bool unsettled = std::any_of(works.begin(), works.end(), [](const auto& work) { return bool(work->lease); });
  if (unsettled) {
    auto settle = [&produced](Services& there, std::vector<Work*>& mine) { return settle_here(there, mine, produced); };
    co_await on_each_shard(services, by_shard, settle);
  }
  if (produced.acks == 0) {
    for (const auto& work : works) {
      if (work->error) co_return Reply::close("produce with acks=0 failed: " + work->error->message());
    }
    Reply silent = Reply::silent();
    silent.worked_on = only_shard(by_shard);
    co_return silent;
  }

  protocol::ProduceResponse response;
  std::size_t next = 0;
  for (const auto& topic : request->topic_data) {
    auto& answered = response.responses.emplace_back();
    answered.name = topic.name;
    answered.topic_id = topic.topic_id;
    for (const auto& partition : topic.partition_data) {
      const Work& work = *works[next++];
      auto& answer = answered.partition_responses.emplace_back();
      answer.index = partition.index;
      answer.base_offset = -1;
      if (!work.error) {
        answer.base_offset = work.info.first_offset;
        answer.log_append_time_ms = work.info.log_append_time_ms;
        answer.log_start_offset = work.info.log_start_offset;
        continue;
      }
      answer.error_code = code(*work.error);
      if (call.version >= 8) {
        answer.error_message = error_text(*work.error);
        for (const storage::RecordError& wrong : work.record_errors) {
          auto& record_error = answer.record_errors.emplace_back();
          record_error.batch_index = wrong.batch_index;
          record_error.batch_index_error_message = wrong.message;
        }
      }
      if (call.version >= 10 && wants_leader_hint(*work.error)) {
        answer.current_leader.leader_id = work.leader.leader;
        answer.current_leader.leader_epoch = work.leader.leader_epoch;
        add_leader_endpoint(response.node_endpoints, *services.image(), call.context.listener, work.leader);
      }
    }
  }
  Reply reply = respond(call, response);
  reply.worked_on = only_shard(by_shard);
  co_return reply;
}

}  // namespace klamm::handler
