// The data directories of a node (log.dirs): their locks and identity, what lies in them at start, their checkpoint
// files, and which of them have failed. One object a node, on one shard (the first); the logs themselves belong to the
// LogManager of their shard, whom this one asks by io::call.
//
//   LogDirs::open -> list_logs -> every shard's LogManager loads its share -> start -> ... -> managers close -> close
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/uuid.h"
#include "broker/storage/checkpoint.h"
#include "broker/storage/cleaner_manager.h"
#include "broker/storage/names.h"
#include "io/shard.h"
#include "io/sync.h"

namespace klamm::storage {

class LogManager;

struct LogDirsOptions {
  std::vector<std::string> directories;  // log.dirs, in that order
  std::string metadata_directory;  // metadata.log.dir; must be one of them or a directory of its own; empty: the first
  std::int32_t node_id = -1;
  std::vector<std::string> cordoned;                            // cordoned.log.dirs: get no new replicas
  std::int64_t recovery_point_checkpoint_interval_ms = 60'000;  // log.flush.offset.checkpoint.interval.ms
  std::int64_t log_start_checkpoint_interval_ms = 60'000;       // log.flush.start.offset.checkpoint.interval.ms
  std::int64_t high_watermark_checkpoint_interval_ms = 5'000;   // replica.high.watermark.checkpoint.interval.ms
  std::int64_t file_delete_delay_ms = 60'000;
  Logger logger;
  // Called, on this shard, when a directory has gone offline; `left` directories are online.
  std::function<void(const std::string& path, const Error& error, std::size_t left)> on_directory_failed;
};

// A partition's directory found at start.
struct FoundLog {
  protocol::TopicPartition partition;
  DirectoryKind kind = DirectoryKind::live;  // live, future or stray; deleted ones are not listed
  std::size_t directory = 0;                 // index into LogDirs::directories()
  std::string path;
  bool clean_shutdown = false;
  std::int64_t recovery_point = 0;
  std::int64_t log_start_offset = 0;
  std::int64_t high_watermark = 0;
  std::optional<std::int64_t> first_dirty_offset;  // of the cleaner
};

// What a manager reports of a log, for the checkpoint files.
struct LogOffsets {
  protocol::TopicPartition partition;
  std::size_t directory = 0;
  std::int64_t recovery_point = 0;
  std::optional<std::int64_t> log_start_offset;  // where the first segment does not surely tell it
  std::int64_t high_watermark = 0;
  std::optional<std::int64_t> first_dirty_offset;  // if it was ever compacted
};

class LogDirs {
 public:
  struct Directory {
    std::string path;
    Uuid id;  // directory.id of meta.properties; zero if it was offline from the start
    bool online = true;
    bool clean_shutdown = false;
    std::int64_t broker_epoch = -1;  // of the run that stopped cleanly
    std::size_t logs = 0;            // partitions placed there
    std::unique_ptr<io::FileLock> lock;
  };

  // Makes missing directories, locks all, loads and compares their meta.properties. One that has none gets it if
  // another is formatted. One that the file system fails for is offline, unless it is the metadata's or the last.
  // Errors, with the directory's path: Errc::unavailable (locked by another process),
  // Errc::not_found (no directory is formatted), Errc::invalid_argument (another node's or cluster's, or an id twice),
  // the file system's.
  static io::Task<Result<std::unique_ptr<LogDirs>>> open(io::Shard& shard, LogDirsOptions options);
  ~LogDirs();
  LogDirs(const LogDirs&) = delete;
  LogDirs& operator=(const LogDirs&) = delete;

  io::Shard& shard() noexcept { return shard_; }
  const std::string& cluster_id() const noexcept { return cluster_id_; }
  const std::vector<Directory>& directories() const noexcept { return directories_; }
  const std::string& metadata_directory() const noexcept { return options_.metadata_directory; }
  // For BrokerRegistration: the broker epoch of the last run if every directory was left cleanly by it, else -1.
  std::int64_t previous_broker_epoch() const;

  // Reads the checkpoints and lists the partitions' directories; removes those marked -delete and the clean shutdown
  // files (from here on a crash is one). Errc::invalid_argument for a directory that is no partition's.
  io::Task<Result<std::vector<FoundLog>>> list_logs();

