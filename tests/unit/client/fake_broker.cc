#include "fake_broker.h"

#include <algorithm>

#include "protocol/message/api.h"
#include "protocol/messages/api_versions_request.h"
#include "protocol/messages/api_versions_response.h"
#include "protocol/messages/init_producer_id_request.h"
#include "protocol/messages/init_producer_id_response.h"
#include "protocol/messages/list_offsets_request.h"
#include "protocol/messages/list_offsets_response.h"
#include "protocol/messages/metadata_request.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/messages/offset_for_leader_epoch_request.h"
#include "protocol/messages/offset_for_leader_epoch_response.h"
#include "protocol/record/record.h"
#include "protocol/rpc/frame_reader.h"

namespace klamm::test {

using namespace protocol;

namespace {
constexpr std::uint16_t kPort = 9092;

template <typename Request>
void offer(ApiVersionsResponse& response, std::int16_t most = Request::kMaxStableVersion) {
  auto& api = response.api_keys.emplace_back();
  api.api_key = static_cast<std::int16_t>(Request::kApiKey);
  api.min_version = Request::kMinVersion;
  api.max_version = most;
}
}  // namespace

struct FakeCluster::Broker {
  Broker(std::int32_t number, io::sim::Node& on) : id(number), node(on), gate(on.shard()) {}
  std::int32_t id;
  io::sim::Node& node;
  std::unique_ptr<io::Listener> listener;
  std::vector<std::weak_ptr<io::Stream>> streams;
  io::Gate gate;
};

FakeCluster::FakeCluster(io::sim::Simulation& simulation, int brokers) : simulation_(simulation) {
  for (std::int32_t id = 1; id <= brokers; ++id) {
    io::sim::Node& node = simulation.add_node("broker" + std::to_string(id));
    auto broker = std::make_unique<Broker>(id, node);
    Result<std::unique_ptr<io::Listener>> listener = node.shard().listen({"", kPort}, 100);
    KLAMM_CHECK(listener);
    broker->listener = std::move(*listener);
    broker->gate.spawn(serve(*broker));
    brokers_[id] = std::move(broker);
  }
}

FakeCluster::~FakeCluster() { stop(); }

void FakeCluster::stop() {
  if (std::exchange(stopped_, true)) return;
  for (auto& [id, broker] : brokers_) {
    broker->listener->close();
    for (const auto& stream : broker->streams) {
      if (const auto open = stream.lock()) open->close();
    }
    simulation_.run(broker->node.shard(), broker->gate.close());
  }
}

io::sim::Node& FakeCluster::node(std::int32_t broker) { return brokers_.at(broker)->node; }

std::string FakeCluster::bootstrap() const {
  std::string all;
  for (const auto& [id, broker] : brokers_)
    all += (all.empty() ? "" : ",") + broker->node.name() + ":" + std::to_string(kPort);
  return all;
}

FakeTopic& FakeCluster::add_topic(const std::string& name, std::size_t partitions) {
  FakeTopic& topic = topics_[name];
  topic.id = {0, next_topic_++ + 1000};
  topic.partitions.resize(partitions);
  for (std::size_t index = 0; index < partitions; ++index) {
    topic.partitions[index].leader = static_cast<std::int32_t>(index % brokers_.size()) + 1;
  }
  return topic;
}

void FakeCluster::move_leader(const std::string& topic, std::size_t index, std::int32_t to) {
  partition(topic, index).leader = to;
  ++partition(topic, index).leader_epoch;
}

void FakeCluster::append(const std::string& topic, std::size_t index, Slice batch) {
  FakePartition& to = partition(topic, index);
  Slice copy = Slice::copy(batch.bytes());
  const MutableBytes bytes(copy.mutable_data(), copy.size());
  record::patch_base_offset(bytes, to.next_offset);
  record::patch_leader_epoch(bytes, to.leader_epoch);
  Result<record::BatchView> view = record::BatchView::parse(copy);
  KLAMM_CHECK(view);
  to.next_offset = view->next_offset();
  to.batches.push_back(std::move(copy));
}

std::vector<std::string> FakeCluster::values(const std::string& topic, std::size_t index) {
  std::vector<std::string> all;
  compress::Codecs codecs;
  for (const Slice& batch : partition(topic, index).batches) {
    Result<record::BatchView> view = record::BatchView::parse(batch);
    KLAMM_CHECK(view && view->crc_fits());
    if (view->is_control()) continue;
    Result<Slice> plain = record::plain_records(*view, codecs, 1 << 30);
    KLAMM_CHECK(plain);
    record::RecordIterator records(*view, plain->bytes());
    for (record::RecordView record; records.next(record);) all.emplace_back(record.value.text());
    KLAMM_CHECK(records.status());
  }
  return all;
}

std::string FakeCluster::name_of(const Uuid& id) const {
  for (const auto& [name, topic] : topics_) {
    if (topic.id == id) return name;
  }
  return {};
}

// ---- connections ----

io::Task<void> FakeCluster::serve(Broker& broker) {
  for (;;) {
    Result<std::unique_ptr<io::Stream>> stream = co_await broker.listener->accept(broker.node.shard());
    if (!stream) co_return;
    ++connections;
    if (tls) *stream = io::tls::TlsStream::server(broker.node.shard(), std::move(*stream), tls);
    std::shared_ptr<io::Stream> shared = std::move(*stream);
    broker.streams.push_back(shared);
    broker.gate.spawn(talk(broker, std::move(shared)));
  }
}

io::Task<void> FakeCluster::talk(Broker& broker, std::shared_ptr<io::Stream> stream) {
  rpc::FrameReader frames(64 << 20);
  if (auto* secured = dynamic_cast<io::tls::TlsStream*>(stream.get())) {
    Result<void> shaken = co_await secured->handshake(Instant::never());
    if (!shaken) {
      stream->close();
      co_return;
    }
  }
  for (;;) {
    Result<Slice> frame = co_await frames.read(*stream);
    if (!frame) break;
    wire::Reader reader(*frame);
    const auto key = static_cast<ApiKey>(reader.read_int16());
    const std::int16_t version = reader.read_int16();
    const std::int32_t correlation_id = reader.read_int32();
    (void)reader.read_nullable_string(false);
    const auto flexible = [&] {
      switch (key) {
        case ApiKey::api_versions: return version >= ApiVersionsRequest::kFlexibleFrom && version <= most_api_versions;
        case ApiKey::metadata: return version >= MetadataRequest::kFlexibleFrom;
        case ApiKey::produce: return version >= ProduceRequest::kFlexibleFrom;
        case ApiKey::fetch: return version >= FetchRequest::kFlexibleFrom;
        case ApiKey::list_offsets: return version >= ListOffsetsRequest::kFlexibleFrom;
        case ApiKey::init_producer_id: return version >= InitProducerIdRequest::kFlexibleFrom;
        case ApiKey::offset_for_leader_epoch: return version >= OffsetForLeaderEpochRequest::kFlexibleFrom;
        default: return false;
      }
    }();
    wire::UnknownTags tags;
    if (flexible) reader.read_unknown_tags(tags);
    ++requests[key];
    if (mute) continue;
    const Verdict verdict = key != ApiKey::api_versions && script ? script(broker.id, key) : Verdict::answer;
    if (verdict == Verdict::cut) break;
    if (verdict == Verdict::ignore) continue;
    Duration wait = answer_delay;
    std::optional<io::Pieces> body = handle(broker, key, version, reader.read_rest(), wait);
    if (wait > 0ns) co_await broker.node.shard().sleep(wait);
    if (verdict == Verdict::lose_answer) break;
    if (!body) continue;  // acks=0
    const bool response_tags = flexible && key != ApiKey::api_versions;
    Buffer::Ref head = Buffer::allocate(9);
    const std::size_t head_bytes = response_tags ? 9 : 8;
    store_big_endian(head->data(), static_cast<std::int32_t>(head_bytes - 4 + io::size_of(*body)));
    store_big_endian(head->data() + 4, correlation_id);
    head->data()[8] = std::byte{0};
    body->insert(body->begin(), Slice(head, head_bytes));
    Result<void> sent = co_await io::write_all(*stream, std::move(*body));
    if (!sent) break;
  }
  stream->close();
}

std::optional<io::Pieces> FakeCluster::handle(Broker& broker, ApiKey key, std::int16_t version, Slice body,
                                              Duration& wait) {
  switch (key) {
    case ApiKey::api_versions: return api_versions(version);
    case ApiKey::metadata: return metadata(version, std::move(body));
    case ApiKey::init_producer_id: return init_producer_id(version);
    case ApiKey::produce: return produce(broker, version, std::move(body));
    case ApiKey::fetch: return fetch(broker, version, std::move(body), wait);
    case ApiKey::list_offsets: return list_offsets(broker, version, std::move(body));
    case ApiKey::offset_for_leader_epoch: return offset_for_leader_epoch(version, std::move(body));
    default: KLAMM_CHECK(false, "the fake broker does not serve this API");
  }
  return std::nullopt;
}

io::Pieces FakeCluster::api_versions(std::int16_t version) {
  ApiVersionsResponse response;
  if (version > most_api_versions) {
    response.error_code = to_wire(ErrorCode::unsupported_version);
    offer<ApiVersionsRequest>(response, most_api_versions);
    return wire::encode_pieces(response, 0);
  }
  offer<ApiVersionsRequest>(response, most_api_versions);
  offer<MetadataRequest>(response);
  offer<ProduceRequest>(response);
  offer<FetchRequest>(response);
  offer<ListOffsetsRequest>(response);
  offer<InitProducerIdRequest>(response);
  offer<OffsetForLeaderEpochRequest>(response);
  for (const ApiInfo& info : all_apis()) {
    const auto number = static_cast<std::int16_t>(info.key);
    const bool offered = std::any_of(response.api_keys.begin(), response.api_keys.end(),
                                     [number](const auto& one) { return one.api_key == number; });
    if (!offers_all || offered) continue;
    auto& api = response.api_keys.emplace_back();
    api.api_key = number;
    api.min_version = info.min_version;
    api.max_version = info.max_version;
  }
  return wire::encode_pieces(response, version);
}

io::Pieces FakeCluster::metadata(std::int16_t version, Slice body) {
  Result<MetadataRequest> request = wire::decode_message<MetadataRequest>(std::move(body), version);
  KLAMM_CHECK(request);
  if (on_metadata) on_metadata(*request);
  MetadataResponse response;
  response.cluster_id = "fake";
  response.controller_id = 1;
  for (const auto& [id, broker] : brokers_) {
    if (hidden.contains(id)) continue;
    auto& one = response.brokers.emplace_back();
    one.node_id = id;
    one.host = broker->node.name();
    one.port = kPort;
  }
  std::vector<std::string> names;
  if (request->topics) {
    for (const auto& topic : *request->topics) names.push_back(topic.name.value_or(""));
  } else {
    for (const auto& [name, topic] : topics_) names.push_back(name);
  }
  for (const std::string& name : names) {
    if (!topics_.contains(name) && auto_create && request->allow_auto_topic_creation) add_topic(name, 1);
    auto& topic = response.topics.emplace_back();
    topic.name = name;
    const auto known = topics_.find(name);
    if (known == topics_.end()) {
      topic.error_code = to_wire(ErrorCode::unknown_topic_or_partition);
      continue;
    }
    topic.topic_id = known->second.id;
    std::int32_t index = 0;
    for (const FakePartition& from : known->second.partitions) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = index++;
      partition.leader_id = from.leader;
      partition.leader_epoch = from.leader_epoch;
      partition.replica_nodes = partition.isr_nodes = {from.leader};
      if (from.leader < 0) partition.error_code = to_wire(ErrorCode::leader_not_available);
    }
  }
  return wire::encode_pieces(response, version);
}

