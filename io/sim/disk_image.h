// The content of a simulated disk: what the running system sees, and what is durable of it. A value: copies are
// independent (and cheap, pages are shared until written).
//
// Rules, as harsh as POSIX allows:
// - bytes, sizes and truncations of a file are durable after a sync of the file, as it was when the sync began;
// - creations, renames and removals are durable after sync_directory of the directory (a rename across two directories
//   never loses the file); a synced file whose name is not durable may be gone after a crash;
// - what is not durable at a crash survives or not, each page and each change of a directory for itself, in any order;
//   a page may be torn at a 512-byte sector;
// - a sync that fails may have written any part of the dirty pages, and a later sync does not try them again.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"

namespace klamm::io::sim {

// What a crash does to that which was written but not synced.
enum class Unsynced {
  lose_all,  // exactly the synced state remains
  keep_all,  // nothing is lost, it stays unsynced (the process died, the kernel lives)
  draw,      // each page, size and directory change is lost or kept by seed; pages may be torn
};

class DiskImage {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;
  static constexpr std::uint64_t kSectorBytes = 512;
  using Page = std::array<std::byte, kPageBytes>;
  using PageRef = std::shared_ptr<Page>;
  using Pages = std::map<std::uint64_t, PageRef>;  // by page index; an absent page is zeros
  using Number = std::uint64_t;

  struct Location {
    Number directory = 0;
    std::string name;
    friend bool operator==(const Location&, const Location&) = default;
  };

  struct Inode {
    Number number = 0;
    bool is_directory = false;
    bool read_only = false;
    TimestampMs modified_ms = 0;
    std::optional<Location> location;          // none: removed
    std::optional<Location> durable_location;  // none: gone after a crash, unless a pending change is kept

    std::uint64_t size = 0;
    std::uint64_t durable_size = 0;
    std::uint64_t smallest_size = 0;  // since the last sync: what lies above was cut off in between
    std::uint64_t reserved_pages = 0;
    Pages pages;
    Pages durable_pages;
    Pages dirty;  // pages to sync; the value is an earlier unsynced content that may be on the disk (null: none)

    std::map<std::string, Number> entries;
    std::map<std::string, Number> durable_entries;

    std::uint64_t used_pages() const { return std::max<std::uint64_t>(pages.size(), reserved_pages); }
  };
  using InodeRef = std::shared_ptr<Inode>;

  // What a sync will make durable, taken when it begins.
  struct SyncSnapshot {
    Pages pages;
    std::uint64_t size = 0;
  };

  DiskImage();
  DiskImage(const DiskImage& other);
  DiskImage& operator=(const DiskImage& other);
  DiskImage(DiskImage&&) = default;
  DiskImage& operator=(DiskImage&&) = default;

  // Names. Paths are taken apart at '/', relative ones start at the root; ".." goes up.
  Result<InodeRef> find(std::string_view path) const;  // Errc::not_found, ENOTDIR
  Result<InodeRef> create(std::string_view path, bool directory, TimestampMs now_ms);
  Result<void> make_directories(std::string_view path, TimestampMs now_ms);
  Result<void> rename(std::string_view from, std::string_view to);
  Result<void> remove(std::string_view path);
  Result<void> sync_directory(std::string_view path);
  static std::string normalized(std::string_view path);

  // Content.
  std::size_t read(const Inode& file, std::uint64_t offset, MutableBytes into) const;
  // Writes a prefix of `bytes`, all of it if `capacity_bytes` allows; returns its length.
  std::size_t write(Inode& file, std::uint64_t offset, Bytes bytes, std::uint64_t capacity_bytes, Random& random,
                    double writeback_chance);
  void truncate(Inode& file, std::uint64_t size);
  // False if there is no room.
  bool allocate(Inode& file, std::uint64_t size, std::uint64_t capacity_bytes);
  SyncSnapshot begin_sync(const Inode& file) const;
  void finish_sync(Inode& file, const SyncSnapshot& snapshot);
  void fail_sync(Inode& file, Random& random);
  std::uint64_t used_bytes() const noexcept { return used_pages_ * kPageBytes; }

  // The machine loses power: what survives is now the content, all of it durable. (keep_all changes nothing.)
  void crash(Unsynced unsynced, Random& random);

  // For tests: the content of a file without a file system; a bit that rots, in memory and on the disk.
  Result<std::string> content(std::string_view path) const;
  bool flip_bit(std::string_view path, std::uint64_t offset, unsigned bit = 0);
  // All files and directories with sizes, sorted.
  std::vector<std::string> tree() const;

 private:
  static constexpr Number kRoot = 1;
  struct Change {  // of directories, not yet durable
    Number inode;
    std::optional<Location> from;
    std::optional<Location> to;
  };

  InodeRef inode(Number number) const;
  Result<InodeRef> parent_of(const std::vector<std::string>& parts, std::string_view path) const;
  void link(Inode& inode, Location to);
  void unlink(Inode& inode);
  void place_durably(Inode& inode, const Location& to);
  void remove_durably(Inode& inode);
  void apply_durably(const Change& change);
  void forget_if_gone(Number number);
  void settle_names(Unsynced unsynced, Random& random);
  static void settle_content(Inode& file, Unsynced unsynced, Random& random);
  void rebuild_from_durable();
  Page& writable_page(Inode& file, std::uint64_t index);

  std::map<Number, InodeRef> inodes_;
  std::vector<Change> changes_;
  Number next_number_ = kRoot + 1;
  std::uint64_t used_pages_ = 0;
};

}  // namespace klamm::io::sim
