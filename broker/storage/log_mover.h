// Moves logs of one shard to other data directories (AlterReplicaLogDirs): a copy named -future grows beside the log
// until it has caught up, then the log goes on with the copy's files (Log::take_over). Appends and reads go on
// meanwhile. A move that a stop or a crash has cut short goes on at the next start.
//
// Part of the LogManager, which it works for and which calls it while it holds its lock for logs that come and go.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "broker/storage/log.h"
#include "broker/storage/log_dirs.h"
#include "io/shard.h"
#include "io/sync.h"
#include "protocol/ids.h"

namespace klamm::storage {

class LogManager;

class LogMover {
 public:
  struct Move {
    protocol::TopicPartition partition;
    std::shared_ptr<Log> log;
    std::shared_ptr<Log> copy;
    std::size_t directory = 0;  // of the copy
    bool ended = false;         // done, or given up: nobody works on it any more
  };
  using MoveRef = std::shared_ptr<Move>;

  explicit LogMover(LogManager& manager);

  // ---- Under the manager's lock.
  // Begins to move a log; nothing if it is being moved there already. A move to another place ends first, and is all
  // that ends if the log lies in `directory`. KAFKA_STORAGE_ERROR while a directory is offline.
  io::Task<Result<void>> move(const protocol::TopicPartition& partition, std::shared_ptr<Log> log, std::size_t from,
                              std::size_t directory);
  // Ends the log's move, if there is one, and deletes the copy.
  io::Task<void> cancel(const protocol::TopicPartition& partition);
  // Gives up the moves from and to a directory that has failed; what lies there stays.
  io::Task<void> directory_failed(std::size_t directory);
  // Closes the copies after stop(). The checkpoints are to have `closed`.
  io::Task<void> close_copies(std::vector<LogOffsets>& closed, std::vector<std::size_t>& not_clean);

  // ---- At start: goes on with copies whose logs are loaded. Others are kept and not served.
  io::Task<void> resume(std::vector<FoundLog> copies);

  // Nobody works on a copy any more, or is about to end.
  void stop();
  void set_config(const std::string& topic, const config::LogConfig& config);
  bool is_moving(const protocol::TopicPartition& partition) const { return moves_.contains(partition); }
  const std::map<protocol::TopicPartition, MoveRef>& moves() const noexcept { return moves_; }

 private:
  void begin(MoveRef move);
  io::Task<Result<void>> reserve(protocol::TopicPartition partition, std::size_t directory, bool is_new);
  io::Task<void> run(MoveRef move);
  io::Task<Result<void>> carry(MoveRef move);
  io::Task<Result<void>> reconcile(Log& log, Log& copy);
  io::Task<Result<void>> copy_to_end(Move& move, bool throttled);
  io::Task<Result<void>> copy_some(Move& move, bool throttled);
  io::Task<Result<void>> follow(Log& log, Log& copy);
  io::Task<Result<bool>> skip_hole(Log& log, Log& copy);
  io::Task<Result<Slice>> load(FetchData data);
  io::Task<void> throttle(Move& move, std::int64_t bytes);
  using Checkpoint = io::Task<Result<void>> (LogDirs::*)();
  io::Task<Result<void>> save_checkpoints(std::vector<Checkpoint> checkpoints);
  io::Task<Result<void>> finish(MoveRef move);
  io::Task<void> give_up(MoveRef move);

  LogManager& manager_;
  io::Shard& shard_;
  std::map<protocol::TopicPartition, MoveRef> moves_;
  std::size_t running_ = 0;
  bool stopped_ = false;
  io::Signal changed_;  // moves end, a place gets free
};

}  // namespace klamm::storage
