// Fetch: reads what each partition has, waits for more if it is too little, answers with file regions that leave by
// sendfile. Consumers, and clients with incremental sessions (fetch_session.h).
#include <algorithm>

#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/respond.h"
#include "broker/replica/fetch_wait.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"

namespace klamm::handler {
namespace {

using protocol::ErrorCode;
using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::kafka_error;

// One partition of the fetch: what is asked, and what its shard found.
struct Read {
  const FetchPartition* asked = nullptr;
  const metadata::TopicImage* topic = nullptr;  // null: not known
  bool whole_first_batch = true;                // still allowed to return one batch over the limit
  std::int64_t limit_bytes = 0;

  storage::FetchData data;
  std::int64_t high_watermark = -1;
  std::int64_t last_stable_offset = -1;
  std::int64_t log_start_offset = -1;
  std::optional<storage::EpochEnd> diverging;
  std::optional<Error> error;
  std::int32_t leader = -1;
  std::int32_t leader_epoch = -1;
  std::uint64_t moves_seen = 0;
};

struct Limits {
  std::int64_t max_bytes = 0;
  std::int64_t min_bytes = 0;
  storage::FetchIsolation isolation = storage::FetchIsolation::high_watermark;
};

io::Task<Result<void>> read_partition(replica::Partition& partition, Read& read, const Limits& limits) {
  Result<void> leader = partition.check_leader(read.asked->current_leader_epoch);
  if (!leader) {
    read.leader = partition.state().leader;
    read.leader_epoch = partition.state().leader_epoch;
    co_return leader;
  }
  storage::Log& log = partition.log();
  read.high_watermark = log.high_watermark();
  read.last_stable_offset = log.last_stable_offset();
  read.log_start_offset = log.log_start_offset();
  if (read.asked->last_fetched_epoch >= 0) {  // KIP-595: tell a reader that its history differs from ours
    const storage::EpochEnd end = log.end_offset_for_epoch(read.asked->last_fetched_epoch);
    if (end.epoch < 0) co_return fail(kafka_error(ErrorCode::offset_out_of_range));
    if (end.epoch < read.asked->last_fetched_epoch || end.end_offset < read.asked->fetch_offset) {
      read.diverging = end;
      co_return Result<void>();
    }
  }
  storage::ReadRequest request;
  request.offset = read.asked->fetch_offset;
  request.max_bytes = read.limit_bytes;
  request.isolation = limits.isolation;
  request.min_one_batch = read.whole_first_batch;
  Result<storage::FetchData> data = co_await log.read(request);
  KLAMM_CO_TRY(data);
  read.data = std::move(*data);
  co_return Result<void>();
}

// What is left of the response's size, handed from shard to shard.
struct Budget {
  std::int64_t left_bytes = 0;
  bool something = false;  // a batch is in: later ones must fit
};

// On the partitions' shard.
io::Task<void> read_here(Services& local, std::vector<Read*>& reads, const Limits& limits, Budget& budget) {
  for (Read* read : reads) {
    Result<replica::Partition::Lease> lease = local.replicas.lease(read->topic->id, read->asked->partition);
    if (!lease) {
      read->error = std::move(lease).error();
      continue;
    }
    read->moves_seen = (*lease)->moves();
    read->whole_first_batch = !budget.something;
    read->limit_bytes = std::clamp<std::int64_t>(budget.left_bytes, 0, std::max(0, read->asked->max_bytes));
    Result<void> done = co_await read_partition(**lease, *read, limits);
    if (!done) read->error = std::move(done).error();
    budget.left_bytes -= read->data.size_bytes;
    budget.something |= read->data.size_bytes > 0;
  }
}

// Shard after shard, so that the response keeps to its size; the shard of the partition that is first in turn begins.
io::Task<void> read_all(Services& services, ByShard<Read>& by_shard, std::size_t first, const Limits& limits) {
  Budget budget{limits.max_bytes};
  for (std::size_t step = 0; step < services.everywhere.size(); ++step) {
    const std::size_t index = (first + step) % services.everywhere.size();
    const auto reads = by_shard.find(index);
    if (reads == by_shard.end()) continue;
    Services* there = services.everywhere[index];
    auto on_shard = [there, mine = &reads->second, &limits, &budget] {
      return read_here(*there, *mine, limits, budget);
    };
    co_await io::call(services.shard, there->shard, on_shard);
  }
}

// What the request asks for, whether by session or in full.
struct Asked {
  std::shared_ptr<FetchSession> session;  // of an incremental request, or newly made
  std::vector<FetchPartition> in_full;    // without a session
  bool incremental = false;               // only what changed is answered
};

FetchPartition to_partition(const auto& topic, const auto& partition) {
  FetchPartition asked;
  asked.topic = {topic.topic, topic.topic_id};
  asked.partition = partition.partition;
  asked.current_leader_epoch = partition.current_leader_epoch;
  asked.fetch_offset = partition.fetch_offset;
  asked.last_fetched_epoch = partition.last_fetched_epoch;
  asked.log_start_offset = partition.log_start_offset;
  asked.max_bytes = partition.partition_max_bytes;
  return asked;
}

Result<Asked> what_is_asked(Services& services, const Call& call, const FetchRequest& request) {
  const bool by_id = call.version >= 13;
  Asked asked;
  if (request.session_epoch > 0) {
    Result<std::shared_ptr<FetchSession>> session =
        services.fetch_sessions.find(request.session_id, request.session_epoch, by_id, services.shard.now());
    KLAMM_TRY(session);
    for (const auto& topic : request.topics) {
      for (const auto& partition : topic.partitions) (*session)->put(to_partition(topic, partition));
    }
    for (const auto& topic : request.forgotten_topics_data) {
      for (const std::int32_t partition : topic.partitions)
        (*session)->remove({topic.topic, topic.topic_id}, partition);
    }
    asked.session = std::move(*session);
    asked.incremental = true;
    return asked;
  }
  if (request.session_id != 0) services.fetch_sessions.remove(request.session_id);
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) asked.in_full.push_back(to_partition(topic, partition));
  }
  if (request.session_epoch == 0) {
    asked.session = services.fetch_sessions.create(asked.in_full, by_id, services.shard.now());
  }
  return asked;
}

