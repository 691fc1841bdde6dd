// Driver for `valgrind --tool=callgrind`: run it with two counts of records; the difference of instructions, divided by
// the difference of counts, is the cost of appending one record of 100 bytes (or of the second argument's).
//   valgrind --tool=callgrind --callgrind-out-file=/dev/null callgrind_record_append 100000
#include <cstdio>
#include <cstdlib>
#include <string>

#include "protocol/record/batch_builder.h"

int main(int argc, char** argv) {
  using namespace klamm;
  using namespace klamm::record;
  const long count = argc > 1 ? std::atol(argv[1]) : 100'000;
  const std::string value(argc > 2 ? static_cast<std::size_t>(std::atol(argv[2])) : 100, 'v');
  Codecs codecs;
  std::size_t bytes = 0;
  const auto open = [] { return BatchBuilder({.size_limit_bytes = 1 << 20, .initial_bytes = 1 << 20}); };
  BatchBuilder builder = open();
  for (long index = 0; index < count; ++index) {
    const TimestampMs timestamp = 1'700'000'000'000 + index / 1000;
    if (!builder.append(timestamp, nullptr, value)) [[unlikely]] {
      bytes += builder.plain_bytes();
      builder = open();
      builder.append(timestamp, nullptr, value);
    }
  }
  bytes += builder.plain_bytes();
  std::printf("%ld records, %zu bytes\n", count, bytes);
}
