#include "broker/storage/log_dirs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "broker/storage/disk_errors.h"
#include "broker/storage/log_manager.h"
#include "io/survey.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

constexpr double kLongestPauseSeconds = 3600;  // of a move that may copy next to nothing
constexpr std::string_view kCheckpointFiles[] = {kRecoveryPointFile, kLogStartFile, kHighWatermarkFile};

// Directories that are no partition's and no mistake either.
bool is_ignored(std::string_view name) {
  return name == kRemoteIndexCache || name == "lost+found" || name == fmt::format("{}-0", kMetadataTopic);
}

// Makes a directory and its parents, so that a power loss does not take them away again.
io::Task<Result<void>> make_durably(io::FileSystem& files, std::string path) {
  std::vector<std::string> parents;  // of directories that are not there yet
  for (std::string at = path;;) {
    Result<io::FileInfo> info = co_await files.stat(at);
    if (info || !(info.error() == Errc::not_found)) break;
    const std::string parent = io::parent_path(at);
    parents.push_back(parent);
    if (parent == at || parent == "." || parent == "/") break;
    at = parent;
  }
  Result<void> made = co_await files.make_directories(path);
  KLAMM_CO_TRY(made);
  for (const std::string& parent : parents) {
    Result<void> synced = co_await files.sync_directory(parent);
    KLAMM_CO_TRY(synced);
  }
  co_return Result<void>();
}

}  // namespace

LogDirs::LogDirs(io::Shard& shard, LogDirsOptions options)
    : shard_(shard),
      options_(std::move(options)),
      logger_(options_.logger),
      cleaner_(std::make_unique<CleanerManager>(shard, *this, logger_)),
      moves_paid_until_(shard.now()),
      writing_(shard),
      stopping_(shard),
      background_(shard) {}

LogDirs::~LogDirs() = default;

// ---- Opening

io::Task<Result<std::unique_ptr<LogDirs>>> LogDirs::open(io::Shard& shard, LogDirsOptions options) {
  if (options.directories.empty()) co_return fail(Errc::invalid_argument, "log.dirs names no directory");
  if (options.metadata_directory.empty()) options.metadata_directory = options.directories.front();
  std::unique_ptr<LogDirs> dirs(new LogDirs(shard, std::move(options)));
  dirs->removed_.resize(dirs->options_.directories.size());
  Result<void> identified = co_await dirs->identify();
  KLAMM_CO_TRY(identified);
  co_return dirs;
}

io::Task<Result<void>> LogDirs::open_directory(Directory& directory, std::optional<MetaProperties>& meta) {
  io::FileSystem& files = shard_.files();
  Result<void> made = co_await make_durably(files, directory.path);
  KLAMM_CO_TRY(made);
  Result<std::unique_ptr<io::FileLock>> lock = co_await files.lock(io::join_path(directory.path, kLockFile));
  if (!lock) {
    if (lock.error() == Errc::unavailable) {
      co_return fail(Errc::unavailable, fmt::format("{} is in use by another process", directory.path));
    }
    co_return fail(std::move(lock).error());
  }
  directory.lock = *std::move(lock);
  Result<std::optional<MetaProperties>> loaded = co_await load_meta_properties(files, directory.path);
  KLAMM_CO_TRY(loaded);
  meta = *std::move(loaded);
  Result<std::optional<std::int64_t>> clean = co_await load_clean_shutdown(files, directory.path);
  KLAMM_CO_TRY(clean);
  directory.clean_shutdown = clean->has_value();
  directory.broker_epoch = clean->value_or(-1);
  co_return Result<void>();
}

Result<void> LogDirs::compare(const std::vector<std::optional<MetaProperties>>& metas) {
  std::set<Uuid> ids;
  for (std::size_t i = 0; i < metas.size(); ++i) {
    if (!metas[i]) continue;
    const MetaProperties& meta = *metas[i];
    const std::string& path = directories_[i].path;
    if (meta.node_id != options_.node_id) {
      return fail(Errc::invalid_argument,
                  fmt::format("{} belongs to node {}, node.id is {}", path, meta.node_id, options_.node_id));
    }
    if (cluster_id_.empty()) cluster_id_ = meta.cluster_id;
    if (meta.cluster_id != cluster_id_) {
      return fail(Errc::invalid_argument,
                  fmt::format("{} belongs to cluster {}, other directories to {}", path, meta.cluster_id, cluster_id_));
    }
    if (!meta.directory_id.is_zero() && !ids.insert(meta.directory_id).second) {
      return fail(Errc::invalid_argument,
                  fmt::format("{} has the directory.id {} of another one", path, meta.directory_id.text()));
    }
  }
  if (cluster_id_.empty()) {
    return fail(Errc::not_found, fmt::format("{} has no meta.properties: format it first (klamm storage format)",
                                             options_.metadata_directory));
  }
  return {};
}

