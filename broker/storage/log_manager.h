// The logs of one shard: opens them at start, makes and deletes them, and does their regular work (retention, flushing,
// producer expiry). One object a shard, every function on that shard.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/log_config.h"
#include "broker/storage/cleaner_manager.h"
#include "broker/storage/log.h"
#include "broker/storage/log_dirs.h"
#include "broker/storage/log_mover.h"
#include "broker/storage/open_files.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/compress/codec.h"

namespace klamm::storage {

struct LogManagerOptions {
  ProducerStateOptions producers;
  std::int64_t retention_check_interval_ms = 300'000;                    // log.retention.check.interval.ms
  std::int64_t flush_check_interval_ms = config::LogConfig::kUnlimited;  // log.flush.scheduler.interval.ms
  std::int64_t producer_expiration_check_interval_ms = 600'000;
  std::int64_t initial_task_delay_ms = 30'000;          // log.initial.task.delay.ms
  int recovery_threads_per_directory = 2;               // num.recovery.threads.per.data.dir
  std::size_t most_open_files = OpenFiles::kUnlimited;  // of segments, on this shard
  // The configuration of a topic whose log is found at start.
  std::function<config::LogConfig(const std::string& topic)> config_of;
  Logger logger;
  // Called, on this shard, before a log is dropped because its directory failed: nobody may use it afterwards.
  std::function<void(const protocol::TopicPartition& partition)> on_log_lost;
  std::size_t moves_at_once = 1;  // logs that are moved to other directories side by side; others wait
  // The directory where a replica lies by the metadata, if that is known.
  std::function<std::optional<Uuid>(const protocol::TopicPartition& partition)> assigned_directory;
  // Called, on this shard, when a log has moved to another directory.
  std::function<void(const protocol::TopicPartition& partition)> on_log_moved;
};

// What the checkpoints are to have of a log, of which the first segment starts (or, once it is closed, started) there.
LogOffsets offsets_of(const Log& log, std::size_t directory, std::int64_t first_segment);

class LogManager {
 public:
  LogManager(io::Shard& shard, LogDirs& dirs, LogManagerOptions options);
  ~LogManager();
  LogManager(const LogManager&) = delete;
  LogManager& operator=(const LogManager&) = delete;

  io::Shard& shard() noexcept { return shard_; }
  compress::Codecs& codecs() noexcept { return codecs_; }
  const OpenFiles& open_files() const noexcept { return *open_files_; }

  // Opens the logs found at start that belong to this shard: those of each directory beside those of the others, and
  // `recovery_threads_per_directory` at a time. Tells in the log every few seconds how far it is. A log that fails
  // takes its directory offline if the disk is at fault, else it is the error of the whole.
  io::Task<Result<void>> load(std::vector<FoundLog> found);
  // Begins the regular work.
  void start();

  // Null if there is none. After remove(), the loss of its directory or close() it only refuses.
  std::shared_ptr<Log> find(const protocol::TopicPartition& partition) const;
  // The log, made if it is not there, in the directory with the given id (or the one with the fewest logs).
  // A log for which the disk was too full at the start is opened now. `may_exist`: the partition is older than this
  // run, so that while a directory is offline its log may lie there, and none is made elsewhere; the same goes for a
  // directory id that is not online. INCONSISTENT_TOPIC_ID if its directory belongs to another topic of that name;
  // KAFKA_STORAGE_ERROR.
  io::Task<Result<std::shared_ptr<Log>>> create(protocol::TopicPartition partition, Uuid topic_id,
                                                config::LogConfig config,
                                                std::optional<Uuid> directory_id = std::nullopt,
                                                bool may_exist = false);
  // Closes the log and renames its directory for deletion, which comes after file.delete.delay.ms (at the latest at the
  // next start). Nothing if there is none.
  io::Task<Result<void>> remove(protocol::TopicPartition partition);
  // Closes the log and renames its directory to -stray: the replica is not this broker's any more.
  io::Task<Result<void>> set_aside(protocol::TopicPartition partition);
  // Begins to move a log to another directory (AlterReplicaLogDirs), or ends a move where it is to lie where it is. A
  // log that is not there is made in that directory when it comes; the answer is REPLICA_NOT_AVAILABLE then.
  // KAFKA_STORAGE_ERROR if that cannot be done; INVALID_TOPIC_EXCEPTION if the name is too long for a copy's.
  io::Task<Result<void>> move(protocol::TopicPartition partition, std::size_t directory);
  // The directory.id of the data directory where a log is; empty if there is no such log.
  std::optional<Uuid> directory_of(const protocol::TopicPartition& partition) const;
  // The moves that are under way.
  const LogMover& mover() const noexcept { return mover_; }
  // How many bytes a second all moves of the node may copy together; every shard may tell it.
  void configure_moves(std::int64_t max_bytes_per_second);
  // How the node's logs are compacted; every shard may tell it. Compaction begins with the first.
  void configure_cleaner(const config::CleanerConfig& config);
  // New settings of a topic, for its logs on this shard.
  void set_config(const std::string& topic, const config::LogConfig& config);

