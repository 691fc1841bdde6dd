// Builds record batches of magic 2. Records are encoded straight into the batch's own buffer; a batch that is not
// compressed leaves in that buffer, without another copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "protocol/compress/codec.h"
#include "protocol/record/batch.h"
#include "protocol/record/record.h"

namespace klamm::record {

// Most bytes that a record without headers takes besides its key and value: the varints of length, time, offset, key
// and value size at their longest, attributes and the header count 0.
constexpr std::size_t kMaxRecordOverhead = 4 * kMaxVarintSize + kMaxVarlongSize + 2;

// Bytes of the record in a batch, its length included.
std::size_t record_size(TimestampMs timestamp_delta, std::int32_t offset_delta, NullableBytes key, NullableBytes value,
                        std::span<const Header> headers = {}) noexcept;
// Kafka's upper bound for a batch that holds this record alone: what `batch.size`, `buffer.memory` and
// `max.request.size` are compared with before the record's place is known.
std::size_t batch_size_upper_bound(NullableBytes key, NullableBytes value,
                                   std::span<const Header> headers = {}) noexcept;

// What a topic's batches compressed to lately, so that open ones can be filled beyond batch.size in plain bytes.
// Kafka's rule: it falls slowly and rises fast. One per topic and codec, owned by whoever opens the batches.
class CompressionRatio {
 public:
  float estimate() const noexcept { return estimate_; }
  // `ratio` = compressed / plain bytes of the records of a batch just built (BatchBuilder::compression_ratio()).
  void observe(float ratio) noexcept;
  // After the broker found a batch too large.
  void reset() noexcept { estimate_ = 1.0f; }

 private:
  float estimate_ = 1.0f;
};

struct BatchOptions {
  Compression compression = Compression::none;
  int level = compress::standard_level(Compression::none);  // set it with the codec: compress::standard_level(codec)
  std::size_t size_limit_bytes = 16384;  // Kafka's batch.size: header included; one larger record makes its own batch
  std::size_t initial_bytes = 0;         // of the buffer; 0: min(size_limit_bytes, 16 KiB). It doubles when full.
  float compression_ratio = 1.0f;        // expected (CompressionRatio::estimate()); 1 for no codec
  std::int64_t base_offset = 0;
  std::int32_t leader_epoch = kNoLeaderEpoch;
  bool control = false;
  // Log append time: records keep their deltas, the batch says that its max timestamp (this one) holds for all.
  std::optional<TimestampMs> log_append_time{};
  // Compaction: written as the base timestamp, with its attribute bit; records' deltas are from it.
  std::optional<TimestampMs> delete_horizon{};
};

// One open batch of one partition. Owned and used by one shard (or one thread). The records' relative offsets run
// 0, 1, 2, … unless append_at() says otherwise.
class BatchBuilder {
 public:
  explicit BatchBuilder(const BatchOptions& options) : BatchBuilder(options, Buffer::Ref()) {}
  // With a buffer to begin with (from a pool); it must be unique.
  BatchBuilder(const BatchOptions& options, Buffer::Ref buffer);
  BatchBuilder(BatchBuilder&&) noexcept = default;
  BatchBuilder& operator=(BatchBuilder&&) noexcept = default;
  BatchBuilder(const BatchBuilder&) = delete;
  BatchBuilder& operator=(const BatchBuilder&) = delete;

  // Appends a record and returns its offset relative to the base offset, or nothing if it does not fit (the size limit,
  // or 2^31-1 bytes): build this batch and open another. The first record always fits, but for those 2^31-1 bytes.
  // Copies key, value and headers.
  std::optional<std::int32_t> append(TimestampMs timestamp, NullableBytes key, NullableBytes value,
                                     std::span<const Header> headers = {});
  // The same with headers that were read from another batch.
  std::optional<std::int32_t> append(const RecordView& record);
  // With a relative offset of the caller's choice, above the last one (compaction leaves gaps). No size limit but
  // 2^31-1 bytes; false beyond it.
  bool append_at(std::int32_t offset_delta, TimestampMs timestamp, NullableBytes key, NullableBytes value,
                 std::span<const Header> headers = {});
  // The same with all of a record that was read from another batch.
  bool append_at(std::int32_t offset_delta, const RecordView& record);