  // The directory for a new replica: the online one with the fewest, cordoned ones only if there is no other.
  // KAFKA_STORAGE_ERROR if none is online. Counts it as placed there.
  Result<std::size_t> choose_directory();
  // One more or less than listed and chosen.
  void log_added(std::size_t directory) { ++directories_[directory].logs; }
  void log_removed(std::size_t directory, const protocol::TopicPartition& partition);
  // Before a log is made: what the directory's checkpoints still say of a removed one of that name (or one that has
  // moved away) goes, durably. It would be taken for the new one's at a start after a crash.
  io::Task<Result<void>> forget_removed(std::size_t directory, protocol::TopicPartition partition);
  // Before logs are cut below their recovery points: the directory's checkpoint says no more than `most` of them,
  // durably. What is appended there afterwards would not be checked at a start after a crash.
  io::Task<Result<void>> lower_recovery_points(std::size_t directory, OffsetCheckpoint most);
  void set_cordoned(std::vector<std::string> cordoned) { options_.cordoned = std::move(cordoned); }
  // The ids of those that are cordoned, sorted, for heartbeats.
  std::vector<Uuid> cordoned_ids() const;

  // Where a log may be moved to: LOG_DIR_NOT_FOUND for a path that is none of them (an absolute one is meant),
  // KAFKA_STORAGE_ERROR for one that is offline, INVALID_REPLICA_ASSIGNMENT for a cordoned one.
  Result<std::size_t> find_target(const std::string& path) const;
  // How many bytes a second moves may copy, and when what is copied (0 bytes: what was copied) is paid for.
  void configure_moves(std::int64_t max_bytes_per_second);
  Instant pay_for_move(std::int64_t bytes);

  // Begins the periodic checkpoints over the managers' logs. They must outlive close().
  void start(std::vector<LogManager*> managers);
  io::Task<Result<void>> checkpoint_recovery_points();
  io::Task<Result<void>> checkpoint_log_starts();
  io::Task<Result<void>> checkpoint_high_watermarks();
  // cleaner-offset-checkpoint, of those directories where it would change.
  io::Task<Result<void>> checkpoint_cleaner_offsets();

  // How logs are compacted. Begins with start(), if it was told before.
  void configure_cleaner(const config::CleanerConfig& config) { cleaner_->configure(config); }
  CleanerManager& cleaner() noexcept { return *cleaner_; }

  // Takes a directory out of service: its logs are dropped by their managers. The data stays as it is.
  void directory_failed(std::size_t directory, Error error);

  // After the managers have closed: last checkpoints, clean shutdown files (not where a log did not close well), locks.
  io::Task<Result<void>> close(std::int64_t broker_epoch);

 private:
  LogDirs(io::Shard& shard, LogDirsOptions options);
  io::Task<Result<void>> open_directory(Directory& directory, std::optional<MetaProperties>& meta);
  Result<void> compare(const std::vector<std::optional<MetaProperties>>& metas);
  io::Task<Result<void>> identify();
  // At the start: notes that a directory is offline. Gives back the error where that will not do.
  Result<void> set_offline(std::size_t directory, Error error);
  io::Task<Result<void>> list_directory(std::size_t index, std::vector<FoundLog>& found);
  io::Task<std::vector<LogOffsets>> collect();
  io::Task<Result<void>> save_checkpoint(std::size_t index, std::string_view file, OffsetCheckpoint checkpoint);
  io::Task<Result<void>> change_checkpoint(std::size_t index, std::string_view file,
                                           std::function<bool(OffsetCheckpoint&)> change);
  io::Task<Result<void>> write_checkpoints(std::string_view file,
                                           std::function<std::optional<std::int64_t>(const LogOffsets&)> value);
  io::Task<void> every(std::int64_t interval_ms, io::Task<Result<void>> (LogDirs::*checkpoint)());
  io::Task<void> tell_managers(std::size_t directory);
  io::Task<void> remove_directory(std::string path);
  io::Task<Result<void>> settle_moves(std::vector<FoundLog>& found);

  io::Shard& shard_;
  LogDirsOptions options_;
  Logger logger_;
  std::string cluster_id_;
  std::vector<Directory> directories_;
  std::vector<LogManager*> managers_;
  std::vector<OffsetCheckpoint> cleaner_offsets_;  // by directory: what its cleaner-offset-checkpoint says
  // By directory: logs that are gone, and the checkpoint files that may name them yet.
  std::vector<std::map<protocol::TopicPartition, std::set<std::string_view>>> removed_;
  std::unique_ptr<CleanerManager> cleaner_;
  std::int64_t move_bytes_per_second_ = std::numeric_limits<std::int64_t>::max();
  Instant moves_paid_until_;  // when what was copied so far is paid for
  bool closing_ = false;
  io::AsyncMutex writing_;  // one checkpoint at a time
  io::Signal stopping_;
  io::Gate background_;
};

}  // namespace klamm::storage