  // Every log, in order of names.
  struct Entry {
    std::shared_ptr<Log> log;
    std::size_t directory = 0;
  };
  const std::map<protocol::TopicPartition, Entry>& logs() const noexcept { return logs_; }
  // For the checkpoint files; after close() the offsets at that time.
  std::vector<LogOffsets> offsets() const;

  // One round of the regular work, also for tests.
  io::Task<void> apply_retention();
  io::Task<void> flush_due();

  // ---- For the CleanerManager.
  // The compacted log that needs it most: by its share of dirty bytes, or because max.compaction.lag.ms has passed.
  io::Task<std::optional<DirtyLog>> dirtiest();
  // From now on dirtiest() passes over it. False if there is no such log, or it is claimed already.
  bool claim_cleaning(const protocol::TopicPartition& partition);
  // Cleans a log that was claimed. True if that went well. A log with damaged bytes is not tried again.
  io::Task<bool> clean(protocol::TopicPartition partition, CleaningOptions options);
  bool is_uncleanable(const protocol::TopicPartition& partition) const { return uncleanable_.contains(partition); }
  io::Task<void> apply_compacted_retention();

  // Drops the logs of a directory that has failed.
  io::Task<void> directory_failed(std::size_t directory);
  // Closes all logs as for a clean shutdown. Directories with a log that did not close well: not_clean().
  io::Task<void> close();
  const std::vector<std::size_t>& not_clean() const noexcept { return not_clean_; }

 private:
  friend class LogMover;
  LogOptions options_for(const protocol::TopicPartition& partition, std::size_t directory, std::string path) const;
  struct Loading;
  io::Task<void> load_some(Loading& loading, std::vector<FoundLog>& queue);
  io::Task<void> report_progress(Loading& loading);
  LogOptions options_for(const FoundLog& found) const;
  io::Task<Result<void>> load_one(Loading& loading, FoundLog found);
  io::Task<Result<bool>> promote(FoundLog& found, const std::set<protocol::TopicPartition>& live);
  io::Task<Result<std::shared_ptr<Log>>> create_locked(protocol::TopicPartition partition, Uuid topic_id,
                                                       config::LogConfig config, std::optional<Uuid> directory_id,
                                                       bool may_exist);
  io::Task<Result<std::shared_ptr<Log>>> open_waiting(FoundLog found, Uuid topic_id, config::LogConfig config);
  io::Task<Result<void>> retire_waiting(FoundLog found, DirectoryKind kind);
  io::Task<Result<void>> lower_recovery_point(protocol::TopicPartition partition, std::size_t directory,
                                              std::int64_t offset);
  io::Task<Result<std::size_t>> place(protocol::TopicPartition partition, std::optional<Uuid> directory_id,
                                      bool may_exist);
  io::Task<Result<void>> retire(protocol::TopicPartition partition, DirectoryKind kind);
  io::Task<Result<void>> move_locked(protocol::TopicPartition partition, std::size_t directory);
  void log_moved(const protocol::TopicPartition& partition);
  io::Task<void> uncount(std::size_t directory, protocol::TopicPartition partition);
  io::Task<void> remove_later(std::string path, std::int64_t delay_ms);
  io::Task<void> every(std::int64_t interval_ms, io::Task<void> (LogManager::*work)());
  io::Task<void> housekeeping();
  void report_failure(std::size_t directory, const Error& error);
  std::vector<protocol::TopicPartition> names() const;
  void save_cleaner_offsets();
  io::Task<void> close_some(std::vector<protocol::TopicPartition>& queue);

  io::Shard& shard_;
  LogDirs& dirs_;
  LogManagerOptions options_;
  Logger logger_;
  mutable compress::Codecs codecs_;
  std::shared_ptr<OpenFiles> open_files_;
  std::shared_ptr<ErrorLines> error_lines_;
  std::map<protocol::TopicPartition, Entry> logs_;
  std::map<protocol::TopicPartition, FoundLog> waiting_;  // found at the start, but the disk was too full to open them
  std::vector<LogOffsets> last_offsets_;                  // of logs that were closed
  std::vector<std::size_t> not_clean_;
  std::set<protocol::TopicPartition> claimed_;                 // about to be cleaned, or being so
  std::map<protocol::TopicPartition, Instant> resting_;        // a cleaning failed: not tried again before
  std::set<protocol::TopicPartition> uncleanable_;             // a cleaning found damaged bytes
  std::map<protocol::TopicPartition, std::size_t> preferred_;  // where logs are wanted that are not there yet
  bool closing_ = false;
  io::AsyncMutex
      changing_;  // one log is made, deleted or dropped at a time; regular work holds it while it is on a log
  io::Signal stopping_;
  io::Gate background_;
  LogMover mover_;
};

}  // namespace klamm::storage
