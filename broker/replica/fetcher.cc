#include "broker/replica/fetcher.h"

#include <algorithm>

#include "protocol/error.h"

namespace klamm::replica {

using protocol::ErrorCode;
using protocol::kafka_error;

namespace {

constexpr std::int64_t kLatest = -1;
constexpr std::int64_t kEarliest = -2;
constexpr std::int16_t kFirstWithReplicaState = 15;  // of Fetch
constexpr std::int16_t kFirstWithTopicIds = 13;
constexpr Duration kThrottleReview = 1s;

rpc::ChannelOptions channel_options(std::string client_id, const FetcherOptions& options) {
  rpc::ChannelOptions channel;
  channel.connection.client_id = std::move(client_id);
  channel.connection.request_timeout = options.timeout;
  channel.connection.setup_timeout = std::min<Duration>(options.timeout, 10s);
  channel.connection.buffers = options.buffers;
  channel.connection.tls = options.tls;
  return channel;
}

}  // namespace

Fetcher::Fetcher(io::Shard& shard, io::Endpoint leader, std::string client_id, const FetcherOptions& options,
                 Logger logger)
    : shard_(shard),
      options_(options),
      logger_(std::move(logger)),
      channel_(shard, std::move(leader), channel_options(std::move(client_id), options)),
      retry_(kFirstBackoff, options.backoff),
      changed_(shard),
      background_(shard) {
  background_.spawn(run());
}

Fetcher::~Fetcher() = default;

// ---- Which partitions

void Fetcher::follow(Partition& partition) {
  const Key key{partition.topic_id(), partition.id().partition.value()};
  unfollow(key);
  Followed& followed = followed_[key];
  followed.partition = &partition;
  followed.leader_epoch = partition.state().leader_epoch;
  starting_.insert(key);
  changed_.notify_all();
}

void Fetcher::unfollow(const Key& key) {
  const auto known = followed_.find(key);
  if (known == followed_.end()) return;
  if (known->second.not_before) resting_.erase({*known->second.not_before, key});
  followed_.erase(known);
  held_.erase(key);
  starting_.erase(key);
  session_.remove(key);
}

void Fetcher::retarget(io::Endpoint leader) {
  if (leader == channel_.peer()) return;
  channel_.retarget(std::move(leader));
  moved_ = true;
  changed_.notify_all();
}

io::Task<void> Fetcher::close() {
  closing_ = true;
  changed_.notify_all();
  co_await channel_.close();
  co_await background_.close();
}

Fetcher::Followed* Fetcher::find(const Key& key, std::int32_t leader_epoch) {
  const auto known = followed_.find(key);
  if (known == followed_.end() || known->second.leader_epoch != leader_epoch) return nullptr;
  return &known->second;
}

void Fetcher::go_on(const Key& key, Followed& followed) {
  const Partition::Position at = followed.partition->position();
  session_.set(key, {at.offset, at.last_fetched_epoch, at.log_start_offset, followed.leader_epoch});
}

void Fetcher::rest(const Key& key, std::int32_t leader_epoch, const Error& why) {
  Followed* followed = find(key, leader_epoch);
  if (followed == nullptr) return;
  session_.remove(key);
  if (followed->not_before) resting_.erase({*followed->not_before, key});
  followed->not_before = shard_.now() + retry_.after(followed->failures++, shard_.random());
  resting_.insert({*followed->not_before, key});
  std::string complaint = why.message();
  if (complaint == followed->complaint) return;
  logger_.warning("{}: not fetched from {} in epoch {}, to be tried again: {}", followed->partition->id(),
                  channel_.peer().text(), leader_epoch, complaint);
  followed->complaint = std::move(complaint);
}

// ---- The loop

io::Task<void> Fetcher::run() {
  bool failing = false;
  while (!closing_) {
    co_await begin_waiting();
    if (closing_) break;
    hold_throttled();
    if (session_.empty()) {
      const Instant due = next_due();
      if (starting_.empty() && shard_.now() < due) co_await changed_.wait_until(due);
      continue;
    }
    Result<void> fetched = co_await fetch_once();
    if (closing_) break;
    if (fetched) {
      retry_.reset();
      if (std::exchange(failing, false)) logger_.info("{}: fetching again", channel_.peer().text());
      continue;
    }
    if (!std::exchange(failing, true)) {
      logger_.warning("{}: fetch failed, to be tried again: {}", channel_.peer().text(), fetched.error().message());
    }
    const Instant next = shard_.now() + retry_.next(shard_.random());
    moved_ = false;
    while (!closing_ && !moved_ && shard_.now() < next) co_await changed_.wait_until(next);
  }
}

io::Task<Result<void>> Fetcher::fetch_once() {
  const FetcherOptions::Versions versions = options_.versions();
  protocol::FetchRequest request = session_.next(options_.max_bytes);
  rpc::VersionBounds bounds{kFirstWithTopicIds, versions.fetch};
  if (versions.fetch >= kFirstWithReplicaState) {
    bounds.lowest = kFirstWithReplicaState;
    request.replica_state.replica_id = options_.broker_id;
    request.replica_state.replica_epoch = options_.broker_epoch();
  } else {
    request.replica_id = options_.broker_id;
  }
  request.max_wait_ms = longest_wait_ms();
  request.min_bytes = options_.min_bytes;
  request.max_bytes = options_.response_max_bytes;
  Result<protocol::FetchResponse> response =
      co_await channel_.call<protocol::FetchRequest>(std::move(request), bounds, options_.timeout);
  if (!response) {
    session_.broken();
    co_return fail(std::move(response).error());
  }
  const ErrorCode error = protocol::error_code_from(response->error_code);
  if (!session_.answered(error, response->session_id)) {
    const bool forgotten = error == ErrorCode::fetch_session_id_not_found ||
                           error == ErrorCode::invalid_fetch_session_epoch ||
                           error == ErrorCode::fetch_session_topic_id_error;
    if (!forgotten) co_return fail(kafka_error(error));
    co_return Result<void>();
  }
  co_await take(std::move(*response));
  co_return Result<void>();
}

// The leader may hold an answer back for so long: not beyond the rest of a partition, which only the next request asks
// for again.
std::int32_t Fetcher::longest_wait_ms() const {
  if (resting_.empty()) return options_.wait_max_ms;
  const std::int64_t due_ms = (resting_.begin()->first - shard_.now()) / 1ms + 1;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(due_ms, 0, options_.wait_max_ms));
}

