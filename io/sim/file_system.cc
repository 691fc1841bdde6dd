#include "io/sim/file_system.h"

#include <algorithm>
#include <cerrno>

namespace klamm::io::sim {

PendingOperation::PendingOperation(SimShard& shard, DiskOperation operation, std::string path, std::uint64_t size)
    : shard_(shard), path_(std::move(path)) {
  Process& process = shard_.process();
  if (!process.dead()) {
    Disk& disk = process.node().disk();
    error_number_ = disk.begin(operation, path_, size);  // may crash the node
    latency_ = disk.draw_latency(operation);
    const bool can_be_inline =
        operation == DiskOperation::read || operation == DiskOperation::write || operation == DiskOperation::look_up;
    inline_ = can_be_inline && disk.random().chance(disk.options().inline_chance);
  }
  cancelled_ = process.dead();
  process.add(*this);
}

PendingOperation::~PendingOperation() {
  if (event_) shard_.simulation().events().cancel(*event_);
  shard_.process().remove(*this);
}

bool PendingOperation::await_ready() { return inline_ && !cancelled_; }

void PendingOperation::await_suspend(std::coroutine_handle<> handle) {
  wakeup_.set(handle);
  if (cancelled_) {
    shard_.enqueue(wakeup_);
    return;
  }
  Simulation& simulation = shard_.simulation();
  event_ = simulation.events().add(simulation.now() + latency_, [this] {
    event_.reset();
    shard_.enqueue(wakeup_);
  });
}

std::optional<Error> PendingOperation::failure() {
  shard_.process().remove(*this);
  if (cancelled_) return Error(Errc::cancelled, path_);
  if (error_number_ != 0) return system_error(error_number_, path_);
  return std::nullopt;
}

void PendingOperation::crash(Random& random) {
  if (at_crash_ && error_number_ == 0 && !cancelled_) at_crash_(random);
  cancelled_ = true;
  if (event_) shard_.simulation().events().cancel(*std::exchange(event_, std::nullopt));
  if (wakeup_.waiting()) shard_.enqueue(wakeup_);
}

namespace {

class SimFile final : public File {
 public:
  SimFile(SimShard& shard, std::string path, DiskImage::InodeRef inode, bool writable)
      : shard_(shard), path_(std::move(path)), inode_(std::move(inode)), writable_(writable) {}
  ~SimFile() override = default;

  const std::string& path() const override { return path_; }
  int descriptor() const override { return -1; }

  Result<std::size_t> try_read(std::uint64_t offset, MutableBytes into) override {
    if (shard_.process().dead()) return fail(Errc::cancelled, path_);
    if (disk().random().chance(disk().options().not_resident_chance)) return fail(Errc::would_block);
    return read_now(offset, into);
  }
  // What is there, whether it is "in memory" or not.
  Result<std::size_t> read_now(std::uint64_t offset, MutableBytes into) const {
    if (shard_.process().dead()) return fail(Errc::cancelled, path_);
    if (inode_->is_directory) return fail(system_error(EISDIR, path_));
    return image().read(*inode_, offset, into);
  }

  Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override {
    PendingOperation operation(shard_, DiskOperation::read, path_, into.size());
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    co_return read_now(offset, into);
  }

  Task<Result<void>> write(std::uint64_t offset, std::span<const Bytes> parts) override {
    std::uint64_t size = 0;
    for (const Bytes& part : parts) size += part.size();
    PendingOperation operation(shard_, DiskOperation::write, path_, size);
    operation.at_crash([this, offset, parts, size](Random& random) { put(offset, parts, random.below(size + 1)); });
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed && *failed == Errc::cancelled) co_return fail(std::move(*failed));
    if (!writable_) co_return fail(system_error(EBADF, path_));
    if (failed) {
      put(offset, parts, disk().random().below(size + 1));
      co_return fail(std::move(*failed));
    }
    for (const Bytes& part : parts) disk().trace().add(part);
    if (put(offset, parts, size) < size) co_return fail(system_error(ENOSPC, path_));
    co_return Result<void>();
  }

  Task<Result<void>> sync() override {
    PendingOperation operation(shard_, DiskOperation::sync, path_);
    if (shard_.process().dead()) {
      co_await operation;
      co_return fail(Errc::cancelled, path_);
    }
    const DiskImage::SyncSnapshot snapshot = image().begin_sync(*inode_);
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) {
      if (!(*failed == Errc::cancelled)) image().fail_sync(*inode_, disk().random());
      co_return fail(std::move(*failed));
    }
    if (!disk().is_ignored(DiskOperation::sync, path_)) image().finish_sync(*inode_, snapshot);
    co_return Result<void>();
  }

