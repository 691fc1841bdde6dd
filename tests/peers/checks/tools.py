"""Console tools: Kafka's on the broker under test; those under test on an Apache Kafka broker; both on the same broker, compared."""
import re

import data
import peer
from checks import tools_compare

EACH = 8 << 20


def topics(context, program, broker):
    """topics --create, --list, --describe, --alter, --delete, as a user types them."""
    name = context.name("topics")

    def tool(*words, **options):
        return context.tool("topics", *words, program=program, broker=broker, **options)
    created = tool("--create", "--topic", name, "--partitions", "2", "--replication-factor", "1", "--config", "retention.ms=3600000")
    peer.expect(f"Created topic {name}." in created.text, created.text)
    again = tool("--create", "--topic", name, status=1)
    peer.expect("already exists" in again.text + again.errors, again.text + again.errors)
    quiet = tool("--create", "--topic", name, "--if-not-exists")
    peer.expect("Error" not in quiet.text, quiet.text)
    peer.expect(name in tool("--list").text.split("\n"), "the topic is not listed")

    def described(partitions):
        text = tool("--describe", "--topic", name).text
        found = re.search(r"Topic: (\S+)\s+TopicId: (\S{22})\s+PartitionCount: (\d+)\s+ReplicationFactor: (\d+)\s+Configs: (\S*)", text)
        peer.expect(found, text)
        peer.equal("described", (found[1], found[4]), (name, "1"))
        peer.expect("retention.ms=3600000" in found[5], found[5])
        lines = re.findall(r"Topic: \S+\s+Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\d+)\s+Isr: (\d+)", text)
        return lines == [(str(partition), "1", "1", "1") for partition in range(partitions)]
    peer.wait_until("two partitions are described", lambda: described(2))
    tool("--alter", "--topic", name, "--partitions", "4")
    peer.wait_until("four partitions are described", lambda: described(4))
    tool("--delete", "--topic", name)
    peer.wait_until("the topic is gone", lambda: name not in tool("--list").text.split("\n"))
    gone = tool("--describe", "--topic", name, status=1)
    peer.expect("does not exist" in gone.text + gone.errors, gone.text + gone.errors)


def console(context, writer, reader, broker, number, *options):
    """Text through a console producer and back through a console consumer, byte for byte."""
    topic = context.topic("console", broker=broker)
    content = data.lines(number, EACH)
    context.tool("console-producer", "--topic", topic, *options, program=writer, broker=broker, stdin=content, timeout=90)
    count = content.count(b"\n")
    read = context.tool("console-consumer", "--topic", topic, "--partition", "0", "--offset", "earliest", "--max-messages", str(count),
                        "--timeout-ms", "30000", program=reader, broker=broker, timeout=90)
    data.compare(topic, read.out, content)


def console_fields(context, program, broker):
    topic = context.topic("fields", broker=broker)
    context.tool("console-producer", "--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=|",
                 "--reader-property", "parse.headers=true", "--sync", program=program, broker=broker,
                 stdin="a:1,b:zwei\tk1|v1\nc:\tkä|wert\n".encode())
    properties = [word for what in ("key", "offset", "partition", "headers", "timestamp") for word in ("--formatter-property", f"print.{what}=true")]
    read = context.tool("console-consumer", "--topic", topic, "--partition", "0", "--offset", "0", "--max-messages", "2", "--timeout-ms", "30000",
                        *properties, program=program, broker=broker)
    lines = [re.sub(r"CreateTime:\d{13}", "CreateTime:T", line) for line in read.text.splitlines()]
    peer.equal("formatted", lines, ["CreateTime:T\tPartition:0\tOffset:0\ta:1,b:zwei\tk1\tv1", "CreateTime:T\tPartition:0\tOffset:1\tc:\tkä\twert"])
    late = context.tool("console-consumer", "--topic", topic, "--partition", "0", "--offset", "1", "--timeout-ms", "3000", program=program,
                        broker=broker, status=None)
    peer.equal("from offset 1", late.text, "wert\n")