io::Task<Result<void>> LogDirs::identify() {
  std::vector<std::optional<MetaProperties>> metas;
  std::vector<std::string> paths = options_.directories;
  for (const std::string& path : paths) {
    Directory directory;
    directory.path = path;
    std::optional<MetaProperties> meta;
    Result<void> opened = co_await open_directory(directory, meta);
    directories_.push_back(std::move(directory));
    if (!opened) {
      meta.reset();
      opened = set_offline(directories_.size() - 1, std::move(opened).error());
      KLAMM_CO_TRY(opened);
    }
    metas.push_back(std::move(meta));
  }
  Result<void> compared = compare(metas);
  KLAMM_CO_TRY(compared);
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    if (!directories_[i].online) continue;
    MetaProperties meta = metas[i].value_or(MetaProperties{cluster_id_, options_.node_id, Uuid()});
    const bool complete = metas[i] && !meta.directory_id.is_zero();
    if (meta.directory_id.is_zero()) meta.directory_id = Uuid::random(shard_.random());
    directories_[i].id = meta.directory_id;
    if (complete) continue;
    logger_.info("{}: written meta.properties with directory.id {}", directories_[i].path, meta.directory_id.text());
    Result<void> saved = co_await save_meta_properties(shard_.files(), directories_[i].path, meta, shard_.wall_ms());
    if (saved) continue;
    saved = set_offline(i, std::move(saved).error());
    KLAMM_CO_TRY(saved);
  }
  co_return Result<void>();
}

Result<void> LogDirs::set_offline(std::size_t index, Error error) {
  Directory& failed = directories_[index];
  // Those that were not looked at yet are not in the list: only when all of log.dirs are is none left.
  const auto offline = static_cast<std::size_t>(
      std::count_if(directories_.begin(), directories_.end(), [](const Directory& other) { return !other.online; }));
  const bool is_last = failed.online && offline + 1 == options_.directories.size();
  if (!is_disk_failure(error) || is_last || failed.path == options_.metadata_directory) return fail(std::move(error));
  logger_.error("{} is offline: {}", failed.path, error.message());
  failed.online = false;
  failed.clean_shutdown = false;
  failed.broker_epoch = -1;
  failed.lock.reset();
  return {};
}

std::int64_t LogDirs::previous_broker_epoch() const {
  const std::int64_t epoch = directories_.front().broker_epoch;
  const bool all_agree = std::all_of(directories_.begin(), directories_.end(),
                                     [&](const Directory& directory) { return directory.broker_epoch == epoch; });
  return all_agree ? epoch : -1;
}

// ---- What is there

io::Task<Result<std::vector<FoundLog>>> LogDirs::list_logs() {
  std::vector<FoundLog> found;
  cleaner_offsets_.resize(directories_.size());
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    if (!directories_[i].online) continue;
    Result<void> listed = co_await list_directory(i, found);
    if (listed) continue;
    listed = set_offline(i, std::move(listed).error());
    KLAMM_CO_TRY(listed);
    std::erase_if(found, [i](const FoundLog& log) { return log.directory == i; });
  }
  Result<void> settled = co_await settle_moves(found);
  KLAMM_CO_TRY(settled);
  std::set<protocol::TopicPartition> seen;
  for (const FoundLog& log : found) {
    if (log.kind != DirectoryKind::live || seen.insert(log.partition).second) continue;
    co_return fail(Errc::invalid_argument, fmt::format("partition {} is in two data directories, one of them {}: "
                                                       "move away the directory that is not the one to serve",
                                                       log.partition, directories_[log.directory].path));
  }
  co_return found;
}

