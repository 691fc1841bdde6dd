// Which log of the node is compacted when. One object a node, made and owned by LogDirs, on its shard. It keeps up to
// log.cleaner.threads cleanings going: each time it asks every shard's LogManager for its dirtiest log and has the
// dirtiest of all cleaned there; when there is none it pauses for log.cleaner.backoff.ms. Nothing of a log is ever used
// from here: what crosses shards are numbers and names.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/log.h"
#include "broker/config/cleaner_config.h"
#include "broker/storage/cleaner.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/ids.h"

namespace klamm::storage {

class LogDirs;
class LogManager;

// A shard's dirtiest log.
struct DirtyLog {
  protocol::TopicPartition partition;
  double ratio = 0;
};

class CleanerManager {
 public:
  CleanerManager(io::Shard& shard, LogDirs& dirs, Logger logger);
  ~CleanerManager();
  CleanerManager(const CleanerManager&) = delete;
  CleanerManager& operator=(const CleanerManager&) = delete;

  // The managers must outlive close(). Nothing begins before configure().
  void start(std::vector<LogManager*> managers);
  // Takes effect at once for the pauses, the throttle and the number of cleanings; for the memory at the next cleaning.
  void configure(const config::CleanerConfig& config);
  const std::optional<config::CleanerConfig>& config() const noexcept { return config_; }
  // Waits for cleanings under way, which their logs end when they are closed.
  io::Task<void> close();

  // Has one log cleaned; false if there was none that needs it, or if it failed.
  io::Task<bool> clean_dirtiest();

 private:
  void start_workers();
  io::Task<void> work(std::int32_t number);
  // The dirtiest log of all shards, claimed for this cleaning.
  io::Task<std::optional<protocol::TopicPartition>> choose(LogManager*& owner);
  io::Task<void> delete_old_segments();
  CleaningOptions options_for(LogManager& owner);
  io::Task<Instant> throttle(io::Shard& from, std::int64_t bytes);
  bool working(std::int32_t number) const;

  io::Shard& shard_;
  LogDirs& dirs_;
  Logger logger_;
  std::vector<LogManager*> managers_;
  std::optional<config::CleanerConfig> config_;
  std::vector<bool> workers_;  // by number: whether it is there
  Instant paid_until_;         // of the throttle: when what was read and written so far is paid for
  bool closing_ = false;
  io::AsyncMutex choosing_;
  io::Signal changed_;  // config or closing
  io::Gate background_;
};

}  // namespace klamm::storage
