#include "broker/storage/validate.h"

#include <fmt/format.h>

#include <limits>

#include "protocol/error.h"
#include "protocol/record/batch_builder.h"
#include "protocol/record/record.h"

namespace klamm::storage {

namespace {

using compress::Compression;
using protocol::ErrorCode;

constexpr std::int16_t kFirstZstdProduceVersion = 7;
// Kafka's broker has no code for bytes that a codec cannot unpack: an exception ends the request there.
constexpr ErrorCode kUndecodable = ErrorCode::unknown_server_error;
constexpr std::size_t kPlainLimitBytes = std::size_t{1} << 30;  // most that a batch may unpack to when it is rebuilt

tl::unexpected<Error> refuse(ErrorCode code, std::string why) {
  return klamm::fail(protocol::kafka_error(code, std::move(why)));
}

// now - ts <= before and ts - now <= after, as limits for ts, without overflow.
record::InspectOptions inspect_options(const ValidateContext& context) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  record::InspectOptions options;
  options.list_null_keys = context.config.cleanup_compact;
  if (context.config.timestamp_type == config::TimestampType::create_time) {
    const std::int64_t before = context.config.timestamp_before_max_ms;
    const std::int64_t after = context.config.timestamp_after_max_ms;
    if (before < kMost) options.least_timestamp = context.now_ms - before;
    if (after < kMost - context.now_ms) options.most_timestamp = context.now_ms + after;
  }
  return options;
}

std::optional<Compression> target_codec(config::CompressionType type) {
  switch (type) {
    case config::CompressionType::producer: return std::nullopt;
    case config::CompressionType::uncompressed: return Compression::none;
    case config::CompressionType::gzip: return Compression::gzip;
    case config::CompressionType::snappy: return Compression::snappy;
    case config::CompressionType::lz4: return Compression::lz4;
    case config::CompressionType::zstd: return Compression::zstd;
  }
  return std::nullopt;
}

int level_of(const config::LogConfig& config, Compression codec) {
  switch (codec) {
    case Compression::gzip: return config.compression_gzip_level;
    case Compression::lz4: return config.compression_lz4_level;
    case Compression::zstd: return config.compression_zstd_level;
    case Compression::none:
    case Compression::snappy: break;
  }
  return compress::standard_level(codec);
}

// The bytes must be one batch and nothing else.
Result<record::BatchView> only_batch(const Slice& records) {
  const record::EntryHead head = record::peek_entry(records);
  if (records.empty()) return refuse(ErrorCode::invalid_record, "the request has no record batch for this partition");
  if (head.status == record::EntryStatus::malformed && head.size_bytes < record::kEntryHeadSize) {
    return refuse(ErrorCode::corrupt_message, "batch length is below the least possible");
  }
  if (head.magic > record::kMagic) {
    return refuse(ErrorCode::corrupt_message, fmt::format("batch has magic {}; only 2 is known", head.magic));
  }
  if (head.magic >= 0 && head.magic != record::kMagic) {
    return refuse(ErrorCode::invalid_record, fmt::format("batch has magic {}; only 2 is accepted", head.magic));
  }
  if (head.status == record::EntryStatus::malformed) return refuse(ErrorCode::corrupt_message, "not a record batch");
  if (head.status == record::EntryStatus::incomplete) return refuse(ErrorCode::invalid_record, "batch is cut short");
  if (head.size_bytes != records.size()) {
    return refuse(ErrorCode::invalid_record, "the request must hold exactly one record batch a partition");
  }
  Result<record::BatchView> batch = record::BatchView::parse(records);
  if (!batch) return refuse(ErrorCode::corrupt_message, batch.error().context());
  return batch;
}

Result<void> check_header(const record::BatchView& batch, const ValidateContext& context) {
  if (batch.base_offset() != 0) {
    return refuse(ErrorCode::invalid_record, fmt::format("base offset is {}, not 0", batch.base_offset()));
  }
  if (std::int64_t{static_cast<std::int64_t>(batch.size_bytes())} > context.config.max_message_bytes) {
    return refuse(ErrorCode::message_too_large, fmt::format("batch of {} bytes; the topic takes at most {}",
                                                            batch.size_bytes(), context.config.max_message_bytes));
  }
  if (Result<void> crc = batch.check_crc(); !crc) return refuse(ErrorCode::corrupt_message, crc.error().context());
  const std::int64_t range = std::int64_t{batch.last_offset_delta()} + 1;
  if (range <= 0) return refuse(ErrorCode::invalid_record, "offset range of the batch is empty");
  if (batch.record_count() <= 0) return refuse(ErrorCode::invalid_record, "batch has no records");
  if (range != batch.record_count()) {
    return refuse(ErrorCode::invalid_record,
                  fmt::format("batch of {} records has offsets for {}", batch.record_count(), range));
  }
  if (batch.is_control()) return refuse(ErrorCode::invalid_record, "clients may not write control batches");
  if (batch.has_producer_id() && batch.base_sequence() < 0) {
    return refuse(ErrorCode::invalid_record, "batch of an idempotent producer has no sequence");
  }
  if (batch.is_transactional() && !batch.has_producer_id()) {
    return refuse(ErrorCode::invalid_record, "transactional batch has no producer id");
  }
  if (batch.timestamp_type() == record::TimestampType::log_append_time) {
    return refuse(ErrorCode::invalid_timestamp, "producers may not set the timestamp type to log append time");
  }
  const std::optional<Compression> codec = batch.compression();
  if (!codec) return refuse(kUndecodable, "batch has an unknown codec");
  if (*codec == Compression::zstd && context.produce_version < kFirstZstdProduceVersion) {
    return refuse(ErrorCode::unsupported_compression_type, "zstd needs Produce version 7");
  }
  return {};
}

Result<void> check_records(const record::BatchFacts& facts, const ValidateContext& context,
                           std::vector<RecordError>* errors) {
  if (facts.null_key_count == 0 && facts.bad_timestamp_count == 0) return {};
  if (errors != nullptr) {
    for (std::int32_t index : facts.null_keys) {
      errors->push_back({index, "a compacted topic takes no record without a key"});
    }
    for (std::int32_t index : facts.bad_timestamps) {
      errors->push_back(
          {index, fmt::format("timestamp is not between {} ms before and {} ms after the broker's time",
                              context.config.timestamp_before_max_ms, context.config.timestamp_after_max_ms)});
    }
  }
  if (facts.bad_timestamp_count > 0) {
    return refuse(ErrorCode::invalid_timestamp,
                  fmt::format("{} records have a timestamp that is out of range", facts.bad_timestamp_count));
  }
  return refuse(ErrorCode::invalid_record,
                fmt::format("{} records have no key; the topic is compacted", facts.null_key_count));
}

// Timestamps as the topic wants them, in place.
void stamp(const Slice& records, const record::BatchFacts& facts, const ValidateContext& context,
           ValidatedBatch& validated) {
  const MutableBytes bytes(records.mutable_data(), records.size());
  if (context.config.timestamp_type == config::TimestampType::log_append_time) {
    validated.log_append_time_ms = context.now_ms;
    record::patch_max_timestamp_and_type(bytes, context.now_ms, record::TimestampType::log_append_time);
  } else if (load_big_endian<std::int64_t>(records.data() + record::kMaxTimestampPosition) != facts.max_timestamp) {
    record::patch_max_timestamp_and_type(bytes, facts.max_timestamp, record::TimestampType::create_time);
  }
}

}  // namespace

