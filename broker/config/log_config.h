// What one topic's log is told to do: the 34 topic keys of Apache Kafka 4.3, parsed. Plain values, copied freely
// between shards. The defaults are Kafka's own; config::TopicConfigs (topic_config.h) fills it from broker and topic
// settings.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace klamm::config {

// message.timestamp.type, with the value that a batch's attribute bit has.
enum class TimestampType : std::int8_t { create_time = 0, log_append_time = 1 };

// compression.type of a topic: keep what the producer sent, or store in one codec.
enum class CompressionType : std::int8_t { producer, uncompressed, gzip, snappy, lz4, zstd };

struct LogConfig {
  static constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

  // Segments.
  std::int32_t segment_bytes = 1'073'741'824;     // segment.bytes (internal.segment.bytes, if set, wins)
  std::int64_t segment_ms = 604'800'000;          // segment.ms: a segment older than this is rolled at the next append
  std::int64_t segment_jitter_ms = 0;             // segment.jitter.ms: at most this is taken off segment_ms, by chance
  std::int32_t segment_index_bytes = 10'485'760;  // segment.index.bytes: the most that one index file holds
  std::int32_t index_interval_bytes = 4096;       // index.interval.bytes: log bytes between two index entries
  bool preallocate = false;                       // preallocate
  std::int64_t file_delete_delay_ms = 60'000;  // file.delete.delay.ms: time between renaming to .deleted and deleting

  // Flushing.
  std::int64_t flush_messages = kUnlimited;  // flush.messages
  std::int64_t flush_ms = kUnlimited;        // flush.ms

  // Cleaning. With neither flag set (an empty cleanup.policy) nothing is ever removed.
  bool cleanup_delete = true;                       // "delete" in cleanup.policy
  bool cleanup_compact = false;                     // "compact" in cleanup.policy
  std::int64_t retention_bytes = -1;                // retention.bytes; -1: no limit
  std::int64_t retention_ms = 604'800'000;          // retention.ms; -1: no limit
  std::int64_t delete_retention_ms = 86'400'000;    // delete.retention.ms: how long compaction keeps tombstones
  double min_cleanable_dirty_ratio = 0.5;           // min.cleanable.dirty.ratio
  std::int64_t min_compaction_lag_ms = 0;           // min.compaction.lag.ms
  std::int64_t max_compaction_lag_ms = kUnlimited;  // max.compaction.lag.ms

  // What is accepted, and in which form it is kept.
  std::int32_t max_message_bytes = 1'048'588;                 // max.message.bytes: the largest batch, header included
  TimestampType timestamp_type = TimestampType::create_time;  // message.timestamp.type
  std::int64_t timestamp_before_max_ms = kUnlimited;          // message.timestamp.before.max.ms
  std::int64_t timestamp_after_max_ms = 3'600'000;            // message.timestamp.after.max.ms
  CompressionType compression_type = CompressionType::producer;  // compression.type
  int compression_gzip_level = -1;                               // compression.gzip.level; -1: the codec's default
  int compression_lz4_level = 9;                                 // compression.lz4.level
  int compression_zstd_level = 3;                                // compression.zstd.level

  // Replication.
  std::int32_t min_insync_replicas = 1;                  // min.insync.replicas
  bool unclean_leader_election = false;                  // unclean.leader.election.enable
  std::vector<std::string> leader_throttled_replicas;    // leader.replication.throttled.replicas
  std::vector<std::string> follower_throttled_replicas;  // follower.replication.throttled.replicas

  // Tiered storage: known and validated, not served.
  bool remote_storage = false;                // remote.storage.enable
  bool remote_log_copy_disable = false;       // remote.log.copy.disable
  bool remote_log_delete_on_disable = false;  // remote.log.delete.on.disable
  std::int64_t local_retention_bytes = -2;    // local.retention.bytes; -2: as retention_bytes
  std::int64_t local_retention_ms = -2;       // local.retention.ms; -2: as retention_ms

  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

}  // namespace klamm::config
