#include "broker/storage/validate.h"

#include "broker/storage/batch_scanner.h"
#include "protocol/record/crc32c.h"
#include "tests/unit/broker/storage/storage_test.h"

using namespace klamm;
using namespace klamm::storage;
using namespace klamm::storage::test;
using compress::Compression;

namespace {

struct Attempt {
  ErrorCode code = ErrorCode::none;
  std::vector<RecordError> errors;
  ValidatedBatch batch;
};

Attempt validate(const config::LogConfig& config, Slice records, std::int16_t version = 13,
                 TimestampMs now_ms = 1'000'000) {
  compress::Codecs codecs;
  const ValidateContext context{config, codecs, now_ms, version};
  Attempt attempt;
  Result<ValidatedBatch> validated = validate_client_batch(std::move(records), context, &attempt.errors);
  if (validated)
    attempt.batch = *std::move(validated);
  else
    attempt.code = code(validated.error());
  return attempt;
}

// The batch with one field of its header changed and the CRC put right.
template <typename Int>
Slice patched(Slice batch, std::size_t position, Int value) {
  std::byte* data = batch.mutable_data();
  store_big_endian(data + position, value);
  const Bytes covered = batch.bytes().subspan(record::kAttributesPosition);
  store_big_endian(data + record::kCrcPosition, record::crc32c(covered));
  return batch;
}

}  // namespace

TEST_CASE("a good batch is taken as it is") {
  const Slice batch = make_batch({{"a", 5}, {"b", 7}});
  const Slice before = Slice::copy(batch.bytes());
  Attempt attempt = validate({}, batch);
  CHECK(attempt.code == ErrorCode::none);
  CHECK(attempt.batch.records == before);
  CHECK(attempt.batch.records.data() == batch.data());
  CHECK(attempt.batch.summary.record_count == 2);
  CHECK(attempt.batch.log_append_time_ms == -1);
}

TEST_CASE("what is not exactly one batch of magic 2 is refused") {
  const Slice batch = make_batch(2);
  CHECK(validate({}, Slice()).code == ErrorCode::invalid_record);
  std::vector<std::byte> two(batch.begin(), batch.end());
  two.insert(two.end(), batch.begin(), batch.end());
  CHECK(validate({}, Slice::copy(two)).code == ErrorCode::invalid_record);
  for (std::size_t size = 1; size < batch.size(); ++size) {
    CAPTURE(size);
    CHECK(validate({}, Slice::copy(batch.bytes().first(size))).code == ErrorCode::invalid_record);
  }
  Slice magic_1 = Slice::copy(batch.bytes());
  magic_1.mutable_data()[record::kMagicPosition] = std::byte{1};
  CHECK(validate({}, magic_1).code == ErrorCode::invalid_record);
  Slice magic_3 = Slice::copy(batch.bytes());
  magic_3.mutable_data()[record::kMagicPosition] = std::byte{3};
  CHECK(validate({}, magic_3).code == ErrorCode::corrupt_message);
  Slice long_one = Slice::copy(batch.bytes());
  store_big_endian(long_one.mutable_data() + record::kBatchLengthPosition, 1 << 30);
  CHECK(validate({}, long_one).code == ErrorCode::invalid_record);  // cut short
  for (const std::int32_t length : {-1, 0, 48}) {
    Slice bad = Slice::copy(batch.bytes());
    store_big_endian(bad.mutable_data() + record::kBatchLengthPosition, length);
    CHECK(validate({}, bad).code == ErrorCode::corrupt_message);
  }
}

TEST_CASE("every flipped bit that the CRC covers is noticed") {
  const Slice batch = make_batch(2);
  for (std::size_t at = record::kCrcPosition; at < batch.size(); ++at) {
    Slice bad = Slice::copy(batch.bytes());
    bad.mutable_data()[at] ^= std::byte{0x10};
    CHECK(validate({}, bad).code == ErrorCode::corrupt_message);
  }
}

TEST_CASE("header fields that clients may not set so are refused") {
  const auto refusal = [](Slice batch) { return validate({}, std::move(batch)).code; };
  const auto attributes = [](std::int16_t value) { return patched(make_batch(2), record::kAttributesPosition, value); };
  CHECK(refusal(attributes(record::kControlBit)) == ErrorCode::invalid_record);
  CHECK(refusal(attributes(record::kLogAppendTimeBit)) == ErrorCode::invalid_timestamp);
  // What no codec can unpack is an unexpected fault to Kafka's broker.
  CHECK(refusal(attributes(6)) == ErrorCode::unknown_server_error);
  for (const int codec : {1, 2, 3})
    CHECK(refusal(attributes(static_cast<std::int16_t>(codec))) == ErrorCode::unknown_server_error);
  CHECK(refusal(patched(make_batch(2), record::kBaseOffsetPosition, std::int64_t{5})) == ErrorCode::invalid_record);
  CHECK(refusal(patched(make_batch(2), record::kLastOffsetDeltaPosition, std::int32_t{5})) ==
        ErrorCode::invalid_record);
  CHECK(refusal(patched(make_batch(2), record::kLastOffsetDeltaPosition, std::int32_t{-1})) ==
        ErrorCode::invalid_record);
  CHECK(refusal(patched(make_batch(2), record::kRecordCountPosition, std::int32_t{0})) == ErrorCode::invalid_record);
  Slice three = patched(make_batch(2), record::kRecordCountPosition, std::int32_t{3});
  CHECK(refusal(patched(three, record::kLastOffsetDeltaPosition, std::int32_t{2})) == ErrorCode::invalid_record);
  CHECK(refusal(patched(make_batch(2), record::kProducerIdPosition, std::int64_t{4})) == ErrorCode::invalid_record);
}

