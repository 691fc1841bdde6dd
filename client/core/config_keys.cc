// Keys of the producer, the consumer and the admin client of Apache Kafka 4.3; what all three share is listed once.
#include "client/core/config_keys.h"

namespace klamm::client {
namespace {

using namespace config_table;

constexpr ConfigKey kCommonKeys[] = {
    ConfigKey{"client.dns.lookup", kString, "use_all_dns_ips",
              one_of("use_all_dns_ips, resolve_canonical_bootstrap_servers_only"), kMedium},
    ConfigKey{"config.providers", kList, "", kAny, kLow},
    ConfigKey{"metadata.max.age.ms", kLong, "300000", at_least(0), kLow}.about(
        "The age at which the cluster's layout is asked for again."),
    ConfigKey{"metadata.recovery.rebootstrap.trigger.ms", kLong, "300000", at_least(0), kLow},
    ConfigKey{"metadata.recovery.strategy", kString, "rebootstrap", one_of_any_case("REBOOTSTRAP, NONE"), kLow},
    ConfigKey{"metric.reporters", kList, "org.apache.kafka.common.metrics.JmxReporter", kAny, kLow},
    ConfigKey{"metrics.num.samples", kInt, "2", at_least(1), kLow},
    ConfigKey{"metrics.recording.level", kString, "INFO", one_of("INFO, DEBUG, TRACE"), kLow},
    ConfigKey{"metrics.sample.window.ms", kLong, "30000", at_least(0), kLow},
    ConfigKey{"reconnect.backoff.max.ms", kLong, "1000", at_least(0), kLow}.about(
        "The longest pause before connecting again."),
    ConfigKey{"reconnect.backoff.ms", kLong, "50", at_least(0), kLow}.about("The first pause before connecting again."),
    ConfigKey{"request.timeout.ms", kInt, "30000", at_least(0), kMedium}.about("How long a reply is waited for."),
    ConfigKey{"retry.backoff.max.ms", kLong, "1000", at_least(0), kLow}.about("The longest pause before trying again."),
    ConfigKey{"retry.backoff.ms", kLong, "100", at_least(0), kLow}.about("The first pause before trying again."),
    ConfigKey{"send.buffer.bytes", kInt, "-1", at_least(-1), kMedium}.about(
        "The size of the socket's send buffer; -1 lets the system choose (Kafka's default: 131072)."),
    ConfigKey{"socket.connection.setup.timeout.max.ms", kLong, "30000", kAny, kMedium},
    ConfigKey{"socket.connection.setup.timeout.ms", kLong, "10000", kAny, kMedium},
};

constexpr ConfigKey kProducerKeys[] = {
    ConfigKey{"acks", kString, "all", one_of("all, -1, 0, 1"), kLow}.about(
        "Which replicas must have a batch before it counts as sent: 0 none, 1 the leader, all the in-sync set."),
    ConfigKey{"batch.size", kInt, "16384", at_least(0), kMedium}.about(
        "The bytes that a partition's open batch may take before it is sent."),
    ConfigKey{"bootstrap.servers", kList, kRequired, kNonEmptyList, kHigh}.about(
        "Brokers (host:port) to ask for the cluster's layout."),
    ConfigKey{"buffer.memory", kLong, "33554432", at_least(0), kHigh}.about(
        "The bytes of records that may wait to be sent."),
    ConfigKey{"client.id", kString, "", kAny, kMedium}.about(
        "A name for this client in the broker's logs, metrics and quotas."),
    ConfigKey{"compression.gzip.level", kInt, "-1", between_or(1, 9, -1), kMedium},
    ConfigKey{"compression.lz4.level", kInt, "9", between(1, 17), kMedium},
    ConfigKey{"compression.type", kString, "none", one_of("none, gzip, snappy, lz4, zstd"), kHigh}.about(
        "The codec of the batches."),
    ConfigKey{"compression.zstd.level", kInt, "3", between(-131072, 22), kMedium},
    ConfigKey{"connections.max.idle.ms", kLong, "540000", kAny, kMedium}.about(
        "How long a connection may be unused before it is closed."),
    ConfigKey{"delivery.timeout.ms", kInt, "120000", at_least(0), kMedium}.about(
        "The time from send() in which a record is delivered or fails."),
    ConfigKey{"enable.idempotence", kBoolean, "true", kAny, kLow}.about(
        "Whether each record is written exactly once in spite of retries."),
    ConfigKey{"enable.metrics.push", kBoolean, "true", kAny, kLow},
    ConfigKey{"interceptor.classes", kList, "", kAny, kLow},
    ConfigKey{"key.serializer", kClass, kNoDefault, kAny, kHigh},
    ConfigKey{"linger.ms", kLong, "5", at_least(0), kMedium}.about("How long a batch waits for more records."),
    ConfigKey{"max.block.ms", kLong, "60000", at_least(0), kMedium}.about(
        "How long send may wait for metadata or for room in the buffer."),
    ConfigKey{"max.in.flight.requests.per.connection", kInt, "5", at_least(1), kLow}.about(
        "Produce requests under way on one connection."),
    ConfigKey{"max.request.size", kInt, "1048576", at_least(0), kMedium}.about(
        "The largest request, and the largest record."),
    ConfigKey{"metadata.max.idle.ms", kLong, "300000", at_least(5000), kLow}.about(
        "How long the layout of a topic that is not used is kept."),
    ConfigKey{"partitioner.adaptive.partitioning.enable", kBoolean, "true", kAny, kLow}.about(
        "Whether slow partitions get fewer records."),
    ConfigKey{"partitioner.availability.timeout.ms", kLong, "0", at_least(0), kLow}.about(
        "A partition that takes nothing for this long is passed over; 0 never."),
    ConfigKey{"partitioner.class", kClass, kNoDefault, kAny, kMedium},
    ConfigKey{"partitioner.ignore.keys", kBoolean, "false", kAny, kMedium}.about(
        "Whether records with keys are spread like those without."),
    ConfigKey{"receive.buffer.bytes", kInt, "32768", at_least(-1), kMedium},
    ConfigKey{"retries", kInt, "2147483647", between(0, 2147483647), kHigh}.about(
        "How often a failed batch is sent again."),
    ConfigKey{"transaction.timeout.ms", kInt, "60000", kAny, kLow},
    ConfigKey{"transaction.two.phase.commit.enable", kBoolean, "false", kAny, kLow},
    ConfigKey{"transactional.id", kString, kNoDefault, kNonEmpty, kLow}.about("The name of a transactional producer."),
    ConfigKey{"value.serializer", kClass, kNoDefault, kAny, kHigh},
};

constexpr ConfigKey kConsumerKeys[] = {
    ConfigKey{"allow.auto.create.topics", kBoolean, "true", kAny, kMedium}.about(
        "Whether asking for an unknown topic may create it."),
    ConfigKey{"auto.commit.interval.ms", kInt, "5000", at_least(0), kLow},
    ConfigKey{"auto.offset.reset", kString, "latest", kOffsetReset, kMedium}.about(
        "Where to begin without a position: earliest, latest, none (an error), or by_duration:PnDTnHnMnS ago."),
    ConfigKey{"bootstrap.servers", kList, kRequired, kNonEmptyList, kHigh}.about(
        "Brokers (host:port) to ask for the cluster's layout."),
    ConfigKey{"check.crcs", kBoolean, "true", kAny, kLow}.about("Whether the checksum of each batch is verified."),
    ConfigKey{"client.id", kString, "", kAny, kLow}.about(
        "A name for this client in the broker's logs, metrics and quotas."),
    ConfigKey{"client.rack", kString, "", kAny, kLow}.about(
        "The rack of this client, for fetching from a near replica."),
    ConfigKey{"connections.max.idle.ms", kLong, "540000", kAny, kMedium}.about(
        "How long a connection may be unused before it is closed."),
    ConfigKey{"default.api.timeout.ms", kInt, "60000", at_least(0), kMedium}.about(
        "The deadline of operations that are given none."),
    ConfigKey{"enable.auto.commit", kBoolean, "true", kAny, kMedium},
    ConfigKey{"enable.metrics.push", kBoolean, "true", kAny, kLow},
    ConfigKey{"exclude.internal.topics", kBoolean, "true", kAny, kMedium},
    ConfigKey{"fetch.max.bytes", kInt, "52428800", at_least(0), kMedium}.about(
        "The most bytes that one fetch is answered with."),
    ConfigKey{"fetch.max.wait.ms", kInt, "500", at_least(0), kLow}.about(
        "How long a broker waits for fetch.min.bytes."),
    ConfigKey{"fetch.min.bytes", kInt, "1", at_least(0), kHigh}.about(
        "The bytes that a broker gathers before it answers a fetch."),
    ConfigKey{"group.id", kString, kNoDefault, kAny, kHigh}.about("The consumer group."),
    ConfigKey{"group.instance.id", kString, kNoDefault, kNonEmpty, kMedium},
    ConfigKey{"group.protocol", kString, "classic", one_of_any_case("CONSUMER, CLASSIC"), kHigh},
    ConfigKey{"group.remote.assignor", kString, kNoDefault, kAny, kMedium},
    ConfigKey{"heartbeat.interval.ms", kInt, "3000", kAny, kHigh},
    ConfigKey{"interceptor.classes", kList, "", kAny, kLow},
    ConfigKey{"internal.throw.on.fetch.stable.offset.unsupported", kBoolean, "false", kAny, kLow}.hidden(),
    ConfigKey{"isolation.level", kString, "read_uncommitted", one_of("read_committed, read_uncommitted"), kMedium}
        .about("Whether records of open and aborted transactions are seen."),
    ConfigKey{"key.deserializer", kClass, kNoDefault, kAny, kHigh},
    ConfigKey{"max.partition.fetch.bytes", kInt, "1048576", at_least(0), kHigh}.about(
        "The most bytes of one partition in one fetch."),
    ConfigKey{"max.poll.interval.ms", kInt, "300000", at_least(1), kMedium},
    ConfigKey{"max.poll.records", kInt, "500", at_least(1), kMedium}.about("The most records that one poll returns."),
    ConfigKey{"partition.assignment.strategy", kList,
              "org.apache.kafka.clients.consumer.RangeAssignor,"
              "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
              kAny, kMedium},
    ConfigKey{"receive.buffer.bytes", kInt, "-1", at_least(-1), kMedium}.about(
        "The size of the socket's receive buffer; -1 lets the system choose (Kafka's default: 65536)."),
    ConfigKey{"session.timeout.ms", kInt, "45000", kAny, kHigh},
    ConfigKey{"share.acknowledgement.mode", kString, "implicit", one_of("implicit, explicit"), kMedium},
    ConfigKey{"share.acquire.mode", kString, "BATCH_OPTIMIZED", one_of_any_case("batch_optimized, record_limit"),
              kMedium},
    ConfigKey{"value.deserializer", kClass, kNoDefault, kAny, kHigh},
};

constexpr ConfigKey kAdminKeys[] = {
    ConfigKey{"bootstrap.controllers", kList, "", kAny, kHigh},
    ConfigKey{"bootstrap.servers", kList, "", kAny, kHigh}.about(
        "Brokers (host:port) to ask for the cluster's layout."),
    ConfigKey{"client.id", kString, "", kAny, kMedium}.about(
        "A name for this client in the broker's logs, metrics and quotas."),
    ConfigKey{"connections.max.idle.ms", kLong, "300000", kAny, kMedium}.about(
        "How long a connection may be unused before it is closed."),
    ConfigKey{"default.api.timeout.ms", kInt, "60000", at_least(0), kMedium}.about(
        "The deadline of operations that are given none."),
    ConfigKey{"enable.metrics.push", kBoolean, "false", kAny, kLow},
    ConfigKey{"receive.buffer.bytes", kInt, "65536", at_least(-1), kMedium},
    ConfigKey{"retries", kInt, "2147483647", between(0, 2147483647), kLow}.about(
        "How often a failed batch is sent again."),
};

}  // namespace

std::span<const ConfigKey> common_keys() { return kCommonKeys; }
std::span<const ConfigKey> producer_keys() { return kProducerKeys; }
std::span<const ConfigKey> consumer_keys() { return kConsumerKeys; }
std::span<const ConfigKey> admin_keys() { return kAdminKeys; }

}  // namespace klamm::client
