// Encoding and decoding of the messages that matter most, frames without their heads.
#include <benchmark/benchmark.h>

#include <string>

#include "protocol/messages/fetch_request.h"
#include "protocol/messages/fetch_response.h"
#include "protocol/messages/metadata_response.h"
#include "protocol/messages/produce_request.h"
#include "protocol/messages/produce_response.h"
#include "protocol/wire/message.h"

namespace {

using namespace klamm;
using namespace klamm::protocol;

const Uuid kTopicId{0x1234567812345678, 0x8765432187654321};

Slice bytes_of(std::size_t count) {
  Buffer::Ref buffer = Buffer::allocate(count);
  std::memset(buffer->data(), 'v', count);
  return Slice(buffer, count);
}

// `partitions` batches of 16 KB.
ProduceRequest produce_request(std::int64_t partitions) {
  ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 30'000;
  auto& topic = request.topic_data.emplace_back();
  topic.topic_id = kTopicId;
  const Slice records = bytes_of(16 << 10);
  for (std::int64_t index = 0; index < partitions; ++index) {
    auto& partition = topic.partition_data.emplace_back();
    partition.index = static_cast<std::int32_t>(index);
    partition.records = wire::Records(records);
  }
  return request;
}

ProduceResponse produce_response(std::int64_t partitions) {
  ProduceResponse response;
  auto& topic = response.responses.emplace_back();
  topic.topic_id = kTopicId;
  for (std::int64_t index = 0; index < partitions; ++index) {
    auto& partition = topic.partition_responses.emplace_back();
    partition.index = static_cast<std::int32_t>(index);
    partition.base_offset = index * 1000;
  }
  return response;
}

FetchRequest fetch_request(std::int64_t partitions) {
  FetchRequest request;
  request.max_wait_ms = 500;
  auto& topic = request.topics.emplace_back();
  topic.topic_id = kTopicId;
  for (std::int64_t index = 0; index < partitions; ++index) {
    auto& partition = topic.partitions.emplace_back();
    partition.partition = static_cast<std::int32_t>(index);
    partition.fetch_offset = index * 1000;
    partition.partition_max_bytes = 1 << 20;
  }
  return request;
}

FetchResponse fetch_response(std::int64_t partitions) {
  FetchResponse response;
  auto& topic = response.responses.emplace_back();
  topic.topic_id = kTopicId;
  const Slice records = bytes_of(16 << 10);
  for (std::int64_t index = 0; index < partitions; ++index) {
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = static_cast<std::int32_t>(index);
    partition.high_watermark = partition.last_stable_offset = index * 1000;
    partition.records = wire::Records(records);
  }
  return response;
}

MetadataResponse metadata_response(std::int64_t topics) {
  MetadataResponse response;
  for (std::int32_t node = 1; node <= 3; ++node) {
    auto& broker = response.brokers.emplace_back();
    broker.node_id = node;
    broker.host = "broker.example";
    broker.port = 9092;
  }
  for (std::int64_t index = 0; index < topics; ++index) {
    auto& topic = response.topics.emplace_back();
    topic.name = "topic-" + std::to_string(index);
    topic.topic_id = kTopicId;
    for (std::int32_t number = 0; number < 3; ++number) {
      auto& partition = topic.partitions.emplace_back();
      partition.partition_index = number;
      partition.leader_id = 1 + number;
      partition.replica_nodes = partition.isr_nodes = {1, 2, 3};
    }
  }
  return response;
}

template <typename Message>
void encode(benchmark::State& state, Message (*make)(std::int64_t)) {
  const Message message = make(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(wire::encode_pieces(message, Message::kMaxStableVersion));
  state.SetItemsProcessed(state.iterations());
}

template <typename Message>
void decode(benchmark::State& state, Message (*make)(std::int64_t)) {
  const Slice encoded = wire::encode_message(make(state.range(0)), Message::kMaxStableVersion);
  for (auto _ : state) {
    benchmark::DoNotOptimize(wire::decode_message<Message>(encoded, Message::kMaxStableVersion));
  }
  state.SetItemsProcessed(state.iterations());
}

#define KLAMM_CODEC_BENCH(make)                            \
  BENCHMARK_CAPTURE(encode, make, make)->Arg(1)->Arg(100); \
  BENCHMARK_CAPTURE(decode, make, make)->Arg(1)->Arg(100)

KLAMM_CODEC_BENCH(produce_request);
KLAMM_CODEC_BENCH(produce_response);
KLAMM_CODEC_BENCH(fetch_request);
KLAMM_CODEC_BENCH(fetch_response);
KLAMM_CODEC_BENCH(metadata_response);

}  // namespace
