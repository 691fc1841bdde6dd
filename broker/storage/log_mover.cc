#include "broker/storage/log_mover.h"

#include <fmt/format.h>

#include <limits>

#include "broker/storage/log_manager.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

constexpr std::int64_t kChunkBytes = 512 << 10;
constexpr int kRoundsBeforeTheLast = 3;  // each is shorter than the one before
constexpr Duration kBreath = 50us;       // between chunks: the shard has other work
constexpr Duration kLongestWait = 1s;    // before the throttle is asked again
constexpr Duration kRestAfterFailure = 10s;
constexpr Duration kPauseWithoutData = 100ms;  // the process is short of descriptors

}  // namespace

LogMover::LogMover(LogManager& manager) : manager_(manager), shard_(manager.shard()), changed_(manager.shard()) {}

// ---- Moves come and go

io::Task<Result<void>> LogMover::reserve(protocol::TopicPartition partition, std::size_t directory, bool is_new) {
  LogDirs& dirs = manager_.dirs_;
  const auto ask = [&dirs, directory, is_new, &partition]() -> io::Task<Result<void>> {
    for (const LogDirs::Directory& each : dirs.directories()) {
      // The copy may lie in the one that is offline.
      if (!each.online)
        co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, each.path + " is offline"));
    }
    if (is_new) {
      Result<void> forgotten = co_await dirs.forget_removed(directory, partition);
      if (!forgotten)
        co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, forgotten.error().message()));
    }
    dirs.log_added(directory);
    co_return Result<void>();
  };
  Result<void> reserved = co_await io::call(shard_, dirs.shard(), ask);
  co_return reserved;
}

io::Task<Result<void>> LogMover::move(const protocol::TopicPartition& partition, std::shared_ptr<Log> log,
                                      std::size_t from, std::size_t directory) {
  const auto known = moves_.find(partition);
  if (known != moves_.end() && known->second->directory == directory) co_return Result<void>();
  if (known != moves_.end()) co_await cancel(partition);
  if (from == directory) co_return Result<void>();
  if (log->failed()) co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error));
  Result<void> reserved = co_await reserve(partition, directory, true);
  KLAMM_CO_TRY(reserved);
  const std::string name = directory_name(partition, DirectoryKind::future, Uuid::random(shard_.random()));
  const std::string path = io::join_path(manager_.dirs_.directories()[directory].path, name);
  LogOptions options = manager_.options_for(partition, directory, path);
  options.topic_id = log->topic_id();
  options.config = log->config();
  options.log_start_offset = options.high_watermark = log->log_start_offset();
  options.first_dirty_offset = log->first_dirty_offset();
  Result<std::unique_ptr<Log>> copy = co_await Log::open(shard_, std::move(options));
  if (!copy) {
    co_await manager_.uncount(directory, partition);
    Result<void> removed = co_await io::remove_tree(shard_.files(), path);
    if (!removed) manager_.logger_.warning("removing {}: {}", path, removed.error().message());
    const bool passing =
        copy.error() == std::error_code(ENOSPC, std::system_category()) || is_descriptor_shortage(copy.error());
    if (copy.error().code().category() == std::system_category() && !passing) {
      manager_.report_failure(directory, copy.error());
    }
    co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, copy.error().message()));
  }
  manager_.logger_.info("{}: moving to {}", partition, path);
  auto made = std::make_shared<Move>();
  made->partition = partition;
  made->log = std::move(log);
  made->copy = std::shared_ptr<Log>(*std::move(copy));
  made->directory = directory;
  begin(std::move(made));
  co_return Result<void>();
}

void LogMover::begin(MoveRef move) {
  moves_[move->partition] = move;
  manager_.background_.spawn(run(std::move(move)));
}

io::Task<void> LogMover::cancel(const protocol::TopicPartition& partition) {
  const auto known = moves_.find(partition);
  if (known == moves_.end()) co_return;
  const MoveRef move = known->second;
  manager_.logger_.info("{}: no longer moved to {}", partition, move->copy->directory());
  co_await give_up(move);
  Result<std::string> renamed = co_await move->copy->retire(DirectoryKind::deleted);
  co_await manager_.uncount(move->directory, move->partition);
  if (renamed) {
    const std::int64_t delay_ms = move->copy->config().file_delete_delay_ms;
    manager_.background_.spawn(manager_.remove_later(*std::move(renamed), delay_ms));
  }
}

io::Task<void> LogMover::give_up(MoveRef move) {
  moves_.erase(move->partition);
  move->ended = true;
  changed_.notify_all();
  move->log->resume_cleaning();
  co_return;
}

