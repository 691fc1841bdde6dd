#include "io/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "io/survey.h"

namespace klamm::io {

ThreadPool::ThreadPool(unsigned most) : most_(most) {
  if (most_ > 0) grow();
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  pending_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::grow() {
  threads_.emplace_back([this] { work(); });
}

void ThreadPool::submit(void (*run)(void*), void* argument) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({run, argument});
    wake = queue_.size() <= idle_;  // beyond that, all who could be woken have been
    if (!wake && threads_.size() < most_) {
      try {
        grow();
      } catch (const std::system_error&) {  // no more threads: those that run will come to it
      }
    }
  }
  if (wake) pending_.notify_one();
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    pending_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    const Entry entry = queue_.front();
    queue_.pop_front();
    lock.unlock();
    entry.run(entry.argument);
    lock.lock();
  }
}

namespace {

Error errno_error(const std::string& path) {
  if (errno == ENOENT) return {Errc::not_found, path};
  if (errno == EEXIST) return {Errc::already_exists, path};
  return system_error(errno, path);
}

Result<std::size_t> read_fully(int fd, std::uint64_t offset, MutableBytes into, const std::string& path) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail(errno_error(path));
    }
    done += static_cast<std::size_t>(got);
  }
  return done;
}

// Writes the parts in groups of at most IOV_MAX, going on after short writes.
Result<void> write_fully(int fd, std::uint64_t offset, std::span<const Bytes> parts, const std::string& path) {
  constexpr std::size_t kMostParts = 64;
  std::array<iovec, kMostParts> vectors;
  std::size_t part = 0, inside = 0;
  while (part < parts.size()) {
    std::size_t count = 0;
    for (std::size_t at = part, skip = inside; at < parts.size() && count < kMostParts; ++at, skip = 0) {
      if (parts[at].size() == skip) continue;
      vectors[count++] = {const_cast<std::byte*>(parts[at].data()) + skip, parts[at].size() - skip};
    }
    if (count == 0) break;
    ssize_t put = ::pwritev(fd, vectors.data(), static_cast<int>(count), static_cast<off_t>(offset));
    if (put < 0) {
      if (errno == EINTR) continue;
      return fail(errno_error(path));
    }
    offset += static_cast<std::uint64_t>(put);
    auto left = static_cast<std::size_t>(put);
    while (part < parts.size() && left >= parts[part].size() - inside) {
      left -= parts[part].size() - inside;
      inside = 0;
      ++part;
    }
    inside += left;
  }
  return {};
}

class RealFile final : public File {
 public:
  RealFile(Shard& home, std::shared_ptr<DiskThreads> threads, std::string path, int fd)
      : home_(home), threads_(std::move(threads)), path_(std::move(path)), fd_(fd) {}
  ~RealFile() override {
    forget_dirty();
    ::close(fd_);
  }
  const std::string& path() const override { return path_; }
  int descriptor() const override { return fd_; }

  Result<std::size_t> try_read(std::uint64_t offset, MutableBytes into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      iovec vector{into.data() + done, into.size() - done};
      const int flags = can_probe_.load(std::memory_order_relaxed) ? RWF_NOWAIT : 0;
      const ssize_t got = ::preadv2(fd_, &vector, 1, static_cast<off_t>(offset + done), flags);
      if (got == 0) break;
      if (got < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return fail(Errc::would_block);
        if (errno == EOPNOTSUPP && flags != 0) {  // this file system (memory, some network ones) reads without asking
          can_probe_.store(false, std::memory_order_relaxed);
          continue;
        }
        return fail(errno_error(path_));
      }
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) override {
    Result<std::size_t> at_once = try_read(offset, into);
    if (at_once || !(at_once.error() == Errc::would_block)) co_return at_once;
    auto job = [this, offset, into] { return read_fully(fd_, offset, into, path_); };
    Result<std::size_t> got = co_await threads_->run(home_, job);
    co_return got;
  }

