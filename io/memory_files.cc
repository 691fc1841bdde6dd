// A file system in memory: names in a map, content in anonymous files of the kernel (memfd), so that reads, gathered
// writes and sendfile work as on the disk.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "io/disk.h"

namespace klamm::io {

class MemoryTree {
 public:
  // A file's content; closed with its last name and its last open File.
  class Content {
   public:
    explicit Content(int descriptor) : descriptor_(descriptor) {}
    ~Content() { ::close(descriptor_); }
    int descriptor() const { return descriptor_; }

   private:
    int descriptor_;
  };
  using ContentRef = std::shared_ptr<Content>;

  Result<ContentRef> open(const std::string& path, OpenMode mode) {
    const std::lock_guard lock(mutex_);
    const auto known = nodes_.find(path);
    if (known != nodes_.end()) {
      if (mode == OpenMode::create_new) return fail(Errc::already_exists, path);
      if (!known->second) return fail(system_error(EISDIR, path));
      return known->second;
    }
    if (mode == OpenMode::read || mode == OpenMode::read_write) return fail(Errc::not_found, path);
    if (!is_directory(parent_path(path))) return fail(Errc::not_found, path);
    const int descriptor = ::memfd_create("klamm", MFD_CLOEXEC);
    if (descriptor < 0) return fail(system_error(errno, path));
    return nodes_.emplace(path, std::make_shared<Content>(descriptor)).first->second;
  }
  Result<void> rename(const std::string& from, const std::string& to) {
    const std::lock_guard lock(mutex_);
    const auto known = nodes_.find(from);
    if (known == nodes_.end()) return fail(Errc::not_found, from);
    if (!is_directory(parent_path(to))) return fail(Errc::not_found, to);
    if (known->second) {
      ContentRef content = std::move(known->second);
      nodes_.erase(known);
      nodes_[to] = std::move(content);
      return {};
    }
    if (nodes_.contains(to)) return fail(Errc::already_exists, to);
    std::map<std::string, ContentRef> moved;  // the directory and all below it
    for (auto each = nodes_.lower_bound(from); each != nodes_.end() && each->first.starts_with(from);) {
      if (each->first.size() > from.size() && each->first[from.size()] != '/') {
        ++each;
        continue;
      }
      moved.emplace(to + each->first.substr(from.size()), std::move(each->second));
      each = nodes_.erase(each);
    }
    nodes_.merge(moved);
    return {};
  }
  Result<void> remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    const auto known = nodes_.find(path);
    if (known == nodes_.end()) return fail(Errc::not_found, path);
    if (!known->second && !list_locked(path).empty()) return fail(system_error(ENOTEMPTY, path));
    nodes_.erase(known);
    return {};
  }
  Result<void> make_directories(const std::string& path) {
    const std::lock_guard lock(mutex_);
    for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
      const std::string prefix = path.substr(0, slash);
      const auto known = nodes_.emplace(prefix, nullptr).first;
      if (known->second) return fail(system_error(ENOTDIR, prefix));
      if (slash == std::string::npos) return {};
    }
  }
  Result<std::vector<std::string>> list(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (!is_directory(path)) return fail(Errc::not_found, path);
    return list_locked(path);
  }
  Result<FileInfo> stat(const std::string& path) {
    const std::lock_guard lock(mutex_);
    FileInfo info;
    info.is_directory = is_directory(path);
    if (info.is_directory) return info;
    const auto known = nodes_.find(path);
    struct stat status {};
    if (known == nodes_.end()) return fail(Errc::not_found, path);
    if (::fstat(known->second->descriptor(), &status) != 0) return fail(system_error(errno, path));
    info.size = static_cast<std::uint64_t>(status.st_size);
    info.modified_ms = status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1'000'000;
    return info;
  }
  Result<void> set_modified(const std::string& path, TimestampMs modified_ms) {
    const std::lock_guard lock(mutex_);
    const auto known = nodes_.find(path);
    if (known == nodes_.end() || !known->second) return fail(Errc::not_found, path);
    const timespec times[2] = {{0, UTIME_OMIT}, {modified_ms / 1000, modified_ms % 1000 * 1'000'000}};
    if (::futimens(known->second->descriptor(), times) != 0) return fail(system_error(errno, path));
    return {};
  }

 private:
  bool is_directory(const std::string& path) const {
    if (path == "/" || path == ".") return true;
    const auto known = nodes_.find(path);
    return known != nodes_.end() && !known->second;
  }
  std::vector<std::string> list_locked(const std::string& path) const {
    std::vector<std::string> names;
    const std::string prefix = join_path(path, "");
    for (auto each = nodes_.lower_bound(prefix); each != nodes_.end() && each->first.starts_with(prefix); ++each) {
      const std::string name = each->first.substr(prefix.size());
      if (!name.empty() && name.find('/') == std::string::npos) names.push_back(name);
    }
    return names;
  }

  std::mutex mutex_;
  std::map<std::string, ContentRef> nodes_;  // null content: a directory
};

