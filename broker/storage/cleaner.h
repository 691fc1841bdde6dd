// One cleaning of one log: reads the dirty part into an offset map, then writes each group of segments anew without
// what the map makes obsolete, and puts it in their place. What stays and what goes is in compaction.h; how segments
// are replaced, and how a cleaning is ended early, in log.h.
//
// It is a coroutine on the log's own shard, which owns all segments. There it only waits for reads and writes of one
// buffer at a time. The work on the bytes (decompressing, hashing, compressing: milliseconds for a buffer, and a single
// batch of a megabyte cannot be split) is done by a disk thread, io::FileSystem::run_aside(), so that it never keeps
// the shard from its clients; the coroutine waits meanwhile, so nothing is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/result.h"
#include "base/time.h"
#include "broker/storage/compaction.h"
#include "broker/storage/log.h"
#include "io/task.h"

namespace klamm::storage {

struct CleaningOptions {
  std::size_t map_bytes = std::size_t{128} << 20;  // at most, for the offset map
  double load_factor = 0.9;                        // how full the map may get
  std::size_t io_buffer_bytes = std::size_t{256} << 10;
  // Told of bytes read or written; says when to go on. May be empty.
  std::function<io::Task<Instant>(std::int64_t bytes)> throttle;
};

struct CleaningReport {
  std::int64_t first_dirty = 0;  // where the dirty part began
  std::int64_t end = 0;          // everything below is clean now
  CompactionCounts counts;
  double map_load = 0;  // how full the map got
  Duration indexing{};
  Duration total{};
};

// Cleans `log` up to `range.end`, or as far as the map reaches; moves its first dirty offset. Errors: Errc::unavailable
// if the log is being changed or cleaned, Errc::cancelled if the log took the permit back, Errc::corrupt if stored
// bytes are damaged, KAFKA_STORAGE_ERROR (the disk failed or is full). In each case what was replaced so far holds, and
// the rest is as it was.
io::Task<Result<CleaningReport>> clean_log(Log& log, Cleanable range, CleaningOptions options);

// For tests: the segments that are put together, by the limits of size, index size and range of offsets.
std::vector<std::vector<std::shared_ptr<Segment>>> group_segments(const std::vector<std::shared_ptr<Segment>>& segments,
                                                                  std::int64_t most_bytes,
                                                                  std::int64_t most_index_bytes, std::int64_t end);

}  // namespace klamm::storage
