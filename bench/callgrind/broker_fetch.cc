// Driver for `valgrind --tool=callgrind`: user instructions of the whole broker for a fetched record of 100 bytes, 1 MB
// a request (or the second argument's bytes), from files by sendfile. See producer_send.cc.
#include "bench/callgrind/embedded.h"

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 1'000'000;
  const std::int32_t max_bytes = argc > 2 ? static_cast<std::int32_t>(std::atol(argv[2])) : 1 << 20;
  return klamm::bench::serve([&](const std::string& bootstrap) {
    klamm::bench::Replayer replayer(bootstrap, "bench", 64 << 10);
    replayer.create_topic(1 << 30);
    constexpr std::int64_t kFilled = 200;
    replayer.produce(kFilled);
    const auto got = replayer.fetch(count, kFilled * replayer.batch_records(), max_bytes);
    return klamm::bench::Served{static_cast<long>(got.records), static_cast<long>(got.requests)};
  });
}
