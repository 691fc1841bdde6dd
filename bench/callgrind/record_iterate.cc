// Driver for `valgrind --tool=callgrind`: the cost of reading one record of 100 bytes (or of the second argument's)
// from a batch. See record_append.cc.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "protocol/record/batch_builder.h"
#include "protocol/record/record.h"

int main(int argc, char** argv) {
  using namespace klamm;
  using namespace klamm::record;
  const long count = argc > 1 ? std::atol(argv[1]) : 100'000;
  const std::string value(argc > 2 ? static_cast<std::size_t>(std::atol(argv[2])) : 100, 'v');
  Codecs codecs;
  BatchBuilder builder({.size_limit_bytes = 1 << 20, .initial_bytes = 1 << 20});
  for (TimestampMs timestamp = 1'700'000'000'000;
       builder.append(timestamp + builder.record_count() / 1000, nullptr, value);) {
  }
  const BatchView batch = *BatchView::parse(*builder.build(codecs));
  std::uint64_t sum = 0;
  long read = 0;
  while (read < count) {
    RecordIterator records(batch, batch.records_bytes());
    for (RecordView record; read < count && records.next(record); ++read) {
      sum += record.value.size() + static_cast<std::uint64_t>(record.offset) +
             static_cast<std::uint64_t>(record.timestamp) + static_cast<std::uint64_t>(record.value.data()[0]);
    }
  }
  std::printf("%ld records, sum %llu\n", read, static_cast<unsigned long long>(sum));
}
