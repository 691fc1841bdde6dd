// The codecs on log-like text: rate of plain bytes, and what is left of them.
#include <benchmark/benchmark.h>

#include <string>

#include "base/random.h"
#include "protocol/compress/codec.h"

namespace {

using namespace klamm;
using namespace klamm::compress;

// JSON lines of about 150 bytes with varying numbers and words.
std::string json_lines(std::size_t size) {
  Random random(1);
  constexpr const char* kPaths[] = {"/", "/login", "/api/v1/orders", "/api/v1/items", "/static/app.js", "/health"};
  constexpr const char* kAgents[] = {"Mozilla/5.0 (X11; Linux x86_64)", "curl/7.88.1", "okhttp/4.9.0"};
  std::string text;
  while (text.size() < size) {
    text += "{\"time\":" + std::to_string(1'700'000'000'000 + random.below(1'000'000'000)) + ",\"path\":\"" +
            kPaths[random.below(std::size(kPaths))] + "\",\"status\":" + (random.chance(0.9) ? "200" : "404") +
            ",\"user\":\"" + std::to_string(random.below(100'000)) + "\",\"agent\":\"" +
            kAgents[random.below(std::size(kAgents))] + "\",\"took_us\":" + std::to_string(random.below(20'000)) +
            "}\n";
  }
  text.resize(size);
  return text;
}

void compress_text(benchmark::State& state) {
  Codecs codecs;
  const auto codec = static_cast<Compression>(state.range(0));
  const int level = static_cast<int>(state.range(1));
  const std::string text = json_lines(static_cast<std::size_t>(state.range(2)));
  std::size_t packed = 0;
  for (auto _ : state) packed = codecs.compress(codec, level, as_bytes(text))->size();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["ratio"] = static_cast<double>(packed) / static_cast<double>(text.size());
  state.SetLabel(std::string(name_of(codec)));
}

void decompress_text(benchmark::State& state) {
  Codecs codecs;
  const auto codec = static_cast<Compression>(state.range(0));
  const std::string text = json_lines(static_cast<std::size_t>(state.range(1)));
  const Slice packed = *codecs.compress(codec, standard_level(codec), as_bytes(text));
  for (auto _ : state) benchmark::DoNotOptimize(codecs.decompress(codec, packed.bytes(), 1 << 30));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.SetLabel(std::string(name_of(codec)));
}

constexpr std::int64_t kSmall = 16 << 10;
constexpr std::int64_t kLarge = 1 << 20;

void standard_levels(benchmark::internal::Benchmark* bench) {
  for (std::int64_t size : {kSmall, kLarge}) {
    for (std::int64_t level : {-1, 1, 2, 3, 6, 9}) bench->Args({1, level, size});
    bench->Args({2, 0, size});
    for (std::int64_t level : {9, 1, 12}) bench->Args({3, level, size});
    for (std::int64_t level : {-5, 1, 3, 9}) bench->Args({4, level, size});
  }
}
BENCHMARK(compress_text)->Apply(standard_levels);
BENCHMARK(decompress_text)->ArgsProduct({{1, 2, 3, 4}, {kSmall, kLarge}});

}  // namespace
