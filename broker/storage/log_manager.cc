#include "broker/storage/log_manager.h"

#include <fmt/format.h>

#include <algorithm>

#include "broker/storage/disk_errors.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

constexpr std::size_t kClosedAtOnce = 32;  // logs that close side by side: their syncs overlap
constexpr Duration kRestAfterFailure = 60s;
constexpr Duration kProgressInterval = 5s;

std::int64_t elapsed_ms(Instant since, Instant now) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(now - since).count();
}

}  // namespace

LogOffsets offsets_of(const Log& log, std::size_t directory, std::int64_t first_segment) {
  LogOffsets offsets;
  offsets.partition = log.partition();
  offsets.directory = directory;
  offsets.recovery_point = log.recovery_point_to_save();
  const std::int64_t start = log.log_start_offset();
  if (start > first_segment || (start > 0 && !log.names_are_durable())) offsets.log_start_offset = start;
  offsets.high_watermark = log.high_watermark();
  offsets.first_dirty_offset = log.first_dirty_offset();
  return offsets;
}

LogManager::LogManager(io::Shard& shard, LogDirs& dirs, LogManagerOptions options)
    : shard_(shard),
      dirs_(dirs),
      options_(std::move(options)),
      logger_(options_.logger),
      open_files_(std::make_shared<OpenFiles>(options_.most_open_files)),
      error_lines_(std::make_shared<ErrorLines>()),
      changing_(shard),
      stopping_(shard),
      background_(shard),
      mover_(*this) {}

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
  options.open_files = open_files_;
  options.error_lines = error_lines_;
  options.logger = logger_;
  options.on_storage_failure = [self = const_cast<LogManager*>(this), directory](const Error& error) {
    self->report_failure(directory, error);
  };
  options.before_cut = [self = const_cast<LogManager*>(this), partition, directory](std::int64_t offset) {
    return self->lower_recovery_point(partition, directory, offset);
  };
  options.on_first_dirty_lowered = [self = const_cast<LogManager*>(this)] { self->save_cleaner_offsets(); };
  return options;
}