std::shared_ptr<MemoryTree> make_memory_tree() { return std::make_shared<MemoryTree>(); }

namespace {

class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem(Shard& home, std::shared_ptr<DiskThreads> threads, std::shared_ptr<MemoryTree> tree)
      : home_(home), threads_(std::move(threads)), tree_(std::move(tree)) {}

  Task<Result<std::shared_ptr<File>>> open(std::string path, OpenMode mode) override {
    if (mode == OpenMode::create || mode == OpenMode::create_new) {
      Result<void> alive = threads_->alive(path);
      KLAMM_CO_TRY(alive);
    }
    Result<MemoryTree::ContentRef> content = tree_->open(path, mode);
    KLAMM_CO_TRY(content);
    const int descriptor = ::fcntl((*content)->descriptor(), F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0) co_return fail(system_error(errno, path));
    co_return make_file(home_, threads_, std::move(path), descriptor);
  }
  Task<Result<void>> rename(std::string from, std::string to) override {
    Result<void> alive = threads_->alive(from);
    KLAMM_CO_TRY(alive);
    co_return tree_->rename(from, to);
  }
  Task<Result<void>> remove(std::string path) override {
    Result<void> alive = threads_->alive(path);
    KLAMM_CO_TRY(alive);
    co_return tree_->remove(path);
  }
  Task<Result<void>> make_directories(std::string path) override {
    Result<void> alive = threads_->alive(path);
    KLAMM_CO_TRY(alive);
    co_return tree_->make_directories(path);
  }
  Task<Result<void>> sync_directory(std::string) override { co_return Result<void>(); }
  Task<Result<std::vector<std::string>>> list(std::string path) override { co_return tree_->list(path); }
  Task<Result<FileInfo>> stat(std::string path) override { co_return tree_->stat(path); }
  Task<Result<SpaceInfo>> space(std::string) override { co_return SpaceInfo{kSpace, kSpace}; }
  Task<Result<std::unique_ptr<FileLock>>> lock(std::string) override { co_return std::make_unique<FileLock>(); }
  Task<Result<void>> set_read_only(std::string) override { co_return Result<void>(); }
  Task<Result<void>> set_modified(std::string path, TimestampMs modified_ms) override {
    co_return tree_->set_modified(path, modified_ms);
  }
  Task<void> run_aside(std::function<void()> work) override {
    auto job = [&work] {
      work();
      return true;
    };
    co_await threads_->run(home_, job);
  }
  Task<Result<std::size_t>> read_region(FileRegion region, MutableBytes into) override {
    if (into.size() > region.size) into = into.first(region.size);
    co_return region.file->try_read(region.offset, into);  // always in memory
  }

 private:
  static constexpr std::uint64_t kSpace = 1ULL << 40;
  Shard& home_;
  std::shared_ptr<DiskThreads> threads_;
  std::shared_ptr<MemoryTree> tree_;
};

}  // namespace

std::unique_ptr<FileSystem> make_memory_file_system(Shard& home, std::shared_ptr<DiskThreads> threads,
                                                    std::shared_ptr<MemoryTree> tree) {
  return std::make_unique<MemoryFileSystem>(home, std::move(threads), std::move(tree));
}

}  // namespace klamm::io
