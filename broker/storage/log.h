// A partition's log: Kafka's segment files in one directory, with the state that belongs to them (leader epochs,
// producers, aborted transactions). One shard owns a Log; every function runs there, and every file call is awaited.
//
// Changes (append, truncate, roll, delete, close) run one after the other in the order they were called; reads run
// beside them and see only what has been written whole. Offsets are plain int64: this is the room where they are
// numbers in files. Errors carry a Kafka code (protocol/error.h) where a client can be told one: OFFSET_OUT_OF_RANGE,
// KAFKA_STORAGE_ERROR (the disk failed or is full; nothing of the append stays), and what validate.h and
// producer_state.h refuse.
//
// The owner (the replica layer; the raft driver for __cluster_metadata-0) decides the high watermark and when an
// append counts; storage keeps the high watermark because retention and the last stable offset need it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/uuid.h"
#include "broker/config/log_config.h"
#include "broker/storage/append_origin.h"
#include "broker/storage/batch_summary.h"
#include "broker/storage/error_lines.h"
#include "broker/storage/leader_epochs.h"
#include "broker/storage/names.h"
#include "broker/storage/open_files.h"
#include "broker/storage/producer_state.h"
#include "broker/storage/segment.h"
#include "broker/storage/txn_index.h"
#include "broker/storage/validate.h"
#include "io/piece.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/ids.h"

