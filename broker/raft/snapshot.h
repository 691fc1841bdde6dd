// Snapshot files: `<end offset>-<epoch>.checkpoint` beside the metadata log, and bootstrap.checkpoint, which has the
// same form: a control batch (header, and the voters where kraft.version is 1), batches of records, a control batch
// (footer). Offsets inside count from 0; every batch carries the snapshot's epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "broker/raft/control_records.h"
#include "broker/raft/snapshot_id.h"
#include "broker/raft/voters.h"
#include "io/file.h"
#include "io/shard.h"

namespace klamm::raft {

// "00000000000000000042-0000000003.checkpoint"
std::string snapshot_file_name(const SnapshotId& id);
// Empty if the name is none of a finished snapshot.
std::optional<SnapshotId> parse_snapshot_file_name(std::string_view name);
// True for leftovers of an unfinished or deleted snapshot (.checkpoint.part, .checkpoint.deleted).
bool is_snapshot_leftover(std::string_view name);

// The bytes of a whole snapshot. Pure: what the writer puts out, batch for batch.
class SnapshotBuilder {
 public:
  struct Options {
    std::int32_t epoch = 0;
    TimestampMs now_ms = 0;             // timestamp of the batches
    TimestampMs last_contained_ms = 0;  // append time of the last record covered
    const VoterSet* voters = nullptr;   // given: kraft.version 1
    std::size_t max_batch_bytes = 8U << 20;
  };
  explicit SnapshotBuilder(const Options& options);

  // Adds records (values); full batches become available from take().
  void append(std::span<const Slice> values);
  // Ends the last data batch and adds the footer.
  void finish();
  // Whole batches that were completed since the last call.
  std::vector<Slice> take() { return std::exchange(ready_, {}); }

 private:
  void close_batch();

  Options options_;
  std::int64_t next_offset_ = 0;
  std::vector<Slice> open_;
  std::size_t open_bytes_ = 0;
  std::vector<Slice> ready_;
};

// One batch of a snapshot or of the committed log, taken apart.
struct Batch {
  std::int64_t base_offset = 0;
  std::int64_t last_offset = 0;
  std::int32_t epoch = 0;
  TimestampMs append_timestamp_ms = -1;
  std::int64_t size_bytes = 0;
  bool control = false;
  ControlFacts control_facts;  // of a control batch
  std::vector<Slice> values;   // of the records otherwise; parts of the bytes read. Null values come as empty
};
// Takes one stored batch apart; checks its CRC. Errors: malformed, checksum_mismatch.
Result<Batch> read_batch(Slice bytes);

// A snapshot's content, read whole from its file and walked batch by batch.
class SnapshotReader {
 public:
  // `bytes` is the whole file; `id` may be kBootstrapSnapshotId for bootstrap.checkpoint.
  SnapshotReader(SnapshotId id, Slice bytes) : id_(id), rest_(std::move(bytes)) {}

  const SnapshotId& id() const noexcept { return id_; }
  // The next batch; nothing at the end. Errc::corrupt if the file ends without a footer, does not begin with a header,
  // or a batch is damaged.
  Result<std::optional<Batch>> next();
  // Append time of the last record covered; known once the first batch was read.
  TimestampMs last_contained_ms() const noexcept { return last_contained_ms_; }

 private:
  SnapshotId id_;
  Slice rest_;
  bool begun_ = false;
  bool ended_ = false;
  TimestampMs last_contained_ms_ = -1;
};

// Writes the file: "<random>….checkpoint.part", sync, mode 0400, rename, sync of the directory.
io::Task<Result<void>> write_snapshot_file(io::Shard& shard, std::string directory, SnapshotId id,
                                           std::vector<Slice> batches);

}  // namespace klamm::raft