std::vector<std::unique_ptr<Read>> plan(Services& services, const metadata::MetadataImage& image, bool by_id,
                                        Asked& asked, ByShard<Read>& by_shard, std::size_t& first_shard) {
  std::vector<std::unique_ptr<Read>> reads;
  auto add = [&](const FetchPartition& partition) {
    auto read = std::make_unique<Read>();
    read->asked = &partition;
    read->topic =
        by_id ? image.topics.find(partition.topic.id) : image.topics.find(std::string_view(partition.topic.name));
    if (read->topic == nullptr) {
      read->error = kafka_error(by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition);
    } else if (read->topic->partition(partition.partition) == nullptr) {
      read->error = kafka_error(ErrorCode::unknown_topic_or_partition);
    } else {
      const std::size_t shard = services.serving(*read->topic, partition.partition).shard.index();
      if (by_shard.empty()) first_shard = shard;
      by_shard[shard].push_back(read.get());
    }
    reads.push_back(std::move(read));
  };
  if (asked.session) {
    for (const FetchPartition& partition : asked.session->partitions()) add(partition);
  } else {
    for (const FetchPartition& partition : asked.in_full) add(partition);
  }
  return reads;
}

bool enough(const std::vector<std::unique_ptr<Read>>& reads, const Limits& limits) {
  std::int64_t bytes = 0;
  for (const auto& read : reads) {
    if (read->error || read->diverging) return true;
    bytes += read->data.size_bytes;
  }
  return bytes >= limits.min_bytes;
}

// Waits until one of the partitions moves; true if one did before the deadline, and the client is still there.
io::Task<bool> wait_for_more(Call& call, ByShard<Read>& by_shard, Instant deadline) {
  Services& services = call.services;
  replica::FetchWait wait(services.shard);
  const Hangup::Watch watch(call.hangup, [&wait] { wait.give_up(); });
  for (auto& [index, reads] : by_shard) {
    Services* there = services.everywhere[index];
    std::vector<replica::Watched> watched;
    auto take_leases = [there, mine = &reads, into = &watched]() -> io::Task<void> {
      for (Read* read : *mine) {
        Result<replica::Partition::Lease> lease = there->replicas.lease(read->topic->id, read->asked->partition);
        if (lease) into->push_back({std::move(*lease), read->moves_seen});
      }
      co_return;
    };
    co_await io::call(services.shard, there->shard, take_leases);
    co_await wait.watch(there->shard, watched);
  }
  const bool moved = co_await wait.until(deadline);
  co_await wait.stop();
  co_return moved && !call.hangup.gone();
}

