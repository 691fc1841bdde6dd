"""The same command line to Kafka's tool and to the one under test, against the same broker or files: the output and the exit
status must be the same. What differs from run to run (ids, times, ports) is normalized first; records in JSON are compared
as values, for the order of members in an object says nothing."""
import json
import re

import peer

NORMAL = (
    (re.compile(r"\b1[5-9]\d{11}\b"), "0"),                                        # ms since 1970
    (re.compile(r"(?<=ClusterId: {14})\S+|(?<=TopicId: )\S{22}"), "ID"),
    (re.compile(r"(?<=HighWatermark: {10})\d+|(?<=Epoch: )\d+$", re.M), "N"),
    (re.compile(r"\[usable: \d+\]"), "[usable]"),                                  # Kafka's client and klamm's differ
)
OBJECT = re.compile(r"\{\".*\}")


def partitions_sorted(answer):
    """Kafka's log-dirs prints the partitions of a directory in the order of a hash table, which their topic's name decides."""
    for broker in answer.get("brokers", ()):
        for directory in broker.get("logDirs", ()):
            directory["partitions"].sort(key=lambda partition: partition["partition"])
    return answer


def canonical(line):
    """The line with what comes and goes made equal, and JSON in it with sorted members."""
    for pattern, word in NORMAL:
        line = pattern.sub(word, line)
    found = OBJECT.search(line)
    if not found:
        return line
    try:
        value = json.loads(found[0])
    except ValueError:
        return line
    return line[:found.start()] + json.dumps(partitions_sorted(value), sort_keys=True) + line[found.end():]


def outcome(program, tool, arguments, stdin=b""):
    ran = peer.run(program.command(tool, *arguments), stdin=stdin, status=None, timeout=90)
    return ran.status, [canonical(line) for line in ran.text.splitlines()], bool(ran.errors.strip())


def compare(context, tool, arguments, stdin=b""):
    wanted = outcome(context.reference, tool, arguments, stdin)
    got = outcome(context.subject, tool, arguments, stdin)
    peer.equal(f"{tool} {' '.join(map(str, arguments))}: exit status", got[0], wanted[0])
    for number, (mine, theirs) in enumerate(zip(got[1], wanted[1]), 1):
        peer.equal(f"{tool} {' '.join(map(str, arguments))}: line {number}", mine, theirs)
    peer.equal(f"{tool} {' '.join(map(str, arguments))}: lines", len(got[1]), len(wanted[1]))


def on_broker(context, tool, lines, **words):
    """Each of `lines` is a command line without --bootstrap-server; {name} is put in from `words`."""
    for line in lines:
        arguments = [word.format(**words) for word in line.split()]
        compare(context, tool, ["--bootstrap-server", context.broker.bootstrap, *arguments])
    return f"{len(lines)} command lines"


@peer.check("compare/topics", timeout=300)
def topics(context):
    topic = context.topic("compare", partitions=3, retention_ms=86400000, cleanup_policy="compact")
    return on_broker(context, "topics", (
        "--describe --topic {topic}",
        "--describe --topic {topic} --topics-with-overrides",
        "--describe --topic {topic} --under-replicated-partitions",
        "--describe --topic {topic} --at-min-isr-partitions",
        "--describe --topic no-such-topic --if-exists",
        "--describe --topic-id 5AAAAAAAAAAAAAAAAAAAAA",
        "--list --topic compare.*",
        "--list --topic nothing-like-this",
        "--list --partitions 3",
        "--list --describe",
        "--create --topic {topic}",
        "--create --topic {topic} --if-not-exists",
        "--create --topic too-many --replication-factor 7",
        "--create --topic none --partitions 0",
        "--create --topic none --config nonsense",
        "--create",
        "--alter --topic {topic} --partitions 2",
        "--alter --topic {topic}",
        "--delete --topic no-such-topic",
        "--delete --topic no-such-topic --if-exists",
    ), topic=topic)


