"""kcat, and librdkafka inside it, against the broker under test."""
import json

import data
import peer

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ACKS = ("0", "1", "all")
EACH = 4 << 20


def kcat(context, *arguments, **options):
    return peer.run([peer.program("kcat"), "-b", context.broker.bootstrap, "-X", "topic.metadata.refresh.interval.ms=1000", *arguments], **options)


def read_lines(context, topic, *arguments):
    return kcat(context, "-C", "-q", "-e", "-t", topic, "-p", "0", "-o", "beginning", *arguments).out


@peer.check("kcat/metadata")
def metadata(context):
    topic = context.topic("kcat-meta", partitions=3)
    listed = json.loads(kcat(context, "-L", "-J").out)
    host, port = context.broker.bootstrap.rsplit(":", 1)
    peer.equal("brokers", [broker["name"] for broker in listed["brokers"]], [f"{host}:{port}"])
    found = {entry["topic"]: entry for entry in listed["topics"]}
    peer.expect(topic in found, f"{topic} is not listed: {sorted(found)}")
    partitions = found[topic]["partitions"]
    peer.equal("partitions", sorted(part["partition"] for part in partitions), [0, 1, 2])
    for part in partitions:
        peer.equal("leader, replicas, isrs", (part["leader"], part["replicas"], part["isrs"]), (1, [{"id": 1}], [{"id": 1}]))


def produce_and_consume(codec, acks, number):
    def function(context):
        topic = context.topic(f"kcat-{codec}-{acks}")
        content = data.lines(number, EACH)
        kcat(context, "-P", "-t", topic, "-p", "0", "-z", codec, "-X", f"acks={acks}", "-X", "linger.ms=20", stdin=content)
        with context.broker.client() as client:  # acks=0: nobody said that it has arrived yet
            count = content.count(b"\n")
            peer.wait_until("all records arrived", lambda: client.offset(topic) >= count)
            peer.equal("end offset", client.offset(topic), count)
        data.compare(topic, read_lines(context, topic), content)
    return function


for index, (codec_name, acks_name) in enumerate((codec, acks) for codec in CODECS for acks in ACKS):
    peer.check(f"kcat/{codec_name}/acks={acks_name}")(produce_and_consume(codec_name, acks_name, index))


@peer.check("kcat/binary")
def binary(context):
    """Each record a file of 300 KB: shared libraries and archives."""
    topic = context.topic("kcat-binary")
    files = [context.file(f"chunk-{i}", data.chunks(i, 300_000)) for i in range(40)]
    kcat(context, "-P", "-t", topic, "-p", "0", "-z", "zstd", "-X", "acks=all", *files)
    wanted = b"".join(file.read_bytes() for file in files)
    data.compare(topic, read_lines(context, topic, "-D", ""), wanted)


@peer.check("kcat/idempotent")
def idempotent(context):
    topic = context.topic("kcat-idempotent")
    content = data.lines(20, EACH)
    kcat(context, "-P", "-t", topic, "-p", "0", "-z", "lz4", "-X", "enable.idempotence=true", "-X", "batch.num.messages=500", stdin=content)
    data.compare(topic, read_lines(context, topic), content)


@peer.check("kcat/auto-create")
def auto_create(context):
    topic = context.name("kcat-auto")
    kcat(context, "-P", "-t", topic, stdin=b"one\ntwo\n")
    peer.equal("records", read_lines(context, topic), b"one\ntwo\n")


@peer.check("kcat/keys-headers-nulls")
def keys_headers(context):
    topic = context.topic("kcat-headers")
    kcat(context, "-P", "-t", topic, "-p", "0", "-K", ":", "-H", "color=blue", "-H", "empty=", "-H", "color=grün", stdin="käse:wert\n:v2\n".encode())
    kcat(context, "-P", "-t", topic, "-p", "0", "-Z", "-K", ":", stdin=b"gone:\n")
    records = [json.loads(line) for line in read_lines(context, topic, "-J").splitlines()]
    peer.equal("keys", [record["key"] for record in records], ["käse", "", "gone"])
    peer.equal("values", [record["payload"] for record in records], ["wert", "v2", None])
    peer.equal("headers", records[0]["headers"], ["color", "blue", "empty", "", "color", "grün"])
    peer.equal("offsets", [record["offset"] for record in records], [0, 1, 2])


