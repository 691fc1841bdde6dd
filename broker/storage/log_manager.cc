#include "broker/storage/log_manager.h"

#include <fmt/format.h>

#include <algorithm>

#include "protocol/error.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

constexpr std::size_t kClosedAtOnce = 8;  // logs that close side by side: their syncs overlap

}  // namespace

LogManager::LogManager(io::Shard& shard, LogDirs& dirs, LogManagerOptions options)
    : shard_(shard),
      dirs_(dirs),
      options_(std::move(options)),
      logger_(options_.logger),
      changing_(shard),
      stopping_(shard),
      background_(shard) {}

LogManager::~LogManager() = default;

// dirs_.directories() has its size and paths before any manager is made and they never change: reading them from this
// shard is safe.
LogOptions LogManager::options_for(const protocol::TopicPartition& partition, std::size_t directory,
                                   std::string path) const {
  LogOptions options;
  options.partition = partition;
  options.directory = std::move(path);
  options.producers = options_.producers;
  options.codecs = &codecs_;
  options.logger = logger_;
  options.on_storage_failure = [self = const_cast<LogManager*>(this), directory](const Error& error) {
    self->report_failure(directory, error);
  };
  return options;
}

void LogManager::report_failure(std::size_t directory, const Error& error) {
  background_.spawn([](LogManager* self, std::size_t index, Error why) -> io::Task<void> {
    LogDirs& dirs = self->dirs_;
    const auto tell = [&dirs, index, &why]() -> io::Task<void> {
      dirs.directory_failed(index, why);
      co_return;
    };
    co_await io::call(self->shard_, dirs.shard(), tell);
  }(this, directory, error));
}

// ---- Start

io::Task<Result<void>> LogManager::load(std::vector<FoundLog> found) {
  std::vector<FoundLog> queue;
  for (FoundLog& log : found) {
    if (log.kind == DirectoryKind::live) {
      queue.push_back(std::move(log));
    } else {
      logger_.warning("{} is kept and not served", log.path);
    }
  }
  // Taken from the back.
  std::reverse(queue.begin(), queue.end());
  const std::size_t count = queue.size();
  const std::size_t workers =
      static_cast<std::size_t>(std::max(options_.recovery_threads_per_directory, 1)) * dirs_.directories().size();
  const Instant begin = shard_.now();
  Result<void> result;
  io::Gate loading(shard_);
  for (std::size_t i = 0; i < std::min(workers, count); ++i) loading.spawn(load_some(queue, result));
  co_await loading.close();
  if (result && count > 0) {
    logger_.info("loaded {} logs in {} ms", count,
                 std::chrono::duration_cast<std::chrono::milliseconds>(shard_.now() - begin).count());
  }
  co_return result;
}

io::Task<void> LogManager::load_some(std::vector<FoundLog>& queue, Result<void>& result) {
  while (!queue.empty() && result) {
    FoundLog found = std::move(queue.back());
    queue.pop_back();
    Result<void> loaded = co_await load_one(std::move(found));
    if (!loaded && result) result = std::move(loaded);
  }
}

io::Task<Result<void>> LogManager::load_one(FoundLog found) {
  LogOptions options = options_for(found.partition, found.directory, found.path);
  if (options_.config_of) options.config = options_.config_of(found.partition.topic);
  options.clean_shutdown = found.clean_shutdown;
  options.recovery_point = found.recovery_point;
  options.log_start_offset = found.log_start_offset;
  options.high_watermark = found.high_watermark;
  options.first_dirty_offset = found.first_dirty_offset;
  Result<std::unique_ptr<Log>> log = co_await Log::open(shard_, std::move(options));
  if (!log) {
    const bool disk = log.error().code().category() == std::system_category();
    if (!disk) co_return fail(std::move(log).error());
    report_failure(found.directory, log.error());
    co_return Result<void>();
  }
  logs_[found.partition] = Entry{std::shared_ptr<Log>(*std::move(log)), found.directory};
  co_return Result<void>();
}

void LogManager::start() {
  background_.spawn(every(options_.retention_check_interval_ms, &LogManager::apply_retention));
  background_.spawn(every(options_.producer_expiration_check_interval_ms, &LogManager::housekeeping));
  if (options_.flush_check_interval_ms != config::LogConfig::kUnlimited) {
    background_.spawn(every(options_.flush_check_interval_ms, &LogManager::flush_due));
  }
}

// ---- Logs come and go

std::shared_ptr<Log> LogManager::find(const protocol::TopicPartition& partition) const {
  const auto at = logs_.find(partition);
  return at == logs_.end() ? nullptr : at->second.log;
}

