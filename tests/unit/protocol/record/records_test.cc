#include "protocol/record/record.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/record/batch_builder.h"
#include "tests/unit/protocol/compress/samples.h"
#include "tests/unit/protocol/record/random_records.h"

using namespace klamm;
using namespace klamm::record;
using klamm::compress::from_hex;
using klamm::compress::to_hex;

namespace {

constexpr Compression kCodecs[] = {Compression::none, Compression::gzip, Compression::snappy, Compression::lz4,
                                   Compression::zstd};
constexpr std::size_t kEnough = 64 << 20;

// A batch around record bytes of the caller's making.
BatchView batch_of(std::string_view records, std::int32_t count, std::int16_t attributes = 0) {
  std::string bytes(kBatchHeaderSize, '\0');
  bytes += records;
  Slice batch = Slice::copy(bytes);
  write_batch_header({batch.mutable_data(), batch.size()}, {.base_offset = 100,
                                                            .attributes = attributes,
                                                            .last_offset_delta = count - 1,
                                                            .base_timestamp = 1000,
                                                            .max_timestamp = 2000,
                                                            .record_count = count});
  return *BatchView::parse(batch);
}

Result<std::vector<OwnedRecord>> read_all(const BatchView& batch, Codecs& codecs) {
  Result<Slice> plain = plain_records(batch, codecs, kEnough);
  KLAMM_TRY(plain);
  std::vector<OwnedRecord> records;
  RecordIterator iterator(batch, plain->bytes());
  for (RecordView record; iterator.next(record);) records.push_back(owned(record));
  Result<void> status = iterator.status();
  KLAMM_TRY(status);
  return records;
}

}  // namespace

TEST_CASE("random records come back as they were appended, under every codec") {
  Codecs codecs;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Random random(seed);
    const Compression codec = kCodecs[seed % 5];
    CAPTURE(seed);
    BatchBuilder builder({.compression = codec,
                          .level = compress::standard_level(codec),
                          .size_limit_bytes = std::size_t{1} << random.between(8, 20),
                          .initial_bytes = random.below(300),
                          .compression_ratio = static_cast<float>(0.05 + random.unit()),
                          .base_offset = 5000});
    std::vector<OwnedRecord> appended;
    const std::size_t most = 1 + random.below(400);
    while (appended.size() < 2000) {
      OwnedRecord record = random_record(random, most);
      const std::vector<Header> headers = views_of(record);
      const bool room = builder.has_room_for(record.timestamp, view_of(record.key), view_of(record.value), headers);
      const auto offset = builder.append(record.timestamp, view_of(record.key), view_of(record.value), headers);
      CHECK(room == offset.has_value());
      if (!offset) break;
      CHECK(*offset == static_cast<std::int32_t>(appended.size()));
      appended.push_back(std::move(record));
    }
    const std::size_t plain_bytes = builder.plain_bytes();
    const BatchView batch = *BatchView::parse(builder.build(codecs).value());
    CHECK(batch.crc_fits());
    CHECK(batch.compression() == codec);
    CHECK(batch.record_count() == static_cast<std::int32_t>(appended.size()));
    Result<std::vector<OwnedRecord>> read = read_all(batch, codecs);
    REQUIRE(read.has_value());
    CHECK((*read == appended));

    Result<BatchFacts> facts = inspect_records(batch, codecs, {.list_null_keys = true});
    REQUIRE(facts.has_value());
    CHECK(facts->record_count == batch.record_count());
    CHECK(facts->dense_offsets);
    CHECK(facts->increasing_offsets);
    CHECK(facts->last_offset_delta == batch.last_offset_delta());
    CHECK(facts->plain_bytes == plain_bytes - kBatchHeaderSize);
    CHECK(facts->max_timestamp == batch.max_timestamp());
    std::vector<std::int32_t> null_keys;
    for (std::size_t index = 0; index < appended.size(); ++index) {
      if (!appended[index].key) null_keys.push_back(static_cast<std::int32_t>(index));
    }
    CHECK(facts->null_key_count == static_cast<std::int32_t>(null_keys.size()));
    null_keys.resize(std::min<std::size_t>(null_keys.size(), kMaxListedRecords));
    CHECK(facts->null_keys == null_keys);
  }
}

