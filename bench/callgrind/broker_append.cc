// Driver for `valgrind --tool=callgrind`: user instructions of the whole broker for a produced record of 100 bytes,
// from the socket to the file, in batches of 64 KB (or of the second argument's bytes). See producer_send.cc.
#include "bench/callgrind/embedded.h"

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 100'000;
  const std::size_t batch_bytes = argc > 2 ? static_cast<std::size_t>(std::atol(argv[2])) : 64 << 10;
  return klamm::bench::serve([&](const std::string& bootstrap) {
    klamm::bench::Replayer replayer(bootstrap, "bench", batch_bytes);
    replayer.create_topic(1 << 30);
    const long requests = (count + replayer.batch_records() - 1) / replayer.batch_records();
    replayer.produce(requests);
    return klamm::bench::Served{requests * replayer.batch_records(), requests};
  });
}