io::Task<Result<std::size_t>> LogManager::place(std::optional<Uuid> directory_id) {
  const auto choose = [this, directory_id]() -> io::Task<Result<std::size_t>> {
    const std::vector<LogDirs::Directory>& directories = dirs_.directories();
    for (std::size_t i = 0; directory_id && i < directories.size(); ++i) {
      if (directories[i].id != *directory_id || !directories[i].online) continue;
      dirs_.log_added(i);
      co_return i;
    }
    co_return dirs_.choose_directory();
  };
  Result<std::size_t> chosen = co_await io::call(shard_, dirs_.shard(), choose);
  co_return chosen;
}

io::Task<Result<std::shared_ptr<Log>>> LogManager::create(protocol::TopicPartition partition, Uuid topic_id,
                                                          config::LogConfig config, std::optional<Uuid> directory_id) {
  co_await changing_.lock();
  Result<std::shared_ptr<Log>> log =
      co_await create_locked(std::move(partition), topic_id, std::move(config), directory_id);
  changing_.unlock();
  co_return log;
}

io::Task<Result<std::shared_ptr<Log>>> LogManager::create_locked(protocol::TopicPartition partition, Uuid topic_id,
                                                                 config::LogConfig config,
                                                                 std::optional<Uuid> directory_id) {
  if (closing_) co_return fail(Errc::shutting_down, "log manager");
  if (std::shared_ptr<Log> known = find(partition)) {
    if (!topic_id.is_zero() && !known->topic_id().is_zero() && known->topic_id() != topic_id) {
      co_return fail(
          protocol::kafka_error(ErrorCode::inconsistent_topic_id,
                                fmt::format("{} belongs to topic id {}", partition, known->topic_id().text())));
    }
    co_return known;
  }
  Result<std::size_t> directory = co_await place(directory_id);
  KLAMM_CO_TRY(directory);
  const std::string path = io::join_path(dirs_.directories()[*directory].path, directory_name(partition));
  LogOptions options = options_for(partition, *directory, path);
  options.topic_id = topic_id;
  options.config = std::move(config);
  const Result<io::FileInfo> before = co_await shard_.files().stat(path);
  Result<std::unique_ptr<Log>> log = co_await Log::open(shard_, std::move(options));
  if (!log) {
    co_await uncount(*directory);
    const bool made_here = !before && before.error() == Errc::not_found;
    if (made_here) {  // the next attempt may choose another directory
      Result<void> removed = co_await io::remove_tree(shard_.files(), path);
      if (!removed) logger_.warning("removing {}: {}", path, removed.error().message());
    }
    if (log.error().code().category() != std::system_category()) co_return fail(std::move(log).error());
    if (log.error().code() != std::error_code(ENOSPC, std::system_category())) report_failure(*directory, log.error());
    co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, log.error().message()));
  }
  std::shared_ptr<Log> made(*std::move(log));
  logs_[std::move(partition)] = Entry{made, *directory};
  co_return made;
}

io::Task<Result<void>> LogManager::remove(protocol::TopicPartition partition) {
  Result<void> retired = co_await retire(std::move(partition), DirectoryKind::deleted);
  co_return retired;
}

io::Task<Result<void>> LogManager::set_aside(protocol::TopicPartition partition) {
  Result<void> retired = co_await retire(std::move(partition), DirectoryKind::stray);
  co_return retired;
}

io::Task<Result<void>> LogManager::retire(protocol::TopicPartition partition, DirectoryKind kind) {
  co_await changing_.lock();
  const auto at = logs_.find(partition);
  if (at == logs_.end()) {
    changing_.unlock();
    co_return Result<void>();
  }
  const std::shared_ptr<Log> log = at->second.log;
  const std::size_t directory = at->second.directory;
  logs_.erase(at);
  Result<std::string> renamed = co_await log->retire(kind);
  co_await uncount(directory);
  changing_.unlock();
  KLAMM_CO_TRY(renamed);
  if (kind == DirectoryKind::deleted) {
    background_.spawn(remove_later(*std::move(renamed), log->config().file_delete_delay_ms));
  }
  co_return Result<void>();
}

io::Task<void> LogManager::uncount(std::size_t directory) {
  const auto count = [this, directory]() -> io::Task<void> {
    dirs_.log_removed(directory);
    co_return;
  };
  co_await io::call(shard_, dirs_.shard(), count);
}

io::Task<void> LogManager::remove_later(std::string path, std::int64_t delay_ms) {
  const Instant when = shard_.now() + milliseconds(delay_ms);
  while (!closing_ && shard_.now() < when) {
    co_await stopping_.wait_until(when);
  }
  if (closing_) co_return;  // the next start removes it
  Result<void> removed = co_await io::remove_tree(shard_.files(), path);
  if (!removed) logger_.warning("removing {}: {}", path, removed.error().message());
}