  Task<Result<void>> write(std::uint64_t offset, std::span<const Bytes> parts) override {
    if (threads_->dead()) co_return fail(Errc::cancelled, path_);
    std::int64_t bytes = 0;
    for (const Bytes& part : parts) bytes += static_cast<std::int64_t>(part.size());
    dirty_bytes_ += bytes;
    if (threads_->dirty_bytes.fetch_add(bytes) < DiskThreads::kInlineDirtyBound) {
      Result<void> written = write_fully(fd_, offset, parts, path_);
      co_return written;
    }
    auto job = [this, offset, parts] {
      Result<void> alive = threads_->alive(path_);
      if (!alive) return alive;
      Result<void> written = write_fully(fd_, offset, parts, path_);
      ::sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);  // start the writeback that will make room again
      forget_dirty();
      return written;
    };
    Result<void> written = co_await threads_->run(home_, job);
    co_return written;
  }

  Task<Result<void>> sync() override {
    auto job = [this]() -> Result<void> {
      Result<void> alive = threads_->alive(path_);
      KLAMM_TRY(alive);
      if (::fdatasync(fd_) != 0) return fail(errno_error(path_));
      forget_dirty();
      return {};
    };
    Result<void> synced = co_await threads_->run(home_, job, DiskLane::sync);
    co_return synced;
  }

  Task<Result<void>> truncate(std::uint64_t size) override {
    auto job = [this, size]() -> Result<void> {
      Result<void> alive = threads_->alive(path_);
      KLAMM_TRY(alive);
      if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return fail(errno_error(path_));
      return {};
    };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }

  Task<Result<void>> allocate(std::uint64_t size) override {
    auto job = [this, size]() -> Result<void> {
      Result<void> alive = threads_->alive(path_);
      KLAMM_TRY(alive);
      const int failure = ::posix_fallocate(fd_, 0, static_cast<off_t>(size));
      if (failure != 0) return fail(system_error(failure, path_));
      return {};
    };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }

  Task<Result<std::uint64_t>> size() override {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) co_return fail(errno_error(path_));
    co_return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  void forget_dirty() { threads_->dirty_bytes.fetch_sub(dirty_bytes_.exchange(0)); }

  Shard& home_;
  std::shared_ptr<DiskThreads> threads_;
  std::string path_;
  int fd_;
  std::atomic<std::int64_t> dirty_bytes_{0};
  std::atomic<bool> can_probe_{true};
};

class RealLock final : public FileLock {
 public:
  explicit RealLock(int fd) : fd_(fd) {}
  ~RealLock() override { ::close(fd_); }

 private:
  int fd_;
};

Result<std::unique_ptr<FileLock>> take_lock(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return fail(errno_error(path));
  struct flock whole {};  // a POSIX record lock, as Java's FileChannel.lock takes: each side sees the other's
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(fd, F_SETLK, &whole) != 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return fail(Errc::unavailable, path + " is locked by another process");
  }
  return std::make_unique<RealLock>(fd);
}

Result<void> make_directories_now(const std::string& path) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    if (::mkdir(prefix.c_str(), 0755) != 0 && errno != EEXIST) return fail(errno_error(prefix));
    if (slash == std::string::npos) break;
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return fail(errno_error(path));
  if (!S_ISDIR(status.st_mode)) return fail(system_error(ENOTDIR, path));
  return {};
}

