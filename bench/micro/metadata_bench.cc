// The cluster's metadata by its size: from its records to an image, one change of one partition, and a snapshot. Topics
// of 100 partitions with three replicas.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "broker/metadata/delta.h"
#include "broker/metadata/image_writer.h"

namespace {

using namespace klamm;
using namespace klamm::metadata;

constexpr std::int32_t kPartitionsOfTopic = 100;
constexpr std::int32_t kBrokers = 9;

Uuid topic_id(std::int64_t topic) { return Uuid{10, static_cast<std::uint64_t>(topic)}; }

Records records_of(std::int64_t partitions) {
  Records records;
  records.push_back(feature_record(kMetadataVersionFeature, MetadataVersion{}.level));
  for (std::int64_t topic = 0; topic < partitions / kPartitionsOfTopic; ++topic) {
    messages::TopicRecord named;
    named.name = "topic-" + std::to_string(topic);
    named.topic_id = topic_id(topic);
    records.push_back({std::move(named), 0});
    for (std::int32_t index = 0; index < kPartitionsOfTopic; ++index) {
      PartitionRegistration partition;
      for (std::int32_t replica = 0; replica < 3; ++replica) partition.replicas.push_back((index + replica) % kBrokers);
      partition.directories.assign(partition.replicas.size(), kUnassignedDirectory);
      partition.isr = partition.replicas;
      partition.leader = partition.replicas.front();
      records.push_back(partition_record(topic_id(topic), index, partition, MetadataVersion{}));
    }
  }
  return records;
}

ImageRef replayed(ImageRef base, const Records& records) {
  MetadataDelta delta(std::move(base));
  for (const Record& record : records) KLAMM_CHECK(delta.replay(record).has_value());
  return delta.apply({static_cast<std::int64_t>(records.size()), 1, 0});
}

// What a node does with a snapshot, or with the log from its beginning.
void load(benchmark::State& state) {
  std::vector<Slice> values = encode_records(records_of(state.range(0)));
  for (auto _ : state) {
    MetadataDelta delta(MetadataImage::none());
    for (const Slice& value : values) {
      Result<Record> record = decode_record(value);
      KLAMM_CHECK(record.has_value() && delta.replay(*record).has_value());
    }
    benchmark::DoNotOptimize(delta.apply({static_cast<std::int64_t>(values.size()), 1, 0}));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

// A leader's ISR shrinks: the record is taken in, and the next image made. It should not depend on the size.
void one_change(benchmark::State& state) {
  ImageRef image = replayed(MetadataImage::none(), records_of(state.range(0)));
  std::int64_t turn = 0;
  for (auto _ : state) {
    messages::PartitionChangeRecord change;
    change.topic_id = topic_id(turn++ % (state.range(0) / kPartitionsOfTopic));
    change.partition_id = 7;
    change.isr = std::vector<std::int32_t>{7};
    Records records;
    records.push_back({std::move(change), 2});
    image = replayed(image, records);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

// The records of a snapshot, encoded; without the file.
void snapshot(benchmark::State& state) {
  const ImageRef image = replayed(MetadataImage::none(), records_of(state.range(0)));
  for (auto _ : state) {
    Records records;
    std::size_t bytes = 0;
    for (ImageWriter writer(image); writer.next(records); records.clear()) {
      for (const Record& record : records) bytes += encode_record(record).size();
    }
    benchmark::DoNotOptimize(bytes);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

BENCHMARK(load)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK(one_change)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(snapshot)->Arg(1'000)->Arg(100'000)->Unit(benchmark::kMillisecond);

}  // namespace
