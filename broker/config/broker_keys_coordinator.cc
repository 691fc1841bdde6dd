// Broker keys of Apache Kafka 4.3: group, share and transaction coordinators, producer ids.
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

using namespace config_table;

constexpr ConfigKey kKeys[] = {
    ConfigKey{"add.partitions.to.txn.retry.backoff.max.ms", kInt, "100", at_least(0), kHigh},
    ConfigKey{"add.partitions.to.txn.retry.backoff.ms", kInt, "20", at_least(1), kHigh},
    ConfigKey{"group.consumer.assignment.interval.ms", kInt, "1000", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"group.consumer.assignors", kList, "uniform,range", kNonEmptyList, kMedium},
    ConfigKey{"group.consumer.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"group.consumer.max.assignment.interval.ms", kInt, "15000", at_least(0), kMedium},
    ConfigKey{"group.consumer.max.heartbeat.interval.ms", kInt, "15000", at_least(1), kMedium},
    ConfigKey{"group.consumer.max.session.timeout.ms", kInt, "60000", at_least(1), kMedium},
    ConfigKey{"group.consumer.max.size", kInt, "2147483647", at_least(1), kMedium},
    ConfigKey{"group.consumer.migration.policy", kString, "bidirectional",
              one_of_any_case("DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL"), kMedium},
    ConfigKey{"group.consumer.min.assignment.interval.ms", kInt, "0", at_least(0), kMedium},
    ConfigKey{"group.consumer.min.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"group.consumer.min.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"group.consumer.regex.refresh.interval.ms", kInt, "600000", at_least(10000), kMedium}.hidden(),
    ConfigKey{"group.consumer.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"group.coordinator.append.linger.ms", kInt, "-1", at_least(-1), kMedium},
    ConfigKey{"group.coordinator.background.threads", kInt, "2", at_least(1), kHigh},
    ConfigKey{"group.coordinator.cached.buffer.max.bytes", kInt, "1048588", at_least(524288), kMedium}.cluster_wide(),
    ConfigKey{"group.coordinator.rebalance.protocols", kList, "classic,consumer,streams",
              some_of("consumer, classic, share, streams"), kMedium},
    ConfigKey{"group.coordinator.threads", kInt, "4", at_least(1), kHigh},
    ConfigKey{"group.initial.rebalance.delay.ms", kInt, "3000", kAny, kMedium}.about(
        "How long a new group waits for more members before it starts."),
    ConfigKey{"group.max.session.timeout.ms", kInt, "1800000", kAny, kMedium},
    ConfigKey{"group.max.size", kInt, "2147483647", at_least(1), kMedium},
    ConfigKey{"group.min.session.timeout.ms", kInt, "6000", kAny, kMedium},
    ConfigKey{"group.share.assignment.interval.ms", kInt, "1000", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"group.share.assignors", kList, "simple", kNonEmptyList, kMedium},
    ConfigKey{"group.share.delivery.count.limit", kInt, "5", between(2, 10), kMedium},
    ConfigKey{"group.share.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"group.share.initialize.retry.interval.ms", kInt, "30000", at_least(1), kLow}.hidden(),
    ConfigKey{"group.share.max.assignment.interval.ms", kInt, "15000", at_least(0), kMedium},
    ConfigKey{"group.share.max.delivery.count.limit", kInt, "10", between(5, 25), kMedium},
    ConfigKey{"group.share.max.heartbeat.interval.ms", kInt, "15000", at_least(1), kMedium},
    ConfigKey{"group.share.max.partition.max.record.locks", kInt, "4000", between(2000, 10000), kMedium},
    ConfigKey{"group.share.max.record.lock.duration.ms", kInt, "60000", between(30000, 3600000), kMedium},
    ConfigKey{"group.share.max.session.timeout.ms", kInt, "60000", at_least(1), kMedium},
    ConfigKey{"group.share.max.share.sessions", kInt, "2000", at_least(1), kMedium},
    ConfigKey{"group.share.max.size", kInt, "200", between(1, 1000), kMedium},
    ConfigKey{"group.share.min.assignment.interval.ms", kInt, "0", at_least(0), kMedium},
    ConfigKey{"group.share.min.delivery.count.limit", kInt, "2", between(2, 5), kMedium},
    ConfigKey{"group.share.min.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"group.share.min.partition.max.record.locks", kInt, "100", between(100, 2000), kMedium},
    ConfigKey{"group.share.min.record.lock.duration.ms", kInt, "15000", between(1000, 30000), kMedium},
    ConfigKey{"group.share.min.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"group.share.partition.max.record.locks", kInt, "2000", between(100, 10000), kMedium},
    ConfigKey{"group.share.persister.class.name", kString,
              "org.apache.kafka.server.share.persister.DefaultStatePersister", kAny, kMedium}
        .hidden(),
    ConfigKey{"group.share.record.lock.duration.ms", kInt, "30000", between(1000, 3600000), kMedium},
    ConfigKey{"group.share.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"group.streams.assignment.interval.ms", kInt, "1000", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"group.streams.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"group.streams.initial.rebalance.delay.ms", kInt, "3000", at_least(0), kMedium},
    ConfigKey{"group.streams.max.assignment.interval.ms", kInt, "15000", at_least(0), kMedium},
    ConfigKey{"group.streams.max.heartbeat.interval.ms", kInt, "15000", at_least(1), kMedium},
    ConfigKey{"group.streams.max.session.timeout.ms", kInt, "60000", at_least(1), kMedium},
    ConfigKey{"group.streams.max.size", kInt, "2147483647", at_least(1), kMedium},
    ConfigKey{"group.streams.max.standby.replicas", kInt, "2", at_least(0), kMedium},
    ConfigKey{"group.streams.min.assignment.interval.ms", kInt, "0", at_least(0), kMedium},
    ConfigKey{"group.streams.min.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"group.streams.min.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"group.streams.num.standby.replicas", kInt, "0", at_least(0), kMedium},
    ConfigKey{"group.streams.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"offset.metadata.max.bytes", kInt, "4096", kAny, kHigh},
    ConfigKey{"offsets.commit.timeout.ms", kInt, "5000", at_least(1), kHigh},
    ConfigKey{"offsets.load.buffer.size", kInt, "5242880", at_least(1), kHigh},
    ConfigKey{"offsets.retention.check.interval.ms", kLong, "600000", at_least(1), kHigh},
    ConfigKey{"offsets.retention.minutes", kInt, "10080", at_least(1), kHigh}.about(
        "How long the offsets of an empty group are kept."),
    ConfigKey{"offsets.topic.compression.codec", kInt, "0", kAny, kHigh},
    ConfigKey{"offsets.topic.num.partitions", kInt, "50", at_least(1), kHigh}.about(
        "Partitions of __consumer_offsets."),
    ConfigKey{"offsets.topic.replication.factor", kShort, "3", at_least(1), kHigh}.about(
        "Replicas of __consumer_offsets."),
    ConfigKey{"offsets.topic.segment.bytes", kInt, "104857600", at_least(1), kHigh},
    ConfigKey{"producer.id.expiration.check.interval.ms", kInt, "600000", at_least(1), kLow}.hidden(),
    ConfigKey{"producer.id.expiration.ms", kInt, "86400000", at_least(1), kLow}.cluster_wide().about(
        "How long an idle producer's sequence numbers are remembered."),
    ConfigKey{"share.coordinator.append.linger.ms", kInt, "-1", at_least(-1), kMedium},
    ConfigKey{"share.coordinator.cached.buffer.max.bytes", kInt, "1048588", at_least(524288), kMedium}.cluster_wide(),
    ConfigKey{"share.coordinator.cold.partition.snapshot.interval.ms", kInt, "300000", at_least(1), kLow}.hidden(),
    ConfigKey{"share.coordinator.load.buffer.size", kInt, "5242880", at_least(1), kHigh},
    ConfigKey{"share.coordinator.snapshot.update.records.per.snapshot", kInt, "500", between(0, 500), kMedium},
    ConfigKey{"share.coordinator.state.topic.compression.codec", kInt, "0", kAny, kHigh},
    ConfigKey{"share.coordinator.state.topic.min.isr", kShort, "2", at_least(1), kHigh},
    ConfigKey{"share.coordinator.state.topic.num.partitions", kInt, "50", at_least(1), kHigh},
    ConfigKey{"share.coordinator.state.topic.prune.interval.ms", kInt, "300000", at_least(1), kLow}.hidden(),
    ConfigKey{"share.coordinator.state.topic.replication.factor", kShort, "3", at_least(1), kHigh},
    ConfigKey{"share.coordinator.state.topic.segment.bytes", kInt, "104857600", at_least(1), kHigh},
    ConfigKey{"share.coordinator.threads", kInt, "1", at_least(1), kMedium},
    ConfigKey{"share.coordinator.write.timeout.ms", kInt, "5000", at_least(1), kHigh},
    ConfigKey{"share.fetch.purgatory.purge.interval.requests", kInt, "1000", kAny, kMedium},
    ConfigKey{"transaction.abort.timed.out.transaction.cleanup.interval.ms", kInt, "10000", at_least(1), kLow},
    ConfigKey{"transaction.max.timeout.ms", kInt, "900000", at_least(1), kHigh}.about(
        "The longest timeout that a transactional producer may ask for."),
    ConfigKey{"transaction.partition.verification.enable", kBoolean, "true", kAny, kLow}.cluster_wide(),
    ConfigKey{"transaction.remove.expired.transaction.cleanup.interval.ms", kInt, "3600000", at_least(1), kLow},
    ConfigKey{"transaction.state.log.load.buffer.size", kInt, "5242880", at_least(1), kHigh},
    ConfigKey{"transaction.state.log.min.isr", kInt, "2", at_least(1), kHigh}.about(
        "min.insync.replicas of __transaction_state."),
    ConfigKey{"transaction.state.log.num.partitions", kInt, "50", at_least(1), kHigh},
    ConfigKey{"transaction.state.log.replication.factor", kShort, "3", at_least(1), kHigh}.about(
        "Replicas of __transaction_state."),
    ConfigKey{"transaction.state.log.segment.bytes", kInt, "104857600", at_least(1), kHigh},
    ConfigKey{"transaction.two.phase.commit.enable", kBoolean, "false", kAny, kLow},
    ConfigKey{"transactional.id.expiration.ms", kInt, "604800000", at_least(1), kHigh},
};

}  // namespace

std::span<const ConfigKey> coordinator_keys() { return kKeys; }

}  // namespace klamm::config