TEST_CASE("null and empty are told apart, in keys, values and headers") {
  Codecs codecs;
  BatchBuilder builder(BatchOptions{});
  const Header headers[] = {{"a", nullptr}, {"", ""}, {"a", "again"}};
  builder.append(1, nullptr, nullptr, headers);
  builder.append(1, "", Bytes());
  const BatchView batch = *BatchView::parse(builder.build(codecs).value());
  RecordIterator records(batch, batch.records_bytes());
  RecordView record;
  REQUIRE(records.next(record));
  CHECK(record.key.is_null());
  CHECK(record.value.is_null());
  CHECK(record.headers.size() == 3);
  auto header = record.headers.begin();
  CHECK(header->key == "a");
  CHECK(header->value.is_null());
  ++header;
  CHECK(header->key.empty());
  CHECK_FALSE(header->value.is_null());
  ++header;
  CHECK(header->value.text() == "again");
  ++header;
  CHECK((header == record.headers.end()));
  REQUIRE(records.next(record));
  CHECK_FALSE(record.key.is_null());
  CHECK(record.key.size() == 0);
  CHECK_FALSE(record.value.is_null());
  CHECK(record.headers.empty());
}

TEST_CASE("records take the batch's offset and times; with log append time all take the batch's") {
  Codecs codecs;
  BatchBuilder builder({.base_offset = 700});
  builder.append(2000, nullptr, "a");
  builder.append(1500, nullptr, "b");
  const Slice bytes = *builder.build(codecs);
  const BatchView batch = *BatchView::parse(bytes);
  CHECK(batch.base_timestamp() == 2000);
  CHECK(batch.max_timestamp() == 2000);
  RecordView record;
  RecordIterator created(batch, batch.records_bytes());
  REQUIRE(created.next(record));
  CHECK(record.offset == 700);
  CHECK(record.timestamp == 2000);
  REQUIRE(created.next(record));
  CHECK(record.offset == 701);
  CHECK(record.timestamp == 1500);
  patch_max_timestamp_and_type({bytes.mutable_data(), bytes.size()}, 9999, TimestampType::log_append_time);
  RecordIterator appended(batch, batch.records_bytes());
  while (appended.next(record)) CHECK(record.timestamp == 9999);
  const BatchFacts facts = *inspect_records(batch, codecs);
  CHECK(facts.min_timestamp == 1500);
  CHECK(facts.max_timestamp == 2000);
  CHECK(facts.max_timestamp_offset == 700);
}

TEST_CASE("malformed records give an error from iterator and inspection alike") {
  Codecs codecs;
  struct Case {
    const char* what;
    const char* hex;
    std::int32_t count;
  };
  const Case cases[] = {
      {"a record too few", "0c 00 00 00 01 01 00", 2},
      {"bytes behind the last", "0c 00 00 00 01 01 00 00", 1},
      {"a record too many", "0c 00 00 00 01 01 00 0c 00 00 02 01 01 00", 1},
      {"length beyond the end", "0e 00 00 00 01 01 00", 1},
      {"negative length", "01 00 00 00 01 01 00", 1},
      {"length zero", "00", 1},
      {"length without end", "ff ff ff ff ff ff", 1},
      {"a record of attributes only", "02 00", 1},
      {"key beyond the record", "0c 00 00 00 08 01 00", 1},
      {"key size below -1", "0c 00 00 00 03 01 00", 1},
      {"value beyond the record", "0c 00 00 00 01 08 00", 1},
      {"value size below -1", "0c 00 00 00 01 05 00", 1},
      {"value takes the header count", "0c 00 00 00 01 02 00", 1},
      {"negative header count", "0c 00 00 00 01 01 01", 1},
      {"header without its bytes", "0c 00 00 00 01 01 02", 1},
      {"header with a null key", "10 00 00 00 01 01 02 01 01", 1},
      {"header value beyond the record", "10 00 00 00 01 01 02 00 04", 1},
      {"header value below -1", "10 00 00 00 01 01 02 00 05", 1},
      {"bytes behind the headers", "10 00 00 00 01 01 00 00 00", 1},
      {"huge header count", "14 00 00 00 01 01 fe ff ff ff 0f", 1},
      {"negative record count", "", -1},
      {"no bytes at all", "", 1},
      {"timestamp of eleven bytes", "28 00 ff ff ff ff ff ff ff ff ff ff 01 00 01 01 00 00 00 00 00", 1},
  };
  for (const Case& bad : cases) {
    CAPTURE(bad.what);
    const std::string records = from_hex(bad.hex);
    const BatchView batch = batch_of(records, bad.count);
    CHECK(read_all(batch, codecs).error() == Errc::malformed);
    CHECK(inspect_records(batch, codecs).error() == Errc::malformed);
    for (Compression codec : {Compression::gzip, Compression::snappy, Compression::lz4, Compression::zstd}) {
      const Slice packed = *codecs.compress(codec, compress::standard_level(codec), as_bytes(records));
      const BatchView compressed = batch_of(packed.text(), bad.count, static_cast<std::int16_t>(codec));
      CHECK(read_all(compressed, codecs).error() == Errc::malformed);
      CHECK(inspect_records(compressed, codecs).error() == Errc::malformed);
    }
  }
  CHECK(read_all(batch_of(from_hex("0c 00 00 00 01 01 00"), 1), codecs).has_value());
  CHECK(read_all(batch_of("", 0), codecs)->empty());
  CHECK(inspect_records(batch_of("", 0), codecs)->record_count == 0);
}