namespace klamm::storage {

// How to open a log.
struct LogOptions {
  protocol::TopicPartition partition;
  // What partition.metadata must say; it is written if it is not there. Zero: whatever it says.
  Uuid topic_id;
  std::string directory;  // the partition's own directory; made if absent
  config::LogConfig config;
  // From the directory's checkpoints. Everything at or above the recovery point is checked unless `clean_shutdown`.
  std::int64_t recovery_point = 0;
  std::int64_t log_start_offset = 0;
  std::int64_t high_watermark = 0;
  // Of the cleaner's checkpoint: compaction may have removed what lies below. Empty: the log was never compacted.
  std::optional<std::int64_t> first_dirty_offset;
  bool clean_shutdown = false;
  // The directory's own name is on the disk for sure, if it is there.
  bool name_is_durable = false;
  ProducerStateOptions producers;
  compress::Codecs* codecs = nullptr;  // the shard's; must outlive the log
  // The shard's: how many files of segments may be open. Null: those in use stay open.
  std::shared_ptr<OpenFiles> open_files;
  // The shard's, too. Null: every failure is logged.
  std::shared_ptr<ErrorLines> error_lines;
  Logger logger;
  // Called when a file operation failed in a way that makes the directory doubtful (EIO, a vanished file; not ENOSPC).
  // The log refuses appends from then on.
  std::function<void(const Error& error)> on_storage_failure;
  // Awaited before the log is cut below its recovery point: the checkpoint must not say more than `offset` from then
  // on.
  std::function<io::Task<Result<void>>(std::int64_t offset)> before_cut;
  // Called when first_dirty_offset() went back: the cleaner's checkpoint must not stay ahead of it.
  std::function<void()> on_first_dirty_lowered;
};

// What a leader is asked to append.
struct LeaderAppend {
  // Whole batches of magic 2. The log patches base offset and leader epoch in place (and timestamps where the topic
  // says so): this must be the only use of these bytes.
  Slice records;
  std::int32_t leader_epoch = 0;
  AppendOrigin origin = AppendOrigin::client;
  std::int16_t produce_version = std::numeric_limits<std::int16_t>::max();  // of a client's request
  // Of the transaction protocol, for markers (origin coordinator): 2 has stricter epochs.
  std::int16_t transaction_version = 0;
  // If not null: filled with what is wrong with single records when the append fails for them (INVALID_RECORD,
  // INVALID_TIMESTAMP).
  std::vector<RecordError>* record_errors = nullptr;
};

struct AppendInfo {
  std::int64_t first_offset = -1;
  std::int64_t last_offset = -1;
  TimestampMs log_append_time_ms = -1;  // for the produce response: set where the topic stamps records itself
  TimestampMs max_timestamp = -1;
  std::int64_t log_start_offset = 0;
  std::int64_t record_count = 0;
  std::int64_t size_bytes = 0;
  std::int32_t leader_epoch = -1;
  bool duplicate = false;  // a producer's retry: nothing was appended, first_offset and last_offset are the old ones
  // The topic's flush.messages asks for a flush before this append may be acknowledged: await flushed(last_offset + 1).
  bool wait_flushed = false;
};

// Which records a reader may see: below `high watermark`, `last stable offset`, or all that is in the log.
enum class FetchIsolation { log_end, high_watermark, committed };

struct ReadRequest {
  std::int64_t offset = 0;
  std::int64_t max_bytes = std::numeric_limits<std::int32_t>::max();
  FetchIsolation isolation = FetchIsolation::high_watermark;
  bool min_one_batch = true;  // return the first batch whole though it is larger than max_bytes; else nothing then
};

struct FetchData {
  io::Pieces records;  // regions of the segment's file; may end inside a batch. Empty at the end of what is visible
  std::int64_t size_bytes = 0;
  std::int64_t first_batch_offset = -1;  // base offset of the first batch; may be below the asked offset
  std::int64_t segment_base_offset = -1;
  // With FetchIsolation::committed: transactions to leave out, in the order of their abort.
  std::vector<AbortedTransaction> aborted;
};

struct TimestampAndOffset {
  TimestampMs timestamp = -1;
  std::int64_t offset = -1;
  std::int32_t leader_epoch = -1;
};

struct SegmentInfo {
  std::int64_t base_offset = 0;
  std::int64_t size_bytes = 0;
};

// What a cleaning of the log would find now. Offsets are segment starts, but for first_dirty.
struct Cleanable {
  std::int64_t first_dirty = 0;  // below it the log was compacted before
  std::int64_t end = 0;          // the first segment that cannot be cleaned yet
  std::int64_t clean_bytes = 0;  // of segments that begin below first_dirty
  std::int64_t dirty_bytes = 0;  // of those from there to `end`
  bool overdue = false;          // max.compaction.lag.ms has passed for the oldest of them
  double ratio() const noexcept {
    const std::int64_t total = clean_bytes + dirty_bytes;
    return total == 0 ? 0.0 : static_cast<double>(dirty_bytes) / static_cast<double>(total);
  }
};

// The right to clean a log. The log takes it back when its segments are to change otherwise: the cleaner looks at
// `aborted` after each step, or waits for `changed`.
struct CleaningPermit {
  explicit CleaningPermit(io::Shard& shard) : changed(shard) {}
  bool aborted = false;
  std::string why;
  io::Signal changed;
};

class Log {
 public:
  // Opens a directory or makes a new one: deletes leftovers, loads or recovers the segments, rebuilds epochs and
  // producers. Fails with the file system's error, Errc::corrupt, or INCONSISTENT_TOPIC_ID if the directory belongs to
  // another topic.
  static io::Task<Result<std::unique_ptr<Log>>> open(io::Shard& shard, LogOptions options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  const protocol::TopicPartition& partition() const noexcept { return options_.partition; }
  // As in partition.metadata; zero if it is not known.
  const Uuid& topic_id() const noexcept { return options_.topic_id; }
  // retire() and take_over() change it.
  const std::string& directory() const noexcept { return options_.directory; }
  const config::LogConfig& config() const noexcept { return options_.config; }
  // Takes effect at the next append or retention run. A cleaning under way ends if the topic is not compacted any more.
  void set_config(config::LogConfig config);

  // ---- Offsets, all known without I/O.
  std::int64_t log_start_offset() const noexcept { return log_start_offset_; }
  std::int64_t log_end_offset() const noexcept { return log_end_offset_; }
  std::int64_t high_watermark() const noexcept { return high_watermark_; }
  // Everything below is on the disk for sure.
  std::int64_t recovery_point() const noexcept;
  // The same for the checkpoint: inside the active segment if it has data, whose indexes are not on the disk before the
  // log is closed. A start after a crash looks at the segment that holds this offset: it must not be the next one,
  // which may begin where everything is flushed to.
  std::int64_t recovery_point_to_save() const noexcept;
  // First offset that a read_committed reader may not see: the oldest open transaction, at most the high watermark.
  std::int64_t last_stable_offset() const noexcept;
  std::int64_t size_bytes() const noexcept;
  std::size_t segment_count() const noexcept { return segments_.size(); }
  std::vector<SegmentInfo> segments() const;
  // 0 while the log is being emptied.
  std::int64_t first_segment_offset() const noexcept { return segments_.empty() ? 0 : segments_.begin()->first; }
  // False while segments that were deleted may come back with a loss of power.
  bool names_are_durable() const noexcept { return !directory_dirty_; }
  // Clamped into [log start, log end]; returns the value set. Completed transactions below it leave the LSO.
  std::int64_t set_high_watermark(std::int64_t offset);
  const LeaderEpochs& leader_epochs() const noexcept { return epochs_; }
  const ProducerState& producers() const noexcept { return producers_; }
  // True after a file operation failed so that the directory cannot be trusted: appends are refused.
  bool failed() const noexcept { return failed_; }

  // ---- Appending. On success the records are in the file (not flushed) and visible to reads with log_end isolation.
  io::Task<Result<AppendInfo>> append_as_leader(LeaderAppend append);
  // Records as the leader sent them: whole batches with offsets, beginning at or after the log end (a partial batch at
  // the end is left out). Batches of a leader epoch above `leader_epoch` are left out with all that follows.
  // Errors: OFFSET_OUT_OF_RANGE if they begin below the log end, CORRUPT_MESSAGE.
  io::Task<Result<AppendInfo>> append_as_follower(Slice records, std::int32_t leader_epoch);
  // Notes that `epoch` begins at the log end (a new leader does this before its first append). An append of an earlier
  // epoch that has begun comes before; one that has not is refused with NOT_LEADER_OR_FOLLOWER, to be tried again.
  // The note is not on the disk before records of that epoch are flushed: records tell their epoch, and of one without
  // records nobody needs to know after a restart. A start of ten thousand leaders writes nothing.
  io::Task<Result<void>> begin_epoch(std::int32_t epoch);

  // ---- Reading.
  // OFFSET_OUT_OF_RANGE below the log start or beyond the log end. An offset at or above the isolation's bound gives
  // empty data, and so does a log with `open_files` while the process has no descriptor left.
  io::Task<Result<FetchData>> read(ReadRequest request);
  // The first record at or after the timestamp (by offset order); empty if there is none.
  io::Task<Result<std::optional<TimestampAndOffset>>> offset_for_timestamp(TimestampMs timestamp);
  // The first record with the largest timestamp of the log; empty if it has no record.
  io::Task<Result<std::optional<TimestampAndOffset>>> offset_of_max_timestamp();
  // As OffsetForLeaderEpoch: the largest known epoch not above the asked one and the offset where it ends.
  // {-1, -1} if unknown.
  EpochEnd end_offset_for_epoch(std::int32_t epoch) const;

  // ---- Changing.
  // DeleteRecords, or the leader's log start: raises the log start (never lowers it). OFFSET_OUT_OF_RANGE beyond the
  // high watermark. Segments below go at the next retention run. True if it moved.
  io::Task<Result<bool>> increment_log_start(std::int64_t offset);
  // Cuts all at or above `offset`. False if the log already ends there.
  io::Task<Result<bool>> truncate_to(std::int64_t offset);
  // Empties the log; it goes on at `offset`, with log start `log_start` (default: the same).
  io::Task<Result<void>> truncate_fully_and_start_at(std::int64_t offset,
                                                     std::optional<std::int64_t> log_start = std::nullopt);
  // Begins a new segment at the log end, unless the active one is empty.
  io::Task<Result<void>> roll();
  // Deletes segments by time, size and log start as the config says (`cleanup.policy` with delete; log start always);
  // returns how many. Files are renamed to .deleted at once and removed after file.delete.delay.ms.
  io::Task<Result<int>> delete_old_segments();
  // Deletes whole segments below `offset` (raft: a snapshot covers them) and raises the log start to it.
  io::Task<Result<void>> delete_before(std::int64_t offset);

  // ---- Compaction, for the cleaner (cleaner.h). One cleaning at a time; truncating, deleting and closing end it.
  io::Task<Result<Cleanable>> cleanable();
  // Null if the log is being changed, closed or cleaned.
  std::shared_ptr<CleaningPermit> begin_cleaning();
  void end_cleaning();
  // The segments that hold offsets of [from, to), the active one never.
  std::vector<std::shared_ptr<Segment>> segments_between(std::int64_t from, std::int64_t to) const;
  // The aborted transactions that touch [from, to).
  io::Task<Result<std::vector<AbortedTransaction>>> aborted_between(std::int64_t from, std::int64_t to);
  // Puts `cleaned`, whose files are written, synced and named .cleaned, in the place of `old`, neighbours of which the
  // first begins at the same offset. A crash on the way leaves the old or the new. Fails with Errc::cancelled, having
  // changed nothing, if the permit was taken back.
  io::Task<Result<void>> replace_segments(const CleaningPermit& permit, std::shared_ptr<Segment> cleaned,
                                          std::vector<std::shared_ptr<Segment>> old);
  // Where the next cleaning begins, for the cleaner's checkpoint; empty if there was none yet.
  std::optional<std::int64_t> first_dirty_offset() const noexcept { return options_.first_dirty_offset; }
  void set_first_dirty_offset(std::int64_t offset) { options_.first_dirty_offset = offset; }
  // Ends a cleaning under way; none begins until resume_cleaning(). Calls count.
  io::Task<void> pause_cleaning(std::string why);
  void resume_cleaning() noexcept { --cleaning_pauses_; }
  // A file operation of the cleaner failed: what the log makes of it, as a KAFKA_STORAGE_ERROR.
  Error cleaning_failed(Error error) { return storage_error(std::move(error), "compaction"); }
  io::Shard& shard() noexcept { return shard_; }
  const std::shared_ptr<OpenFiles>& open_files() const noexcept { return options_.open_files; }

  // ---- Moving to another data directory, for LogMover (log_mover.h).
  // Goes on in the directory of `copy`, this partition's log in another place (-future), which is closed by that.
  // `catch_up` is called while no append can come, and leaves in the copy all that this log has, flushed. Who holds
  // this log notices nothing; a crash on the way leaves one of the two, and no record less.
  // Returns where the old directory is now, for the caller to remove when file.delete.delay.ms has passed; empty if it
  // could not be put away (its failure is reported). On failure the log stays where it is; if what was begun could not
  // be undone it has failed() and refuses appends until a start has put the two in order.
  using CatchUp = std::function<io::Task<Result<void>>()>;
  io::Task<Result<std::string>> take_over(Log& copy, CatchUp catch_up);
  // Of a copy: another log has its files, and this one has none.
  bool is_taken_over() const noexcept { return taken_over_; }
  // Leaves out the offsets up to `offset`, of which the log this one is copied from has no records any more.
  io::Task<Result<void>> skip_to(std::int64_t offset);

  // ---- Durability.
  // Returns when everything below `offset` is on the disk; starts a flush if none is on its way. One sync serves all
  // who wait.
  io::Task<Result<void>> flushed(std::int64_t offset);
  io::Task<Result<void>> flush() { return flushed(log_end_offset_); }
  // True if flush.ms has passed since the last flush and there is something to flush.
  bool flush_due(Instant now) const;

  // ---- Housekeeping, called by the owner's timers.
  // Forgets producers without a sign of life for the expiration time.
  void expire_producers(TimestampMs now_ms);
  // Drops loaded indexes and closes files of inactive segments that were not used since the last call.
  void release_unused();

  // Flushes, takes a producer snapshot, writes and trims the index files, waits for background work. No other call
  // may follow, and none may be running. The directory is then as after Kafka's clean shutdown.
  io::Task<Result<void>> close();
  // Ends background work without writing anything: before the directory is deleted, or when its disk has failed.
  io::Task<void> abandon();
  // Closes the log without flushing and gives its directory the name of another kind (deleted, stray); returns the new
  // path. A deleted one is for the caller to remove when file.delete.delay.ms has passed. Reads that are running end
  // well.
  io::Task<Result<std::string>> retire(DirectoryKind kind);

 private:
  friend class LogLoader;
  using SegmentRef = std::shared_ptr<Segment>;

  // What is on its way into the active segment.
  struct PendingAppend {
    Slice records;
    std::vector<BatchSummary> batches;
    AppendOrigin origin = AppendOrigin::client;
    std::int16_t transaction_version = 0;
    AppendInfo info;
    ProducerState::Update producers;
  };

  Log(io::Shard& shard, LogOptions options);

  // log.cc
  Result<PendingAppend> prepare_leader(LeaderAppend& append);
  Result<PendingAppend> prepare_follower(Slice records, std::int32_t leader_epoch);
  io::Task<Result<AppendInfo>> append_as_leader_locked(PendingAppend& pending, std::int32_t leader_epoch);
  io::Task<Result<AppendInfo>> append_as_follower_locked(PendingAppend& pending);
  io::Task<Result<AppendInfo>> write(PendingAppend& pending);
  Result<void> check_producers(PendingAppend& pending) const;
  std::shared_ptr<Segment> make_segment(std::int64_t base_offset) const;
  Result<void> check_usable() const;
  bool must_roll(Segment& active, std::int64_t size, TimestampMs max_timestamp, std::int64_t last_offset) const;
  io::Task<Result<void>> roll_locked(std::int64_t base_offset);
  io::Task<void> flush_in_background(std::int64_t offset);
  io::Task<Result<void>> flush_locked(std::int64_t offset);
  io::Task<Result<void>> sync_segment(SegmentRef segment, bool with_indexes);
  io::Task<Result<void>> sync_names();
  io::Task<Result<void>> sync_directory(std::string path);
  // Wraps a file error as KAFKA_STORAGE_ERROR; all but a full disk make the log refuse appends.
  Error storage_error(Error error, std::string_view doing);
  std::int64_t draw_jitter();

  // log_read.cc
  io::Task<bool> changed_since(std::uint64_t cuts);
  std::int64_t upper_bound(FetchIsolation isolation) const noexcept;
  SegmentRef segment_of(std::int64_t offset) const;
  SegmentRef segment_after(std::int64_t base_offset) const;
  io::Task<Result<FetchData>> read_once(ReadRequest request, std::int64_t bound);
  io::Task<Result<void>> collect_aborted(SegmentRef segment, std::int64_t position_after, std::int64_t from,
                                         FetchData& data);
  io::Task<Result<std::optional<TimestampAndOffset>>> find_timestamp(SegmentRef segment, TimestampMs timestamp,
                                                                     std::int64_t from_offset);

  // log_change.cc
  io::Task<Result<void>> lower_recovery_point(std::int64_t offset);
  io::Task<Result<bool>> truncate_locked(std::int64_t offset);
  io::Task<Result<void>> truncate_fully_locked(std::int64_t offset, std::int64_t log_start);
  io::Task<Result<int>> delete_old_locked();
  io::Task<Result<void>> before_deleting(std::int64_t first_kept);
  io::Task<Result<void>> delete_segments(std::vector<SegmentRef> doomed);
  io::Task<void> remove_later(std::vector<std::string> paths);
  io::Task<void> move_log_start(std::int64_t offset);
  bool epochs_unsaved() const;
  io::Task<Result<void>> save_epochs();
  io::Task<Result<void>> close_locked();

  // log_clean.cc
  void lower_first_dirty(std::int64_t offset);
  io::Task<Result<void>> replace_locked(SegmentRef cleaned, std::vector<SegmentRef> old);
  io::Task<Result<void>> swap_files(SegmentRef cleaned, std::vector<SegmentRef> old);

  // log_move.cc
  io::Task<Result<std::string>> take_over_locked(Log& copy);
  io::Task<Result<void>> give_plain_name(Log& copy, std::string target);
  io::Task<void> undo_plain_name(Log& copy, std::string target);
  std::vector<SegmentRef> adopt(Log& copy, std::string target);
  io::Task<Result<std::string>> put_away(std::string directory, std::vector<SegmentRef> segments);

  // log_producers.cc
  // `found`: what is known of the directory's files, to read them only once. May be null.
  io::Task<Result<void>> rebuild_producers(std::int64_t log_end, bool clean_without_snapshot,
                                           const io::Survey* found = nullptr);
  io::Task<Result<Slice>> read_snapshot(std::int64_t offset, const io::Survey* found);
  io::Task<Result<void>> replay_producers(std::int64_t from, std::int64_t to);
  // Before an append looks at producers that only a snapshot has told of.
  io::Task<Result<void>> know_producers(const PendingAppend& pending);
  io::Task<Result<void>> relearn_batches(std::int64_t end);
  io::Task<Result<void>> relearn_batches_of(SegmentRef segment, std::int64_t most_bytes, std::int64_t end,
                                            std::map<std::int64_t, ProducerEntry>& learned);
  io::Task<Result<void>> take_producer_snapshot(bool sync);
  io::Task<Result<void>> remove_snapshot(std::int64_t offset);
  std::string snapshot_path(std::int64_t offset) const;

  io::Shard& shard_;
  LogOptions options_;
  Logger logger_;
  std::map<std::int64_t, SegmentRef>
      segments_;  // by base offset; the last one is active; empty only while the log is being emptied
  SegmentRef active_;
  LeaderEpochs epochs_;
  std::optional<std::vector<EpochEntry>> saved_epochs_;  // what their file says; empty if that is not known
  ProducerState producers_;
  std::int64_t relearn_end_ = -1;        // batches below it are to be read again when producers are asked for; -1: none
  std::vector<std::int64_t> snapshots_;  // offsets of the producer snapshots in the directory, ascending

  std::int64_t log_start_offset_ = 0;
  std::int64_t log_end_offset_ = 0;
  std::int64_t high_watermark_ = 0;
  std::int64_t flushed_offset_ = 0;
  std::vector<SegmentRef> finished_;  // rolled, but their indexes are not on the disk yet; ascending
  std::int64_t roll_jitter_ms_ = 0;
  std::uint64_t cuts_ =
      0;              // truncations, deletions and replacements so far: a read that failed across one is tried again
  int renaming_ = 0;  // files that readers may look for are getting other names
  io::Signal renamed_;
  Instant last_flush_;
  bool directory_dirty_ = false;  // files were made since the directory was synced
  bool parent_dirty_ = false;     // the directory itself was made
  bool flush_scheduled_ = false;
  bool failed_ = false;
  bool closed_ = false;
  bool taken_over_ = false;

  std::shared_ptr<CleaningPermit> cleaning_;  // the cleaning under way
  int cleaning_pauses_ = 0;
  io::Signal cleaning_ended_;

  io::AsyncMutex changing_;  // held by everything that changes segments
  io::AsyncMutex flushing_;  // held while files are synced; taken after changing_ where both are needed
  io::Signal stopping_;      // wakes delayed deletions at close
  io::Gate background_;
};

}  // namespace klamm::storage
