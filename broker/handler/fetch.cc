// Fetch: reads what each partition has, waits for more if it is too little, answers with file regions that leave by
// sendfile. Consumers and followers, with or without incremental sessions (fetch_session.h).
#include <algorithm>

#include "broker/handler/fan_out.h"
#include "broker/handler/handlers.h"
#include "broker/handler/leader_hints.h"
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

  replica::FetchFound found;
  std::optional<std::int32_t> nearer;  // the replica that the client had better read from
  std::optional<Error> error;
  LeaderHint leader;
  std::uint64_t moves_seen = 0;
};

// What holds for all partitions of the request.
struct Limits {
  std::int64_t max_bytes = 0;
  std::int64_t min_bytes = 0;
  storage::FetchIsolation isolation = storage::FetchIsolation::high_watermark;
  std::int32_t replica = -1;  // the follower who asks
  std::int64_t replica_epoch = -1;
  bool leader_only = true;
  bool first_look = true;
  std::string_view rack;  // of a client that may be sent to a nearer replica (KIP-392); else empty
  replica::Move waits_for() const { return replica >= 0 ? replica::Move::log_end : replica::Move::high_watermark; }
};

constexpr std::string_view kRackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";

// Sends the client to a replica that is nearer to it, if there is one (KIP-392).
Result<void> look_for_nearer(Services& local, replica::Partition& partition, Read& read, const Limits& limits) {
  const metadata::ImageRef image = local.image();
  const auto racks = [&image](std::int32_t id) {
    const metadata::BrokerRegistration* broker = image->cluster.broker(id);
    return broker != nullptr && broker->active() ? broker->rack : std::nullopt;
  };
  Result<void> allowed = partition.check_replica(read.asked->current_leader_epoch);
  KLAMM_TRY(allowed);
  read.nearer = partition.nearest_replica(limits.rack, read.asked->fetch_offset, racks);
  if (!read.nearer) return {};
  read.found.high_watermark = partition.log().high_watermark();
  read.found.last_stable_offset = partition.log().last_stable_offset();
  read.found.log_start_offset = partition.log().log_start_offset();
  return {};
}

replica::FetchAsk ask_for(const Read& read, const Limits& limits) {
  replica::FetchAsk ask;
  ask.current_leader_epoch = read.asked->current_leader_epoch;
  ask.offset = read.asked->fetch_offset;
  ask.last_fetched_epoch = read.asked->last_fetched_epoch;
  ask.log_start_offset = read.asked->log_start_offset;
  ask.max_bytes = read.limit_bytes;
  ask.min_one_batch = read.whole_first_batch;
  ask.isolation = limits.isolation;
  ask.replica = limits.replica;
  ask.replica_epoch = limits.replica_epoch;
  ask.leader_only = limits.leader_only;
  ask.first_look = limits.first_look;
  return ask;
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
      read->leader = leader_of(*read->topic, read->asked->partition);
      continue;
    }
    read->moves_seen = (*lease)->moves(limits.waits_for());
    read->whole_first_batch = !budget.something;
    read->limit_bytes = std::clamp<std::int64_t>(budget.left_bytes, 0, std::max(0, read->asked->max_bytes));
    Result<void> done;
    if (!limits.rack.empty()) done = look_for_nearer(local, **lease, *read, limits);
    if (done && !read->nearer) {
      replica::FetchAsk ask = ask_for(*read, limits);
      if (limits.replica >= 0 && local.replicas.holds_back(**lease, limits.replica)) {
        ask.max_bytes = 0;
        ask.min_one_batch = false;
      }
      done = co_await (*lease)->fetch(ask, read->found);
      if (limits.replica >= 0) local.replicas.note_sent(**lease, read->found.data.size_bytes);
    }
    if (!done) {
      read->error = std::move(done).error();
      read->leader = {(*lease)->state().leader, (*lease)->state().leader_epoch};
    }
    budget.left_bytes -= read->found.data.size_bytes;
    budget.something |= read->found.data.size_bytes > 0;
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

// The broker that fetches as a follower; -1: a consumer.
std::int32_t follower_of(const FetchRequest& request, std::int16_t version) {
  return std::max(-1, version >= 15 ? request.replica_state.replica_id : request.replica_id);
}

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
    asked.session = services.fetch_sessions.create(asked.in_full, by_id, follower_of(request, call.version) >= 0,
                                                   services.shard.now());
  }
  return asked;
}

// The client's session may have been begun on another shard.
io::Task<void> bring_session(Services& services, std::int32_t id) {
  for (Services* there : services.everywhere) {
    if (there == &services || services.fetch_sessions.contains(id)) continue;
    auto take = [there, id]() -> io::Task<std::shared_ptr<FetchSession>> {
      co_return there->fetch_sessions.give_away(id);
    };
    std::shared_ptr<FetchSession> session = co_await io::call(services.shard, there->shard, take);
    if (session) services.fetch_sessions.adopt(std::move(session), services.shard.now());
  }
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
    if (read->error || read->found.diverging || read->nearer) return true;
    bytes += read->found.data.size_bytes;
    // A follower that is to follow in deleting is waited for.
    if (limits.replica >= 0 && read->asked->answered_log_start >= 0 &&
        read->found.log_start_offset != read->asked->answered_log_start) {
      return true;
    }
  }
  return bytes >= limits.min_bytes;
}

