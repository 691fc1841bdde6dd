#include "protocol/record/batch_builder.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/protocol/compress/samples.h"
#include "tests/unit/protocol/record/random_records.h"

using namespace klamm;
using namespace klamm::record;

namespace {

std::vector<RecordView> views(const BatchView& batch, Bytes plain) {
  std::vector<RecordView> records;
  RecordIterator iterator(batch, plain);
  for (RecordView record; iterator.next(record);) records.push_back(record);
  REQUIRE(iterator.status().has_value());
  return records;
}

}  // namespace

TEST_CASE("a batch is never larger than its limit, unless one record alone is") {
  Codecs codecs;
  for (std::size_t limit : {100u, 200u, 1000u, 16384u, 100000u}) {
    CAPTURE(limit);
    BatchBuilder builder({.size_limit_bytes = limit});
    const std::string value(20, 'v');
    std::size_t expected = kBatchHeaderSize;
    while (builder.append(1, nullptr, value)) expected += record_size(0, builder.last_offset_delta(), nullptr, value);
    CHECK(builder.plain_bytes() == expected);
    CHECK(expected + record_size(0, builder.last_offset_delta() + 1, nullptr, value) > limit);
    const Slice batch = *builder.build(codecs);
    CHECK(batch.size() == expected);
    CHECK(batch.size() <= limit);
  }
  BatchBuilder builder({.size_limit_bytes = 100});
  const std::string large(5000, 'v');
  CHECK(builder.append(1, "k", large) == 0);
  CHECK(builder.is_full());
  CHECK_FALSE(builder.append(1, nullptr, nullptr).has_value());
  const Slice batch = *builder.build(codecs);
  CHECK(batch.size() > 5000);
  CHECK(batch.size() <= batch_size_upper_bound("k", large));
}

TEST_CASE("the limit is exact: a batch that fills it to the byte is taken") {
  const std::string value(30, 'v');
  const std::size_t two = kBatchHeaderSize + record_size(0, 0, "k", value) + record_size(0, 1, "k", value);
  BatchBuilder exact({.size_limit_bytes = two});
  CHECK(exact.append(1, "k", value));
  CHECK_FALSE(exact.is_full());
  CHECK(exact.append(1, "k", value));
  CHECK(exact.is_full());
  BatchBuilder shorter({.size_limit_bytes = two - 1});
  CHECK(shorter.append(1, "k", value));
  CHECK_FALSE(shorter.append(1, "k", value).has_value());
}

TEST_CASE("records of any size and place are encoded the same on the quick path and on the general one") {
  Codecs codecs;
  for (std::size_t payload = 0; payload < 200; ++payload) {
    const std::string value(payload, 'v');
    for (std::size_t key_size : {0u, 1u, 30u, 70u}) {
      const std::string key(key_size, 'k');
      for (TimestampMs step : {0, 1, -1, 70, 9000, 2'000'000}) {
        BatchBuilder quick({.size_limit_bytes = 1 << 20});
        BatchBuilder general({.size_limit_bytes = 1 << 20});
        for (std::int32_t index = 0; index < 3; ++index) {
          const NullableBytes maybe_key = key_size == 0 ? NullableBytes() : NullableBytes(key);
          CHECK(quick.append(1000 + index * step, maybe_key, value) == index);
          CHECK(general.append_at(index, 1000 + index * step, maybe_key, value));
        }
        const Slice batch = *quick.build(codecs);
        REQUIRE(batch == *general.build(codecs));
      }
    }
  }
}

TEST_CASE("the upper bound of a batch is Kafka's") {
  // 61 of header; 21 for length, attributes, time and offset; then key and value with their sizes, and the header
  // count.
  CHECK(batch_size_upper_bound("abc", "defgh") == 61 + 21 + 1 + 3 + 1 + 5 + 1);
  CHECK(batch_size_upper_bound(nullptr, std::string(100, 'v')) == 61 + 21 + 1 + 2 + 100 + 1);
}

TEST_CASE("a batch that is not compressed leaves in the buffer it was written to") {
  Codecs codecs;
  Buffer::Ref buffer = Buffer::allocate(4096);
  const std::byte* const memory = buffer->data();
  BatchBuilder builder({.size_limit_bytes = 4096}, std::move(buffer));
  for (int index = 0; index < 10; ++index) builder.append(index, "key", "value");
  const Slice batch = *builder.build(codecs);
  CHECK(batch.data() == memory);
  CHECK(builder.empty());
}

TEST_CASE("the buffer grows by doubling, up to the limit") {
  BatchBuilder builder({.size_limit_bytes = 10000, .initial_bytes = 100});
  const std::string value(50, 'v');
  while (builder.append(1, nullptr, value)) CHECK(builder.capacity_bytes() <= 10000);
  CHECK(builder.capacity_bytes() == 10000);
  CHECK(builder.plain_bytes() > 9900);
}

TEST_CASE("with a codec a batch is filled by the expected ratio") {
  Codecs codecs;
  const std::string line = "the same line again and again, which compresses well; ";
  const auto fill = [&](float ratio) {
    BatchBuilder builder(
        {.compression = Compression::lz4, .level = 9, .size_limit_bytes = 4000, .compression_ratio = ratio});
    while (builder.append(1, nullptr, line)) {
    }
    CHECK(builder.estimated_bytes() <= 4000);
    const Slice batch = *builder.build(codecs);
    CHECK(builder.compression_ratio() < 0.6f);
    CHECK(batch.size() < 4000);
    return BatchView::parse(batch)->record_count();
  };
  const std::int32_t at_first = fill(1.0f);
  const std::int32_t later = fill(0.25f);
  CHECK(at_first < 70);
  CHECK(later > 3 * at_first);
}