@peer.check("compare/get-offsets", timeout=240)
def get_offsets(context):
    topic = context.topic("compare-offsets", partitions=3)
    peer.run([peer.program("kcat"), "-b", context.broker.bootstrap, "-P", "-t", topic, "-p", "1"], stdin=b"one\ntwo\nthree\n")
    return on_broker(context, "get-offsets", (
        "--topic {topic}",
        "--topic {topic} --time -2",
        "--topic {topic} --time max-timestamp",
        "--topic {topic} --time 1",
        "--topic {topic} --time 9999999999999",
        "--topic {topic} --time soon",
        "--topic {topic} --partitions 1,7",
        "--topic {topic} --partitions a",
        "--topic-partitions {topic}:1-3",
        "--topic-partitions {topic}:-1,{topic}:2-",
        "--topic-partitions {topic}:x",
        "--topic {topic} --topic-partitions {topic}:1",
        "--topic no-such-topic",
    ), topic=topic)


@peer.check("compare/configs", timeout=300)
def configs(context):
    topic = context.topic("compare-configs", retention_ms=3600000)
    return on_broker(context, "configs", (
        "--describe --topic {topic}",
        "--describe --all --entity-type topics --entity-name {topic}",
        "--describe --entity-type brokers --entity-name 1",
        "--describe --broker-defaults",
        "--describe --topic no-such-topic",
        "--describe --entity-type brokers --entity-name 77",
        "--describe --entity-type brokers --entity-name abc",
        "--describe --entity-type nonsense",
        "--describe",
        "--describe --alter --topic {topic}",
        "--alter --topic {topic}",
        "--alter --topic {topic} --add-config retention.ms=5000,cleanup.policy=[compact,delete]",
        "--describe --topic {topic}",
        "--alter --topic {topic} --delete-config retention.ms",
        "--describe --topic {topic}",
        "--alter --topic {topic} --add-config retention.ms",
        "--alter --topic {topic} --add-config retention.ms=soon",
        "--alter --topic no-such-topic --add-config retention.ms=1",
        "--alter --entity-type topics --add-config retention.ms=1",
    ), topic=topic)


@peer.check("compare/delete-records", timeout=180)
def delete_records(context):
    topic = context.topic("compare-delete")
    peer.run([peer.program("kcat"), "-b", context.broker.bootstrap, "-P", "-t", topic], stdin=b"one\ntwo\nthree\n")
    files = {
        "two": f'{{"partitions": [{{"topic": "{topic}", "partition": 0, "offset": 2}}], "version": 1}}',
        "all": f'{{"partitions": [{{"topic": "{topic}", "partition": 0, "offset": -1}}]}}',
        "version": '{"partitions": [], "version": 2}',
        "missing": '{"version": 1}',
        "broken": "nonsense",
    }
    paths = {name: context.file(f"{name}.json", text.encode()) for name, text in files.items()}
    return on_broker(context, "delete-records", [f"--offset-json-file {{{name}}}" for name in files] + ["--offset-json-file /no/such/file", ""], **paths)


@peer.check("compare/cluster-tools", timeout=240)
def cluster_tools(context):
    topic = context.topic("compare-cluster", partitions=2)
    server = ["--bootstrap-server", context.broker.bootstrap]
    compare(context, "cluster", ["cluster-id", *server])
    compare(context, "cluster", ["list-endpoints", *server])
    compare(context, "cluster", ["unregister", *server])
    compare(context, "metadata-quorum", [*server, "describe"])
    compare(context, "metadata-quorum", [*server, "describe", "--status", "--replication"])
    compare(context, "metadata-quorum", [*server, "describe", "--status"])
    compare(context, "features", [*server, "describe"])
    compare(context, "features", ["version-mapping", "--release-version", "4.2"])
    compare(context, "broker-api-versions", server)
    on_broker(context, "log-dirs", ("--describe --topic-list {topic}", "--describe --broker-list 1,9", "--describe --topic-list no-such-topic", ""), topic=topic)
    return "12 command lines"


