#include "broker/raft/metadata_log.h"

#include <fmt/format.h>

#include "broker/raft/raft_wire.h"
#include "broker/storage/checkpoint.h"
#include "broker/storage/names.h"
#include "protocol/error.h"
#include "protocol/record/batch.h"

namespace klamm::raft {
namespace {

constexpr std::uint64_t kMostSnapshotBytes = std::uint64_t{1} << 34;
constexpr std::int64_t kMostPartBytes = 8 << 20;  // of a snapshot, read at once

config::LogConfig log_config(const MetadataLogOptions& options) {
  config::LogConfig config;
  config.segment_bytes = options.segment_bytes;
  config.segment_ms = options.segment_ms;
  config.max_message_bytes = options.max_batch_bytes;
  config.file_delete_delay_ms = options.file_delete_delay_ms;
  // Only snapshots make metadata go away.
  config.cleanup_delete = false;
  config.retention_bytes = -1;
  config.retention_ms = -1;
  return config;
}

}  // namespace

io::Task<Result<void>> make_directories_durably(io::FileSystem& files, std::string path) {
  Result<io::FileInfo> there = co_await files.stat(path);
  if (there) co_return Result<void>();
  Result<void> done = co_await files.make_directories(path);
  KLAMM_CO_TRY(done);
  std::string child = path;
  for (std::string parent = io::parent_path(child); parent != child; child = parent, parent = io::parent_path(child)) {
    done = co_await files.sync_directory(parent);
    // Above the first there may be directories that this process must not open; they were there before.
    if (!done && child == path) co_return done;
    if (!done) break;
  }
  co_return Result<void>();
}

MetadataLog::MetadataLog(io::Shard& shard, MetadataLogOptions options)
    : shard_(shard),
      options_(std::move(options)),
      directory_(io::join_path(options_.log_dir, std::string(storage::kMetadataTopic) + "-0")) {}

io::Task<Result<std::unique_ptr<MetadataLog>>> MetadataLog::open(io::Shard& shard, MetadataLogOptions options) {
  std::unique_ptr<MetadataLog> self(new MetadataLog(shard, std::move(options)));
  io::FileSystem& files = shard.files();
  Result<void> made = co_await make_directories_durably(files, self->directory_);
  KLAMM_CO_TRY(made);
  Result<std::optional<Uuid>> topic = co_await storage::load_partition_metadata(files, self->directory_);
  KLAMM_CO_TRY(topic);
  if (!*topic) {
    Result<void> saved = co_await storage::save_partition_metadata(files, self->directory_, kMetadataTopicId);
    KLAMM_CO_TRY(saved);
  } else if (**topic != kMetadataTopicId) {
    co_return fail(Errc::corrupt,
                   self->directory_ + ": partition.metadata names another topic than the metadata topic");
  }
  Result<void> found = co_await self->find_snapshots();
  KLAMM_CO_TRY(found);

  storage::LogOptions log_options;
  log_options.partition = {std::string(storage::kMetadataTopic), protocol::PartitionIndex(0)};
  log_options.directory = self->directory_;
  log_options.config = log_config(self->options_);
  log_options.producers.expiration_ms = std::numeric_limits<std::int64_t>::max();
  log_options.codecs = &self->codecs_;
  log_options.logger = self->options_.logger;
  log_options.on_storage_failure = self->options_.on_storage_failure;
  Result<std::unique_ptr<storage::Log>> log = co_await storage::Log::open(shard, std::move(log_options));
  KLAMM_CO_TRY(log);
  self->log_ = std::move(*log);
  Result<void> reconciled = co_await self->reconcile();
  // What a killed process has left in memory of the system counts as flushed from here on.
  if (reconciled) reconciled = co_await self->log_->flush();
  if (!reconciled) {
    co_await self->log_->abandon();
    co_return fail(std::move(reconciled).error());
  }
  co_return std::move(self);
}

io::Task<Result<void>> MetadataLog::find_snapshots() {
  Result<std::vector<std::string>> names = co_await shard_.files().list(directory_);
  KLAMM_CO_TRY(names);
  for (const std::string& name : *names) {
    if (is_snapshot_leftover(name)) {
      Result<void> removed = co_await shard_.files().remove(io::join_path(directory_, name));
      KLAMM_CO_TRY(removed);
    } else if (const std::optional<SnapshotId> id = parse_snapshot_file_name(name)) {
      snapshots_.insert(*id);
    }
  }
  co_return Result<void>();
}

// Brings log and snapshots together after a start.
io::Task<Result<void>> MetadataLog::reconcile() {
  const std::optional<SnapshotId> latest = latest_snapshot();
  if (latest) {
    const std::int32_t log_epoch = log_->leader_epochs().latest().value_or(0);
    const bool ahead = latest->epoch > log_epoch || (latest->epoch == log_epoch && latest->end_offset > end_offset());
    if (ahead) {
      options_.logger.warning(
          "the log ends at {} in epoch {}, behind the snapshot {}: it goes on at the snapshot's end", end_offset(),
          log_epoch, snapshot_file_name(*latest));
      Result<void> emptied = co_await log_->truncate_fully_and_start_at(latest->end_offset);
      KLAMM_CO_TRY(emptied);
    }
  }
  // Snapshots below the log's start are of no use any more (the bootstrap one keeps the first voters, but then newer
  // snapshots hold them).
  std::vector<SnapshotId> below;
  for (const SnapshotId& id : snapshots_) {
    if (id.end_offset < start_offset()) below.push_back(id);
  }
  for (const SnapshotId& id : below) {
    Result<void> dropped = co_await drop_snapshot(id);
    KLAMM_CO_TRY(dropped);
  }
  if (start_offset() > 0 && !latest_snapshot()) {
    co_return fail(Errc::corrupt, fmt::format("{}: the log begins at {} and there is no snapshot of what was before",
                                              directory_, start_offset()));
  }
  co_return Result<void>();
}

std::int32_t MetadataLog::last_epoch() const {
  if (const std::optional<std::int32_t> latest = log_->leader_epochs().latest()) return *latest;
  const std::optional<SnapshotId> snapshot = latest_snapshot();
  return snapshot ? snapshot->epoch : 0;
}

io::Task<Result<void>> MetadataLog::append(Slice batch, std::int32_t epoch, std::int64_t base_offset,
                                           std::int64_t last_offset) {
  if (end_offset() != base_offset) {
    co_return fail(Errc::corrupt, fmt::format("{}: the log ends at {}, but offset {} is to be written", directory_,
                                              end_offset(), base_offset));
  }
  storage::LeaderAppend append;
  append.records = std::move(batch);
  append.leader_epoch = epoch;
  append.origin = storage::AppendOrigin::raft_leader;
  Result<storage::AppendInfo> info = co_await log_->append_as_leader(std::move(append));
  KLAMM_CO_TRY(info);
  if (info->first_offset != base_offset || info->last_offset != last_offset) {
    co_return fail(Errc::corrupt, fmt::format("{}: records {} to {} were stored as {} to {}", directory_, base_offset,
                                              last_offset, info->first_offset, info->last_offset));
  }
  co_return Result<void>();
}

io::Task<Result<void>> MetadataLog::append_fetched(Slice records, std::int32_t epoch, std::int64_t base_offset,
                                                   std::int64_t last_offset) {
  if (end_offset() != base_offset) {
    co_return fail(Errc::corrupt, fmt::format("{}: the log ends at {}, but offset {} was fetched", directory_,
                                              end_offset(), base_offset));
  }
  Result<storage::AppendInfo> info = co_await log_->append_as_follower(std::move(records), epoch);
  KLAMM_CO_TRY(info);
  if (info->last_offset != last_offset) {
    co_return fail(Errc::corrupt, fmt::format("{}: fetched records up to {} were stored up to {}", directory_,
                                              last_offset, info->last_offset));
  }
  co_return Result<void>();
}

io::Task<Result<void>> MetadataLog::truncate_to(std::int64_t offset) {
  Result<bool> cut = co_await log_->truncate_to(offset);
  KLAMM_CO_TRY(cut);
  co_return Result<void>();
}

io::Task<Result<void>> MetadataLog::flush() {
  Result<void> flushed = co_await log_->flush();
  co_return flushed;
}

io::Task<Result<std::vector<Slice>>> MetadataLog::read(std::int64_t offset, std::int64_t max_bytes) {
  std::vector<Slice> batches;
  if (offset >= end_offset()) co_return std::move(batches);
  storage::ReadRequest request;
  request.offset = offset;
  request.max_bytes = max_bytes;
  request.isolation = storage::FetchIsolation::log_end;
  Result<storage::FetchData> data = co_await log_->read(request);
  KLAMM_CO_TRY(data);
  Buffer::Ref buffer = Buffer::allocate(static_cast<std::size_t>(data->size_bytes));
  std::size_t filled = 0;
  for (const io::Piece& piece : data->records) {
    if (const Slice* slice = std::get_if<Slice>(&piece)) {
      std::memcpy(buffer->data() + filled, slice->data(), slice->size());
      filled += slice->size();
      continue;
    }
    const io::FileRegion& region = std::get<io::FileRegion>(piece);
    const MutableBytes into(buffer->data() + filled, static_cast<std::size_t>(region.size));
    Result<std::size_t> got = co_await shard_.files().read_region(region, into);
    KLAMM_CO_TRY(got);
    filled += *got;
    if (*got < into.size()) break;
  }
  record::BatchCursor cursor(Slice(buffer, filled));
  while (cursor.next()) {
    Result<record::BatchView> view = cursor.batch();
    KLAMM_CO_TRY(view);
    if (view->last_offset() >= offset) batches.push_back(cursor.entry());
  }
  Result<void> tail = cursor.check_tail();
  KLAMM_CO_TRY(tail);
  if (batches.empty()) {
    co_return fail(Errc::corrupt, fmt::format("{}: no whole batch at offset {}", directory_, offset));
  }
  co_return std::move(batches);
}

std::optional<SnapshotId> MetadataLog::latest_snapshot() const {
  if (snapshots_.empty() || *snapshots_.rbegin() == kBootstrapSnapshotId) return std::nullopt;
  return *snapshots_.rbegin();
}

std::optional<SnapshotId> MetadataLog::earliest_snapshot() const {
  if (snapshots_.empty()) return std::nullopt;
  return *snapshots_.begin();
}

io::Task<Result<SnapshotReader>> MetadataLog::read_snapshot(SnapshotId id) {
  std::string path = io::join_path(directory_, snapshot_file_name(id));
  Result<Slice> content = co_await io::read_file(shard_.files(), std::move(path), kMostSnapshotBytes);
  KLAMM_CO_TRY(content);
  co_return SnapshotReader(id, std::move(*content));
}

io::Task<Result<void>> MetadataLog::store_snapshot(SnapshotId id, std::vector<Slice> batches) {
  if (snapshots_.contains(id)) co_return Result<void>();
  Result<void> written = co_await write_snapshot_file(shard_, directory_, id, std::move(batches));
  KLAMM_CO_TRY(written);
  snapshots_.insert(id);
  co_return Result<void>();
}

io::Task<Result<MetadataLog::SnapshotPart>> MetadataLog::read_snapshot_part(SnapshotId id, std::int64_t position,
                                                                            std::int64_t max_bytes) {
  std::string path = io::join_path(directory_, snapshot_file_name(id));
  Result<std::shared_ptr<io::File>> file = co_await shard_.files().open(std::move(path), io::OpenMode::read);
  KLAMM_CO_TRY(file);
  Result<std::uint64_t> size = co_await (*file)->size();
  KLAMM_CO_TRY(size);
  SnapshotPart part;
  part.size = static_cast<std::int64_t>(*size);
  if (position < 0 || position >= part.size) {
    co_return fail(protocol::kafka_error(protocol::ErrorCode::position_out_of_range,
                                         fmt::format("position {} of a snapshot of {} bytes", position, part.size)));
  }
  const std::int64_t wanted = std::min({part.size - position, std::max<std::int64_t>(max_bytes, 1), kMostPartBytes});
  Buffer::Ref buffer = Buffer::allocate(static_cast<std::size_t>(wanted));
  const MutableBytes into(buffer->data(), static_cast<std::size_t>(wanted));
  Result<std::size_t> got = co_await (*file)->read(static_cast<std::uint64_t>(position), into);
  KLAMM_CO_TRY(got);
  part.bytes = Slice(buffer, *got);
  co_return std::move(part);
}

std::string MetadataLog::part_path(SnapshotId id) const {
  return io::join_path(directory_, fmt::format("{:020}-{:010}.checkpoint.part", id.end_offset, id.epoch));
}

io::Task<Result<void>> MetadataLog::write_snapshot_part(SnapshotId id, std::int64_t position, Slice bytes) {
  Result<std::shared_ptr<io::File>> file = co_await shard_.files().open(part_path(id), io::OpenMode::create);
  KLAMM_CO_TRY(file);
  if (position == 0) {
    Result<void> emptied = co_await (*file)->truncate(0);
    KLAMM_CO_TRY(emptied);
  }
  const Bytes parts[] = {bytes.bytes()};
  Result<void> written = co_await (*file)->write(static_cast<std::uint64_t>(position), parts);
  co_return written;
}

// Reads all of it: a snapshot that does not decode must not take the place of a log that does.
io::Task<Result<ControlFacts>> MetadataLog::check_part(SnapshotId id) {
  Result<Slice> content = co_await io::read_file(shard_.files(), part_path(id), kMostSnapshotBytes);
  KLAMM_CO_TRY(content);
  SnapshotReader reader(id, std::move(*content));
  ControlFacts facts;
  for (bool first = true;; first = false) {
    Result<std::optional<Batch>> batch = reader.next();
    KLAMM_CO_TRY(batch);
    if (!*batch) break;
    if (first) facts = (*batch)->control_facts;
  }
  co_return std::move(facts);
}

io::Task<Result<ControlFacts>> MetadataLog::install_snapshot(SnapshotId id) {
  io::FileSystem& files = shard_.files();
  const std::string part = part_path(id);
  Result<ControlFacts> facts = co_await check_part(id);
  if (!facts) {
    Result<void> removed = co_await files.remove(part);
    static_cast<void>(removed);
    co_return fail(std::move(facts).error());
  }
  Result<std::shared_ptr<io::File>> file = co_await files.open(part, io::OpenMode::read_write);
  KLAMM_CO_TRY(file);
  Result<void> done = co_await (*file)->sync();
  KLAMM_CO_TRY(done);
  done = co_await files.set_read_only(part);
  KLAMM_CO_TRY(done);
  done = co_await files.rename(part, io::join_path(directory_, snapshot_file_name(id)));
  KLAMM_CO_TRY(done);
  done = co_await files.sync_directory(directory_);
  KLAMM_CO_TRY(done);
  snapshots_.insert(id);
  done = co_await log_->truncate_fully_and_start_at(id.end_offset);
  KLAMM_CO_TRY(done);
  for (const SnapshotId& old : std::vector<SnapshotId>(snapshots_.begin(), snapshots_.end())) {
    if (old == id) continue;
    done = co_await drop_snapshot(old);
    KLAMM_CO_TRY(done);
  }
  co_return std::move(facts);
}

io::Task<Result<std::uint64_t>> MetadataLog::snapshot_size(SnapshotId id) {
  Result<io::FileInfo> info = co_await shard_.files().stat(io::join_path(directory_, snapshot_file_name(id)));
  KLAMM_CO_TRY(info);
  co_return info->size;
}

io::Task<Result<void>> MetadataLog::drop_snapshot(SnapshotId id) {
  Result<void> removed = co_await shard_.files().remove(io::join_path(directory_, snapshot_file_name(id)));
  if (!removed && !(removed.error() == Errc::not_found)) co_return removed;
  snapshots_.erase(id);
  co_return Result<void>();
}

io::Task<Result<void>> MetadataLog::clean(TimestampMs now_ms) {
  std::uint64_t total = static_cast<std::uint64_t>(size_bytes());
  for (const SnapshotId& id : std::vector<SnapshotId>(snapshots_.begin(), snapshots_.end())) {
    Result<std::uint64_t> size = co_await snapshot_size(id);
    KLAMM_CO_TRY(size);
    total += *size;
  }
  while (snapshots_.size() > 1) {
    const SnapshotId oldest = *snapshots_.begin();
    const SnapshotId next = *std::next(snapshots_.begin());
    bool drop = options_.max_retention_bytes >= 0 && total > static_cast<std::uint64_t>(options_.max_retention_bytes);
    if (!drop && options_.max_retention_ms >= 0) {
      Result<SnapshotReader> reader = co_await read_snapshot(oldest);
      KLAMM_CO_TRY(reader);
      Result<std::optional<Batch>> first = reader->next();
      KLAMM_CO_TRY(first);
      const TimestampMs timestamp = reader->last_contained_ms();
      drop = timestamp > 0 && now_ms - timestamp > options_.max_retention_ms;
    }
    if (!drop) break;
    Result<std::uint64_t> snapshot_bytes = co_await snapshot_size(oldest);
    KLAMM_CO_TRY(snapshot_bytes);
    const std::uint64_t log_before = static_cast<std::uint64_t>(size_bytes());
    Result<void> cut = co_await log_->delete_before(next.end_offset);
    KLAMM_CO_TRY(cut);
    Result<void> dropped = co_await drop_snapshot(oldest);
    KLAMM_CO_TRY(dropped);
    const std::uint64_t freed = *snapshot_bytes + log_before - static_cast<std::uint64_t>(size_bytes());
    total -= std::min(total, freed);
    options_.logger.info("dropped the metadata below offset {}, which snapshot {} holds", next.end_offset,
                         snapshot_file_name(next));
  }
  co_return Result<void>();
}

io::Task<Result<void>> MetadataLog::close() {
  Result<void> closed = co_await log_->close();
  co_return closed;
}

io::Task<void> MetadataLog::abandon() { co_await log_->abandon(); }

}  // namespace klamm::raft