TEST_CASE("the expected ratio rises fast and falls slowly") {
  CompressionRatio ratio;
  CHECK(ratio.estimate() == 1.0f);
  ratio.observe(0.5f);
  CHECK(ratio.estimate() == doctest::Approx(0.995f));
  for (int round = 0; round < 200; ++round) ratio.observe(0.5f);
  CHECK(ratio.estimate() == doctest::Approx(0.5f));
  ratio.observe(0.52f);
  CHECK(ratio.estimate() == doctest::Approx(0.55f));
  ratio.observe(0.9f);
  CHECK(ratio.estimate() == doctest::Approx(0.9f));
  ratio.reset();
  CHECK(ratio.estimate() == 1.0f);
}

TEST_CASE("compaction keeps chosen offsets, the last one and a delete horizon; times stay the same") {
  Codecs codecs;
  BatchBuilder builder({.size_limit_bytes = 70, .base_offset = 1000, .leader_epoch = 4, .delete_horizon = 50000});
  CHECK(builder.append_at(3, 40000, "a", "1"));
  CHECK(builder.append_at(8, 41000, "b", nullptr));
  const Slice bytes = *builder.build(codecs, {.id = 9, .epoch = 1, .base_sequence = 20}, 11);
  const BatchView batch = *BatchView::parse(bytes);
  CHECK(batch.has_delete_horizon());
  CHECK(batch.base_timestamp() == 50000);
  CHECK(batch.max_timestamp() == 41000);
  CHECK(batch.last_offset() == 1011);
  CHECK(batch.last_sequence() == 31);
  const std::vector<RecordView> records = views(batch, batch.records_bytes());
  REQUIRE(records.size() == 2);
  CHECK(records[0].offset == 1003);
  CHECK(records[0].timestamp == 40000);
  CHECK(records[1].offset == 1008);
  CHECK(records[1].timestamp == 41000);
}

TEST_CASE("log append time is written into the batch") {
  Codecs codecs;
  BatchBuilder builder({.log_append_time = 77777});
  builder.append(5, nullptr, "x");
  const BatchView batch = *BatchView::parse(builder.build(codecs).value());
  CHECK(batch.timestamp_type() == TimestampType::log_append_time);
  CHECK(batch.max_timestamp() == 77777);
  CHECK(views(batch, batch.records_bytes())[0].timestamp == 77777);
}

TEST_CASE("a batch can be compressed anew under any codec and keeps all but its codec") {
  Codecs codecs;
  Random random(11);
  BatchBuilder builder({.size_limit_bytes = 100000, .base_offset = 55, .leader_epoch = 3});
  std::vector<OwnedRecord> appended;
  for (int index = 0; index < 100; ++index) {
    appended.push_back(random_record(random, 60));
    const OwnedRecord& record = appended.back();
    REQUIRE(builder.append(record.timestamp, view_of(record.key), view_of(record.value), views_of(record)));
  }
  Slice bytes = *builder.build(codecs, {.id = 1, .epoch = 2, .base_sequence = 3, .transactional = true});
  const BatchHeader before = BatchView::parse(bytes)->header();
  for (Compression codec :
       {Compression::gzip, Compression::zstd, Compression::lz4, Compression::snappy, Compression::none}) {
    bytes = *recompress(*BatchView::parse(bytes), codec, compress::standard_level(codec), codecs, 1 << 20);
    const BatchView batch = *BatchView::parse(bytes);
    CHECK(batch.crc_fits());
    CHECK(batch.compression() == codec);
    CHECK(batch.base_offset() == before.base_offset);
    CHECK(batch.leader_epoch() == before.leader_epoch);
    CHECK(batch.base_timestamp() == before.base_timestamp);
    CHECK(batch.max_timestamp() == before.max_timestamp);
    CHECK(batch.base_sequence() == before.base_sequence);
    CHECK(batch.is_transactional());
    CHECK(batch.record_count() == before.record_count);
    const Slice plain = *plain_records(batch, codecs, 1 << 20);
    const std::vector<RecordView> records = views(batch, plain.bytes());
    REQUIRE(records.size() == appended.size());
    for (std::size_t index = 0; index < records.size(); ++index) CHECK((owned(records[index]) == appended[index]));
  }
  CHECK(BatchView::parse(bytes)->crc() == before.crc);  // back to the same bytes
}

TEST_CASE("gaps close when a batch is compressed anew") {
  Codecs codecs;
  BatchBuilder builder({.base_offset = 10});
  builder.append_at(2, 100, "a", "1");
  builder.append_at(5, 200, "b", "2");
  const Slice gaps = *builder.build(codecs);
  const BatchView batch =
      *BatchView::parse(recompress(*BatchView::parse(gaps), Compression::lz4, 9, codecs, 1000).value());
  CHECK(batch.last_offset_delta() == 1);
  CHECK(inspect_records(batch, codecs)->dense_offsets);
}