io::Pieces FakeCluster::init_producer_id(std::int16_t version) {
  InitProducerIdResponse response;
  response.producer_id = next_producer_id_++;
  response.producer_epoch = 0;
  return wire::encode_pieces(response, version);
}

// ---- produce ----

ErrorCode FakeCluster::append_batch(FakePartition& to, const Slice& records, std::int64_t& base_offset) {
  Result<record::BatchView> batch = record::BatchView::parse(records);
  if (!batch || !batch->crc_fits()) return ErrorCode::corrupt_message;
  if (records.size() > max_batch_bytes) return ErrorCode::message_too_large;
  if (!to.produce_errors.empty()) {
    const ErrorCode code = to.produce_errors.front();
    to.produce_errors.pop_front();
    if (code != ErrorCode::none) return code;
  }
  base_offset = to.next_offset;
  if (batch->has_producer_id()) {
    FakePartition::Producer& producer = to.producers[batch->producer_id()];
    if (batch->producer_epoch() < producer.epoch) return ErrorCode::invalid_producer_epoch;
    if (batch->producer_epoch() > producer.epoch) {
      if (producer.epoch >= 0 && batch->base_sequence() != 0) return ErrorCode::out_of_order_sequence_number;
      producer.last.clear();
      producer.epoch = batch->producer_epoch();
    } else {
      for (const auto& one : producer.last) {
        if (one.first_sequence == batch->base_sequence() && one.last_sequence == batch->last_sequence()) {
          base_offset = one.offset;
          return ErrorCode::none;
        }
      }
      if (!producer.last.empty() &&
          batch->base_sequence() != record::advance_sequence(producer.last.back().last_sequence, 1)) {
        return ErrorCode::out_of_order_sequence_number;
      }
    }
    producer.last.push_back({batch->base_sequence(), batch->last_sequence(), base_offset});
    if (producer.last.size() > 5) producer.last.pop_front();
  }
  Slice copy = Slice::copy(records.bytes());
  record::patch_base_offset({copy.mutable_data(), copy.size()}, base_offset);
  record::patch_leader_epoch({copy.mutable_data(), copy.size()}, to.leader_epoch);
  to.next_offset += batch->last_offset_delta() + 1;
  to.batches.push_back(std::move(copy));
  return ErrorCode::none;
}

