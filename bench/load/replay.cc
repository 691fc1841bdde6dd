// A broker's own limit, under a client that costs next to nothing (see replayer.h and meter.h):
//   replay produce <bootstrap> <topic> <requests> <bytes a batch> <bytes a record>
//   replay fetch   <bootstrap> <topic> <records> <bytes a fetch> <bytes a record>    the topic is new: it is filled
//   first
#include <string>

#include "bench/load/meter.h"
#include "bench/load/replayer.h"

int main(int argc, char** argv) {
  using namespace klamm::bench;
  const std::string mode = argc == 7 ? argv[1] : "";
  const long count = argc == 7 ? number(argv[4]) : 0;
  const auto record_bytes = static_cast<std::size_t>(argc == 7 ? number(argv[6]) : 0);
  Meter meter;
  if (mode == "produce") {
    Replayer replayer(argv[2], argv[3], static_cast<std::size_t>(number(argv[5])), record_bytes);
    replayer.produce(1);
    meter.start();
    replayer.produce(count);
    meter.stop(count * replayer.batch_records(), count * replayer.batch_bytes());
  } else if (mode == "fetch") {
    constexpr std::int64_t kFilled = 3200;  // 200 MB
    Replayer replayer(argv[2], argv[3], 64 << 10, record_bytes);
    replayer.produce(kFilled);
    const std::int64_t end = kFilled * replayer.batch_records();
    replayer.fetch(end, end, 1 << 20);
    meter.start();
    const Replayer::Fetched got = replayer.fetch(count, end, static_cast<std::int32_t>(number(argv[5])));
    meter.stop(got.records, got.bytes);
  } else {
    std::fputs("usage: replay produce|fetch <bootstrap> <topic> <count> <bytes> <bytes a record>\n", stderr);
    return 2;
  }
}