// Those that are new, and those that have rested.
io::Task<void> Fetcher::begin_waiting() {
  while (!resting_.empty() && resting_.begin()->first <= shard_.now()) {
    const Key key = resting_.begin()->second;
    resting_.erase(resting_.begin());
    followed_.at(key).not_before.reset();
    starting_.insert(key);
  }
  while (!starting_.empty() && !closing_) {
    const Key key = *starting_.begin();
    starting_.erase(starting_.begin());
    const std::int32_t leader_epoch = followed_.at(key).leader_epoch;
    Partition::Lease lease(*followed_.at(key).partition);
    Result<void> begun = co_await lease->begin_following(leader_epoch);
    Followed* followed = find(key, leader_epoch);
    if (followed == nullptr) continue;
    if (begun) {
      go_on(key, *followed);
    } else {
      rest(key, leader_epoch, begun.error());
    }
  }
}

// While more was received than the throttle allows, those that have something to catch up with are left out of the
// session.
void Fetcher::hold_throttled() {
  if (options_.throttles == nullptr) return;
  const ReplicationThrottles& throttles = *options_.throttles;
  const bool exceeded = throttles.received.exceeded(shard_.now());
  std::erase_if(held_, [&](const Key& key) {
    if (exceeded && throttles.as_follower(key)) return false;
    go_on(key, followed_.at(key));
    return true;
  });
  if (!exceeded) return;
  for (const Key& key : throttles.replicas.as_follower) {
    const auto known = followed_.find(key);
    if (known == followed_.end() || known->second.caught_up) continue;
    if (known->second.not_before || starting_.contains(key)) continue;
    session_.remove(key);
    held_.insert(key);
  }
}