io::Task<void> LogMover::directory_failed(std::size_t directory) {
  std::vector<MoveRef> lost;
  for (const auto& [partition, move] : moves_) {
    const auto log = manager_.logs_.find(partition);
    const bool source_lost = log == manager_.logs_.end() || log->second.directory == directory;
    if (move->directory == directory || source_lost) lost.push_back(move);
  }
  for (const MoveRef& move : lost) {
    co_await give_up(move);
    co_await move->copy->abandon();
  }
}

void LogMover::stop() {
  stopped_ = true;
  changed_.notify_all();
}

io::Task<void> LogMover::close_copies(std::vector<LogOffsets>& closed, std::vector<std::size_t>& not_clean) {
  while (!moves_.empty()) {
    const MoveRef move = moves_.begin()->second;
    co_await give_up(move);
    const std::int64_t first_segment = move->copy->first_segment_offset();
    Result<void> done = co_await move->copy->close();
    if (!done) {
      manager_.logger_.error("closing {}: {}", move->copy->directory(), done.error().message());
      not_clean.push_back(move->directory);
    }
    closed.push_back(offsets_of(*move->copy, move->directory, first_segment));
  }
}

void LogMover::set_config(const std::string& topic, const config::LogConfig& config) {
  for (const auto& [partition, move] : moves_) {
    if (partition.topic == topic) move->copy->set_config(config);
  }
}

io::Task<void> LogMover::resume(std::vector<FoundLog> copies) {
  for (FoundLog& found : copies) {
    const auto log = manager_.logs_.find(found.partition);
    if (log == manager_.logs_.end() || moves_.contains(found.partition)) {
      manager_.logger_.warning("{} is kept and not served: {}", found.path,
                               log == manager_.logs_.end() ? "the log it was copied from is not there"
                                                           : "another copy is the one that is used");
      continue;
    }
    LogOptions options = manager_.options_for(found.partition, found.directory, found.path);
    options.config = log->second.log->config();
    options.topic_id = log->second.log->topic_id();
    options.clean_shutdown = found.clean_shutdown;
    options.recovery_point = found.recovery_point;
    options.log_start_offset = found.log_start_offset;
    options.high_watermark = found.high_watermark;
    options.first_dirty_offset = found.first_dirty_offset;
    Result<std::unique_ptr<Log>> copy = co_await Log::open(shard_, std::move(options));
    if (!copy) {
      manager_.logger_.error("{} is kept and not used: {}", found.path, copy.error().message());
      continue;
    }
    if (!found.clean_shutdown) {
      // What was not flushed may have holes, which nobody can see in a compacted log: it is copied again.
      const std::int64_t sure = std::max(found.recovery_point, (*copy)->log_start_offset());
      Result<bool> cut = co_await (*copy)->truncate_to(sure);
      if (!cut) {
        manager_.logger_.error("{} is kept and not used: {}", found.path, cut.error().message());
        co_await (*copy)->abandon();
        continue;
      }
    }
    manager_.logger_.info("{}: going on with the move to {}", found.partition, found.path);
    auto move = std::make_shared<Move>();
    move->partition = found.partition;
    move->log = log->second.log;
    move->copy = std::shared_ptr<Log>(*std::move(copy));
    move->directory = found.directory;
    Result<void> reserved = co_await reserve(found.partition, found.directory, false);
    if (!reserved) manager_.logger_.warning("{}: {}", found.path, reserved.error().message());
    begin(std::move(move));
  }
}

// ---- The work

io::Task<void> LogMover::run(MoveRef move) {
  // What is removed by compaction before it was copied could come back without what has deleted it.
  co_await move->log->pause_cleaning("the log is moved");
  while (!move->ended && !stopped_) {
    if (running_ >= std::max<std::size_t>(manager_.options_.moves_at_once, 1)) {
      co_await changed_.wait();
      continue;
    }
    ++running_;
    Result<void> carried = co_await carry(move);
    --running_;
    changed_.notify_all();
    if (carried || move->ended || stopped_) break;
    const Instant rest = shard_.now() + kRestAfterFailure;
    manager_.logger_.warning("{}: not moved to {}, to be tried again: {}", move->partition, move->copy->directory(),
                             carried.error().message());
    while (!move->ended && !stopped_ && shard_.now() < rest) co_await changed_.wait_until(rest);
  }
}

