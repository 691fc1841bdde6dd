// Files, awaited. A FileSystem is one shard's view of the machine's files; what it opens belongs to that shard.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"
#include "io/piece.h"
#include "io/task.h"

namespace klamm::io {

enum class OpenMode {
  read,        // must exist
  read_write,  // must exist
  create,      // read and write, made if absent
  create_new,  // read and write, Errc::already_exists if it is there
};

struct FileInfo {
  std::uint64_t size = 0;
  TimestampMs modified_ms = 0;
  bool is_directory = false;
};

struct SpaceInfo {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
};

// An open file. Closed when the last holder lets go (from any shard). Only the shard that opened it may call the
// awaited operations; one write, sync or truncate at a time is the caller's duty where their order matters. Errors
// keep their errno (ENOSPC, EIO) in std::system_category() with the path as context.
class File {
 public:
  virtual ~File() = default;
  virtual const std::string& path() const = 0;

  // Reads at `offset` until `into` is full or the file ends; returns the bytes read. Inline when the pages are in
  // memory, else on the directory's reader thread.
  virtual Task<Result<std::size_t>> read(std::uint64_t offset, MutableBytes into) = 0;
  // The same, but never waits for the disk: Errc::would_block where a page is not in memory. Any shard may call it.
  virtual Result<std::size_t> try_read(std::uint64_t offset, MutableBytes into) = 0;
  // Writes all parts one after the other at `offset`. Not durable until sync(). On failure an unknown prefix is there.
  // The parts' memory must live until the task is done.
  virtual Task<Result<void>> write(std::uint64_t offset, std::span<const Bytes> parts) = 0;
  Task<Result<void>> write(std::uint64_t offset, Bytes bytes);
  // Makes all that was written durable (fdatasync: content and size). After a failed sync the content is suspect.
  virtual Task<Result<void>> sync() = 0;
  virtual Task<Result<void>> truncate(std::uint64_t size) = 0;
  // Reserves space up to `size` and extends the file with zeros to it.
  virtual Task<Result<void>> allocate(std::uint64_t size) = 0;
  virtual Task<Result<std::uint64_t>> size() = 0;
  // For sendfile; -1 in the simulator.
  virtual int descriptor() const = 0;
};

// An exclusive lock on a file (a directory's .lock); released on destruction or when the process ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Task<Result<std::shared_ptr<File>>> open(std::string path, OpenMode mode) = 0;
  // Atomically gives `from` the name `to`, replacing a file there. Durable after sync_directory of the parent.
  virtual Task<Result<void>> rename(std::string from, std::string to) = 0;
  // Removes a file or an empty directory. Errc::not_found if absent.
  virtual Task<Result<void>> remove(std::string path) = 0;
  // Makes a directory and its missing parents; success if it is there already.
  virtual Task<Result<void>> make_directories(std::string path) = 0;
  virtual Task<Result<void>> sync_directory(std::string path) = 0;
  // The names in a directory, sorted; without "." and "..".
  virtual Task<Result<std::vector<std::string>>> list(std::string path) = 0;
  // Errc::not_found if absent.
  virtual Task<Result<FileInfo>> stat(std::string path) = 0;
  virtual Task<Result<SpaceInfo>> space(std::string path) = 0;
  // The path from the root, where the process has a working directory.
  virtual std::string absolute(std::string path) const { return path; }
  // Takes the lock file's lock, making the file if needed; Errc::unavailable if another process holds it.
  virtual Task<Result<std::unique_ptr<FileLock>>> lock(std::string path) = 0;
  // Mode 0400: a finished snapshot.
  virtual Task<Result<void>> set_read_only(std::string path) = 0;
  // Gives a file another time of last change (a file that replaces others keeps theirs).
  virtual Task<Result<void>> set_modified(std::string path, TimestampMs modified_ms) = 0;
  // Runs `work` on a disk thread: for work on bytes that is too long for a shard's loop. It must not call the shard,
  // and what it uses is its own until the task is done.
  virtual Task<void> run_aside(std::function<void()> work) = 0;
  // Reads a region of a file that another shard may have opened, waiting for the disk if it must (streams without
  // sendfile). Returns fewer bytes only at the end of the file.
  virtual Task<Result<std::size_t>> read_region(FileRegion region, MutableBytes into) = 0;
};

// The whole content of a file (at most `limit_bytes`, else Errc::too_large).
Task<Result<Slice>> read_file(FileSystem& files, std::string path, std::uint64_t limit_bytes = 1ULL << 30);
// Replaces a file's content so that a crash leaves the old or the new one: "<path>.tmp", write, sync, rename, sync of
// the directory.
Task<Result<void>> write_file_atomically(FileSystem& files, std::string path, Slice content);
// Removes a directory and all below it; success if absent.
Task<Result<void>> remove_tree(FileSystem& files, std::string path);
// "dir" + "/" + "name".
std::string join_path(std::string_view directory, std::string_view name);
// The directory part of a path ("." if it has none).
std::string parent_path(std::string_view path);

}  // namespace klamm::io
