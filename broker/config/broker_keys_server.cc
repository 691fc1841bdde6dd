// Broker keys of Apache Kafka 4.3: the node, its quorum, network, replication, quotas and metrics.
#include "broker/config/broker_keys.h"

namespace klamm::config {
namespace {

using namespace config_table;

constexpr ConfigKey kKeys[] = {
    ConfigKey{"advertised.listeners", kList, kNoDefault, kNonEmptyList, kHigh}.about(
        "Where clients and other nodes are told to connect; listeners if not set."),
    ConfigKey{"alter.log.dirs.replication.quota.window.num", kInt, "11", at_least(1), kLow},
    ConfigKey{"alter.log.dirs.replication.quota.window.size.seconds", kInt, "1", at_least(1), kLow},
    ConfigKey{"auto.leader.rebalance.enable", kBoolean, "true", kAny, kHigh}.about(
        "Whether leadership goes back to the preferred replica by itself."),
    ConfigKey{"background.threads", kInt, "10", at_least(1), kHigh}.cluster_wide(),
    ConfigKey{"broker.heartbeat.interval.ms", kInt, "2000", kAny, kMedium}.about(
        "How often a broker tells the controller that it lives."),
    ConfigKey{"broker.id", kInt, "-1", kAny, kHigh}.about(
        "The older name of node.id; if both are set they must agree."),
    ConfigKey{"broker.rack", kString, kNoDefault, kAny, kMedium}.about(
        "The rack of this broker, for placing replicas and for fetching from near ones."),
    ConfigKey{"broker.session.timeout.ms", kInt, "9000", kAny, kMedium}.about(
        "Without a heartbeat for this long, a broker is fenced."),
    ConfigKey{"client.quota.callback.class", kClass, kNoDefault, kAny, kLow},
    ConfigKey{"config.providers", kList, "", kAny, kLow}.cluster_wide(),
    ConfigKey{"connection.failed.authentication.delay.ms", kInt, "100", at_least(0), kLow},
    ConfigKey{"connections.max.idle.ms", kLong, "600000", kAny, kMedium}.about(
        "How long a connection may be silent before it is closed."),
    ConfigKey{"controlled.shutdown.enable", kBoolean, "true", kAny, kMedium}.about(
        "Whether a broker hands over its partitions before it stops."),
    ConfigKey{"controller.listener.names", kList, kRequired, kNonEmptyList, kHigh}.about(
        "The names of the listeners on which controllers are reached."),
    ConfigKey{"controller.performance.always.log.threshold.ms", kLong, "2000", at_least(0), kMedium}.hidden(),
    ConfigKey{"controller.performance.sample.period.ms", kLong, "60000", at_least(100), kMedium}.hidden(),
    ConfigKey{"controller.quorum.append.linger.ms", kInt, "25", at_least(0), kMedium},
    ConfigKey{"controller.quorum.auto.join.enable", kBoolean, "false", kAny, kLow},
    ConfigKey{"controller.quorum.bootstrap.servers", kList, "", kServerList, kHigh}.about(
        "Controllers (host:port) to ask for the quorum's leader."),
    ConfigKey{"controller.quorum.election.backoff.max.ms", kInt, "1000", at_least(0), kHigh},
    ConfigKey{"controller.quorum.election.timeout.ms", kInt, "1000", at_least(0), kHigh}.about(
        "How long a candidate waits for votes before it starts another election."),
    ConfigKey{"controller.quorum.fetch.max.bytes", kInt, "1048576", at_least(1), kLow},
    ConfigKey{"controller.quorum.fetch.snapshot.max.bytes", kInt, "1048576", at_least(1), kLow},
    ConfigKey{"controller.quorum.fetch.timeout.ms", kInt, "2000", at_least(0), kHigh}.about(
        "How long a voter goes without news from the leader before it becomes a candidate."),
    ConfigKey{"controller.quorum.request.timeout.ms", kInt, "2000", at_least(0), kMedium},
    ConfigKey{"controller.quorum.retry.backoff.ms", kInt, "20", at_least(0), kLow},
    ConfigKey{"controller.quorum.voters", kList, "", kVoterList, kHigh}.about(
        "The fixed set of controllers: id@host:port, comma separated."),
    ConfigKey{"controller.quota.window.num", kInt, "11", at_least(1), kLow},
    ConfigKey{"controller.quota.window.size.seconds", kInt, "1", at_least(1), kLow},
    ConfigKey{"controller.socket.timeout.ms", kInt, "30000", kAny, kMedium},
    ConfigKey{"delete.records.purgatory.purge.interval.requests", kInt, "1", kAny, kMedium},
    ConfigKey{"early.start.listeners", kList, kNoDefault, kAny, kHigh},
    ConfigKey{"fetch.max.bytes", kInt, "57671680", at_least(1024), kMedium}.about(
        "The most bytes that one fetch request is answered with."),
    ConfigKey{"fetch.purgatory.purge.interval.requests", kInt, "1000", kAny, kMedium},
    ConfigKey{"follower.fetch.last.tiered.offset.enable", kBoolean, "false", kAny, kMedium}.cluster_wide(),
    ConfigKey{"initial.broker.registration.timeout.ms", kInt, "60000", kAny, kMedium},
    ConfigKey{"inter.broker.listener.name", kString, kNoDefault, kAny, kMedium}.about(
        "The listener that brokers use among themselves."),
    ConfigKey{"internal.metadata.delete.delay.millis", kLong, "60000", kAny, kLow}.hidden(),
    ConfigKey{"internal.metadata.log.segment.bytes", kInt, kNoDefault, kAny, kLow}.hidden(),
    ConfigKey{"internal.metadata.max.batch.size.in.bytes", kInt, "8388608", kAny, kLow}.hidden(),
    ConfigKey{"kafka.metrics.polling.interval.secs", kInt, "10", at_least(1), kLow},
    ConfigKey{"kafka.metrics.reporters", kList, "", kAny, kLow},
    ConfigKey{"leader.imbalance.check.interval.seconds", kLong, "300", at_least(1), kHigh},
    ConfigKey{"listener.security.protocol.map", kString,
              "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", kAny, kLow}
        .per_broker()
        .about("The security protocol of each listener name."),
    ConfigKey{"listeners", kList, "PLAINTEXT://:9092", kNonEmptyList, kHigh}.per_broker().about(
        "Where this node listens: NAME://host:port, comma separated."),
    ConfigKey{"max.connection.creation.rate", kInt, "2147483647", at_least(0), kMedium}.cluster_wide().about(
        "How many connections are accepted per second at most."),
    ConfigKey{"max.connections", kInt, "2147483647", at_least(0), kMedium}.cluster_wide().about(
        "How many connections are open at most."),
    ConfigKey{"max.connections.per.ip", kInt, "2147483647", at_least(0), kMedium}.cluster_wide().about(
        "How many connections from one address are open at most."),
    ConfigKey{"max.connections.per.ip.overrides", kString, "", kAny, kMedium}.cluster_wide().about(
        "Limits for single addresses: address:count, comma separated."),
    ConfigKey{"max.incremental.fetch.session.cache.slots", kInt, "1000", at_least(0), kMedium}.about(
        "How many fetch sessions are kept."),
    ConfigKey{"max.request.partition.size.limit", kInt, "2000", at_least(1), kMedium},
    ConfigKey{"metadata.log.dir", kString, kNoDefault, kAny, kHigh}.about(
        "The directory of the metadata log; the first of log.dirs if not set."),
    ConfigKey{"metadata.log.max.record.bytes.between.snapshots", kLong, "20971520", at_least(1), kHigh},
    ConfigKey{"metadata.log.max.snapshot.interval.ms", kLong, "3600000", at_least(0), kHigh},
    ConfigKey{"metadata.log.segment.bytes", kInt, "1073741824", at_least(8388608), kHigh},
    ConfigKey{"metadata.log.segment.ms", kLong, "604800000", kAny, kHigh},
    ConfigKey{"metadata.max.idle.interval.ms", kInt, "500", at_least(0), kLow},
    ConfigKey{"metadata.max.retention.bytes", kLong, "104857600", kAny, kHigh},
    ConfigKey{"metadata.max.retention.ms", kLong, "604800000", kAny, kHigh},
    ConfigKey{"metric.reporters", kList, "org.apache.kafka.common.metrics.JmxReporter", kAny, kLow}.cluster_wide(),
    ConfigKey{"metrics.num.samples", kInt, "2", at_least(1), kLow},
    ConfigKey{"metrics.recording.level", kString, "INFO", kAny, kLow},
    ConfigKey{"metrics.sample.window.ms", kLong, "30000", at_least(1), kLow},
    ConfigKey{"node.id", kInt, kRequired, at_least(0), kHigh}.about("The number of this node in the cluster."),
    ConfigKey{"num.io.threads", kInt, "8", at_least(1), kHigh}.cluster_wide().about(
        "Kept for Kafka's tools; klamm has a thread per shard, see num.shards."),
    ConfigKey{"num.network.threads", kInt, "3", at_least(1), kHigh}.cluster_wide().about(
        "Kept for Kafka's tools; klamm has a thread per shard, see num.shards."),
    ConfigKey{"num.replica.alter.log.dirs.threads", kInt, kNoDefault, kAny, kHigh},
    ConfigKey{"num.replica.fetchers", kInt, "1", at_least(1), kHigh}.cluster_wide().about(
        "How many fetches run at once from each leader."),
    ConfigKey{"process.roles", kList, kRequired, some_of("broker, controller"), kHigh}.about(
        "The roles of this node: broker, controller, or both."),
    ConfigKey{"producer.purgatory.purge.interval.requests", kInt, "1000", kAny, kMedium},
    ConfigKey{"queued.max.request.bytes", kLong, "-1", kAny, kMedium}.about(
        "How many bytes of requests may wait to be served; -1 for no limit."),
    ConfigKey{"queued.max.requests", kInt, "500", at_least(1), kHigh}.about("How many requests may wait to be served."),
    ConfigKey{"quota.window.num", kInt, "11", at_least(1), kLow},
    ConfigKey{"quota.window.size.seconds", kInt, "1", at_least(1), kLow},
    ConfigKey{"replica.fetch.backoff.ms", kInt, "1000", at_least(0), kMedium},
    ConfigKey{"replica.fetch.max.bytes", kInt, "1048576", at_least(0), kMedium}.about(
        "The bytes that a follower asks for per partition."),
    ConfigKey{"replica.fetch.min.bytes", kInt, "1", kAny, kHigh},
    ConfigKey{"replica.fetch.response.max.bytes", kInt, "10485760", at_least(0), kMedium},
    ConfigKey{"replica.fetch.wait.max.ms", kInt, "500", kAny, kHigh}.about(
        "How long a follower's fetch waits for data."),
    ConfigKey{"replica.high.watermark.checkpoint.interval.ms", kLong, "5000", kAny, kHigh},
    ConfigKey{"replica.lag.time.max.ms", kLong, "30000", kAny, kHigh}.about(
        "A follower behind for longer than this leaves the in-sync set."),
    ConfigKey{"replica.selector.class", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"replica.socket.receive.buffer.bytes", kInt, "65536", kAny, kHigh},
    ConfigKey{"replica.socket.timeout.ms", kInt, "30000", kAny, kHigh},
    ConfigKey{"replication.quota.window.num", kInt, "11", at_least(1), kLow},
    ConfigKey{"replication.quota.window.size.seconds", kInt, "1", at_least(1), kLow},
    ConfigKey{"request.timeout.ms", kInt, "30000", kAny, kHigh},
    ConfigKey{"server.max.startup.time.ms", kLong, "9223372036854775807", at_least(0), kMedium}.hidden(),
    ConfigKey{"socket.connection.setup.timeout.max.ms", kLong, "30000", kAny, kMedium},
    ConfigKey{"socket.connection.setup.timeout.ms", kLong, "10000", kAny, kMedium},
    ConfigKey{"socket.listen.backlog.size", kInt, "50", at_least(1), kMedium}.about(
        "How many connections may wait to be accepted."),
    ConfigKey{"socket.receive.buffer.bytes", kInt, "-1", kAny, kHigh}.about(
        "The receive buffer of a connection; -1 lets the system choose (Kafka's default: 102400)."),
    ConfigKey{"socket.request.max.bytes", kInt, "104857600", at_least(1), kHigh}.about(
        "The largest request that is read."),
    ConfigKey{"socket.send.buffer.bytes", kInt, "409600", kAny, kHigh}.about(
        "The send buffer of a connection; -1 lets the system choose (Kafka's default: 102400)."),
    ConfigKey{"telemetry.max.bytes", kInt, "1048576", at_least(1), kLow},
    ConfigKey{"unclean.leader.election.enable", kBoolean, "false", kAny, kHigh}.cluster_wide().about(
        "Whether a replica outside the in-sync set may lead, at the price of lost records."),
    ConfigKey{"unclean.leader.election.interval.ms", kLong, "300000", at_least(1), kMedium}.hidden(),
    ConfigKey{"unstable.api.versions.enable", kBoolean, "false", kAny, kHigh}.hidden(),
    ConfigKey{"unstable.feature.versions.enable", kBoolean, "false", kAny, kHigh}.hidden(),
};

}  // namespace

std::span<const ConfigKey> server_keys() { return kKeys; }

}  // namespace klamm::config
