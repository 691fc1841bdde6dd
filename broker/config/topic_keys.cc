// Topic keys of Apache Kafka 4.3 (34) and the broker keys that stand for them when a topic sets nothing.
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

using namespace config_table;

constexpr std::int64_t kMinuteMs = 60'000;
constexpr std::int64_t kHourMs = 3'600'000;

constexpr ConfigKey kKeys[] = {
    ConfigKey{"cleanup.policy", kList, "delete", one_of("compact, delete"), kMedium}.about(
        "What becomes of old segments: delete, compact, both, or (empty) nothing."),
    ConfigKey{"compression.gzip.level", kInt, "-1", between_or(1, 9, -1), kMedium},
    ConfigKey{"compression.lz4.level", kInt, "9", between(1, 17), kMedium},
    ConfigKey{"compression.type", kString, "producer", one_of("uncompressed, zstd, lz4, snappy, gzip, producer"),
              kMedium}
        .about("The codec that batches are stored in; producer keeps what was sent."),
    ConfigKey{"compression.zstd.level", kInt, "3", between(-131072, 22), kMedium},
    ConfigKey{"delete.retention.ms", kLong, "86400000", at_least(0), kMedium}.about(
        "How long a tombstone is kept in a compacted log."),
    ConfigKey{"file.delete.delay.ms", kLong, "60000", at_least(0), kMedium}.about(
        "How long a deleted segment's file stays before it is removed."),
    ConfigKey{"flush.messages", kLong, "9223372036854775807", at_least(1), kMedium}.about(
        "After how many messages the log is flushed to disk."),
    ConfigKey{"flush.ms", kLong, "9223372036854775807", at_least(0), kMedium}.about(
        "After what time the log is flushed to disk."),
    ConfigKey{"follower.replication.throttled.replicas", kList, "", kThrottledReplicas, kMedium},
    ConfigKey{"index.interval.bytes", kInt, "4096", at_least(0), kMedium}.about(
        "Log bytes between two entries of the offset index."),
    ConfigKey{"internal.segment.bytes", kInt, kNoDefault, kAny, kMedium}.hidden(),
    ConfigKey{"leader.replication.throttled.replicas", kList, "", kThrottledReplicas, kMedium},
    ConfigKey{"local.retention.bytes", kLong, "-2", at_least(-2), kMedium},
    ConfigKey{"local.retention.ms", kLong, "-2", at_least(-2), kMedium},
    ConfigKey{"max.compaction.lag.ms", kLong, "9223372036854775807", at_least(1), kMedium}.about(
        "The longest time that a record stays uncompacted."),
    ConfigKey{"max.message.bytes", kInt, "1048588", at_least(0), kMedium}.about(
        "The largest record batch that is accepted, header included."),
    ConfigKey{"message.timestamp.after.max.ms", kLong, "3600000", at_least(0), kMedium}.about(
        "How far ahead of the broker's clock a record's time may be."),
    ConfigKey{"message.timestamp.before.max.ms", kLong, "9223372036854775807", at_least(0), kMedium}.about(
        "How far behind the broker's clock a record's time may be."),
    ConfigKey{"message.timestamp.type", kString, "CreateTime", one_of("CreateTime, LogAppendTime"), kMedium}.about(
        "Whether a record keeps its producer's time or gets the time of its append."),
    ConfigKey{"min.cleanable.dirty.ratio", kDouble, "0.5", between(0, 1), kMedium}.about(
        "The share of uncompacted log from which on it is compacted."),
    ConfigKey{"min.compaction.lag.ms", kLong, "0", at_least(0), kMedium}.about(
        "The shortest time that a record stays uncompacted."),
    ConfigKey{"min.insync.replicas", kInt, "1", at_least(1), kMedium}.about(
        "With acks=all, how many replicas must have a record for the write to succeed."),
    ConfigKey{"preallocate", kBoolean, "false", kAny, kMedium}.about(
        "Whether a new segment's file takes its full size at once."),
    ConfigKey{"remote.log.copy.disable", kBoolean, "false", kAny, kMedium},
    ConfigKey{"remote.log.delete.on.disable", kBoolean, "false", kAny, kMedium},
    ConfigKey{"remote.storage.enable", kBoolean, "false", kAny, kMedium},
    ConfigKey{"retention.bytes", kLong, "-1", kAny, kMedium}.about(
        "How large a partition's log may grow before its oldest segments go; -1 for no limit."),
    ConfigKey{"retention.ms", kLong, "604800000", at_least(-1), kMedium}.about(
        "How long records are kept; -1 for ever."),
    ConfigKey{"segment.bytes", kInt, "1073741824", at_least(1048576), kMedium}.about(
        "The size at which a segment is closed and a new one begun."),
    ConfigKey{"segment.index.bytes", kInt, "10485760", at_least(4), kMedium}.about(
        "The largest size of one index file."),
    ConfigKey{"segment.jitter.ms", kLong, "0", at_least(0), kMedium}.about(
        "The most that is taken off segment.ms by chance, so that segments do not all roll at once."),
    ConfigKey{"segment.ms", kLong, "604800000", at_least(1), kMedium}.about("The age at which a segment is closed."),
    ConfigKey{"unclean.leader.election.enable", kBoolean, "false", kAny, kMedium}.about(
        "Whether a replica outside the in-sync set may lead, at the price of lost records."),
};