  Task<Result<void>> truncate(std::uint64_t size) override {
    PendingOperation operation(shard_, DiskOperation::truncate, path_, size);
    operation.at_crash([this, size](Random& random) {
      if (random.chance(0.5)) image().truncate(*inode_, size);
    });
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    if (!writable_) co_return fail(system_error(EBADF, path_));
    image().truncate(*inode_, size);
    touch();
    co_return Result<void>();
  }

  Task<Result<void>> allocate(std::uint64_t size) override {
    PendingOperation operation(shard_, DiskOperation::allocate, path_, size);
    operation.at_crash([this, size](Random& random) {
      if (random.chance(0.5)) image().allocate(*inode_, size, disk().options().capacity_bytes);
    });
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    if (!writable_) co_return fail(system_error(EBADF, path_));
    if (!image().allocate(*inode_, size, disk().options().capacity_bytes)) co_return fail(system_error(ENOSPC, path_));
    co_return Result<void>();
  }

  Task<Result<std::uint64_t>> size() override {
    PendingOperation operation(shard_, DiskOperation::look_up, path_);
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    co_return inode_->size;
  }

 private:
  Disk& disk() const { return shard_.process().node().disk(); }
  DiskImage& image() const { return disk().image(); }
  void touch() { inode_->modified_ms = shard_.wall_ms(); }

  // Writes the first `limit` bytes of the parts; returns how many found room.
  std::uint64_t put(std::uint64_t offset, std::span<const Bytes> parts, std::uint64_t limit) {
    touch();
    const DiskOptions& options = disk().options();
    std::uint64_t done = 0;
    for (const Bytes& part : parts) {
      const Bytes wanted = part.first(std::min<std::uint64_t>(part.size(), limit - done));
      const std::size_t written = image().write(*inode_, offset + done, wanted, options.capacity_bytes, disk().random(),
                                                options.writeback_chance);
      done += written;
      if (written < wanted.size()) break;
    }
    return done;
  }

  SimShard& shard_;
  std::string path_;
  DiskImage::InodeRef inode_;
  bool writable_;
};

class SimLock final : public FileLock {
 public:
  SimLock(Process& process, std::string path) : process_(process), path_(std::move(path)) {}
  ~SimLock() override {
    if (!process_.dead()) process_.node().disk().unlock(path_, process_.number());
  }

 private:
  Process& process_;
  std::string path_;
};

class SimFileSystem final : public FileSystem {
 public:
  explicit SimFileSystem(SimShard& shard) : shard_(shard) {}

  Task<Result<std::shared_ptr<File>>> open(std::string path, OpenMode mode) override {
    const bool may_create = mode == OpenMode::create || mode == OpenMode::create_new;
    const bool creates = may_create && !image().find(path).has_value();
    PendingOperation operation(shard_, creates ? DiskOperation::create : DiskOperation::open, path);
    operation.at_crash([this, &path, creates](Random& random) {
      if (creates && random.chance(0.5)) static_cast<void>(image().create(path, false, shard_.wall_ms()));
    });
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    Result<DiskImage::InodeRef> inode = image().find(path);
    if (inode && mode == OpenMode::create_new) co_return fail(Errc::already_exists, path);
    if (!inode && may_create && inode.error() == Errc::not_found) inode = image().create(path, false, shard_.wall_ms());
    KLAMM_CO_TRY(inode);
    const bool writable = mode != OpenMode::read;
    if (writable && (*inode)->is_directory) co_return fail(system_error(EISDIR, path));
    if (writable && (*inode)->read_only) co_return fail(system_error(EACCES, path));
    std::shared_ptr<File> file = std::make_shared<SimFile>(shard_, path, *inode, writable);
    co_return file;
  }

  Task<Result<void>> rename(std::string from, std::string to) override {
    Result<void> done =
        co_await change(DiskOperation::rename, from, [this, &from, &to] { return image().rename(from, to); });
    co_return done;
  }

  Task<Result<void>> remove(std::string path) override {
    Result<void> done = co_await change(DiskOperation::remove, path, [this, &path] { return image().remove(path); });
    co_return done;
  }

  Task<Result<void>> make_directories(std::string path) override {
    Result<DiskImage::InodeRef> there = image().find(path);
    const DiskOperation kind = there ? DiskOperation::look_up : DiskOperation::make_directory;
    Result<void> done =
        co_await change(kind, path, [this, &path] { return image().make_directories(path, shard_.wall_ms()); });
    co_return done;
  }