// Waits until one of the partitions moves; true if one did before the deadline, and the client is still there.
io::Task<bool> wait_for_more(Call& call, ByShard<Read>& by_shard, replica::Move move, Instant deadline) {
  Services& services = call.services;
  replica::FetchWait wait(services.shard);
  const Hangup::Watch watch(call.hangup, [&wait] { wait.give_up(); });
  for (auto& [index, reads] : by_shard) {
    Services* there = services.everywhere[index];
    std::vector<replica::Watched> watched;
    auto take_leases = [there, mine = &reads, into = &watched, move]() -> io::Task<void> {
      for (Read* read : *mine) {
        Result<replica::Partition::Lease> lease = there->replicas.lease(read->topic->id, read->asked->partition);
        if (lease) into->push_back({std::move(*lease), read->moves_seen, move});
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
  answer.high_watermark = read.found.high_watermark;
  answer.last_stable_offset = read.found.last_stable_offset;
  answer.log_start_offset = read.found.log_start_offset;
  answer.records = wire::Records(std::move(read.found.data.records));
  if (limits.isolation == storage::FetchIsolation::committed) {
    answer.aborted_transactions.emplace();
    for (const storage::AbortedTransaction& aborted : read.found.data.aborted) {
      auto& each = answer.aborted_transactions->emplace_back();
      each.producer_id = aborted.producer_id;
      each.first_offset = aborted.first_offset;
    }
  } else {
    answer.aborted_transactions = std::nullopt;
  }
  if (read.found.diverging && call.version >= 12) {
    answer.diverging_epoch.epoch = read.found.diverging->epoch;
    answer.diverging_epoch.end_offset = read.found.diverging->end_offset;
  }
  if (read.nearer) answer.preferred_read_replica = *read.nearer;
  if (!read.error) return;
  answer.error_code = code(*read.error);
  answer.aborted_transactions = std::nullopt;
  // As Kafka has it: what is not there has no transactions, of what cannot be read nothing is said.
  const ErrorCode error = protocol::code_of(*read.error);
  if (error == ErrorCode::unknown_topic_or_partition || error == ErrorCode::unknown_topic_id) {
    answer.aborted_transactions.emplace();
  }
  answer.high_watermark = -1;
  answer.last_stable_offset = -1;
  answer.log_start_offset = -1;
  if (call.version >= 12 && wants_leader_hint(*read.error) && read.leader.leader >= 0) {
    answer.current_leader.leader_id = read.leader.leader;
    answer.current_leader.leader_epoch = read.leader.leader_epoch;
  }
}

bool changed(const Read& read) {
  return read.error || read.found.diverging || read.nearer || read.found.data.size_bytes > 0 ||
         read.found.high_watermark != read.asked->answered_high_watermark ||
         read.found.log_start_offset != read.asked->answered_log_start;
}

FetchResponse answer(const Call& call, const metadata::MetadataImage& image, Asked& asked,
                     std::vector<std::unique_ptr<Read>>& reads, const Limits& limits) {
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
    if (call.version >= 16 && read->error && wants_leader_hint(*read->error)) {
      add_leader_endpoint(response.node_endpoints, image, call.context.listener, read->leader);
    }
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
    current->answered_high_watermark = read->error ? -1 : read->found.high_watermark;
    current->answered_log_start = read->error ? -1 : read->found.log_start_offset;
    if (read->found.data.size_bytes > 0) asked.session->move_to_end(current);
  }
}

Limits limits_of(const FetchRequest& request, const Call& call) {
  const config::BrokerConfig& config = call.services.config;
  Limits limits;
  limits.max_bytes = std::min(request.max_bytes, config.limits().fetch_max_bytes);
  limits.min_bytes = std::min<std::int64_t>(request.min_bytes, limits.max_bytes);
  limits.replica = follower_of(request, call.version);
  if (limits.replica >= 0) {
    if (call.version >= 15) limits.replica_epoch = request.replica_state.replica_epoch;
    limits.isolation = storage::FetchIsolation::log_end;
    return limits;
  }
  if (request.isolation_level == 1) limits.isolation = storage::FetchIsolation::committed;
  limits.leader_only = call.version < 11;  // KIP-392
  if (call.version >= 11 && !request.rack_id.empty() &&
      config.values().find_string("replica.selector.class") == kRackAwareSelector) {
    limits.rack = request.rack_id;
  }
  return limits;
}

}  // namespace

io::Task<Reply> fetch(Call& call, Slice body) {
  Result<FetchRequest> request = wire::decode_request<FetchRequest>(std::move(body), call.version);
  if (!request) co_return Reply::close(request.error().message());
  Services& services = call.services;
  if (request->session_id != 0 && !services.fetch_sessions.contains(request->session_id)) {
    co_await bring_session(services, request->session_id);
  }
  Result<Asked> asked = what_is_asked(services, call, *request);
  if (!asked) {
    FetchResponse refused;
    refused.error_code = code(asked.error());
    if (call.version < 7) refused.error_code = 0;
    co_return respond(call, refused);
  }
  Limits limits = limits_of(*request, call);
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
      const bool moved = co_await wait_for_more(call, by_shard, limits.waits_for(), deadline);
      answer_now = !moved;
    }
    limits.first_look = false;
    if (!answer_now) continue;
    FetchResponse response = answer(call, *image, *asked, reads, limits);
    note_answered(*asked, reads);
    Reply reply = respond(call, response);
    reply.worked_on = only_shard(by_shard);
    co_return reply;
  }
}

}  // namespace klamm::handler
