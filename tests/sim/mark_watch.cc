#include "mark_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "broker/storage/batch_summary.h"
#include "broker/storage/checkpoint.h"
#include "broker/storage/names.h"
#include "broker_host.h"

namespace klamm::simtest {

namespace {

// Where the log of a partition's directory ends, as its last segment says; -1 if there is none.
std::int64_t log_end(const io::sim::DiskImage& disk, const std::string& directory) {
  const Result<io::sim::DiskImage::InodeRef> found = disk.find(directory);
  if (!found) return -1;
  std::optional<std::int64_t> last;
  for (const auto& [name, file] : (*found)->entries) {
    const std::optional<std::int64_t> base = storage::parse_file_name(name, storage::suffix::kLog);
    if (base) last = std::max(last.value_or(-1), *base);
  }
  if (!last) return -1;
  const Result<std::string> content = disk.content(directory + "/" + storage::file_name(*last, storage::suffix::kLog));
  if (!content) return -1;
  std::int64_t end = *last;
  for (Bytes rest = as_bytes(*content); !rest.empty();) {
    const std::optional<storage::BatchSummary> batch = storage::BatchSummary::parse(rest);
    if (!batch || batch->size <= 0 || static_cast<std::size_t>(batch->size) > rest.size()) break;
    end = batch->last_offset + 1;
    rest = rest.subspan(static_cast<std::size_t>(batch->size));
  }
  return end;
}

std::string directory_of(const protocol::TopicPartition& partition) {
  return fmt::format("{}/{}", BrokerHost::kDataDirectory, storage::directory_name(partition));
}

}  // namespace

void MarkWatch::losing_disk(io::sim::Node& machine) {
  for (const auto& [partition, mark] : highest_) {
    const std::int64_t end = log_end(machine.disk().image(), directory_of(partition));
    if (end >= 0) lost_[partition].push_back(end);
  }
}

void MarkWatch::renaming(io::sim::Node& machine, const std::string& path) {
  if (path.find(storage::kHighWatermarkFile) == std::string::npos) return;
  const Result<std::string> content = machine.disk().image().content(path);
  if (!content) return;
  const Result<storage::OffsetCheckpoint> marks = storage::parse_offset_checkpoint(*content);
  if (!marks) return;
  for (const auto& [partition, mark] : *marks) {
    std::int64_t& highest = highest_[partition];
    if (mark <= highest) continue;
    highest = mark;
    check(machine, partition, mark);
  }
}

void MarkWatch::check(io::sim::Node& machine, const protocol::TopicPartition& partition, std::int64_t mark) {
  ++checked_;
  std::size_t holders = 0;
  std::string ends;
  for (io::sim::Node* each : machines_) {
    const std::int64_t end = log_end(each->disk().image(), directory_of(partition));
    if (end >= mark) ++holders;
    ends += fmt::format(" {}:{}", each->name(), end);
  }
  const auto lost = lost_.find(partition);
  if (lost != lost_.end()) {
    holders += static_cast<std::size_t>(
        std::count_if(lost->second.begin(), lost->second.end(), [mark](std::int64_t end) { return end >= mark; }));
  }
  if (holders >= holders_) return;
  complaints_.push_back(fmt::format("the high watermark of {} is {} on {}, and {} replicas have that much:{}",
                                    partition, mark, machine.name(), holders, ends));
}

}  // namespace klamm::simtest