def offsets(context, program, broker):
    topic = context.topic("offsets", partitions=2, broker=broker)
    context.tool("console-producer", "--topic", f"{topic}", program=context.reference, broker=broker, stdin=b"x\n" * 10)

    def get(*words):
        return context.tool("get-offsets", "--topic", topic, *words, program=program, broker=broker).text.split()
    ends = {line.rsplit(":", 1)[0]: int(line.rsplit(":", 1)[1]) for line in get()}
    peer.equal("partitions", sorted(ends), [f"{topic}:0", f"{topic}:1"])
    peer.equal("records", sum(ends.values()), 10)
    peer.equal("earliest", get("--time", "earliest"), [f"{topic}:0:0", f"{topic}:1:0"])
    partition = max((0, 1), key=lambda index: ends[f"{topic}:{index}"])
    wanted = context.file("delete.json", f'{{"partitions": [{{"topic": "{topic}", "partition": {partition}, "offset": 3}}], "version": 1}}'.encode())
    deleted = context.tool("delete-records", "--offset-json-file", wanted, program=program, broker=broker)
    peer.expect(re.search(rf"partition: {topic}-{partition}\s+low_watermark: 3", deleted.text), deleted.text)
    peer.expect(f"{topic}:{partition}:3" in get("--time", "-2"), "the start has not moved")


def configs(context, program, broker):
    topic = context.topic("configs", broker=broker)

    def tool(*words):
        return context.tool("configs", "--entity-type", "topics", "--entity-name", topic, *words, program=program, broker=broker).text
    altered = tool("--alter", "--add-config", "retention.ms=12345,cleanup.policy=[compact,delete]")
    peer.expect(f"Completed updating config for topic {topic}." in altered, altered)
    peer.wait_until("the configs are described", lambda: re.search(r"retention\.ms=12345\b", tool("--describe")))
    peer.expect(re.search(r"cleanup\.policy=compact,delete\b", tool("--describe")), tool("--describe"))
    tool("--alter", "--delete-config", "retention.ms")
    peer.wait_until("the config is gone", lambda: "retention.ms=12345" not in tool("--describe"))
    peer.expect("segment.bytes=1073741824" in tool("--describe", "--all"), "--all does not show the defaults")


def perf(context, program, broker):
    topic = context.topic("perf", broker=broker)
    produced = context.tool("producer-perf-test", "--topic", topic, "--num-records", "50000", "--record-size", "100", "--throughput", "-1",
                            program=program, broker=broker)
    peer.expect(re.search(r"50000 records sent, [\d.]+ records/sec \([\d.]+ MB/sec\), [\d.]+ ms avg latency, [\d.]+ ms max latency, \d+ ms 50th", produced.text), produced.text)
    with broker.client() as client:
        peer.equal("end offset", client.offset(topic), 50000)
    if program is context.reference and broker is not context.kafka:
        with broker.client() as client:
            if 8 not in client.api_versions():  # Kafka's tool commits an offset first, and there is no group coordinator yet
                return "without e2e-latency, which needs OffsetCommit"
    latency = context.tool("e2e-latency", "--topic", topic, "--num-records", "50", "--producer-acks", "all", "--record-size", "100", program=program, broker=broker)
    peer.expect(re.search(r"Avg latency: [\d.,]+ ms", latency.text) and re.search(r"Percentiles: 50th = \d+, 99th = \d+, 99.9th = \d+", latency.text), latency.text)


def facts(context, program, broker):
    cluster = peer.run(program.command("cluster", "cluster-id", "--bootstrap-server", broker.bootstrap))
    wanted = re.search(r"^cluster\.id=(\S+)$", (broker.data / "meta.properties").read_text(encoding="utf-8"), re.M)[1]
    peer.expect(f"Cluster ID: {wanted}" in cluster.text, cluster.text)
    versions = context.tool("broker-api-versions", program=program, broker=broker).text
    peer.expect(f"{broker.bootstrap} (id: 1 rack: null" in versions, versions)
    with broker.client() as client:
        advertised = client.api_versions()
    for key, name in ((0, "Produce"), (1, "Fetch"), (3, "Metadata"), (18, "ApiVersions")):
        low, high = advertised[key]
        peer.expect(re.search(rf"{name}\({key}\): {low} to {high} \[usable: \d+\]", versions), f"{name} {low}-{high}: {versions}")


SUBJECTS = {"topics": topics, "console-fields": console_fields, "offsets": offsets, "configs": configs, "perf": perf, "facts": facts}
for subject_name, subject in SUBJECTS.items():
    # Kafka's own tools on the broker under test, and the tools under test on Kafka's broker.
    peer.check(f"kafka-tools/{subject_name}", timeout=240)(lambda context, run=subject: run(context, context.reference, context.broker))
    peer.check(f"tools-on-kafka/{subject_name}", timeout=240)(lambda context, run=subject: run(context, context.subject, context.kafka))


@peer.check("kafka-tools/console", timeout=240)
def kafka_console(context):
    console(context, context.reference, context.reference, context.broker, 1)


@peer.check("kafka-tools/console-zstd", timeout=240)
def kafka_console_zstd(context):
    console(context, context.reference, context.reference, context.broker, 2, "--compression-codec", "zstd")


