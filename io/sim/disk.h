// A simulated node's disk: what a machine's files are after writes, syncs, faults and crashes. It belongs to the node
// and outlives its processes. Tests look at it and set its faults; code under test sees it through io::FileSystem.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "io/sim/disk_image.h"
#include "io/sim/trace.h"

namespace klamm::io::sim {

// A span of time drawn anew for each use, both ends included.
struct DelayRange {
  Duration low{0};
  Duration high{0};
  Duration draw(Random& random) const { return Duration(random.between(low.count(), high.count())); }
};

struct DiskOptions {
  std::uint64_t capacity_bytes = 1ULL << 40;
  DelayRange read{20us, 300us};
  DelayRange write{5us, 100us};
  DelayRange sync{200us, 5ms};
  DelayRange metadata{10us, 500us};
  // A read, write or look-up is answered inline, without a turn of the loop.
  double inline_chance = 0.3;
  // try_read() finds a page that is not in memory.
  double not_resident_chance = 0.1;
  // A page that is written again before its sync has its earlier content on the disk already (background writeback).
  double writeback_chance = 0.25;
};

enum class DiskOperation : std::uint8_t {
  open,    // of a file that is there
  create,  // of a file that is not
  read,
  write,
  sync,
  truncate,
  allocate,
  rename,
  remove,
  make_directory,
  sync_directory,
  set_read_only,
  look_up,  // list, stat, size, space, lock
};
std::string_view name_of(DiskOperation operation);
// True for what changes the disk or makes a change durable: the places where a crash makes a difference.
bool is_crash_point(DiskOperation operation);

// Makes operations fail. A rule looks at operations of its kind on paths that contain `path`; the first `skip` matches
// pass, the next `times` fail.
struct DiskFault {
  DiskOperation operation = DiskOperation::write;
  std::string path;      // a part of the path; empty: all
  int error_number = 5;  // EIO
  std::uint64_t skip = 0;
  std::uint64_t times = ~std::uint64_t{0};
};

class Disk {
 public:
  Disk(DiskOptions options, std::uint64_t seed, DiskImage image, Trace& trace, const Instant& now, std::uint32_t node);
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  DiskOptions& options() noexcept { return options_; }
  DiskImage& image() noexcept { return image_; }
  const DiskImage& image() const noexcept { return image_; }
  // What a crash at this moment would leave, drawn from `seed`. Start another node on it (NodeOptions::image).
  DiskImage image_after_crash(Unsynced unsynced, std::uint64_t seed) const;

  void inject(DiskFault fault) { faults_.push_back(std::move(fault)); }
  void clear_faults() { faults_.clear(); }
  // From now on a sync of a path that contains `path` does nothing, and says that all went well.
  void ignore(DiskOperation sync, std::string path) { ignored_.emplace_back(sync, std::move(path)); }
  bool is_ignored(DiskOperation sync, const std::string& path) const;
  // Operations take `factor` times as long from now on; 1 is the normal speed.
  void set_slowdown(double factor) { slowdown_ = factor; }

  // Crash points passed so far (see is_crash_point).
  std::uint64_t crash_points() const noexcept { return crash_points_; }
  // Calls `action` when crash point number `count` from now begins (1: the very next), before it has any effect. The
  // action may crash the node. Replaces an earlier one.
  void crash_after(std::uint64_t count, std::function<void()> action);
  // Called as each operation begins.
  void set_observer(std::function<void(DiskOperation, const std::string& path)> observer) {
    observer_ = std::move(observer);
  }

  // For the file system: an operation begins. Returns the errno to fail with, 0 if none.
  int begin(DiskOperation operation, const std::string& path, std::uint64_t size);
  Duration draw_latency(DiskOperation operation);
  Random& random() noexcept { return random_; }
  Trace& trace() noexcept { return trace_; }
  Instant now() const noexcept { return now_; }
  std::uint32_t node() const noexcept { return node_; }
  // The process is gone: its locks are free, the image is what survives.
  void crash(Unsynced unsynced);
  bool lock(const std::string& path, std::uint64_t holder);
  void unlock(const std::string& path, std::uint64_t holder);

 private:
  DiskOptions options_;
  Random random_;
  DiskImage image_;
  Trace& trace_;
  const Instant& now_;  // the simulation's clock
  std::uint32_t node_;
  double slowdown_ = 1;
  std::vector<DiskFault> faults_;
  std::vector<std::pair<DiskOperation, std::string>> ignored_;
  std::uint64_t crash_points_ = 0;
  std::uint64_t crash_at_ = 0;  // the value of crash_points_ to act at; 0: none
  std::function<void()> crash_action_;
  std::function<void(DiskOperation, const std::string&)> observer_;
  std::map<std::string, std::uint64_t> locks_;  // normalized path -> holder
};

}  // namespace klamm::io::sim
