// How many files a shard's segments keep open: the descriptors of a process are few, its segments may be many. A file
// is opened when it is used and closed again when others were used later than it and the bound is reached. Everything
// on one shard.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

#include "base/result.h"
#include "io/file.h"

namespace klamm::storage {

class CachedFile;

// True if the process or the system has no descriptor left: the file was not touched, and the next attempt may succeed.
bool is_descriptor_shortage(const Error& error);

// The open files of a shard, in the order of their last use, and their bound. Those who work on a file hold it
// themselves: it is not closed under them, and does not count here any more.
class OpenFiles {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  explicit OpenFiles(std::size_t most = kUnlimited) : most_(most) {}
  ~OpenFiles();
  OpenFiles(const OpenFiles&) = delete;
  OpenFiles& operator=(const OpenFiles&) = delete;

  std::size_t count() const noexcept { return count_; }
  std::size_t most() const noexcept { return most_; }
  // Descriptors are short: closes a good part. False if there was none to close.
  bool make_room();

 private:
  friend class CachedFile;
  void add(CachedFile& file);
  void remove(CachedFile& file);
  // Closes those used longest ago until `count` or fewer are open.
  void shrink_to(std::size_t count);

  std::size_t most_;
  std::size_t count_ = 0;
  CachedFile* oldest_ = nullptr;
  CachedFile* newest_ = nullptr;
};

// What `attempt()`, a Task of a Result, comes to. If it found no descriptor, some of `open_files` (null: none) are
// closed and it is tried once more.
template <typename Attempt>
auto with_descriptors(std::shared_ptr<OpenFiles> open_files, Attempt attempt) -> std::invoke_result_t<Attempt&> {
  auto done = co_await attempt();
  if (!done && is_descriptor_shortage(done.error()) && open_files != nullptr && open_files->make_room()) {
    done = co_await attempt();
  }
  co_return done;
}

// One file of a segment, open or not. What was written and not synced survives the closing: a later sync of the file,
// opened again, makes it durable (Linux tells a failed writeback that nobody has heard of to whoever opens the file
// next).
class CachedFile {
 public:
  // `open_files` may be null: then the file stays open until release().
  CachedFile(io::FileSystem& files, std::shared_ptr<OpenFiles> open_files)
      : files_(&files), open_files_(std::move(open_files)) {}
  ~CachedFile() { release(); }
  CachedFile(const CachedFile&) = delete;
  CachedFile& operator=(const CachedFile&) = delete;

  // The file, opened if it is not. Without a descriptor for it, others are closed and it is tried once more.
  io::Task<Result<std::shared_ptr<io::File>>> open(std::string path, io::OpenMode mode);
  bool is_open() const noexcept { return file_ != nullptr; }
  // Only while it is open: notes the use.
  const std::shared_ptr<io::File>& use();
  // Lets go of the file; whoever works on it may finish.
  void release();

 private:
  friend class OpenFiles;
  void hold(std::shared_ptr<io::File> file);

  io::FileSystem* files_;
  std::shared_ptr<OpenFiles> open_files_;
  std::shared_ptr<io::File> file_;
  CachedFile* older_ = nullptr;
  CachedFile* newer_ = nullptr;
};

}  // namespace klamm::storage