std::optional<io::Pieces> FakeCluster::produce(Broker& broker, std::int16_t version, Slice body) {
  Result<ProduceRequest> request = wire::decode_message<ProduceRequest>(std::move(body), version);
  KLAMM_CHECK(request);
  ProduceResponse response;
  for (const auto& topic : request->topic_data) {
    auto& answered = response.responses.emplace_back();
    answered.topic_id = topic.topic_id;
    answered.name = topic.name;
    const std::string name = version > 12 ? name_of(topic.topic_id) : topic.name;
    for (const auto& one : topic.partition_data) {
      auto& partition = answered.partition_responses.emplace_back();
      partition.index = one.index;
      partition.base_offset = -1;
      const auto known = topics_.find(name);
      ErrorCode code = ErrorCode::none;
      if (known == topics_.end() || static_cast<std::size_t>(one.index) >= known->second.partitions.size()) {
        code = version > 12 ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition;
      } else {
        FakePartition& to = known->second.partitions[static_cast<std::size_t>(one.index)];
        const bool too_soon = to.leader == broker.id && simulation_.now() < to.leads_from;
        code = to.leader == broker.id && !too_soon ? append_batch(to, one.records.slice(), partition.base_offset)
                                                   : ErrorCode::not_leader_or_follower;
        if (code != ErrorCode::none) partition.base_offset = -1;
        if (hints && code == ErrorCode::not_leader_or_follower) {
          partition.current_leader.leader_id = too_soon ? to.leader_before : to.leader;
          partition.current_leader.leader_epoch = to.leader_epoch - (too_soon ? 1 : 0);
        }
      }
      partition.error_code = to_wire(code);
    }
  }
  if (request->acks == 0) return std::nullopt;
  return wire::encode_pieces(response, version);
}