Instant Fetcher::next_due() const {
  const Instant rested = resting_.empty() ? Instant::never() : resting_.begin()->first;
  if (held_.empty()) return rested;
  // The throttle may be changed meanwhile.
  const Instant now = shard_.now();
  return std::min({rested, options_.throttles->received.free_at(now), now + kThrottleReview});
}

// ---- Answers

io::Task<void> Fetcher::take(protocol::FetchResponse response) {
  Leftover leftover;
  for (auto& topic : response.responses) {
    for (auto& partition : topic.partitions) {
      const Key key{topic.topic_id, partition.partition_index};
      const bool with_data = !partition.records.empty();
      co_await take_partition(key, partition, leftover);
      if (with_data) co_await shard_.others_first();
      if (closing_) co_return;
    }
  }
  if (leftover.dropped) session_.broken();
  if (!leftover.to_flush.empty()) co_await flush_all(leftover);
  if (!leftover.out_of_range.empty()) co_await find_range(std::move(leftover.out_of_range));
}

io::Task<void> Fetcher::take_partition(const Key& key, protocol::fetch_response_parts::PartitionData& answer,
                                       Leftover& leftover) {
  const std::optional<FollowerSession::Asked> asked = session_.sent(key);
  Followed* followed = asked ? find(key, asked->leader_epoch) : nullptr;
  if (followed == nullptr) {
    // The leader takes it for known, and would not tell it again.
    leftover.dropped |= followed_.contains(key);
    co_return;
  }
  const ErrorCode error = protocol::error_code_from(answer.error_code);
  if (error == ErrorCode::offset_out_of_range) {
    leftover.out_of_range.push_back(key);
    co_return;
  }
  if (error != ErrorCode::none) {
    rest(key, asked->leader_epoch, kafka_error(error));
    co_return;
  }
  Partition::Lease lease(*followed->partition);
  if (options_.throttles != nullptr && options_.throttles->as_follower(key)) {
    options_.throttles->received.record(static_cast<std::int64_t>(answer.records.slice().size()), shard_.now());
  }
  Result<void> taken = co_await take_data(*lease, *asked, answer, leftover);
  followed = find(key, asked->leader_epoch);
  if (followed == nullptr) co_return;
  if (taken) {
    followed->complaint.clear();
    followed->failures = 0;
    followed->caught_up = lease->log().log_end_offset() >= answer.high_watermark;
    go_on(key, *followed);
  } else {
    rest(key, asked->leader_epoch, taken.error());
  }
}

io::Task<Result<void>> Fetcher::take_data(Partition& partition, const FollowerSession::Asked& asked,
                                          protocol::fetch_response_parts::PartitionData& answer, Leftover& leftover) {
  if (answer.diverging_epoch.end_offset >= 0) {
    const storage::EpochEnd diverging{answer.diverging_epoch.epoch, answer.diverging_epoch.end_offset};
    if (diverging.end_offset < partition.log().high_watermark()) {
      logger_.warning(
          "{}: the leader's history leaves this replica's in epoch {} at offset {}, below the high "
          "watermark {}",
          partition.id(), diverging.epoch, diverging.end_offset, partition.log().high_watermark());
    }
    Result<bool> cut = co_await partition.truncate_to(diverging, asked.leader_epoch);
    KLAMM_CO_TRY(cut);
    if (!*cut) {
      co_return fail(kafka_error(ErrorCode::offset_out_of_range,
                                 "the leader sees a difference, but nothing is to be "
                                 "cut"));
    }
    co_return Result<void>();
  }
  Partition::Fetched fetched;
  fetched.records = answer.records.slice();
  answer.records = {};
  fetched.offset = asked.offset;
  fetched.high_watermark = answer.high_watermark;
  fetched.log_start_offset = answer.log_start_offset;
  Result<storage::AppendInfo> appended = co_await partition.append_fetched(std::move(fetched), asked.leader_epoch);
  KLAMM_CO_TRY(appended);
  if (appended->wait_flushed) leftover.to_flush.emplace_back(Partition::Lease(partition), appended->last_offset + 1);
  co_return Result<void>();
}