Result<std::vector<std::string>> list_now(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return fail(errno_error(path));
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

// A descriptor that is closed with it.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

FileInfo info_of(const struct stat& status) {
  FileInfo info;
  info.size = static_cast<std::uint64_t>(status.st_size);
  info.modified_ms = status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1'000'000;
  info.is_directory = S_ISDIR(status.st_mode);
  return info;
}

Result<Slice> read_part_now(int fd, std::uint64_t offset, std::uint64_t size, const std::string& path) {
  if (size == 0) return Slice();
  Buffer::Ref buffer = Buffer::allocate(size);
  Result<std::size_t> got = read_fully(fd, offset, MutableBytes(buffer->data(), size), path);
  KLAMM_TRY(got);
  if (*got != size) return fail(Errc::corrupt, path + ": shorter than it was");
  return Slice(std::move(buffer), size);
}

// Names are taken below the directory's descriptor: a long path is walked once. False if the file is not there any
// more.
Result<bool> look_at_now(int directory, const std::string& path, SurveyedFile& found, SurveyBytes wanted) {
  struct stat status {};
  if (::fstatat(directory, found.name.c_str(), &status, 0) != 0) {
    if (errno == ENOENT) return false;
    return fail(errno_error(join_path(path, found.name)));
  }
  found.info = info_of(status);
  const std::uint64_t head = std::min<std::uint64_t>(wanted.head, found.info.size);
  const std::uint64_t tail = std::min<std::uint64_t>(wanted.tail, found.info.size);
  if (found.info.is_directory || (head == 0 && tail == 0)) return true;
  const std::string full = join_path(path, found.name);
  const Descriptor file(::openat(directory, found.name.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT) return false;
    return fail(errno_error(full));
  }
  Result<Slice> part = read_part_now(file.get(), 0, head, full);
  KLAMM_TRY(part);
  found.head = *std::move(part);
  part = read_part_now(file.get(), found.info.size - tail, tail, full);
  KLAMM_TRY(part);
  found.tail = *std::move(part);
  return true;
}

Result<Survey> survey_now(const std::string& path, SurveyWish wish) {
  Result<std::vector<std::string>> names = list_now(path);
  KLAMM_TRY(names);
  const std::vector<SurveyBytes> wanted = wish == nullptr ? std::vector<SurveyBytes>(names->size()) : wish(*names);
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) return fail(errno_error(path));
  std::vector<SurveyedFile> found;
  found.reserve(names->size());
  for (std::size_t i = 0; i < names->size(); ++i) {
    SurveyedFile file;
    file.name = std::move((*names)[i]);
    Result<bool> there = look_at_now(directory.get(), path, file, wanted[i]);
    KLAMM_TRY(there);
    if (*there) found.push_back(std::move(file));
  }
  return Survey(std::move(found));
}

class RealFileSystem final : public FileSystem, public Surveyor {
 public:
  RealFileSystem(Shard& home, std::shared_ptr<DiskThreads> threads) : home_(home), threads_(std::move(threads)) {}