TEST_CASE("an unknown codec is unsupported, a bomb is too large") {
  Codecs codecs;
  const BatchView unknown = batch_of("anything", 1, 5);
  CHECK(plain_records(unknown, codecs, kEnough).error() == Errc::unsupported);
  CHECK(inspect_records(unknown, codecs).error() == Errc::unsupported);
  BatchBuilder builder({.compression = Compression::zstd, .level = 3});
  builder.append(1, nullptr, std::string(8 << 20, 'x'));
  const BatchView bomb = *BatchView::parse(builder.build(codecs).value());
  CHECK(bomb.size_bytes() < 2000);
  CHECK(plain_records(bomb, codecs, 1 << 20).error() == Errc::too_large);
  CHECK(inspect_records(bomb, codecs, {.limit_bytes = 1 << 20}).error() == Errc::too_large);
  CHECK(inspect_records(bomb, codecs).has_value());
}

TEST_CASE("gaps and disorder in offsets are told") {
  Codecs codecs;
  const auto facts = [&](const char* hex) { return inspect_records(batch_of(from_hex(hex), 2), codecs).value(); };
  CHECK(facts("0c 00 00 00 01 01 00 0c 00 00 02 01 01 00").dense_offsets);
  const BatchFacts gap = facts("0c 00 00 00 01 01 00 0c 00 00 04 01 01 00");
  CHECK_FALSE(gap.dense_offsets);
  CHECK(gap.increasing_offsets);
  CHECK(gap.last_offset_delta == 2);
  const BatchFacts same = facts("0c 00 00 00 01 01 00 0c 00 00 00 01 01 00");
  CHECK_FALSE(same.dense_offsets);
  CHECK_FALSE(same.increasing_offsets);
}

TEST_CASE("timestamps outside of the limits are listed, the one that means none is not") {
  Codecs codecs;
  BatchBuilder builder(BatchOptions{});
  for (TimestampMs timestamp : {5000, 900, -1, 7000, 1000}) builder.append(timestamp, "k", "v");
  const BatchView batch = *BatchView::parse(builder.build(codecs).value());
  const BatchFacts facts = *inspect_records(batch, codecs, {.least_timestamp = 1000, .most_timestamp = 6000});
  CHECK(facts.bad_timestamp_count == 2);
  CHECK(facts.bad_timestamps == std::vector<std::int32_t>{1, 3});
  CHECK(facts.min_timestamp == -1);
  CHECK(facts.max_timestamp == 7000);
  CHECK(facts.max_timestamp_offset == 3);
}

TEST_CASE("a batch broken at any byte never leads a reader out of its bytes") {
  Codecs codecs;
  Random random(3);
  for (Compression codec : kCodecs) {
    BatchBuilder builder({.compression = codec, .level = compress::standard_level(codec)});
    for (int index = 0; index < 20; ++index) {
      const OwnedRecord record = random_record(random, 30);
      builder.append(record.timestamp, view_of(record.key), view_of(record.value), views_of(record));
    }
    const Slice good = *builder.build(codecs);
    for (std::size_t position = kCrcPosition; position < good.size(); ++position) {
      for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
        const Slice broken = Slice::copy(good.bytes());
        broken.mutable_data()[position] = static_cast<std::byte>(value);
        const BatchView batch = *BatchView::parse(broken);
        const Result<std::vector<OwnedRecord>> read = read_all(batch, codecs);
        const Result<BatchFacts> facts = inspect_records(batch, codecs, {.limit_bytes = kEnough});
        CHECK(read.has_value() == facts.has_value());
      }
    }
  }
}