@peer.check("compare/console-consumer", timeout=300)
def console_consumer(context):
    topic = context.topic("compare-consume")
    peer.run([peer.program("kcat"), "-b", context.broker.bootstrap, "-P", "-t", topic, "-K", "|", "-H", "h1=v1", "-H", "h2="], stdin=b"k1|one\nk2|two\n|three\n")
    fields = " ".join(f"--formatter-property print.{what}=true" for what in ("timestamp", "partition", "offset", "headers", "key"))
    first = "--topic {topic} --partition 0 --offset earliest --max-messages"
    return on_broker(context, "console-consumer", (
        f"{first} 3",
        f"{first} 3 {fields}",
        f"{first} 2 --formatter-property print.key=true --formatter-property key.separator=: --formatter-property line.separator=;",
        f"{first} 2 --formatter-property print.value=false --formatter-property print.offset=true",
        f"{first} 2 --property print.key=true",
        f"{first} 1 --value-deserializer org.apache.kafka.common.serialization.LongDeserializer",
        f"{first} 2 --value-deserializer org.apache.kafka.common.serialization.LongDeserializer --skip-message-on-error",
        f"{first} 3 --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter",
        f"{first} 3 --formatter no.such.Formatter",
        f"{first} 2 --enable-systest-events",
        "--topic {topic} --partition 0 --from-beginning --max-messages 3",
        "--topic {topic} --partition 0 --offset 1 --timeout-ms 3000",
        "--topic {topic} --partition 0 --offset soon",
        "--topic {topic} --partition 0 --from-beginning --offset 1",
        "--topic {topic} --partition 0 --group g",
        "--topic {topic} --offset 1",
        "--topic {topic} --include x",
        "",
    ), topic=topic)


@peer.check("compare/console-producer", timeout=600)
def console_producer(context):
    """Each program sends the same input to a topic of its own; what Kafka's consumer then reads must be the same."""
    cases = (
        ("", b"plain\n\nlast"),
        ("", b"a\rb\r\nc\n"),
        ("--reader-property parse.key=true --reader-property key.separator=|", b"k1|v1\nk2|v|2\n"),
        ("--reader-property parse.key=true --reader-property key.separator=|", b"k1|v1\nno separator\n"),
        ("--reader-property parse.key=true --reader-property key.separator=| --reader-property ignore.error=true", b"no separator\n"),
        ("--reader-property parse.key=true --reader-property parse.headers=true", b"h1:v1,h2:\tk\tv\n"),
        ("--reader-property parse.headers=true", b"bad\tv\n"),
        ("--reader-property parse.key=true --reader-property null.marker=NULL", b"NULL\tNULL\nk\tNULL\n"),
        ("--sync --compression-codec", b"x\ny\n"),
        ("--property parse.key=true", b"k\tv\n"),
        ("--compression-codec nonsense", b"x\n"),
        ("--request-required-acks 7", b"x\n"),
        ("--producer-property batch.size=abc", b"x\n"),
        ("--line-reader no.such.Reader", b"x\n"),
    )
    fields = [word for what in ("key", "offset", "headers") for word in ("--formatter-property", f"print.{what}=true")]
    for words, stdin in cases:
        seen = []
        for program in (context.reference, context.subject):
            topic = context.topic("compare-produce")
            ran = peer.run(program.command("console-producer", "--bootstrap-server", context.broker.bootstrap, "--topic", topic, *words.split()),
                           stdin=stdin, status=None)
            with context.broker.client() as client:
                count = client.offset(topic)
            read = peer.run(context.reference.command("console-consumer", "--bootstrap-server", context.broker.bootstrap, "--topic", topic, "--partition", "0",
                                                      "--offset", "earliest", "--max-messages", str(count), *fields)) if count else None
            seen.append((ran.status, ran.text, read.text if read else ""))
        peer.equal(f"console-producer {words}", seen[1], seen[0])
    return f"{len(cases)} inputs"


