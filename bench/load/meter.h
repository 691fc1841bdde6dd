// What every load program shares: it gets ready (connected, warmed up), says so on its standard output, waits for a
// line on its standard input, works, and prints one line of JSON. Whoever started it can then take the broker's CPU
// time at exactly the two ends of the work.
#pragma once

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace klamm::bench {

inline std::int64_t now_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// User and system time of this process.
struct CpuTime {
  double user_s = 0;
  double system_s = 0;

  static CpuTime now() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return {seconds(usage.ru_utime), seconds(usage.ru_stime)};
  }
};

class Meter {
 public:
  // Says "ready" and starts to count when a line came.
  void start() {
    std::puts("ready");
    std::fflush(stdout);
    for (int letter = std::getchar(); letter != '\n' && letter != EOF; letter = std::getchar()) {
    }
    cpu_ = CpuTime::now();
    started_ns_ = now_ns();
  }
  void stop(std::int64_t records, std::int64_t bytes) const {
    const double seconds = static_cast<double>(now_ns() - started_ns_) / 1e9;
    const CpuTime cpu = CpuTime::now();
    std::printf(R"({"records":%lld,"bytes":%lld,"seconds":%.6f,"user":%.6f,"system":%.6f})"
                "\n",
                static_cast<long long>(records), static_cast<long long>(bytes), seconds, cpu.user_s - cpu_.user_s,
                cpu.system_s - cpu_.system_s);
    std::fflush(stdout);
  }

 private:
  CpuTime cpu_;
  std::int64_t started_ns_ = 0;
};

// Times of single records, in nanoseconds; prints their percentiles in microseconds.
class Latencies {
 public:
  void add(std::int64_t latency_ns) { all_.push_back(latency_ns); }
  std::size_t size() const { return all_.size(); }
  // `seconds`: how long all the records took.
  void print(double seconds = 0) {
    std::sort(all_.begin(), all_.end());
    std::printf(R"({"records":%zu,"seconds":%.3f,"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f})"
                "\n",
                all_.size(), seconds, at(0.5), at(0.99), at(0.999), at(1));
    std::fflush(stdout);
  }

 private:
  double at(double share) const {
    if (all_.empty()) return 0;
    const auto index = static_cast<std::size_t>(share * static_cast<double>(all_.size()));
    return static_cast<double>(all_[std::min(index, all_.size() - 1)]) / 1e3;
  }
  std::vector<std::int64_t> all_;
};

// What the programs agree on, so that peers are asked for the same: 1 MB batches, 5 ms linger, acks of all, idempotent.
constexpr const char* kBatchBytes = "1000000";
constexpr const char* kLingerMs = "5";

// The rest of a command line, "key=value" each, into a configuration.
template <typename Config>
void add_settings(Config& config, int argc, char** argv, int first) {
  for (int index = first; index < argc; ++index) {
    const std::string_view text = argv[index];
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) config.set(text.substr(0, equals), text.substr(equals + 1));
  }
}

inline long number(const char* text) { return std::strtol(text, nullptr, 10); }

}  // namespace klamm::bench