// Where a crash came between the two renames of a move (see log_move.cc) the one with the marker is the log.
io::Task<Result<void>> LogDirs::settle_moves(std::vector<FoundLog>& found) {
  std::map<protocol::TopicPartition, std::vector<std::size_t>> live;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i].kind == DirectoryKind::live) live[found[i].partition].push_back(i);
  }
  std::set<std::string> settled;
  for (const auto& [partition, indexes] : live) {
    if (indexes.size() < 2) continue;
    std::vector<std::size_t> others;
    for (const std::size_t index : indexes) {
      Result<io::FileInfo> marker = co_await shard_.files().stat(io::join_path(found[index].path, kMoveMarkerFile));
      if (!marker && !(marker.error() == Errc::not_found)) co_return fail(std::move(marker).error());
      if (!marker) others.push_back(index);
    }
    if (others.size() + 1 != indexes.size()) continue;
    for (const std::size_t index : others) {
      const FoundLog& log = found[index];
      const std::string& parent = directories_[log.directory].path;
      const std::string renamed =
          io::join_path(parent, directory_name(partition, DirectoryKind::deleted, Uuid::random(shard_.random())));
      logger_.info("{} has moved: {} goes", partition, log.path);
      Result<void> step = co_await shard_.files().rename(log.path, renamed);
      KLAMM_CO_TRY(step);
      step = co_await shard_.files().sync_directory(parent);
      KLAMM_CO_TRY(step);
      log_removed(log.directory, partition);
      settled.insert(log.path);
      background_.spawn(remove_directory(renamed));
    }
  }
  std::erase_if(found, [&](const FoundLog& log) { return settled.contains(log.path); });
  co_return Result<void>();
}

io::Task<Result<void>> LogDirs::list_directory(std::size_t index, std::vector<FoundLog>& found) {
  io::FileSystem& files = shard_.files();
  const std::string path = directories_[index].path;
  const bool clean = directories_[index].clean_shutdown;
  Result<OffsetCheckpoint> recovery_points =
      co_await load_offset_checkpoint(files, io::join_path(path, kRecoveryPointFile));
  Result<OffsetCheckpoint> log_starts = co_await load_offset_checkpoint(files, io::join_path(path, kLogStartFile));
  Result<OffsetCheckpoint> high_watermarks =
      co_await load_offset_checkpoint(files, io::join_path(path, kHighWatermarkFile));
  Result<OffsetCheckpoint> first_dirty = co_await load_offset_checkpoint(files, io::join_path(path, kCleanerFile));
  // A checkpoint that does not read costs a longer recovery, no data.
  for (Result<OffsetCheckpoint>* checkpoint : {&recovery_points, &log_starts, &high_watermarks, &first_dirty}) {
    if (*checkpoint) continue;
    if (!(checkpoint->error() == Errc::malformed)) co_return fail(std::move(*checkpoint).error());
    logger_.warning("{}; it is taken as empty", checkpoint->error().message());
    *checkpoint = OffsetCheckpoint();
  }
  cleaner_offsets_[index] = *first_dirty;
  Result<io::Survey> there = co_await io::survey(files, path, nullptr);
  KLAMM_CO_TRY(there);
  for (const io::SurveyedFile& file : there->files()) {
    const std::string& name = file.name;
    if (is_ignored(name) || !file.info.is_directory) continue;
    const std::optional<PartitionDirectory> parsed = parse_directory_name(name);
    if (!parsed) {
      co_return fail(Errc::invalid_argument,
                     fmt::format("{}/{} is not named topic-partition; move it away", path, name));
    }
    if (parsed->kind == DirectoryKind::deleted) {
      background_.spawn(remove_directory(io::join_path(path, name)));
      continue;
    }
    FoundLog log;
    log.partition = parsed->partition;
    log.kind = parsed->kind;
    log.directory = index;
    log.path = io::join_path(path, name);
    log.clean_shutdown = clean;
    const auto value = [&](const OffsetCheckpoint& checkpoint) {
      const auto at = checkpoint.find(parsed->partition);
      return at == checkpoint.end() ? std::int64_t{0} : at->second;
    };
    log.recovery_point = value(*recovery_points);
    log.log_start_offset = value(*log_starts);
    log.high_watermark = value(*high_watermarks);
    const auto dirty = first_dirty->find(parsed->partition);
    if (dirty != first_dirty->end()) log.first_dirty_offset = dirty->second;
    if (log.kind == DirectoryKind::live) ++directories_[index].logs;
    found.push_back(std::move(log));
  }
  std::set<protocol::TopicPartition> there_yet;
  for (const FoundLog& log : found) {
    if (log.directory == index && log.kind != DirectoryKind::stray) there_yet.insert(log.partition);
  }
  for (const OffsetCheckpoint* checkpoint : {&*recovery_points, &*log_starts, &*high_watermarks}) {
    for (const auto& [partition, offset] : *checkpoint) {
      if (there_yet.contains(partition)) continue;
      removed_[index][partition].insert(std::begin(kCheckpointFiles), std::end(kCheckpointFiles));
    }
  }
  if (clean) {
    // From here on a crash is one: the logs must be checked again.
    Result<void> removed = co_await files.remove(io::join_path(path, kCleanShutdownFile));
    KLAMM_CO_TRY(removed);
  }
  // After a killed process: the names of the logs' directories, once for all of them.
  Result<void> synced = co_await files.sync_directory(path);
  co_return synced;
}