constexpr TopicSynonyms kSynonyms[] = {
    {"cleanup.policy", {{"log.cleanup.policy"}}},
    {"compression.gzip.level", {{"compression.gzip.level"}}},
    {"compression.lz4.level", {{"compression.lz4.level"}}},
    {"compression.type", {{"compression.type"}}},
    {"compression.zstd.level", {{"compression.zstd.level"}}},
    {"delete.retention.ms", {{"log.cleaner.delete.retention.ms"}}},
    {"file.delete.delay.ms", {{"log.segment.delete.delay.ms"}}},
    {"flush.messages", {{"log.flush.interval.messages"}}},
    {"flush.ms", {{"log.flush.interval.ms"}, {"log.flush.scheduler.interval.ms"}}},
    {"index.interval.bytes", {{"log.index.interval.bytes"}}},
    {"local.retention.bytes", {{"log.local.retention.bytes"}}},
    {"local.retention.ms", {{"log.local.retention.ms"}}},
    {"max.compaction.lag.ms", {{"log.cleaner.max.compaction.lag.ms"}}},
    {"max.message.bytes", {{"message.max.bytes"}}},
    {"message.timestamp.after.max.ms", {{"log.message.timestamp.after.max.ms"}}},
    {"message.timestamp.before.max.ms", {{"log.message.timestamp.before.max.ms"}}},
    {"message.timestamp.type", {{"log.message.timestamp.type"}}},
    {"min.cleanable.dirty.ratio", {{"log.cleaner.min.cleanable.ratio"}}},
    {"min.compaction.lag.ms", {{"log.cleaner.min.compaction.lag.ms"}}},
    {"min.insync.replicas", {{"min.insync.replicas"}}},
    {"preallocate", {{"log.preallocate"}}},
    {"retention.bytes", {{"log.retention.bytes"}}},
    {"retention.ms", {{"log.retention.ms"}, {"log.retention.minutes", kMinuteMs}, {"log.retention.hours", kHourMs}}},
    {"segment.bytes", {{"log.segment.bytes"}}},
    {"segment.index.bytes", {{"log.index.size.max.bytes"}}},
    {"segment.jitter.ms", {{"log.roll.jitter.ms"}, {"log.roll.jitter.hours", kHourMs}}},
    {"segment.ms", {{"log.roll.ms"}, {"log.roll.hours", kHourMs}}},
    {"unclean.leader.election.enable", {{"unclean.leader.election.enable"}}},
};

}  // namespace

std::span<const ConfigKey> topic_keys() { return kKeys; }
std::span<const TopicSynonyms> topic_synonyms() { return kSynonyms; }

}  // namespace klamm::config
