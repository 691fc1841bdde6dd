// The manager's side of moves between data directories; the moves themselves are LogMover's.
#include "broker/storage/log_manager.h"
#include "protocol/error.h"

namespace klamm::storage {

namespace {

using protocol::ErrorCode;

constexpr std::size_t kMostPreferred = 10'000;  // a client may name any partition
constexpr std::size_t kLongestName = 255;

}  // namespace

// A copy without the log it was made from counts as the log if the metadata says that it lies there: Kafka has noted it
// so before the names were changed.
io::Task<Result<bool>> LogManager::promote(FoundLog& found, const std::set<protocol::TopicPartition>& live) {
  if (live.contains(found.partition) || !options_.assigned_directory) co_return false;
  const LogDirs::Directory& directory = dirs_.directories()[found.directory];
  if (options_.assigned_directory(found.partition) != directory.id) co_return false;
  const std::string path = io::join_path(directory.path, directory_name(found.partition));
  logger_.warning("{}: {} takes the place of the log it was copied from, which is not there", found.partition,
                  found.path);
  Result<void> renamed = co_await shard_.files().rename(found.path, path);
  KLAMM_CO_TRY(renamed);
  Result<void> synced = co_await shard_.files().sync_directory(directory.path);
  KLAMM_CO_TRY(synced);
  found.path = path;
  found.kind = DirectoryKind::live;
  found.clean_shutdown = false;
  co_return true;
}

io::Task<Result<void>> LogManager::move(protocol::TopicPartition partition, std::size_t directory) {
  co_await changing_.lock();
  Result<void> begun = co_await move_locked(std::move(partition), directory);
  changing_.unlock();
  co_return begun;
}

io::Task<Result<void>> LogManager::move_locked(protocol::TopicPartition partition, std::size_t directory) {
  if (closing_) co_return fail(protocol::kafka_error(ErrorCode::kafka_storage_error, "the broker is stopping"));
  if (directory_name(partition, DirectoryKind::future, Uuid()).size() > kLongestName) {
    co_return fail(protocol::kafka_error(ErrorCode::invalid_topic_exception, "the topic name is too long"));
  }
  const auto at = logs_.find(partition);
  if (at == logs_.end()) {
    if (preferred_.size() < kMostPreferred) preferred_[partition] = directory;
    co_return fail(protocol::kafka_error(ErrorCode::replica_not_available));
  }
  const Entry entry = at->second;
  Result<void> begun = co_await mover_.move(partition, entry.log, entry.directory, directory);
  co_return begun;
}

std::optional<Uuid> LogManager::directory_of(const protocol::TopicPartition& partition) const {
  const auto at = logs_.find(partition);
  if (at == logs_.end()) return std::nullopt;
  return dirs_.directories()[at->second.directory].id;
}

void LogManager::log_moved(const protocol::TopicPartition& partition) {
  if (find(partition)->first_dirty_offset()) save_cleaner_offsets();
  if (options_.on_log_moved) options_.on_log_moved(partition);
}

void LogManager::configure_moves(std::int64_t max_bytes_per_second) {
  background_.spawn([](LogManager* self, std::int64_t rate) -> io::Task<void> {
    LogDirs& dirs = self->dirs_;
    const auto tell = [&dirs, rate]() -> io::Task<void> {
      dirs.configure_moves(rate);
      co_return;
    };
    co_await io::call(self->shard_, dirs.shard(), tell);
  }(this, max_bytes_per_second));
}

}  // namespace klamm::storage