// ---- fetch and offsets ----

io::Pieces FakeCluster::fetch(Broker& broker, std::int16_t version, Slice body, Duration& wait) {
  Result<FetchRequest> request = wire::decode_message<FetchRequest>(std::move(body), version);
  KLAMM_CHECK(request);
  if (on_fetch) on_fetch(*request);
  FetchResponse response;
  bool any = false;
  std::int64_t room = request->max_bytes;
  for (const auto& topic : request->topics) {
    auto& answered = response.responses.emplace_back();
    answered.topic = topic.topic;
    answered.topic_id = topic.topic_id;
    const auto known = topics_.find(version > 12 ? name_of(topic.topic_id) : topic.topic);
    for (const auto& one : topic.partitions) {
      auto& partition = answered.partitions.emplace_back();
      partition.partition_index = one.partition;
      partition.records = wire::Records(Slice());
      const FakePartition* from =
          known == topics_.end() ? nullptr : &known->second.partitions.at(static_cast<std::size_t>(one.partition));
      ErrorCode code = ErrorCode::none;
      if (from == nullptr) {
        code = ErrorCode::unknown_topic_id;
      } else if (from->leader != broker.id) {
        code = ErrorCode::not_leader_or_follower;
      } else if (one.current_leader_epoch >= 0 && one.current_leader_epoch < from->leader_epoch) {
        code = ErrorCode::fenced_leader_epoch;
      } else if (one.fetch_offset < from->start_offset || one.fetch_offset > from->next_offset) {
        code = ErrorCode::offset_out_of_range;
      }
      partition.error_code = to_wire(code);
      if (hints && code == ErrorCode::not_leader_or_follower) {
        partition.current_leader.leader_id = from->leader;
        partition.current_leader.leader_epoch = from->leader_epoch;
      }
      if (code != ErrorCode::none) {
        any = true;
        continue;
      }
      partition.high_watermark = partition.last_stable_offset = from->next_offset;
      partition.log_start_offset = from->start_offset;
      partition.aborted_transactions.emplace();
      for (const auto& [producer, first] : from->aborted) {
        auto& aborted = partition.aborted_transactions->emplace_back();
        aborted.producer_id = producer;
        aborted.first_offset = first;
      }
      io::Pieces records;
      std::size_t bytes = 0;
      for (const Slice& batch : from->batches) {
        const std::int64_t base = load_big_endian<std::int64_t>(batch.data());
        const std::int32_t delta = load_big_endian<std::int32_t>(batch.data() + record::kLastOffsetDeltaPosition);
        if (base + delta < one.fetch_offset) continue;
        if (bytes > 0 && bytes + batch.size() > static_cast<std::size_t>(one.partition_max_bytes)) break;
        bytes += batch.size();
        records.emplace_back(batch);
      }
      if (cuts_batches && bytes > 0) {
        std::size_t kept = std::min(bytes, static_cast<std::size_t>(std::max<std::int64_t>(room, 0)));
        if (!any && !cuts_first_batch) kept = std::max(kept, std::get<Slice>(records.front()).size());
        std::string all;
        for (const io::Piece& piece : records) all += std::get<Slice>(piece).text();
        records = {Slice::copy(as_bytes(std::string_view(all).substr(0, kept)))};
        bytes = kept;
      }
      room -= static_cast<std::int64_t>(bytes);
      any = any || bytes > 0;
      partition.records = wire::Records(std::move(records));
    }
  }
  if (!any) wait += std::min(milliseconds(request->max_wait_ms), Duration(20ms));
  return wire::encode_pieces(response, version);
}