io::Task<Result<void>> LogMover::carry(MoveRef move) {
  Log& log = *move->log;
  Log& copy = *move->copy;
  const std::vector<Checkpoint> at_begin{&LogDirs::checkpoint_recovery_points};
  const std::vector<Checkpoint> at_end{&LogDirs::checkpoint_log_starts, &LogDirs::checkpoint_cleaner_offsets};
  Result<void> step = co_await reconcile(log, copy);
  KLAMM_CO_TRY(step);
  // What an earlier copy in this directory had on the disk says nothing of this one.
  step = co_await save_checkpoints(at_begin);
  KLAMM_CO_TRY(step);
  for (int round = 0; round < kRoundsBeforeTheLast; ++round) {
    step = co_await copy_to_end(*move, true);
    KLAMM_CO_TRY(step);
    // Nearly all of it is on the disk before appends have to wait.
    step = co_await copy.flush();
    KLAMM_CO_TRY(step);
  }
  // A crash right after the move must not bring back deleted records, nor have all compacted again.
  step = co_await save_checkpoints(at_end);
  KLAMM_CO_TRY(step);
  co_await manager_.changing_.lock();
  if (move->ended || stopped_) {
    step = fail(Errc::cancelled, "the move has ended");
  } else {
    step = co_await finish(move);
  }
  if (step) manager_.log_moved(move->partition);
  manager_.changing_.unlock();
  co_return step;
}

io::Task<Result<void>> LogMover::save_checkpoints(std::vector<Checkpoint> checkpoints) {
  LogDirs& dirs = manager_.dirs_;
  const auto save = [&dirs, &checkpoints]() -> io::Task<Result<void>> {
    for (const Checkpoint checkpoint : checkpoints) {
      Result<void> saved = co_await (dirs.*checkpoint)();
      KLAMM_CO_TRY(saved);
    }
    co_return Result<void>();
  };
  Result<void> saved = co_await io::call(shard_, dirs.shard(), save);
  co_return saved;
}

// The manager's lock is held.
io::Task<Result<void>> LogMover::finish(MoveRef move) {
  const auto entry = manager_.logs_.find(move->partition);
  if (entry == manager_.logs_.end()) co_return fail(Errc::cancelled, "the log is gone");
  const std::size_t from = entry->second.directory;
  const auto catch_up = [this, &move]() -> io::Task<Result<void>> {
    const std::int64_t start = move->copy->log_start_offset();
    Result<void> step = co_await copy_to_end(*move, false);
    KLAMM_CO_TRY(step);
    step = co_await move->copy->flush();
    KLAMM_CO_TRY(step);
    // The other directory's checkpoint may have it already.
    if (move->copy->log_start_offset() > start) {
      const std::vector<Checkpoint> log_starts{&LogDirs::checkpoint_log_starts};
      step = co_await save_checkpoints(log_starts);
    }
    co_return step;
  };
  const Instant begin = shard_.now();
  Result<std::string> old = co_await move->log->take_over(*move->copy, catch_up);
  KLAMM_CO_TRY(old);
  entry->second.directory = move->directory;
  co_await give_up(move);
  co_await move->copy->abandon();
  co_await manager_.uncount(from, move->partition);
  manager_.logger_.info("{}: moved to {}; appends waited {} ms", move->partition, move->log->directory(),
                        std::chrono::duration_cast<std::chrono::milliseconds>(shard_.now() - begin).count());
  if (!old->empty()) {
    const std::int64_t delay_ms = move->log->config().file_delete_delay_ms;
    manager_.background_.spawn(manager_.remove_later(*std::move(old), delay_ms));
  }
  co_return Result<void>();
}

// What the copy has beyond the log's history goes: a crash may have taken from the log what the copy had on the disk.
io::Task<Result<void>> LogMover::reconcile(Log& log, Log& copy) {
  for (;;) {
    const std::optional<std::int32_t> latest = copy.leader_epochs().latest();
    if (!latest) break;
    const EpochEnd known = log.end_offset_for_epoch(*latest);
    std::int64_t end = std::min(copy.log_end_offset(), known.epoch < 0 ? log.log_start_offset() : known.end_offset);
    if (known.epoch >= 0 && known.epoch < *latest) {
      const EpochEnd own = copy.end_offset_for_epoch(known.epoch);
      end = std::min(end, own.epoch < 0 ? copy.log_start_offset() : own.end_offset);
    }
    if (known.epoch == *latest && end == copy.log_end_offset()) break;
    const std::int64_t before = copy.log_end_offset();
    Result<bool> cut = co_await copy.truncate_to(end);
    KLAMM_CO_TRY(cut);
    if (known.epoch == *latest || (copy.log_end_offset() == before && copy.leader_epochs().latest() == latest)) break;
  }
  Result<void> placed;
  if (copy.log_end_offset() < log.log_start_offset() || copy.log_end_offset() > log.log_end_offset()) {
    placed = co_await copy.truncate_fully_and_start_at(log.log_start_offset());
  }
  co_return placed;
}

io::Task<Result<void>> LogMover::copy_to_end(Move& move, bool throttled) {
  while (move.copy->log_end_offset() != move.log->log_end_offset()) {
    if (throttled && (move.ended || stopped_)) co_return fail(Errc::cancelled, "the move has ended");
    Result<void> copied = co_await copy_some(move, throttled);
    KLAMM_CO_TRY(copied);
  }
  Result<void> followed = co_await follow(*move.log, *move.copy);
  co_return followed;
}

