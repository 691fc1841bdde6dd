#include "io/sim/disk.h"

#include <algorithm>
#include <cerrno>

namespace klamm::io::sim {

std::string_view name_of(DiskOperation operation) {
  switch (operation) {
    case DiskOperation::open: return "open";
    case DiskOperation::create: return "create";
    case DiskOperation::read: return "read";
    case DiskOperation::write: return "write";
    case DiskOperation::sync: return "sync";
    case DiskOperation::truncate: return "truncate";
    case DiskOperation::allocate: return "allocate";
    case DiskOperation::rename: return "rename";
    case DiskOperation::remove: return "remove";
    case DiskOperation::make_directory: return "make_directory";
    case DiskOperation::sync_directory: return "sync_directory";
    case DiskOperation::set_read_only: return "set_read_only";
    case DiskOperation::look_up: return "look_up";
  }
  return "unknown";
}

bool is_crash_point(DiskOperation operation) {
  switch (operation) {
    case DiskOperation::open:
    case DiskOperation::read:
    case DiskOperation::set_read_only:
    case DiskOperation::look_up: return false;
    default: return true;
  }
}

Disk::Disk(DiskOptions options, std::uint64_t seed, DiskImage image, Trace& trace, const Instant& now,
           std::uint32_t node)
    : options_(options), random_(seed), image_(std::move(image)), trace_(trace), now_(now), node_(node) {}

DiskImage Disk::image_after_crash(Unsynced unsynced, std::uint64_t seed) const {
  DiskImage survivors = image_;
  Random random(seed);
  survivors.crash(unsynced, random);
  return survivors;
}

bool Disk::is_ignored(DiskOperation sync, const std::string& path) const {
  return std::any_of(ignored_.begin(), ignored_.end(), [&](const auto& each) {
    return each.first == sync && path.find(each.second) != std::string::npos;
  });
}

void Disk::crash_after(std::uint64_t count, std::function<void()> action) {
  crash_at_ = crash_points_ + count;
  crash_action_ = std::move(action);
}

int Disk::begin(DiskOperation operation, const std::string& path, std::uint64_t size) {
  trace_.note(now_, name_of(operation), std::uint64_t{node_} << 32, size, 0, path);
  if (observer_) observer_(operation, path);
  if (is_crash_point(operation) && ++crash_points_ == crash_at_) {
    const std::function<void()> action = std::move(crash_action_);
    crash_at_ = 0;
    crash_action_ = nullptr;
    if (action) action();
  }
  for (DiskFault& fault : faults_) {
    if (fault.operation != operation || path.find(fault.path) == std::string::npos || fault.times == 0) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    --fault.times;
    return fault.error_number;
  }
  return 0;
}

Duration Disk::draw_latency(DiskOperation operation) {
  const DelayRange* range = &options_.metadata;
  if (operation == DiskOperation::read) range = &options_.read;
  if (operation == DiskOperation::write) range = &options_.write;
  if (operation == DiskOperation::sync || operation == DiskOperation::sync_directory) range = &options_.sync;
  const auto normal = static_cast<double>(range->draw(random_).count());
  return Duration(static_cast<std::int64_t>(normal * slowdown_));
}

void Disk::crash(Unsynced unsynced) {
  trace_.note(now_, "disk crash", std::uint64_t{node_} << 32, static_cast<std::uint64_t>(unsynced));
  image_.crash(unsynced, random_);
  locks_.clear();
}

bool Disk::lock(const std::string& path, std::uint64_t holder) {
  return locks_.emplace(DiskImage::normalized(path), holder).second;
}

void Disk::unlock(const std::string& path, std::uint64_t holder) {
  const auto found = locks_.find(DiskImage::normalized(path));
  if (found != locks_.end() && found->second == holder) locks_.erase(found);
}

}  // namespace klamm::io::sim
