// Broker keys of Apache Kafka 4.3: topics, logs, their cleaning and tiers.
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

using namespace config_table;

constexpr ConfigKey kKeys[] = {
    ConfigKey{"alter.config.policy.class.name", kClass, kNoDefault, kAny, kLow},
    ConfigKey{"auto.create.topics.enable", kBoolean, "true", kAny, kHigh}.about(
        "Whether a topic is created when a client first asks for it."),
    ConfigKey{"compression.gzip.level", kInt, "-1", between_or(1, 9, -1), kMedium}.cluster_wide(),
    ConfigKey{"compression.lz4.level", kInt, "9", between(1, 17), kMedium}.cluster_wide(),
    ConfigKey{"compression.type", kString, "producer", one_of("uncompressed, zstd, lz4, snappy, gzip, producer"), kHigh}
        .cluster_wide()
        .about("The codec that batches are stored in; producer keeps what was sent."),
    ConfigKey{"compression.zstd.level", kInt, "3", between(-131072, 22), kMedium}.cluster_wide(),
    ConfigKey{"cordoned.log.dirs", kList, "", kAny, kMedium}.per_broker(),
    ConfigKey{"create.topic.policy.class.name", kClass, kNoDefault, kAny, kLow},
    ConfigKey{"default.replication.factor", kInt, "1", kAny, kMedium}.about(
        "Replicas of a topic that is created without a number of them."),
    ConfigKey{"delete.topic.enable", kBoolean, "true", kAny, kHigh}.about("Whether topics may be deleted."),
    ConfigKey{"log.cleaner.backoff.ms", kLong, "15000", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.dedupe.buffer.size", kLong, "134217728", kAny, kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.delete.retention.ms", kLong, "86400000", at_least(0), kMedium}.cluster_wide().about(
        "How long a tombstone is kept in a compacted log."),
    ConfigKey{"log.cleaner.enable", kBoolean, "true", kAny, kMedium}.about("Whether logs are compacted at all."),
    ConfigKey{"log.cleaner.io.buffer.load.factor", kDouble, "0.9", kAny, kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.io.buffer.size", kInt, "524288", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.io.max.bytes.per.second", kDouble, "1.7976931348623157E308", kAny, kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.max.compaction.lag.ms", kLong, "9223372036854775807", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.min.cleanable.ratio", kDouble, "0.5", between(0, 1), kMedium}.cluster_wide().about(
        "The share of uncompacted log from which on it is compacted."),
    ConfigKey{"log.cleaner.min.compaction.lag.ms", kLong, "0", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"log.cleaner.threads", kInt, "1", at_least(0), kMedium}.cluster_wide().about(
        "How many logs are compacted at once."),
    ConfigKey{"log.cleanup.policy", kList, "delete", one_of("compact, delete"), kMedium}.cluster_wide().about(
        "What becomes of old segments: delete, compact, or both."),
    ConfigKey{"log.dir", kList, "/tmp/kafka-logs", kNonEmptyList, kHigh}.about(
        "The directory that holds the logs, if log.dirs is not set."),
    ConfigKey{"log.dir.failure.timeout.ms", kLong, "30000", at_least(1), kLow},
    ConfigKey{"log.dirs", kList, kNoDefault, kNonEmptyList, kHigh}.about(
        "The directories that hold the logs; log.dir if not set."),
    ConfigKey{"log.flush.interval.messages", kLong, "9223372036854775807", at_least(1), kHigh}.cluster_wide().about(
        "After how many messages a log is flushed to disk."),
    ConfigKey{"log.flush.interval.ms", kLong, kNoDefault, kAny, kHigh}.cluster_wide().about(
        "After what time a log is flushed to disk; log.flush.scheduler.interval.ms if not set."),
    ConfigKey{"log.flush.offset.checkpoint.interval.ms", kInt, "60000", at_least(0), kHigh},
    ConfigKey{"log.flush.scheduler.interval.ms", kLong, "9223372036854775807", kAny, kHigh},
    ConfigKey{"log.flush.start.offset.checkpoint.interval.ms", kInt, "60000", at_least(0), kHigh},
    ConfigKey{"log.index.interval.bytes", kInt, "4096", at_least(0), kMedium}.cluster_wide().about(
        "Log bytes between two entries of the offset index."),
    ConfigKey{"log.index.size.max.bytes", kInt, "10485760", at_least(4), kMedium}.cluster_wide().about(
        "The largest size of one index file."),
    ConfigKey{"log.initial.task.delay.ms", kLong, "30000", at_least(0), kLow}.hidden(),
    ConfigKey{"log.local.retention.bytes", kLong, "-2", at_least(-2), kMedium}.cluster_wide(),
    ConfigKey{"log.local.retention.ms", kLong, "-2", at_least(-2), kMedium}.cluster_wide(),
    ConfigKey{"log.message.timestamp.after.max.ms", kLong, "3600000", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"log.message.timestamp.before.max.ms", kLong, "9223372036854775807", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"log.message.timestamp.type", kString, "CreateTime", one_of("CreateTime, LogAppendTime"), kMedium}
        .cluster_wide()
        .about("Whether a record keeps its producer's time or gets the time of its append."),
    ConfigKey{"log.preallocate", kBoolean, "false", kAny, kMedium}.cluster_wide().about(
        "Whether a new segment's file takes its full size at once."),
    ConfigKey{"log.retention.bytes", kLong, "-1", kAny, kHigh}.cluster_wide().about(
        "How large a partition's log may grow before its oldest segments go; -1 for no limit."),
    ConfigKey{"log.retention.check.interval.ms", kLong, "300000", at_least(1), kMedium}.about(
        "How often the logs are checked for segments to delete."),
    ConfigKey{"log.retention.hours", kInt, "168", kAny, kHigh}.about("How long records are kept, in hours."),
    ConfigKey{"log.retention.minutes", kInt, kNoDefault, kAny, kHigh}.about(
        "How long records are kept, in minutes; log.retention.hours if not set."),
    ConfigKey{"log.retention.ms", kLong, kNoDefault, kAny, kHigh}.cluster_wide().about(
        "How long records are kept; log.retention.minutes if not set."),
    ConfigKey{"log.roll.hours", kInt, "168", at_least(1), kHigh}.about(
        "The age in hours at which a segment is closed, if log.roll.ms is not set."),
    ConfigKey{"log.roll.jitter.hours", kInt, "0", at_least(0), kHigh},
    ConfigKey{"log.roll.jitter.ms", kLong, kNoDefault, kAny, kHigh}.cluster_wide(),
    ConfigKey{"log.roll.ms", kLong, kNoDefault, kAny, kHigh}.cluster_wide().about(
        "The age at which a segment is closed; log.roll.hours if not set."),
    ConfigKey{"log.segment.bytes", kInt, "1073741824", at_least(1048576), kHigh}.cluster_wide().about(
        "The size at which a segment is closed and a new one begun."),
    ConfigKey{"log.segment.delete.delay.ms", kLong, "60000", at_least(0), kHigh}.cluster_wide().about(
        "How long a deleted segment's file stays before it is removed."),
    ConfigKey{"message.max.bytes", kInt, "1048588", at_least(0), kHigh}.cluster_wide().about(
        "The largest record batch that is accepted, header included."),
    ConfigKey{"min.insync.replicas", kInt, "1", at_least(1), kHigh}.cluster_wide().about(
        "With acks=all, how many replicas must have a record for the write to succeed."),
    ConfigKey{"num.partitions", kInt, "1", at_least(1), kMedium}.about(
        "Partitions of a topic that is created without a number of them."),
    ConfigKey{"num.recovery.threads.per.data.dir", kInt, "2", at_least(1), kHigh}.cluster_wide().about(
        "How many logs of a directory are recovered at once at the start."),
    ConfigKey{"remote.fetch.max.wait.ms", kInt, "500", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"remote.list.offsets.request.timeout.ms", kLong, "30000", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"remote.log.index.file.cache.total.size.bytes", kLong, "1073741824", at_least(1), kLow}.cluster_wide(),
    ConfigKey{"remote.log.index.file.cache.ttl.ms", kLong, "900000", at_least(-1), kLow}.hidden(),
    ConfigKey{"remote.log.manager.copier.thread.pool.size", kInt, "10", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"remote.log.manager.copy.max.bytes.per.second", kLong, "9223372036854775807", at_least(1), kMedium}
        .cluster_wide(),
    ConfigKey{"remote.log.manager.copy.quota.window.num", kInt, "11", at_least(1), kMedium},
    ConfigKey{"remote.log.manager.copy.quota.window.size.seconds", kInt, "1", at_least(1), kMedium},
    ConfigKey{"remote.log.manager.expiration.thread.pool.size", kInt, "10", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"remote.log.manager.fetch.max.bytes.per.second", kLong, "9223372036854775807", at_least(1), kMedium}
        .cluster_wide(),
    ConfigKey{"remote.log.manager.fetch.quota.window.num", kInt, "11", at_least(1), kMedium},
    ConfigKey{"remote.log.manager.fetch.quota.window.size.seconds", kInt, "1", at_least(1), kMedium},
    ConfigKey{"remote.log.manager.follower.thread.pool.size", kInt, "2", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"remote.log.manager.task.interval.ms", kLong, "30000", at_least(1), kLow},
    ConfigKey{"remote.log.manager.task.retry.backoff.max.ms", kLong, "30000", at_least(1), kLow}.hidden(),
    ConfigKey{"remote.log.manager.task.retry.backoff.ms", kLong, "500", at_least(1), kLow}.hidden(),
    ConfigKey{"remote.log.manager.task.retry.jitter", kDouble, "0.2", between(0, 0.5), kLow}.hidden(),
    ConfigKey{"remote.log.manager.thread.pool.size", kInt, "2", at_least(1), kMedium},
    ConfigKey{"remote.log.metadata.custom.metadata.max.bytes", kInt, "128", at_least(0), kLow},
    ConfigKey{"remote.log.metadata.manager.class.name", kString,
              "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", kNonEmpty,
              kMedium},
    ConfigKey{"remote.log.metadata.manager.class.path", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"remote.log.metadata.manager.impl.prefix", kString, "rlmm.config.", kNonEmpty, kMedium},
    ConfigKey{"remote.log.metadata.manager.listener.name", kString, kNoDefault, kNonEmpty, kMedium},
    ConfigKey{"remote.log.reader.max.pending.tasks", kInt, "100", at_least(1), kMedium},
    ConfigKey{"remote.log.reader.threads", kInt, "10", at_least(1), kMedium}.cluster_wide(),
    ConfigKey{"remote.log.storage.manager.class.name", kString, kNoDefault, kNonEmpty, kMedium},
    ConfigKey{"remote.log.storage.manager.class.path", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"remote.log.storage.manager.impl.prefix", kString, "rsm.config.", kNonEmpty, kMedium},
    ConfigKey{"remote.log.storage.system.enable", kBoolean, "false", kAny, kMedium},
};

}  // namespace

std::span<const ConfigKey> log_keys() { return kKeys; }

}  // namespace klamm::config