Result<ValidatedBatch> validate_client_batch(Slice records, const ValidateContext& context,
                                             std::vector<RecordError>* record_errors) {
  Result<record::BatchView> batch = only_batch(records);
  KLAMM_TRY(batch);
  Result<void> header = check_header(*batch, context);
  KLAMM_TRY(header);
  Result<record::BatchFacts> facts = record::inspect_records(*batch, context.codecs, inspect_options(context));
  if (!facts) {
    const bool codec = facts.error() == Errc::corrupt;
    return refuse(codec ? kUndecodable : ErrorCode::invalid_record, facts.error().message());
  }
  Result<void> each = check_records(*facts, context, record_errors);
  KLAMM_TRY(each);

  ValidatedBatch validated;
  const Compression source = *batch->compression();
  const Compression target = target_codec(context.config.compression_type).value_or(source);
  if (target != source || !facts->dense_offsets) {
    Result<Slice> rebuilt =
        record::recompress(*batch, target, level_of(context.config, target), context.codecs, kPlainLimitBytes);
    if (!rebuilt) return refuse(ErrorCode::invalid_record, rebuilt.error().message());
    if (static_cast<std::int64_t>(rebuilt->size()) > context.config.max_message_bytes) {
      return refuse(ErrorCode::message_too_large,
                    fmt::format("batch has {} bytes in the topic's codec; at most {} are taken", rebuilt->size(),
                                context.config.max_message_bytes));
    }
    records = *std::move(rebuilt);
  }
  if (static_cast<std::int64_t>(records.size()) > context.config.segment_bytes) {
    return refuse(ErrorCode::record_list_too_large, fmt::format("batch of {} bytes is larger than a segment ({})",
                                                                records.size(), context.config.segment_bytes));
  }
  stamp(records, *facts, context, validated);
  const std::optional<BatchSummary> summary = BatchSummary::parse(records.bytes());
  KLAMM_CHECK(summary.has_value());
  validated.summary = *summary;
  validated.records = std::move(records);
  return validated;
}

}  // namespace klamm::storage