io::Task<void> LogDirs::remove_directory(std::string path) {
  Result<void> removed = co_await io::remove_tree(shard_.files(), path);
  if (!removed) logger_.warning("removing {}: {}", path, removed.error().message());
}

// ---- Placement

Result<std::size_t> LogDirs::choose_directory() {
  const auto cordoned = [&](const Directory& directory) {
    return std::find(options_.cordoned.begin(), options_.cordoned.end(), directory.path) != options_.cordoned.end();
  };
  const bool all_cordoned = std::all_of(directories_.begin(), directories_.end(), [&](const Directory& directory) {
    return !directory.online || cordoned(directory);
  });
  Directory* best = nullptr;
  for (Directory& directory : directories_) {
    if (!directory.online || (!all_cordoned && cordoned(directory))) continue;
    if (best == nullptr || directory.logs < best->logs) best = &directory;
  }
  if (best == nullptr) {
    return fail(protocol::kafka_error(protocol::ErrorCode::kafka_storage_error, "no data directory is online"));
  }
  ++best->logs;
  return static_cast<std::size_t>(best - directories_.data());
}

std::vector<Uuid> LogDirs::cordoned_ids() const {
  std::vector<Uuid> ids;
  for (const Directory& directory : directories_) {
    const bool is_cordoned =
        std::find(options_.cordoned.begin(), options_.cordoned.end(), directory.path) != options_.cordoned.end();
    if (is_cordoned && !directory.id.is_zero()) ids.push_back(directory.id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

void LogDirs::log_removed(std::size_t directory, const protocol::TopicPartition& partition) {
  if (directories_[directory].logs > 0) --directories_[directory].logs;
  removed_[directory][partition].insert(std::begin(kCheckpointFiles), std::end(kCheckpointFiles));
}

// ---- Moves

Result<std::size_t> LogDirs::find_target(const std::string& path) const {
  const auto normal = [this](const std::string& one) {
    return std::filesystem::path(shard_.files().absolute(one)).lexically_normal().string();
  };
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    const std::string& own = directories_[i].path;
    if (path != shard_.files().absolute(own) && path != normal(own)) continue;
    if (!directories_[i].online) {
      return fail(protocol::kafka_error(protocol::ErrorCode::kafka_storage_error, path + " is offline"));
    }
    if (std::find(options_.cordoned.begin(), options_.cordoned.end(), own) != options_.cordoned.end()) {
      return fail(protocol::kafka_error(protocol::ErrorCode::invalid_replica_assignment, path + " is cordoned"));
    }
    return i;
  }
  return fail(protocol::kafka_error(protocol::ErrorCode::log_dir_not_found, path + " is not in log.dirs"));
}

void LogDirs::configure_moves(std::int64_t max_bytes_per_second) {
  if (move_bytes_per_second_ == max_bytes_per_second) return;
  move_bytes_per_second_ = max_bytes_per_second;
  moves_paid_until_ = shard_.now();  // what was copied at another rate is forgiven
}

Instant LogDirs::pay_for_move(std::int64_t bytes) {
  if (move_bytes_per_second_ == std::numeric_limits<std::int64_t>::max()) return shard_.now();
  const double rate = static_cast<double>(std::max<std::int64_t>(move_bytes_per_second_, 1));
  const double seconds = std::min(static_cast<double>(bytes) / rate, kLongestPauseSeconds);
  moves_paid_until_ = std::max(moves_paid_until_, shard_.now()) + Duration(static_cast<std::int64_t>(seconds * 1e9));
  return moves_paid_until_;
}

// ---- Checkpoints

void LogDirs::start(std::vector<LogManager*> managers) {
  managers_ = std::move(managers);
  background_.spawn(every(options_.recovery_point_checkpoint_interval_ms, &LogDirs::checkpoint_recovery_points));
  background_.spawn(every(options_.log_start_checkpoint_interval_ms, &LogDirs::checkpoint_log_starts));
  background_.spawn(every(options_.high_watermark_checkpoint_interval_ms, &LogDirs::checkpoint_high_watermarks));
  cleaner_->start(managers_);
}

io::Task<void> LogDirs::every(std::int64_t interval_ms, io::Task<Result<void>> (LogDirs::*checkpoint)()) {
  const Duration interval = milliseconds(std::max<std::int64_t>(interval_ms, 1));
  while (!closing_) {
    const Instant when = shard_.now() + interval;
    while (!closing_ && shard_.now() < when) {
      co_await stopping_.wait_until(when);
    }
    if (closing_) break;
    // A directory that cannot be written has been taken offline by it; the others go on.
    [[maybe_unused]] Result<void> ignored = co_await (this->*checkpoint)();
  }
}

io::Task<std::vector<LogOffsets>> LogDirs::collect() {
  std::vector<LogOffsets> all;
  for (LogManager* manager : managers_) {
    const auto ask = [manager]() -> io::Task<std::vector<LogOffsets>> { co_return manager->offsets(); };
    std::vector<LogOffsets> some = co_await io::call(shard_, manager->shard(), ask);
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  co_return all;
}

io::Task<Result<void>> LogDirs::save_checkpoint(std::size_t index, std::string_view file, OffsetCheckpoint checkpoint) {
  Result<void> saved = co_await save_offset_checkpoint(shard_.files(), io::join_path(directories_[index].path, file),
                                                       std::move(checkpoint));
  if (!saved) {
    // On a full disk the old checkpoint stays, which is right, only older.
    if (!is_shortage(saved.error())) directory_failed(index, saved.error());
  }
  co_return saved;
}

// writing_ is held. Nothing is written if `change` returns false.
io::Task<Result<void>> LogDirs::change_checkpoint(std::size_t index, std::string_view file,
                                                  std::function<bool(OffsetCheckpoint&)> change) {
  const std::string path = io::join_path(directories_[index].path, file);
  Result<OffsetCheckpoint> checkpoint = co_await load_offset_checkpoint(shard_.files(), path);
  if (!checkpoint && checkpoint.error() == Errc::malformed) checkpoint = OffsetCheckpoint();  // as at a start
  KLAMM_CO_TRY(checkpoint);
  if (!change(*checkpoint)) co_return Result<void>();
  Result<void> saved = co_await save_checkpoint(index, file, *std::move(checkpoint));
  co_return saved;
}

// All that are gone at once: a topic of many partitions may come back partition by partition.
io::Task<Result<void>> LogDirs::forget_removed(std::size_t directory, protocol::TopicPartition partition) {
  if (!removed_[directory].contains(partition)) co_return Result<void>();
  co_await writing_.lock();
  const auto gone = removed_[directory];
  Result<void> result;
  for (std::string_view file : kCheckpointFiles) {
    const auto forget = [&](OffsetCheckpoint& checkpoint) {
      return std::erase_if(checkpoint, [&](const auto& entry) {
               const auto at = gone.find(entry.first);
               return at != gone.end() && at->second.contains(file);
             }) > 0;
    };
    if (result) result = co_await change_checkpoint(directory, file, forget);
  }
  if (result) std::erase_if(removed_[directory], [&](const auto& mark) { return gone.contains(mark.first); });
  writing_.unlock();
  co_return result;
}

io::Task<Result<void>> LogDirs::lower_recovery_points(std::size_t directory, OffsetCheckpoint most) {
  co_await writing_.lock();
  const auto lower = [&most](OffsetCheckpoint& checkpoint) {
    bool changed = false;
    for (const auto& [partition, offset] : most) {
      const auto at = checkpoint.find(partition);
      if (at == checkpoint.end() || at->second <= offset) continue;
      at->second = offset;
      changed = true;
    }
    return changed;
  };
  Result<void> lowered = co_await change_checkpoint(directory, kRecoveryPointFile, lower);
  writing_.unlock();
  co_return lowered;
}

io::Task<Result<void>> LogDirs::checkpoint_cleaner_offsets() {
  co_await writing_.lock();
  const std::vector<LogOffsets> offsets = co_await collect();
  Result<void> result;
  for (std::size_t i = 0; i < cleaner_offsets_.size(); ++i) {
    if (!directories_[i].online) continue;
    OffsetCheckpoint checkpoint;
    for (const LogOffsets& log : offsets) {
      if (log.directory == i && log.first_dirty_offset) checkpoint.emplace(log.partition, *log.first_dirty_offset);
    }
    if (checkpoint == cleaner_offsets_[i]) continue;
    Result<void> saved = co_await save_checkpoint(i, kCleanerFile, checkpoint);
    if (saved) {
      cleaner_offsets_[i] = std::move(checkpoint);
    } else {
      result = fail(std::move(saved).error());
    }
  }
  writing_.unlock();
  co_return result;
}

io::Task<Result<void>> LogDirs::write_checkpoints(std::string_view file,
                                                  std::function<std::optional<std::int64_t>(const LogOffsets&)> value) {
  co_await writing_.lock();
  const std::vector<LogOffsets> offsets = co_await collect();
  Result<void> result;
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    if (!directories_[i].online) continue;
    OffsetCheckpoint checkpoint;
    for (const LogOffsets& log : offsets) {
      if (log.directory != i) continue;
      if (const std::optional<std::int64_t> offset = value(log)) checkpoint.emplace(log.partition, *offset);
    }
    Result<void> saved = co_await save_checkpoint(i, file, checkpoint);
    if (!saved) {
      result = fail(std::move(saved).error());
      continue;
    }
    for (auto removed = removed_[i].begin(); removed != removed_[i].end();) {
      if (!checkpoint.contains(removed->first)) removed->second.erase(file);
      removed = removed->second.empty() ? removed_[i].erase(removed) : std::next(removed);
    }
  }
  writing_.unlock();
  co_return result;
}

io::Task<Result<void>> LogDirs::checkpoint_recovery_points() {
  Result<void> written = co_await write_checkpoints(
      kRecoveryPointFile, [](const LogOffsets& log) { return std::optional<std::int64_t>(log.recovery_point); });
  co_return written;
}

io::Task<Result<void>> LogDirs::checkpoint_log_starts() {
  Result<void> written =
      co_await write_checkpoints(kLogStartFile, [](const LogOffsets& log) { return log.log_start_offset; });
  co_return written;
}

io::Task<Result<void>> LogDirs::checkpoint_high_watermarks() {
  Result<void> written = co_await write_checkpoints(
      kHighWatermarkFile, [](const LogOffsets& log) { return std::optional<std::int64_t>(log.high_watermark); });
  co_return written;
}

// ---- Failure and the end

void LogDirs::directory_failed(std::size_t index, Error error) {
  Directory& directory = directories_[index];
  if (!directory.online) return;
  directory.online = false;
  directory.clean_shutdown = false;
  const auto left = static_cast<std::size_t>(
      std::count_if(directories_.begin(), directories_.end(), [](const Directory& other) { return other.online; }));
  logger_.error("{} is offline: {}; {} directories are left", directory.path, error.message(), left);
  background_.spawn(tell_managers(index));
  if (options_.on_directory_failed) options_.on_directory_failed(directory.path, error, left);
}

io::Task<void> LogDirs::tell_managers(std::size_t directory) {
  for (LogManager* manager : managers_) {
    const auto tell = [manager, directory]() -> io::Task<void> { co_await manager->directory_failed(directory); };
    co_await io::call(shard_, manager->shard(), tell);
  }
}

io::Task<Result<void>> LogDirs::close(std::int64_t broker_epoch) {
  closing_ = true;
  stopping_.notify_all();
  co_await cleaner_->close();
  co_await background_.close();
  if (managers_.empty()) {
    // The logs were never all opened: what the last run left says more about them than this one could.
    for (Directory& directory : directories_) directory.lock.reset();
    co_return Result<void>();
  }
  std::set<std::size_t> not_clean;
  for (LogManager* manager : managers_) {
    const auto ask = [manager]() -> io::Task<std::vector<std::size_t>> { co_return manager->not_clean(); };
    const std::vector<std::size_t> some = co_await io::call(shard_, manager->shard(), ask);
    not_clean.insert(some.begin(), some.end());
  }
  Result<void> result = co_await checkpoint_recovery_points();
  Result<void> log_starts = co_await checkpoint_log_starts();
  if (!log_starts) result = log_starts;
  Result<void> high_watermarks = co_await checkpoint_high_watermarks();
  if (!high_watermarks) result = high_watermarks;
  Result<void> cleaner_offsets = co_await checkpoint_cleaner_offsets();
  if (!cleaner_offsets) result = cleaner_offsets;
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    Directory& directory = directories_[i];
    if (result && directory.online && !not_clean.contains(i)) {
      Result<void> saved = co_await save_clean_shutdown(shard_.files(), directory.path, broker_epoch);
      if (!saved) result = fail(std::move(saved).error());
    }
    directory.lock.reset();
  }
  managers_.clear();
  co_return result;
}

}  // namespace klamm::storage
