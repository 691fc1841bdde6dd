// Keys of the smaller resources: groups (KIP-848), client metrics subscriptions (KIP-714), replication quotas of a
// broker, and klamm's own broker keys.
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

using namespace config_table;

constexpr ConfigKey kGroupKeys[] = {
    ConfigKey{"consumer.assignment.interval.ms", kInt, "1000", at_least(0), kMedium},
    ConfigKey{"consumer.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"consumer.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"share.assignment.interval.ms", kInt, "1000", at_least(0), kMedium},
    ConfigKey{"share.auto.offset.reset", kString, "latest", kShareOffsetReset, kMedium},
    ConfigKey{"share.delivery.count.limit", kInt, "5", at_least(2), kMedium},
    ConfigKey{"share.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"share.isolation.level", kString, "read_uncommitted", one_of("read_committed, read_uncommitted"),
              kMedium},
    ConfigKey{"share.partition.max.record.locks", kInt, "2000", at_least(100), kMedium},
    ConfigKey{"share.record.lock.duration.ms", kInt, "30000", at_least(1000), kMedium},
    ConfigKey{"share.renew.acknowledge.enable", kBoolean, "true", kAny, kMedium},
    ConfigKey{"share.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
    ConfigKey{"streams.assignment.interval.ms", kInt, "1000", at_least(0), kMedium},
    ConfigKey{"streams.heartbeat.interval.ms", kInt, "5000", at_least(1), kMedium},
    ConfigKey{"streams.initial.rebalance.delay.ms", kInt, "3000", at_least(0), kMedium},
    ConfigKey{"streams.num.standby.replicas", kInt, "0", at_least(0), kMedium},
    ConfigKey{"streams.session.timeout.ms", kInt, "45000", at_least(1), kMedium},
};

constexpr GroupSynonym kGroupSynonyms[] = {
    {"consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms"},
    {"consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"},
    {"consumer.session.timeout.ms", "group.consumer.session.timeout.ms"},
    {"share.assignment.interval.ms", "group.share.assignment.interval.ms"},
    {"share.delivery.count.limit", "group.share.delivery.count.limit"},
    {"share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms"},
    {"share.partition.max.record.locks", "group.share.partition.max.record.locks"},
    {"share.record.lock.duration.ms", "group.share.record.lock.duration.ms"},
    {"share.session.timeout.ms", "group.share.session.timeout.ms"},
    {"streams.assignment.interval.ms", "group.streams.assignment.interval.ms"},
    {"streams.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms"},
    {"streams.initial.rebalance.delay.ms", "group.streams.initial.rebalance.delay.ms"},
    {"streams.num.standby.replicas", "group.streams.num.standby.replicas"},
    {"streams.session.timeout.ms", "group.streams.session.timeout.ms"},
};

constexpr ConfigKey kClientMetricsKeys[] = {
    ConfigKey{"interval.ms", kInt, "300000", kAny, kMedium},
    ConfigKey{"match", kList, "", kAny, kMedium},
    ConfigKey{"metrics", kList, "", kAny, kMedium},
};

constexpr ConfigKey kReplicationQuotaKeys[] = {
    ConfigKey{"follower.replication.throttled.rate", kLong, "9223372036854775807", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"leader.replication.throttled.rate", kLong, "9223372036854775807", at_least(0), kMedium}.cluster_wide(),
    ConfigKey{"replica.alter.log.dirs.io.max.bytes.per.second", kLong, "9223372036854775807", at_least(0), kMedium}
        .cluster_wide(),
};

constexpr ConfigKey kKlammKeys[] = {
    ConfigKey{"num.shards", kInt, "0", between(0, 1024), kMedium}.hidden().about(
        "How many shards (threads, one event loop each) the node runs; 0 for one per processor core."),
    ConfigKey{"klamm.request.memory.max.bytes", kLong, "268435456", at_least(1048576), kMedium}.hidden().about(
        "The bytes that all requests being read or served may take together; connections wait when it is reached."),
    // Read by Kafka's authorizer, not by its broker, and so in none of Kafka's tables.
    ConfigKey{"super.users", kString, "", kAny, kMedium}.hidden().about(
        "Principals that may do everything: User:name, separated by semicolons."),
    ConfigKey{"allow.everyone.if.no.acl.found", kBoolean, "false", kAny, kMedium}.hidden().about(
        "Whether a resource without any ACL is open to everyone."),
};

}  // namespace

std::span<const ConfigKey> group_keys() { return kGroupKeys; }
std::span<const GroupSynonym> group_synonyms() { return kGroupSynonyms; }
std::span<const ConfigKey> client_metrics_keys() { return kClientMetricsKeys; }
std::span<const ConfigKey> replication_quota_keys() { return kReplicationQuotaKeys; }
std::span<const ConfigKey> klamm_keys() { return kKlammKeys; }

}  // namespace klamm::config
