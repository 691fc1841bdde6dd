// What the consumer's tests share: topics filled with numbered records, and reading them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "client_world.h"
#include "protocol/record/batch_builder.h"

namespace klamm::test {

using client::ConsumerCore;
using Block = ConsumerCore::Block;

struct BatchSpec {
  std::vector<std::string> values;
  TimestampMs timestamp = 1000;
  std::int64_t producer_id = -1;
  bool transactional = false;
};

inline Slice batch_of(const BatchSpec& spec) {
  compress::Codecs codecs;
  record::BatchBuilder builder{record::BatchOptions{}};
  for (const std::string& value : spec.values) builder.append(spec.timestamp, "key", value);
  record::ProducerStamp stamp;
  if (spec.producer_id >= 0) stamp = {spec.producer_id, 0, 0, spec.transactional};
  Result<Slice> built = builder.build(codecs, stamp);
  KLAMM_CHECK(built);
  return *built;
}

// `count` batches of three numbered records each.
inline void fill(FakeCluster& cluster, const std::string& topic, std::size_t partition, int count, int from = 0) {
  for (int batch = 0; batch < count; ++batch) {
    BatchSpec spec;
    for (int record = 0; record < 3; ++record) spec.values.push_back(std::to_string(from + batch * 3 + record));
    spec.timestamp = 1000 + batch;
    cluster.append(topic, partition, batch_of(spec));
  }
}

// Polls until `count` records are there or a poll of two seconds gives none. Values by partition.
using Values = std::map<std::int32_t, std::vector<std::string>>;
inline io::Task<Result<Values>> read_all(ConsumerCore& consumer, std::size_t count) {
  Values values;
  std::size_t got = 0;
  while (got < count) {
    Result<Block> block = co_await consumer.poll(2s);
    KLAMM_CO_TRY(block);
    if ((*block)->records.empty()) break;
    got += (*block)->records.size();
    for (const RecordView& record : (*block)->records) values[record.partition].emplace_back(record.value.text());
  }
  co_return values;
}

inline std::vector<std::string> numbers(int from, int to) {
  std::vector<std::string> all;
  for (int number = from; number < to; ++number) all.push_back(std::to_string(number));
  return all;
}

}  // namespace klamm::test