io::Pieces FakeCluster::list_offsets(Broker& broker, std::int16_t version, Slice body) {
  Result<ListOffsetsRequest> request = wire::decode_message<ListOffsetsRequest>(std::move(body), version);
  KLAMM_CHECK(request);
  ListOffsetsResponse response;
  for (const auto& topic : request->topics) {
    auto& answered = response.topics.emplace_back();
    answered.name = topic.name;
    for (const auto& one : topic.partitions) {
      auto& partition = answered.partitions.emplace_back();
      partition.partition_index = one.partition_index;
      const FakePartition& from = topics_.at(topic.name).partitions.at(static_cast<std::size_t>(one.partition_index));
      if (from.leader != broker.id) {
        partition.error_code = to_wire(ErrorCode::not_leader_or_follower);
        continue;
      }
      partition.leader_epoch = from.leader_epoch;
      if (one.timestamp == -2) {
        partition.offset = from.start_offset;
      } else if (one.timestamp == -1) {
        partition.offset = from.next_offset;
      } else {
        for (const Slice& batch : from.batches) {
          Result<record::BatchView> view = record::BatchView::parse(batch);
          if (view->max_timestamp() < one.timestamp) continue;
          partition.offset = view->base_offset();
          partition.timestamp = view->base_timestamp();
          break;
        }
      }
    }
  }
  return wire::encode_pieces(response, version);
}

io::Pieces FakeCluster::offset_for_leader_epoch(std::int16_t version, Slice body) {
  Result<OffsetForLeaderEpochRequest> request =
      wire::decode_message<OffsetForLeaderEpochRequest>(std::move(body), version);
  KLAMM_CHECK(request);
  OffsetForLeaderEpochResponse response;
  for (const auto& topic : request->topics) {
    auto& answered = response.topics.emplace_back();
    answered.topic = topic.topic;
    for (const auto& one : topic.partitions) {
      auto& partition = answered.partitions.emplace_back();
      const FakePartition& from = topics_.at(topic.topic).partitions.at(static_cast<std::size_t>(one.partition));
      partition.partition = one.partition;
      partition.leader_epoch = one.leader_epoch;
      partition.end_offset = from.next_offset;
      for (const auto& [epoch, end] : from.epoch_ends) {
        if (epoch == one.leader_epoch) partition.end_offset = end;
      }
    }
  }
  return wire::encode_pieces(response, version);
}

}  // namespace klamm::test
