// The logs of one shard: opens them at start, makes and deletes them, and does their regular work (retention, flushing,
// producer expiry). One object a shard, every function on that shard.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "broker/config/log_config.h"
#include "broker/storage/log.h"
#include "broker/storage/log_dirs.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/compress/codec.h"

namespace klamm::storage {

struct LogManagerOptions {
  ProducerStateOptions producers;
  std::int64_t retention_check_interval_ms = 300'000;                    // log.retention.check.interval.ms
  std::int64_t flush_check_interval_ms = config::LogConfig::kUnlimited;  // log.flush.scheduler.interval.ms
  std::int64_t producer_expiration_check_interval_ms = 600'000;
  std::int64_t initial_task_delay_ms = 30'000;  // log.initial.task.delay.ms
  int recovery_threads_per_directory = 2;       // num.recovery.threads.per.data.dir
  // The configuration of a topic whose log is found at start.
  std::function<config::LogConfig(const std::string& topic)> config_of;
  Logger logger;
  // Called, on this shard, before a log is dropped because its directory failed: nobody may use it afterwards.
  std::function<void(const protocol::TopicPartition& partition)> on_log_lost;
};

class LogManager {
 public:
  LogManager(io::Shard& shard, LogDirs& dirs, LogManagerOptions options);
  ~LogManager();
  LogManager(const LogManager&) = delete;
  LogManager& operator=(const LogManager&) = delete;

  io::Shard& shard() noexcept { return shard_; }
  compress::Codecs& codecs() noexcept { return codecs_; }

  // Opens the logs found at start that belong to this shard, a few at a time. One that fails takes its directory
  // offline if the disk is at fault, else it is the error of the whole.
  io::Task<Result<void>> load(std::vector<FoundLog> found);
  // Begins the regular work.
  void start();

  // Null if there is none. After remove(), the loss of its directory or close() it only refuses.
  std::shared_ptr<Log> find(const protocol::TopicPartition& partition) const;
  // The log, made if it is not there, in the directory with the given id (or the one with the fewest logs).
  // INCONSISTENT_TOPIC_ID if its directory belongs to another topic of that name; KAFKA_STORAGE_ERROR.
  io::Task<Result<std::shared_ptr<Log>>> create(protocol::TopicPartition partition, Uuid topic_id,
                                                config::LogConfig config,
                                                std::optional<Uuid> directory_id = std::nullopt);
  // Closes the log and renames its directory for deletion, which comes after file.delete.delay.ms (at the latest at the
  // next start). Nothing if there is none.
  io::Task<Result<void>> remove(protocol::TopicPartition partition);
  // Closes the log and renames its directory to -stray: the replica is not this broker's any more.
  io::Task<Result<void>> set_aside(protocol::TopicPartition partition);
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

  // Drops the logs of a directory that has failed.
  io::Task<void> directory_failed(std::size_t directory);
  // Closes all logs as for a clean shutdown. Directories with a log that did not close well: not_clean().
  io::Task<void> close();
  const std::vector<std::size_t>& not_clean() const noexcept { return not_clean_; }

 private:
  LogOptions options_for(const protocol::TopicPartition& partition, std::size_t directory, std::string path) const;
  io::Task<void> load_some(std::vector<FoundLog>& queue, Result<void>& result);
  io::Task<Result<void>> load_one(FoundLog found);
  io::Task<Result<std::shared_ptr<Log>>> create_locked(protocol::TopicPartition partition, Uuid topic_id,
                                                       config::LogConfig config, std::optional<Uuid> directory_id);
  io::Task<Result<std::size_t>> place(std::optional<Uuid> directory_id);
  io::Task<Result<void>> retire(protocol::TopicPartition partition, DirectoryKind kind);
  io::Task<void> uncount(std::size_t directory);
  io::Task<void> remove_later(std::string path, std::int64_t delay_ms);
  io::Task<void> every(std::int64_t interval_ms, io::Task<void> (LogManager::*work)());
  io::Task<void> housekeeping();
  void report_failure(std::size_t directory, const Error& error);
  std::vector<protocol::TopicPartition> names() const;
  io::Task<void> close_some(std::vector<protocol::TopicPartition>& queue);

  io::Shard& shard_;
  LogDirs& dirs_;
  LogManagerOptions options_;
  Logger logger_;
  mutable compress::Codecs codecs_;
  std::map<protocol::TopicPartition, Entry> logs_;
  std::vector<LogOffsets> last_offsets_;  // of logs that were closed
  std::vector<std::size_t> not_clean_;
  bool closing_ = false;
  io::AsyncMutex
      changing_;  // one log is made, deleted or dropped at a time; regular work holds it while it is on a log
  io::Signal stopping_;
  io::Gate background_;
};

}  // namespace klamm::storage