void LogManager::set_config(const std::string& topic, const config::LogConfig& config) {
  for (auto at = logs_.lower_bound({topic, protocol::PartitionIndex(0)}); at != logs_.end() && at->first.topic == topic;
       ++at) {
    at->second.log->set_config(config);
  }
}

std::vector<LogOffsets> LogManager::offsets() const {
  std::vector<LogOffsets> all = last_offsets_;
  for (const auto& [partition, entry] : logs_) {
    LogOffsets offsets;
    offsets.partition = partition;
    offsets.directory = entry.directory;
    offsets.recovery_point = entry.log->recovery_point();
    if (entry.log->log_start_offset() > entry.log->first_segment_offset()) {
      offsets.log_start_offset = entry.log->log_start_offset();
    }
    offsets.high_watermark = entry.log->high_watermark();
    all.push_back(std::move(offsets));
  }
  return all;
}

// ---- Regular work

std::vector<protocol::TopicPartition> LogManager::names() const {
  std::vector<protocol::TopicPartition> all;
  all.reserve(logs_.size());
  for (const auto& item : logs_) all.push_back(item.first);
  return all;
}

io::Task<void> LogManager::every(std::int64_t interval_ms, io::Task<void> (LogManager::*work)()) {
  const Duration interval = milliseconds(std::max<std::int64_t>(interval_ms, 1));
  Instant when = shard_.now() + milliseconds(options_.initial_task_delay_ms);
  while (!closing_) {
    while (!closing_ && shard_.now() < when) {
      co_await stopping_.wait_until(when);
    }
    if (closing_) break;
    co_await (this->*work)();
    when = shard_.now() + interval;
  }
}

// What fails in the regular work has been logged by the log, and tried again in the next round.
io::Task<void> LogManager::apply_retention() {
  const std::vector<protocol::TopicPartition> all = names();
  for (const protocol::TopicPartition& partition : all) {
    if (closing_) break;
    const std::shared_ptr<Log> log = find(partition);
    if (log == nullptr || log->failed()) continue;
    [[maybe_unused]] Result<int> ignored = co_await log->delete_old_segments();
    log->release_unused();
  }
}

io::Task<void> LogManager::flush_due() {
  const std::vector<protocol::TopicPartition> all = names();
  for (const protocol::TopicPartition& partition : all) {
    if (closing_) break;
    const std::shared_ptr<Log> log = find(partition);
    if (log == nullptr || log->failed() || !log->flush_due(shard_.now())) continue;
    [[maybe_unused]] Result<void> ignored = co_await log->flush();
  }
}

io::Task<void> LogManager::housekeeping() {
  const TimestampMs now_ms = shard_.wall_ms();
  for (const auto& item : logs_) item.second.log->expire_producers(now_ms);
  co_return;
}

// ---- The end

io::Task<void> LogManager::directory_failed(std::size_t directory) {
  co_await changing_.lock();
  std::vector<std::shared_ptr<Log>> lost;
  for (const protocol::TopicPartition& partition : names()) {
    const auto at = logs_.find(partition);
    if (at->second.directory != directory) continue;
    if (options_.on_log_lost) options_.on_log_lost(partition);
    lost.push_back(at->second.log);
    logs_.erase(at);
  }
  for (const std::shared_ptr<Log>& log : lost) co_await log->abandon();
  changing_.unlock();
}

io::Task<void> LogManager::close() {
  closing_ = true;
  stopping_.notify_all();
  co_await background_.close();
  co_await changing_.lock();
  std::vector<protocol::TopicPartition> queue = names();
  std::reverse(queue.begin(), queue.end());
  io::Gate closing(shard_);
  for (std::size_t i = 0; i < kClosedAtOnce; ++i) closing.spawn(close_some(queue));
  co_await closing.close();
  changing_.unlock();
}

io::Task<void> LogManager::close_some(std::vector<protocol::TopicPartition>& queue) {
  while (!queue.empty()) {
    const protocol::TopicPartition partition = std::move(queue.back());
    queue.pop_back();
    const auto at = logs_.find(partition);
    const std::shared_ptr<Log> log = at->second.log;
    LogOffsets offsets;
    offsets.partition = partition;
    offsets.directory = at->second.directory;
    const std::int64_t first_segment = log->first_segment_offset();
    logs_.erase(at);
    Result<void> closed = co_await log->close();
    if (!closed) {
      logger_.error("closing {}: {}", partition, closed.error().message());
      not_clean_.push_back(offsets.directory);
    }
    offsets.recovery_point = log->recovery_point();
    if (log->log_start_offset() > first_segment) offsets.log_start_offset = log->log_start_offset();
    offsets.high_watermark = log->high_watermark();
    last_offsets_.push_back(std::move(offsets));
  }
}

}  // namespace klamm::storage
