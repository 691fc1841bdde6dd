// The files of __cluster_metadata-0: the log (storage::Log with KRaft's fixed settings), the snapshots beside it, and
// the rules between the two. Owned by the RaftNode; its shard alone may call.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/raft/snapshot.h"
#include "broker/storage/log.h"
#include "io/shard.h"
#include "protocol/compress/codec.h"

namespace klamm::raft {

struct MetadataLogOptions {
  std::string log_dir;                             // metadata.log.dir; the log is in __cluster_metadata-0 below it
  std::int32_t segment_bytes = 1 << 30;            // metadata.log.segment.bytes
  std::int64_t segment_ms = 604'800'000;           // metadata.log.segment.ms
  std::int64_t max_retention_bytes = 104'857'600;  // metadata.max.retention.bytes; -1: none
  std::int64_t max_retention_ms = 604'800'000;     // metadata.max.retention.ms; -1: none
  std::int32_t max_batch_bytes = 8 << 20;
  std::int64_t file_delete_delay_ms = 60'000;
  std::function<void(const Error& error)> on_storage_failure;
  Logger logger;
};

class MetadataLog {
 public:
  // Opens or makes the directory, recovers the log, drops unfinished snapshots and those that the log has left behind.
  // If the newest snapshot is ahead of the log, the log is emptied and goes on at the snapshot's end. Errc::corrupt if
  // the log begins above 0 and no snapshot holds what was below.
  static io::Task<Result<std::unique_ptr<MetadataLog>>> open(io::Shard& shard, MetadataLogOptions options);

  const std::string& directory() const noexcept { return directory_; }

  std::int64_t start_offset() const noexcept { return log_->log_start_offset(); }
  std::int64_t end_offset() const noexcept { return log_->log_end_offset(); }
  // After a fault of the disk that leaves it in doubt.
  bool failed() const noexcept { return log_->failed(); }
  std::int64_t size_bytes() const noexcept { return log_->size_bytes(); }
  // Epoch of the last record, also where that is in the snapshot only; 0 if there never was one.
  std::int32_t last_epoch() const;
  const storage::LeaderEpochs& leader_epochs() const noexcept { return log_->leader_epochs(); }
  // Epoch of the record at `offset`, as far as the log knows it.
  std::optional<std::int32_t> epoch_at(std::int64_t offset) const { return log_->leader_epochs().epoch_at(offset); }
  void set_high_watermark(std::int64_t offset) { log_->set_high_watermark(offset); }

  // Appends one batch that has its offsets and epoch already; the log must end at `base_offset`.
  io::Task<Result<void>> append(Slice batch, std::int32_t epoch, std::int64_t base_offset, std::int64_t last_offset);
  // Appends whole batches as a leader sent them, the first of them beginning where the log ends.
  io::Task<Result<void>> append_fetched(Slice records, std::int32_t epoch, std::int64_t base_offset,
                                        std::int64_t last_offset);
  // Cuts all at or above `offset`.
  io::Task<Result<void>> truncate_to(std::int64_t offset);
  // Everything that was written before the call is on the disk when it returns.
  io::Task<Result<void>> flush();

  // Whole batches from `offset` (the first record's batch, whole) up to about `max_bytes`, at least one; nothing at the
  // end of the log.
  io::Task<Result<std::vector<Slice>>> read(std::int64_t offset, std::int64_t max_bytes);

  // ---- Snapshots.
  const std::set<SnapshotId>& snapshots() const noexcept { return snapshots_; }
  // The newest, the (0,0) one left out.
  std::optional<SnapshotId> latest_snapshot() const;
  std::optional<SnapshotId> earliest_snapshot() const;
  bool has_bootstrap_snapshot() const { return snapshots_.contains(kBootstrapSnapshotId); }
  // NOT_FOUND as Errc::not_found.
  io::Task<Result<SnapshotReader>> read_snapshot(SnapshotId id);
  // Stores a finished snapshot. Success without a word if it is there already.
  io::Task<Result<void>> store_snapshot(SnapshotId id, std::vector<Slice> batches);
  // What the file of a snapshot holds from `position` on, up to `max_bytes`, and how large it is. Errc::not_found if
  // there is none, POSITION_OUT_OF_RANGE beyond its end.
  struct SnapshotPart {
    std::int64_t size = 0;
    Slice bytes;
  };
  io::Task<Result<SnapshotPart>> read_snapshot_part(SnapshotId id, std::int64_t position, std::int64_t max_bytes);
  // Writes a part of a snapshot that comes from the leader; position 0 begins it anew.
  io::Task<Result<void>> write_snapshot_part(SnapshotId id, std::int64_t position, Slice bytes);
  // What was written so is whole: gives it its name, and begins the log anew at its end, without what was there before.
  // Returns what its header tells. Errc::corrupt, and the file is gone, if it is no sound snapshot.
  io::Task<Result<ControlFacts>> install_snapshot(SnapshotId id);
  // Drops old snapshots and what of the log they cover, by metadata.max.retention.*; at least one snapshot stays.
  io::Task<Result<void>> clean(TimestampMs now_ms);

  // Clean end: flushes and closes.
  io::Task<Result<void>> close();
  // End without writing, when the disk has failed.
  io::Task<void> abandon();

 private:
  MetadataLog(io::Shard& shard, MetadataLogOptions options);
  io::Task<Result<void>> find_snapshots();
  io::Task<Result<void>> reconcile();
  io::Task<Result<std::uint64_t>> snapshot_size(SnapshotId id);
  io::Task<Result<void>> drop_snapshot(SnapshotId id);
  io::Task<Result<ControlFacts>> check_part(SnapshotId id);
  std::string part_path(SnapshotId id) const;

  io::Shard& shard_;
  MetadataLogOptions options_;
  std::string directory_;
  compress::Codecs codecs_;
  std::unique_ptr<storage::Log> log_;
  std::set<SnapshotId> snapshots_;
};

// Makes a directory, if it is not there, so that it is still there after a power failure: its parents are synced.
io::Task<Result<void>> make_directories_durably(io::FileSystem& files, std::string path);

}  // namespace klamm::raft
