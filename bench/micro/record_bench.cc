// CRC, appending, reading and inspecting record batches.
#include <benchmark/benchmark.h>

#include <string>

#include "protocol/record/batch_builder.h"
#include "protocol/record/crc32c.h"
#include "protocol/record/record.h"

namespace {

using namespace klamm;
using namespace klamm::record;

constexpr TimestampMs kStart = 1'700'000'000'000;

Slice full_batch(std::size_t value_bytes, std::size_t limit, Compression codec, Codecs& codecs) {
  BatchBuilder builder({.compression = codec, .level = compress::standard_level(codec), .size_limit_bytes = limit});
  std::string value(value_bytes, 'v');
  for (std::size_t index = 0; builder.append(kStart + builder.record_count() / 100, nullptr, value); ++index) {
    value[index % value_bytes] = static_cast<char>('a' + index % 26);
  }
  return *builder.build(codecs);
}

void crc(benchmark::State& state) {
  const std::string bytes(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(crc32c(as_bytes(bytes)));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc)->Arg(100)->Arg(16 << 10)->Arg(1 << 20);

// Without building the batch: what send() costs.
void append(benchmark::State& state) {
  const std::string value(static_cast<std::size_t>(state.range(0)), 'v');
  const std::size_t limit = static_cast<std::size_t>(state.range(1));
  std::int64_t records = 0;
  for (auto _ : state) {
    BatchBuilder builder({.size_limit_bytes = limit, .initial_bytes = limit});
    while (builder.append(kStart, nullptr, value)) {
    }
    records += builder.record_count();
  }
  state.SetItemsProcessed(records);
  state.SetBytesProcessed(records * state.range(0));
}
BENCHMARK(append)->ArgsProduct({{10, 100, 1000}, {16 << 10, 1 << 20}});

void build_with_crc(benchmark::State& state) {
  const std::string value(static_cast<std::size_t>(state.range(0)), 'v');
  Codecs codecs;
  std::int64_t records = 0;
  for (auto _ : state) {
    BatchBuilder builder({.size_limit_bytes = 64 << 10});
    while (builder.append(kStart, nullptr, value)) {
    }
    records += builder.record_count();
    benchmark::DoNotOptimize(builder.build(codecs));
  }
  state.SetItemsProcessed(records);
}
BENCHMARK(build_with_crc)->Arg(10)->Arg(100)->Arg(1000);

void iterate(benchmark::State& state) {
  Codecs codecs;
  const auto codec = static_cast<Compression>(state.range(1));
  const BatchView batch =
      *BatchView::parse(full_batch(static_cast<std::size_t>(state.range(0)), 256 << 10, codec, codecs));
  std::int64_t records = 0;
  std::int64_t sum = 0;
  for (auto _ : state) {
    const Result<Slice> plain = plain_records(batch, codecs, 1 << 30);
    RecordIterator iterator(batch, plain->bytes());
    for (RecordView record; iterator.next(record); ++records) sum += record.offset + record.timestamp;
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(records);
  state.SetLabel(std::string(compress::name_of(codec)));
}
BENCHMARK(iterate)->ArgsProduct({{10, 100, 1000}, {0, 3, 4}});

void inspect(benchmark::State& state) {
  Codecs codecs;
  const auto codec = static_cast<Compression>(state.range(1));
  const BatchView batch =
      *BatchView::parse(full_batch(static_cast<std::size_t>(state.range(0)), 256 << 10, codec, codecs));
  std::int64_t records = 0;
  for (auto _ : state) records += inspect_records(batch, codecs)->record_count;
  state.SetItemsProcessed(records);
  state.SetLabel(std::string(compress::name_of(codec)));
}
BENCHMARK(inspect)->ArgsProduct({{10, 100, 1000}, {0, 3, 4}});

}  // namespace