LogOptions LogManager::options_for(const FoundLog& found) const {
  LogOptions options = options_for(found.partition, found.directory, found.path);
  options.name_is_durable = true;  // list_logs() has seen to it
  options.clean_shutdown = found.clean_shutdown;
  options.recovery_point = found.recovery_point;
  options.log_start_offset = found.log_start_offset;
  options.high_watermark = found.high_watermark;
  options.first_dirty_offset = found.first_dirty_offset;
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

io::Task<Result<void>> LogManager::lower_recovery_point(protocol::TopicPartition partition, std::size_t directory,
                                                        std::int64_t offset) {
  LogDirs& dirs = dirs_;
  OffsetCheckpoint most;
  most.emplace(std::move(partition), offset);
  const auto lower = [&dirs, &most, directory] { return dirs.lower_recovery_points(directory, most); };
  Result<void> lowered = co_await io::call(shard_, dirs_.shard(), lower);
  co_return lowered;
}

// ---- Start

struct LogManager::Loading {
  explicit Loading(io::Shard& shard) : begin(shard.now()), ended(shard) {}
  std::vector<std::vector<FoundLog>> queues;  // by directory; taken from the back
  std::size_t count = 0;
  std::size_t loaded = 0;
  std::set<protocol::TopicPartition> under_way;
  std::map<std::size_t, OffsetCheckpoint> lowered;  // by directory: ends of logs that end before their recovery points
  Result<void> result;
  Instant begin;
  bool done = false;
  io::Signal ended;
};

io::Task<Result<void>> LogManager::load(std::vector<FoundLog> found) {
  Loading loading(shard_);
  loading.queues.resize(dirs_.directories().size());
  std::vector<FoundLog> copies;
  std::set<protocol::TopicPartition> live;
  std::reverse(found.begin(), found.end());
  for (FoundLog& log : found) {
    if (log.kind == DirectoryKind::live) {
      live.insert(log.partition);
      ++loading.count;
      loading.queues[log.directory].push_back(std::move(log));
    } else if (log.kind == DirectoryKind::future) {
      copies.push_back(std::move(log));
    } else {
      logger_.warning("{} is kept and not served", log.path);
    }
  }
  for (FoundLog& copy : copies) {
    Result<bool> promoted = co_await promote(copy, live);
    KLAMM_CO_TRY(promoted);
    if (!*promoted) continue;
    live.insert(copy.partition);
    ++loading.count;
    loading.queues[copy.directory].push_back(copy);
  }
  std::erase_if(copies, [](const FoundLog& copy) { return copy.kind == DirectoryKind::live; });
  const auto side_by_side = static_cast<std::size_t>(std::max(options_.recovery_threads_per_directory, 1));
  io::Gate workers(shard_);
  io::Gate reporter(shard_);
  reporter.spawn(report_progress(loading));
  for (std::vector<FoundLog>& queue : loading.queues) {
    const std::size_t count = std::min(side_by_side, queue.size());
    for (std::size_t i = 0; i < count; ++i) workers.spawn(load_some(loading, queue));
  }
  co_await workers.close();
  loading.done = true;
  loading.ended.notify_all();
  co_await reporter.close();
  for (const auto& [directory, most] : loading.lowered) {
    if (!loading.result) break;
    LogDirs& dirs = dirs_;
    const auto lower = [&dirs, &most = most, index = directory] { return dirs.lower_recovery_points(index, most); };
    loading.result = co_await io::call(shard_, dirs.shard(), lower);
  }
  if (loading.result) co_await mover_.resume(std::move(copies));
  if (loading.result && loading.count > 0) {
    logger_.info("loaded {} logs in {} ms", loading.count, elapsed_ms(loading.begin, shard_.now()));
  }
  co_return loading.result;
}

io::Task<void> LogManager::load_some(Loading& loading, std::vector<FoundLog>& queue) {
  while (!queue.empty() && loading.result) {
    FoundLog found = std::move(queue.back());
    queue.pop_back();
    const auto started = loading.under_way.insert(found.partition).first;
    Result<void> loaded = co_await load_one(loading, std::move(found));
    loading.under_way.erase(started);
    ++loading.loaded;
    if (!loaded && loading.result) loading.result = std::move(loaded);
  }
}

io::Task<void> LogManager::report_progress(Loading& loading) {
  Instant next = loading.begin + kProgressInterval;
  while (!loading.done) {
    co_await loading.ended.wait_until(next);
    if (loading.done || shard_.now() < next) continue;
    next = shard_.now() + kProgressInterval;
    logger_.info("loading logs: {} of {} after {} ms, at {} now", loading.loaded, loading.count,
                 elapsed_ms(loading.begin, shard_.now()), fmt::join(loading.under_way, ", "));
  }
}

io::Task<Result<void>> LogManager::load_one(Loading& loading, FoundLog found) {
  LogOptions options = options_for(found);
  if (options_.config_of) options.config = options_.config_of(found.partition.topic);
  Result<std::unique_ptr<Log>> log = co_await Log::open(shard_, std::move(options));
  if (!log) {
    if (is_shortage(log.error()) && !is_descriptor_shortage(log.error())) {
      // A full disk is no reason to be without the other logs: create() tries again.
      logger_.error("{}: not opened yet: {}", found.path, log.error().message());
      waiting_.insert_or_assign(found.partition, std::move(found));
      co_return Result<void>();
    }
    if (!is_disk_failure(log.error())) co_return fail(std::move(log).error());
    report_failure(found.directory, log.error());
    co_return Result<void>();
  }
  const std::int64_t end = (*log)->log_end_offset();
  if (end < found.recovery_point) loading.lowered[found.directory].emplace(found.partition, end);
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

io::Task<Result<std::size_t>> LogManager::place(protocol::TopicPartition partition, std::optional<Uuid> directory_id,
                                                bool may_exist) {
  const auto choose = [this, &partition, directory_id, may_exist]() -> io::Task<Result<std::size_t>> {
    const std::vector<LogDirs::Directory>& directories = dirs_.directories();
    bool all_online = true;
    std::optional<std::size_t> wanted;
    for (std::size_t i = 0; i < directories.size() && !wanted; ++i) {
      all_online = all_online && directories[i].online;
      if (directory_id && directories[i].id == *directory_id && directories[i].online) wanted = i;
    }
    if (!wanted && !all_online && (directory_id || may_exist)) {
      co_return fail(
          protocol::kafka_error(ErrorCode::kafka_storage_error, "its log may lie in a directory that is offline"));
    }
    if (wanted) dirs_.log_added(*wanted);
    Result<std::size_t> chosen = wanted ? Result<std::size_t>(*wanted) : dirs_.choose_directory();
    KLAMM_CO_TRY(chosen);
    Result<void> forgotten = co_await dirs_.forget_removed(*chosen, partition);
    if (!forgotten) {
      dirs_.log_removed(*chosen, partition);
      co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, forgotten.error().message()));
    }
    co_return chosen;
  };
  Result<std::size_t> chosen = co_await io::call(shard_, dirs_.shard(), choose);
  co_return chosen;
}