void fill_partition(auto& answer, const Call& call, Read& read, const Limits& limits) {
  answer.partition_index = read.asked->partition;
  answer.high_watermark = read.high_watermark;
  answer.last_stable_offset = limits.isolation == storage::FetchIsolation::committed ? read.last_stable_offset : -1;
  answer.log_start_offset = read.log_start_offset;
  answer.records = wire::Records(std::move(read.data.records));
  if (limits.isolation == storage::FetchIsolation::committed) {
    answer.aborted_transactions.emplace();
    for (const storage::AbortedTransaction& aborted : read.data.aborted) {
      auto& each = answer.aborted_transactions->emplace_back();
      each.producer_id = aborted.producer_id;
      each.first_offset = aborted.first_offset;
    }
  } else {
    answer.aborted_transactions = std::nullopt;
  }
  if (read.diverging && call.version >= 12) {
    answer.diverging_epoch.epoch = read.diverging->epoch;
    answer.diverging_epoch.end_offset = read.diverging->end_offset;
  }
  if (!read.error) return;
  answer.error_code = code(*read.error);
  answer.high_watermark = -1;
  answer.last_stable_offset = -1;
  answer.log_start_offset = -1;
  if (call.version >= 12 && read.leader >= 0) {
    answer.current_leader.leader_id = read.leader;
    answer.current_leader.leader_epoch = read.leader_epoch;
  }
}

bool changed(const Read& read) {
  return read.error || read.diverging || read.data.size_bytes > 0 ||
         read.high_watermark != read.asked->answered_high_watermark ||
         read.log_start_offset != read.asked->answered_log_start;
}

FetchResponse answer(const Call& call, Asked& asked, std::vector<std::unique_ptr<Read>>& reads, const Limits& limits) {
  FetchResponse response;
  response.session_id = asked.session ? asked.session->id : 0;
  FetchTopic last_topic;
  for (const std::unique_ptr<Read>& read : reads) {
    if (asked.incremental && !changed(*read)) continue;
    if (response.responses.empty() || read->asked->topic != last_topic) {
      last_topic = read->asked->topic;
      auto& topic = response.responses.emplace_back();
      topic.topic = last_topic.name;
      topic.topic_id = last_topic.id;
    }
    fill_partition(response.responses.back().partitions.emplace_back(), call, *read, limits);
  }
  return response;
}

// Remembers what was answered, and lets those that got data be served last next time.
void note_answered(Asked& asked, const std::vector<std::unique_ptr<Read>>& reads) {
  if (!asked.session) return;
  std::list<FetchPartition>& order = asked.session->partitions();
  auto next = order.begin();
  for (const std::unique_ptr<Read>& read : reads) {
    if (next == order.end() || &*next != read->asked) return;  // the session was changed meanwhile
    const auto current = next++;
    current->answered_high_watermark = read->error ? -1 : read->high_watermark;
    current->answered_log_start = read->error ? -1 : read->log_start_offset;
    if (read->data.size_bytes > 0) asked.session->move_to_end(current);
  }
}

}  // namespace

io::Task<Reply> fetch(Call& call, Slice body) {
  Result<FetchRequest> request = wire::decode_request<FetchRequest>(std::move(body), call.version);
  if (!request) co_return Reply::close(request.error().message());
  Services& services = call.services;
  Result<Asked> asked = what_is_asked(services, call, *request);
  if (!asked) {
    FetchResponse refused;
    refused.error_code = code(asked.error());
    if (call.version < 7) refused.error_code = 0;
    co_return respond(call, refused);
  }
  Limits limits;
  limits.max_bytes = std::min(request->max_bytes, services.config.limits().fetch_max_bytes);
  limits.min_bytes = std::min<std::int64_t>(request->min_bytes, limits.max_bytes);
  if (request->isolation_level == 1) limits.isolation = storage::FetchIsolation::committed;
  const Instant deadline = services.shard.now() + milliseconds(std::max(0, request->max_wait_ms));

  for (;;) {
    const metadata::ImageRef image = services.image();
    ByShard<Read> by_shard;
    std::size_t first_shard = 0;
    std::vector<std::unique_ptr<Read>> reads =
        plan(services, *image, call.version >= 13, *asked, by_shard, first_shard);
    co_await read_all(services, by_shard, first_shard, limits);
    bool answer_now = reads.empty() || enough(reads, limits) || services.shard.now() >= deadline;
    if (!answer_now) {
      const bool moved = co_await wait_for_more(call, by_shard, deadline);
      answer_now = !moved;
    }
    if (!answer_now) continue;
    FetchResponse response = answer(call, *asked, reads, limits);
    note_answered(*asked, reads);
    co_return respond(call, response);
  }
}

}  // namespace klamm::handler
