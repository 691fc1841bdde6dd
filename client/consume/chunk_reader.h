// Reads the records of one fetched partition where they lie: checks, decompresses, leaves out what the application must
// not see (control batches, aborted transactions, records before the position). Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "klamm/record.h"
#include "klamm/records.h"
#include "protocol/compress/codec.h"
#include "protocol/record/batch.h"
#include "protocol/record/legacy.h"
#include "protocol/record/record.h"

namespace klamm::detail {

// What a Records owns.
struct RecordsBlock {
  std::vector<RecordView> records;
  std::vector<Records::Run> runs;
  std::vector<Slice> owners;                               // of the bytes that the records lie in
  std::vector<std::shared_ptr<const std::string>> topics;  // of the views' topic names
};

}  // namespace klamm::detail

namespace klamm::client {

struct AbortedTransaction {
  std::int64_t producer_id;
  std::int64_t first_offset;
};

struct ChunkOptions {
  bool check_crcs = true;
  bool read_committed = false;
  std::size_t plain_limit_bytes = 1ULL << 30;  // most bytes that one batch may unpack to
};

// Where a partition's reader is.
struct ReadPosition {
  std::int64_t offset = 0;         // of the next record
  std::int32_t leader_epoch = -1;  // of the last one; -1 unknown
};

class ChunkReader {
 public:
  // `aborted`: the transactions among these records that were aborted, for read_committed.
  ChunkReader(Slice entries, std::vector<AbortedTransaction> aborted, ChunkOptions options);

  // Appends up to `room` records from `position` on to the block, and moves the position behind them and behind what is
  // left out. Fails (Errc::corrupt, checksum_mismatch, malformed, unsupported) at a batch that cannot be read, once the
  // records before it have been given; it stays there.
  Result<std::size_t> read(detail::RecordsBlock& block, std::size_t room, ReadPosition& position,
                           std::string_view topic, std::int32_t partition, compress::Codecs& codecs);
  // Everything was read.
  bool finished() const noexcept { return finished_; }
  std::size_t size_bytes() const noexcept { return size_bytes_; }

 private:
  // Moves to the next batch that has something to show; closes what was open. Finished if there is none.
  Result<void> open_next(ReadPosition& position, compress::Codecs& codecs);
  Result<void> open_batch(ReadPosition& position, compress::Codecs& codecs);
  Result<void> open_legacy(ReadPosition& position, compress::Codecs& codecs);
  bool is_aborted(const record::BatchView& batch, compress::Codecs& codecs);
  std::size_t take_records(detail::RecordsBlock& block, std::size_t room, ReadPosition& position,
                           std::string_view topic, std::int32_t partition);
  void add_owner(detail::RecordsBlock& block, const Slice& memory);

  record::BatchCursor cursor_;
  std::vector<AbortedTransaction> aborted_;  // by first offset, those passed removed
  std::size_t next_aborted_ = 0;
  std::set<std::int64_t> aborting_;  // producers inside an aborted transaction
  ChunkOptions options_;
  std::size_t size_bytes_;
  // The open batch.
  bool in_batch_ = false;
  Slice plain_;
  record::RecordIterator records_;
  std::optional<record::LegacyIterator> legacy_;
  std::int64_t batch_next_offset_ = 0;
  std::int32_t batch_leader_epoch_ = -1;
  TimestampType timestamp_type_ = TimestampType::create_time;
  bool finished_ = false;
  std::optional<Error> fault_;
};

}  // namespace klamm::client