io::Task<Result<std::shared_ptr<Log>>> LogManager::create(protocol::TopicPartition partition, Uuid topic_id,
                                                          config::LogConfig config, std::optional<Uuid> directory_id,
                                                          bool may_exist) {
  co_await changing_.lock();
  Result<std::shared_ptr<Log>> log =
      co_await create_locked(std::move(partition), topic_id, std::move(config), directory_id, may_exist);
  changing_.unlock();
  co_return log;
}

io::Task<Result<std::shared_ptr<Log>>> LogManager::create_locked(protocol::TopicPartition partition, Uuid topic_id,
                                                                 config::LogConfig config,
                                                                 std::optional<Uuid> directory_id, bool may_exist) {
  if (closing_) co_return fail(Errc::shutting_down, "log manager");
  if (std::shared_ptr<Log> known = find(partition)) {
    if (!topic_id.is_zero() && !known->topic_id().is_zero() && known->topic_id() != topic_id) {
      co_return fail(
          protocol::kafka_error(ErrorCode::inconsistent_topic_id,
                                fmt::format("{} belongs to topic id {}", partition, known->topic_id().text())));
    }
    co_return known;
  }
  if (const auto waiting = waiting_.find(partition); waiting != waiting_.end()) {
    Result<std::shared_ptr<Log>> opened = co_await open_waiting(waiting->second, topic_id, std::move(config));
    co_return opened;
  }
  const auto preferred = preferred_.find(partition);
  if (preferred != preferred_.end()) directory_id = dirs_.directories()[preferred->second].id;
  Result<std::size_t> directory = co_await place(partition, directory_id, may_exist);
  KLAMM_CO_TRY(directory);
  const std::string path = io::join_path(dirs_.directories()[*directory].path, directory_name(partition));
  LogOptions options = options_for(partition, *directory, path);
  options.topic_id = topic_id;
  options.config = std::move(config);
  const Result<io::FileInfo> before = co_await shard_.files().stat(path);
  const bool made_here = !before && before.error() == Errc::not_found;
  if (made_here) {
    // A data directory that has vanished must not come back with nothing in it.
    const Result<io::FileInfo> parent = co_await shard_.files().stat(dirs_.directories()[*directory].path);
    if (!parent) {
      co_await uncount(*directory, partition);
      report_failure(*directory, parent.error());
      co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, parent.error().message()));
    }
  }
  Result<std::unique_ptr<Log>> log = co_await Log::open(shard_, std::move(options));
  if (!log) {
    co_await uncount(*directory, partition);
    if (made_here) {  // the next attempt may choose another directory
      Result<void> removed = co_await io::remove_tree(shard_.files(), path);
      if (!removed) logger_.warning("removing {}: {}", path, removed.error().message());
    }
    if (!is_disk_failure(log.error()) && !is_shortage(log.error())) co_return fail(std::move(log).error());
    if (is_disk_failure(log.error())) report_failure(*directory, log.error());
    co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, log.error().message()));
  }
  std::shared_ptr<Log> made(*std::move(log));
  preferred_.erase(partition);
  logs_[std::move(partition)] = Entry{made, *directory};
  co_return made;
}