@peer.check("compare/storage", timeout=240)
def storage(context):
    """info and the refusals of format; what format writes is compared by starting on it (see disk.py)."""
    folder = context.path("storage")
    folder.mkdir()

    def properties(name, text):
        path = folder / f"{name}.properties"
        path.write_text(text, encoding="utf-8")
        return str(path)
    common = f"node.id=1\ncontroller.listener.names=CONTROLLER\nlog.dirs={folder}/one,{folder}/two\n"
    both = properties("both", common + "process.roles=broker,controller\nlisteners=PLAINTEXT://:19092,CONTROLLER://:19093\n"
                      "controller.quorum.bootstrap.servers=localhost:19093\n")
    static = properties("static", common + "process.roles=broker,controller\nlisteners=PLAINTEXT://:19092,CONTROLLER://:19093\n"
                        "controller.quorum.voters=1@localhost:19093\n")
    cluster = "MkU3OEVBNTcwNTJENDM2Qg"
    compare(context, "storage", ["info", "-c", both])
    compare(context, "storage", ["format", "-t", cluster, "-c", both])
    compare(context, "storage", ["format", "-t", cluster, "-c", static, "--standalone"])
    compare(context, "storage", ["format", "-t", cluster, "-c", both, "--standalone", "--release-version", "9.9"])
    compare(context, "storage", ["format", "-t", cluster, "-c", both, "--standalone", "--feature", "nonsense=1"])
    compare(context, "storage", ["format", "-c", both])
    peer.run(context.subject.command("storage", "format", "-t", cluster, "-c", both, "--standalone"))
    compare(context, "storage", ["info", "-c", both])
    compare(context, "storage", ["format", "-t", cluster, "-c", both, "--standalone"])
    compare(context, "storage", ["format", "-t", cluster, "-c", both, "--standalone", "--ignore-formatted"])
    compare(context, "storage", ["version-mapping"])
    compare(context, "storage", ["nonsense"])
    return "11 command lines"


@peer.check("compare/dump-log", timeout=300)
def dump_log(context):
    """Both tools on the files of the broker under test, after it was stopped in order."""
    broker = context.own_broker("dump")
    broker.start()
    try:
        topic = context.topic("dump", broker=broker, segment_bytes=1048576)
        lines = b"".join(b"line %d of a log\n" % number for number in range(60000))
        for codec in ("none", "gzip", "zstd", "lz4", "snappy"):
            peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-P", "-t", topic, "-z", codec], stdin=lines)
        peer.run([peer.program("kcat"), "-b", broker.bootstrap, "-P", "-t", topic, "-K", "|", "-H", "h=1"], stdin=b"k|v\n")
        broker.stop()
    finally:
        broker.kill()
    files = {end: broker.segments(topic, end=end) for end in (".log", ".index", ".timeindex", ".snapshot")}
    metadata = broker.data / "__cluster_metadata-0"
    compared = 0
    for arguments in ([files[".log"][0]], [files[".log"][0], "--deep-iteration"], [files[".log"][-1], "--print-data-log"],
                      [files[".log"][-1], "--print-data-log", "--skip-record-metadata"], [files[".log"][0], "--max-bytes", "20000"],
                      *([path] for path in (files[".index"][:2] + files[".timeindex"][:2] + files[".snapshot"][-1:])),
                      [files[".index"][0], "--verify-index-only"], [files[".index"][0], "--index-sanity-check"], [files[".index"][0], "--max-message-size", "100"],
                      [metadata / "00000000000000000000.log", "--cluster-metadata-decoder"],
                      *([path, "--cluster-metadata-decoder"] for path in sorted(metadata.glob("*.checkpoint"))),
                      [broker.data / "bootstrap.checkpoint", "--cluster-metadata-decoder"], [metadata / "quorum-state"]):
        compare(context, "dump-log", ["--files", *arguments])
        compared += 1
    return f"{compared} files"
