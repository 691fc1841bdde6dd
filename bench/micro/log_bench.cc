// The log on the machine's disk: appends of client batches (validated, offsets assigned, written to the page cache) and
// reads (look-up and file regions, without sending).
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "broker/storage/log.h"
#include "io/machine.h"
#include "protocol/record/batch_builder.h"

namespace {

using namespace klamm;
using namespace klamm::storage;

struct Bench {
  Bench() : root((std::filesystem::temp_directory_path() / ("klamm-bench-" + std::to_string(getpid()))).string()) {
    std::filesystem::remove_all(root);
    LogOptions options;
    options.partition = {"bench", protocol::PartitionIndex(0)};
    options.directory = root + "/bench-0";
    options.codecs = &codecs;
    options.config.retention_bytes = 2LL << 30;
    options.config.retention_ms = -1;
    options.config.file_delete_delay_ms = 0;
    options.config.timestamp_after_max_ms = config::LogConfig::kUnlimited;
    Result<std::unique_ptr<Log>> opened = machine.run(0, Log::open(machine.at(0), std::move(options)));
    KLAMM_CHECK(opened.has_value());
    log = *std::move(opened);
  }
  ~Bench() {
    [[maybe_unused]] Result<void> closed = machine.run(0, log->close());
    log.reset();
    machine.stop();
    std::filesystem::remove_all(root);
  }

  std::string root;
  compress::Codecs codecs;
  io::Machine machine{{.shards = 1, .seed = 1}};
  std::unique_ptr<Log> log;
};

Slice batch_of(std::size_t bytes, std::size_t value_bytes) {
  compress::Codecs codecs;
  record::BatchOptions options;
  options.size_limit_bytes = bytes;
  record::BatchBuilder builder(options);
  const std::string value(value_bytes, 'v');
  while (builder.append(1000, record::NullableBytes(), std::string_view(value))) {
  }
  return *builder.build(codecs);
}

io::Task<int> append_many(Log* log, Slice batch, int count) {
  for (int i = 0; i < count; ++i) {
    store_big_endian(batch.mutable_data(), std::int64_t{0});
    LeaderAppend append;
    append.records = batch;
    Result<AppendInfo> info = co_await log->append_as_leader(std::move(append));
    KLAMM_CHECK(info.has_value());
  }
  log->set_high_watermark(log->log_end_offset());
  Result<int> deleted = co_await log->delete_old_segments();
  KLAMM_CHECK(deleted.has_value());
  co_return count;
}

io::Task<std::int64_t> read_many(Log* log, std::int64_t max_bytes, std::int64_t step) {
  std::int64_t total = 0;
  for (std::int64_t offset = log->log_start_offset(); offset < log->log_end_offset(); offset += step) {
    const ReadRequest request{.offset = offset, .max_bytes = max_bytes};
    Result<FetchData> data = co_await log->read(request);
    KLAMM_CHECK(data.has_value());
    total += data->size_bytes;
  }
  co_return total;
}

void append(benchmark::State& state) {
  Bench bench;
  const Slice batch = batch_of(64 << 10, static_cast<std::size_t>(state.range(0)));
  constexpr int kRound = 256;
  for (auto _ : state) bench.machine.run(0, append_many(bench.log.get(), batch, kRound));
  state.SetBytesProcessed(static_cast<std::int64_t>(batch.size()) * kRound *
                          static_cast<std::int64_t>(state.iterations()));
  state.SetItemsProcessed(kRound * static_cast<std::int64_t>(state.iterations()));
}

void read(benchmark::State& state) {
  Bench bench;
  const Slice batch = batch_of(64 << 10, 1000);
  bench.machine.run(0, append_many(bench.log.get(), batch, 2000));
  const std::int64_t records = bench.log->log_end_offset() / 2000;
  std::int64_t bytes = 0;
  std::int64_t reads = 0;
  for (auto _ : state) {
    bytes += bench.machine.run(0, read_many(bench.log.get(), state.range(0), records * 7));
    reads += 2000 / 7;
  }
  state.SetBytesProcessed(bytes);
  state.SetItemsProcessed(reads);
}

BENCHMARK(append)->Arg(100)->Arg(1000)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(read)->Arg(64 << 10)->Arg(1 << 20)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