// A log that was found at the start, when the disk was too full to open it.
io::Task<Result<std::shared_ptr<Log>>> LogManager::open_waiting(FoundLog found, Uuid topic_id,
                                                                config::LogConfig config) {
  LogOptions options = options_for(found);
  options.topic_id = topic_id;
  options.config = std::move(config);
  Result<std::unique_ptr<Log>> log = co_await Log::open(shard_, std::move(options));
  if (!log) {
    if (!is_disk_failure(log.error()) && !is_shortage(log.error())) co_return fail(std::move(log).error());
    if (is_disk_failure(log.error())) report_failure(found.directory, log.error());
    co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, log.error().message()));
  }
  if ((*log)->log_end_offset() < found.recovery_point) {
    Result<void> lowered = co_await lower_recovery_point(found.partition, found.directory, (*log)->log_end_offset());
    if (!lowered) {
      co_await (*log)->abandon();
      co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, lowered.error().message()));
    }
  }
  std::shared_ptr<Log> opened(*std::move(log));
  waiting_.erase(found.partition);
  logger_.info("{}: opened", found.path);
  logs_[found.partition] = Entry{opened, found.directory};
  co_return opened;
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
    Result<void> retired;
    if (const auto waiting = waiting_.find(partition); waiting != waiting_.end()) {
      const FoundLog found = std::move(waiting->second);
      waiting_.erase(waiting);
      retired = co_await retire_waiting(found, kind);
    }
    changing_.unlock();
    co_return retired;
  }
  const std::shared_ptr<Log> log = at->second.log;
  const std::size_t directory = at->second.directory;
  co_await mover_.cancel(partition);
  logs_.erase(at);
  Result<std::string> renamed = co_await log->retire(kind);
  co_await uncount(directory, partition);
  changing_.unlock();
  uncleanable_.erase(partition);
  // A topic of the same name may come: what is known of this one must not be taken for its.
  if (log->first_dirty_offset()) save_cleaner_offsets();
  KLAMM_CO_TRY(renamed);
  if (kind == DirectoryKind::deleted) {
    background_.spawn(remove_later(*std::move(renamed), log->config().file_delete_delay_ms));
  }
  co_return Result<void>();
}

io::Task<Result<void>> LogManager::retire_waiting(FoundLog found, DirectoryKind kind) {
  const std::string parent = io::parent_path(found.path);
  const std::string renamed =
      io::join_path(parent, directory_name(found.partition, kind, Uuid::random(shard_.random())));
  Result<void> moved = co_await shard_.files().rename(found.path, renamed);
  if (moved) moved = co_await shard_.files().sync_directory(parent);
  co_await uncount(found.directory, found.partition);
  KLAMM_CO_TRY(moved);
  if (kind == DirectoryKind::deleted) background_.spawn(remove_later(renamed, 0));
  co_return Result<void>();
}

