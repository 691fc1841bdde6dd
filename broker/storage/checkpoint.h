// The small text files of a data directory and of a partition's directory. Each file has a pure format and parse
// function; load_* and save_* do the I/O. Saving replaces the file so that a crash leaves the old or the new one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "io/file.h"
#include "protocol/ids.h"

namespace klamm::storage {

// ---- <name>-offset-checkpoint: an offset a partition, for all partitions of a data directory.
using OffsetCheckpoint = std::map<protocol::TopicPartition, std::int64_t>;
std::string format_offset_checkpoint(const OffsetCheckpoint& offsets);
// Errc::malformed if a line or the count is wrong. An empty text is an empty checkpoint.
Result<OffsetCheckpoint> parse_offset_checkpoint(std::string_view text);
// An absent file is an empty checkpoint.
io::Task<Result<OffsetCheckpoint>> load_offset_checkpoint(io::FileSystem& files, std::string path);
io::Task<Result<void>> save_offset_checkpoint(io::FileSystem& files, std::string path, OffsetCheckpoint offsets);

// ---- leader-epoch-checkpoint: where each leader epoch begins.
struct EpochEntry {
  std::int32_t epoch = 0;
  std::int64_t start_offset = 0;
  friend bool operator==(const EpochEntry&, const EpochEntry&) = default;
};
std::string format_epoch_checkpoint(const std::vector<EpochEntry>& entries);
Result<std::vector<EpochEntry>> parse_epoch_checkpoint(std::string_view text);
io::Task<Result<std::vector<EpochEntry>>> load_epoch_checkpoint(io::FileSystem& files, std::string path);
io::Task<Result<void>> save_epoch_checkpoint(io::FileSystem& files, std::string path, std::vector<EpochEntry> entries);

// ---- partition.metadata: the topic id that a partition's directory belongs to.
std::string format_partition_metadata(const Uuid& topic_id);
Result<Uuid> parse_partition_metadata(std::string_view text);
// Empty if the file is absent.
io::Task<Result<std::optional<Uuid>>> load_partition_metadata(io::FileSystem& files, std::string directory);
io::Task<Result<void>> save_partition_metadata(io::FileSystem& files, std::string directory, Uuid topic_id);

// ---- .kafka_cleanshutdown: there after a clean stop, with the broker epoch of that run.
std::string format_clean_shutdown(std::int64_t broker_epoch);
Result<std::int64_t> parse_clean_shutdown(std::string_view text);
// Empty if absent; -1 if it is there but names no epoch (an older broker's).
io::Task<Result<std::optional<std::int64_t>>> load_clean_shutdown(io::FileSystem& files, std::string directory);
io::Task<Result<void>> save_clean_shutdown(io::FileSystem& files, std::string directory, std::int64_t broker_epoch);

// ---- meta.properties: whose data directory this is.
struct MetaProperties {
  std::string cluster_id;
  std::int32_t node_id = -1;
  Uuid directory_id;  // zero: none yet
  friend bool operator==(const MetaProperties&, const MetaProperties&) = default;
};
// `now_ms` becomes the date comment of the second line, in UTC.
std::string format_meta_properties(const MetaProperties& meta, TimestampMs now_ms);
// Errc::malformed for a missing or bad key, Errc::unsupported for another version than 1.
Result<MetaProperties> parse_meta_properties(std::string_view text);
io::Task<Result<std::optional<MetaProperties>>> load_meta_properties(io::FileSystem& files, std::string directory);
io::Task<Result<void>> save_meta_properties(io::FileSystem& files, std::string directory, MetaProperties meta,
                                            TimestampMs now_ms);

}  // namespace klamm::storage