// High watermark and log start are the log's.
io::Task<Result<void>> LogMover::follow(Log& log, Log& copy) {
  copy.set_high_watermark(std::min(log.high_watermark(), copy.log_end_offset()));
  const std::int64_t start = std::min(log.log_start_offset(), copy.high_watermark());
  if (start <= copy.log_start_offset()) co_return Result<void>();
  Result<bool> moved = co_await copy.increment_log_start(start);
  KLAMM_CO_TRY(moved);
  co_return Result<void>();
}

io::Task<Result<void>> LogMover::copy_some(Move& move, bool throttled) {
  Log& log = *move.log;
  Log& copy = *move.copy;
  if (copy.log_end_offset() < log.log_start_offset()) {
    Result<void> emptied = co_await copy.truncate_fully_and_start_at(log.log_start_offset());
    co_return emptied;
  }
  ReadRequest request;
  request.offset = copy.log_end_offset();
  request.max_bytes = kChunkBytes;
  request.isolation = FetchIsolation::log_end;
  Result<FetchData> data = co_await log.read(request);
  KLAMM_CO_TRY(data);
  if (data->size_bytes == 0) {
    Result<bool> skipped = co_await skip_hole(log, copy);
    KLAMM_CO_TRY(skipped);
    if (!*skipped) co_await shard_.sleep(kPauseWithoutData);
    co_return Result<void>();
  }
  if (copy.size_bytes() == 0 && data->first_batch_offset < copy.log_end_offset()) {
    // The log starts inside a batch.
    Result<void> placed = co_await copy.truncate_fully_and_start_at(data->first_batch_offset);
    KLAMM_CO_TRY(placed);
  }
  const std::int64_t size = data->size_bytes;
  Result<Slice> bytes = co_await load(*std::move(data));
  KLAMM_CO_TRY(bytes);
  const std::int64_t before = copy.log_end_offset();
  Result<AppendInfo> appended =
      co_await copy.append_as_follower(*std::move(bytes), std::numeric_limits<std::int32_t>::max());
  KLAMM_CO_TRY(appended);
  if (copy.log_end_offset() == before) {
    co_return fail(Errc::corrupt, fmt::format("{}: no whole batch at offset {}", log.directory(), before));
  }
  if (!throttled) co_return Result<void>();
  Result<void> followed = co_await follow(log, copy);
  KLAMM_CO_TRY(followed);
  co_await throttle(move, size);
  co_return Result<void>();
}

// Compaction may have left no batch between the copy's end and the log's. True if so, and they end at the same offset.
io::Task<Result<bool>> LogMover::skip_hole(Log& log, Log& copy) {
  const std::int64_t end = log.log_end_offset();
  const std::vector<SegmentInfo> all = log.segments();
  if (all.empty() || all.back().size_bytes > 0) co_return false;
  const std::vector<std::shared_ptr<Segment>> between = log.segments_between(copy.log_end_offset(), end);
  for (const std::shared_ptr<Segment>& segment : between) {
    Result<std::optional<PlacedBatch>> found = co_await segment->find(copy.log_end_offset());
    if (!found && is_descriptor_shortage(found.error())) co_return false;
    KLAMM_CO_TRY(found);
    if (found->has_value()) co_return false;
  }
  if (log.log_end_offset() != end) co_return false;
  Result<void> skipped = co_await copy.skip_to(end);
  KLAMM_CO_TRY(skipped);
  co_return true;
}

io::Task<Result<Slice>> LogMover::load(FetchData data) {
  Buffer::Ref buffer = Buffer::allocate(static_cast<std::size_t>(data.size_bytes));
  std::size_t filled = 0;
  for (const io::Piece& piece : data.records) {
    const io::FileRegion& region = std::get<io::FileRegion>(piece);
    const MutableBytes into(buffer->data() + filled, static_cast<std::size_t>(region.size));
    Result<std::size_t> got = co_await shard_.files().read_region(region, into);
    KLAMM_CO_TRY(got);
    filled += *got;
    if (*got < into.size()) break;
  }
  co_return Slice(std::move(buffer), filled);
}

io::Task<void> LogMover::throttle(Move& move, std::int64_t bytes) {
  LogDirs& dirs = manager_.dirs_;
  const Instant least = shard_.now() + kBreath;
  for (;;) {
    const auto pay = [&dirs, bytes]() -> io::Task<Instant> { co_return dirs.pay_for_move(bytes); };
    const Instant paid = co_await io::call(shard_, dirs.shard(), pay);
    const Instant when = std::max(paid, least);
    if (move.ended || stopped_ || when <= shard_.now()) co_return;
    co_await changed_.wait_until(std::min(when, shard_.now() + kLongestWait));
    bytes = 0;  // from now on only: is it paid for? The rate may have changed.
  }
}

}  // namespace klamm::storage