  // Whether append() would take the record.
  bool has_room_for(TimestampMs timestamp, NullableBytes key, NullableBytes value,
                    std::span<const Header> headers = {}) const noexcept;
  // No further record will fit: time to send. (With a codec, by the expected compression.)
  bool is_full() const noexcept { return record_count_ > 0 && estimated_bytes() >= size_limit_; }

  bool empty() const noexcept { return record_count_ == 0; }
  std::int32_t record_count() const noexcept { return record_count_; }
  // Relative offset of the last record; -1 when empty.
  std::int32_t last_offset_delta() const noexcept { return last_offset_delta_; }
  // Header and records, not compressed.
  std::size_t plain_bytes() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
  // What the batch is expected to take when built.
  std::size_t estimated_bytes() const noexcept;
  // What the open batch holds of memory.
  std::size_t capacity_bytes() const noexcept { return static_cast<std::size_t>(end_ - begin_); }
  TimestampMs base_timestamp() const noexcept { return base_timestamp_; }
  TimestampMs max_timestamp() const noexcept { return max_timestamp_; }

  // Ends the batch: compresses, writes the header and CRC. The builder is empty after it and must not be used again
  // (except to be assigned to). Fails only as Codecs::compress does. The slice's bytes are the only use of their
  // buffer: the patch functions of batch.h may be used on mutable_data().
  Result<Slice> build(Codecs& codecs, const ProducerStamp& producer = {});
  // For compaction, which keeps the last offset delta of the batch that it thins out: at or above the last record's.
  Result<Slice> build(Codecs& codecs, const ProducerStamp& producer, std::int32_t last_offset_delta);

  // After build(): compressed / plain bytes of the records, for CompressionRatio::observe. 1 without codec.
  float compression_ratio() const noexcept { return built_ratio_; }

 private:
  template <typename WriteHeaders>
  bool add(std::int32_t offset_delta, bool limited, TimestampMs timestamp, NullableBytes key, NullableBytes value,
           std::size_t headers_bytes, const WriteHeaders& write_headers);
  bool add_record(std::int32_t offset_delta, bool limited, const RecordView& record);
  template <int kLengthBytes>
  std::optional<std::int32_t> append_usual(TimestampMs timestamp, NullableBytes key, NullableBytes value);
  std::optional<std::int32_t> append_general(TimestampMs timestamp, NullableBytes key, NullableBytes value,
                                             std::span<const Header> headers);
  bool fits(std::size_t bytes) const noexcept;
  bool grow(std::size_t bytes);
  void find_usual_end() noexcept;

  std::byte* begin_ = nullptr;  // of the buffer; the records begin kBatchHeaderSize behind it
  std::byte* at_ = nullptr;
  std::byte* end_ = nullptr;
  // A record of at most usual_bytes_ that ends before usual_end_ surely fits. None does before the first one is there.
  std::byte* usual_end_ = nullptr;
  std::size_t usual_bytes_ = 0;
  std::size_t size_limit_ = 0;
  TimestampMs base_timestamp_ = kNoTimestamp;
  TimestampMs max_timestamp_ = kNoTimestamp;
  std::int32_t record_count_ = 0;
  std::int32_t last_offset_delta_ = -1;
  bool has_base_timestamp_ = false;
  float built_ratio_ = 1.0f;
  Buffer::Ref buffer_;
  BatchOptions options_;
};

// The same records under another codec (topics whose compression.type differs from the producer's). Offset deltas
// become 0..n-1; everything else of the header stays. Fails as plain_records and Codecs::compress do.
Result<Slice> recompress(const BatchView& batch, Compression compression, int level, Codecs& codecs,
                         std::size_t limit_bytes);

}  // namespace klamm::record