io::Task<void> LogManager::uncount(std::size_t directory, protocol::TopicPartition partition) {
  const auto count = [this, directory, &partition]() -> io::Task<void> {
    dirs_.log_removed(directory, partition);
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
  mover_.set_config(topic, config);
}

std::vector<LogOffsets> LogManager::offsets() const {
  std::vector<LogOffsets> all = last_offsets_;
  for (const auto& [partition, found] : waiting_) {
    all.push_back({partition, found.directory, found.recovery_point, found.log_start_offset, found.high_watermark,
                   found.first_dirty_offset});
  }
  const auto& moves = mover_.moves();
  for (const auto& [partition, entry] : logs_) {
    const auto move = moves.find(partition);
    const bool is_there = move != moves.end() && move->second->copy->is_taken_over();
    const std::size_t directory = is_there ? move->second->directory : entry.directory;
    all.push_back(offsets_of(*entry.log, directory, entry.log->first_segment_offset()));
  }
  for (const auto& [partition, move] : moves) {
    if (move->copy->is_taken_over()) continue;
    all.push_back(offsets_of(*move->copy, move->directory, move->copy->first_segment_offset()));
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

// ---- Compaction

void LogManager::configure_cleaner(const config::CleanerConfig& config) {
  background_.spawn([](LogManager* self, config::CleanerConfig settings) -> io::Task<void> {
    LogDirs& dirs = self->dirs_;
    const auto tell = [&dirs, &settings]() -> io::Task<void> {
      dirs.configure_cleaner(settings);
      co_return;
    };
    co_await io::call(self->shard_, dirs.shard(), tell);
  }(this, config));
}

void LogManager::save_cleaner_offsets() {
  background_.spawn([](LogManager* self) -> io::Task<void> {
    LogDirs& dirs = self->dirs_;
    const auto save = [&dirs] { return dirs.checkpoint_cleaner_offsets(); };
    Result<void> saved = co_await io::call(self->shard_, dirs.shard(), save);
    if (!saved) self->logger_.warning("the cleaner's checkpoint: {}", saved.error().message());
  }(this));
}

io::Task<std::optional<DirtyLog>> LogManager::dirtiest() {
  std::optional<DirtyLog> found;
  const std::vector<protocol::TopicPartition> all = names();
  for (const protocol::TopicPartition& partition : all) {
    if (closing_) break;
    if (claimed_.contains(partition) || uncleanable_.contains(partition) || mover_.is_moving(partition)) continue;
    const auto rest = resting_.find(partition);
    if (rest != resting_.end() && shard_.now() < rest->second) continue;
    const std::shared_ptr<Log> log = find(partition);
    if (log == nullptr || log->failed() || !log->config().cleanup_compact) continue;
    Result<Cleanable> range = co_await log->cleanable();
    if (!range || range->dirty_bytes == 0) continue;
    const double ratio = range->ratio();
    if (!range->overdue && ratio <= log->config().min_cleanable_dirty_ratio) continue;
    if (!found || ratio > found->ratio) found = DirtyLog{partition, ratio};
  }
  co_return closing_ ? std::nullopt : found;
}

bool LogManager::claim_cleaning(const protocol::TopicPartition& partition) {
  return !closing_ && logs_.contains(partition) && claimed_.insert(partition).second;
}

io::Task<bool> LogManager::clean(protocol::TopicPartition partition, CleaningOptions options) {
  const std::shared_ptr<Log> log = find(partition);
  Result<CleaningReport> report = fail(Errc::unavailable, "the log is closed");
  if (log != nullptr && !closing_) {
    Result<Cleanable> range = co_await log->cleanable();
    if (range) {
      report = co_await clean_log(*log, *range, std::move(options));
    } else {
      report = fail(std::move(range).error());
    }
  }
  claimed_.erase(partition);
  if (report) {
    const CompactionCounts& counts = report->counts;
    logger_.info("{}: compacted offsets {} to {} in {} ms: {} of {} bytes and {} of {} records stay", partition,
                 report->first_dirty, report->end,
                 std::chrono::duration_cast<std::chrono::milliseconds>(report->total).count(), counts.bytes_written,
                 counts.bytes_read, counts.records_kept, counts.records_read);
    resting_.erase(partition);
    if (log->config().cleanup_delete) {
      [[maybe_unused]] Result<int> ignored = co_await log->delete_old_segments();
    }
    if (counts.records_without_key > 0) {
      logger_.warning("{}: compaction dropped {} records without a key", partition, counts.records_without_key);
    }
  } else if (report.error() == Errc::cancelled) {
    logger_.info("{}: compaction ended early: {}", partition, report.error().context());
  } else if (report.error() == Errc::corrupt) {
    logger_.error("{}: not compacted any more until the next start: {}", partition, report.error().message());
    if (find(partition) == log) uncleanable_.insert(partition);
  } else {
    // A full disk, say: others may be cleaned meanwhile, and may make room.
    resting_[partition] = shard_.now() + kRestAfterFailure;
    logger_.warning("{}: not compacted: {}", partition, report.error().message());
  }
  co_return report.has_value();
}

io::Task<void> LogManager::apply_compacted_retention() {
  const std::vector<protocol::TopicPartition> all = names();
  for (const protocol::TopicPartition& partition : all) {
    if (closing_) break;
    const std::shared_ptr<Log> log = find(partition);
    if (log == nullptr || log->failed() || !log->config().cleanup_compact) continue;
    [[maybe_unused]] Result<int> ignored = co_await log->delete_old_segments();
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
  std::erase_if(waiting_, [directory](const auto& item) { return item.second.directory == directory; });
  std::vector<std::shared_ptr<Log>> lost;
  for (const protocol::TopicPartition& partition : names()) {
    const auto at = logs_.find(partition);
    if (at->second.directory != directory) continue;
    if (options_.on_log_lost) options_.on_log_lost(partition);
    lost.push_back(at->second.log);
    logs_.erase(at);
  }
  co_await mover_.directory_failed(directory);
  for (const std::shared_ptr<Log>& log : lost) co_await log->abandon();
  changing_.unlock();
}

io::Task<void> LogManager::close() {
  closing_ = true;
  stopping_.notify_all();
  mover_.stop();
  co_await background_.close();
  co_await changing_.lock();
  co_await mover_.close_copies(last_offsets_, not_clean_);
  std::vector<protocol::TopicPartition> queue = names();
  std::reverse(queue.begin(), queue.end());
  for (const auto& item : waiting_) not_clean_.push_back(item.second.directory);
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
    const std::size_t directory = at->second.directory;
    const std::int64_t first_segment = log->first_segment_offset();
    Result<void> closed = co_await log->close();
    if (!closed) {
      const std::optional<std::string> note = error_lines_->admit(shard_.now());
      if (note) logger_.error("closing {}: {}{}", partition, closed.error().message(), *note);
      not_clean_.push_back(directory);
    }
    // Not before: a checkpoint that is written meanwhile must not be without it.
    logs_.erase(partition);
    last_offsets_.push_back(offsets_of(*log, directory, first_segment));
  }
}

}  // namespace klamm::storage