// What is asked for next tells the leader what we hold: with flush.messages that has to be on the disk. Beside each
// other: one flush of the disk serves many.
io::Task<void> Fetcher::flush_all(Leftover& leftover) {
  io::Gate flushing(shard_);
  const auto flush_one = [](Partition& partition, std::int64_t end, Fetcher& fetcher) -> io::Task<void> {
    const Key key{partition.topic_id(), partition.id().partition.value()};
    const std::int32_t epoch = partition.state().leader_epoch;
    Result<void> flushed = co_await partition.log().flushed(end);
    if (!flushed) fetcher.rest(key, epoch, flushed.error());
  };
  for (auto& [lease, end] : leftover.to_flush) flushing.spawn(flush_one(*lease, end, *this));
  co_await flushing.close();
}

// ---- Out of the leader's range

io::Task<void> Fetcher::find_range(std::vector<Key> keys) {
  std::map<Key, std::int32_t> epochs;
  std::erase_if(keys, [&](const Key& key) {
    const auto known = followed_.find(key);
    if (known == followed_.end()) return true;
    epochs[key] = known->second.leader_epoch;
    return false;
  });
  Result<protocol::ListOffsetsResponse> latest = co_await list_offsets(keys, kLatest);
  Result<protocol::ListOffsetsResponse> earliest = fail(Errc::unavailable);
  if (latest) earliest = co_await list_offsets(keys, kEarliest);
  const auto offset_in = [](const Result<protocol::ListOffsetsResponse>& response, const Partition& partition) {
    if (!response) return Result<std::int64_t>(fail(response.error()));
    for (const auto& topic : response->topics) {
      if (topic.name != partition.id().topic) continue;
      for (const auto& each : topic.partitions) {
        if (each.partition_index != partition.id().partition.value()) continue;
        const ErrorCode error = protocol::error_code_from(each.error_code);
        if (error != ErrorCode::none) return Result<std::int64_t>(fail(kafka_error(error)));
        return Result<std::int64_t>(each.offset);
      }
    }
    return Result<std::int64_t>(fail(Errc::not_found, "the leader does not tell its offsets"));
  };
  for (const auto& [key, epoch] : epochs) {
    Followed* followed = find(key, epoch);
    if (followed == nullptr) continue;
    Partition::Lease lease(*followed->partition);
    const Result<std::int64_t> end = offset_in(latest, *lease);
    const Result<std::int64_t> start = end ? offset_in(earliest, *lease) : end;
    Result<void> fitted = start ? Result<void>() : Result<void>(fail(start.error()));
    if (fitted) {
      logger_.warning("{}: offset {} is out of the leader's range [{}, {}]", lease->id(), lease->log().log_end_offset(),
                      *start, *end);
      const std::int64_t before = lease->log().log_end_offset();
      fitted = co_await lease->fit_into(*start, *end, epoch);
      if (fitted && lease->log().log_end_offset() == before) fitted = fail(kafka_error(ErrorCode::offset_out_of_range));
    }
    followed = find(key, epoch);
    if (followed == nullptr) continue;
    if (fitted) {
      go_on(key, *followed);
    } else {
      rest(key, epoch, fitted.error());
    }
  }
}

io::Task<Result<protocol::ListOffsetsResponse>> Fetcher::list_offsets(const std::vector<Key>& keys,
                                                                      std::int64_t timestamp) {
  protocol::ListOffsetsRequest request;
  request.replica_id = options_.broker_id;
  for (const Key& key : keys) {
    const auto known = followed_.find(key);
    if (known == followed_.end()) continue;
    const protocol::TopicPartition& id = known->second.partition->id();
    if (request.topics.empty() || request.topics.back().name != id.topic) {
      request.topics.emplace_back().name = id.topic;
    }
    auto& partition = request.topics.back().partitions.emplace_back();
    partition.partition_index = id.partition.value();
    partition.current_leader_epoch = known->second.leader_epoch;
    partition.timestamp = timestamp;
  }
  const rpc::VersionBounds bounds{0, options_.versions().list_offsets};
  Result<protocol::ListOffsetsResponse> response =
      co_await channel_.call<protocol::ListOffsetsRequest>(std::move(request), bounds, options_.timeout);
  co_return response;
}

}  // namespace klamm::replica
