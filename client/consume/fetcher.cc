// The part of ConsumerCore that fetches: one long poll a broker, through an incremental session.
#include <algorithm>

#include "client/consume/consumer_core.h"
#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"

namespace klamm::client {

using protocol::FetchRequest;
using protocol::FetchResponse;

ConsumerCore::Fetcher& ConsumerCore::fetcher_of(BrokerNumber broker) {
  std::unique_ptr<Fetcher>& fetcher = fetchers_[broker];
  if (!fetcher) {
    fetcher = std::make_unique<Fetcher>(shard_, broker);
    gate_.spawn(fetch_loop(*fetcher));
  }
  return *fetcher;
}

io::Task<void> ConsumerCore::fetch_loop(Fetcher& fetcher) {
  while (!stopped_) {
    const bool asked = co_await fetch_once(fetcher);
    if (stopped_) break;
    if (!asked) co_await fetcher.work.wait();
  }
}

bool ConsumerCore::fetchable(const Assigned& partition, BrokerNumber broker, Instant now) const {
  if (!partition.has_position || partition.paused || partition.error || partition.in_fetch || partition.validating)
    return false;
  if (partition.not_before > now || broker < 0) return false;
  const bool follow = partition.preferred_replica >= 0 && partition.preferred_until > now;
  if (broker != (follow ? partition.preferred_replica : partition.leader)) return false;
  if (partition.leader_is_old()) return false;
  if (partition.fetch_epoch >= 0 && partition.leader_epoch > partition.fetch_epoch &&
      partition.validated_epoch < partition.leader_epoch) {
    return false;
  }
  // One answer is read while the next one comes, also where each is as large as was asked for.
  return partition.buffered_bytes <= static_cast<std::uint64_t>(settings_.max_partition_fetch_bytes) &&
         buffered_bytes_ <= static_cast<std::uint64_t>(settings_.fetch_max_bytes);
}

// The broker's connection, once it may be asked again; null if it cannot be reached now, or nobody wants it any more.
io::Task<ConnectionRef> ConsumerCore::connection_for(Fetcher& fetcher) {
  while (!stopped_ && shard_.now() < fetcher.throttled_until) {
    co_await fetcher.work.wait_until(fetcher.throttled_until);
  }
  if (ConnectionRef open = cluster_.open_connection(fetcher.id)) co_return open;
  fetcher.session.reset();
  Result<ConnectionRef> opened = co_await cluster_.connect(fetcher.id);
  if (opened && !stopped_) co_return std::move(*opened);
  if (!stopped_) {
    cluster_.request_update();
    const Instant until = shard_.now() + backoff_.after(0, shard_.random());
    while (!stopped_ && shard_.now() < until) co_await fetcher.work.wait_until(until);
  }
  co_return nullptr;
}

// What the next request asks for. A broker without a session for us serves in this order: who had to wait comes first.
std::vector<FetchSession::Want> ConsumerCore::wanted_from(const Fetcher& fetcher) const {
  const Instant now = shard_.now();
  std::vector<FetchSession::Want> wanted;
  const std::string* topic_name = nullptr;
  Uuid id;
  for (const AssignedRef& partition : turn_order_) {
    if (!fetchable(*partition, fetcher.id, now)) continue;
    if (topic_name == nullptr || *topic_name != partition->partition.topic) {
      topic_name = &partition->partition.topic;
      const TopicMetadata* topic = cluster_.find(*topic_name);
      id = topic != nullptr ? topic->id : Uuid();
    }
    wanted.push_back(
        {partition, id, partition->fetch_offset, partition->leader_epoch, settings_.max_partition_fetch_bytes});
  }
  std::stable_sort(wanted.begin(), wanted.end(), [](const FetchSession::Want& left, const FetchSession::Want& right) {
    return left.partition->last_served < right.partition->last_served;
  });
  return wanted;
}

FetchRequest ConsumerCore::fetch_request() const {
  FetchRequest request;
  request.max_wait_ms = settings_.fetch_max_wait_ms;
  request.min_bytes = settings_.fetch_min_bytes;
  request.max_bytes = settings_.fetch_max_bytes;
  request.isolation_level = static_cast<std::int8_t>(settings_.isolation_level);
  request.rack_id = settings_.client_rack;
  return request;
}

// One request and its answer. False if there is nothing to ask this broker for.
io::Task<bool> ConsumerCore::fetch_once(Fetcher& fetcher) {
  const Instant begin = shard_.now();
  const bool any = std::any_of(turn_order_.begin(), turn_order_.end(),
                               [&](const AssignedRef& one) { return fetchable(*one, fetcher.id, begin); });
  if (!any) co_return false;
  ConnectionRef connection = co_await connection_for(fetcher);
  if (stopped_) co_return false;
  if (!connection) co_return true;

  std::vector<FetchSession::Want> wanted = wanted_from(fetcher);
  if (wanted.empty()) co_return false;
  constexpr std::int16_t kLastWithNames = 12;
  const bool topic_ids = std::none_of(wanted.begin(), wanted.end(),
                                      [](const FetchSession::Want& want) { return want.topic_id.is_zero(); });
  Result<std::int16_t> version =
      connection->version_of<FetchRequest>({0, topic_ids ? FetchRequest::kMaxStableVersion : kLastWithNames});
  if (!version) {
    for (const FetchSession::Want& want : wanted) fail_partition(*want.partition, version.error());
    co_return true;
  }
  FetchRequest request = fetch_request();
  FetchSession::Plan plan = fetcher.session.plan(wanted, *version > kLastWithNames, request);
  for (const FetchSession::Want& want : wanted) want.partition->in_fetch = true;
  wanted.clear();
  ++fetches_;
  Result<FetchResponse> response = co_await connection->call_version(
      std::move(request), *version,
      milliseconds(settings_.common.request_timeout_ms) + milliseconds(settings_.fetch_max_wait_ms));
  for (auto& [partition, entry] : plan.entries) entry.partition->in_fetch = false;
  if (stopped_) co_return false;
  if (response) {
    take_fetched(fetcher, plan, *response);
    co_return true;
  }
  fetcher.session.reset();
  cluster_.request_update();
  log_.debug("fetch from broker {} failed: {}", fetcher.id, response.error().message());
  for (auto& [partition, entry] : plan.entries) {
    entry.partition->preferred_replica = -1;
    back_off(*entry.partition);
  }
  co_return true;
}

void ConsumerCore::take_fetched(Fetcher& fetcher, const FetchSession::Plan& plan, FetchResponse& response) {
  if (response.throttle_time_ms > 0) fetcher.throttled_until = shard_.now() + milliseconds(response.throttle_time_ms);
  if (!fetcher.session.accept(response)) {
    log_.debug("fetch session with broker {} ended: {}", fetcher.id,
               protocol::name(protocol::error_code_from(response.error_code)));
    if (!protocol::retriable(protocol::error_code_from(response.error_code))) {
      for (const auto& [partition, entry] : plan.entries) back_off(*entry.partition);
    }
    return;
  }
  for (const auto& node : response.node_endpoints) {
    cluster_.learn_broker({node.node_id, {node.host, static_cast<std::uint16_t>(node.port)}, node.rack});
  }
  bool anything = false;    // whole batches, or records that nobody wants any more
  Assigned* cut = nullptr;  // the first with a part of a batch and nothing else
  for (auto& topic : response.responses) {
    std::string name = topic.topic;
    if (plan.topic_ids) {
      const auto known = plan.names.find(topic.topic_id);
      if (known == plan.names.end()) continue;
      name = known->second;
    }
    for (auto& data : topic.partitions) {
      const auto entry = plan.entries.find({name, data.partition_index});
      if (entry == plan.entries.end()) continue;
      Assigned& partition = *entry->second.partition;
      // A seek since then makes the answer meaningless.
      if (partition.revoked || partition.generation != entry->second.generation ||
          partition.fetch_offset != entry->second.fetch_offset) {
        anything = anything || !data.records.empty();
        continue;
      }
      const Taken taken = take_partition(partition, data);
      anything = anything || taken == Taken::batches;
      if (taken == Taken::part && cut == nullptr) cut = &partition;
    }
  }
  // Where others have filled the response a batch that was cut is asked for again. But the first one is whole, however
  // large it is: a broker that cuts that one will do so again.
  if (cut != nullptr && !anything) {
    fail_partition(*cut, Error(Errc::too_large, "the broker sends a part of the record batch at offset " +
                                                    std::to_string(cut->fetch_offset) + " and nothing else"));
  }
  wake();
}

ConsumerCore::Taken ConsumerCore::take_partition(Assigned& partition, FetchResponse::PartitionData& data) {
  const ErrorCode code = protocol::error_code_from(data.error_code);
  if (data.current_leader.leader_id >= 0) {
    cluster_.learn_leader(partition.partition.topic, partition.partition.partition, data.current_leader.leader_id,
                          data.current_leader.leader_epoch);
  }
  if (code != ErrorCode::none) {
    take_fetch_error(partition, code);
    return Taken::nothing;
  }
  partition.failures = 0;
  partition.high_watermark = data.high_watermark;
  partition.last_stable_offset = data.last_stable_offset;
  if (data.diverging_epoch.end_offset >= 0) {
    truncated(partition, data.diverging_epoch.end_offset);
    return Taken::nothing;
  }
  if (data.preferred_read_replica >= 0 && cluster_.brokers().contains(data.preferred_read_replica)) {
    partition.preferred_replica = data.preferred_read_replica;
    partition.preferred_until = shard_.now() + cluster_.options().metadata_max_age;
  }
  if (data.records.empty()) return Taken::nothing;
  Slice entries = data.records.slice();
  // The next fetch goes on behind the last whole entry.
  std::int64_t next = -1;
  std::int32_t epoch = -1;
  record::BatchCursor cursor(entries);
  while (cursor.next()) {
    if (cursor.magic() < record::kMagic) {
      next = cursor.head().offset + 1;
      continue;
    }
    Result<record::BatchView> batch = cursor.batch();
    if (!batch) break;
    next = batch->next_offset();
    epoch = batch->leader_epoch();
  }
  if (next < 0 && cursor.tail() == record::EntryStatus::incomplete) return Taken::part;
  partition.last_served = fetches_;
  std::vector<AbortedTransaction> aborted;
  if (data.aborted_transactions) {
    for (const auto& one : *data.aborted_transactions) aborted.push_back({one.producer_id, one.first_offset});
  }
  fetched_bytes_ += entries.size();
  buffered_bytes_ += entries.size();
  partition.buffered_bytes += entries.size();
  partition.buffered.emplace_back(std::move(entries), std::move(aborted), chunk_options_);
  if (next > partition.fetch_offset) partition.fetch_offset = next;
  if (epoch >= 0) partition.fetch_epoch = epoch;
  arrived_.notify_all();
  return Taken::batches;
}

void ConsumerCore::take_fetch_error(Assigned& partition, ErrorCode code) {
  log_.debug("fetch of {} at offset {}: {}", partition.partition.text(), partition.fetch_offset, protocol::name(code));
  if (partition.preferred_replica >= 0) {  // the leader knows better
    partition.preferred_replica = -1;
    return;
  }
  if (code == ErrorCode::offset_out_of_range) {
    if (partition.fetch_offset != partition.position.offset)
      return;  // what is buffered goes first; then it is seen again
    if (settings_.auto_offset_reset.kind == OffsetReset::Kind::none) {
      return fail_partition(partition, protocol::kafka_error(code, "offset " + std::to_string(partition.fetch_offset) +
                                                                       ", and auto.offset.reset is none"));
    }
    log_.info("{}: offset {} is out of range, reset by auto.offset.reset", partition.partition.text(),
              partition.fetch_offset);
    return need_offset(partition);
  }
  if (!protocol::retriable(code)) return fail_partition(partition, protocol::kafka_error(code));
  if (protocol::needs_metadata(code)) cluster_.request_update();
  back_off(partition);
}

}  // namespace klamm::client