  Task<Result<std::shared_ptr<File>>> open(std::string path, OpenMode mode) override {
    int flags = O_CLOEXEC | (mode == OpenMode::read ? O_RDONLY : O_RDWR);
    if (mode == OpenMode::create) flags |= O_CREAT;
    if (mode == OpenMode::create_new) flags |= O_CREAT | O_EXCL;
    auto job = [this, &path, flags]() -> Result<std::shared_ptr<File>> {
      if (flags & O_CREAT) {
        Result<void> alive = threads_->alive(path);
        KLAMM_TRY(alive);
      }
      const int fd = ::open(path.c_str(), flags, 0644);
      if (fd < 0) return fail(errno_error(path));
      return std::make_shared<RealFile>(home_, threads_, path, fd);
    };
    Result<std::shared_ptr<File>> file = co_await threads_->run(home_, job);
    co_return file;
  }
  Task<Result<void>> rename(std::string from, std::string to) override {
    auto job = [this, &from, &to]() -> Result<void> {
      Result<void> alive = threads_->alive(from);
      KLAMM_TRY(alive);
      return checked(::rename(from.c_str(), to.c_str()), from);
    };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }
  Task<Result<void>> remove(std::string path) override {
    auto job = [this, &path]() -> Result<void> {
      Result<void> alive = threads_->alive(path);
      KLAMM_TRY(alive);
      if (::unlink(path.c_str()) == 0) return {};
      if (errno != EISDIR && errno != EPERM) return fail(errno_error(path));
      return checked(::rmdir(path.c_str()), path);
    };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }
  Task<Result<void>> make_directories(std::string path) override {
    auto job = [this, &path]() -> Result<void> {
      Result<void> alive = threads_->alive(path);
      KLAMM_TRY(alive);
      return make_directories_now(path);
    };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }
  Task<Result<void>> sync_directory(std::string path) override {
    auto job = [&path]() -> Result<void> {
      const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd < 0) return fail(errno_error(path));
      Result<void> synced = checked(::fsync(fd), path);
      ::close(fd);
      return synced;
    };
    Result<void> done = co_await threads_->run(home_, job, DiskLane::sync);
    co_return done;
  }
  std::string absolute(std::string path) const override {
    std::error_code error;
    const std::filesystem::path full = std::filesystem::absolute(path, error);
    return error ? path : full.string();
  }
  Task<Result<std::vector<std::string>>> list(std::string path) override {
    auto job = [&path] { return list_now(path); };
    Result<std::vector<std::string>> names = co_await threads_->run(home_, job);
    co_return names;
  }
  Task<Result<FileInfo>> stat(std::string path) override {
    auto job = [&path]() -> Result<FileInfo> {
      struct stat status {};
      if (::stat(path.c_str(), &status) != 0) return fail(errno_error(path));
      return info_of(status);
    };
    Result<FileInfo> info = co_await threads_->run(home_, job);
    co_return info;
  }
  Task<Result<Survey>> survey_at_once(std::string path, SurveyWish wish) override {
    auto job = [&path, wish] { return survey_now(path, wish); };
    Result<Survey> found = co_await threads_->run(home_, job);
    co_return found;
  }
  Task<Result<SpaceInfo>> space(std::string path) override {
    auto job = [&path]() -> Result<SpaceInfo> {
      struct statvfs status {};
      if (::statvfs(path.c_str(), &status) != 0) return fail(errno_error(path));
      return SpaceInfo{status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize};
    };
    Result<SpaceInfo> info = co_await threads_->run(home_, job);
    co_return info;
  }
  Task<Result<std::unique_ptr<FileLock>>> lock(std::string path) override {
    auto job = [&path] { return take_lock(path); };
    Result<std::unique_ptr<FileLock>> lock = co_await threads_->run(home_, job);
    co_return lock;
  }
  Task<Result<void>> set_read_only(std::string path) override {
    auto job = [&path]() -> Result<void> { return checked(::chmod(path.c_str(), 0400), path); };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }
  Task<Result<void>> set_modified(std::string path, TimestampMs modified_ms) override {
    auto job = [&path, modified_ms]() -> Result<void> {
      const timespec times[2] = {{0, UTIME_OMIT}, {modified_ms / 1000, modified_ms % 1000 * 1'000'000}};
      return checked(::utimensat(AT_FDCWD, path.c_str(), times, 0), path);
    };
    Result<void> done = co_await threads_->run(home_, job);
    co_return done;
  }
  Task<void> run_aside(std::function<void()> work) override {
    auto job = [&work] {
      work();
      return true;
    };
    co_await threads_->run(home_, job);
  }
  Task<Result<std::size_t>> read_region(FileRegion region, MutableBytes into) override {
    into = into.first(std::min<std::uint64_t>(into.size(), region.size));
    Result<std::size_t> at_once = region.file->try_read(region.offset, into);
    if (at_once || !(at_once.error() == Errc::would_block)) co_return at_once;
    auto job = [&region, into] {
      return read_fully(region.file->descriptor(), region.offset, into, region.file->path());
    };
    Result<std::size_t> got = co_await threads_->run(home_, job);
    co_return got;
  }

 private:
  static Result<void> checked(int outcome, const std::string& path) {
    if (outcome != 0) return fail(errno_error(path));
    return {};
  }
  Shard& home_;
  std::shared_ptr<DiskThreads> threads_;
};

}  // namespace

std::shared_ptr<File> make_file(Shard& home, std::shared_ptr<DiskThreads> threads, std::string path, int descriptor) {
  return std::make_shared<RealFile>(home, std::move(threads), std::move(path), descriptor);
}

std::unique_ptr<FileSystem> make_file_system(Shard& home, std::shared_ptr<DiskThreads> threads) {
  return std::make_unique<RealFileSystem>(home, std::move(threads));
}

}  // namespace klamm::io