@peer.check("kcat/timestamps")
def timestamps(context):
    """CreateTime stays as the producer set it, LogAppendTime is the broker's; -o s@time and ListOffsets find by time."""
    for kind, broker_sets in (("CreateTime", False), ("LogAppendTime", True)):
        topic = context.topic("kcat-time", message_timestamp_type=kind)
        times = []
        for i in range(3):
            with context.broker.client() as client:
                kcat(context, "-P", "-t", topic, "-p", "0", "-z", "gzip", stdin=b"record %d\n" % i)
                peer.equal("end offset", client.offset(topic), i + 1)
            times.append(int(read_lines(context, topic, "-f", "%T\n").split()[-1]))
        records = [json.loads(line) for line in read_lines(context, topic, "-J").splitlines()]
        peer.equal("timestamp type", {record["tstype"] for record in records}, {"logappend" if broker_sets else "create"})
        peer.equal("timestamps", [record["ts"] for record in records], times)
        peer.expect(times[0] < times[1] < times[2], f"timestamps grow with the sends: {times}")
        with context.broker.client() as client:
            found = [client.offset(topic, 0, when) for when in (0, times[1], times[1] + 1, times[2] + 1)]
            peer.equal("offsets by time", found, [0, 1, 2, -1])
        later = kcat(context, "-C", "-q", "-e", "-t", topic, "-p", "0", "-o", f"s@{times[1]}").out
        peer.equal("records from a time on", later, b"record 1\nrecord 2\n")


@peer.check("kcat/query-offsets")
def query_offsets(context):
    topic = context.topic("kcat-query", partitions=2)
    kcat(context, "-P", "-t", topic, "-p", "1", stdin=b"a\nb\nc\n")
    for query, offset in ((f"{topic}:0:-1", f"{topic} [0] offset 0\n"), (f"{topic}:1:-1", f"{topic} [1] offset 3\n"), (f"{topic}:1:-2", f"{topic} [1] offset 0\n")):
        peer.equal(query, kcat(context, "-Q", "-t", query).text, offset)
    last = kcat(context, "-C", "-q", "-e", "-t", topic, "-p", "1", "-o", "-1").out
    peer.equal("the last record", last, b"c\n")


@peer.check("kcat/follow")
def follow(context):
    """A consumer that waits at the end gets what is produced later."""
    topic = context.topic("kcat-follow")
    log = context.path("follow.txt")
    log.touch()
    consumer = peer.Server([peer.program("kcat"), "-b", context.broker.bootstrap, "-C", "-u", "-q", "-t", topic, "-p", "0", "-o", "beginning"], log)
    try:
        for i in range(5):
            kcat(context, "-P", "-t", topic, "-p", "0", stdin=b"line %d\n" % i)
            wanted = b"".join(b"line %d\n" % n for n in range(i + 1))
            peer.wait_until(f"record {i} is seen", lambda wanted=wanted: log.read_bytes() == wanted, 20)
    finally:
        consumer.stop()


@peer.check("kcat/too-large")
def too_large(context):
    """The broker refuses a batch over max.message.bytes; the producer says so, nothing is written, the rest goes on."""
    topic = context.topic("kcat-large", max_message_bytes=20000)
    ran = kcat(context, "-P", "-t", topic, "-p", "0", context.file("large", data.chunks(7, 100_000)), status=None)
    peer.expect("too large" in ran.errors.lower() or "message size" in ran.errors.lower(), f"no word of the size: {ran.errors}")
    kcat(context, "-P", "-t", topic, "-p", "0", stdin=b"small\n")
    peer.equal("records", read_lines(context, topic), b"small\n")


@peer.check("kcat/unknown-topic")
def unknown_topic(context):
    ran = kcat(context, "-C", "-q", "-e", "-t", "no such topic!", "-p", "0", status=None, timeout=30)
    peer.expect(ran.status != 0 and "topic" in ran.errors.lower(), f"exit status {ran.status}: {ran.errors}")