@peer.check("tools-on-kafka/console", timeout=240)
def console_on_kafka(context):
    console(context, context.subject, context.subject, context.kafka, 3)


@peer.check("tools-on-kafka/console-crossed", timeout=240)
def console_crossed(context):
    console(context, context.subject, context.reference, context.kafka, 4, "--compression-codec", "zstd")
    console(context, context.reference, context.subject, context.kafka, 5, "--compression-codec", "snappy")


@peer.check("kafka-tools/verifiable-producer")
def verifiable(context):
    topic = context.topic("verifiable")
    ran = context.tool("verifiable-producer", "--topic", topic, "--max-messages", "2000", "--acks", "-1", program=context.reference)
    peer.equal("acknowledged", ran.text.count('"producer_send_success"'), 2000)


@peer.check("kafka-tools/log-dirs")
def log_dirs(context):
    topic = context.topic("dirs")
    ran = context.tool("log-dirs", "--describe", "--topic-list", topic, program=context.reference)
    peer.expect(f'"partition":"{topic}-0"' in ran.text and str(context.broker.data) in ran.text, ran.text)


@peer.check("kafka-tools/empty-lists")
def empty_lists(context):
    """What there is none of is answered as none, not as an error."""
    listed = peer.run(context.reference.command("transactions", "--bootstrap-server", context.broker.bootstrap, "list"))
    peer.expect(re.search(r"TransactionalId\s+Coordinator\s+ProducerId\s+TransactionState", listed.text), listed.text)
    moving = context.tool("reassign-partitions", "--list", program=context.reference)
    peer.expect("No partition reassignments found." in moving.text, moving.text)


# The same command line to both programs, on the broker under test: output and exit status must be the same.
COMPARED = {
    "topics-no-action": ("topics",),
    "topics-describe-unknown": ("topics", "--describe", "--topic", "no-such-topic"),
    "topics-illegal-name": ("topics", "--create", "--topic", "no/such"),
    "topics-too-few-partitions": ("topics", "--alter", "--topic", "{topic}", "--partitions", "1"),
    "topics-describe": ("topics", "--describe", "--topic", "{topic}"),
    "topics-unknown-config": ("topics", "--create", "--topic", "other", "--config", "no.such.key=1"),
    "get-offsets": ("get-offsets", "--topic", "{topic}"),
    "get-offsets-earliest": ("get-offsets", "--topic", "{topic}", "--time", "earliest"),
    "get-offsets-partitions": ("get-offsets", "--topic-partitions", "{topic}:0-2"),
    "configs-describe": ("configs", "--describe", "--entity-type", "topics", "--entity-name", "{topic}"),
    "configs-describe-all": ("configs", "--describe", "--all", "--entity-type", "topics", "--entity-name", "{topic}"),
    "configs-bad-value": ("configs", "--alter", "--entity-type", "topics", "--entity-name", "{topic}", "--add-config", "retention.ms=soon"),
    "console-consumer": ("console-consumer", "--topic", "{topic}", "--partition", "0", "--offset", "earliest", "--max-messages", "3", "--formatter-property", "print.offset=true"),
    "console-consumer-no-topic": ("console-consumer",),
    "log-dirs": ("log-dirs", "--describe", "--topic-list", "{topic}"),
    "cluster-id": ("cluster", "cluster-id"),
}


def same(words):
    def function(context):
        topic = context.topic("same", partitions=2, retention_ms=86400000)
        peer.run([peer.program("kcat"), "-b", context.broker.bootstrap, "-P", "-t", topic, "-p", "0"], stdin=b"one\ntwo\nthree\nfour\n")
        tool, *rest = (word.format(topic=topic) for word in words)
        arguments = [*rest, "--bootstrap-server", context.broker.bootstrap]

        def outcome(program):
            ran = peer.run(program.command(tool, *arguments), status=None)
            return ran.status, [tools_compare.canonical(line) for line in ran.text.splitlines()], [line for line in ran.errors.splitlines() if not re.match(r"^\s+at |^(java|org)\.\S+(Exception|Error)", line)]
        wanted, got = outcome(context.reference), outcome(context.subject)
        for what, a, b in zip(("exit status", "output", "errors"), got, wanted):
            if what == "errors":
                peer.expect(bool(a) == bool(b), f"errors: got {a}, Kafka prints {b}")
            else:
                peer.equal(what, a, b)
    return function


for command_name, command_words in COMPARED.items():
    peer.check(f"same-tool/{command_name}")(same(command_words))