  Task<Result<void>> sync_directory(std::string path) override {
    Result<void> done = co_await change(DiskOperation::sync_directory, path, [this, &path] {
      return disk().is_ignored(DiskOperation::sync_directory, path) ? Result<void>() : image().sync_directory(path);
    });
    co_return done;
  }

  Task<Result<void>> set_read_only(std::string path) override {
    Result<void> done = co_await change(DiskOperation::set_read_only, path, [this, &path]() -> Result<void> {
      Result<DiskImage::InodeRef> inode = image().find(path);
      KLAMM_TRY(inode);
      (*inode)->read_only = true;
      return {};
    });
    co_return done;
  }

  Task<Result<void>> set_modified(std::string path, TimestampMs modified_ms) override {
    Result<DiskImage::InodeRef> inode = co_await look_up(path);
    KLAMM_CO_TRY(inode);
    (*inode)->modified_ms = modified_ms;
    co_return Result<void>();
  }

  // At one moment of virtual time, some time after it was asked for; also when the process has died meanwhile, as a
  // thread would go on.
  Task<void> run_aside(std::function<void()> work) override {
    PendingOperation operation(shard_, DiskOperation::look_up, "work aside");
    co_await operation;
    [[maybe_unused]] const std::optional<Error> ignored = operation.failure();
    work();
  }

  Task<Result<std::vector<std::string>>> list(std::string path) override {
    Result<DiskImage::InodeRef> inode = co_await look_up(path);
    KLAMM_CO_TRY(inode);
    if (!(*inode)->is_directory) co_return fail(system_error(ENOTDIR, path));
    std::vector<std::string> names;
    for (const auto& [name, number] : (*inode)->entries) names.push_back(name);
    co_return names;
  }

  Task<Result<FileInfo>> stat(std::string path) override {
    Result<DiskImage::InodeRef> inode = co_await look_up(path);
    KLAMM_CO_TRY(inode);
    FileInfo info;
    info.size = (*inode)->size;
    info.modified_ms = (*inode)->modified_ms;
    info.is_directory = (*inode)->is_directory;
    co_return info;
  }

  Task<Result<SpaceInfo>> space(std::string path) override {
    Result<DiskImage::InodeRef> inode = co_await look_up(path);
    KLAMM_CO_TRY(inode);
    SpaceInfo info;
    info.total_bytes = disk().options().capacity_bytes;
    info.free_bytes = info.total_bytes - std::min(info.total_bytes, image().used_bytes());
    co_return info;
  }

  Task<Result<std::unique_ptr<FileLock>>> lock(std::string path) override {
    Result<std::shared_ptr<File>> file = co_await open(path, OpenMode::create);
    KLAMM_CO_TRY(file);
    Process& process = shard_.process();
    if (process.dead()) co_return fail(Errc::cancelled, path);
    if (!disk().lock(path, process.number())) co_return fail(Errc::unavailable, path + " is locked by another process");
    std::unique_ptr<FileLock> lock = std::make_unique<SimLock>(process, path);
    co_return lock;
  }

  Task<Result<std::size_t>> read_region(FileRegion region, MutableBytes into) override {
    into = into.first(std::min<std::uint64_t>(into.size(), region.size));
    PendingOperation operation(shard_, DiskOperation::read, region.file->path(), into.size());
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    co_return sim::read_now(*region.file, region.offset, into);
  }

 private:
  Disk& disk() const { return shard_.process().node().disk(); }
  DiskImage& image() const { return disk().image(); }

  // One change of names: has its effect wholly or not at all, at a crash as well.
  template <typename Effect>
  Task<Result<void>> change(DiskOperation kind, std::string path, Effect effect) {
    PendingOperation operation(shard_, kind, path);
    operation.at_crash([&effect](Random& random) {
      if (random.chance(0.5)) static_cast<void>(effect());
    });
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    co_return effect();
  }

  Task<Result<DiskImage::InodeRef>> look_up(std::string path) {
    PendingOperation operation(shard_, DiskOperation::look_up, path);
    co_await operation;
    std::optional<Error> failed = operation.failure();
    if (failed) co_return fail(std::move(*failed));
    co_return image().find(path);
  }

  SimShard& shard_;
};

}  // namespace

Result<std::size_t> read_now(File& file, std::uint64_t offset, MutableBytes into) {
  auto* simulated = dynamic_cast<SimFile*>(&file);
  KLAMM_CHECK(simulated != nullptr, "a file that is not simulated");
  return simulated->read_now(offset, into);
}

std::unique_ptr<FileSystem> make_file_system(SimShard& shard) { return std::make_unique<SimFileSystem>(shard); }

}  // namespace klamm::io::sim