TEST_CASE("size limits of the topic hold") {
  config::LogConfig config;
  const Slice batch = make_batch(10);
  config.max_message_bytes = static_cast<std::int32_t>(batch.size());
  CHECK(validate(config, batch).code == ErrorCode::none);
  config.max_message_bytes -= 1;
  CHECK(validate(config, batch).code == ErrorCode::message_too_large);
  config = {};
  config.segment_bytes = static_cast<std::int32_t>(batch.size()) - 1;
  CHECK(validate(config, batch).code == ErrorCode::record_list_too_large);
}

TEST_CASE("records without key are listed where the topic is compacted") {
  config::LogConfig config;
  config.cleanup_compact = true;
  for (const Compression codec : {Compression::none, Compression::gzip, Compression::lz4}) {
    Attempt attempt =
        validate(config, make_batch({{"a"}, {"b", 1000, std::nullopt}, {"c"}, {"d", 1000, std::nullopt}}, {}, codec));
    CHECK(attempt.code == ErrorCode::invalid_record);
    REQUIRE(attempt.errors.size() == 2);
    CHECK(attempt.errors[0].batch_index == 1);
    CHECK(attempt.errors[1].batch_index == 3);
    CHECK(validate(config, make_batch({{"a"}}, {}, codec)).code == ErrorCode::none);
  }
}

TEST_CASE("timestamps out of range are listed, -1 passes") {
  config::LogConfig config;
  config.timestamp_after_max_ms = 100;
  config.timestamp_before_max_ms = 50;
  const TimestampMs now = 1'000'000;
  CHECK(validate(config, make_batch({{"a", now + 100}, {"b", now - 50}, {"c", -1}})).code == ErrorCode::none);
  Attempt attempt = validate(config, make_batch({{"a", now}, {"b", now + 101}, {"c", now - 51}}));
  CHECK(attempt.code == ErrorCode::invalid_timestamp);
  REQUIRE(attempt.errors.size() == 2);
  CHECK(attempt.errors[0].batch_index == 1);
  CHECK(attempt.errors[1].batch_index == 2);
  config.timestamp_type = config::TimestampType::log_append_time;
  CHECK(validate(config, make_batch({{"b", now + 101}})).code == ErrorCode::none);
}

TEST_CASE("a topic with LogAppendTime stamps the batch, and a wrong max timestamp is put right") {
  config::LogConfig config;
  Attempt wrong =
      validate(config, patched(make_batch({{"a", 5}, {"b", 9}}), record::kMaxTimestampPosition, std::int64_t{77}));
  CHECK(wrong.code == ErrorCode::none);
  CHECK(wrong.batch.summary.max_timestamp == 9);
  CHECK(check_entry(wrong.batch.records).has_value());
  config.timestamp_type = config::TimestampType::log_append_time;
  Attempt stamped = validate(config, make_batch({{"a", 5}, {"b", 9}}));
  CHECK(stamped.batch.log_append_time_ms == 1'000'000);
  CHECK(stamped.batch.summary.max_timestamp == 1'000'000);
  CHECK(stamped.batch.summary.has_log_append_time());
  CHECK(check_entry(stamped.batch.records).has_value());
}

TEST_CASE("batches are stored in the topic's codec") {
  const std::vector<TestRecord> records{{"one", 5}, {"two", 9}, {std::string(5000, 'x'), 7}};
  const record::ProducerStamp producer{.id = 4, .epoch = 1, .base_sequence = 10};
  for (const Compression source : {Compression::none, Compression::snappy, Compression::zstd}) {
    for (const auto& [type, codec] : {std::pair{config::CompressionType::producer, source},
                                      std::pair{config::CompressionType::uncompressed, Compression::none},
                                      std::pair{config::CompressionType::gzip, Compression::gzip},
                                      std::pair{config::CompressionType::lz4, Compression::lz4},
                                      std::pair{config::CompressionType::zstd, Compression::zstd}}) {
      config::LogConfig config;
      config.compression_type = type;
      Attempt attempt = validate(config, make_batch(records, producer, source));
      REQUIRE(attempt.code == ErrorCode::none);
      Result<record::BatchView> batch = record::BatchView::parse(attempt.batch.records);
      REQUIRE(batch.has_value());
      CHECK(batch->check_crc().has_value());
      CHECK(batch->compression() == codec);
      CHECK(batch->producer_id() == 4);
      CHECK(batch->base_sequence() == 10);
      CHECK(batch->record_count() == 3);
      CHECK(batch->max_timestamp() == 9);
    }
  }
}

TEST_CASE("zstd needs a recent request version") {
  const Slice batch = make_batch({{"a"}}, {}, Compression::zstd);
  CHECK(validate({}, batch, 6).code == ErrorCode::unsupported_compression_type);
  CHECK(validate({}, batch, 7).code == ErrorCode::none);
}
