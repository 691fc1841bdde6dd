// A broker's own limit, under a client that costs next to nothing (see replayer.h and meter.h):
//   replay produce <bootstrap> <topic> <requests> <bytes a batch>
//   replay fetch   <bootstrap> <topic> <records> <bytes a fetch>    the topic is new: it is filled first
#include <string>

#include "bench/load/meter.h"
#include "bench/load/replayer.h"

int main(int argc, char** argv) {
  using namespace klamm::bench;
  const std::string mode = argc == 6 ? argv[1] : "";
  const long count = argc == 6 ? number(argv[4]) : 0;
  Meter meter;
  if (mode == "produce") {
    Replayer replayer(argv[2], argv[3], static_cast<std::size_t>(number(argv[5])));
    replayer.produce(1);
    meter.start();
    replayer.produce(count);
    meter.stop(count * replayer.batch_records(), count * replayer.batch_bytes());
  } else if (mode == "fetch") {
    constexpr std::int64_t kFilled = 3200;  // 200 MB
    Replayer replayer(argv[2], argv[3], 64 << 10);
    replayer.produce(kFilled);
    const std::int64_t end = kFilled * replayer.batch_records();
    replayer.fetch(end, end, 1 << 20);
    meter.start();
    const Replayer::Fetched got = replayer.fetch(count, end, static_cast<std::int32_t>(number(argv[5])));
    meter.stop(got.records, got.bytes);
  } else {
    std::fputs("usage: replay produce|fetch <bootstrap> <topic> <count> <bytes>\n", stderr);
    return 2;
  }
}
